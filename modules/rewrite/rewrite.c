/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rewrite - another path or query for the backend, or for the client.
 *
 * Rules run behind the choice of the route and behind what may refuse a
 * request, so that both judge what was asked for; each rule sees what the one
 * before it has made.  Paths are those that routes see: escapes of unreserved
 * characters are undone, others stay.  What a rule makes has to be a path by
 * the same rules as what clients send.  Never suspends an exchange.
 */
#include "module.h"

#include "args.h"
#include "rule.h"

enum { REWRITE_ORDER = 500, TARGET_MAX = 16384, ARG_MAX = 4096 };

struct rewrite_conf {
	struct conf_list rules; /* of struct rule */
};

enum {
	COUNT_REWRITTEN,
	COUNT_REDIRECTED,
	COUNT_FAILED,
	COUNTS,
};

static const struct metric rows[COUNTS] = {
	[COUNT_REWRITTEN] = { "rewritten_total",
	    "Requests of which a rule changed path or query.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_REDIRECTED] = { "redirected_total",
	    "Requests that were sent elsewhere.", METRIC_COUNTER, NULL,
	    false },
	[COUNT_FAILED] = { "failed_total",
	    "Requests of which a rule made no path, or came to a limit.",
	    METRIC_COUNTER, NULL, false },
};

static const struct metric_set metrics =
    METRIC_SET("rewrite", METRIC_SCOPE_PROCESS, rows);

static const struct conf_item items[] = {
	CONF_LIST("rewrite", struct rewrite_conf, rules, &rule_table, 0,
	    "rules for paths and queries"),
	CONF_END,
};

static const struct conf_table table = {
	.name = "rewrite",
	.items = items,
	.struct_bytes = sizeof(struct rewrite_conf),
};

static bool
rewrite_is_active(const void *conf_ptr)
{
	const struct rewrite_conf *conf = conf_ptr;

	return conf->rules.count > 0;
}

/* ---- exchanges ---- */

/* Path and query while rules are applied to them. */
struct draft {
	struct exchange *ex;
	struct span path, query;
	bool has_query;
	bool is_changed;
	const char *wrong; /* why it is none any more; a literal */
};

/* In the arena: the next rule composes in the same memory. */
static struct span
keep(struct draft *d, const struct str *text)
{
	if (text->overflow)
		d->wrong = "rewrite: the result is too long";
	d->is_changed = true;
	return span_of(arena_dup(&d->ex->arena, str_view(text)), text->len);
}

static void
replace(struct draft *d, const struct template *t,
    const struct rule_match *m)
{
	char memory[TARGET_MAX];
	const char *rest = m->whole.p + m->whole.len;
	const char *end = d->path.p + d->path.len;
	const char *mark;
	struct str out;

	str_init(&out, memory, sizeof(memory));
	str_put(&out, d->path.p, (size_t)(m->whole.p - d->path.p));
	template_eval(t, d->ex, &out);
	/* "/" and "/x" are "/x"; a path may have no other empty beginning. */
	if (out.len > 0 && memory[out.len - 1] == '/' && rest < end &&
	    *rest == '/')
		rest++;
	if (out.len == 0 && rest == end)
		str_char(&out, '/');
	str_put(&out, rest, (size_t)(end - rest));
	d->path = keep(d, &out);
	mark = memchr(d->path.p, '?', d->path.len);
	if (mark == NULL)
		return;
	d->query = span_of(mark + 1,
	    (size_t)(d->path.p + d->path.len - mark - 1));
	d->path.len = (size_t)(mark - d->path.p);
	d->has_query = true;
}

static void
set_query(struct draft *d, const struct template *t)
{
	char memory[TARGET_MAX];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	template_eval(t, d->ex, &out);
	d->query = keep(d, &out);
	d->has_query = out.len > 0;
}

static void
drop_args(struct draft *d, const struct conf_strings *names)
{
	char memory[TARGET_MAX];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	args_drop(&out, d->query, names);
	if (out.len == d->query.len && !out.overflow)
		return;
	d->query = keep(d, &out);
	d->has_query = out.len > 0;
}

static void
set_args(struct draft *d, const struct conf_map *map)
{
	const char *names[1];
	const struct conf_strings one = { names, 1 };
	char memory[TARGET_MAX], value_memory[ARG_MAX];
	struct str out, value;

	for (size_t i = 0; i < map->count && d->wrong == NULL; i++) {
		str_init(&value, value_memory, sizeof(value_memory));
		template_eval(map->items[i].value, d->ex, &value);
		names[0] = map->items[i].name;
		str_init(&out, memory, sizeof(memory));
		if (d->has_query)
			args_drop(&out, d->query, &one);
		args_add(&out, span_cstr(map->items[i].name),
		    str_view(&value));
		out.overflow |= value.overflow;
		d->query = keep(d, &out);
		d->has_query = true;
	}
}

static bool
has_only_target_bytes(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || c == '#')
			return false;
	}
	return true;
}

/* As strict as with clients: RFC 3986, section 3.3, and no dot segments. */
static const char *
find_fault(const struct draft *d)
{
	enum uri_path_state state;

	if (d->wrong != NULL)
		return d->wrong;
	if (d->path.len == 0 || d->path.p[0] != '/')
		return "rewrite: the path does not begin with /";
	if (!has_only_target_bytes(d->path) ||
	    !has_only_target_bytes(d->query))
		return "rewrite: bytes that no target may have";
	state = uri_path_check(d->path);
	if (state == URI_PATH_DOTS || state == URI_PATH_INVALID)
		return "rewrite: dot segments, or an invalid escape";
	return NULL;
}

/* In one piece, as the request writer likes it best. */
static void
put_back(struct draft *d)
{
	struct http_request *req = &d->ex->req;
	size_t size = d->path.len + 1 + d->query.len;
	struct str out;

	str_init(&out, arena_alloc(&d->ex->arena, size), size);
	str_span(&out, d->path);
	str_char(&out, '?');
	str_span(&out, d->query);
	req->path = span_of(out.p, d->path.len);
	req->query = span_of(out.p + d->path.len + 1, d->query.len);
	req->has_query = d->has_query;
	d->path = req->path;
	d->query = req->query;
}

static enum verdict
fail(struct draft *d, _Atomic uint64_t *counts, const char *why)
{
	counter_add(&counts[COUNT_FAILED], 1);
	return exchange_fail(d->ex, REASON_BAD_PATH, why);
}

/* Where the client is to go; false if that is no place. */
static bool
find_location(struct draft *d, const struct rule *r, struct span *location)
{
	const struct http_request *req = &d->ex->req;
	size_t skip = 0;

	if (r->redirect.location != NULL)
		return value_field(d->ex, r->redirect.location, location) &&
		    location->len > 0;
	/* "//host" would be another host. */
	while (skip + 1 < req->path.len && req->path.p[skip + 1] == '/')
		skip++;
	put_back(d);
	*location = span_of(req->path.p + skip, req->path.len - skip +
	    (req->has_query ? 1 + req->query.len : 0));
	return true;
}

static enum verdict
redirect(struct draft *d, const struct rule *r, _Atomic uint64_t *counts)
{
	struct span location;

	if (!find_location(d, r, &location))
		return fail(d, counts, "rewrite: the redirect has no place");
	counter_add(&counts[COUNT_REDIRECTED], 1);
	(void)exchange_answer(d->ex, r->redirect.status);
	http_fields_set(&d->ex->res.fields, &d->ex->arena, SPAN("Location"),
	    location);
	return VERDICT_ANSWERED;
}

static void
apply(struct draft *d, const struct rule *r, const struct rule_match *m)
{
	struct exchange *ex = d->ex;

	ex->rewrite_groups = m->groups;
	ex->rewrite_group_count = (uint32_t)m->group_count;
	if (r->replace != NULL)
		replace(d, r->replace, m);
	if (r->query != NULL)
		set_query(d, r->query);
	if (r->drop_args.count > 0 && d->has_query)
		drop_args(d, &r->drop_args);
	if (r->set_args.count > 0)
		set_args(d, &r->set_args);
}

static enum verdict
run(struct draft *d, const struct rewrite_conf *conf,
    _Atomic uint64_t *counts)
{
	const struct rule *rules = conf->rules.items;

	for (size_t i = 0; i < conf->rules.count; i++) {
		struct rule_match m;
		int matches = rule_match(&rules[i], d->path, &m);
		const char *why;

		if (matches < 0)
			return fail(d, counts,
			    "rewrite: the regex came to its limit");
		if (matches == 0)
			continue;
		apply(d, &rules[i], &m);
		why = find_fault(d);
		if (why != NULL)
			return fail(d, counts, why);
		if (d->is_changed)
			put_back(d);
		if (rules[i].has_redirect)
			return redirect(d, &rules[i], counts);
		if (rules[i].last)
			break;
	}
	if (d->is_changed)
		counter_add(&counts[COUNT_REWRITTEN], 1);
	return VERDICT_NEXT;
}

static enum verdict
rewrite_on_request(struct exchange *ex, const void *conf)
{
	struct draft d = { .ex = ex, .path = ex->match_path,
		.query = ex->req.query, .has_query = ex->req.has_query };
	enum verdict verdict;

	/* OPTIONS *: there is no path. */
	if (d.path.len == 0 || d.path.p[0] != '/')
		return VERDICT_NEXT;
	verdict = run(&d, conf, exchange_counters(ex));
	ex->rewrite_groups = NULL;
	ex->rewrite_group_count = 0;
	return verdict;
}

const struct module mod_rewrite = {
	.name = "rewrite",
	.help = "rules for paths and queries",
	.table = &table,
	.conf_size = sizeof(struct rewrite_conf),
	.order = REWRITE_ORDER,
	.metrics = &metrics,
	.is_active = rewrite_is_active,
	.hooks = { [PHASE_REQUEST] = rewrite_on_request },
};
