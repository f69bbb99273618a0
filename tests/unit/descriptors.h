/* SPDX-License-Identifier: BSD-2-Clause */
/* descriptors - how many are open, to find what was not closed. */
#ifndef TESTS_UNIT_DESCRIPTORS_H
#define TESTS_UNIT_DESCRIPTORS_H

#include <dirent.h>
#include <stddef.h>

/* The same number twice means that none was left. */
static inline size_t
descriptors_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

#endif
