/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_ocsp - OCSP (RFC 6960): where to ask about our own certificates, and
 * whether an answer is good enough to be stapled.
 *
 * An answer comes from a file or from the network, where anybody may have
 * written it; it is believed when the certificate's issuer has signed it, or
 * somebody to whom the issuer gave that right.
 */
#include <openssl/err.h>
#include <openssl/http.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "net/tls_ctx.h"
#include "net/tls_private.h"
#include "net/tls_staple.h"

enum {
	SKEW_S = 300,      /* that clocks may differ by */
	LIFE_S = 86400,    /* of an answer that does not say how long */
};

X509 *
tls_ocsp_issuer(const struct tls_pair *pair)
{
	for (int i = 0; i < sk_X509_num(pair->chain); i++) {
		X509 *cert = sk_X509_value(pair->chain, i);

		if (X509_check_issued(cert, pair->cert) == X509_V_OK)
			return cert;
	}
	return NULL;
}

/* ---- an answer ---- */

static int
check_signature(const struct tls_pair *pair, OCSP_BASICRESP *basic,
    X509 *issuer, struct error *err)
{
	X509_STORE *store = X509_STORE_new();
	int is_good = 0;

	if (store != NULL && X509_STORE_add_cert(store, issuer) == 1) {
		X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
		is_good = OCSP_basic_verify(basic, pair->chain, store, 0);
	}
	X509_STORE_free(store);
	if (is_good == 1)
		return 0;
	return tls_verify_set_error(err,
	    "it is not signed by the certificate's issuer");
}

/* Is it about our certificate, as far as the issuer is known? */
static bool
is_ours(const struct tls_pair *pair, OCSP_CERTID *id, X509 *issuer)
{
	ASN1_OBJECT *hash = NULL;
	ASN1_INTEGER *serial = NULL;
	const EVP_MD *md;
	OCSP_CERTID *own;
	bool is_same;

	if (OCSP_id_get0_info(NULL, &hash, NULL, &serial, id) != 1)
		return false;
	if (issuer == NULL)
		return ASN1_INTEGER_cmp(serial,
		    X509_get0_serialNumber(pair->cert)) == 0;
	md = EVP_get_digestbyobj(hash);
	own = md != NULL ? OCSP_cert_to_id(md, pair->cert, issuer) : NULL;
	is_same = own != NULL && OCSP_id_cmp(own, id) == 0;
	OCSP_CERTID_free(own);
	return is_same;
}

static OCSP_SINGLERESP *
find(const struct tls_pair *pair, OCSP_BASICRESP *basic, X509 *issuer)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
		const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(one);
		OCSP_CERTID *copy = OCSP_CERTID_dup(id);
		bool is_found = copy != NULL && is_ours(pair, copy, issuer);

		OCSP_CERTID_free(copy);
		if (is_found)
			return one;
	}
	return NULL;
}

static int64_t
seconds_of(const ASN1_GENERALIZEDTIME *time)
{
	struct tm tm;

	if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

static int
check_single(OCSP_SINGLERESP *one, struct tls_ocsp_times *times,
    struct error *err)
{
	ASN1_GENERALIZEDTIME *from = NULL, *to = NULL;
	int64_t now = (int64_t)time(NULL);
	int reason, status;

	status = OCSP_single_get0_status(one, &reason, NULL, &from, &to);
	if (status == V_OCSP_CERTSTATUS_REVOKED)
		return error_set(err, "it says that the certificate is "
		    "revoked");
	if (status != V_OCSP_CERTSTATUS_GOOD)
		return error_set(err, "it does not know the certificate");
	times->from_s = seconds_of(from);
	times->until_s = to != NULL ? seconds_of(to)
	    : times->from_s + LIFE_S;
	if (times->from_s > now + SKEW_S)
		return error_set(err, "it is not valid yet");
	if (times->until_s <= now)
		return error_set(err, "it has expired");
	return 0;
}

static int
check_basic(const struct tls_pair *pair, OCSP_BASICRESP *basic,
    struct tls_ocsp_times *times, struct error *err)
{
	X509 *issuer = tls_ocsp_issuer(pair);
	OCSP_SINGLERESP *one = find(pair, basic, issuer);

	if (one == NULL)
		return error_set(err, "it is about another certificate");
	/* In a file of the admin's own; fetching needs the issuer. */
	if (issuer != NULL && check_signature(pair, basic, issuer, err) != 0)
		return -1;
	return check_single(one, times, err);
}

int
tls_ocsp_check(const struct tls_pair *pair, struct span der,
    struct tls_ocsp_times *times, struct error *err)
{
	const unsigned char *p = (const unsigned char *)der.p;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)der.len);
	OCSP_BASICRESP *basic = NULL;
	int result;

	if (response == NULL ||
	    p != (const unsigned char *)der.p + der.len) {
		result = error_set(err, "it is no OCSP response");
	} else if (OCSP_response_status(response) !=
	    OCSP_RESPONSE_STATUS_SUCCESSFUL) {
		result = error_set(err, "the responder says: %s",
		    OCSP_response_status_str(OCSP_response_status(response)));
	} else if ((basic = OCSP_response_get1_basic(response)) == NULL) {
		result = error_set(err, "it is no basic OCSP response");
	} else {
		result = check_basic(pair, basic, times, err);
	}
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	return result;
}

int
tls_ocsp_set(struct tls_pair *pair, struct span der, struct error *err)
{
	struct tls_ocsp_times times;

	if (tls_ocsp_check(pair, der, &times, err) != 0)
		return -1;
	free(pair->ocsp);
	pair->ocsp = heap_alloc(der.len);
	memcpy(pair->ocsp, der.p, der.len);
	pair->ocsp_len = der.len;
	pair->ocsp_times = times;
	return 0;
}

/* ---- fetching ---- */

static int
receive(void *arg, struct span content, struct error *err)
{
	return tls_ocsp_set(arg, content, err);
}

int
tls_ocsp_await(struct tls_pair *pair, const struct tls_ctx_about *about,
    const struct conf_place *place)
{
	char what[512];
	const struct files_spec file = { .what = what, .receive = receive,
		.bytes_max = TLS_STAPLE_MAX, .arg = pair };
	struct tls_staple_target target;
	struct error err;

	if (!pair->conf->ocsp_fetch)
		return 0;
	if (tls_ocsp_issuer(pair) == NULL)
		conf_report_warning(about->report, place, "%s: nothing is "
		    "stapled: ocsp_fetch needs the issuer's certificate "
		    "behind the certificate", pair->conf->cert);
	else if (tls_ocsp_target(pair, &target, &err) != 0)
		conf_report_warning(about->report, place, "%s: nothing is "
		    "stapled: %s", pair->conf->cert, err.text);
	snprintf(what, sizeof(what), "OCSP response for %s on %s",
	    pair->conf->cert, about->name);
	return files_add(about->files, &file, &err);
}

static int
split(const char *url, struct tls_staple_target *out, struct error *err)
{
	char *host = NULL, *port = NULL, *path = NULL, *query = NULL;
	int number = 0, is_tls = 0, result = 0;
	bool is_url = OSSL_HTTP_parse_url(url, &is_tls, NULL, &host, &port,
	    &number, &path, &query, NULL) == 1;
	bool has_query = is_url && query != NULL && query[0] != '\0';

	if (!is_url)
		result = error_set(err, "OCSP responder %s: that is no URL",
		    url);
	else if (is_tls != 0)
		result = error_set(err, "OCSP responder %s: only http is "
		    "spoken with responders", url);
	else if ((size_t)snprintf(out->host, sizeof(out->host), "%s",
	    host) >= sizeof(out->host) ||
	    (size_t)snprintf(out->path, sizeof(out->path), "%s%s%s", path,
	    has_query ? "?" : "", has_query ? query : "") >=
	    sizeof(out->path))
		result = error_set(err, "OCSP responder %s: too long", url);
	out->port = (uint16_t)number;
	OPENSSL_free(host);
	OPENSSL_free(port);
	OPENSSL_free(path);
	OPENSSL_free(query);
	ERR_clear_error();
	return result;
}

/* It goes into the head of a request. */
static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text >= 0x7f)
			return false;
	}
	return true;
}

int
tls_ocsp_target(const struct tls_pair *pair, struct tls_staple_target *out,
    struct error *err)
{
	STACK_OF(OPENSSL_STRING) *urls;
	const char *url = pair->conf->ocsp_responder;
	int result;

	if (url != NULL)
		return split(url, out, err);
	urls = X509_get1_ocsp(pair->cert);
	if (sk_OPENSSL_STRING_num(urls) < 1)
		result = error_set(err, "the certificate names no OCSP "
		    "responder; ocsp_responder can");
	else if (!is_printable(sk_OPENSSL_STRING_value(urls, 0)))
		result = error_set(err, "the certificate names an OCSP "
		    "responder that is no URL");
	else
		result = split(sk_OPENSSL_STRING_value(urls, 0), out, err);
	X509_email_free(urls);
	return result;
}
