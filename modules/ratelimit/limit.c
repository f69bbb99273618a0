/* SPDX-License-Identifier: BSD-2-Clause */
/* limit - reading of limits, and the keys of requests. */
#include "limit.h"

enum { REQUESTS_MAX = 1000000, SECOND_US = 1000000, DEFAULT_NAME_MAX = 24 };

static const struct {
	const char *unit;
	uint64_t us;
} units[] = {
	{ "s", SECOND_US },
	{ "m", 60 * UINT64_C(1000000) },
	{ "h", 3600 * UINT64_C(1000000) },
	{ "d", 86400 * UINT64_C(1000000) },
};

/* ---- options ---- */

/* "10/s": -1 if it is no rate. */
static int
parse_rate_text(struct span text, struct limit_rate *rate)
{
	const char *slash = memchr(text.p, '/', text.len);
	struct span unit;
	uint64_t requests;

	if (slash == NULL)
		return -1;
	unit = span_trim(span_of(slash + 1,
	    (size_t)(text.p + text.len - slash - 1)));
	if (span_u64(span_trim(span_of(text.p, (size_t)(slash - text.p))),
	    &requests) != 0 || requests == 0 || requests > REQUESTS_MAX)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (!span_eq(unit, span_cstr(units[i].unit)))
			continue;
		rate->requests = (uint32_t)requests;
		rate->period_us = units[i].us;
		return 0;
	}
	return -1;
}

static int
parse_rate(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
	if (node->type == CONF_NODE_STRING && node->v.string.len > 0 &&
	    parse_rate_text(node->v.string, field) == 0)
		return 0;
	conf_report_error(ctx->report, &node->value_place,
	    "a rate is a number from 1 to %d and a unit, s, m, h or d: "
	    "\"10/s\", \"100/m\"", REQUESTS_MAX);
	return -1;
}

static void
print_rate(const void *field, struct str *out)
{
	const struct limit_rate *rate = field;

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (rate->requests > 0 && rate->period_us == units[i].us)
			str_printf(out, "\"%u/%s\"", rate->requests,
			    units[i].unit);
	}
}

static bool
is_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
			return false;
	}
	return name.len > 0;
}

static void
find_identity(void *arg, struct span name)
{
	bool *is_late = arg;

	*is_late |= span_starts(name, SPAN("auth."));
}

static int
check_limit(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	struct limit *l = conf;
	const char *wrong = NULL;

	l->is_by_address = span_eq(template_text(l->key),
	    SPAN("${client.ip}"));
	template_each_var(l->key, find_identity, &l->is_late);
	if (l->rate.requests == 0 && l->concurrent == 0)
		wrong = "give a rate, or concurrent, or both";
	else if (l->rate.requests == 0 && (l->burst > 0 || l->delay_ms > 0))
		wrong = "burst and delay need a rate";
	else if (l->rate.requests == 0 && l->fields)
		wrong = "fields tells of a rate, and there is none";
	else if (l->name != NULL && !is_name(span_cstr(l->name)))
		wrong = "a name is made of visible ASCII characters, without "
		    "\" and \\";
	if (wrong == NULL)
		return 0;
	conf_report_error(ctx->report, &node->place, "ratelimit: %s", wrong);
	return -1;
}

static const struct conf_enum modes[] = {
	{ "enforce", LIMIT_ENFORCE },
	{ "shadow", LIMIT_SHADOW },
	{ NULL, 0 },
};

static const struct conf_item items[] = {
	CONF_VALUE("name", STRING, struct limit, name, NULL, 0,
	    "limits of one name count together"),
	CONF_VALUE("key", TEMPLATE, struct limit, key, "${client.ip}", 0,
	    "what is one client; empty: not limited"),
	CONF_CUSTOM("rate", struct limit, rate, parse_rate, print_rate, 0,
	    "requests per time: \"10/s\", \"100/m\""),
	CONF_UINT("burst", struct limit, burst, 0, 1000000, "0", NULL, 0,
	    "requests at once; 0: as many as the rate has"),
	CONF_DURATION("delay", struct limit, delay_ms, 0, 60000, "0", 0,
	    "how long a request may be held up instead of refused"),
	CONF_UINT("concurrent", struct limit, concurrent, 0, 65535, "0", NULL,
	    0, "requests at the same time; 0: no limit"),
	CONF_UINT("ipv6_prefix", struct limit, ipv6_prefix, 1, 128, "64",
	    "bits", 0, "of an IPv6 address that make up one client"),
	CONF_UINT("status", struct limit, status, 400, 599, "429", NULL, 0,
	    "of the answer to what is refused"),
	CONF_ENUM("mode", struct limit, mode, modes, "enforce", 0,
	    "shadow: count and log what would be refused, refuse nothing"),
	CONF_BOOL("fields", struct limit, fields, "false", 0,
	    "tell clients by RateLimit and RateLimit-Policy"),
	CONF_END,
};

const struct conf_table limit_table = {
	.name = "ratelimit",
	.items = items,
	.struct_bytes = sizeof(struct limit),
	.check = check_limit,
};

/* ---- start ---- */

void
limit_start(struct limit *l, struct arena *arena, const char *place,
    size_t number)
{
	const char *id = l->name != NULL ? l->name
	    : arena_printf(arena, "%s\n%zu", place, number);

	l->label = span_cstr(l->name != NULL ? l->name
	    : arena_printf(arena, "limit-%zu", number + 1));
	l->rate_text = arena_printf(arena, "%.*s: rate", SPAN_ARG(l->label));
	l->concurrent_text = arena_printf(arena, "%.*s: concurrent",
	    SPAN_ARG(l->label));
	/* The same in each version, for counts outlive a program. */
	l->id = hash_stable(span_cstr(id));
	if (l->rate.requests == 0)
		return;
	gcra_limit_set(&l->gcra, l->rate.requests, l->rate.period_us,
	    l->burst > 0 ? l->burst : l->rate.requests, l->delay_ms * 1000);
	l->policy = span_cstr(arena_printf(arena, "\"%.*s\";q=%u;w=%llu",
	    SPAN_ARG(l->label),
	    gcra_remaining(&l->gcra, 0),
	    (unsigned long long)((gcra_reset_us(
	    l->gcra.tolerance + l->gcra.interval) + SECOND_US - 1) /
	    SECOND_US)));
}

/* ---- keys ---- */

/* The first bits of it, the rest zero. */
static void
put_address(struct str *out, const struct addr_ip *ip, unsigned bits)
{
	uint8_t bytes[sizeof(ip->bytes)];

	if (ip->family == AF_UNIX) {
		str_lit(out, "unix:");
		return;
	}
	memcpy(bytes, ip->bytes, sizeof(bytes));
	if (ip->family == AF_INET6 && bits < 128) {
		bytes[bits / 8] &= (uint8_t)(0xff00 >> bits % 8);
		memset(bytes + bits / 8 + 1, 0, 15 - bits / 8);
	}
	str_put(out, (const char *)bytes, sizeof(bytes));
}

size_t
limit_key(const struct limit *l, const struct exchange *ex,
    char memory[LIMIT_KEY_BYTES_MAX])
{
	struct str out;

	str_init(&out, memory, LIMIT_KEY_BYTES_MAX);
	str_put(&out, (const char *)&l->id, sizeof(l->id));
	if (l->is_by_address)
		put_address(&out, &ex->client_ip, l->ipv6_prefix);
	else
		template_eval(l->key, ex, &out);
	return out.len > sizeof(l->id) || out.overflow ? out.len : 0;
}
