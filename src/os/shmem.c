/* SPDX-License-Identifier: BSD-2-Clause */
/* shmem - sealed memfds with a header that says what lies in them. */
#include "os/shmem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/* What both versions of weir agree on, whatever lies behind. */
struct head {
	char magic[8];
	uint32_t head_bytes;
	uint32_t version;
	uint64_t data_bytes;
	char name[SHMEM_NAME_MAX];
};

enum { HEAD_BYTES = 128 }; /* a multiple of 64 that holds the head */

_Static_assert(sizeof(struct head) <= HEAD_BYTES, "the head has grown");

static const char magic[8] = { 'w', 'e', 'i', 'r', 's', 'h', 'm', '1' };
static const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

static int
set_size(struct shmem *m, size_t data_bytes, struct error *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (data_bytes > SIZE_MAX / 2 - HEAD_BYTES - page)
		return error_set(err, "shared memory \"%s\": %zu bytes are "
		    "more than can be mapped", m->name, data_bytes);
	m->data_bytes = data_bytes;
	m->size = (HEAD_BYTES + data_bytes + page - 1) & ~(page - 1);
	return 0;
}

static int
set_name(struct shmem *m, const char *name, uint32_t version,
    struct error *err)
{
	*m = (struct shmem){ .fd = -1, .version = version };
	if (strlen(name) >= sizeof(m->name))
		return error_set(err, "shared memory \"%s\": the name is too "
		    "long", name);
	strcpy(m->name, name);
	return 0;
}

static int
map(struct shmem *m, struct error *err)
{
	void *p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    m->fd, 0);

	if (p == MAP_FAILED)
		return error_set_errno(err, errno, "mapping %zu bytes of "
		    "shared memory \"%s\"", m->size, m->name);
	m->data = (char *)p + HEAD_BYTES;
	return 0;
}

static struct head *
head_of(const struct shmem *m)
{
	return (struct head *)(void *)((char *)m->data - HEAD_BYTES);
}

int
shmem_create(struct shmem *m, const char *name, uint32_t version,
    size_t data_bytes, struct error *err)
{
	struct head *head;

	if (set_name(m, name, version, err) != 0 ||
	    set_size(m, data_bytes, err) != 0)
		return -1;
	m->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->fd < 0 || ftruncate(m->fd, (off_t)m->size) != 0 ||
	    fcntl(m->fd, F_ADD_SEALS, seals) != 0) {
		error_set_errno(err, errno, "making %zu bytes of shared "
		    "memory \"%s\"", m->size, name);
		goto fail;
	}
	if (map(m, err) != 0)
		goto fail;
	head = head_of(m);
	memcpy(head->magic, magic, sizeof(magic));
	head->head_bytes = HEAD_BYTES;
	head->version = version;
	head->data_bytes = data_bytes;
	strcpy(head->name, name);
	return 0;
fail:
	shmem_close(m);
	return -1;
}

/* The file behind the descriptor, before it is mapped. */
static int
check_file(const struct shmem *m, struct error *err)
{
	struct stat st;
	int has = fcntl(m->fd, F_GET_SEALS);

	if (has < 0 || (has & seals) != seals)
		return error_set(err, "shared memory \"%s\": what was handed "
		    "over is not sealed", m->name);
	if (fstat(m->fd, &st) != 0 || st.st_size < 0 ||
	    (size_t)st.st_size != m->size)
		return error_set(err, "shared memory \"%s\": what was handed "
		    "over has not the size of %zu bytes", m->name, m->size);
	return 0;
}

static int
check_head(const struct shmem *m, struct error *err)
{
	const struct head *head = head_of(m);

	if (memcmp(head->magic, magic, sizeof(magic)) != 0 ||
	    head->head_bytes != HEAD_BYTES)
		return error_set(err, "shared memory \"%s\": what was handed "
		    "over is something else", m->name);
	if (strncmp(head->name, m->name, sizeof(head->name)) != 0)
		return error_set(err, "shared memory \"%s\": what was handed "
		    "over is \"%.*s\"", m->name, (int)sizeof(head->name),
		    head->name);
	if (head->version != m->version)
		return error_set(err, "shared memory \"%s\": layout version "
		    "%u was handed over, version %u is known", m->name,
		    head->version, m->version);
	if (head->data_bytes != m->data_bytes)
		return error_set(err, "shared memory \"%s\": %zu bytes were "
		    "expected, %llu handed over", m->name, m->data_bytes,
		    (unsigned long long)head->data_bytes);
	return 0;
}

int
shmem_adopt(struct shmem *m, int fd, const char *name, uint32_t version,
    size_t data_bytes, struct error *err)
{
	if (set_name(m, name, version, err) != 0) {
		close(fd);
		return -1;
	}
	m->fd = fd;
	if (set_size(m, data_bytes, err) != 0 || check_file(m, err) != 0 ||
	    map(m, err) != 0 || check_head(m, err) != 0) {
		shmem_close(m);
		return -1;
	}
	return 0;
}

void
shmem_close(struct shmem *m)
{
	if (m->data != NULL)
		munmap((char *)m->data - HEAD_BYTES, m->size);
	if (m->fd >= 0)
		close(m->fd);
	m->data = NULL;
	m->fd = -1;
}
