/* SPDX-License-Identifier: BSD-2-Clause */
/* rule - reading of rules, and looking for what they replace. */
#include "rule.h"

static const uint32_t statuses[] = { 301, 302, 303, 307, 308 };

static int
check_redirect(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	const struct rule_redirect *r = conf;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		if (statuses[i] == r->status)
			return 0;
	}
	conf_report_error(ctx->report, &node->place,
	    "redirect: status %u is none of 301, 302, 303, 307, 308",
	    r->status);
	return -1;
}

struct groups_asked {
	const struct rule *rule;
	struct span bad;
};

/* ${rewrite.N} of a group that there is not. */
static void
check_group(void *arg, struct span name)
{
	static const struct span prefix = { "rewrite.", 8 };
	struct groups_asked *asked = arg;
	uint64_t n;

	if (!span_starts(name, prefix) || span_u64(span_of(
	    name.p + prefix.len, name.len - prefix.len), &n) != 0)
		return;
	if (asked->rule->regex == NULL || n > asked->rule->regex->captures)
		asked->bad = name;
}

static struct span
bad_group(const struct rule *r)
{
	struct groups_asked asked = { .rule = r };
	const struct template *templates[] = { r->replace, r->query,
		r->has_redirect ? r->redirect.location : NULL };

	for (size_t i = 0; i < sizeof(templates) / sizeof(*templates); i++) {
		if (templates[i] != NULL)
			template_each_var(templates[i], check_group, &asked);
	}
	for (size_t i = 0; i < r->set_args.count; i++)
		template_each_var(r->set_args.items[i].value, check_group,
		    &asked);
	return asked.bad;
}

static int
check_rule(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	const struct rule *r = conf;
	struct span bad = bad_group(r);
	const char *wrong = NULL;

	if (bad.len > 0) {
		conf_report_error(ctx->report, &node->place,
		    "rewrite: ${%.*s}: the rule has no regex with that group",
		    SPAN_ARG(bad));
		return -1;
	}
	if (r->prefix != NULL && r->regex != NULL)
		wrong = "give prefix or regex, not both";
	else if (r->prefix != NULL && r->prefix[0] != '/')
		wrong = "prefix must begin with /";
	else if (r->replace != NULL && r->prefix == NULL && r->regex == NULL)
		wrong = "replace needs a prefix or a regex to replace";
	else if (r->replace == NULL && r->query == NULL &&
	    r->drop_args.count + r->set_args.count == 0 && !r->has_redirect)
		wrong = "the rule does nothing: give replace, query, "
		    "drop_args, set_args or redirect";
	if (wrong == NULL)
		return 0;
	conf_report_error(ctx->report, &node->place, "rewrite: %s", wrong);
	return -1;
}

static const struct conf_item redirect_items[] = {
	CONF_UINT("status", struct rule_redirect, status, 300, 399, "302",
	    NULL, 0, "301, 302, 303, 307 or 308"),
	CONF_VALUE("location", TEMPLATE, struct rule_redirect, location, NULL,
	    0, "where to; unset: the path and query that were made"),
	CONF_END,
};

static const struct conf_table redirect_table = {
	.name = "redirect",
	.items = redirect_items,
	.struct_bytes = sizeof(struct rule_redirect),
	.check = check_redirect,
};

static const struct conf_item items[] = {
	CONF_VALUE("prefix", STRING, struct rule, prefix, NULL, 0,
	    "paths at or below this one; it is what is replaced"),
	CONF_VALUE("regex", REGEX, struct rule, regex, NULL, 0,
	    "paths that match; what matches is replaced"),
	CONF_VALUE("replace", TEMPLATE, struct rule, replace, NULL, 0,
	    "what comes in its place; ${rewrite.N} is what a group matched"),
	CONF_VALUE("query", TEMPLATE, struct rule, query, NULL, 0,
	    "the new query, without ?; empty: none"),
	CONF_VALUE("drop_args", STRINGS, struct rule, drop_args, NULL, 0,
	    "names of arguments to drop; \"utm_*\", \"*\""),
	CONF_VALUE("set_args", MAP, struct rule, set_args, NULL, 0,
	    "arguments to set, in place of all of that name"),
	{ .name = "redirect", .type = CONF_TYPE_GROUP,
	  .offset = offsetof(struct rule, redirect),
	  .table = &redirect_table,
	  .present = offsetof(struct rule, has_redirect),
	  .help = "send the client there" },
	CONF_BOOL("last", struct rule, last, "false", 0,
	    "no further rules where this one matches"),
	CONF_END,
};

const struct conf_table rule_table = {
	.name = "rewrite",
	.items = items,
	.struct_bytes = sizeof(struct rule),
	.check = check_rule,
};

/* "/api" has "/api" and "/api/x", not "/apis"; "/api/" has what is below. */
static bool
is_below(struct span path, struct span prefix)
{
	if (!span_starts(path, prefix))
		return false;
	return path.len == prefix.len || prefix.p[prefix.len - 1] == '/' ||
	    path.p[prefix.len] == '/';
}

int
rule_match(const struct rule *r, struct span path, struct rule_match *m)
{
	m->group_count = 0;
	m->whole = span_of(path.p, 0);
	if (r->prefix != NULL) {
		struct span prefix = span_cstr(r->prefix);

		m->whole.len = prefix.len;
		return is_below(path, prefix);
	}
	if (r->regex == NULL)
		return 1;
	switch (conf_regex_match(r->regex, path, m->groups,
	    ROUTE_CAPTURES_MAX)) {
	case 1:
		m->group_count = ROUTE_CAPTURES_MAX;
		m->whole = m->groups[0];
		return 1;
	case 0:
		return 0;
	default:
		return -1;
	}
}
