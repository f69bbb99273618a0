/* SPDX-License-Identifier: BSD-2-Clause */
/* runfolder - weir's own folder for pid file and sockets. */
#ifndef MASTER_RUNFOLDER_H
#define MASTER_RUNFOLDER_H

/*
 * Make the folder of path where it is weir's own (RUNSTATEDIR/weir), which may
 * be gone after each boot; any other is the admin's.  -1 with errno when it
 * could not be made.
 */
int runfolder_make(const char *path);

#endif
