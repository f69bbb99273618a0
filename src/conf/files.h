/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * files - files that the configuration names and that may change while it
 * serves: lists of addresses, keys, trust.
 *
 * Only the master reads them: at load, and again when their stat says that they
 * are others and have rested between two looks.  At load the owner's functions
 * run in the master, as all of the configuration's do.  Later the master looks
 * at no content: it gives the new one, as a sealed memfd, to the background
 * process, where those functions run and say yes or no (a crash there harms
 * nobody); on yes to the workers, and to every process forked after that.  On
 * no, all keep what they have, and one line of the log says why.
 *
 *	look -> ask -> answered(yes) -> content   (master)
 *	         \-> take(check) / \-> take       (background / workers)
 */
#ifndef CONF_FILES_H
#define CONF_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct conf_report;
struct error;
struct files;

/*
 * The content is used from now on, or, with -1 and err ("line 3: not a ..."),
 * not at all: then what was before stays untouched.  Called in the master at
 * load, in every other process from its loop, never while a handler runs, so
 * that what a handler holds only until it returns may go.  content is borrowed
 * for the call.
 */
typedef int files_receive_fn(void *arg, struct span content,
    struct error *err);
/*
 * Make of the file's content what is handed to all processes instead: work that
 * would stall a worker, done once.  In the master at load, later in the
 * background process.  *bytes is heap (free()).
 */
typedef int files_prepare_fn(void *arg, struct span content, char **bytes,
    size_t *len, struct error *err);

/* How files looked: a change of any shows. */
struct files_stamp {
	struct {
		int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
		uint64_t bytes, inode;
	} files[2];
};

enum { FILES_BYTES_MAX = 1048576 }; /* where files_spec says nothing */

struct files_spec {
	/* For the log: "access rule 2"; copied. */
	const char *what;
	/*
	 * Counts from the current folder.  NULL: there is no file, contents
	 * come from the background process (files_feed()).
	 */
	const char *path;
	/* A second file, whose text comes behind the first's; or NULL. */
	const char *more;
	size_t bytes_max;          /* of each; 0: FILES_BYTES_MAX */
	files_receive_fn *receive;
	files_prepare_fn *prepare; /* NULL: receive gets the file */
	void *arg;
	/*
	 * Not NULL: the owner has read it already, when it looked so
	 * (files_stamp(), before reading it).
	 */
	const struct files_stamp *read_at;
};

/*
 * report gets warnings until files_loaded().  is_test: what this user may not
 * read is one of them.
 */
struct files *files_new(bool is_test, struct conf_report *report);
void files_free(struct files *f);
void files_loaded(struct files *f);

/*
 * At load: read the file, give it to its receiver, and watch it from now on.
 * f NULL: do not watch.  1: it could not be read, which in a test is no error,
 * and nothing was received; -1 and err: not readable, or refused.
 */
int files_add(struct files *f, const struct files_spec *spec,
    struct error *err) __attribute__((warn_unused_result));
/* Only regular files have one; of all others it is zero, and never changes. */
void files_stamp(const struct files_spec *spec, struct files_stamp *out);
size_t files_count(const struct files *f);
/* "access rule 2: /etc/weir/list.txt" */
const char *files_name(const struct files *f, size_t i);
/* The number of the file that has this arg, for files_feed(); -1: none. */
int files_number(const struct files *f, const void *arg);

/* ---- in the master ---- */

enum files_next {
	FILES_REST, /* nothing to do */
	FILES_FAILED, /* it has changed, but cannot be used */
	FILES_ASK,  /* send *fd to the background process, to be checked */
};

/* What is to be done about file i now; *fd is borrowed.  Logs. */
enum files_next files_look(struct files *f, size_t i, uint64_t now_ms,
    uint32_t *version, int *fd);
/* It could not be asked: look again at the next look. */
void files_not_sent(struct files *f, size_t i);
/* It was asked, and had no descriptor for it: again after a while. */
void files_not_received(struct files *f, size_t i, uint32_t version,
    uint64_t now_ms);
/* What serves: 0 is what was read at load, then *fd is -1; borrowed. */
uint32_t files_content(const struct files *f, size_t i, int *fd);
/*
 * The background process has answered; why is its reason for a no.  fd, taken,
 * is what it has prepared; or -1.  1: it serves from now on; 0: an old answer;
 * -1: a no.  Logs.
 */
int files_answered(struct files *f, size_t i, uint32_t version, bool is_yes,
    struct span why, int fd);
/*
 * The background process has found new content for a file without path.  Takes
 * fd.  True: it serves from now on.
 */
bool files_fed(struct files *f, size_t i, int fd);
/* What was fed to former under the same name is there from the start. */
void files_inherit(struct files *f, const struct files *former);

/* ---- in the other processes ---- */

/*
 * Use the content in fd, which stays the caller's; -1 and err.  is_check: it is
 * the file's, and *out becomes what was prepared of it, or -1; else it is what
 * was prepared.  A version that it has already is taken as it is.
 */
int files_take(struct files *f, size_t i, uint32_t version, int fd,
    bool is_check, int *out, struct error *err)
    __attribute__((warn_unused_result));
/*
 * In a new process: what has changed since the configuration was loaded.  fn
 * hears of each file of which this process could not take the newest; or NULL.
 */
typedef void files_refused_fn(void *arg, size_t i, uint32_t version,
    const char *why);
void files_catch_up(struct files *f, files_refused_fn *fn, void *arg);

#endif
