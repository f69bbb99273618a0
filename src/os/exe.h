/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exe - the program file that a process runs, and whether the one on disk is
 * still the same.
 */
#ifndef OS_EXE_H
#define OS_EXE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

struct exe {
	char path[PATH_MAX]; /* as it was at the start; "" = unknown */
	struct stat st;      /* of the file that runs */
};

/* Early: once the file was replaced, its path cannot be told any more. */
void exe_note(struct exe *e);
/* True if there is a file at path that differs from the one that runs. */
bool exe_has_changed(const struct exe *e);

#endif
