/* SPDX-License-Identifier: BSD-2-Clause */
/* account - who the workers shall be, by configuration and what there is. */
#ifndef MASTER_ACCOUNT_H
#define MASTER_ACCOUNT_H

struct error;
struct proc_account;
struct settings;

/*
 * Only of use to root.  Where the account that was set at build time is asked
 * for and missing, it is nobody's, with a warning; another one that is missing
 * is an error: -1 and err.
 */
int account_choose(struct proc_account *a, const struct settings *settings,
    struct error *err) __attribute__((warn_unused_result));

#endif
