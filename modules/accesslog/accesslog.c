/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accesslog - a line for each request, in one or several logs.
 *
 * Lines go through the worker's ring to the background process, so that no
 * disk holds up a worker; a line that finds the ring full is dropped and
 * counted (weir_log_dropped_total).  Runs in the last phase only and changes
 * nothing.
 */
#include "line.h"

enum { STATUS_MAX = 599, STATUS_WORDS = STATUS_MAX / 64 + 1 };

/* A set of statuses, as bits; none = all. */
struct status_set {
	uint64_t bits[STATUS_WORDS];
	bool is_given;
};

/* All that are given must hold. */
struct when {
	struct status_set status;
	uint64_t slower_than_ms; /* 0 = whatever it took */
};

enum format { FORMAT_COMBINED, FORMAT_JSON, FORMAT_TEMPLATE };

struct log {
	const char *path;
	const struct template *text;
	struct when when;
	enum format format; /* what text means */
	unsigned target;    /* number of path, see os/logtarget.h */
};

struct accesslog_conf {
	struct conf_list logs; /* of struct log */
};

/* ---- configuration ---- */

static void
add_statuses(struct status_set *set, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++)
		set->bits[i / 64] |= (uint64_t)1 << i % 64;
	set->is_given = true;
}

static bool
has_status(const struct status_set *set, unsigned status)
{
	return status <= STATUS_MAX &&
	    (set->bits[status / 64] >> status % 64 & 1) != 0;
}

/* "5xx", "404" */
static int
parse_status_text(struct span text, struct status_set *set)
{
	unsigned class = text.len == 3 ? (unsigned)text.p[0] - '0' : 0;
	uint64_t status;

	if (class >= 1 && class <= 5 &&
	    span_eq(span_of(text.p + 1, 2), SPAN("xx"))) {
		add_statuses(set, class * 100, class * 100 + 99);
		return 0;
	}
	if (span_u64(text, &status) != 0 || status < 100 ||
	    status > STATUS_MAX)
		return -1;
	add_statuses(set, (unsigned)status, (unsigned)status);
	return 0;
}

static int
parse_status(struct conf_ctx *ctx, const struct conf_node *node,
    struct status_set *set)
{
	if (node->type == CONF_NODE_INT && node->v.integer >= 100 &&
	    node->v.integer <= STATUS_MAX) {
		add_statuses(set, (unsigned)node->v.integer,
		    (unsigned)node->v.integer);
		return 0;
	}
	if (node->type == CONF_NODE_STRING &&
	    parse_status_text(node->v.string, set) == 0)
		return 0;
	if (node->type == CONF_NODE_STRING)
		conf_report_error(ctx->report, &node->value_place,
		    "`%.*s` is no status: a number from 100 to 599, or a "
		    "class such as \"5xx\"", SPAN_ARG(node->v.string));
	else
		conf_report_error(ctx->report, &node->value_place,
		    "a status is a number from 100 to 599, or a class such as "
		    "\"5xx\"");
	return -1;
}

static int
parse_statuses(struct conf_ctx *ctx, const struct conf_node *node,
    void *field)
{
	struct status_set *set = field;
	int result = 0;

	memset(set, 0, sizeof(*set));
	if (node->type != CONF_NODE_LIST && node->type != CONF_NODE_ARRAY)
		return parse_status(ctx, node, set);
	for (const struct conf_node *n = node->first; n != NULL; n = n->next) {
		if (parse_status(ctx, n, set) != 0)
			result = -1;
	}
	return result;
}

static bool
has_class(const struct status_set *set, unsigned class)
{
	for (unsigned i = class * 100; i < class * 100 + 100; i++) {
		if (!has_status(set, i))
			return false;
	}
	return true;
}

static void
print_statuses(const void *field, struct str *out)
{
	const struct status_set *set = field;
	const char *comma = " ";

	if (!set->is_given)
		return;
	str_char(out, '(');
	for (unsigned class = 1; class <= 5; class++) {
		if (has_class(set, class)) {
			str_printf(out, "%s\"%uxx\"", comma, class);
			comma = ", ";
			continue;
		}
		for (unsigned i = class * 100; i < class * 100 + 100; i++) {
			if (!has_status(set, i))
				continue;
			str_printf(out, "%s%u", comma, i);
			comma = ", ";
		}
	}
	str_lit(out, " )");
}

static bool
has_control(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

/* What the format means; a lone word is likelier a mistake than a log line. */
static int
check_log(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	const struct conf_node *format = conf_node_get(node, "format");
	const struct conf_place *place =
	    format != NULL ? &format->value_place : &node->value_place;
	struct log *log = conf;
	struct span text;

	log->format = FORMAT_TEMPLATE;
	if (has_control(template_text(log->text))) {
		conf_report_error(ctx->report, place,
		    "a log format must not have control characters: each "
		    "request is one line");
		return -1;
	}
	if (!template_is_constant(log->text, &text))
		return 0;
	if (span_eq(text, SPAN("combined"))) {
		log->format = FORMAT_COMBINED;
	} else if (span_eq(text, SPAN("json"))) {
		log->format = FORMAT_JSON;
	} else {
		conf_report_error(ctx->report, place,
		    "`%.*s` is no log format: \"combined\", \"json\", or a "
		    "template with variables", SPAN_ARG(text));
		return -1;
	}
	return 0;
}

static const struct conf_item when_items[] = {
	CONF_CUSTOM("status", struct when, status, parse_statuses,
	    print_statuses, 0,
	    "only these statuses: numbers, or classes such as \"5xx\""),
	CONF_DURATION("slower_than", struct when, slower_than_ms, 0, 86400000,
	    "0", 0, "only requests that took longer; 0: all"),
	CONF_END,
};

static const struct conf_table when_table = {
	.name = "when",
	.items = when_items,
	.struct_bytes = sizeof(struct when),
};

static const struct conf_item log_items[] = {
	CONF_VALUE("path", STRING, struct log, path, NULL, CONF_REQUIRED,
	    "a file, \"stderr\", \"stdout\" or \"syslog\""),
	CONF_VALUE("format", TEMPLATE, struct log, text, "combined", 0,
	    "\"combined\", \"json\", or a template"),
	CONF_GROUP("when", struct log, when, &when_table, 0,
	    "which requests; all conditions must hold"),
	CONF_END,
};

static const struct conf_table log_table = {
	.name = "accesslog",
	.items = log_items,
	.struct_bytes = sizeof(struct log),
	.check = check_log,
};

static const struct conf_item items[] = {
	CONF_LIST("accesslog", struct accesslog_conf, logs, &log_table, 0,
	    "logs with a line for each request"),
	CONF_END,
};

static const struct conf_table table = {
	.name = "accesslog",
	.items = items,
	.struct_bytes = sizeof(struct accesslog_conf),
};

static bool
accesslog_is_active(const void *conf_ptr)
{
	const struct accesslog_conf *conf = conf_ptr;

	return conf->logs.count > 0;
}

/* Nothing is opened here: only what serves opens logs. */
static int
accesslog_start(const struct module_env *env, void *conf_ptr,
    struct error *err)
{
	struct accesslog_conf *conf = conf_ptr;
	struct log *logs = conf->logs.items;

	for (size_t i = 0; i < conf->logs.count; i++) {
		if (logtarget_add(env->log_targets, logs[i].path, err) < 0)
			return -1;
	}
	return 0;
}

static int
accesslog_attach(const struct module_env *env, void *conf_ptr,
    struct error *err)
{
	struct accesslog_conf *conf = conf_ptr;
	struct log *logs = conf->logs.items;

	for (size_t i = 0; i < conf->logs.count; i++) {
		int target = logtarget_number(env->log_targets, logs[i].path);

		if (target < 0)
			return error_set(err, "log %s is unknown",
			    logs[i].path);
		logs[i].target = (unsigned)target;
	}
	return 0;
}

/* ---- exchanges ---- */

static bool
is_wanted(const struct when *when, const struct exchange *ex)
{
	if (when->status.is_given &&
	    !(ex->head_sent && has_status(&when->status, ex->res.status)))
		return false;
	return when->slower_than_ms == 0 ||
	    ex->ended_us - ex->started_us > when->slower_than_ms * 1000;
}

static void
write_line(const struct log *log, const struct exchange *ex)
{
	char memory[LINE_BYTES];
	struct str line;

	str_init(&line, memory, sizeof(memory));
	switch (log->format) {
	case FORMAT_COMBINED:
		line_combined(&line, ex);
		break;
	case FORMAT_JSON:
		line_json(&line, ex);
		break;
	case FORMAT_TEMPLATE:
		line_template(&line, ex, log->text);
		break;
	}
	/* A full ring has counted what it did not take. */
	(void)logring_push(exchange_worker(ex)->log_ring, log->target,
	    LOG_LEVEL_INFO, str_view(&line));
}

static enum verdict
accesslog_on_log(struct exchange *ex, const void *conf_ptr)
{
	const struct accesslog_conf *conf = conf_ptr;
	const struct log *logs = conf->logs.items;

	for (size_t i = 0; i < conf->logs.count; i++) {
		if (is_wanted(&logs[i].when, ex))
			write_line(&logs[i], ex);
	}
	return VERDICT_NEXT;
}

const struct module mod_accesslog = {
	.name = "accesslog",
	.help = "logs with a line for each request",
	.table = &table,
	.conf_size = sizeof(struct accesslog_conf),
	.is_active = accesslog_is_active,
	.start = accesslog_start,
	.attach = accesslog_attach,
	.hooks = { [PHASE_LOG] = accesslog_on_log },
};
