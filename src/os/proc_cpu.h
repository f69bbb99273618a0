/* SPDX-License-Identifier: BSD-2-Clause */
/* proc_cpu - how many CPUs this process may use. */
#ifndef OS_PROC_CPU_H
#define OS_PROC_CPU_H

/*
 * CPUs by affinity, or what the quota of the control groups (version 1 or 2)
 * is worth, rounded up, where that is less; at least 1.
 */
unsigned proc_cpu_count(void);
/*
 * The quota alone, 0 = none.  root: what stands before /proc and /sys, "" but
 * in tests.
 */
unsigned proc_cpu_quota(const char *root);

#endif
