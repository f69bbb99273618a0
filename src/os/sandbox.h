/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox - what a process gives up before it reads a byte from the network.
 */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

struct error;
struct proc_account;

/*
 * For good: become account (NULL = stay who we are, for one who is not root),
 * gain no rights by executing anything, leave no core dump.  -1 and err on
 * failure; the process must then end.
 */
int sandbox_enter(const struct proc_account *account, struct error *err)
    __attribute__((warn_unused_result));

#endif
