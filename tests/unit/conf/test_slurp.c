/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole files: of any size up to a limit, and what cannot be read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/slurp.h"

static void
test_sizes(void **state)
{
	static const size_t sizes[] = { 0, 1, 16382, 16383, 16384, 100000 };
	char path[] = "/tmp/weir-slurp-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *bytes;
		size_t len;

		assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
		assert_int_equal(slurp_file(path, sizes[i], &bytes, &len), 0);
		assert_int_equal(len, sizes[i]);
		assert_int_equal(bytes[len], '\0');
		free(bytes);
		if (sizes[i] == 0)
			continue;
		assert_int_equal(slurp_file(path, sizes[i] - 1, &bytes,
		    &len), -1);
		assert_int_equal(errno, EFBIG);
		assert_null(bytes);
	}
	assert_string_equal(slurp_reason(EFBIG), "it is too large");
	close(fd);
	unlink(path);
}

static void
test_what_cannot_be_read(void **state)
{
	char *bytes;
	size_t len;

	(void)state;
	assert_int_equal(slurp_file("/nonexistent/file", 10, &bytes, &len),
	    -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(slurp_file("/", 10, &bytes, &len), -1);
	assert_int_equal(errno, EISDIR);
	assert_string_equal(slurp_reason(EISDIR), strerror(EISDIR));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_what_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
