/* SPDX-License-Identifier: BSD-2-Clause */
/* slurp - a whole file into memory, for what the configuration names. */
#ifndef CONF_SLURP_H
#define CONF_SLURP_H

#include <stddef.h>

/*
 * Read all of path; -1 with errno on failure (EFBIG: more than max bytes,
 * EISDIR).  *bytes has a NUL behind its *len; caller frees with free().
 */
int slurp_file(const char *path, size_t max, char **bytes, size_t *len);
/* The same of a descriptor, which stays the caller's, from where it stands. */
int slurp_fd(int fd, size_t max, char **bytes, size_t *len);
/* The text of such an errno, for messages. */
const char *slurp_reason(int errno_value);

#endif
