/* SPDX-License-Identifier: BSD-2-Clause */
/* thing - a struct and its tables with a row of every type. */
#ifndef TESTS_UNIT_CONF_THING_H
#define TESTS_UNIT_CONF_THING_H

#include <string.h>

#include "base/str.h"
#include "conf/item.h"
#include "conf/template.h"

struct backend {
	const struct addr_spec *address;
	uint32_t weight;
	uint64_t wait_ms;
};

struct limits {
	uint64_t connect_ms;
	uint32_t count;
};

struct thing {
	bool yes;
	uint32_t number, workers, level;
	uint64_t size, time, ticks;
	const char *text, *password, *field;
	const struct template *greeting;
	struct conf_strings names;
	struct conf_uints statuses;
	struct conf_ranges ranges;
	const struct addr_spec *address;
	struct conf_regex *regex;
	struct conf_map fields;
	struct limits limits;
	struct conf_list backends;
	int64_t mode; /* CUSTOM */
	struct limits maybe;
	bool has_maybe;
	uint64_t other; /* a duration that may be unset */
};

static const struct conf_enum thing_auto[] = { { "auto", 0 }, { NULL, 0 } };
static const struct conf_enum thing_levels[] = {
	{ "error", 1 }, { "warn", 2 }, { "notice", 3 }, { NULL, 0 },
};

static inline int
thing_read_mode(struct conf_ctx *ctx, const struct conf_node *node,
    void *field)
{
	return conf_read_integer(ctx, node, field);
}

static inline void
thing_print_mode(const void *field, struct str *out)
{
	str_printf(out, "%lld", (long long)*(const int64_t *)field);
}

static const struct conf_item thing_backend_items[] = {
	CONF_VALUE("address", ADDRESS, struct backend, address, NULL,
	    CONF_REQUIRED, "where it listens"),
	CONF_UINT("weight", struct backend, weight, 1, 1000, "1", NULL, 0,
	    "its share"),
	CONF_DURATION("wait", struct backend, wait_ms, 0, 0, "2s", 0, "wait"),
	CONF_END,
};

/* Refuses a weight of 13: a cross-check that sees the whole struct. */
static inline int
thing_check_backend(struct conf_ctx *ctx, const struct conf_node *node,
    void *conf)
{
	const struct backend *b = conf;

	if (b->weight != 13)
		return 0;
	conf_report_error(ctx->report, &node->place, "13 brings bad luck");
	return -1;
}

static const struct conf_table thing_backend_table = {
	.name = "a backend",
	.items = thing_backend_items,
	.struct_bytes = sizeof(struct backend),
	.check = thing_check_backend,
};

static const struct conf_item thing_limits_items[] = {
	CONF_DURATION("connect", struct limits, connect_ms, 1000, 3600000,
	    "60s", 0, "for a connection"),
	CONF_UINT("count", struct limits, count, 0, UINT32_MAX, "7", NULL, 0,
	    "how many"),
	CONF_END,
};

static const struct conf_table thing_limits_table = {
	.name = "limits",
	.items = thing_limits_items,
	.struct_bytes = sizeof(struct limits),
};

static const struct conf_item thing_items[] = {
	CONF_BOOL("yes", struct thing, yes, "true", 0, "a boolean"),
	CONF_UINT("number", struct thing, number, 1, 100, "10", "things", 0,
	    "a number"),
	{ .name = "workers", .type = CONF_TYPE_UINT,
	  .offset = offsetof(struct thing, workers), .min = 1, .max = 256,
	  .def = "auto", .values = thing_auto, .help = "number or word" },
	CONF_ENUM("level", struct thing, level, thing_levels, "notice", 0,
	    "a word"),
	CONF_SIZE("size", struct thing, size, 4096, 16777216, "64KB", 0,
	    "a size"),
	CONF_DURATION("time", struct thing, time, 0, 0, "30s", CONF_RESTART,
	    "a duration"),
	{ .name = "ticks", .type = CONF_TYPE_DURATION,
	  .offset = offsetof(struct thing, ticks), .unit = "s", .def = "3",
	  .help = "a duration in seconds" },
	CONF_VALUE("text", STRING, struct thing, text, NULL, 0, "a string"),
	CONF_VALUE("password", STRING, struct thing, password, NULL,
	    CONF_SECRET, "a secret"),
	CONF_VALUE("field", STRING, struct thing, field, "X-Real-IP",
	    CONF_FIELD_NAME, "a field"),
	CONF_VALUE("greeting", TEMPLATE, struct thing, greeting,
	    "hello ${client.ip}", 0, "a template"),
	CONF_VALUE("names", STRINGS, struct thing, names, "[ \"a\", \"b\" ]",
	    0, "strings"),
	CONF_VALUE("statuses", UINTS, struct thing, statuses, "404", 0,
	    "integers"),
	CONF_VALUE("ranges", RANGES, struct thing, ranges, "[ ]", 0,
	    "address ranges"),
	CONF_VALUE("address", ADDRESS, struct thing, address, NULL, 0,
	    "an address"),
	CONF_VALUE("regex", REGEX, struct thing, regex, NULL, 0, "a regex"),
	CONF_VALUE("fields", MAP, struct thing, fields, NULL, CONF_FIELD_NAME,
	    "names and templates"),
	CONF_GROUP("limits", struct thing, limits, &thing_limits_table, 0,
	    "a group"),
	CONF_LIST("backends", struct thing, backends, &thing_backend_table, 0,
	    "a list"),
	CONF_CUSTOM("mode", struct thing, mode, thing_read_mode,
	    thing_print_mode, 0, "of its own kind"),
	{ .name = "maybe", .type = CONF_TYPE_GROUP,
	  .offset = offsetof(struct thing, maybe), .table = &thing_limits_table,
	  .present = offsetof(struct thing, has_maybe), .help = "or not" },
	CONF_DURATION("other", struct thing, other, 0, 0, NULL, 0,
	    "somebody else's"),
	CONF_END,
};

static const struct conf_table thing_table = {
	.name = "a thing",
	.items = thing_items,
	.struct_bytes = sizeof(struct thing),
};

static inline bool
thing_put_ip(const void *subject, struct span arg, struct str *out)
{
	(void)subject;
	(void)arg;
	str_lit(out, "192.0.2.1");
	return true;
}

static const struct template_var thing_var_items[] = {
	{ "client.ip", thing_put_ip, "the client's address", NULL },
	{ "request.header.", thing_put_ip, "a field \"of\" the request", NULL },
};

static const struct template_vars thing_vars = {
	.items = thing_var_items, .count = 2 };

#endif
