/* SPDX-License-Identifier: BSD-2-Clause */
/* slurp - reads until the end, so that pipes work as well as files. */
#include "conf/slurp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap_alloc.h"

/* -1 with errno; *bytes grows as needed and is the caller's either way. */
static int
read_all(int fd, size_t max, char **bytes, size_t *len)
{
	size_t room = 0;

	for (;;) {
		ssize_t n;

		if (room - *len < 2) {
			room = room > 0 ? room * 2 : 16384;
			*bytes = heap_alloc_grow(*bytes, room, 1);
		}
		n = read(fd, *bytes + *len, room - *len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		(*bytes)[*len + (size_t)n] = '\0';
		if (n == 0)
			return 0;
		*len += (size_t)n;
		if (*len > max) {
			errno = EFBIG;
			return -1;
		}
	}
}

int
slurp_fd(int fd, size_t max, char **bytes, size_t *len)
{
	int result, saved;

	*bytes = NULL;
	*len = 0;
	result = read_all(fd, max, bytes, len);
	saved = errno;
	if (result != 0) {
		free(*bytes);
		*bytes = NULL;
		*len = 0;
	}
	errno = saved;
	return result;
}

int
slurp_file(const char *path, size_t max, char **bytes, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), result, saved;

	*bytes = NULL;
	*len = 0;
	if (fd < 0)
		return -1;
	result = slurp_fd(fd, max, bytes, len);
	saved = errno;
	close(fd);
	errno = saved;
	return result;
}

const char *
slurp_reason(int errno_value)
{
	return errno_value == EFBIG ? "it is too large" :
	    strerror(errno_value);
}
