/* SPDX-License-Identifier: BSD-2-Clause */
/* inherited - the variables, and what the descriptors really are. */
#include "os/inherited.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "os/sock.h"

enum { FIRST_FD = 3 };

static size_t
read_count(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	uint64_t owner, n;

	if (pid == NULL || fds == NULL ||
	    span_u64(span_cstr(pid), &owner) != 0 ||
	    owner != (uint64_t)getpid() ||
	    span_u64(span_cstr(fds), &n) != 0)
		return 0;
	return n < INHERITED_MAX ? (size_t)n : INHERITED_MAX;
}

static int
get_option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value
	    : -1;
}

static bool
is_listener(int fd)
{
	return get_option(fd, SO_TYPE) == SOCK_STREAM &&
	    get_option(fd, SO_ACCEPTCONN) == 1;
}

/* The next of the names between colons; caller frees. */
static char *
next_name(const char **names)
{
	size_t len = strcspn(*names, ":");
	char *name = heap_alloc(len + 1);

	memcpy(name, *names, len);
	name[len] = '\0';
	*names += len + ((*names)[len] == ':');
	return name;
}

static void
add(struct inherited *in, int fd, char *name)
{
	struct inherited_socket *s = &in->items[in->count++];
	int flags = fcntl(fd, F_GETFL);

	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	s->fd = fd;
	s->name = name;
	sock_local(fd, &s->addr);
}

void
inherited_init(struct inherited *in, size_t *ignored)
{
	const char *names = getenv("LISTEN_FDNAMES");
	size_t count = read_count();

	*ignored = 0;
	*in = (struct inherited){ .items =
	    heap_alloc_zeroed(count, sizeof(*in->items)) };
	if (names == NULL)
		names = "";
	for (size_t i = 0; i < count; i++) {
		char *name = next_name(&names);

		if (is_listener(FIRST_FD + (int)i)) {
			add(in, FIRST_FD + (int)i, name);
		} else {
			(*ignored)++;
			free(name);
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

void
inherited_fini(struct inherited *in)
{
	for (size_t i = 0; i < in->count; i++) {
		if (in->items[i].fd >= 0)
			close(in->items[i].fd);
		free(in->items[i].name);
	}
	free(in->items);
	*in = (struct inherited){ .items = NULL };
}
