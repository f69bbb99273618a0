/* SPDX-License-Identifier: BSD-2-Clause */
/* options - tables, and what concerns several of their rows. */
#include "options.h"

#define DAY_MS UINT64_C(86400000)

static const struct conf_item api_key_items[] = {
	CONF_VALUE("header", STRING, struct options_api_key, header, NULL,
	    CONF_FIELD_NAME, "the field with the key"),
	CONF_VALUE("scheme", STRING, struct options_api_key, scheme, NULL,
	    CONF_FIELD_NAME, "the word in front of it there: \"Bearer\""),
	CONF_VALUE("query", STRING, struct options_api_key, query, NULL, 0,
	    "the argument of the query with the key"),
	CONF_VALUE("cookie", STRING, struct options_api_key, cookie, NULL,
	    CONF_FIELD_NAME, "the cookie with the key"),
	CONF_VALUE("file", STRING, struct options_api_key, file, NULL, 0,
	    "hashes of the keys, with identities"),
	CONF_BOOL("forward", struct options_api_key, forward, "true", 0,
	    "whether backends see the key"),
	CONF_END,
};

static int
check_api_key(struct conf_ctx *ctx, const struct conf_node *node,
    void *conf_ptr)
{
	struct options_api_key *conf = conf_ptr;

	conf_item_path(ctx, node, "file", &conf->file);
	return 0;
}

static const struct conf_table api_key_table = {
	.name = "api_key",
	.items = api_key_items,
	.struct_bytes = sizeof(struct options_api_key),
	.check = check_api_key,
};

static const struct conf_item basic_items[] = {
	CONF_VALUE("file", STRING, struct options_basic, file, NULL, 0,
	    "users and hashes of their passwords"),
	CONF_DURATION("cache", struct options_basic, cache_ms, 0, DAY_MS,
	    "5m", 0, "how long a worker remembers what a hash has come to"),
	CONF_BOOL("forward", struct options_basic, forward, "true", 0,
	    "whether backends see Authorization"),
	CONF_END,
};

static int
check_basic(struct conf_ctx *ctx, const struct conf_node *node,
    void *conf_ptr)
{
	struct options_basic *conf = conf_ptr;

	conf_item_path(ctx, node, "file", &conf->file);
	return 0;
}

static const struct conf_table basic_table = {
	.name = "basic",
	.items = basic_items,
	.struct_bytes = sizeof(struct options_basic),
	.check = check_basic,
};

static const struct conf_item require_items[] = {
	CONF_VALUE("identities", STRINGS, struct options_require, identities,
	    NULL, 0, "who may pass: one of these"),
	CONF_VALUE("scopes", STRINGS, struct options_require, scopes, NULL, 0,
	    "what the key has to have: all of these"),
	CONF_END,
};

static const struct conf_table require_table = {
	.name = "require",
	.items = require_items,
	.struct_bytes = sizeof(struct options_require),
};

static const struct conf_enum satisfies[] = {
	{ "any", OPTIONS_ANY },
	{ "all", OPTIONS_ALL },
	{ NULL, 0 },
};

static const struct conf_enum modes[] = {
	{ "enforce", OPTIONS_ENFORCE },
	{ "shadow", OPTIONS_SHADOW },
	{ "off", OPTIONS_OFF },
	{ NULL, 0 },
};

static const struct conf_item items[] = {
	{ .name = "api_key", .type = CONF_TYPE_GROUP,
	  .offset = offsetof(struct auth_conf, api_key),
	  .table = &api_key_table,
	  .present = offsetof(struct auth_conf, has_api_key),
	  .help = "keys of programs" },
	{ .name = "basic", .type = CONF_TYPE_GROUP,
	  .offset = offsetof(struct auth_conf, basic),
	  .table = &basic_table,
	  .present = offsetof(struct auth_conf, has_basic),
	  .help = "names and passwords of people" },
	{ .name = "require", .type = CONF_TYPE_GROUP,
	  .offset = offsetof(struct auth_conf, require),
	  .table = &require_table,
	  .present = offsetof(struct auth_conf, has_require),
	  .help = "who may pass, of those who are known" },
	CONF_VALUE("realm", STRING, struct auth_conf, realm, "weir", 0,
	    "what a client is asked to log in to"),
	CONF_ENUM("satisfy", struct auth_conf, satisfy, satisfies, "any", 0,
	    "whether one of api_key and basic suffices"),
	CONF_ENUM("mode", struct auth_conf, mode, modes, "enforce", 0,
	    "shadow: count and log what would be refused, refuse nothing; "
	    "off: ask for nothing"),
	CONF_END,
};

/* It goes into a quoted string. */
static bool
is_realm(const char *realm)
{
	for (const char *c = realm; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
			return false;
	}
	return true;
}

static const char *
find_fault(const struct auth_conf *c)
{
	const struct options_api_key *k = &c->api_key;

	if (c->has_api_key && k->file == NULL)
		return "api_key needs a file";
	if (c->has_api_key && k->header == NULL && k->query == NULL &&
	    k->cookie == NULL)
		return "api_key: say where the key is: header, query or "
		    "cookie";
	if (k->scheme != NULL && k->header == NULL)
		return "api_key: scheme needs a header";
	if (k->query != NULL && *k->query == '\0')
		return "api_key: an argument has a name";
	if (c->has_basic && c->basic.file == NULL)
		return "basic needs a file";
	if (c->has_basic && c->has_api_key && k->header != NULL &&
	    k->scheme == NULL && span_ieq(span_cstr(k->header),
	    SPAN("Authorization")))
		return "with basic, a key in Authorization needs a scheme";
	/* All defaults, as -T prints them, ask for nothing. */
	if (!c->has_api_key && !c->has_basic && c->mode != OPTIONS_OFF &&
	    c->require.identities.count + c->require.scopes.count > 0)
		return "give api_key or basic";
	if (c->require.scopes.count > 0 && !c->has_api_key)
		return "only keys have scopes: require.scopes needs api_key";
	if (!is_realm(c->realm))
		return "a realm is made of printable ASCII characters, "
		    "without \" and \\";
	return NULL;
}

static const char *
find_bad_name(const struct options_require *r)
{
	for (size_t i = 0; i < r->scopes.count; i++) {
		struct span s = span_cstr(r->scopes.items[i]);

		if (!keyfile_is_scopes(s) || memchr(s.p, ',', s.len) != NULL)
			return r->scopes.items[i];
	}
	for (size_t i = 0; i < r->identities.count; i++) {
		if (*r->identities.items[i] == '\0')
			return r->identities.items[i];
	}
	return NULL;
}

static int
check(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	const struct auth_conf *c = conf;
	const char *fault = find_fault(c), *name = find_bad_name(&c->require);

	if (fault != NULL)
		conf_report_error(ctx->report, &node->place, "auth: %s",
		    fault);
	if (name != NULL)
		conf_report_error(ctx->report, &node->place,
		    "auth: require: nobody has the name \"%s\"", name);
	return fault == NULL && name == NULL ? 0 : -1;
}

const struct conf_table options_table = {
	.name = "auth",
	.items = items,
	.struct_bytes = sizeof(struct auth_conf),
	.check = check,
};

/* RFC 9110, section 11.6.1; browsers look at the first best. */
static struct span
make_challenge(const struct auth_conf *c, struct arena *arena)
{
	const char *scheme = c->api_key.scheme != NULL ? c->api_key.scheme
	    : "ApiKey";

	return span_cstr(arena_printf(arena, "%s%s%s%s%s%s%s%s",
	    c->has_basic ? "Basic realm=\"" : "",
	    c->has_basic ? c->realm : "",
	    c->has_basic ? "\", charset=\"UTF-8\"" : "",
	    c->has_basic && c->has_api_key ? ", " : "",
	    c->has_api_key ? scheme : "",
	    c->has_api_key ? " realm=\"" : "",
	    c->has_api_key ? c->realm : "", c->has_api_key ? "\"" : ""));
}

int
options_start(const struct module_env *env, struct auth_conf *conf,
    struct error *err)
{
	if (conf->has_api_key) {
		conf->keys = secrets_open(env, conf->api_key.file,
		    SECRETS_KEYS, err);
		if (conf->keys == NULL)
			return -1;
	}
	if (conf->has_basic) {
		conf->users = secrets_open(env, conf->basic.file,
		    SECRETS_USERS, err);
		if (conf->users == NULL)
			return -1;
	}
	conf->challenge = make_challenge(conf, env->arena);
	return 0;
}
