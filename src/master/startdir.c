/* SPDX-License-Identifier: BSD-2-Clause */
/* startdir - there and back. */
#include "master/startdir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

int
startdir_enter(int start_fd)
{
	int here_fd;

	if (start_fd < 0)
		return -1;
	here_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here_fd < 0)
		/* There would be no way back. */
		log_warn(NULL, "staying in the working directory: %s",
		    strerror(errno));
	else if (fchdir(start_fd) != 0)
		log_warn(NULL, "going to the directory of the start: %s",
		    strerror(errno));
	return here_fd;
}

void
startdir_leave(int here_fd)
{
	if (here_fd < 0)
		return;
	if (fchdir(here_fd) != 0)
		log_warn(NULL, "going back to the directory: %s",
		    strerror(errno));
	close(here_fd);
}
