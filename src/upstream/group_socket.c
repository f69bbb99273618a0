/* SPDX-License-Identifier: BSD-2-Clause */
/* group_socket - from where backends are connected to, and how tuned. */
#include "upstream/group_socket.h"

#include <string.h>

#include "base/arena.h"
#include "base/entropy.h"
#include "os/sock_connect.h"
#include "upstream/group_conf.h"

enum { BUFFER_MAX = 512 * 1024 * 1024, HOURS_9_MS = 9 * 3600 * 1000 };

static const struct conf_item tcp_items[] = {
	CONF_DURATION("keepalive", struct group_tcp, keepalive_ms, 0,
	    HOURS_9_MS, "0", 0,
	    "probe backends that are silent for so long; 0 = never"),
	CONF_DURATION("keepalive_interval", struct group_tcp,
	    keepalive_interval_ms, 0, HOURS_9_MS, "0", 0,
	    "from one probe to the next; 0 = the kernel's"),
	CONF_UINT("keepalive_count", struct group_tcp, keepalive_count, 0,
	    127, "0", NULL, 0,
	    "probes without an answer until the end; 0 = the kernel's"),
	CONF_DURATION("user_timeout", struct group_tcp, user_timeout_ms, 0,
	    86400000, "0", 0,
	    "end a connection whose data nobody confirms; 0 = the kernel's"),
	CONF_BOOL("fast_open", struct group_tcp, fast_open, "false", 0,
	    "begin the TLS handshake in the first packet"),
	CONF_SIZE("receive_buffer", struct group_tcp, receive_buffer, 0,
	    BUFFER_MAX, "0", 0,
	    "the kernel's buffer for what comes; 0 = it adapts"),
	CONF_SIZE("send_buffer", struct group_tcp, send_buffer, 0,
	    BUFFER_MAX, "0", 0,
	    "the kernel's buffer for what goes; 0 = it adapts"),
	CONF_UINT("dscp", struct group_tcp, dscp, 0, 63, "0", NULL, 0,
	    "class of the packets that go (RFC 2474)"),
	CONF_END,
};

const struct conf_table group_socket_tcp_table = {
	.name = "tcp",
	.items = tcp_items,
	.struct_bytes = sizeof(struct group_tcp),
};

static unsigned
seconds(uint64_t ms)
{
	return (unsigned)((ms + 999) / 1000);
}

static bool
read_ports(struct span text, struct sock_source *source)
{
	struct span low, high;
	const char *dash = text.len > 0 ? memchr(text.p, '-', text.len) : NULL;
	uint64_t first, last;

	low = high = text;
	if (dash != NULL) {
		low.len = (size_t)(dash - text.p);
		high = span_of(dash + 1, text.len - low.len - 1);
	}
	if (span_u64(low, &first) != 0 || span_u64(high, &last) != 0 ||
	    first == 0 || first > last || last > UINT16_MAX)
		return false;
	source->low = (uint16_t)first;
	source->high = (uint16_t)last;
	return true;
}

/* "192.0.2.1", "192.0.2.1:20000-20999", "[2001:db8::1]:20000-20999". */
static bool
read_source(const char *text, struct sock_source *source)
{
	struct span host = span_cstr(text);
	const char *colon = strrchr(text, ':');
	struct addr_ip ip;

	if (addr_ip_parse(host, &ip) != 0) {
		if (colon == NULL || !read_ports(span_cstr(colon + 1), source))
			return false;
		host.len = (size_t)(colon - text);
		if (host.len > 2 && host.p[0] == '[' &&
		    host.p[host.len - 1] == ']')
			host = span_of(host.p + 1, host.len - 2);
		else if (memchr(host.p, ':', host.len) != NULL)
			return false;
		if (addr_ip_parse(host, &ip) != 0)
			return false;
		source->by_kernel = sock_connect_is_kernels(source->low,
		    source->high);
	}
	source->addr.u.sa.sa_family = ip.family;
	if (ip.family == AF_INET) {
		source->addr.len = sizeof(source->addr.u.in);
		memcpy(&source->addr.u.in.sin_addr, ip.bytes + 12, 4);
	} else {
		source->addr.len = sizeof(source->addr.u.in6);
		memcpy(&source->addr.u.in6.sin6_addr, ip.bytes, 16);
	}
	return true;
}

static void
fill_tune(struct group_conf *conf)
{
	const struct group_tcp *tcp = &conf->tcp;

	conf->tune = (struct sock_tune){ .values = {
		[SOCK_TUNE_RECEIVE_BUFFER] = (uint32_t)tcp->receive_buffer,
		[SOCK_TUNE_SEND_BUFFER] = (uint32_t)tcp->send_buffer,
		[SOCK_TUNE_KEEPALIVE_INTERVAL] =
		    seconds(tcp->keepalive_interval_ms),
		[SOCK_TUNE_KEEPALIVE_COUNT] = tcp->keepalive_count,
		[SOCK_TUNE_USER_TIMEOUT] = (uint32_t)tcp->user_timeout_ms,
		[SOCK_TUNE_DSCP] = tcp->dscp,
	} };
}

int
group_socket_check(struct conf_ctx *ctx, const struct conf_node *node,
    struct group_conf *conf)
{
	size_t count = conf->bind.count;

	fill_tune(conf);
	conf->sources = arena_zalloc(ctx->arena,
	    count * sizeof(*conf->sources));
	for (size_t i = 0; i < count; i++) {
		conf->sources[i].falls_back = conf->bind_fallback;
		if (read_source(conf->bind.items[i], &conf->sources[i]))
			continue;
		conf_report_error(ctx->report,
		    &conf_node_get(node, "bind")->value_place,
		    "\"%s\" is no address, as 192.0.2.1 or 2001:db8::1, and "
		    "none with ports, as 192.0.2.1:20000-20999 or "
		    "[2001:db8::1]:20000-20999", conf->bind.items[i]);
		return -1;
	}
	conf->source_count = count;
	return 0;
}

/* One of the family, by chance; NULL = the kernel chooses. */
static const struct sock_source *
choose(const struct group_conf *conf, const struct addr *to)
{
	size_t count = conf->source_count;
	size_t first = count > 1 ? entropy_fast() : 0;

	for (size_t i = 0; i < count; i++) {
		const struct sock_source *source =
		    &conf->sources[(first + i) % count];

		if (source->addr.u.sa.sa_family == to->u.sa.sa_family)
			return source;
	}
	return NULL;
}

int
group_socket_connect(const struct group_conf *conf, const struct addr *to,
    bool has_tls, bool *in_progress)
{
	const struct sock_connect_options o = {
		.from = choose(conf, to),
		.tune = &conf->tune,
		.keepalive_s = seconds(conf->tcp.keepalive_ms),
		.fast_open = conf->tcp.fast_open && has_tls &&
		    !conf->has_via,
	};

	return sock_connect_with(&o, to, in_progress);
}
