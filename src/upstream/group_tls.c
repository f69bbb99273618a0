/* SPDX-License-Identifier: BSD-2-Clause */
/* group_tls - how the backends of an upstream are spoken to over TLS. */
#include "net/tls_ctx.h"
#include "upstream/group.h"

enum { ALPN_MAX = 8 };

static struct tls_client *
open_one(const struct group *g, const struct tls_client_conf *conf,
    const struct tls_ctx_about *from, const struct conf_place *place)
{
	static const char *const spoken[][3] = {
		[GROUP_H1] = { "http/1.1" },
		[GROUP_H2] = { "h2" },
		[GROUP_AUTO] = { "h2", "http/1.1" },
	};
	const char *own[ALPN_MAX + 1] = { NULL };
	const struct tls_ctx_about about = {
		.name = g->conf->name,
		.alpn = conf->alpn.count > 0 ? own
		    : spoken[g->conf->protocol],
		.place = place,
		.report = from->report,
		.files = from->files,
		.keys = from->keys,
		.is_test = from->is_test,
	};

	for (size_t i = 0; i < conf->alpn.count && i < ALPN_MAX; i++)
		own[i] = conf->alpn.items[i];
	return tls_ctx_client_new(conf, &about);
}

/* What is verified has a name: that of an address has to be told. */
static void
warn(const struct backend *b, struct conf_report *report,
    const struct conf_place *place)
{
	const struct tls_client_conf *conf = b->tls_conf;

	if (conf->verify && conf->verify_hostname && conf->sni == NULL &&
	    conf->alternative_cn == NULL && !b->is_name)
		conf_report_warning(report, place, "backend %.*s is an "
		    "address: which name its certificate is for is not "
		    "checked unless sni says it", SPAN_ARG(b->text));
}

int
group_tls_open(struct group *g, const struct tls_ctx_about *about,
    const struct conf_place *place)
{
	struct conf_report *report = about->report;
	const struct backend_conf *confs = g->conf->backends.items;
	int result = 0;

	/* One that has errors is for its name alone. */
	if (g->backends == NULL || conf_report_errors(report) > 0)
		return 0;
	if (g->conf->has_tls) {
		g->tls = open_one(g, &g->conf->tls, about, place);
		if (g->tls == NULL)
			return -1;
	}
	for (uint32_t i = 0; i < g->backend_count; i++) {
		struct backend *b = &g->backends[i];
		const struct backend_conf *conf = &confs[b->conf_index];
		const struct conf_place *at =
		    &g->conf->backends.nodes[b->conf_index]->place;

		if (b->place > 0) {
			b->tls = g->backends[i - 1].tls;
			b->tls_conf = g->backends[i - 1].tls_conf;
			continue;
		}
		if (conf->has_tls) {
			b->tls_conf = &conf->tls;
			b->tls = open_one(g, b->tls_conf, about, at);
			if (b->tls == NULL)
				result = -1;
		} else if (g->tls != NULL) {
			b->tls = g->tls;
			b->tls_conf = &g->conf->tls;
		}
		if (b->tls != NULL)
			warn(b, report, at);
	}
	return result;
}

void
group_tls_close(struct group *g)
{
	for (uint32_t i = 0; g->backends != NULL && i < g->backend_count;
	     i++) {
		struct backend *b = &g->backends[i];

		if (b->tls != g->tls && b->place == 0)
			tls_ctx_client_free(b->tls);
		b->tls = NULL;
	}
	tls_ctx_client_free(g->tls);
	g->tls = NULL;
}
