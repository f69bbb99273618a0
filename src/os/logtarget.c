/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logtarget - opening log outputs, and writing to them without blocking.
 *
 * O_NONBLOCK belongs to the open file description, which weir shares with
 * whoever started it: setting it on stderr would make a shell's or a pipe's
 * other writers fail.  Hence the detour over /proc/self/fd, which opens the
 * same pipe or terminal anew.  Where that is not allowed, poll() is asked and
 * no more is written than a pipe with any room takes.
 */
#include "os/logtarget.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "base/str.h"

enum {
	SYSLOG_RETRY_MS = 1000,
	SYSLOG_CUT_BYTES = 1024, /* what every syslog daemon takes */
	SYSLOG_DAEMON = 3,       /* facility (RFC 3164, section 4.1.1) */
};

/* By enum log_level: severities of syslog, and journald's prefixes. */
static const unsigned severities[] = { 3, 4, 5, 6, 7 };
static const char *const prefixes[] = { "<3>", "<4>", "<5>", "<6>", "<7>" };

void
logtarget_init(struct logtargets *t)
{
	memset(t, 0, sizeof(*t));
	t->syslog_path = "/dev/log";
}

void
logtarget_fini(struct logtargets *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->items[i].fd >= 0)
			close(t->items[i].fd);
		free(t->items[i].path);
	}
	free(t->items);
	t->items = NULL;
	t->count = 0;
}

static enum logtarget_kind
kind_of(const char *path)
{
	if (strcmp(path, "stderr") == 0)
		return LOGTARGET_STDERR;
	if (strcmp(path, "stdout") == 0)
		return LOGTARGET_STDOUT;
	if (strcmp(path, "syslog") == 0)
		return LOGTARGET_SYSLOG;
	return LOGTARGET_FILE;
}

/* Absolute, because a daemon changes its directory.  Caller frees. */
static char *
full_path(const char *path, struct error *err)
{
	char directory[4096];
	char *full;

	if (path[0] == '/' || kind_of(path) != LOGTARGET_FILE)
		return heap_alloc_strdup(path);
	if (getcwd(directory, sizeof(directory)) == NULL) {
		error_set_errno(err, errno, "finding the directory of log %s",
		    path);
		return NULL;
	}
	full = heap_alloc(strlen(directory) + strlen(path) + 2);
	sprintf(full, "%s/%s", directory, path);
	return full;
}

/* The name by which the table knows path; caller frees. */
static char *
table_name(const char *path, struct error *err)
{
	static const char *const aliases[][2] = {
		{ "/dev/stderr", "stderr" }, { "/dev/stdout", "stdout" },
	};

	if (path == NULL)
		path = "stderr";
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(path, aliases[i][0]) == 0)
			path = aliases[i][1];
	}
	if (path[0] == '\0' || path[strlen(path) - 1] == '/') {
		error_set(err, "log path \"%s\": not the name of a file",
		    path);
		return NULL;
	}
	return full_path(path, err);
}

static int
find(const struct logtargets *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->items[i].uses > 0 &&
		    strcmp(t->items[i].path, name) == 0)
			return (int)i;
	}
	return -1;
}

/* A free number that no living process knows as another output's, or -1. */
static int
find_free(struct logtargets *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->items[i].uses == 0 && t->items[i].released < t->oldest)
			return (int)i;
	}
	if (t->count == LOGTARGET_MAX)
		return -1;
	t->items = heap_alloc_grow(t->items, t->count + 1, sizeof(*t->items));
	return (int)t->count++;
}

int
logtarget_add(struct logtargets *t, const char *path, struct error *err)
{
	char *name = table_name(path, err);
	int id;

	if (name == NULL)
		return -1;
	id = find(t, name);
	if (id >= 0) {
		free(name);
		t->items[id].uses++;
		return id;
	}
	id = find_free(t);
	if (id < 0) {
		free(name);
		return error_set(err, "log path \"%s\": more than %d logs",
		    path, LOGTARGET_MAX);
	}
	t->items[id] = (struct logtarget){ .path = name, .fd = -1,
		.kind = kind_of(name), .uses = 1 };
	return id;
}

int
logtarget_number(const struct logtargets *t, const char *path)
{
	struct error err;
	char *name = table_name(path, &err);
	int id = name != NULL ? find(t, name) : -1;

	free(name);
	return id;
}

void
logtarget_release(struct logtargets *t, unsigned id)
{
	struct logtarget *target = &t->items[id];

	assert(id < t->count && target->uses > 0);
	if (--target->uses > 0)
		return;
	if (target->fd >= 0)
		close(target->fd);
	free(target->path);
	*target = (struct logtarget){ .fd = -1, .released = t->epoch };
}

static enum logtarget_medium
medium_of(int fd)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode))
		return LOGTARGET_REGULAR;
	if (S_ISSOCK(st.st_mode))
		return LOGTARGET_SOCKET;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK) != 0 ? LOGTARGET_STREAM
						      : LOGTARGET_BLOCKING;
}

/*
 * Readable where it is a regular file (logtarget_find()), else not: a FIFO must
 * notice that its reader is gone.  O_NONBLOCK: one that nobody reads must not
 * hang the master.
 */
static int
open_file(const char *path, struct error *err)
{
	const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
	    O_NONBLOCK;
	int fd = open(path, O_RDWR | flags, 0640);

	if (fd >= 0 && medium_of(fd) != LOGTARGET_REGULAR) {
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		fd = open(path, O_WRONLY | flags, 0640);
	if (fd < 0)
		return error_set_errno(err, errno, "opening log %s", path);
	return fd;
}

static int
open_standard(int standard, struct error *err)
{
	char path[32];
	int fd;

	if (medium_of(standard) == LOGTARGET_BLOCKING) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", standard);
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY |
		    O_NONBLOCK);
		if (fd >= 0)
			return fd;
	}
	fd = fcntl(standard, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return error_set_errno(err, errno, "opening log %s",
		    standard == STDERR_FILENO ? "stderr" : "stdout");
	return fd;
}

static int
open_syslog(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -1;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void
logtarget_replace(struct logtargets *t, unsigned id, int fd)
{
	struct logtarget *target = &t->items[id];

	if (target->fd >= 0)
		close(target->fd);
	target->fd = fd;
	target->medium = medium_of(fd);
	target->journal = target->kind == LOGTARGET_STDERR &&
	    getenv("JOURNAL_STREAM") != NULL;
}

static int
open_target(struct logtargets *t, unsigned id, struct error *err)
{
	const struct logtarget *target = &t->items[id];
	int fd = -1;

	switch (target->kind) {
	case LOGTARGET_FILE:
		fd = open_file(target->path, err);
		break;
	case LOGTARGET_STDERR:
		fd = open_standard(STDERR_FILENO, err);
		break;
	case LOGTARGET_STDOUT:
		fd = open_standard(STDOUT_FILENO, err);
		break;
	case LOGTARGET_SYSLOG:
		/* Its daemon may start later than weir. */
		fd = open_syslog(t->syslog_path);
		if (fd < 0)
			return 0;
		break;
	}
	if (fd < 0)
		return -1;
	logtarget_replace(t, id, fd);
	return 0;
}

int
logtarget_open_all(struct logtargets *t, struct error *err)
{
	for (unsigned id = 0; id < t->count; id++) {
		if (t->items[id].uses > 0 && t->items[id].fd < 0 &&
		    open_target(t, id, err) != 0)
			return -1;
	}
	return 0;
}

int
logtarget_reopen(struct logtargets *t, unsigned id, struct error *err)
{
	if (t->items[id].uses == 0 || t->items[id].kind != LOGTARGET_FILE)
		return 0;
	return open_target(t, id, err);
}

struct span
logtarget_prefix(const struct logtarget *target, enum log_level level)
{
	return span_cstr(target->journal ? prefixes[level] : "");
}

static bool
is_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) > 0;
}

ssize_t
logtarget_writev(struct logtarget *target, const struct iovec *iov, int count)
{
	struct msghdr msg = { 0 };
	ssize_t n;

	if (target->medium == LOGTARGET_BLOCKING && !is_writable(target->fd)) {
		errno = EAGAIN;
		return -1;
	}
	do {
		if (target->medium == LOGTARGET_SOCKET) {
			/* sendmsg() changes nothing of what it is given. */
			msg.msg_iov = (struct iovec *)(uintptr_t)iov;
			msg.msg_iovlen = (size_t)count;
			n = sendmsg(target->fd, &msg,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		} else {
			n = writev(target->fd, iov, count);
		}
	} while (n < 0 && errno == EINTR);
	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	return n;
}

int
logtarget_place(const struct logtarget *target, uint32_t *place)
{
	struct stat st;

	if (target->medium != LOGTARGET_REGULAR || target->journal ||
	    fstat(target->fd, &st) != 0)
		return -1;
	*place = (uint32_t)st.st_size;
	return 0;
}

ssize_t
logtarget_find(const struct logtarget *target, uint32_t place,
    struct span line)
{
	char found[4096];
	size_t same = 0;
	uint64_t size, at;
	struct stat st;

	if (target->medium != LOGTARGET_REGULAR || target->journal ||
	    fstat(target->fd, &st) != 0)
		return -1;
	/* The place is the last before the end that has these low bits. */
	size = (uint64_t)st.st_size;
	at = (size & ~(uint64_t)UINT32_MAX) | place;
	if (at > size && at > UINT32_MAX)
		at -= (uint64_t)UINT32_MAX + 1;
	while (same < line.len && at + same < size) {
		size_t want = line.len - same;
		ssize_t n = pread(target->fd, found,
		    want < sizeof(found) ? want : sizeof(found),
		    (off_t)(at + same));

		if (n <= 0)
			return -1;
		if (memcmp(found, line.p + same, (size_t)n) != 0)
			return 0;
		same += (size_t)n;
	}
	return (ssize_t)same;
}

/* "<30>Nov 21 08:15:00 weir[123]: text" */
static void
put_syslog(struct str *s, enum log_level level, struct span text)
{
	time_t seconds = (time_t)(now_wall_ms() / 1000);
	char date[32];
	struct tm tm;

	str_printf(s, "<%u>", SYSLOG_DAEMON * 8 + severities[level]);
	if (localtime_r(&seconds, &tm) != NULL)
		str_put(s, date, strftime(date, sizeof(date),
		    "%b %e %H:%M:%S ", &tm));
	str_printf(s, "weir[%ld]: ", (long)getpid());
	if (text.len > s->cap - s->len)
		text.len = s->cap - s->len;
	str_span(s, text);
}

static int
send_datagram(int fd, const char *p, size_t len)
{
	ssize_t n;

	do
		n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EMSGSIZE && len > SYSLOG_CUT_BYTES)
		return send_datagram(fd, p, SYSLOG_CUT_BYTES);
	return n < 0 ? -1 : 0;
}

int
logtarget_syslog(struct logtargets *t, unsigned id, enum log_level level,
    struct span line)
{
	struct logtarget *target = &t->items[id];
	char memory[8192];
	struct str s;

	if (line.len > 0 && line.p[line.len - 1] == '\n')
		line.len--;
	str_init(&s, memory, sizeof(memory));
	put_syslog(&s, level, line);
	/* The second time after syslogd was restarted: on a new socket. */
	for (int tries = 0; tries < 2; tries++) {
		if (target->fd < 0 && now_ms() >= target->retry_at_ms) {
			target->fd = open_syslog(t->syslog_path);
			target->retry_at_ms = now_ms() + SYSLOG_RETRY_MS;
		}
		if (target->fd < 0)
			break;
		if (send_datagram(target->fd, s.p, s.len) == 0)
			return 0;
		if (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE)
			return -1;
		close(target->fd);
		target->fd = -1;
	}
	errno = EAGAIN;
	return -1;
}

void
logtarget_sink(void *arg, enum log_level level, const char *line, size_t len)
{
	struct logtarget_output *output = arg;
	struct logtarget *target = &output->targets->items[output->target];
	struct span prefix = logtarget_prefix(target, level);
	char whole[8192];
	struct iovec iov;
	struct str s;
	ssize_t n;

	if (target->kind == LOGTARGET_SYSLOG) {
		(void)logtarget_syslog(output->targets, output->target, level,
		    span_of(line, len));
		return;
	}
	str_init(&s, whole, sizeof(whole));
	if (output->is_torn)
		str_char(&s, '\n');
	str_span(&s, prefix);
	str_put(&s, line, len);
	if (target->fd < 0 || s.overflow)
		return;
	iov = (struct iovec){ .iov_base = s.p, .iov_len = s.len };
	n = logtarget_writev(target, &iov, 1);
	/* A full disk took a part: the next line must not be glued to it. */
	if (n > 0)
		output->is_torn = (size_t)n < s.len && s.p[n - 1] != '\n';
}
