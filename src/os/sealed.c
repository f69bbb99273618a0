/* SPDX-License-Identifier: BSD-2-Clause */
/* sealed - making, checking and mapping of sealed memfds. */
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
    F_SEAL_WRITE;

static int
write_all(int fd, struct span bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes.p += n;
		bytes.len -= (size_t)n;
	}
	return 0;
}

int
sealed_new(const char *name, struct span bytes, struct error *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int saved;

	if (fd < 0)
		return error_set_errno(err, errno, "making shared memory");
	if (write_all(fd, bytes) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0)
		return fd;
	saved = errno;
	close(fd);
	return error_set_errno(err, saved, "filling shared memory");
}

/* Its size, or -1 and err. */
static off_t
check(int fd, size_t max, struct error *err)
{
	int has = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (has < 0 || (has & seals) != seals)
		return error_set(err, "it is not sealed");
	if (fstat(fd, &st) != 0)
		return error_set_errno(err, errno, "looking at it");
	if (st.st_size < 0 || (uintmax_t)st.st_size > max)
		return error_set(err, "it is too large");
	return st.st_size;
}

int
sealed_check(int fd, size_t max, struct error *err)
{
	return check(fd, max, err) < 0 ? -1 : 0;
}

int
sealed_map(int fd, size_t max, struct span *bytes, struct error *err)
{
	off_t size = check(fd, max, err);
	void *p;

	if (size < 0)
		return -1;
	/* Nothing cannot be mapped. */
	*bytes = span_of("", 0);
	if (size == 0)
		return 0;
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return error_set_errno(err, errno, "mapping it");
	*bytes = span_of(p, (size_t)size);
	return 0;
}

void
sealed_unmap(struct span bytes)
{
	union { const char *in; void *out; } p = { .in = bytes.p };

	if (bytes.len > 0)
		munmap(p.out, bytes.len);
}
