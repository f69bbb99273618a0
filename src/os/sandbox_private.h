/* SPDX-License-Identifier: BSD-2-Clause */
/* sandbox_private - limits and the two filters of the kernel, for sandbox.c. */
#ifndef OS_SANDBOX_PRIVATE_H
#define OS_SANDBOX_PRIVATE_H

#include "os/sandbox.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SANDBOX_IS_SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANDBOX_IS_SANITIZED 1
#endif
#ifdef WEIR_COVERAGE
#define SANDBOX_IS_SANITIZED 1
#endif
#ifndef SANDBOX_IS_SANITIZED
#define SANDBOX_IS_SANITIZED 0
#endif

/* Limits of resources.  -1 and err on failure. */
int sandbox_limits_set(const struct sandbox *s, struct error *err)
    __attribute__((warn_unused_result));
/* The version of Landlock that the kernel has; 0 = none. */
int sandbox_landlock_version(void);
/* No files but those of s.  -1 and err on failure; needs no_new_privs. */
int sandbox_landlock_enter(const struct sandbox *s, struct error *err)
    __attribute__((warn_unused_result));

/* True if this build knows how to filter and the kernel lets it. */
bool sandbox_seccomp_is_usable(void);
/* Why it is not: "built without libseccomp". */
const char *sandbox_seccomp_lack(void);
/*
 * Filter system calls as level says.  has_files: opening is left to Landlock
 * or to permissions; without it every open is refused.  -1 and err on failure;
 * needs no_new_privs.
 */
int sandbox_seccomp_enter(const struct sandbox *s, enum sandbox_level level,
    bool has_files, struct error *err) __attribute__((warn_unused_result));

#endif
