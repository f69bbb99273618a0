/* SPDX-License-Identifier: BSD-2-Clause */
/* runfolder - made when something in it is needed. */
#include "master/runfolder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char own_folder[] = WEIR_RUNSTATEDIR "/weir";

int
runfolder_make(const char *path)
{
	size_t len = sizeof(own_folder) - 1;

	if (strncmp(path, own_folder, len) != 0 || path[len] != '/' ||
	    strchr(path + len + 1, '/') != NULL)
		return 0;
	return mkdir(own_folder, 0755) == 0 || errno == EEXIST ? 0 : -1;
}
