/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * headers - remove, rename, set and add fields of requests and responses.
 *
 * Request rules change what the backend sees, also of each retry; response
 * rules change what the client sees, also of weir's own answers.  Fields that
 * frame a message or belong to one connection are out of reach.  A value that
 * turns out empty is no field; one that could break the message is dropped and
 * counted.  Never suspends an exchange.
 */
#include "module.h"

/* Late, so that the rules have the last word on what other modules wrote. */
enum { HEADERS_ORDER = 900 };

/* A rule with its names looked up; the order of these is that of running. */
struct rule {
	struct span name;
	struct span to; /* of a renaming */
	const struct template *value;
	bool is_host; /* of a request: not among its fields */
};

struct rules {
	/* As configured. */
	struct conf_strings remove;
	struct conf_map rename;
	struct conf_map set;
	struct conf_map add;
	struct conf_uints status; /* of responses; none = all */

	/* Made of it by start. */
	struct rule *removes, *renames, *sets, *adds;
};

struct headers_conf {
	struct rules request;
	struct rules response;
};

/* ---- configuration ---- */

/* What h1_write and its like write by themselves, or HTTP/2 has no word for. */
static bool
is_of_connection(struct span name)
{
	static const enum http_field_id ids[] = {
		FIELD_CONNECTION, FIELD_CONTENT_LENGTH, FIELD_EXPECT,
		FIELD_HTTP2_SETTINGS, FIELD_KEEP_ALIVE,
		FIELD_PROXY_CONNECTION, FIELD_TE, FIELD_TRAILER,
		FIELD_TRANSFER_ENCODING, FIELD_UPGRADE,
	};
	enum http_field_id id = http_field_lookup(name);

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

static void
check_name(struct conf_ctx *ctx, const struct conf_place *place,
    struct span name, bool is_host_allowed)
{
	if (!http_is_token(name))
		conf_report_error(ctx->report, place,
		    "`%.*s` is no field name", SPAN_ARG(name));
	else if (is_of_connection(name))
		conf_report_error(ctx->report, place,
		    "`%.*s` frames the message or belongs to the connection: "
		    "no rule may touch it", SPAN_ARG(name));
	else if (!is_host_allowed &&
	    http_field_lookup(name) == FIELD_HOST)
		conf_report_error(ctx->report, place,
		    "`%.*s` can only be `set`, and in requests only",
		    SPAN_ARG(name));
}

/*
 * CONF_FIELD_NAME refuses constants that no field may have.  What templates
 * are worth is looked at when they are used.
 */
static void
check_value(struct conf_ctx *ctx, const struct conf_map_entry *e)
{
	struct span text;

	if (http_field_lookup(span_cstr(e->name)) == FIELD_HOST &&
	    template_is_constant(e->value, &text) &&
	    !uri_is_authority(span_trim(text)))
		conf_report_error(ctx->report, &e->place,
		    "`%.*s` is no host, or host and port", SPAN_ARG(text));
}

static void
check_rename(struct conf_ctx *ctx, const struct conf_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct conf_map_entry *e = &map->items[i];
		struct span to;

		check_name(ctx, &e->place, span_cstr(e->name), false);
		if (template_is_constant(e->value, &to))
			check_name(ctx, &e->place, to, false);
		else
			conf_report_error(ctx->report, &e->place,
			    "the new name of `%s` must not be a template",
			    e->name);
	}
}

static void
check_values(struct conf_ctx *ctx, const struct conf_map *map,
    bool is_host_allowed)
{
	for (size_t i = 0; i < map->count; i++) {
		check_name(ctx, &map->items[i].place,
		    span_cstr(map->items[i].name), is_host_allowed);
		check_value(ctx, &map->items[i]);
	}
}

/* What was inherited has been checked where it was written. */
static int
check_rules(struct conf_ctx *ctx, const struct conf_node *node,
    const struct rules *rules, bool is_request)
{
	size_t before = conf_report_errors(ctx->report);
	const struct conf_node *remove = conf_node_get(node, "remove");

	for (size_t i = 0; remove != NULL && i < rules->remove.count; i++)
		check_name(ctx, &remove->value_place,
		    span_cstr(rules->remove.items[i]), false);
	if (conf_node_get(node, "rename") != NULL)
		check_rename(ctx, &rules->rename);
	if (conf_node_get(node, "set") != NULL)
		check_values(ctx, &rules->set, is_request);
	if (conf_node_get(node, "add") != NULL)
		check_values(ctx, &rules->add, false);
	return conf_report_errors(ctx->report) == before ? 0 : -1;
}

static int
check_request(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	return check_rules(ctx, node, conf, true);
}

static int
check_response(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	return check_rules(ctx, node, conf, false);
}

#define RULE_ITEMS                                                         \
	CONF_VALUE("remove", STRINGS, struct rules, remove, NULL,          \
	    CONF_FIELD_NAME, "names of fields to remove, before all else"), \
	CONF_VALUE("rename", MAP, struct rules, rename, NULL,              \
	    CONF_FIELD_NAME, "fields to rename: Old = \"New\""),           \
	CONF_VALUE("set", MAP, struct rules, set, NULL, CONF_FIELD_NAME,   \
	    "fields to set, instead of all of that name"),                 \
	CONF_VALUE("add", MAP, struct rules, add, NULL, CONF_FIELD_NAME,   \
	    "fields to add, beside those of that name")

static const struct conf_item request_items[] = { RULE_ITEMS, CONF_END };

static const struct conf_item response_items[] = {
	RULE_ITEMS,
	{ .name = "status", .type = CONF_TYPE_UINTS,
	  .offset = offsetof(struct rules, status), .min = 100, .max = 599,
	  .help = "statuses for which the rules hold; unset: all" },
	CONF_END,
};

static const struct conf_table request_table = {
	.name = "request",
	.items = request_items,
	.struct_bytes = sizeof(struct rules),
	.check = check_request,
};

static const struct conf_table response_table = {
	.name = "response",
	.items = response_items,
	.struct_bytes = sizeof(struct rules),
	.check = check_response,
};

static const struct conf_item group_items[] = {
	CONF_GROUP("request", struct headers_conf, request, &request_table, 0,
	    "rules for what backends see"),
	CONF_GROUP("response", struct headers_conf, response,
	    &response_table, 0, "rules for what clients see"),
	CONF_END,
};

static const struct conf_table headers_table = {
	.name = "headers",
	.items = group_items,
	.struct_bytes = sizeof(struct headers_conf),
};

static const struct conf_item items[] = {
	{ .name = "headers", .type = CONF_TYPE_GROUP, .table = &headers_table,
	  .help = "fields to remove, rename, set and add" },
	CONF_END,
};

static const struct conf_table table = {
	.name = "headers",
	.items = items,
	.struct_bytes = sizeof(struct headers_conf),
};

static bool
has_rules(const struct rules *r)
{
	return r->remove.count + r->rename.count + r->set.count +
	    r->add.count > 0;
}

static bool
headers_is_active(const void *conf_ptr)
{
	const struct headers_conf *conf = conf_ptr;

	return has_rules(&conf->request) || has_rules(&conf->response);
}

static struct rule *
compile_map(struct arena *a, const struct conf_map *map)
{
	struct rule *rules = arena_zalloc(a, map->count * sizeof(*rules));

	for (size_t i = 0; i < map->count; i++) {
		rules[i].name = span_cstr(map->items[i].name);
		rules[i].value = map->items[i].value;
		(void)template_is_constant(rules[i].value, &rules[i].to);
		rules[i].is_host =
		    http_field_lookup(rules[i].name) == FIELD_HOST;
	}
	return rules;
}

static void
compile(struct arena *a, struct rules *r)
{
	r->removes = arena_zalloc(a, r->remove.count * sizeof(*r->removes));
	for (size_t i = 0; i < r->remove.count; i++)
		r->removes[i].name = span_cstr(r->remove.items[i]);
	r->renames = compile_map(a, &r->rename);
	r->sets = compile_map(a, &r->set);
	r->adds = compile_map(a, &r->add);
}

static int
headers_start(const struct module_env *env, void *conf_ptr, struct error *err)
{
	struct headers_conf *conf = conf_ptr;

	(void)err;
	compile(env->arena, &conf->request);
	compile(env->arena, &conf->response);
	return 0;
}

/* ---- exchanges ---- */

/* RFC 9110, section 7.2: a Host that a template made is held to the rules. */
static void
set_host(struct exchange *ex, struct span value)
{
	if (uri_is_authority(value))
		ex->up_host = value;
	else
		value_count_dropped(ex);
}

static void
set_field(struct exchange *ex, struct http_fields *fields,
    const struct rule *rule)
{
	struct span value;

	if (!value_field(ex, rule->value, &value))
		return;
	if (rule->is_host)
		set_host(ex, value);
	else if (value.len > 0)
		http_fields_set(fields, &ex->arena, rule->name, value);
	else
		http_fields_remove(fields, rule->name);
}

static void
add_field(struct exchange *ex, struct http_fields *fields,
    const struct rule *rule)
{
	struct span value;

	if (value_field(ex, rule->value, &value) && value.len > 0)
		http_fields_add(fields, &ex->arena, rule->name, value);
}

static void
apply(struct exchange *ex, const struct rules *r, struct http_fields *fields)
{
	for (size_t i = 0; i < r->remove.count; i++)
		http_fields_remove(fields, r->removes[i].name);
	for (size_t i = 0; i < r->rename.count; i++)
		http_fields_rename(fields, r->renames[i].name,
		    r->renames[i].to);
	for (size_t i = 0; i < r->set.count; i++)
		set_field(ex, fields, &r->sets[i]);
	for (size_t i = 0; i < r->add.count; i++)
		add_field(ex, fields, &r->adds[i]);
}

static bool
is_for_status(const struct rules *r, unsigned status)
{
	for (size_t i = 0; i < r->status.count; i++) {
		if (r->status.items[i] == status)
			return true;
	}
	return r->status.count == 0;
}

static enum verdict
headers_on_request(struct exchange *ex, const void *conf_ptr)
{
	const struct headers_conf *conf = conf_ptr;

	apply(ex, &conf->request, &ex->up_req.fields);
	return VERDICT_NEXT;
}

static enum verdict
headers_on_response(struct exchange *ex, const void *conf_ptr)
{
	const struct headers_conf *conf = conf_ptr;

	if (is_for_status(&conf->response, ex->res.status))
		apply(ex, &conf->response, &ex->res.fields);
	return VERDICT_NEXT;
}

const struct module mod_headers = {
	.name = "headers",
	.help = "fields to remove, rename, set and add",
	.table = &table,
	.conf_size = sizeof(struct headers_conf),
	.order = HEADERS_ORDER,
	.is_active = headers_is_active,
	.start = headers_start,
	.hooks = {
		[PHASE_UPSTREAM_REQUEST] = headers_on_request,
		[PHASE_RESPONSE] = headers_on_response,
	},
};
