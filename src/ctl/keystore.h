/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keystore - changing a file of API keys, so that nobody ever sees half of it.
 *
 * The file is locked from opening to closing, the lock being the kernel's on
 * the file itself.  What replaces it is written beside it, brought to the disk,
 * given its owner and mode, and renamed.
 */
#ifndef CTL_KEYSTORE_H
#define CTL_KEYSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/span.h"

struct error;

struct keystore {
	char *path;  /* behind symbolic links */
	int fd;      /* locked; -1 = only read */
	struct stat info;
	char *text;  /* what it has, with a NUL behind it */
	size_t len;
};

/*
 * For a change: locked; may_create: made empty where there is none.  -1 and
 * err on failure, also if the file has a line that is wrong.
 */
int keystore_open(struct keystore *k, const char *path, bool may_create,
    struct error *err) __attribute__((warn_unused_result));
/* To read: not locked. */
int keystore_read(struct keystore *k, const char *path, struct error *err)
    __attribute__((warn_unused_result));
/*
 * Put text in its place; -1 and err: the file is as it was.  That it may not
 * outlive a loss of power is a warning on stderr.
 */
int keystore_replace(struct keystore *k, struct span text,
    struct error *err) __attribute__((warn_unused_result));
void keystore_close(struct keystore *k);

#endif
