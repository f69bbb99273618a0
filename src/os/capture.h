/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture - what a command prints, run by the shell, for a limited time.
 *
 * Blocks its caller: for what happens at load only.  The command is a session
 * of its own, without terminal, input or descriptors of ours, with signals as
 * they are by default; when its time is up, it is killed with all that it has
 * started in its group.
 */
#ifndef OS_CAPTURE_H
#define OS_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

struct error;

/*
 * The first size - 1 bytes of its output, terminated; more is read and dropped.
 * -1 and err, with what it printed wiped: it ended otherwise than with status
 * 0, or not within timeout_ms, or could not be run.
 */
int capture_run(const char *command, uint64_t timeout_ms, char *out,
    size_t size, struct error *err) __attribute__((warn_unused_result));

#endif
