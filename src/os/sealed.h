/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sealed - bytes that one process hands to another as a descriptor, and that
 * nobody can change any more: memfds with all seals.
 */
#ifndef OS_SEALED_H
#define OS_SEALED_H

#include <stddef.h>

#include "base/span.h"

struct error;

/* A descriptor with these bytes, close-on-exec; -1 and err. */
int sealed_new(const char *name, struct span bytes, struct error *err);
/*
 * Whether fd, which may come from anybody, is sealed and has at most max bytes:
 * -1 and err if not.
 */
int sealed_check(int fd, size_t max, struct error *err);
/*
 * The same, and its bytes for reading until sealed_unmap(); fd stays the
 * caller's and may be closed before.  -1 and err on failure.
 */
int sealed_map(int fd, size_t max, struct span *bytes, struct error *err)
    __attribute__((warn_unused_result));
void sealed_unmap(struct span bytes);

#endif
