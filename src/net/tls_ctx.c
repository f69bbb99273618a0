/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ctx - contexts of OpenSSL, made of options and files.
 *
 * A listener has one context for all its server names: pairs other than the
 * default's are put into the one connection that asked for them, so that
 * thousands of names cost their certificates and nothing else.
 */
#include "net/tls_ctx.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "net/tls_early.h"
#include "net/tls_private.h"
#include "net/tls_provider.h"
#include "net/tls_stream.h"
#include "net/tls_ticket.h"

static SSL_CTX *
ctx_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(NULL, tls_provider_properties(), method);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION |
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_clear_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

/* "\2h2\10http/1.1" of the names; 0 or -1 if they do not fit. */
static int
put_alpn(const char *const *names, unsigned char *out, size_t size,
    size_t *len)
{
	*len = 0;
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		size_t n = strlen(names[i]);

		if (n == 0 || n > 255 || *len + 1 + n > size)
			return -1;
		out[(*len)++] = (unsigned char)n;
		memcpy(out + *len, names[i], n);
		*len += n;
	}
	return 0;
}

/* ---- towards clients ---- */

/*
 * Sessions of another listener, or made under other client CAs and lists of
 * revoked certificates, are not ours.
 */
static void
set_session_context(struct tls_server *s)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint32_t verify = s->conf->verify;

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	EVP_DigestUpdate(md, s->name, strlen(s->name) + 1);
	EVP_DigestUpdate(md, &verify, sizeof(verify));
	EVP_DigestUpdate(md, s->trust.ca_digest, TLS_DIGEST);
	EVP_DigestUpdate(md, s->trust.crl_digest, TLS_DIGEST);
	EVP_DigestFinal_ex(md, digest, NULL);
	EVP_MD_CTX_free(md);
	SSL_CTX_set_session_id_context(s->ctx, digest, SSL_MAX_SID_CTX_LENGTH);
}

/* The names that clients are told: whose certificates we take. */
static STACK_OF(X509_NAME) *
names_of(STACK_OF(X509) *cas)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();

	for (int i = 0; i < sk_X509_num(cas); i++)
		sk_X509_NAME_push(names, X509_NAME_dup(
		    X509_get_subject_name(sk_X509_value(cas, i))));
	return names;
}

/* What the CA and CRL files hold now. */
static int
use_trust(void *owner, struct error *err)
{
	struct tls_server *s = owner;
	X509_STORE *store = tls_trust_store(&s->trust, err);

	if (store == NULL)
		return -1;
	SSL_CTX_set_cert_store(s->ctx, store);
	SSL_CTX_set_client_CA_list(s->ctx, names_of(s->trust.cas));
	set_session_context(s);
	return 0;
}

static int
set_verify(struct tls_server *s, const struct tls_ctx_about *about,
    struct error *err)
{
	const struct tls_server_conf *conf = s->conf;
	int mode = SSL_VERIFY_PEER;

	if (conf->verify == TLS_VERIFY_OFF) {
		set_session_context(s);
		return 0;
	}
	if (conf->verify == TLS_VERIFY_REQUIRE)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	s->trust.apply = use_trust;
	s->trust.owner = s;
	if (tls_trust_load(&s->trust, conf->ca_file, conf->crl_file, about,
	    err) != 0 || use_trust(s, err) != 0)
		return -1;
	SSL_CTX_set_verify(s->ctx, mode, tls_verify_callback);
	SSL_CTX_set_verify_depth(s->ctx, (int)conf->verify_depth);
	return 0;
}

static int
set_tickets(struct tls_server *s, const struct tls_ctx_about *about,
    struct error *err)
{
	const struct tls_server_conf *conf = s->conf;

	/* OpenSSL's own cache is a process's own: tickets carry sessions. */
	SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(s->ctx, conf->tickets ? 1 : 0);
	if (!conf->tickets) {
		SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET);
		return 0;
	}
	SSL_CTX_set_timeout(s->ctx, TLS_TICKET_LIFE_S);
	if (tls_ticket_load(s, about, err) != 0)
		return -1;
	/* Else keys of the context's own, until it gets the zone's. */
	if (s->ticket_key_count > 0)
		SSL_CTX_set_tlsext_ticket_key_evp_cb(s->ctx,
		    tls_ticket_callback);
	return 0;
}

static void
add_names(struct tls_server *s, struct tls_pair *pair)
{
	const struct conf_strings *given = &pair->conf->names;

	for (size_t i = 0; i < given->count; i++)
		tls_sni_add(&s->sni, given->items[i], pair);
	for (size_t i = 0; given->count == 0 && i < pair->name_count; i++)
		tls_sni_add(&s->sni, pair->names[i], pair);
}

/*
 * The default: the first pair, and those of other kinds of key that share its
 * first name.
 */
static int
set_fallback(struct tls_server *s, struct error *err)
{
	static const struct tls_choice none;
	struct tls_pair *first = &s->pairs[0];
	const char *name = first->conf->names.count > 0
	    ? first->conf->names.items[0]
	    : first->name_count > 0 ? first->names[0] : NULL;
	const struct tls_choice *choice = &none;

	if (name != NULL && name[0] == '*')
		choice = hash_map_get(&s->sni.wildcards,
		    span_cstr(name + 2));
	else if (name != NULL)
		choice = hash_map_get(&s->sni.exact, span_cstr(name));
	if (choice == NULL)
		choice = &none;
	for (int kind = 0; kind < TLS_KEY_KINDS; kind++) {
		const struct tls_pair *pair = choice->by_kind[kind];

		if ((int)first->kind == kind)
			pair = first;
		if (pair != NULL && tls_cert_use_ctx(pair, s->ctx) != 0)
			return tls_verify_set_error(err, "using %s",
			    pair->conf->cert);
	}
	s->fallback = choice->by_kind[first->kind] == first ? choice : NULL;
	return 0;
}

/*
 * The script that makes a pair for trying, if the configuration lies in a
 * folder of weir's sources; relative to it.
 */
static const char *
find_maker(const struct conf_place *place)
{
	static const char maker[] = "../contrib/selfsigned.sh";
	const char *file = place->file != NULL ? place->file : "";
	const char *slash = strrchr(file, '/');
	int len = slash != NULL ? (int)(slash + 1 - file) : 0;
	char path[4096];

	snprintf(path, sizeof(path), "%.*s%s", len, file, maker);
	return access(path, X_OK) == 0 ? maker : NULL;
}

/* A pair that is still to be made; true if that was said. */
static bool
is_to_be_made(const struct tls_pair_conf *conf,
    const struct conf_place *place, struct conf_report *report)
{
	const char *slash = strrchr(conf->cert, '/');
	const char *name = slash != NULL ? slash + 1 : conf->cert;
	size_t len = strlen(name);
	const char *maker;

	if (access(conf->cert, F_OK) == 0 || access(conf->key, F_OK) == 0)
		return false;
	maker = find_maker(place);
	if (maker == NULL)
		return false;
	if (len > 4 && strcmp(name + len - 4, ".pem") == 0)
		len -= 4;
	conf_report_warning(report, place, "%s is not there, and not tested: "
	    "in its folder, \"%s %.*s\" makes a pair for trying", conf->cert,
	    maker, (int)len, name);
	return true;
}

/*
 * One pair; 1 if it is left out, because this user may not read it and only
 * tests, or in weir's own sources.
 */
static int
load_pair(struct tls_server *s, const struct tls_pair_conf *conf,
    const struct conf_place *place, const struct tls_ctx_about *about)
{
	struct tls_pair *pair = &s->pairs[s->pair_count];
	struct error err;

	if (conf->cert == NULL || conf->key == NULL)
		return -1; /* reported */
	if (about->is_test && (access(conf->key, R_OK) != 0 ||
	    access(conf->cert, R_OK) != 0) && errno == EACCES) {
		conf_report_warning(about->report, place, "%s: not tested: "
		    "this user may not read it", conf->key);
		return 1;
	}
	if (about->is_test && is_to_be_made(conf, place, about->report))
		return 1;
	if (tls_cert_load(pair, conf, about->keys, about->report, place,
	    &err) != 0) {
		conf_report_error(about->report, place, "%s", err.text);
		return -1;
	}
	s->pair_count++;
	return tls_ocsp_await(pair, about, place);
}

static int
load_pairs(struct tls_server *s, const struct tls_ctx_about *about)
{
	const struct tls_server_conf *conf = s->conf;
	const struct tls_pair_conf *list = conf->certificates.items;
	int result = 0;

	s->pairs = heap_alloc_zeroed(conf->certificates.count + 1,
	    sizeof(*s->pairs));
	if (conf->pair.cert != NULL &&
	    load_pair(s, &conf->pair, about->place, about) < 0)
		result = -1;
	for (size_t i = 0; i < conf->certificates.count; i++) {
		if (load_pair(s, &list[i], &conf->certificates.nodes[i]->place,
		    about) < 0)
			result = -1;
	}
	for (size_t i = 0; i < s->pair_count; i++)
		add_names(s, &s->pairs[i]);
	return result;
}

static int
server_init(struct tls_server *s, const struct tls_ctx_about *about,
    struct error *err)
{
	const struct tls_policy *policy = &s->conf->policy;

	if (tls_policy_apply(policy, s->ctx, s->keys != NULL, err) != 0)
		return -1;
	if (tls_policy_prefers_server(policy))
		SSL_CTX_set_options(s->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	if (put_alpn(about->alpn, s->alpn, sizeof(s->alpn), &s->alpn_len) !=
	    0)
		return error_set(err, "alpn: too long");
	if (set_verify(s, about, err) != 0 || set_tickets(s, about, err) != 0)
		return -1;
	tls_callbacks_set(s->ctx);
	return s->pair_count > 0 ? set_fallback(s, err) : 0;
}

struct tls_server *
tls_ctx_server_new(const struct tls_server_conf *conf,
    const struct tls_ctx_about *about)
{
	struct tls_server *s = heap_alloc_zeroed(1, sizeof(*s));
	struct error err;

	s->conf = conf;
	s->name = strdup(about->name);
	s->keys = about->keys;
	tls_sni_init(&s->sni);
	s->ctx = ctx_new(TLS_server_method());
	if (s->ctx == NULL) {
		tls_verify_set_error(&err, "making a TLS context");
		conf_report_error(about->report, about->place, "%s",
		    err.text);
	} else if (load_pairs(s, about) == 0) {
		if (server_init(s, about, &err) == 0)
			return s;
		conf_report_error(about->report, about->place, "tls: %s",
		    err.text);
	}
	tls_ctx_server_free(s);
	return NULL;
}

void
tls_ctx_server_free(struct tls_server *s)
{
	if (s == NULL)
		return;
	SSL_CTX_free(s->ctx);
	tls_sni_fini(&s->sni);
	for (size_t i = 0; i < s->pair_count; i++)
		tls_cert_fini(&s->pairs[i]);
	free(s->pairs);
	if (s->ticket_keys != NULL)
		OPENSSL_cleanse(s->ticket_keys, s->ticket_key_count *
		    sizeof(*s->ticket_keys));
	free(s->ticket_keys);
	free(s->ticket_files);
	tls_trust_fini(&s->trust);
	free(s->name);
	free(s);
}

void
tls_ctx_set_tickets(struct tls_server *s, const struct tls_ticket_zone *zone)
{
	if (!s->conf->tickets || s->ticket_key_count > 0)
		return;
	s->tickets = zone;
	SSL_CTX_set_tlsext_ticket_key_evp_cb(s->ctx, tls_ticket_callback);
}

bool
tls_ctx_wants_early(const struct tls_server *s)
{
	return s->conf->early_data;
}

bool
tls_ctx_shares_tickets(const struct tls_server *s)
{
	return s->conf->ticket_key_files.count > 0;
}

void
tls_ctx_set_early(struct tls_server *s, struct tls_early_zone *zone)
{
	s->early = zone;
	/* OpenSSL's own protection is a cache, which is a process's own. */
	SSL_CTX_set_options(s->ctx, SSL_OP_NO_ANTI_REPLAY);
	SSL_CTX_set_max_early_data(s->ctx, TLS_EARLY_BYTES);
	SSL_CTX_set_recv_max_early_data(s->ctx, TLS_EARLY_BYTES);
}

uint64_t
tls_ctx_handshake_ms(const struct tls_server *s)
{
	return s->conf->handshake_timeout_ms;
}

/* ---- towards backends ---- */

static int
check_own(const struct tls_pair *pair, struct error *err)
{
	int64_t now = (int64_t)time(NULL);

	if (pair->not_after_s <= now)
		return error_set(err, "it has expired");
	if (pair->not_before_s > now)
		return error_set(err, "it is not valid yet");
	return 0;
}

static int client_apply(void *owner, struct error *err);

/* The certificate to be shown, and its key: both files, one after the other. */
static int
receive_own(void *arg, struct span content, struct error *err)
{
	struct tls_client *c = arg;
	struct tls_pair former = c->own, pair = { .conf = NULL };
	int result;

	if (tls_cert_parse(&pair, content, content, c->passphrase, err) != 0)
		return -1;
	c->own = pair;
	result = check_own(&pair, err);
	if (result == 0)
		result = client_apply(c, err);
	if (result != 0) {
		c->own = former;
		former = pair;
	}
	tls_cert_fini(&former);
	return result;
}

static int
load_own(struct tls_client *c, const struct tls_ctx_about *about,
    struct error *err)
{
	const struct tls_client_conf *conf = c->conf;
	struct tls_pair_conf files = {
		.cert = conf->cert,
		.key = conf->key,
		.passphrase_file = conf->passphrase_file,
		.passphrase_command = conf->passphrase_command,
	};
	struct files_stamp stamp;
	char what[256];
	const struct files_spec file = {
		.what = what,
		.path = conf->cert,
		.more = conf->key,
		.receive = receive_own,
		.arg = c,
		.read_at = &stamp,
	};

	if (conf->cert == NULL)
		return 0;
	if (about->is_test && access(conf->key, R_OK) != 0 &&
	    errno == EACCES) {
		conf_report_warning(about->report, about->place,
		    "%s: not tested: this user may not read it", conf->key);
		return 0;
	}
	snprintf(what, sizeof(what), "certificate and key of %s",
	    about->name);
	files_stamp(&file, &stamp);
	if (tls_cert_load(&c->own, &files, about->keys, about->report,
	    about->place, err) != 0)
		return -1;
	c->own.conf = NULL;
	/* What is watched is read here: not a key that is elsewhere. */
	if (about->keys != NULL)
		return 0;
	/* For a new key, which is no other's. */
	if (tls_passphrase_read(conf->passphrase_file,
	    conf->passphrase_command, &c->passphrase, err) != 0)
		return -1;
	return files_add(about->files, &file, err);
}

/*
 * Of which a session or a connection with a backend is worth nothing under
 * others.
 */
static void
set_terms(struct tls_client *c)
{
	const struct tls_client_conf *conf = c->conf;
	const char *texts[] = { conf->alternative_cn, conf->policy.ciphers,
		conf->policy.suites, conf->policy.groups,
		conf->policy.signature_algorithms };
	const uint32_t numbers[] = { conf->verify, conf->verify_hostname,
		conf->verify_depth, conf->policy.profile,
		conf->policy.min_version, conf->policy.max_version };
	unsigned char own[EVP_MAX_MD_SIZE];
	unsigned own_len = 0;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (c->own.cert != NULL)
		X509_digest(c->own.cert, EVP_sha256(), own, &own_len);
	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	EVP_DigestUpdate(md, numbers, sizeof(numbers));
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const char *text = texts[i] != NULL ? texts[i] : "";

		EVP_DigestUpdate(md, text, strlen(text) + 1);
	}
	EVP_DigestUpdate(md, c->trust.ca_digest, TLS_DIGEST);
	EVP_DigestUpdate(md, c->trust.crl_digest, TLS_DIGEST);
	EVP_DigestUpdate(md, own, own_len);
	EVP_DigestFinal_ex(md, c->terms, NULL);
	EVP_MD_CTX_free(md);
}

static int
set_up(struct tls_client *c, SSL_CTX *ctx, struct error *err)
{
	const struct tls_client_conf *conf = c->conf;
	X509_STORE *store;

	tls_stream_set_client_callbacks(ctx);
	if (tls_policy_apply(&conf->policy, ctx, false, err) != 0)
		return -1;
	if (c->own.cert != NULL && tls_cert_use_ctx(&c->own, ctx) != 0)
		return tls_verify_set_error(err, "using %s", conf->cert);
	if (c->alpn_len > 0)
		SSL_CTX_set_alpn_protos(ctx, c->alpn, (unsigned)c->alpn_len);
	SSL_CTX_set_verify_depth(ctx, (int)conf->verify_depth);
	if (!conf->verify)
		return 0;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_verify_callback);
	store = tls_trust_store(&c->trust, err);
	if (store == NULL)
		return -1;
	SSL_CTX_set_cert_store(ctx, store);
	return 0;
}

/*
 * A new context of what the files hold now.  Connections keep the one that they
 * began with; none that is idle is used again.
 */
static int
client_apply(void *owner, struct error *err)
{
	struct tls_client *c = owner;
	SSL_CTX *ctx = ctx_new(TLS_client_method());

	if (ctx == NULL)
		return tls_verify_set_error(err, "making a TLS context");
	if (set_up(c, ctx, err) != 0) {
		SSL_CTX_free(ctx);
		return -1;
	}
	SSL_CTX_free(c->ctx);
	c->ctx = ctx;
	c->version++;
	set_terms(c);
	return 0;
}

struct tls_client *
tls_ctx_client_new(const struct tls_client_conf *conf,
    const struct tls_ctx_about *about)
{
	struct tls_client *c = heap_alloc_zeroed(1, sizeof(*c));
	struct error err;
	int result = 0;

	c->conf = conf;
	c->keys = conf->cert != NULL ? about->keys : NULL;
	c->trust.apply = client_apply;
	c->trust.owner = c;
	if (put_alpn(about->alpn, c->alpn, sizeof(c->alpn), &c->alpn_len) !=
	    0)
		result = error_set(&err, "alpn: too long");
	if (result == 0)
		result = load_own(c, about, &err);
	if (result == 0 && conf->verify)
		result = tls_trust_load(&c->trust, conf->ca_file,
		    conf->crl_file, about, &err);
	if (result == 0)
		result = client_apply(c, &err);
	if (result == 0)
		return c;
	conf_report_error(about->report, about->place, "tls: %s", err.text);
	tls_ctx_client_free(c);
	return NULL;
}

void
tls_ctx_client_free(struct tls_client *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ctx);
	tls_trust_fini(&c->trust);
	tls_cert_fini(&c->own);
	if (c->passphrase != NULL)
		OPENSSL_cleanse(c->passphrase, strlen(c->passphrase));
	free(c->passphrase);
	free(c);
}
