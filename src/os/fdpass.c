/* SPDX-License-Identifier: BSD-2-Clause */
/* fdpass - SCM_RIGHTS, with every descriptor accounted for. */
#include "os/fdpass.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
};

int
fdpass_pair(int fds[2])
{
	return socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

static void
attach(struct msghdr *msg, union control *control, const int *fds,
    size_t fd_count)
{
	size_t bytes = fd_count * sizeof(*fds);
	struct cmsghdr *head;

	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(bytes);
	memset(control->bytes, 0, msg->msg_controllen);
	head = CMSG_FIRSTHDR(msg);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(head), fds, bytes);
}

int
fdpass_send(int sock, const void *data, size_t len, const int *fds,
    size_t fd_count)
{
	union control control;
	char *bytes;
	struct iovec iov = { .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert(len > 0 && fd_count <= FDPASS_MAX);
	/* iovec is for both ways; sendmsg only reads. */
	memcpy(&bytes, &data, sizeof(bytes));
	iov.iov_base = bytes;
	if (fd_count > 0)
		attach(&msg, &control, fds, fd_count);
	return sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static void
close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* Every descriptor of the message; the kernel may have split them. */
static size_t
collect(struct msghdr *msg, int fds[FDPASS_MAX])
{
	size_t count = 0;

	for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL;
	     head = CMSG_NXTHDR(msg, head)) {
		size_t n;

		if (head->cmsg_level != SOL_SOCKET ||
		    head->cmsg_type != SCM_RIGHTS)
			continue;
		n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds + count, CMSG_DATA(head), n * sizeof(int));
		count += n;
	}
	return count;
}

ssize_t
fdpass_receive(int sock, void *data, size_t len, int *fds, size_t *fd_count)
{
	bool is_cut;
	ssize_t n = fdpass_receive_cut(sock, data, len, fds, fd_count,
	    &is_cut);

	if (!is_cut)
		return n;
	errno = EMFILE;
	return -1;
}

ssize_t
fdpass_receive_cut(int sock, void *data, size_t len, int *fds,
    size_t *fd_count, bool *is_cut)
{
	union control control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	int taken[FDPASS_MAX];
	size_t room = *fd_count;
	size_t count;
	ssize_t n;

	*fd_count = 0;
	*is_cut = false;
	n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -1;
	count = collect(&msg, taken);
	if (count > room || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) {
		close_all(taken, count);
		/* The kernel also cuts where this process may open no more. */
		*is_cut = (msg.msg_flags & MSG_CTRUNC) != 0 &&
		    (msg.msg_flags & MSG_TRUNC) == 0 && count < FDPASS_MAX;
		if (*is_cut)
			return n;
		errno = EMSGSIZE;
		return -1;
	}
	if (count > 0)
		memcpy(fds, taken, count * sizeof(int));
	*fd_count = count;
	return n;
}
