/* SPDX-License-Identifier: BSD-2-Clause */
/* notify - datagrams of assignments to the manager's socket. */
#include "os/notify.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/now.h"
#include "base/span.h"
#include "base/str.h"

enum {
	MESSAGE_MAX = 4096,
	PATIENCE_MS = 100, /* for a queue that is full */
};

/* "/path" or "@abstract"; 0 = it is neither. */
static socklen_t
read_address(struct sockaddr_un *a, const char *text)
{
	size_t len = strlen(text);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((text[0] != '/' && text[0] != '@') || len < 2 ||
	    len >= sizeof(a->sun_path))
		return 0;
	memcpy(a->sun_path, text, len);
	if (text[0] == '@')
		a->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static int
open_socket(const char *path)
{
	struct sockaddr_un a;
	socklen_t len = read_address(&a, path);
	int fd;

	if (len == 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, len) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Half of what the manager waits, so that one late message does no harm. */
static uint64_t
read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t n = 0, owner = 0;

	if (usec == NULL || span_u64(span_cstr(usec), &n) != 0 || n == 0)
		return 0;
	if (pid != NULL && (span_u64(span_cstr(pid), &owner) != 0 ||
	    owner != (uint64_t)getpid()))
		return 0;
	return n / 2000 > 0 ? n / 2000 : 1;
}

void
notify_init(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*n = (struct notify){ .fd = -1 };
	if (path == NULL)
		return;
	n->fd = open_socket(path);
	n->watchdog_ms = n->fd >= 0 ? read_watchdog() : 0;
	/* What remains is for whoever takes over from this process. */
	unsetenv("WATCHDOG_PID");
}

void
notify_close(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	*n = (struct notify){ .fd = -1 };
}

static void
send_message(const struct notify *n, const struct str *s)
{
	struct pollfd p = { .fd = n->fd, .events = POLLOUT };

	for (int tries = 0; tries < 2; tries++) {
		if (send(n->fd, s->p, s->len, MSG_NOSIGNAL) >= 0 ||
		    (errno != EAGAIN && errno != EINTR))
			return;
		(void)poll(&p, 1, PATIENCE_MS);
	}
}

/* head, then the status on one line, if there is one. */
static void
tell(const struct notify *n, const char *head, const char *status)
{
	char memory[MESSAGE_MAX];
	struct str s;

	if (n->fd < 0)
		return;
	str_init(&s, memory, sizeof(memory));
	str_cstr(&s, head);
	if (status != NULL) {
		str_lit(&s, "STATUS=");
		for (; *status != '\0'; status++)
			str_char(&s, *status == '\n' ? ' ' : *status);
		str_char(&s, '\n');
	}
	send_message(n, &s);
}

void
notify_ready(const struct notify *n, const char *status)
{
	char head[64];

	snprintf(head, sizeof(head), "MAINPID=%ld\nREADY=1\n",
	    (long)getpid());
	tell(n, head, status);
}

void
notify_reloading(const struct notify *n, const char *status)
{
	char head[64];

	snprintf(head, sizeof(head), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
	    (unsigned long long)now_exact_us());
	tell(n, head, status);
}

void
notify_stopping(const struct notify *n, uint64_t timeout_ms,
    const char *status)
{
	tell(n, "STOPPING=1\n", status);
	notify_extend(n, timeout_ms);
}

void
notify_extend(const struct notify *n, uint64_t timeout_ms)
{
	char head[64];

	snprintf(head, sizeof(head), "EXTEND_TIMEOUT_USEC=%llu\n",
	    (unsigned long long)timeout_ms * 1000);
	tell(n, head, NULL);
}

void
notify_status(const struct notify *n, const char *status)
{
	tell(n, "", status);
}

void
notify_watchdog(const struct notify *n)
{
	tell(n, "WATCHDOG=1\n", NULL);
}
