/* SPDX-License-Identifier: BSD-2-Clause */
/* Module accesslog: formats, conditions, and lines that stay lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/now.h"
#include "loaded.h"
#include "os/logring.h"

extern const struct module mod_accesslog;

enum { LINE_BYTES = 8192 };

static struct loaded loaded;
static struct logring ring;
static struct shmem ring_zone;
static char line[LINE_BYTES + 1];

static int
setup(void **state)
{
	struct error err;

	loaded_init(&loaded);
	if (logring_open_all(&ring_zone, &ring, 1, 1, -1, &err) != 0)
		return -1;
	loaded.proxy.module_worker.log_ring = &ring;
	*state = &loaded;
	now_update();
	return 0;
}

static int
teardown(void **state)
{
	loaded_fini(*state);
	shmem_close(&ring_zone);
	return 0;
}

/* The next line in the ring, in `line`; false if there is none. */
static bool
next_line(unsigned *target)
{
	uint64_t cursor = logring_start(&ring);
	struct logring_line l;

	if (!logring_next(&ring, &cursor, &l))
		return false;
	assert_true(l.bytes.len <= LINE_BYTES);
	memcpy(line, l.bytes.p, l.bytes.len);
	line[l.bytes.len] = '\0';
	/* One line: the newline at its end is the only control. */
	for (size_t i = 0; i < l.bytes.len; i++)
		assert_true((line[i] == '\n') == (i == l.bytes.len - 1));
	assert_int_equal(l.level, LOG_LEVEL_INFO);
	if (target != NULL)
		*target = l.target;
	logring_done(&ring, l.at);
	logring_release(&ring);
	return true;
}

static const void *
conf_of(const char *text)
{
	const void *conf = loaded_conf(&loaded, &mod_accesslog, text);

	if (conf == NULL)
		fail_msg("%s", loaded.errors);
	return conf;
}

static void
run(const void *conf)
{
	assert_int_equal(mod_accesslog.hooks[PHASE_LOG](&loaded.ex, conf),
	    VERDICT_NEXT);
}

/* GET /p?q, answered with 200 after 1.5 s. */
static void
make_exchange(void)
{
	struct exchange *ex = &loaded.ex;

	ex->req.method = SPAN("GET");
	ex->req.target = SPAN("/p?q");
	ex->req.path = SPAN("/p");
	ex->req.host = SPAN("www.test");
	ex->req.method_id = HTTP_METHOD_GET;
	ex->req.minor = 1;
	ex->res.status = 200;
	ex->head_sent = true;
	ex->response_body.sent = 12;
	ex->client_bytes_in = 80;
	ex->client_bytes_out = 170;
	ex->started_us = 1000000;
	ex->ended_us = 2500000;
}

/* Put "TIME" where the time stands. */
static const char *
without_time(void)
{
	char *open = strchr(line, '[');
	char *close = strchr(line, ']');

	assert_true(open != NULL && close != NULL);
	assert_int_equal(close - open, 27); /* 21/Nov/2026:08:15:00 +0000 */
	assert_memory_equal(close - 6, " +0000", 6);
	memmove(open + 5, close, strlen(close) + 1);
	memcpy(open + 1, "TIME", 4);
	return line;
}

static void
combined_is_what_tools_read(void **state)
{
	struct exchange *ex = &loaded.ex;
	const void *conf = conf_of("accesslog = ( { path = \"/a\"; } );");

	(void)state;
	make_exchange();
	run(conf);
	assert_true(next_line(NULL));
	assert_string_equal(without_time(), "192.0.2.7 - - [TIME] "
	    "\"GET /p?q HTTP/1.1\" 200 12 \"-\" \"-\"\n");

	loaded_add(&loaded, &ex->req.fields, "Referer", "http://r/");
	loaded_add(&loaded, &ex->req.fields, "User-Agent", "a \"b\" \\ \xff");
	ex->req.method_id = HTTP_METHOD_HEAD;
	ex->req.method = SPAN("HEAD");
	ex->req.minor = 0;
	run(conf);
	assert_true(next_line(NULL));
	assert_string_equal(without_time(), "192.0.2.7 - - [TIME] "
	    "\"HEAD /p?q HTTP/1.0\" 200 0 \"http://r/\" "
	    "\"a \\x22b\\x22 \\x5c \\xff\"\n");

	/* Nothing was understood, nothing was sent. */
	memset(&ex->req, 0, sizeof(ex->req));
	ex->head_sent = false;
	ex->response_body.sent = 0;
	run(conf);
	assert_true(next_line(NULL));
	assert_string_equal(without_time(),
	    "192.0.2.7 - - [TIME] \"-\" 499 0 \"-\" \"-\"\n");
}

/* What follows the time, which is cut off. */
static const char *
json_behind_time(void)
{
	assert_int_equal(strncmp(line, "{\"time\":\"20", 11), 0);
	assert_memory_equal(line + 9 + 19, ".", 1);
	assert_memory_equal(line + 9 + 23, "Z\",", 3);
	return line + 9 + 25;
}

static void
json_has_what_there_is(void **state)
{
	struct exchange *ex = &loaded.ex;
	const void *conf = conf_of("accesslog = ( { path = \"/a\"; "
	    "format = \"json\"; } );");

	(void)state;
	make_exchange();
	run(conf);
	assert_true(next_line(NULL));
	assert_string_equal(json_behind_time(), ",\"client_ip\":"
	    "\"192.0.2.7\",\"request_method\":\"GET\",\"request_host\":"
	    "\"www.test\",\"request_target\":\"/p?q\",\"request_version\":"
	    "\"HTTP/1.1\",\"request_bytes\":80,\"response_status\":200,"
	    "\"response_bytes\":170,\"response_body_bytes\":12,"
	    "\"duration\":1.500,\"service_name\":\"web\","
	    "\"route_name\":\"web/1\"}\n");

	loaded_add(&loaded, &ex->req.fields, "User-Agent", "\"\\\t\xff");
	ex->group = &loaded.group;
	ex->backend = &loaded.backend;
	ex->attempts = 2;
	ex->up_status = 502;
	ex->reused = true;
	ex->selected_us = 1100000;
	ex->connected_us = 1100000;
	ex->sent_us = 1200000;
	ex->head_us = 1250000;
	ex->head_sent = false;
	ex->reason = REASON_BACKEND_TRUNCATED;
	ex->failed_in = "await";
	ex->detail = "at byte 7";
	run(conf);
	assert_true(next_line(NULL));
	assert_string_equal(strstr(json_behind_time(), ",\"user_agent"),
	    ",\"user_agent\":\"\\\"\\\\\\u0009\xef\xbf\xbd\","
	    "\"response_bytes\":170,\"response_body_bytes\":12,"
	    "\"duration\":1.500,\"service_name\":\"web\","
	    "\"route_name\":\"web/1\",\"upstream_name\":\"app\","
	    "\"upstream_tries\":2,\"upstream_address\":\"127.0.0.1:81\","
	    "\"upstream_status\":502,\"upstream_reused\":true,"
	    "\"upstream_connect_time\":0.000,"
	    "\"upstream_first_byte_time\":0.050,\"upstream_time\":1.400,"
	    "\"error_reason\":\"backend_truncated\","
	    "\"error_phase\":\"await\",\"error_detail\":\"at byte 7\"}\n");
}

static void
templates_escape_values_alone(void **state)
{
	static const struct {
		const char *format;
		const char *want;
	} cases[] = {
		{ "\\\"${request.method}\\\" ${request.path}",
		    "\"GET\" /p\n" },
		{ "${request.header.x-quote} $$", "\\x22q\\x22 $\n" },
		{ "${request.header.none}|${request.header.none:-d}|",
		    "-|d|\n" },
		{ "{\\\"q\\\":\\\"${request.header.x-quote}\\\","
		    "\\\"n\\\":\\\"${request.header.none}\\\"}",
		    "{\"q\":\"\\\"q\\\"\",\"n\":\"\"}\n" },
		{ "${request.header.x-line}", "a\\x0d\\x0ab\n" },
		{ "${duration} ${upstream.name}", "1.500 -\n" },
	};

	(void)state;
	make_exchange();
	loaded_add(&loaded, &loaded.ex.req.fields, "X-Quote", "\"q\"");
	loaded_add(&loaded, &loaded.ex.req.fields, "X-Line", "a\r\nb");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[512];

		snprintf(text, sizeof(text), "accesslog = ( { path = \"/a\"; "
		    "format = \"%s\"; } );", cases[i].format);
		run(conf_of(text));
		assert_true(next_line(NULL));
		assert_string_equal(line, cases[i].want);
	}
}

/* The longest and worst values: a line is cut, but is a line. */
static void
long_values_are_cut(void **state)
{
	static const char *const formats[] = { "combined", "json",
		"${request.header.user-agent}|${request.header.referer}|"
		"${request.target}|${request.header.x-more}|"
		"${request.method}|${request.header.user-agent}" };
	static const char fillers[] = "x\"\x01\xff";
	char *huge = malloc(100001);

	(void)state;
	for (size_t f = 0; f < sizeof(fillers) - 1; f++) {
		memset(huge, fillers[f], 100000);
		huge[100000] = '\0';
		make_exchange();
		loaded.ex.req.fields.count = 0;
		loaded.ex.req.method = span_of(huge, 8000);
		loaded.ex.req.target = span_of(huge, 60000);
		loaded.ex.req.host = span_of(huge, 60000);
		loaded.ex.detail = huge;
		loaded.ex.reason = REASON_INTERNAL;
		loaded.service.name = huge;
		loaded.route.name = huge;
		loaded.ex.group = &loaded.group;
		loaded.ex.backend = &loaded.backend;
		loaded.group.name = span_of(huge, 5000);
		loaded.backend.label = span_of(huge, 5000);
		loaded_add(&loaded, &loaded.ex.req.fields, "User-Agent",
		    huge);
		loaded_add(&loaded, &loaded.ex.req.fields, "Referer", huge);
		loaded_add(&loaded, &loaded.ex.req.fields, "X-More",
		    huge + 70000);
		for (size_t i = 0; i < 3; i++) {
			char text[512];
			size_t len;

			snprintf(text, sizeof(text), "accesslog = ( { "
			    "path = \"/a\"; format = \"%s\"; } );",
			    formats[i]);
			run(conf_of(text));
			assert_true(next_line(NULL));
			len = strlen(line);
			assert_non_null(strstr(line, "..."));
			/* Cut in its values, not at its end. */
			if (i == 0)
				assert_string_equal(line + len - 5,
				    "...\"\n");
			if (i == 1)
				assert_string_equal(line + len - 6,
				    "...\"}\n");
			assert_true(len > 2000);
		}
	}
	free(huge);
}

static void
conditions_choose_requests(void **state)
{
	static const struct {
		const char *when;
		unsigned status; /* 0 = none was sent */
		unsigned ms;
		bool want;
	} cases[] = {
		{ "status = ( \"5xx\", 404 );", 404, 1, true },
		{ "status = ( \"5xx\", 404 );", 500, 1, true },
		{ "status = ( \"5xx\", 404 );", 599, 1, true },
		{ "status = ( \"5xx\", 404 );", 403, 1, false },
		{ "status = ( \"5xx\", 404 );", 405, 1, false },
		{ "status = ( \"5xx\", 404 );", 499, 1, false },
		{ "status = ( \"5xx\", 404 );", 0, 1, false },
		{ "status = [ \"404\", \"1xx\" ];", 404, 1, true },
		{ "status = 200;", 200, 1, true },
		{ "status = 200;", 201, 1, false },
		{ "status = \"2xx\";", 204, 1, true },
		{ "slower_than = \"1s\";", 200, 1001, true },
		{ "slower_than = \"1s\";", 200, 1000, false },
		{ "slower_than = \"1s\";", 0, 5000, true },
		{ "slower_than = 0;", 200, 0, true },
		{ "status = 500; slower_than = \"1s\";", 500, 2000, true },
		{ "status = 500; slower_than = \"1s\";", 500, 20, false },
		{ "status = 500; slower_than = \"1s\";", 200, 2000, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[256];

		make_exchange();
		loaded.ex.res.status = (uint16_t)cases[i].status;
		loaded.ex.head_sent = cases[i].status != 0;
		loaded.ex.ended_us = loaded.ex.started_us +
		    cases[i].ms * UINT64_C(1000);
		snprintf(text, sizeof(text), "accesslog = ( { path = \"/a\"; "
		    "when = { %s }; } );", cases[i].when);
		run(conf_of(text));
		if (next_line(NULL) != cases[i].want)
			fail_msg("%s with %u after %u ms", cases[i].when,
			    cases[i].status, cases[i].ms);
	}
}

static void
several_logs_get_a_line_each(void **state)
{
	unsigned a, b, again;

	(void)state;
	make_exchange();
	run(conf_of("accesslog = ( "
	    "{ path = \"/a\"; format = \"1 ${request.path}\"; }, "
	    "{ path = \"stderr\"; format = \"2 ${request.path}\"; }, "
	    "{ path = \"/a\"; format = \"3 ${request.path}\"; } );"));
	assert_true(next_line(&a));
	assert_string_equal(line, "1 /p\n");
	assert_true(next_line(&b));
	assert_string_equal(line, "2 /p\n");
	assert_true(next_line(&again));
	assert_string_equal(line, "3 /p\n");
	assert_int_equal(a, again);
	assert_int_not_equal(a, b);
	assert_false(next_line(NULL));
	assert_int_equal(loaded.targets.items[b].kind, LOGTARGET_STDERR);
}

static void
bad_logs_are_refused(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{ "accesslog = ( { format = \"json\"; } );", "`path`" },
		{ "accesslog = ( { path = \"/a\"; format = \"jsn\"; } );",
		    "test.conf:1:39: error: `jsn` is no log format" },
		{ "accesslog = ( { path = \"/a\"; format = \"\"; } );",
		    "is no log format" },
		{ "accesslog = ( { path = \"/a\"; "
		    "format = \"${client.ip}\\n\"; } );", "control character" },
		{ "accesslog = ( { path = \"/a\"; "
		    "when = { status = \"6xx\"; }; } );",
		    "error: `6xx` is no status" },
		{ "accesslog = ( { path = \"/a\"; "
		    "when = { status = ( 200, 99 ); }; } );",
		    "a status is a number from 100 to 599" },
		{ "accesslog = ( { path = \"/a\"; "
		    "when = { status = 600; }; } );", "a status is a number" },
		{ "accesslog = ( { path = \"/a\"; "
		    "when = { status = true; }; } );", "a status is a" },
		{ "accesslog = ( { path = \"/a\"; "
		    "when = { slower_then = 1; }; } );", "slower_than" },
		{ "accesslog = ( { path = \"/var/log/\"; } );",
		    "not the name of a file" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_null(loaded_conf(&loaded, &mod_accesslog,
		    cases[i].text));
		if (strstr(loaded.errors, cases[i].error) == NULL)
			fail_msg("%s\ngave: %s", cases[i].text,
			    loaded.errors);
	}
}

/* What the dump shows is what was meant. */
static void
statuses_are_printed(void **state)
{
	const struct conf_list *logs = conf_of("accesslog = ( { path = "
	    "\"/a\"; when = { status = ( 404, \"5xx\", 301 ); }; } );");
	const struct conf_item *when = NULL, *status = NULL;
	const struct conf_item *items = mod_accesslog.table->items;
	char text[256];
	struct str s;

	(void)state;
	for (const struct conf_item *i = items->table->items; i->name != NULL;
	     i++) {
		if (strcmp(i->name, "when") == 0)
			when = i;
	}
	assert_non_null(when);
	status = &when->table->items[0];
	assert_string_equal(status->name, "status");
	str_init(&s, text, sizeof(text));
	status->print((const char *)logs->items + when->offset +
	    status->offset, &s);
	assert_string_equal(str_terminate(&s), "( 301, 404, \"5xx\" )");
}

static void
a_full_ring_drops_lines(void **state)
{
	const void *conf = conf_of("accesslog = ( { path = \"/a\"; } );");

	(void)state;
	make_exchange();
	for (int i = 0; i < 2000; i++)
		run(conf);
	assert_true(logring_take_dropped(&ring) > 100);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(combined_is_what_tools_read),
		TEST(json_has_what_there_is),
		TEST(templates_escape_values_alone),
		TEST(long_values_are_cut),
		TEST(conditions_choose_requests),
		TEST(several_logs_get_a_line_each),
		TEST(bad_logs_are_refused),
		TEST(statuses_are_printed),
		TEST(a_full_ring_drops_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
