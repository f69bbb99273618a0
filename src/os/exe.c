/* SPDX-License-Identifier: BSD-2-Clause */
/* exe - what /proc/self/exe tells. */
#include "os/exe.h"

#include <string.h>
#include <unistd.h>

static const char self[] = "/proc/self/exe";

void
exe_note(struct exe *e)
{
	ssize_t n = readlink(self, e->path, sizeof(e->path) - 1);

	memset(&e->st, 0, sizeof(e->st));
	e->path[n > 0 ? n : 0] = '\0';
	if (stat(self, &e->st) != 0)
		e->path[0] = '\0';
}

bool
exe_has_changed(const struct exe *e)
{
	struct stat st;

	if (e->path[0] == '\0' || stat(e->path, &st) != 0)
		return false;
	return st.st_dev != e->st.st_dev || st.st_ino != e->st.st_ino ||
	    st.st_size != e->st.st_size ||
	    st.st_mtim.tv_sec != e->st.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != e->st.st_mtim.tv_nsec;
}
