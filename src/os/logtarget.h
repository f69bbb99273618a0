/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logtarget - the outputs that logs are written to, by number.
 *
 * Numbers mean the same to all processes and generations: one is another
 * output's only when nobody lives who knew it before.  The master opens files,
 * as root; others inherit the descriptors.  No write blocks: pipes and
 * terminals get an open file description of their own with O_NONBLOCK where
 * that is possible, so that the one that weir was given stays as it is.
 */
#ifndef OS_LOGTARGET_H
#define OS_LOGTARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/span.h"

struct error;

enum {
	LOGTARGET_MAX = 1024,
	/*
	 * The most to give to one write, unless it is a regular file: pipes
	 * take this much whole or not at all.
	 */
	LOGTARGET_PIECE_MAX = 4096,
};

enum logtarget_kind {
	LOGTARGET_FILE,
	LOGTARGET_STDERR,
	LOGTARGET_STDOUT,
	LOGTARGET_SYSLOG,
};

/* What a descriptor is, for how it is written to. */
enum logtarget_medium {
	LOGTARGET_REGULAR,  /* never blocks */
	LOGTARGET_STREAM,   /* O_NONBLOCK: pipe, terminal, device */
	LOGTARGET_BLOCKING, /* the same without: asks poll() first */
	LOGTARGET_SOCKET,   /* stream or datagram socket, MSG_DONTWAIT */
};

struct logtarget {
	char *path; /* as configured: "stderr", "syslog", a path */
	enum logtarget_kind kind;
	enum logtarget_medium medium;
	int fd;     /* -1 = not open */
	bool journal; /* lines get journald's "<N>" in front */
	uint64_t retry_at_ms; /* syslog: no connect before */
	unsigned uses;        /* 0 = free: without path and descriptor */
	uint64_t released;    /* free since then, by logtargets.epoch */
};

struct logtargets {
	struct logtarget *items;
	size_t count;
	const char *syslog_path; /* "/dev/log" */
	/*
	 * Time as configurations count it: a number that was released at
	 * `epoch` may be another's once the oldest process that lives was
	 * forked later, that is when `oldest` has passed it.
	 */
	uint64_t epoch;
	uint64_t oldest;
};

void logtarget_init(struct logtargets *t);
/* Closes what is open. */
void logtarget_fini(struct logtargets *t);
/*
 * The number of path ("stderr", "stdout", "syslog", a path; NULL = "stderr"),
 * the same for the same path; -1 and err if it cannot be one.  Opens nothing.
 * Each call is to be undone by a release.
 */
int logtarget_add(struct logtargets *t, const char *path, struct error *err)
    __attribute__((warn_unused_result));
/* The number of a path that was added; -1 = it was not. */
int logtarget_number(const struct logtargets *t, const char *path);
/* After the last one the output is closed, and its number is free. */
void logtarget_release(struct logtargets *t, unsigned id);
/* Open all that are not open; -1 and err names the first that failed. */
int logtarget_open_all(struct logtargets *t, struct error *err)
    __attribute__((warn_unused_result));
/*
 * Open id's file anew, by its path (it may have been renamed).  -1 and err =
 * the old one stays.  Outputs that are no files stay as they are: 0.
 */
int logtarget_reopen(struct logtargets *t, unsigned id, struct error *err)
    __attribute__((warn_unused_result));
/* Use fd from here on; takes it, closes the old one. */
void logtarget_replace(struct logtargets *t, unsigned id, int fd);

/*
 * Write whole lines to what is not syslog; returns the bytes taken or -1 with
 * errno, EAGAIN = not now.  At most LOGTARGET_PIECE_MAX bytes unless the target
 * is a regular file.
 */
ssize_t logtarget_writev(struct logtarget *target, const struct iovec *iov,
    int count);
/*
 * Of a readable regular file.  A kill may break a write off at any page, so the
 * writer notes where it will write (low bits of the file's size; -1 = cannot
 * be told), and its successor looks how much of a line stands there: up to
 * line.len, 0 also when something else does; -1 = cannot be told.
 */
int logtarget_place(const struct logtarget *target, uint32_t *place);
ssize_t logtarget_find(const struct logtarget *target, uint32_t place,
    struct span line);
/*
 * One line, with or without its newline, to syslog.  -1 with errno, EAGAIN =
 * not now (also while /dev/log has nobody who reads it).
 */
int logtarget_syslog(struct logtargets *t, unsigned id, enum log_level level,
    struct span line);
/* What journald wants before a line, "<3>"; empty for other outputs. */
struct span logtarget_prefix(const struct logtarget *target,
    enum log_level level);

/* Where the master's error log goes, without a ring. */
struct logtarget_output {
	struct logtargets *targets;
	unsigned target;
	bool is_torn; /* the last line could be written in part only */
};

/* A log_sink_fn; arg is a struct logtarget_output that outlives its use. */
void logtarget_sink(void *arg, enum log_level level, const char *line,
    size_t len);

#endif
