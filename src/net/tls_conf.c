/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_conf - the option tables of TLS, and what must agree in them. */
#include "net/tls_conf.h"

#include <openssl/ssl.h>

#include "base/arena.h"
#include "net/tls_ktls.h"

static const struct conf_enum profiles[] = {
	{ "modern", TLS_PROFILE_MODERN },
	{ "intermediate", TLS_PROFILE_INTERMEDIATE },
	{ "old", TLS_PROFILE_OLD },
	{ NULL, 0 },
};

static const struct conf_enum versions[] = {
	{ "profile", 0 },
	{ "TLSv1", TLS1_VERSION },
	{ "TLSv1.1", TLS1_1_VERSION },
	{ "TLSv1.2", TLS1_2_VERSION },
	{ "TLSv1.3", TLS1_3_VERSION },
	{ NULL, 0 },
};

static const struct conf_enum preferences[] = {
	{ "profile", 0 }, { "server", 1 }, { "client", 2 }, { NULL, 0 },
};

static const struct conf_enum verify_modes[] = {
	{ "off", TLS_VERIFY_OFF },
	{ "optional", TLS_VERIFY_OPTIONAL },
	{ "require", TLS_VERIFY_REQUIRE },
	{ NULL, 0 },
};

/* The rows of struct tls_policy, where it is a member of st. */
#define POLICY_ITEMS(st)                                                     \
	CONF_ENUM("profile", st, policy.profile, profiles, "intermediate",   \
	    0, "modern, intermediate or old: what the next options are "     \
	    "unless set"),                                                   \
	CONF_ENUM("min_version", st, policy.min_version, versions,           \
	    "profile", 0, "oldest version of TLS"),                          \
	CONF_ENUM("max_version", st, policy.max_version, versions,           \
	    "profile", 0, "newest version of TLS"),                          \
	CONF_VALUE("ciphers", STRING, st, policy.ciphers, NULL, 0,           \
	    "ciphers up to TLS 1.2, as openssl-ciphers(1)"),                 \
	CONF_VALUE("suites", STRING, st, policy.suites, NULL, 0,             \
	    "cipher suites of TLS 1.3, with colons between"),                \
	CONF_VALUE("groups", STRING, st, policy.groups, NULL, 0,             \
	    "groups for the key exchange, with colons between"),             \
	CONF_VALUE("signature_algorithms", STRING, st,                       \
	    policy.signature_algorithms, NULL, 0,                            \
	    "signature algorithms, with colons between")

/* ---- paths ---- */

/* path counts from the folder of the file that node stands in. */
static void
resolve(struct conf_ctx *ctx, const struct conf_node *node, const char **path)
{
	const char *file = node->place.file;
	const char *slash = file != NULL ? strrchr(file, '/') : NULL;

	if (*path == NULL || **path == '/' || **path == '\0' || slash == NULL)
		return;
	*path = arena_printf(ctx->arena, "%.*s/%s", (int)(slash - file), file,
	    *path);
}

static int
wrong(struct conf_ctx *ctx, const struct conf_node *node, const char *text)
{
	conf_report_error(ctx->report, &node->place, "%s", text);
	return -1;
}

static int
check_policy(struct conf_ctx *ctx, const struct conf_node *node,
    const struct tls_policy *p)
{
	if (p->min_version != 0 && p->max_version != 0 &&
	    p->min_version > p->max_version)
		return wrong(ctx, node,
		    "min_version is newer than max_version");
	return 0;
}

static int
check_passphrase(struct conf_ctx *ctx, const struct conf_node *node,
    const char *file, const char *command)
{
	if (file != NULL && command != NULL)
		return wrong(ctx, node, "give passphrase_file or "
		    "passphrase_command, not both");
	return 0;
}

/* Asking loads the kernel's module where we may, as workers may not. */
static void
check_ktls(struct conf_ctx *ctx, const struct conf_node *node)
{
	bool in_kernel = tls_ktls_prepare();

	if (!in_kernel || !tls_ktls_in_library())
		conf_report_warning(ctx->report, &node->place,
		    "ktls: %s does not have it: OpenSSL will encrypt",
		    in_kernel ? "this OpenSSL" : "this kernel");
}

/* ---- towards clients ---- */

static int
check_pair(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	struct tls_pair_conf *pair = conf;

	resolve(ctx, node, &pair->cert);
	resolve(ctx, node, &pair->key);
	resolve(ctx, node, &pair->passphrase_file);
	resolve(ctx, node, &pair->ocsp_file);
	if (pair->ocsp_file != NULL && pair->ocsp_fetch)
		return wrong(ctx, node, "give ocsp_file or ocsp_fetch, not "
		    "both");
	if (pair->ocsp_responder != NULL && !pair->ocsp_fetch)
		return wrong(ctx, node, "ocsp_responder needs ocsp_fetch");
	return check_passphrase(ctx, node, pair->passphrase_file,
	    pair->passphrase_command);
}

static const struct conf_item pair_items[] = {
	CONF_VALUE("cert", STRING, struct tls_pair_conf, cert, NULL,
	    CONF_REQUIRED, "certificate and its chain, PEM"),
	CONF_VALUE("key", STRING, struct tls_pair_conf, key, NULL,
	    CONF_REQUIRED, "private key, PEM"),
	CONF_VALUE("names", STRINGS, struct tls_pair_conf, names, NULL, 0,
	    "server names it is for; unset = those in the certificate"),
	CONF_VALUE("passphrase_file", STRING, struct tls_pair_conf,
	    passphrase_file, NULL, 0, "file with the key's passphrase"),
	CONF_VALUE("passphrase_command", STRING, struct tls_pair_conf,
	    passphrase_command, NULL, 0,
	    "command that prints the key's passphrase"),
	CONF_VALUE("ocsp_file", STRING, struct tls_pair_conf, ocsp_file, NULL,
	    0, "OCSP response to staple, DER"),
	CONF_BOOL("ocsp_fetch", struct tls_pair_conf, ocsp_fetch, "false", 0,
	    "fetch OCSP responses, and staple them"),
	CONF_VALUE("ocsp_responder", STRING, struct tls_pair_conf,
	    ocsp_responder, NULL, 0,
	    "URL to fetch them from; unset = as the certificate says"),
	CONF_END,
};

static const struct conf_table pair_table = {
	.name = "certificate",
	.items = pair_items,
	.struct_bytes = sizeof(struct tls_pair_conf),
	.check = check_pair,
};

static int
check_server(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	struct tls_server_conf *s = conf;

	resolve(ctx, node, &s->ca_file);
	resolve(ctx, node, &s->crl_file);
	for (size_t i = 0; i < s->ticket_key_files.count; i++)
		resolve(ctx, node, &s->ticket_key_files.items[i]);
	if (s->pair.cert == NULL && s->certificates.count == 0)
		return wrong(ctx, node,
		    "tls needs a certificate: give cert and key");
	if ((s->pair.cert == NULL) != (s->pair.key == NULL))
		return wrong(ctx, node, s->pair.key == NULL
		    ? "cert needs its key" : "key needs its cert");
	if (s->verify != TLS_VERIFY_OFF && s->ca_file == NULL)
		return wrong(ctx, node,
		    "verify needs ca_file: who may sign clients?");
	if (s->verify == TLS_VERIFY_OFF &&
	    (s->ca_file != NULL || s->crl_file != NULL))
		conf_report_warning(ctx->report, &node->place,
		    "ca_file and crl_file do nothing without verify");
	if (s->ktls)
		check_ktls(ctx, node);
	if (s->early_data && !s->tickets)
		return wrong(ctx, node, "early_data needs tickets");
	if (check_policy(ctx, node, &s->policy) != 0)
		return -1;
	return check_pair(ctx, node, &s->pair);
}

static const struct conf_item server_items[] = {
	CONF_VALUE("cert", STRING, struct tls_server_conf, pair.cert, NULL, 0,
	    "certificate and its chain, PEM"),
	CONF_VALUE("key", STRING, struct tls_server_conf, pair.key, NULL, 0,
	    "private key, PEM"),
	CONF_VALUE("names", STRINGS, struct tls_server_conf, pair.names, NULL,
	    0, "server names it is for; unset = those in the certificate"),
	CONF_VALUE("passphrase_file", STRING, struct tls_server_conf,
	    pair.passphrase_file, NULL, 0, "file with the key's passphrase"),
	CONF_VALUE("passphrase_command", STRING, struct tls_server_conf,
	    pair.passphrase_command, NULL, 0,
	    "command that prints the key's passphrase"),
	CONF_VALUE("ocsp_file", STRING, struct tls_server_conf,
	    pair.ocsp_file, NULL, 0, "OCSP response to staple, DER"),
	CONF_BOOL("ocsp_fetch", struct tls_server_conf, pair.ocsp_fetch,
	    "false", 0, "fetch OCSP responses, and staple them"),
	CONF_VALUE("ocsp_responder", STRING, struct tls_server_conf,
	    pair.ocsp_responder, NULL, 0,
	    "URL to fetch them from; unset = as the certificate says"),
	CONF_LIST("certificates", struct tls_server_conf, certificates,
	    &pair_table, 0, "further pairs, chosen by server name"),
	POLICY_ITEMS(struct tls_server_conf),
	CONF_ENUM("prefer", struct tls_server_conf, policy.prefer_server,
	    preferences, "profile", 0,
	    "whose order of ciphers counts: server or client"),
	CONF_DURATION("handshake_timeout", struct tls_server_conf,
	    handshake_timeout_ms, 100, 600000, "10s", 0,
	    "for the whole handshake"),
	CONF_ENUM("verify", struct tls_server_conf, verify, verify_modes,
	    "off", 0, "ask clients for a certificate: off, optional, require"),
	CONF_VALUE("ca_file", STRING, struct tls_server_conf, ca_file, NULL,
	    0, "who may sign clients' certificates, PEM"),
	CONF_VALUE("crl_file", STRING, struct tls_server_conf, crl_file, NULL,
	    0, "revoked clients' certificates, PEM"),
	CONF_UINT("verify_depth", struct tls_server_conf, verify_depth, 0, 100,
	    "5", NULL, 0, "longest chain of a client's certificate"),
	CONF_BOOL("tickets", struct tls_server_conf, tickets, "true", 0,
	    "let clients resume their sessions"),
	CONF_BOOL("early_data", struct tls_server_conf, early_data, "false",
	    0, "take safe requests before the handshake is over"),
	CONF_BOOL("ktls", struct tls_server_conf, ktls, "false", 0,
	    "let the kernel encrypt what is sent, where it can"),
	CONF_VALUE("ticket_key_files", STRINGS, struct tls_server_conf,
	    ticket_key_files, NULL, 0,
	    "keys of 80 bytes, shared by machines; the first one encrypts"),
	CONF_END,
};

const struct conf_table tls_conf_server_table = {
	.name = "tls",
	.items = server_items,
	.struct_bytes = sizeof(struct tls_server_conf),
	.check = check_server,
};

/* ---- towards backends ---- */

static int
check_client(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	struct tls_client_conf *c = conf;

	resolve(ctx, node, &c->ca_file);
	resolve(ctx, node, &c->crl_file);
	resolve(ctx, node, &c->cert);
	resolve(ctx, node, &c->key);
	resolve(ctx, node, &c->passphrase_file);
	if ((c->cert == NULL) != (c->key == NULL))
		return wrong(ctx, node, c->key == NULL
		    ? "cert needs its key" : "key needs its cert");
	if (c->verify && !c->use_system_certs && c->ca_file == NULL)
		return wrong(ctx, node, "nothing to verify against: give "
		    "ca_file or use_system_certs");
	if (!c->verify)
		conf_report_warning(ctx->report, &node->place,
		    "verify is off: anybody on the way can be the backend");
	if (c->ktls)
		check_ktls(ctx, node);
	if (check_policy(ctx, node, &c->policy) != 0)
		return -1;
	return check_passphrase(ctx, node, c->passphrase_file,
	    c->passphrase_command);
}

static const struct conf_item client_items[] = {
	CONF_VALUE("sni", TEMPLATE, struct tls_client_conf, sni, NULL, 0,
	    "server name to ask for; unset = the backend's name, \"\" = none"),
	CONF_BOOL("verify", struct tls_client_conf, verify, "true", 0,
	    "the backend's certificate must be valid"),
	CONF_BOOL("verify_hostname", struct tls_client_conf, verify_hostname,
	    "true", 0, "and be for the name that is asked for"),
	CONF_BOOL("use_system_certs", struct tls_client_conf,
	    use_system_certs, "true", 0,
	    "trust what the system trusts, unless ca_file is set"),
	CONF_VALUE("ca_file", STRING, struct tls_client_conf, ca_file, NULL,
	    0, "whom to trust instead, PEM"),
	CONF_VALUE("crl_file", STRING, struct tls_client_conf, crl_file, NULL,
	    0, "revoked certificates, PEM"),
	CONF_VALUE("alternative_cn", STRING, struct tls_client_conf,
	    alternative_cn, NULL, 0,
	    "a further name that the certificate may be for"),
	CONF_UINT("verify_depth", struct tls_client_conf, verify_depth, 0, 100,
	    "10", NULL, 0, "longest chain of the backend's certificate"),
	CONF_VALUE("cert", STRING, struct tls_client_conf, cert, NULL, 0,
	    "certificate to show to the backend, with its chain, PEM"),
	CONF_VALUE("key", STRING, struct tls_client_conf, key, NULL, 0,
	    "its private key, PEM"),
	CONF_VALUE("passphrase_file", STRING, struct tls_client_conf,
	    passphrase_file, NULL, 0, "file with the key's passphrase"),
	CONF_VALUE("passphrase_command", STRING, struct tls_client_conf,
	    passphrase_command, NULL, 0,
	    "command that prints the key's passphrase"),
	POLICY_ITEMS(struct tls_client_conf),
	CONF_VALUE("alpn", STRINGS, struct tls_client_conf, alpn, NULL, 0,
	    "protocols to offer; unset = what weir speaks"),
	CONF_BOOL("resume", struct tls_client_conf, resume, "true", 0,
	    "resume sessions"),
	CONF_BOOL("ktls", struct tls_client_conf, ktls, "false", 0,
	    "let the kernel encrypt what is sent, where it can"),
	CONF_END,
};

const struct conf_table tls_conf_client_table = {
	.name = "tls",
	.items = client_items,
	.struct_bytes = sizeof(struct tls_client_conf),
	.check = check_client,
};
