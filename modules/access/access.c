/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access - who may ask for what.
 *
 * A list of rules, of which the first that holds decides; what no rule speaks
 * of is allowed.  Rules marked so are tried before, among themselves, when a
 * connection comes and nothing but its address is known.  First of all modules
 * that refuse, as it costs least.  Never suspends an exchange.
 */
#include "module.h"

#include "acl.h"

enum { ACCESS_ORDER = 100 };

struct access_conf {
	struct conf_list rules; /* of struct acl */
};

enum {
	COUNT_CHECKED,
	COUNT_DENIED,
	COUNT_SHADOW,
	COUNT_CONNECTIONS_DENIED,
	COUNTS,
};

static const struct metric rows[COUNTS] = {
	[COUNT_CHECKED] = { "checked_total",
	    "Requests that an access list was asked about.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_DENIED] = { "denied_total", "Requests that a rule denied.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_SHADOW] = { "shadow_total",
	    "Requests and connections that a rule in shadow mode would have "
	    "denied.", METRIC_COUNTER, NULL, false },
	[COUNT_CONNECTIONS_DENIED] = { "connections_denied_total",
	    "Connections that a rule denied.", METRIC_COUNTER, NULL, false },
};

static const struct metric_set metrics =
    METRIC_SET("access", METRIC_SCOPE_PROCESS, rows);

static const struct conf_item items[] = {
	CONF_LIST("access", struct access_conf, rules, &acl_table, 0,
	    "who may ask for what"),
	CONF_END,
};

static const struct conf_table table = {
	.name = "access",
	.items = items,
	.struct_bytes = sizeof(struct access_conf),
};

static bool
access_is_active(const void *conf_ptr)
{
	const struct access_conf *conf = conf_ptr;

	return conf->rules.count > 0;
}

/* It has been read with the rule. */
static int
watch(const struct module_env *env, struct acl *a, struct error *err)
{
	const struct files_spec file = {
		.what = a->name,
		.path = a->file,
		.bytes_max = ACL_FILE_MAX,
		.prepare = acl_prepare,
		.receive = acl_receive,
		.arg = a,
		.read_at = &a->stamp,
	};

	return files_add(env->files, &file, err);
}

static int
access_start(const struct module_env *env, void *conf_ptr, struct error *err)
{
	struct access_conf *conf = conf_ptr;
	struct acl *rules = conf->rules.items;

	for (size_t i = 0; i < conf->rules.count; i++) {
		if (rules[i].name == NULL)
			rules[i].name = arena_printf(env->arena,
			    "access rule %zu", i + 1);
		if (rules[i].file != NULL && watch(env, &rules[i], err) != 0)
			return -1;
	}
	return 0;
}

/* ---- connections ---- */

static bool
access_guards_connections(const void *conf_ptr)
{
	const struct access_conf *conf = conf_ptr;
	const struct acl *rules = conf->rules.items;

	for (size_t i = 0; i < conf->rules.count; i++) {
		if (rules[i].connection)
			return true;
	}
	return false;
}

/* A client alone can cause it: the log limits how often. */
static void
tell(const struct acl *a, const struct addr_ip *peer, const char *what)
{
	char memory[ADDR_IP_TEXT_MAX];
	struct str ip;

	if (log_get_level() < LOG_LEVEL_INFO)
		return;
	str_init(&ip, memory, sizeof(memory));
	addr_ip_put(&ip, peer);
	log_info(NULL, "%.*s: connection %s: %s", SPAN_ARG(str_view(&ip)),
	    what, a->name);
}

static bool
access_on_connection(const void *conf_ptr, const struct addr_ip *peer,
    _Atomic uint64_t *counts)
{
	const struct access_conf *conf = conf_ptr;
	const struct acl *rules = conf->rules.items;

	for (size_t i = 0; i < conf->rules.count; i++) {
		const struct acl *a = &rules[i];

		if (!a->connection || !acl_has_client(a, peer))
			continue;
		if (a->action == ACL_ALLOW)
			return true;
		if (a->mode == ACL_SHADOW) {
			counter_add(&counts[COUNT_SHADOW], 1);
			tell(a, peer, "would be denied");
			continue;
		}
		counter_add(&counts[COUNT_CONNECTIONS_DENIED], 1);
		tell(a, peer, "denied");
		return false;
	}
	return true;
}

/* ---- exchanges ---- */

static enum verdict
deny(struct exchange *ex, const struct acl *a, _Atomic uint64_t *counts)
{
	counter_add(&counts[COUNT_DENIED], 1);
	ex->fail_status = (uint16_t)a->status;
	ex->fail_silent = a->drop;
	return exchange_fail(ex, REASON_DENIED, a->name);
}

static enum verdict
access_on_request(struct exchange *ex, const void *conf_ptr)
{
	const struct access_conf *conf = conf_ptr;
	const struct acl *rules = conf->rules.items;
	_Atomic uint64_t *counts = exchange_counters(ex);

	counter_add(&counts[COUNT_CHECKED], 1);
	for (size_t i = 0; i < conf->rules.count; i++) {
		const struct acl *a = &rules[i];

		if (!acl_has_request(a, ex))
			continue;
		if (a->action == ACL_ALLOW)
			break;
		if (a->mode == ACL_ENFORCE)
			return deny(ex, a, counts);
		counter_add(&counts[COUNT_SHADOW], 1);
		log_info(&ex->log, "access would deny: %s", a->name);
	}
	return VERDICT_NEXT;
}

const struct module mod_access = {
	.name = "access",
	.help = "who may ask for what",
	.table = &table,
	.conf_size = sizeof(struct access_conf),
	.order = ACCESS_ORDER,
	.metrics = &metrics,
	.is_active = access_is_active,
	.start = access_start,
	.guards_connections = access_guards_connections,
	.on_connection = access_on_connection,
	.hooks = { [PHASE_REQUEST] = access_on_request },
};
