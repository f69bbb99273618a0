/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemonize - leaving the terminal, with a parent that waits to hear how the
 * start went.
 *
 * Until then the daemon keeps a copy of the caller's stderr for what goes
 * wrong; its own stdin, stdout and stderr are /dev/null, but where they are a
 * file or the journal they stay.
 */
#ifndef MASTER_DAEMONIZE_H
#define MASTER_DAEMONIZE_H

#include <stdbool.h>
#include <stdint.h>

struct error;

struct daemonize {
	int status_fd; /* to the parent; -1 = in the foreground, or told */
	int stderr_fd; /* where failures of the start are printed */
	bool is_mute;  /* its own stderr is /dev/null */
};

/* As for a start in the foreground. */
void daemonize_init(struct daemonize *d);
/*
 * Returns 0 in the daemon, and 1 in the caller once the daemon has told its
 * status, which is then in *exit_status; it waits at most timeout_ms and then
 * ends the daemon.  -1 and err on failure.
 */
int daemonize_start(struct daemonize *d, uint64_t timeout_ms,
    int *exit_status, struct error *err);
/* Why the start fails, to whoever waits for it. */
void daemonize_print(const struct daemonize *d, const char *text);
/* The start is over: the caller may return with exit_status. */
void daemonize_tell(struct daemonize *d, int exit_status);
/* In a forked process. */
void daemonize_forget(struct daemonize *d);

#endif
