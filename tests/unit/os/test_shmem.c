/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared memory: made, shared over a fork, handed over, refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/shmem.h"

static void
test_create(void **state)
{
	struct shmem m;
	struct error err;
	unsigned char *p;
	pid_t pid;

	(void)state;
	assert_int_equal(shmem_create(&m, "counters", 3, 10000, &err), 0);
	assert_int_equal((uintptr_t)m.data % 64, 0);
	assert_int_equal(m.data_bytes, 10000);
	assert_int_equal(m.size % (size_t)sysconf(_SC_PAGESIZE), 0);
	p = m.data;
	for (size_t i = 0; i < m.data_bytes; i++)
		assert_int_equal(p[i], 0);
	/* A child's last byte is seen here. */
	pid = fork();
	if (pid == 0) {
		p[9999] = 42;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(p[9999], 42);
	assert_int_equal(ftruncate(m.fd, 4096), -1);
	shmem_close(&m);
	shmem_close(&m);
}

static void
test_adopt(void **state)
{
	struct shmem m, again;
	struct error err;

	(void)state;
	assert_int_equal(shmem_create(&m, "counters", 3, 100, &err), 0);
	strcpy(m.data, "warm");
	assert_int_equal(shmem_adopt(&again, dup(m.fd), "counters", 3, 100,
	    &err), 0);
	assert_string_equal(again.data, "warm");
	shmem_close(&again);
	shmem_close(&m);
}

static void
test_adopt_refused(void **state)
{
	static const struct {
		const char *name;
		uint32_t version;
		size_t data_bytes;
		const char *error;
	} rows[] = {
		{ "other", 3, 100, "is \"counters\"" },
		{ "counters", 4, 100, "version 3 was handed over" },
		{ "counters", 3, 101, "101 bytes were expected" },
		{ "counters", 3, 100000, "size" },
		{ "a-name-that-is-longer-than-any-name-is-allowed-to-be", 3,
		    100, "too long" },
	};
	struct shmem m, again;
	struct error err;
	int fd;

	(void)state;
	assert_int_equal(shmem_create(&m, "counters", 3, 100, &err), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		fd = dup(m.fd);
		assert_int_equal(shmem_adopt(&again, fd, rows[i].name,
		    rows[i].version, rows[i].data_bytes, &err), -1);
		if (strstr(err.text, rows[i].error) == NULL)
			fail_msg("%s", err.text);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	}

	/* Not sealed: its owner could cut it under us. */
	fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (off_t)m.size), 0);
	assert_int_equal(shmem_adopt(&again, fd, "counters", 3, 100, &err),
	    -1);
	assert_non_null(strstr(err.text, "not sealed"));

	/* Sealed and of the right size, but not ours. */
	fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (off_t)m.size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS,
	    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	assert_int_equal(shmem_adopt(&again, fd, "counters", 3, 100, &err),
	    -1);
	assert_non_null(strstr(err.text, "something else"));
	shmem_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_adopt_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
