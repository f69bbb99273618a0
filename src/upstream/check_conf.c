/* SPDX-License-Identifier: BSD-2-Clause */
/* check_conf - the table of a health check's options, and what it refuses. */
#include "upstream/check_conf.h"

#include <string.h>

#include "conf/template.h"
#include "http/message.h"

enum { STATUS_MIN = 100, STATUS_MAX = 599 };

static const struct conf_enum types[] = {
	{ "tcp", CHECK_CONF_TCP }, { "tls", CHECK_CONF_TLS },
	{ "http", CHECK_CONF_HTTP }, { NULL, 0 },
};

static const struct conf_enum initials[] = {
	{ "up", 0 }, { "down", 1 }, { NULL, 0 },
};

static const struct conf_item items[] = {
	CONF_ENUM("type", struct check_conf, type, types, "http", 0,
	    "what is tried: to connect, a TLS handshake, or a request"),
	CONF_VALUE("method", STRING, struct check_conf, method, "GET", 0,
	    "method of the request"),
	CONF_VALUE("path", STRING, struct check_conf, path, "/", 0,
	    "target of the request"),
	CONF_VALUE("host", STRING, struct check_conf, host, NULL, 0,
	    "Host of the request; unset = the backend's address"),
	CONF_VALUE("headers", MAP, struct check_conf, headers, NULL,
	    CONF_FIELD_NAME, "further fields of the request"),
	CONF_VALUE("expect", STRINGS, struct check_conf, expect, "[ \"2xx\" ]",
	    0, "statuses that are good: \"200\", \"2xx\", \"200-399\""),
	CONF_VALUE("body_match", REGEX, struct check_conf, body_match, NULL,
	    0, "what the body must contain"),
	CONF_UINT("port", struct check_conf, port, 0, 65535, "0", NULL, 0,
	    "port to check; 0 = the backend's"),
	CONF_DURATION("interval", struct check_conf, interval_ms, 10,
	    86400000, "5s", 0, "from the start of one check to the next"),
	CONF_UINT("jitter", struct check_conf, jitter, 0, 50, "10", "%", 0,
	    "share of the interval by which a check may come early"),
	CONF_DURATION("timeout", struct check_conf, timeout_ms, 1, 3600000,
	    "1s", 0, "for one check as a whole"),
	CONF_UINT("rise", struct check_conf, rise, 1, 1000, "1", NULL, 0,
	    "good checks in a row that bring a backend back"),
	CONF_UINT("fall", struct check_conf, fall, 1, 1000, "1", NULL, 0,
	    "bad checks in a row that take a backend out"),
	CONF_BOOL("reuse", struct check_conf, reuse, "false", 0,
	    "keep the connection for the next check"),
	CONF_ENUM("initial", struct check_conf, initial, initials, "up", 0,
	    "what a new backend is until its first result"),
	CONF_END,
};

bool
check_conf_expects(const struct check_conf *conf, unsigned status)
{
	return status <= STATUS_MAX &&
	    (conf->statuses[status / 64] >> status % 64 & 1) != 0;
}

/* "2xx", "200", "200-399"; -1 if it is none of them. */
static int
read_range(const char *text, uint64_t *low, uint64_t *high)
{
	struct span all = span_cstr(text);
	const char *dash = strchr(text, '-');

	if (all.len == 3 && text[0] >= '1' && text[0] <= '5' &&
	    strcmp(text + 1, "xx") == 0) {
		*low = (uint64_t)(text[0] - '0') * 100;
		*high = *low + 99;
		return 0;
	}
	if (dash == NULL) {
		if (span_u64(all, low) != 0)
			return -1;
		*high = *low;
	} else if (span_u64(span_of(text, (size_t)(dash - text)), low) != 0 ||
	    span_u64(span_cstr(dash + 1), high) != 0) {
		return -1;
	}
	return *low >= STATUS_MIN && *low <= *high && *high <= STATUS_MAX ?
	    0 : -1;
}

static int
check_expect(struct conf_ctx *ctx, const struct conf_node *node,
    struct check_conf *conf)
{
	memset(conf->statuses, 0, sizeof(conf->statuses));
	for (size_t i = 0; i < conf->expect.count; i++) {
		uint64_t low, high;

		if (read_range(conf->expect.items[i], &low, &high) != 0) {
			conf_report_error(ctx->report, &node->place,
			    "expect: \"%s\" is no status from 100 to 599, as "
			    "in \"200\", \"2xx\" or \"200-399\"",
			    conf->expect.items[i]);
			return -1;
		}
		for (uint64_t s = low; s <= high; s++)
			conf->statuses[s / 64] |= UINT64_C(1) << s % 64;
	}
	return 0;
}

static int
check_headers(struct conf_ctx *ctx, const struct check_conf *conf)
{
	int status = 0;

	for (size_t i = 0; i < conf->headers.count; i++) {
		const struct conf_map_entry *e = &conf->headers.items[i];
		struct span value;

		if (template_is_constant(e->value, &value) &&
		    http_is_field_value(value))
			continue;
		conf_report_error(ctx->report, &e->place,
		    "header %s of a health check: a plain value is expected: "
		    "there is no request that variables could be of",
		    e->name);
		status = -1;
	}
	return status;
}

static bool
is_target(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *p = path; *p != '\0'; p++)
		if (*p <= ' ' || *p == 0x7f)
			return false;
	return true;
}

static int
check(struct conf_ctx *ctx, const struct conf_node *node, void *conf_ptr)
{
	struct check_conf *conf = conf_ptr;
	int status = check_expect(ctx, node, conf);

	if (check_headers(ctx, conf) != 0)
		status = -1;
	if (!is_target(conf->path)) {
		conf_report_error(ctx->report, &node->place,
		    "path \"%s\" of a health check: a path that begins with "
		    "\"/\" and has no blanks is expected", conf->path);
		status = -1;
	}
	if (!http_is_token(span_cstr(conf->method))) {
		conf_report_error(ctx->report, &node->place,
		    "method \"%s\" of a health check is no method",
		    conf->method);
		status = -1;
	}
	if (conf->host != NULL &&
	    !http_is_field_value(span_cstr(conf->host))) {
		conf_report_error(ctx->report, &node->place,
		    "host of a health check has control characters");
		status = -1;
	}
	return status;
}

const struct conf_table check_conf_table = {
	.name = "health_check",
	.items = items,
	.struct_bytes = sizeof(struct check_conf),
	.check = check,
};
