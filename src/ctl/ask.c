/* SPDX-License-Identifier: BSD-2-Clause */
/* ask - a connection with a deadline. */
#include "ctl/ask.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/now.h"

enum {
	FIRST_BYTES = 65536,
	ANSWER_MAX = 256 << 20,
	RETRY_MS = 20, /* while the queue of the socket is full */
};

/* What is left, for poll(). */
static int
left_ms(uint64_t end_us)
{
	uint64_t now = now_exact_us();

	if (end_us == UINT64_MAX)
		return -1;
	if (now >= end_us)
		return 0;
	return (end_us - now) / 1000 < INT_MAX
	    ? (int)((end_us - now) / 1000) + 1 : INT_MAX;
}

static int
fail_time(struct error *err)
{
	return error_set(err, "no answer came in time");
}

/* 0 = something may be done; -1 and err when the time is over. */
static int
wait_for(int fd, short events, uint64_t end_us, struct error *err)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int left = left_ms(end_us);
		int n = poll(&p, 1, left);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, errno, "waiting");
		if (n == 0 && left == 0)
			return fail_time(err);
	}
}

static enum ask_result
fail_connect(const char *path, struct error *err)
{
	bool is_nobody = errno == ENOENT || errno == ECONNREFUSED ||
	    errno == ENOTDIR;

	error_set_errno(err, errno, "%s", path);
	return is_nobody ? ASK_NOBODY : ASK_FAILED;
}

static enum ask_result
open_socket(const char *path, uint64_t end_us, int *fd, struct error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	*fd = -1;
	if (len == 0 || len >= sizeof(a.sun_path)) {
		error_set(err, "\"%s\" cannot be the path of a socket", path);
		return ASK_FAILED;
	}
	memcpy(a.sun_path, path, len + 1);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0) {
		error_set_errno(err, errno, "making a socket");
		return ASK_FAILED;
	}
	while (connect(*fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		if (errno != EAGAIN && errno != EINTR)
			return fail_connect(path, err);
		if (left_ms(end_us) == 0) {
			fail_time(err);
			return ASK_FAILED;
		}
		poll(NULL, 0, RETRY_MS);
	}
	return ASK_DONE;
}

static int
send_all(int fd, const char *p, size_t len, uint64_t end_us,
    struct error *err)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EPIPE) {
			return 0; /* the answer says why */
		} else if (errno != EAGAIN && errno != EINTR) {
			return error_set_errno(err, errno, "asking");
		} else if (wait_for(fd, POLLOUT, end_us, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int
receive_all(int fd, struct span *answer, uint64_t end_us, struct error *err)
{
	size_t cap = FIRST_BYTES, len = 0;
	char *p = heap_alloc(cap);
	ssize_t n;

	for (;;) {
		answer->p = p;
		n = recv(fd, p + len, cap - len, 0);
		if (n == 0)
			break;
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				return error_set_errno(err, errno,
				    "reading the answer");
			if (wait_for(fd, POLLIN, end_us, err) != 0)
				return -1;
			continue;
		}
		len += (size_t)n;
		if (len == cap) {
			if (cap >= ANSWER_MAX)
				return error_set(err, "the answer is too "
				    "long");
			cap *= 2;
			p = heap_alloc_grow(p, cap, 1);
		}
	}
	if (len == 0 || p[len - 1] != '\n')
		return error_set(err, len == 0 ? "the instance ended before "
		    "it answered" : "the answer is cut off");
	answer->len = len - 1;
	return 0;
}

enum ask_result
ask(const char *path, struct span line, uint64_t timeout_ms,
    struct span *answer, struct error *err)
{
	uint64_t end_us = timeout_ms == 0 ? UINT64_MAX
	    : now_exact_us() + timeout_ms * 1000;
	enum ask_result result;
	int fd;

	*answer = span_of(NULL, 0);
	result = open_socket(path, end_us, &fd, err);
	if (result == ASK_DONE && (send_all(fd, line.p, line.len, end_us,
	    err) != 0 || send_all(fd, "\n", 1, end_us, err) != 0 ||
	    receive_all(fd, answer, end_us, err) != 0))
		result = ASK_FAILED;
	if (fd >= 0)
		close(fd);
	return result;
}
