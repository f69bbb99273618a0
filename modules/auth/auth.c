/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * auth - who a client is, by an API key or by name and password.
 *
 * Keys are looked up by their hash, which costs next to nothing; so they are
 * asked for first.  A password's hash takes milliseconds and is left to helper
 * threads, while the exchange waits.  Limits that need the identity run behind
 * this module, all others before it.
 */
#include "module.h"

#include "credentials.h"
#include "logins.h"
#include "options.h"
#include "strip.h"

enum { AUTH_ORDER = 300 }; /* behind access and ratelimit */

enum {
	COUNT_CHECKED,
	COUNT_GRANTED_KEY,
	COUNT_GRANTED_BASIC,
	COUNT_MISSING,
	COUNT_INVALID,
	COUNT_EXPIRED,
	COUNT_FORBIDDEN,
	COUNT_BUSY,
	COUNT_SHADOW,
	COUNT_HASHED,
	COUNT_CACHED,
	COUNTS,
};

static const struct metric rows[COUNTS] = {
	[COUNT_CHECKED] = { "checked_total",
	    "Requests that were asked for credentials.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_GRANTED_KEY] = { "granted_total",
	    "Credentials that were good.", METRIC_COUNTER,
	    "method=\"api_key\"", false },
	[COUNT_GRANTED_BASIC] = { "granted_total", NULL, METRIC_COUNTER,
	    "method=\"basic\"", false },
	[COUNT_MISSING] = { "refused_total", "Requests that were refused.",
	    METRIC_COUNTER, "reason=\"missing\"", false },
	[COUNT_INVALID] = { "refused_total", NULL, METRIC_COUNTER,
	    "reason=\"invalid\"", false },
	[COUNT_EXPIRED] = { "refused_total", NULL, METRIC_COUNTER,
	    "reason=\"expired\"", false },
	[COUNT_FORBIDDEN] = { "refused_total", NULL, METRIC_COUNTER,
	    "reason=\"forbidden\"", false },
	[COUNT_BUSY] = { "refused_total", NULL, METRIC_COUNTER,
	    "reason=\"busy\"", false },
	[COUNT_SHADOW] = { "shadow_total",
	    "Requests that would have been refused, in shadow mode.",
	    METRIC_COUNTER, NULL, false },
	[COUNT_HASHED] = { "hashed_total",
	    "Passwords that had to wait for a hash.", METRIC_COUNTER, NULL,
	    false },
	[COUNT_CACHED] = { "cached_total",
	    "Passwords whose verdict was remembered.", METRIC_COUNTER, NULL,
	    false },
};

static const struct metric_set metrics =
    METRIC_SET("auth", METRIC_SCOPE_PROCESS, rows);

static const struct conf_item items[] = {
	{ .name = "auth", .type = CONF_TYPE_GROUP, .table = &options_table,
	    .present = offsetof(struct auth_conf, is_given),
	    .help = "who clients are, and who may pass" },
	CONF_END,
};

static const struct conf_table table = {
	.name = "auth",
	.items = items,
	.struct_bytes = sizeof(struct auth_conf),
};

/* What has become of one method; GOOD last, else the worst is told. */
enum state {
	STATE_MISSING,
	STATE_INVALID,
	STATE_EXPIRED,
	STATE_BUSY,
	STATE_GOOD,
};

static const struct {
	enum reason reason;
	unsigned count;
} refusals[] = {
	[STATE_MISSING] = { REASON_AUTH_MISSING, COUNT_MISSING },
	[STATE_INVALID] = { REASON_AUTH_INVALID, COUNT_INVALID },
	[STATE_EXPIRED] = { REASON_AUTH_EXPIRED, COUNT_EXPIRED },
	[STATE_BUSY] = { REASON_AUTH_BUSY, COUNT_BUSY },
};

/* What is known of an exchange's client; in its arena while it waits. */
struct auth_ctx {
	struct exchange *ex;
	const struct auth_conf *conf;
	_Atomic uint64_t *counts;
	struct logins_waiter waiter;
	enum state key, basic;
	const char *key_detail, *basic_detail; /* of what is not good */
	struct span key_identity, scopes;      /* in the exchange's arena */
	struct span user;
};

static bool
auth_is_active(const void *conf_ptr)
{
	const struct auth_conf *conf = conf_ptr;

	return conf->mode != OPTIONS_OFF &&
	    (conf->has_api_key || conf->has_basic);
}

static bool
auth_runs_in(const void *conf_ptr, enum phase phase)
{
	const struct auth_conf *conf = conf_ptr;

	if (phase == PHASE_EARLY_REQUEST || phase == PHASE_ROUTE)
		return conf->has_api_key && conf->api_key.query != NULL;
	/* In the phase log, of those who wait. */
	return phase == PHASE_REQUEST || conf->has_basic;
}

static int
auth_start(const struct module_env *env, void *conf, struct error *err)
{
	return options_start(env, conf, err);
}

/* ---- verdicts ---- */

static enum verdict
refuse(struct auth_ctx *ctx, enum reason reason, unsigned count,
    const char *detail)
{
	struct exchange *ex = ctx->ex;

	if (ctx->conf->mode == OPTIONS_SHADOW) {
		counter_add(&ctx->counts[COUNT_SHADOW], 1);
		log_info(&ex->log, "auth would refuse: %s%s%s",
		    reason_info(reason)->cause, detail != NULL ? ": " : "",
		    detail != NULL ? detail : "");
		strip_credentials(ex, ctx->conf);
		return VERDICT_NEXT;
	}
	counter_add(&ctx->counts[count], 1);
	ex->challenge = ctx->conf->challenge;
	return exchange_fail(ex, reason, detail);
}

static bool
is_named(const struct conf_strings *names, struct span name)
{
	for (size_t i = 0; i < names->count && name.len > 0; i++) {
		if (span_eq(name, span_cstr(names->items[i])))
			return true;
	}
	return false;
}

static bool
has_scope(struct span scopes, const char *name)
{
	struct span scope;

	while (keyfile_next_scope(&scopes, &scope)) {
		if (span_eq(scope, span_cstr(name)))
			return true;
	}
	return false;
}

/* NULL, or what of `require` does not hold. */
static const char *
find_lack(const struct auth_ctx *ctx)
{
	const struct options_require *r = &ctx->conf->require;

	if (r->identities.count > 0 &&
	    !(ctx->key == STATE_GOOD &&
	    is_named(&r->identities, ctx->key_identity)) &&
	    !(ctx->basic == STATE_GOOD &&
	    is_named(&r->identities, ctx->user)))
		return "it is none of the identities of require";
	for (size_t i = 0; i < r->scopes.count; i++) {
		if (ctx->key != STATE_GOOD ||
		    !has_scope(ctx->scopes, r->scopes.items[i]))
			return "it has not all scopes of require";
	}
	return NULL;
}

static void
set_identity(struct auth_ctx *ctx)
{
	struct exchange *ex = ctx->ex;

	if (ctx->key == STATE_GOOD) {
		counter_add(&ctx->counts[COUNT_GRANTED_KEY], 1);
		ex->identity = ctx->key_identity;
		ex->auth_scopes = ctx->scopes;
		ex->auth_method = SPAN("api_key");
	}
	if (ctx->basic == STATE_GOOD) {
		counter_add(&ctx->counts[COUNT_GRANTED_BASIC], 1);
		/* Of both, the person rather than the program. */
		ex->identity = ctx->user;
		ex->auth_method = ctx->key == STATE_GOOD
		    ? SPAN("api_key+basic") : SPAN("basic");
	}
}

/* Of a method that did not do: missing is the least of faults. */
static enum verdict
refuse_state(struct auth_ctx *ctx, bool is_key)
{
	enum state state = is_key ? ctx->key : ctx->basic;

	return refuse(ctx, refusals[state].reason, refusals[state].count,
	    is_key ? ctx->key_detail : ctx->basic_detail);
}

/* Everything is known. */
static enum verdict
decide(struct auth_ctx *ctx)
{
	const struct auth_conf *conf = ctx->conf;
	bool has_key = ctx->key == STATE_GOOD;
	bool has_basic = ctx->basic == STATE_GOOD;
	const char *lack;

	if (conf->satisfy == OPTIONS_ALL) {
		if (conf->has_api_key && !has_key)
			return refuse_state(ctx, true);
		if (conf->has_basic && !has_basic)
			return refuse_state(ctx, false);
	} else if (!has_key && !has_basic) {
		return refuse_state(ctx, conf->has_api_key &&
		    (!conf->has_basic || ctx->key >= ctx->basic));
	}
	set_identity(ctx);
	lack = find_lack(ctx);
	if (lack != NULL)
		return refuse(ctx, REASON_AUTH_FORBIDDEN, COUNT_FORBIDDEN,
		    lack);
	strip_credentials(ctx->ex, conf);
	return VERDICT_NEXT;
}

/* ---- API keys ---- */

static enum credentials
key_of_fields(struct exchange *ex, const struct options_api_key *k,
    struct span *key)
{
	struct span name = span_cstr(k->header);
	enum credentials found = CREDENTIALS_NONE;

	for (struct http_field *f = http_fields_find(&ex->req.fields, name);
	    f != NULL; f = http_fields_next(&ex->req.fields, f)) {
		enum credentials here = credentials_scheme(
		    http_field_value(f), span_cstr(k->scheme), key);

		if (here == CREDENTIALS_NONE)
			continue;
		/* Compressed by nobody on its way (RFC 7541, 7.1.3). */
		f->flags |= HTTP_FIELD_SENSITIVE;
		found = credentials_join(found, here);
	}
	return found;
}

static enum credentials
key_of_cookies(const struct exchange *ex, struct span name, struct span *key)
{
	const struct http_fields *fields = &ex->req.fields;
	enum credentials found = CREDENTIALS_NONE;

	for (struct http_field *f = http_fields_get(fields, FIELD_COOKIE);
	    f != NULL; f = http_fields_next(fields, f))
		found = credentials_join(found, credentials_cookie(
		    http_field_value(f), name, key));
	return found;
}

/* A key of one place alone; memory is for one of the query. */
static enum credentials
find_key(struct exchange *ex, const struct options_api_key *k,
    char memory[CREDENTIALS_KEY_MAX], struct span *key)
{
	enum credentials found = CREDENTIALS_NONE;

	if (k->header != NULL)
		found = key_of_fields(ex, k, key);
	if (k->query != NULL && ex->req.has_query)
		found = credentials_join(found, credentials_arg(
		    ex->req.query, span_cstr(k->query), memory, key));
	if (k->cookie != NULL)
		found = credentials_join(found,
		    key_of_cookies(ex, span_cstr(k->cookie), key));
	if (found == CREDENTIALS_FOUND && key->len > CREDENTIALS_KEY_MAX)
		return CREDENTIALS_BAD;
	return found;
}

static struct span
keep(struct exchange *ex, struct span s)
{
	return s.len == 0 ? span_of(NULL, 0)
	    : span_of(arena_dup(&ex->arena, s), s.len);
}

static void
look_up_key(struct auth_ctx *ctx, struct span key)
{
	struct exchange *ex = ctx->ex;
	const struct keyfile_entry *e;
	uint8_t hash[DIGEST_SHA256_BYTES];

	digest_sha256(exchange_digest(ex), &key, 1, hash);
	e = keys_find(ctx->conf->keys->keys, hash);
	if (e == NULL) {
		ctx->key = STATE_INVALID;
		ctx->key_detail = "there is no such API key";
		return;
	}
	/* Copies: the file may be read anew while the exchange lasts. */
	ctx->key_identity = keep(ex, e->identity);
	ctx->scopes = keep(ex, e->scopes);
	ctx->key = STATE_GOOD;
	if (e->expires_s == 0 || now_wall_ms() / 1000 < e->expires_s)
		return;
	ctx->key = STATE_EXPIRED;
	ctx->key_detail = arena_printf(&ex->arena, "the API key of %.*s",
	    SPAN_ARG(ctx->key_identity));
}

static void
check_key(struct auth_ctx *ctx)
{
	char memory[CREDENTIALS_KEY_MAX];
	struct span key;

	switch (find_key(ctx->ex, &ctx->conf->api_key, memory, &key)) {
	case CREDENTIALS_NONE:
		ctx->key_detail = "no API key";
		return;
	case CREDENTIALS_FOUND:
		look_up_key(ctx, key);
		break;
	case CREDENTIALS_BAD:
		ctx->key = STATE_INVALID;
		ctx->key_detail = "no API key looks like that";
		break;
	case CREDENTIALS_MANY:
		ctx->key = STATE_INVALID;
		ctx->key_detail = "more than one API key";
		break;
	}
	digest_wipe(memory, sizeof(memory));
}

/* ---- basic ---- */

static void
set_answer(struct auth_ctx *ctx, bool is_right)
{
	ctx->basic = is_right ? STATE_GOOD : STATE_INVALID;
	ctx->basic_detail = "no such user, or not the password";
}

/* From the loop; may end the exchange. */
static void
on_answer(struct logins_waiter *w, bool is_right)
{
	struct auth_ctx *ctx = LIST_OF(w, struct auth_ctx, waiter);

	set_answer(ctx, is_right);
	exchange_resume(ctx->ex, decide(ctx));
}

/* True: the answer will come. */
static bool
ask(struct auth_ctx *ctx, struct span user, struct span password)
{
	const struct htpasswd_user *known;
	struct logins_question q = { .user = user, .password = password,
		.lifetime_ms = ctx->conf->basic.cache_ms };
	struct exchange *ex = ctx->ex;
	enum logins_answer answer;

	known = htpasswd_find(ctx->conf->users->users, user, &q.is_known);
	if (known == NULL) {
		set_answer(ctx, false); /* and it is so for all names */
		return false;
	}
	q.hash = known->hash;
	ctx->user = keep(ex, user);
	ctx->waiter.answer = on_answer;
	answer = logins_ask(exchange_worker_memory(ex,
	    sizeof(struct logins)), exchange_helpers(ex),
	    exchange_digest(ex), &q, &ctx->waiter);
	if (answer == LOGINS_WAIT) {
		counter_add(&ctx->counts[COUNT_HASHED], 1);
		return true;
	}
	if (answer == LOGINS_BUSY) {
		ctx->basic = STATE_BUSY;
		ctx->basic_detail = "helper_queue is full";
		return false;
	}
	counter_add(&ctx->counts[COUNT_CACHED], 1);
	set_answer(ctx, answer == LOGINS_RIGHT);
	return false;
}

/* The one Authorization there may be. */
static enum credentials
find_basic(const struct exchange *ex, char memory[CREDENTIALS_PAIR_MAX + 1],
    struct span *user, struct span *password)
{
	const struct http_fields *fields = &ex->req.fields;
	const struct http_field *f =
	    http_fields_get(fields, FIELD_AUTHORIZATION);

	if (f == NULL)
		return CREDENTIALS_NONE;
	if (http_fields_next(fields, f) != NULL)
		return CREDENTIALS_MANY;
	return credentials_basic(http_field_value(f), memory, user, password);
}

/* True: the answer will come. */
static bool
check_basic(struct auth_ctx *ctx)
{
	char memory[CREDENTIALS_PAIR_MAX + 1];
	struct span user, password;
	bool is_waiting = false;

	switch (find_basic(ctx->ex, memory, &user, &password)) {
	case CREDENTIALS_NONE:
		ctx->basic_detail = "no name and password";
		return false;
	case CREDENTIALS_FOUND:
		is_waiting = ask(ctx, user, password);
		break;
	case CREDENTIALS_BAD:
		ctx->basic = STATE_INVALID;
		ctx->basic_detail = "no credentials look like that";
		break;
	case CREDENTIALS_MANY:
		ctx->basic = STATE_INVALID;
		ctx->basic_detail = "more than one Authorization";
		break;
	}
	digest_wipe(memory, sizeof(memory));
	return is_waiting;
}

/* ---- phases ---- */

static enum verdict
auth_on_head(struct exchange *ex, const void *conf_ptr)
{
	const struct auth_conf *conf = conf_ptr;

	strip_target(ex, &conf->api_key);
	return VERDICT_NEXT;
}

static enum verdict
auth_on_request(struct exchange *ex, const void *conf_ptr)
{
	const struct auth_conf *conf = conf_ptr;
	struct auth_ctx one = { .ex = NULL }, *ctx = &one;

	if (conf->has_basic) /* it may have to wait */
		ctx = exchange_ctx(ex, sizeof(*ctx));
	ctx->ex = ex;
	ctx->conf = conf;
	ctx->counts = exchange_counters(ex);
	counter_add(&ctx->counts[COUNT_CHECKED], 1);
	if (conf->has_api_key) {
		check_key(ctx);
		/* Then no hash would change anything. */
		if ((ctx->key == STATE_GOOD) ==
		    (conf->satisfy == OPTIONS_ANY))
			return decide(ctx);
	}
	if (conf->has_basic && check_basic(ctx))
		return VERDICT_WAIT;
	return decide(ctx);
}

/* Nobody waits for the answer any more. */
static bool
auth_on_cancel(struct exchange *ex, const void *conf)
{
	struct auth_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));

	(void)conf;
	if (ctx->waiter.job != NULL)
		logins_cancel(exchange_helpers(ex), &ctx->waiter);
	return true;
}

static enum verdict
auth_on_log(struct exchange *ex, const void *conf)
{
	(void)auth_on_cancel(ex, conf);
	return VERDICT_NEXT;
}

const struct module mod_auth = {
	.name = "auth",
	.help = "who clients are, and who may pass",
	.table = &table,
	.conf_size = sizeof(struct auth_conf),
	.order = AUTH_ORDER,
	.metrics = &metrics,
	.is_active = auth_is_active,
	.runs_in = auth_runs_in,
	.start = auth_start,
	.hooks = {
		[PHASE_EARLY_REQUEST] = auth_on_head,
		[PHASE_ROUTE] = auth_on_head,
		[PHASE_REQUEST] = auth_on_request,
		[PHASE_LOG] = auth_on_log,
	},
	.on_cancel = auth_on_cancel,
};
