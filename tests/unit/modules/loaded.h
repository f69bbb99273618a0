/* SPDX-License-Identifier: BSD-2-Clause */
/* loaded - a module's conf from text, and an exchange made by hand. */
#ifndef TESTS_UNIT_MODULES_LOADED_H
#define TESTS_UNIT_MODULES_LOADED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "conf/item.h"
#include "http/field.h"
#include "os/logtarget.h"
#include "proxy/exchange.h"
#include "proxy/module_def.h"
#include "proxy/proxy_private.h"
#include "proxy/route.h"
#include "proxy/value.h"
#include "proxy/vars.h"

/* What one test works with; zeroed, then loaded_init(). */
struct loaded {
	struct arena arena;
	struct logtargets targets;
	char errors[4096]; /* what was reported */
	struct exchange ex;
	struct proxy proxy;
	struct service service;
	struct route route;
	struct group group;
	struct backend backend;
	_Atomic uint64_t stats[PROXY_STAT_COUNT];
};

static inline void
loaded_init(struct loaded *l)
{
	memset(l, 0, sizeof(*l));
	arena_init(&l->arena, NULL);
	logtarget_init(&l->targets);
	arena_init(&l->ex.arena, NULL);
	l->proxy.stats = l->stats;
	l->service.name = "web";
	l->route.name = "web/1";
	l->group.name = SPAN("app");
	l->backend.text = SPAN("127.0.0.1:81");
	l->backend.label = l->backend.text;
	l->ex.proxy = &l->proxy;
	l->ex.service = &l->service;
	l->ex.route = &l->route;
	addr_ip_parse(SPAN("192.0.2.7"), &l->ex.client_ip);
}

static inline void
loaded_fini(struct loaded *l)
{
	arena_fini(&l->ex.arena);
	arena_fini(&l->arena);
	logtarget_fini(&l->targets);
}

/* The module's conf as text sets it; NULL and l->errors if refused. */
static inline void *
loaded_conf(struct loaded *l, const struct module *m, const char *text)
{
	struct conf_report *report = conf_report_new();
	struct conf_ctx ctx = { .arena = &l->arena, .report = report,
		.vars = &vars_all };
	const struct module_env env = { .arena = &l->arena,
		.log_targets = &l->targets, .workers = 1 };
	void *conf = arena_zalloc(&l->arena, m->conf_size);
	struct conf_part part = { m->table, conf };
	struct conf_node *tree;
	struct error err;
	FILE *out = fmemopen(l->errors, sizeof(l->errors), "w");

	conf_defaults(&ctx, m->table, conf);
	tree = conf_tree_parse(&l->arena, "test.conf", span_cstr(text),
	    report);
	if (tree == NULL || conf_report_errors(report) > 0 ||
	    conf_apply(&ctx, tree, &part, 1) != 0)
		conf = NULL;
	conf_report_print(report, out);
	conf_report_free(report);
	if (conf != NULL && (m->start(&env, conf, &err) != 0 ||
	    (m->attach != NULL && m->attach(&env, conf, &err) != 0))) {
		fputs(err.text, out);
		conf = NULL;
	}
	fclose(out);
	return conf;
}

static inline void
loaded_add(struct loaded *l, struct http_fields *fields, const char *name,
    const char *value)
{
	http_fields_add(fields, &l->ex.arena, span_cstr(name),
	    span_cstr(value));
}

#endif
