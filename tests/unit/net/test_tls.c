/* SPDX-License-Identifier: BSD-2-Clause */
/* Server names and the certificates they choose; keys of tickets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "net/tls_private.h"
#include "net/tls_ticket.h"

/* ---- pairs made on the spot ---- */

struct made {
	char *cert, *key;
	size_t cert_len, key_len;
};

static void
to_text(BIO *bio, char **text, size_t *len)
{
	char *p;

	*len = (size_t)BIO_get_mem_data(bio, &p);
	*text = malloc(*len + 1);
	assert_non_null(*text);
	memcpy(*text, p, *len);
	(*text)[*len] = '\0';
	BIO_free(bio);
}

/* sans: as openssl-x509v3_config(5); NULL = none. */
static struct made
make(const char *common_name, char *sans, bool is_rsa)
{
	EVP_PKEY *key = is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	BIO *bio = BIO_new(BIO_s_mem());
	struct made made;

	assert_non_null(key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)common_name, -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_version(cert, 2);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	if (sans != NULL) {
		X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL,
		    NID_subject_alt_name, sans);

		assert_non_null(ext);
		X509_add_ext(cert, ext, -1);
		X509_EXTENSION_free(ext);
	}
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	PEM_write_bio_X509(bio, cert);
	to_text(bio, &made.cert, &made.cert_len);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	to_text(bio, &made.key, &made.key_len);
	X509_free(cert);
	EVP_PKEY_free(key);
	return made;
}

static void
drop(struct made *m)
{
	free(m->cert);
	free(m->key);
}

static int
parse(struct tls_pair *pair, const struct made *cert, const struct made *key,
    struct error *err)
{
	*pair = (struct tls_pair){ .conf = NULL };
	return tls_cert_parse(pair, span_of(cert->cert, cert->cert_len),
	    span_of(key->key, key->key_len), NULL, err);
}

static void
test_names_of_certificates(void **state)
{
	static const struct {
		const char *common_name;
		const char *sans;
		const char *want[3];
	} rows[] = {
		{ "a.example", NULL, { "a.example" } },
		{ "a.example", "DNS:B.Example,DNS:*.c.example",
		    { "b.example", "*.c.example" } },
		{ "a.example", "IP:192.0.2.1", { NULL } },
		{ "a.example", "DNS:d.example.", { "d.example" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *sans = rows[i].sans != NULL ? strdup(rows[i].sans)
						  : NULL;
		struct made m = make(rows[i].common_name, sans, false);
		struct tls_pair pair;
		struct error err;
		size_t n = 0;

		assert_int_equal(parse(&pair, &m, &m, &err), 0);
		for (; n < 3 && rows[i].want[n] != NULL; n++)
			assert_string_equal(pair.names[n], rows[i].want[n]);
		assert_int_equal(pair.name_count, n);
		assert_int_equal(pair.kind, TLS_KEY_EC);
		assert_int_equal(pair.not_after_s - pair.not_before_s, 3600);
		tls_cert_fini(&pair);
		drop(&m);
		free(sans);
	}
}

static void
test_what_is_no_pair(void **state)
{
	struct made a = make("a", NULL, false), b = make("b", NULL, true);
	struct made none = { strdup(""), strdup(""), 0, 0 };
	struct tls_pair pair;
	struct error err;

	(void)state;
	assert_int_equal(parse(&pair, &a, &b, &err), -1);
	assert_non_null(strstr(err.text, "not the certificate's"));
	assert_int_equal(parse(&pair, &none, &a, &err), -1);
	assert_non_null(strstr(err.text, "no certificate"));
	assert_int_equal(parse(&pair, &a, &none, &err), -1);
	assert_non_null(strstr(err.text, "no private key"));
	assert_int_equal(parse(&pair, &b, &b, &err), 0);
	assert_int_equal(pair.kind, TLS_KEY_RSA);
	tls_cert_fini(&pair);
	/* Cut anywhere it is refused, and nothing is left behind. */
	for (size_t len = 0; len + 30 < a.cert_len; len += 7) {
		struct made cut = { a.cert, a.key, len, a.key_len };

		assert_int_equal(parse(&pair, &cut, &a, &err), -1);
	}
	drop(&a);
	drop(&b);
	drop(&none);
}

static void
test_chain(void **state)
{
	struct made a = make("a", NULL, false), b = make("b", NULL, false);
	struct made both = { malloc(a.cert_len + b.cert_len), a.key,
		a.cert_len + b.cert_len, a.key_len };
	struct tls_pair pair;
	struct error err;

	(void)state;
	memcpy(both.cert, a.cert, a.cert_len);
	memcpy(both.cert + a.cert_len, b.cert, b.cert_len);
	assert_int_equal(parse(&pair, &both, &both, &err), 0);
	assert_int_equal(sk_X509_num(pair.chain), 1);
	tls_cert_fini(&pair);
	both.cert_len -= 40; /* a chain that breaks off is an error */
	assert_int_equal(parse(&pair, &both, &both, &err), -1);
	free(both.cert);
	drop(&a);
	drop(&b);
}

/* ---- names ---- */

static void
test_who_is_meant(void **state)
{
	struct tls_pair exact = { .kind = TLS_KEY_EC };
	struct tls_pair rsa = { .kind = TLS_KEY_RSA };
	struct tls_pair wild = { .kind = TLS_KEY_EC };
	struct tls_pair late = { .kind = TLS_KEY_EC };
	struct tls_sni sni;
	const struct {
		const char *name;
		const struct tls_pair *ec, *rsa;
	} rows[] = {
		{ "a.example", &exact, &rsa },
		{ "x.example", &wild, NULL },
		{ "b.c.example", NULL, NULL },
		{ "example", NULL, NULL },
		{ ".example", NULL, NULL },
		{ "", NULL, NULL },
		{ "*.example", &wild, NULL },
		{ "other", NULL, NULL },
	};

	(void)state;
	tls_sni_init(&sni);
	tls_sni_add(&sni, "*.example", &wild);
	tls_sni_add(&sni, "a.example", &exact);
	tls_sni_add(&sni, "a.example", &rsa);
	tls_sni_add(&sni, "a.example", &late);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct tls_choice *choice =
		    tls_sni_find(&sni, span_cstr(rows[i].name));

		if (rows[i].ec == NULL) {
			assert_null(choice);
			continue;
		}
		assert_non_null(choice);
		assert_ptr_equal(choice->by_kind[TLS_KEY_EC], rows[i].ec);
		assert_ptr_equal(choice->by_kind[TLS_KEY_RSA], rows[i].rsa);
	}
	tls_sni_fini(&sni);
}

static void
test_server_name_extension(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *want; /* NULL = malformed */
	} rows[] = {
#define ROW(literal, want) { literal, sizeof(literal) - 1, want }
		ROW("\0\x06\0\0\3a.b", "a.b"),
		ROW("\0\x06\0\0\3A.B", "a.b"),
		ROW("\0\x07\0\0\4a.b.", "a.b"),
		ROW("\0\x06\0\0\3a_b", "a_b"),
		ROW("", NULL),
		ROW("\0\0", NULL),
		ROW("\0\3\0\0\0", NULL),
		ROW("\0\6\1\0\3a.b", NULL),
		ROW("\0\7\0\0\3a.b", NULL),
		ROW("\0\6\0\0\2a.b", NULL),
		ROW("\0\6\0\0\3a b", NULL),
		ROW("\0\6\0\0\3a\0b", NULL),
		ROW("\0\6\0\0\3a.\xff", NULL),
		ROW("\0\x0c\0\0\3a.b\0\0\3c.d", NULL),
#undef ROW
	};
	char name[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int result = tls_sni_parse(
		    (const unsigned char *)rows[i].bytes, rows[i].len, name);

		assert_int_equal(result, rows[i].want != NULL ? 0 : -1);
		if (rows[i].want != NULL)
			assert_string_equal(name, rows[i].want);
	}
}

/* ---- ticket keys ---- */

static void
test_ticket_keys_rotate(void **state)
{
	struct tls_ticket_zone *zone = calloc(1, sizeof(*zone));
	struct tls_ticket_keys first, keys;
	uint64_t now = 1000000;

	(void)state;
	tls_ticket_read(zone, &keys);
	assert_int_equal(keys.count, 0);
	assert_int_equal(tls_ticket_rotate(zone, now), TLS_TICKET_ROTATE_S);
	tls_ticket_read(zone, &first);
	assert_int_equal(first.count, 1);
	assert_int_equal(tls_ticket_rotate(zone, now + 10),
	    TLS_TICKET_ROTATE_S - 10);
	tls_ticket_read(zone, &keys);
	assert_memory_equal(&first, &keys, sizeof(keys));
	for (uint32_t i = 1; i < 4; i++) {
		now += TLS_TICKET_ROTATE_S;
		tls_ticket_rotate(zone, now);
		tls_ticket_read(zone, &keys);
		assert_int_equal(keys.count, i < 3 ? i + 1 : 3);
		/* The first one still decrypts, until it has gone. */
		if (i < 3)
			assert_memory_equal(&first.items[0], &keys.items[i],
			    sizeof(first.items[0]));
		assert_memory_not_equal(&keys.items[0], &keys.items[1],
		    sizeof(keys.items[0]));
	}
	/* A clock that went back changes nothing. */
	tls_ticket_rotate(zone, 5);
	tls_ticket_read(zone, &first);
	assert_memory_equal(&first, &keys, sizeof(keys));
	free(zone);
}

/* ---- sessions with backends ---- */

static void
test_sessions_by_key(void **state)
{
	struct tls_session_zone *zone = calloc(1, sizeof(*zone));
	unsigned char a[TLS_SESSION_KEY] = { 1 }, b[TLS_SESSION_KEY] = { 1 };
	unsigned char out[TLS_SESSION_BYTES];
	unsigned char long_one[TLS_SESSION_BYTES + 1] = { 0 };
	struct tls_session_place *place;

	(void)state;
	b[31] = 1; /* the same place, another key */
	assert_int_equal(tls_session_get(zone, a, out), 0);
	tls_session_put(zone, a, (const unsigned char *)"first", 5, 1000);
	assert_int_equal(tls_session_get(zone, a, out), 5);
	assert_memory_equal(out, "first", 5);
	assert_int_equal(tls_session_get(zone, b, out), 0);
	tls_session_put(zone, b, (const unsigned char *)"second", 6, 1000);
	assert_int_equal(tls_session_get(zone, a, out), 0);
	assert_int_equal(tls_session_get(zone, b, out), 6);
	tls_session_put(zone, b, long_one, sizeof(long_one), 1000);
	assert_int_equal(tls_session_get(zone, b, out), 6);
	/* A writer died: nothing is read, and after a while it is mended. */
	place = &zone->places[1];
	atomic_fetch_add(&place->turn, 1);
	atomic_store(&place->claimed_ms, 5000);
	assert_int_equal(tls_session_get(zone, b, out), 0);
	tls_session_put(zone, b, (const unsigned char *)"early", 5, 5100);
	assert_int_equal(tls_session_get(zone, b, out), 0);
	tls_session_put(zone, b, (const unsigned char *)"late", 4, 9000);
	assert_int_equal(tls_session_get(zone, b, out), 4);
	assert_memory_equal(out, "late", 4);
	free(zone);
}

/* The first line alone; what stands behind it is wiped. */
static void
test_passphrase(void **state)
{
	static const char content[] = "word\r\nanother secret\n";
	struct error err;
	char *text = NULL;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], content, strlen(content)),
	    strlen(content));
	close(fds[1]);
	assert_int_equal(tls_passphrase_read_fd(fds[0], NULL, &text, &err),
	    0);
	close(fds[0]);
	assert_string_equal(text, "word");
	for (size_t i = strlen(text); i < strlen(content); i++)
		assert_int_equal(text[i], '\0');
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_certificates),
		cmocka_unit_test(test_what_is_no_pair),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_passphrase),
		cmocka_unit_test(test_who_is_meant),
		cmocka_unit_test(test_server_name_extension),
		cmocka_unit_test(test_ticket_keys_rotate),
		cmocka_unit_test(test_sessions_by_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
