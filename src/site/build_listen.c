/* SPDX-License-Identifier: BSD-2-Clause */
/* build_listen - the addresses of a service, as the listeners of all. */
#include "site/build_private.h"

#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/str.h"
#include "net/listener.h"
#include "net/tls_ctx.h"
#include "os/proc.h"

/* The kernel's are whole, and none of them is what it has itself. */
static uint32_t
seconds(uint64_t ms)
{
	return (uint32_t)((ms + 999) / 1000);
}

static struct sock_tune
tune_of(const struct service_listen *l)
{
	return (struct sock_tune){ .values = {
		[SOCK_TUNE_FAST_OPEN] = l->fast_open,
		[SOCK_TUNE_RECEIVE_BUFFER] = (uint32_t)l->receive_buffer,
		[SOCK_TUNE_SEND_BUFFER] = (uint32_t)l->send_buffer,
		[SOCK_TUNE_KEEPALIVE_INTERVAL] =
		    seconds(l->keepalive_interval_ms),
		[SOCK_TUNE_KEEPALIVE_COUNT] = l->keepalive_count,
		[SOCK_TUNE_USER_TIMEOUT] = (uint32_t)l->user_timeout_ms,
		[SOCK_TUNE_DSCP] = l->dscp,
	} };
}

struct listener_spec *
build_listen_add(struct build *b, const struct service_listen *listen,
    struct service *service, const struct conf_node *node)
{
	struct listener_spec *spec;
	struct str text;

	b->listeners = heap_alloc_grow(b->listeners, b->listener_count + 1,
	    sizeof(*b->listeners));
	spec = &b->listeners[b->listener_count++];
	memset(spec, 0, sizeof(*spec));
	spec->addr = listen->address->addr;
	str_init(&text, arena_alloc(b->ctx->arena, 160), 160);
	addr_put(&text, &spec->addr);
	spec->text = str_terminate(&text);
	if (node != NULL)
		spec->place = node->place;
	spec->reuseport = listen->reuseport &&
	    spec->addr.u.sa.sa_family != AF_UNIX;
	spec->defer_accept = listen->defer_accept;
	spec->ipv6_only = listen->ipv6_only;
	spec->h2c = listen->h2c;
	spec->proxy_protocol = listen->proxy_protocol;
	spec->backlog = listen->backlog;
	spec->keepalive_s = seconds(listen->keepalive_ms);
	spec->tune = tune_of(listen);
	spec->mode = listen->mode;
	spec->service = service;
	spec->is_admin = service->is_admin;
	return spec;
}

/*
 * The context of a listener's TLS; not tried while there are errors, which may
 * be in its own options.
 */
static int
build_tls(struct build *b, struct listener_spec *spec,
    const struct service_listen *listen, const struct conf_node *node)
{
	static const char *const both[] = { "h2", "http/1.1", NULL };
	static const char *const h1[] = { "http/1.1", NULL };
	const struct conf_node *tls = conf_node_get(node, "tls");
	const struct tls_ctx_about about = {
		.name = spec->text,
		.alpn = listen->http2 ? both : h1,
		.place = tls != NULL ? &tls->place : &node->place,
		.report = b->ctx->report,
		.files = b->files,
		.keys = b->keys,
		.is_test = b->is_test,
	};

	if (!listen->has_tls || conf_report_errors(b->ctx->report) > 0)
		return 0;
	spec->tls = tls_ctx_server_new(&listen->tls, &about);
	return spec->tls == NULL ? -1 : 0;
}

/* Who owns the file of a Unix socket; of no other address. */
static int
find_owner(struct build *b, const struct service_listen *listen,
    struct listener_spec *spec, const struct conf_node *node)
{
	struct error err;

	if (listen->owner == NULL && listen->group == NULL)
		return 0;
	if (spec->addr.u.sa.sa_family != AF_UNIX)
		return build_wrong(b, node, "listen: \"%s\" has no file: owner and "
		    "group are for Unix sockets", spec->text);
	if (proc_owner_find(&spec->uid, &spec->gid, listen->owner,
	    listen->group, &err) != 0)
		return build_wrong(b, node, "listen: \"%s\": %s", spec->text,
		    err.text);
	spec->has_owner = true;
	return 0;
}

/* What only TCP has, and what is of no use alone. */
static int
check_tune(struct build *b, const struct service_listen *listen,
    const struct listener_spec *spec, const struct conf_node *node)
{
	const uint32_t *values = spec->tune.values;

	for (int i = 0; i < SOCK_TUNE_COUNT; i++) {
		if (values[i] != 0 && spec->addr.u.sa.sa_family == AF_UNIX)
			return build_wrong(b, node, "listen: \"%s\" is no TCP: "
			    "it has no %s", spec->text,
			    sock_tune_name((enum sock_tune_row)i));
	}
	if ((values[SOCK_TUNE_KEEPALIVE_INTERVAL] != 0 ||
	    values[SOCK_TUNE_KEEPALIVE_COUNT] != 0) &&
	    listen->keepalive_ms == 0)
		return build_wrong(b, node, "listen: keepalive_interval and "
		    "keepalive_count are of use with keepalive alone");
	return 0;
}

static int
check_http2(struct build *b, const struct service_listen *listen,
    const struct conf_node *node)
{
#ifndef HAVE_NGHTTP2
	if (listen->h2c || listen->http2)
		return build_wrong(b, node, "listen: HTTP/2 needs a weir that was "
		    "built with nghttp2");
#endif
	if (listen->http2 && !listen->has_tls)
		return build_wrong(b, node, "listen: http2 needs tls; HTTP/2 in "
		    "clear text is h2c");
	if (listen->h2c && listen->has_tls)
		return build_wrong(b, node, "listen: h2c is for clear text; with "
		    "tls it is http2");
	return 0;
}

int
build_listen(struct build *b, struct service *service)
{
	const struct service_listen *listens = service->listens.items;
	int result = 0;

	for (size_t i = 0; i < service->listens.count; i++) {
		const struct conf_node *node = service->listens.nodes[i];
		struct listener_spec *spec;
		bool duplicate = false;

		if (listens[i].address == NULL)
			continue; /* reported already */
		if (check_http2(b, &listens[i], node) != 0) {
			result = -1;
			continue;
		}
		if (listens[i].address->is_name) {
			result = build_wrong(b, node, "listen: \"%s\" is a name; an "
			    "address is needed", listens[i].address->host);
			continue;
		}
		for (size_t j = 0; j < b->listener_count; j++) {
			if (!addr_equal(&b->listeners[j].addr,
			    &listens[i].address->addr))
				continue;
			duplicate = true;
			if (b->listeners[j].service == service) {
				conf_report_warning(b->ctx->report,
				    &node->place, "duplicate listen %s",
				    b->listeners[j].text);
				continue;
			}
			conf_report_error(b->ctx->report, &node->place,
			    "listen %s: another service listens there (%s:%u)",
			    b->listeners[j].text,
			    b->listeners[j].place.file != NULL
			    ? b->listeners[j].place.file : "?",
			    b->listeners[j].place.line);
			result = -1;
		}
		if (duplicate)
			continue;
		spec = build_listen_add(b, &listens[i], service, node);
		if (find_owner(b, &listens[i], spec, node) != 0 ||
		    check_tune(b, &listens[i], spec, node) != 0 ||
		    build_tls(b, spec, &listens[i], node) != 0)
			result = -1;
	}
	return result;
}
