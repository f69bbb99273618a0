/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * startdir - relative paths of a configuration begin where weir was started,
 * also once it has gone to its working_directory; those of the pid file and of
 * sockets begin there.
 */
#ifndef MASTER_STARTDIR_H
#define MASTER_STARTDIR_H

/*
 * Go to the directory that start_fd is open for; -1 = stay.  Returns what
 * startdir_leave() goes back to.
 */
int startdir_enter(int start_fd);
void startdir_leave(int here_fd);

#endif
