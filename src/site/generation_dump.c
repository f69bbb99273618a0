/* SPDX-License-Identifier: BSD-2-Clause */
/* generation_dump - the effective configuration as text (weir -T). */
#include "base/str.h"
#include "conf/dump.h"
#include "conf/origins.h"
#include "proxy/proxy.h"
#include "site/generation_private.h"
#include "site/modules.h"

/* What level has that outer (NULL = nothing) does not have as well. */
static void
dump_level(struct conf_dump *d, const struct build_level *level,
    const struct build_level *outer)
{
	if (outer == NULL || level->core != outer->core)
		conf_dump_table(d, &core_conf_table, level->core);
	for (size_t i = 0; i < modules_count(); i++) {
		if (outer == NULL || level->modules[i] != outer->modules[i])
			conf_dump_table(d, modules_get(i)->table,
			    level->modules[i]);
	}
}

static void
line(const struct conf_dump *d, const char *text)
{
	for (unsigned i = 0; i < d->indent; i++)
		fputc('\t', d->out);
	fprintf(d->out, "%s\n", text);
}

static void
dump_phases(const struct conf_dump *d, const struct route *r)
{
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		const struct phase_chain *chain = &r->phases.chains[i];

		if (chain->count == 0)
			continue;
		for (unsigned j = 0; j < d->indent; j++)
			fputc('\t', d->out);
		fprintf(d->out, "# phase %s:", phase_name((enum phase)i));
		for (uint32_t j = 0; j < chain->count; j++)
			fprintf(d->out, " %s", chain->items[j].module);
		fputc('\n', d->out);
	}
}

static void
dump_route(struct conf_dump *d, const struct route *r,
    const struct build_level *outer, const char *end)
{
	struct build_level level = { r->core, r->module_confs };

	line(d, "{");
	d->indent++;
	d->hidden = CONF_NOT_IN_ROUTE;
	conf_dump_table(d, &route_conf_table, r);
	dump_level(d, &level, outer);
	d->hidden = 0;
	dump_phases(d, r);
	d->indent--;
	line(d, end);
}

static void
dump_service(struct conf_dump *d, const struct service *service,
    const struct build_level *outer, const char *end)
{
	struct build_level level = { service->core,
		service->fallback.module_confs };

	line(d, "{");
	d->indent++;
	conf_dump_table(d, &route_conf_service_table, service);
	dump_level(d, &level, outer);
	line(d, "routes = (");
	d->indent++;
	for (size_t i = 0; i < service->route_count; i++)
		dump_route(d, service->routes[i], &level,
		    i + 1 < service->route_count ? "}," : "}");
	d->indent--;
	line(d, ");");
	d->indent--;
	line(d, end);
}

/* What one can do with the phases, in their order. */
static void
dump_phase_table(const struct conf_dump *d)
{
	line(d, "# phases, and the handlers of all modules in their order:");
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		fprintf(d->out, "#   %-27s", phase_name((enum phase)i));
		for (size_t j = 0; j < modules_count(); j++) {
			const struct module *m = modules_get(j);

			if (m->hooks[i] != NULL || m->body_hooks[i] != NULL ||
			    m->trailers_hooks[i] != NULL)
				fprintf(d->out, " %s", m->name);
		}
		fputc('\n', d->out);
	}
}

void
generation_dump(const struct generation *g, FILE *out)
{
	struct conf_dump d = { .out = out, .origins = g->origins };
	const struct conf_node *custom = conf_node_get(g->tree, "custom");
	size_t count = g->build.service_count;

	/* The admin listener is a service too, the last. */
	if (count > 0 && g->build.services[count - 1]->is_admin)
		count--;
	conf_dump_table(&d, &settings_table, &g->settings);
	if (custom != NULL)
		conf_dump_node(&d, custom);
	conf_dump_table(&d, &generation_root_table, g);
	line(&d, "http = {");
	d.indent++;
	dump_level(&d, &g->http, NULL);
	d.indent--;
	line(&d, "};");
	line(&d, "services = (");
	d.indent++;
	d.only_set = true;
	for (size_t i = 0; i < count; i++)
		dump_service(&d, g->build.services[i], &g->http,
		    i + 1 < count ? "}," : "}");
	d.indent--;
	line(&d, ");");
	dump_phase_table(&d);
}
