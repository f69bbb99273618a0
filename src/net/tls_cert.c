/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_cert - certificates with their keys: reading, checking, names.
 *
 * Runs in the master, as root, at load; and in other processes on bytes that
 * the master has read.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "conf/slurp.h"
#include "net/tls_private.h"

enum { CHAIN_MAX = 32 };

void
tls_cert_fini(struct tls_pair *pair)
{
	X509_free(pair->cert);
	sk_X509_pop_free(pair->chain, X509_free);
	EVP_PKEY_free(pair->key);
	for (size_t i = 0; i < pair->name_count; i++)
		free(pair->names[i]);
	free(pair->names);
	free(pair->ocsp);
	free(pair->ocsp_why);
	*pair = (struct tls_pair){ .conf = pair->conf };
}

/* ---- PEM ---- */

static int
give_passphrase(char *out, int size, int is_writing, void *arg)
{
	const char *text = arg;
	size_t len = text != NULL ? strlen(text) : 0;

	(void)is_writing;
	if (len == 0 || len > (size_t)size)
		return -1; /* never ask at a terminal */
	memcpy(out, text, len);
	return (int)len;
}

static BIO *
bio_of(struct span s)
{
	return BIO_new_mem_buf(s.p != NULL ? s.p : "", (int)s.len);
}

/* The certificate and what follows it: its chain. */
static int
parse_chain(struct tls_pair *pair, struct span pem, struct error *err)
{
	BIO *bio = bio_of(pem);
	X509 *next;

	pair->cert = PEM_read_bio_X509_AUX(bio, NULL, give_passphrase, NULL);
	if (pair->cert == NULL) {
		BIO_free(bio);
		return tls_verify_set_error(err, "no certificate");
	}
	pair->chain = sk_X509_new_null();
	while ((next = PEM_read_bio_X509(bio, NULL, give_passphrase, NULL)) !=
	    NULL) {
		if (sk_X509_num(pair->chain) >= CHAIN_MAX ||
		    sk_X509_push(pair->chain, next) == 0) {
			X509_free(next);
			BIO_free(bio);
			return error_set(err, "more than %d certificates",
			    CHAIN_MAX);
		}
	}
	BIO_free(bio);
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return tls_verify_set_error(err, "bad certificate in chain");
	ERR_clear_error();
	return 0;
}

/*
 * A decoder that is used again, static in each process: to make one takes half
 * a millisecond, eight times as long as to read a key with it, and there may be
 * thousands of keys.
 */
static EVP_PKEY *
decode_key(struct span pem)
{
	static OSSL_DECODER_CTX *decoder;
	static EVP_PKEY *found; /* where it puts what it reads */
	BIO *bio = bio_of(pem);
	size_t left = pem.len + 1;
	EVP_PKEY *key;

	if (decoder == NULL) {
		decoder = OSSL_DECODER_CTX_new_for_pkey(&found, "PEM", NULL,
		    NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
		OSSL_DECODER_CTX_set_pem_password_cb(decoder,
		    give_passphrase, NULL);
	}
	/* Certificates may stand before it: one block after the other. */
	while (bio != NULL && decoder != NULL && found == NULL &&
	    BIO_ctrl_pending(bio) > 0 && BIO_ctrl_pending(bio) < left) {
		left = BIO_ctrl_pending(bio);
		(void)OSSL_DECODER_from_bio(decoder, bio);
	}
	key = found;
	found = NULL;
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

int
tls_cert_parse_key(struct span pem, const char *passphrase, EVP_PKEY **key,
    struct error *err)
{
	char *copy = passphrase != NULL ? strdup(passphrase) : NULL;
	BIO *bio;

	*key = passphrase == NULL ? decode_key(pem) : NULL;
	if (*key != NULL)
		return 0;
	/* With a passphrase; or to hear what is wrong. */
	bio = bio_of(pem);
	*key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, copy);
	if (copy != NULL)
		OPENSSL_cleanse(copy, strlen(copy));
	free(copy);
	BIO_free(bio);
	if (*key == NULL)
		return tls_verify_set_error(err, passphrase == NULL
		    ? "no private key, or one that needs a passphrase"
		    : "no private key, or a wrong passphrase");
	return 0;
}

enum tls_key_kind
tls_cert_kind(EVP_PKEY *key)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		return TLS_KEY_RSA;
	case EVP_PKEY_EC:
		return TLS_KEY_EC;
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		return TLS_KEY_EDWARDS;
	default:
		return TLS_KEY_OTHER;
	}
}

static int
parse_key(struct tls_pair *pair, struct span pem, const char *passphrase,
    struct error *err)
{
	if (tls_cert_parse_key(pem, passphrase, &pair->key, err) != 0)
		return -1;
	pair->kind = tls_cert_kind(pair->key);
	if (X509_check_private_key(pair->cert, pair->key) != 1) {
		ERR_clear_error();
		return error_set(err, "the key is not the certificate's");
	}
	return 0;
}

/* ---- names and dates ---- */

static void
add_name(struct tls_pair *pair, const char *p, size_t len)
{
	char *name;

	if (len == 0 || len > 255 || memchr(p, '\0', len) != NULL)
		return;
	if (p[len - 1] == '.')
		len--;
	name = heap_alloc(len + 1);
	for (size_t i = 0; i < len; i++)
		name[i] = (char)span_lower((unsigned char)p[i]);
	name[len] = '\0';
	pair->names = heap_alloc_grow(pair->names, pair->name_count + 1,
	    sizeof(*pair->names));
	pair->names[pair->name_count++] = name;
}

static void
add_asn1(struct tls_pair *pair, const ASN1_STRING *s)
{
	add_name(pair, (const char *)ASN1_STRING_get0_data(s),
	    (size_t)ASN1_STRING_length(s));
}

/* The alternative names; the common name only where there are none. */
static void
find_names(struct tls_pair *pair)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(pair->cert,
	    NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(pair->cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_asn1(pair, name->d.dNSName);
	}
	if (names == NULL && at >= 0)
		add_asn1(pair, X509_NAME_ENTRY_get_data(
		    X509_NAME_get_entry(subject, at)));
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

static int64_t
seconds_of(const ASN1_TIME *time)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

static void
find_facts(struct tls_pair *pair)
{
	find_names(pair);
	pair->not_before_s = seconds_of(X509_get0_notBefore(pair->cert));
	pair->not_after_s = seconds_of(X509_get0_notAfter(pair->cert));
}

int
tls_cert_parse(struct tls_pair *pair, struct span cert_pem,
    struct span key_pem, const char *passphrase, struct error *err)
{
	if (parse_chain(pair, cert_pem, err) != 0 ||
	    parse_key(pair, key_pem, passphrase, err) != 0) {
		tls_cert_fini(pair);
		return -1;
	}
	find_facts(pair);
	return 0;
}

int
tls_cert_parse_isolated(struct tls_pair *pair, struct span cert_pem,
    struct tls_keys *keys, const unsigned char *id, struct error *err)
{
	if (parse_chain(pair, cert_pem, err) != 0 ||
	    tls_keys_adopt(pair, keys, id, err) != 0) {
		tls_cert_fini(pair);
		return -1;
	}
	find_facts(pair);
	return 0;
}

/* ---- files ---- */

static void
warn_of_mode(struct conf_report *report, const struct conf_place *place,
    const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0)
		conf_report_warning(report, place,
		    "%s: others can read this key: chmod o-rwx", path);
}

static void
warn_of_dates(const struct tls_pair *pair, struct conf_report *report,
    const struct conf_place *place)
{
	int64_t now = (int64_t)time(NULL);

	if (pair->not_after_s < now)
		conf_report_warning(report, place,
		    "%s: the certificate has expired", pair->conf->cert);
	else if (pair->not_before_s > now)
		conf_report_warning(report, place,
		    "%s: the certificate is not valid yet",
		    pair->conf->cert);
}

/* The certificate serves without it: clients ask somebody else then. */
static int
load_ocsp(struct tls_pair *pair, struct error *err)
{
	const char *path = pair->conf->ocsp_file;
	struct error why;
	char *bytes = NULL;
	size_t len;

	if (path == NULL)
		return 0;
	if (slurp_file(path, TLS_FILE_MAX, &bytes, &len) != 0)
		return error_set(err, "reading %s: %s", path,
		    slurp_reason(errno));
	if (tls_ocsp_set(pair, span_of(bytes, len), &why) != 0)
		pair->ocsp_why = strdup(why.text);
	free(bytes);
	return 0;
}

/* Nothing of the key is read here. */
static int
load_isolated(struct tls_pair *pair, struct tls_keys *keys, char **cert,
    struct error *err)
{
	const struct tls_pair_conf *conf = pair->conf;
	size_t cert_len;
	struct error why;

	if (slurp_file(conf->cert, TLS_FILE_MAX, cert, &cert_len) != 0)
		return error_set(err, "reading %s: %s", conf->cert,
		    slurp_reason(errno));
	if (parse_chain(pair, span_of(*cert, cert_len), &why) != 0 ||
	    tls_keys_isolate(pair, keys, &why) != 0)
		return error_set(err, "%s with %s: %s", conf->cert, conf->key,
		    why.text);
	find_facts(pair);
	return load_ocsp(pair, err);
}

static int
load(struct tls_pair *pair, char **cert, char **key, char **passphrase,
    struct error *err)
{
	const struct tls_pair_conf *conf = pair->conf;
	size_t cert_len, key_len;
	struct error why;

	if (slurp_file(conf->cert, TLS_FILE_MAX, cert, &cert_len) != 0)
		return error_set(err, "reading %s: %s", conf->cert,
		    slurp_reason(errno));
	if (slurp_file(conf->key, TLS_FILE_MAX, key, &key_len) != 0)
		return error_set(err, "reading %s: %s", conf->key,
		    slurp_reason(errno));
	if (tls_passphrase_read(conf->passphrase_file,
	    conf->passphrase_command, passphrase, err) != 0)
		return -1;
	if (tls_cert_parse(pair, span_of(*cert, cert_len),
	    span_of(*key, key_len), *passphrase, &why) != 0)
		return error_set(err, "%s with %s: %s", conf->cert, conf->key,
		    why.text);
	return load_ocsp(pair, err);
}

void
tls_cert_stamp(const struct tls_pair_conf *conf, struct tls_stamp *out)
{
	const char *paths[] = { conf->cert, conf->key, conf->ocsp_file };
	struct stat st;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (paths[i] == NULL || stat(paths[i], &st) != 0)
			continue;
		out->files[i].mtime_s = st.st_mtim.tv_sec;
		out->files[i].mtime_ns = st.st_mtim.tv_nsec;
		out->files[i].ctime_s = st.st_ctim.tv_sec;
		out->files[i].ctime_ns = st.st_ctim.tv_nsec;
		out->files[i].bytes = (uint64_t)st.st_size;
		out->files[i].inode = st.st_ino;
	}
}

int
tls_cert_load(struct tls_pair *pair, const struct tls_pair_conf *conf,
    struct tls_keys *keys, struct conf_report *report,
    const struct conf_place *place, struct error *err)
{
	char *cert = NULL, *key = NULL, *passphrase = NULL;
	int result;

	*pair = (struct tls_pair){ .conf = conf };
	/* Before they are read: what changes meanwhile is seen later. */
	tls_cert_stamp(conf, &pair->stamp);
	result = keys != NULL ? load_isolated(pair, keys, &cert, err)
	    : load(pair, &cert, &key, &passphrase, err);
	if (result == 0) {
		warn_of_mode(report, place, conf->key);
		warn_of_dates(pair, report, place);
		if (pair->ocsp_why != NULL)
			conf_report_warning(report, place, "%s: nothing is "
			    "stapled: %s", conf->ocsp_file, pair->ocsp_why);
	} else {
		tls_cert_fini(pair);
	}
	if (key != NULL)
		OPENSSL_cleanse(key, strlen(key));
	if (passphrase != NULL)
		OPENSSL_cleanse(passphrase, strlen(passphrase));
	free(cert);
	free(key);
	free(passphrase);
	return result;
}

int
tls_cert_use_ctx(const struct tls_pair *pair, SSL_CTX *ctx)
{
	return SSL_CTX_use_cert_and_key(ctx, pair->cert, pair->key,
	    pair->chain, 1) == 1 ? 0 : -1;
}

int
tls_cert_use(const struct tls_pair *pair, SSL *ssl)
{
	return SSL_use_cert_and_key(ssl, pair->cert, pair->key, pair->chain,
	    1) == 1 ? 0 : -1;
}
