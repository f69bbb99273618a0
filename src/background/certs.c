/* SPDX-License-Identifier: BSD-2-Clause */
/* certs - listing the certificates of all listeners. */
#include "background/certs.h"

#include <time.h>

#include "background/commands.h"
#include "background/ocsp.h"
#include "base/now.h"
#include "net/listener.h"
#include "net/tls_staple.h"
#include "net/tls_watch.h"
#include "site/generation.h"

static void
put_time(struct json *j, const char *name, int64_t at_s)
{
	time_t seconds = (time_t)at_s;
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_cstr(j, name, text);
}

/* What is stapled: until when, or why it is nothing. */
static void
put_ocsp(struct json *j, const struct certs *certs,
    const struct listener_spec *spec, size_t i)
{
	const char *why = ocsp_why(certs->ocsp, spec, i);
	int64_t from_s, until_s;
	bool is_good;

	tls_staple_times(spec->tls, i, &from_s, &until_s);
	is_good = until_s > (int64_t)(now_wall_ms() / 1000);
	json_cstr(j, "ocsp", is_good ? "stapled" : until_s > 0 ? "expired" :
	    tls_staple_is_wanted(spec->tls, i) ? "missing" : "none");
	if (until_s > 0)
		put_time(j, "ocsp_until", until_s);
	if (why != NULL)
		json_cstr(j, "ocsp_why", why);
}

static void
put_one(struct json *j, const struct certs *certs,
    const struct listener_spec *spec, size_t i)
{
	int64_t now_s = (int64_t)(now_wall_ms() / 1000);
	struct tls_watch_info info;
	int64_t left_s;

	tls_watch_describe(spec->tls, i, &info);
	left_s = info.not_after_s - now_s;
	json_object(j, NULL);
	json_cstr(j, "listen", spec->text);
	json_cstr(j, "name", info.name);
	json_u64(j, "names", info.name_count);
	json_cstr(j, "key", info.kind);
	put_time(j, "expires", info.not_after_s);
	json_i64(j, "days", left_s > 0 ? left_s / 86400 : -1);
	put_ocsp(j, certs, spec, i);
	json_cstr(j, "cert", info.cert);
	json_close(j);
}

static int
run_certs(struct command_call *call)
{
	const struct certs *certs = call->arg;
	size_t count;
	const struct listener_spec *specs =
	    generation_listeners(certs->generation, &count);

	json_array(call->json, "certs");
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; specs[i].tls != NULL &&
		    k < tls_watch_count(specs[i].tls); k++)
			put_one(call->json, certs, &specs[i], k);
	}
	json_close(call->json);
	return 0;
}

static const struct command rows[] = {
	{ .name = "certs", .help = "show the listeners' certificates",
	    .run = run_certs },
	{ .name = NULL },
};

void
certs_add_commands(struct certs *certs, struct commands *commands)
{
	commands_add(commands, rows, certs);
}
