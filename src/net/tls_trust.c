/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_trust - whom to trust: CA certificates and lists of revoked ones, from
 * files that may change.
 *
 * What the files hold is kept apart from OpenSSL's store, so that a store can
 * be made anew when one of the two files has changed, in processes that can
 * read neither.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "conf/slurp.h"
#include "net/tls_ctx.h"
#include "net/tls_private.h"

enum { BUNDLE_MAX = 8 * TLS_FILE_MAX, LISTS_MAX = 32 * TLS_FILE_MAX };

void
tls_trust_fini(struct tls_trust *t)
{
	sk_X509_pop_free(t->cas, X509_free);
	sk_X509_CRL_pop_free(t->crls, X509_CRL_free);
	t->cas = NULL;
	t->crls = NULL;
}

/* ---- reading ---- */

static int
no_passphrase(char *out, int size, int is_writing, void *arg)
{
	(void)out;
	(void)size;
	(void)is_writing;
	(void)arg;
	return -1; /* never ask at a terminal */
}

/* The text has come to its end, and not to something that is broken. */
static bool
is_end(void)
{
	unsigned long code = ERR_peek_last_error();

	if (ERR_GET_LIB(code) != ERR_LIB_PEM ||
	    ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

/* NULL and err: something is broken, or there is nothing. */
static STACK_OF(X509) *
read_cas(struct span pem, struct error *err)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	STACK_OF(X509) *cas = sk_X509_new_null();
	X509 *cert;
	int count;

	ERR_clear_error();
	while ((cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase,
	    NULL)) != NULL)
		sk_X509_push(cas, cert);
	BIO_free(bio);
	count = sk_X509_num(cas);
	if (is_end() && count > 0)
		return cas;
	if (ERR_peek_error() != 0)
		(void)tls_verify_set_error(err, "certificate %d", count + 1);
	else
		(void)error_set(err, "no certificate");
	sk_X509_pop_free(cas, X509_free);
	return NULL;
}

static STACK_OF(X509_CRL) *
read_crls(struct span pem, struct error *err)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
	X509_CRL *crl;
	int count;

	ERR_clear_error();
	while ((crl = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase,
	    NULL)) != NULL)
		sk_X509_CRL_push(crls, crl);
	BIO_free(bio);
	count = sk_X509_CRL_num(crls);
	if (is_end() && count > 0)
		return crls;
	if (ERR_peek_error() != 0)
		(void)tls_verify_set_error(err, "list %d", count + 1);
	else
		(void)error_set(err, "no list of revoked certificates");
	sk_X509_CRL_pop_free(crls, X509_CRL_free);
	return NULL;
}

/* ---- dates ---- */

static int
check_cas(STACK_OF(X509) *cas, struct error *err)
{
	for (int i = 0; i < sk_X509_num(cas); i++) {
		if (X509_cmp_current_time(X509_get0_notAfter(
		    sk_X509_value(cas, i))) > 0)
			return 0;
	}
	return error_set(err, "all certificates in it have expired");
}

static void
put_date(struct str *out, const ASN1_TIME *time)
{
	char text[32];
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) == 1 &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		str_cstr(out, text);
}

static int
say_dates(const X509_CRL *crl, const char *what, const ASN1_TIME *time,
    struct error *err)
{
	char memory[768];
	struct str out;

	str_init(&out, memory, sizeof(memory));
	str_lit(&out, "the list of revoked certificates of ");
	tls_verify_put_name(&out, X509_CRL_get_issuer(crl));
	str_printf(&out, " %s ", what);
	put_date(&out, time);
	return error_set(err, "%s", str_terminate(&out));
}

static int
check_crls(STACK_OF(X509_CRL) *crls, struct error *err)
{
	for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
		const X509_CRL *crl = sk_X509_CRL_value(crls, i);
		const ASN1_TIME *from = X509_CRL_get0_lastUpdate(crl);
		const ASN1_TIME *to = X509_CRL_get0_nextUpdate(crl);

		if (to != NULL && X509_cmp_current_time(to) < 0)
			return say_dates(crl, "has expired at", to, err);
		if (X509_cmp_current_time(from) > 0)
			return say_dates(crl, "is not valid before", from,
			    err);
	}
	return 0;
}

/* ---- files ---- */

/* At load old dates are worth a warning; later the old file stays. */
static int
judge(const struct tls_trust *t, const char *path, int result,
    const struct error *err)
{
	if (result == 0 || t->is_loaded)
		return result;
	conf_report_warning(t->about->report, t->about->place, "%s: %s", path,
	    err->text);
	return 0;
}

static int
receive_cas(void *arg, struct span content, struct error *err)
{
	struct tls_trust *t = arg;
	STACK_OF(X509) *former = t->cas, *cas = read_cas(content, err);
	unsigned char before[SHA256_DIGEST_LENGTH];

	if (cas == NULL)
		return -1;
	if (judge(t, t->ca_file, check_cas(cas, err), err) != 0) {
		sk_X509_pop_free(cas, X509_free);
		return -1;
	}
	t->cas = cas;
	memcpy(before, t->ca_digest, sizeof(before));
	SHA256((const unsigned char *)content.p, content.len, t->ca_digest);
	if (t->is_loaded && t->apply(t->owner, err) != 0) {
		memcpy(t->ca_digest, before, sizeof(before));
		t->cas = former;
		former = cas;
	}
	sk_X509_pop_free(former, X509_free);
	return t->cas == cas ? 0 : -1;
}

static int
receive_crls(void *arg, struct span content, struct error *err)
{
	struct tls_trust *t = *(struct tls_trust **)arg;
	STACK_OF(X509_CRL) *former = t->crls, *crls = read_crls(content, err);
	unsigned char before[SHA256_DIGEST_LENGTH];

	if (crls == NULL)
		return -1;
	if (judge(t, t->crl_file, check_crls(crls, err), err) != 0) {
		sk_X509_CRL_pop_free(crls, X509_CRL_free);
		return -1;
	}
	t->crls = crls;
	memcpy(before, t->crl_digest, sizeof(before));
	SHA256((const unsigned char *)content.p, content.len, t->crl_digest);
	if (t->is_loaded && t->apply(t->owner, err) != 0) {
		memcpy(t->crl_digest, before, sizeof(before));
		t->crls = former;
		former = crls;
	}
	sk_X509_CRL_pop_free(former, X509_CRL_free);
	return t->crls == crls ? 0 : -1;
}

/* What the system trusts, all of it now: a worker opens no files. */
static int
load_system(struct tls_trust *t, struct error *err)
{
	const char *const places[] = {
		getenv(X509_get_default_cert_file_env()),
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/cert.pem",
		X509_get_default_cert_file(),
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct error why;
		char *bytes;
		size_t len;
		int result;

		if (places[i] == NULL || access(places[i], R_OK) != 0)
			continue;
		if (slurp_file(places[i], BUNDLE_MAX, &bytes, &len) != 0)
			return error_set(err, "reading %s: %s", places[i],
			    slurp_reason(errno));
		t->ca_file = places[i];
		result = receive_cas(t, span_of(bytes, len), &why);
		free(bytes);
		return result == 0 ? 0 : error_set(err, "reading %s: %s",
		    places[i], why.text);
	}
	return error_set(err, "use_system_certs: this system has no bundle of "
	    "certificates (package ca-certificates); set ca_file");
}

int
tls_trust_load(struct tls_trust *t, const char *ca_file,
    const char *crl_file, const struct tls_ctx_about *about,
    struct error *err)
{
	char what[256];
	struct files_spec file = { .what = what, .path = ca_file,
		.bytes_max = BUNDLE_MAX, .receive = receive_cas, .arg = t };
	int result;

	t->about = about;
	t->self = t;
	t->ca_file = ca_file;
	t->crl_file = crl_file;
	snprintf(what, sizeof(what), "CA certificates of %s", about->name);
	result = ca_file != NULL ? files_add(about->files, &file, err)
	    : load_system(t, err);
	if (result >= 0 && crl_file != NULL) {
		snprintf(what, sizeof(what), "revoked certificates of %s",
		    about->name);
		file.path = crl_file;
		file.bytes_max = LISTS_MAX;
		file.receive = receive_crls;
		file.arg = &t->self;
		result = files_add(about->files, &file, err);
	}
	t->about = NULL;
	t->is_loaded = true;
	return result < 0 ? -1 : 0;
}

/* ---- use ---- */

X509_STORE *
tls_trust_store(const struct tls_trust *t, struct error *err)
{
	X509_STORE *store = X509_STORE_new();
	bool is_good = store != NULL;

	for (int i = 0; is_good && i < sk_X509_num(t->cas); i++)
		is_good = X509_STORE_add_cert(store,
		    sk_X509_value(t->cas, i)) == 1;
	for (int i = 0; is_good && i < sk_X509_CRL_num(t->crls); i++)
		is_good = X509_STORE_add_crl(store,
		    sk_X509_CRL_value(t->crls, i)) == 1;
	if (!is_good) {
		X509_STORE_free(store);
		(void)tls_verify_set_error(err, "making a store of trust");
		return NULL;
	}
	if (t->crl_file != NULL)
		X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK |
		    X509_V_FLAG_CRL_CHECK_ALL);
	return store;
}
