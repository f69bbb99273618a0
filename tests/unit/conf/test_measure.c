/* SPDX-License-Identifier: BSD-2-Clause */
/* Durations and sizes: texts to numbers and back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "conf/measure.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

/* error: a part of the message; NULL = it is right. */
struct row {
	const char *text;
	uint64_t value;
	const char *error;
};

static void
check(const struct row *row,
    int (*read)(struct span text, uint64_t *value, struct error *err))
{
	struct error err = { "" };
	uint64_t value = 0;
	int result = read(span_cstr(row->text), &value, &err);

	if (row->error == NULL) {
		if (result != 0)
			fail_msg("%s: %s", row->text, err.text);
		assert_int_equal(value, row->value);
	} else {
		assert_int_equal(result, -1);
		if (strstr(err.text, row->error) == NULL)
			fail_msg("%s: %s", row->text, err.text);
	}
}

static void
test_durations(void **state)
{
	static const struct row rows[] = {
		{ "500ms", 500, NULL },
		{ "30s", 30000, NULL },
		{ "5m", 300000, NULL },
		{ "1h", 3600000, NULL },
		{ "1d", 86400000, NULL },
		{ "0", 0, NULL },
		{ "0s", 0, NULL },
		{ "00", 0, NULL },
		{ "", 0, "is no duration" },
		{ "s", 0, "is no duration" },
		{ "-1s", 0, "is no duration" },
		{ "+1s", 0, "is no duration" },
		{ " 1s", 0, "is no duration" },
		{ "30", 0, "has no unit" },
		{ "30 s", 0, "unknown unit \" s\"" },
		{ "30S", 0, "unknown unit \"S\"" },
		{ "30sec", 0, "unknown unit \"sec\"" },
		{ "1h30m", 0, "unknown unit" },
		{ "1.5s", 0, "fraction" },
		{ "64KB", 0, "unknown unit \"KB\" (known: ms, s, m, h, d)" },
		{ "18446744073709551616ms", 0, "too large" },
		{ "18446744073709551615s", 0, "too large" },
		{ "99999999999999999d", 0, "too large" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i], measure_duration);
}

static void
test_sizes(void **state)
{
	static const struct row rows[] = {
		{ "17B", 17, NULL },
		{ "64KB", 65536, NULL },
		{ "1MB", 1048576, NULL },
		{ "1GB", 1073741824, NULL },
		{ "2TB", UINT64_C(2199023255552), NULL },
		{ "0", 0, NULL },
		{ "64", 0, "has no unit" },
		{ "64K", 0, "unknown unit \"K\"" },
		{ "64kb", 0, "unknown unit \"kb\"" },
		{ "1.5MB", 0, "fraction" },
		{ "5m", 0, "unknown unit \"m\" (known: B, KB, MB, GB, TB)" },
		{ "16777216TB", 0, "too large" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		check(&rows[i], measure_size);
}

static void
test_written_shortest(void **state)
{
	static const struct {
		uint64_t ms;
		const char *duration, *size;
	} rows[] = {
		{ 0, "0", "0" },
		{ 1, "1ms", "1B" },
		{ 999, "999ms", "999B" },
		{ 1000, "1s", "1000B" },
		{ 1024, "1024ms", "1KB" },
		{ 60000, "1m", "60000B" },
		{ 5400000, "90m", "5400000B" },
		{ 172800000, "2d", "168750KB" },
		{ 65536, "65536ms", "64KB" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char memory[32];
		struct str text;

		str_init(&text, memory, sizeof(memory));
		measure_put_duration(&text, rows[i].ms);
		assert_string_equal(str_terminate(&text), rows[i].duration);
		str_init(&text, memory, sizeof(memory));
		measure_put_size(&text, rows[i].ms);
		assert_string_equal(str_terminate(&text), rows[i].size);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_written_shortest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
