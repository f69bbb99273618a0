/* SPDX-License-Identifier: BSD-2-Clause */
/* What a next hop is asked, and which of its answers is a yes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"
#include "os/addr.h"
#include "upstream/via.h"

static const struct {
	const char *to;
	const char *want;
} requests[] = {
	{ "192.0.2.1:443",
	  "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n" },
	{ "[::1]:123", "CONNECT [::1]:123 HTTP/1.1\r\nHost: [::1]:123\r\n\r\n" },
};

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		const struct via_conf conf = { .address = NULL };
		struct addr_spec to;
		struct error err;
		char memory[256];
		struct str out;

		assert_int_equal(addr_parse(span_cstr(requests[i].to), 0, &to,
		    &err), 0);
		str_init(&out, memory, sizeof(memory));
		via_put_request(&conf, &to.addr, &out);
		assert_string_equal(str_terminate(&out), requests[i].want);
	}
}

#define YES "HTTP/1.1 200 OK\r\n"
#define WAIT "HTTP/1.1 102 Processing\r\n\r\n"
#define WAIT4 WAIT WAIT WAIT WAIT

static const struct {
	const char *name, *input;
	enum via_result want;
	const char *why;
} answers[] = {
	{ "yes", YES "\r\n", VIA_OPEN, "" },
	{ "old", "HTTP/1.0 200 Connection established\r\nX: y\r\n\r\n",
	  VIA_OPEN, "" },
	{ "another 2xx", "HTTP/1.1 204 No\r\n\r\n", VIA_OPEN, "" },
	{ "length 0", YES "Content-Length: 0\r\n\r\n", VIA_OPEN, "" },
	{ "interim", WAIT YES "\r\n", VIA_OPEN, "" },
	{ "16 of them", WAIT4 WAIT4 WAIT4 WAIT4 YES "\r\n", VIA_OPEN, "" },
	{ "17 of them", WAIT4 WAIT4 WAIT4 WAIT4 WAIT, VIA_REFUSED,
	  "too many interim answers" },
	{ "a part", YES "X: y\r\n", VIA_MORE, "" },
	{ "interim alone", WAIT, VIA_MORE, "" },
	{ "no", "HTTP/1.1 403 No\r\n\r\n", VIA_REFUSED,
	  "it answered 403 Forbidden" },
	{ "elsewhere", "HTTP/1.1 302 x\r\nLocation: /\r\n\r\n", VIA_REFUSED,
	  "it answered 302 Found" },
	{ "chunks", YES "Transfer-Encoding: chunked\r\n\r\n", VIA_REFUSED,
	  "it answered 200 with a body" },
	{ "length 1", YES "Content-Length: 1\r\n\r\n", VIA_REFUSED,
	  "it answered 200 with a body" },
	{ "two lengths", YES "Content-Length: 0\r\nContent-Length: 1\r\n\r\n",
	  VIA_REFUSED,
	  "its answer is no HTTP: repeated Content-Length" },
	{ "101", "HTTP/1.1 101 x\r\n\r\n", VIA_REFUSED,
	  "its answer is no HTTP: 101 that nobody asked for" },
	{ "garbage", "220 smtp.test\r\n", VIA_REFUSED,
	  "its answer is no HTTP: invalid status line" },
};

static enum via_result
feed(struct via_answer *a, const char *input, size_t step, struct str *why)
{
	enum via_result result = VIA_MORE;
	size_t len = strlen(input);

	for (size_t at = 0; at < len && result == VIA_MORE; at += step) {
		size_t n = len - at < step ? len - at : step;

		memcpy(a->bytes + a->len, input + at, n);
		a->len += n;
		result = via_answer_parse(a, why);
	}
	return result;
}

/* Whole and byte by byte. */
static void
test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(answers) / sizeof(*answers); i++) {
		struct via_answer *a = via_answer_new();
		size_t step = i % 2 == 0 ? SIZE_MAX / 2 : 1;
		char memory[256];
		struct str why;

		str_init(&why, memory, sizeof(memory));
		print_message("%s\n", answers[i / 2].name);
		assert_int_equal(feed(a, answers[i / 2].input, step, &why),
		    answers[i / 2].want);
		assert_string_equal(str_terminate(&why), answers[i / 2].why);
		free(a);
	}
}

/* In one piece there may be too much: what comes later is not seen here. */
static void
test_bytes_behind(void **state)
{
	struct via_answer *a = via_answer_new();
	char memory[256];
	struct str why;

	(void)state;
	str_init(&why, memory, sizeof(memory));
	assert_int_equal(feed(a, YES "\r\nhi", SIZE_MAX / 2, &why),
	    VIA_REFUSED);
	assert_string_equal(str_terminate(&why), "2 bytes follow its answer");
	free(a);
}

static void
test_too_long(void **state)
{
	struct via_answer *a = via_answer_new();
	char memory[256];
	struct str why;

	(void)state;
	str_init(&why, memory, sizeof(memory));
	assert_int_equal(feed(a, YES "X: ", 64, &why), VIA_MORE);
	while (a->len < VIA_HEAD_MAX)
		a->bytes[a->len++] = 'x';
	assert_int_equal(via_answer_parse(a, &why), VIA_REFUSED);
	assert_string_equal(str_terminate(&why),
	    "its answer is no HTTP: header block too large");
	free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_bytes_behind),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
