/* SPDX-License-Identifier: BSD-2-Clause */
/* tell - weir -s: a signal to the instance of a configuration. */
#ifndef MASTER_TELL_H
#define MASTER_TELL_H

/* The signal for "reload" and the like; 0 if there is no such word. */
int tell_signal(const char *word);
/*
 * Of the configuration only pid_file is looked at, so that an instance can be
 * told something also when the file has become wrong.  The process gets the
 * signal only while it holds the lock on its pid file.  Prints what goes wrong.
 * Returns the exit status: 0 sent, 1 nobody there, 2 no such configuration.
 */
int tell_instance(const char *conf_path, int number);

#endif
