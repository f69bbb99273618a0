/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of WebSocket and their answers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/websocket.h"

static void
test_accept(void **state)
{
	static const struct {
		const char *key, *want;
	} rows[] = {
		/* RFC 6455, section 1.3. */
		{ "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" },
		{ "", "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=" },
	};
	char accept[WEBSOCKET_ACCEPT_BYTES + 1];
	char longest[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		websocket_accept(span_cstr(rows[i].key), accept);
		assert_string_equal(accept, rows[i].want);
	}
	/* What is no key is none. */
	memset(longest, 'a', sizeof(longest));
	websocket_accept(span_of(longest, sizeof(longest)), accept);
	assert_string_equal(accept, rows[1].want);
}

static void
test_key(void **state)
{
	char one[WEBSOCKET_KEY_BYTES + 1], other[WEBSOCKET_KEY_BYTES + 1];

	(void)state;
	websocket_key(one);
	websocket_key(other);
	assert_int_equal(strlen(one), WEBSOCKET_KEY_BYTES);
	assert_string_equal(one + WEBSOCKET_KEY_BYTES - 2, "==");
	assert_string_not_equal(one, other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
