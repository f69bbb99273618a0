/* SPDX-License-Identifier: BSD-2-Clause */
/* confine - the sandbox that a configuration asks for. */
#ifndef SITE_CONFINE_H
#define SITE_CONFINE_H

#include <stdbool.h>

struct error;
struct proc_account;
struct process_boot;
struct settings;
struct str;

/*
 * First thing in a worker or the background process: see sandbox_enter().  The
 * background process, which resolves names, is not in the chroot.
 */
int confine_enter(const struct process_boot *boot, bool is_background,
    struct error *err) __attribute__((warn_unused_result));

/* What confine_enter() does to a worker here, in words. */
void confine_describe(const struct settings *settings,
    const struct proc_account *account, struct str *out);

#endif
