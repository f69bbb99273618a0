/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_verify - trust: its files, the peer's certificate, what was wrong. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "base/str.h"
#include "net/tls_private.h"

const char *
tls_verify_error(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	if (code == 0)
		text = "failed";
	else if (text == NULL && ERR_SYSTEM_ERROR(code))
		text = strerror(ERR_GET_REASON(code));
	ERR_clear_error();
	return text != NULL ? text : "unknown error";
}

int
tls_verify_set_error(struct error *err, const char *fmt, ...)
{
	char doing[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(doing, sizeof(doing), fmt, ap);
	va_end(ap);
	return error_set(err, "%s: %s", doing, tls_verify_error());
}

void
tls_verify_put_name(struct str *out, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p = NULL;
	long len;

	X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
	len = BIO_get_mem_data(bio, &p);
	if (len > 0)
		str_put(out, p, (size_t)len);
	BIO_free(bio);
}

static void
put_serial(struct str *out, const X509 *cert)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = n != NULL ? BN_bn2hex(n) : NULL;

	if (hex != NULL)
		str_cstr(out, hex);
	OPENSSL_free(hex);
	BN_free(n);
}

static void
put_fingerprint(struct str *out, const X509 *cert)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (X509_digest(cert, EVP_sha256(), md, &len) != 1)
		return;
	for (unsigned i = 0; i < len; i++)
		str_printf(out, "%02x", md[i]);
}

/*
 * An alternative name, with what could be taken for a separator left out: the
 * whole goes into a header.
 */
static void
put_alternative(struct str *out, const char *kind, const ASN1_STRING *s)
{
	const unsigned char *p = ASN1_STRING_get0_data(s);
	int len = ASN1_STRING_length(s);

	for (int i = 0; i < len; i++) {
		if (p[i] <= ' ' || p[i] >= 0x7f || p[i] == ',')
			return;
	}
	if (out->len > 0)
		str_char(out, ',');
	str_cstr(out, kind);
	str_put(out, (const char *)p, (size_t)len);
}

static void
put_ip(struct str *out, const ASN1_OCTET_STRING *s)
{
	char *text = NULL;
	int len = ASN1_STRING_length(s);
	const unsigned char *p = ASN1_STRING_get0_data(s);

	(void)text;
	if (len != 4 && len != 16)
		return;
	if (out->len > 0)
		str_char(out, ',');
	str_lit(out, "IP:");
	for (int i = 0; i < len; i += len == 4 ? 1 : 2) {
		if (len == 4)
			str_printf(out, "%s%u", i > 0 ? "." : "", p[i]);
		else
			str_printf(out, "%s%x", i > 0 ? ":" : "",
			    (unsigned)p[i] << 8 | p[i + 1]);
	}
}

static void
put_alternatives(struct str *out, const X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name,
	    NULL, NULL);
	char memory[2048];
	struct str list;

	str_init(&list, memory, sizeof(memory));
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			put_alternative(&list, "DNS:", name->d.dNSName);
		else if (name->type == GEN_EMAIL)
			put_alternative(&list, "email:", name->d.rfc822Name);
		else if (name->type == GEN_URI)
			put_alternative(&list, "URI:",
			    name->d.uniformResourceIdentifier);
		else if (name->type == GEN_IPADD)
			put_ip(&list, name->d.iPAddress);
	}
	GENERAL_NAMES_free(names);
	str_span(out, str_view(&list));
}

bool
tls_verify_fact(SSL *ssl, enum conn_fact fact, struct str *out)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	long result = SSL_get_verify_result(ssl);
	size_t before = out->len;

	if (fact == CONN_FACT_PEER_VERIFY) {
		str_cstr(out, cert == NULL ? "none" : result == X509_V_OK
		    ? "ok" : X509_verify_cert_error_string(result));
		return true;
	}
	/* Nobody is to believe what could not be verified. */
	if (cert == NULL || result != X509_V_OK)
		return false;
	switch (fact) {
	case CONN_FACT_PEER_SUBJECT:
		tls_verify_put_name(out, X509_get_subject_name(cert));
		break;
	case CONN_FACT_PEER_ISSUER:
		tls_verify_put_name(out, X509_get_issuer_name(cert));
		break;
	case CONN_FACT_PEER_SERIAL:
		put_serial(out, cert);
		break;
	case CONN_FACT_PEER_FINGERPRINT:
		put_fingerprint(out, cert);
		break;
	case CONN_FACT_PEER_NAMES:
		put_alternatives(out, cert);
		break;
	case CONN_FACT_VERSION:
	case CONN_FACT_CIPHER:
	case CONN_FACT_SERVER_NAME:
	case CONN_FACT_ALPN:
	case CONN_FACT_RESUMED:
	case CONN_FACT_PEER_VERIFY:
	case CONN_FACT_WHY:
	default:
		break;
	}
	ERR_clear_error();
	return out->len > before;
}

/* Every failed check comes by here; the first one is remembered. */
int
tls_verify_callback(int is_ok, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store,
	    SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_stream *t = SSL_get_app_data(ssl);
	const X509 *cert = X509_STORE_CTX_get_current_cert(store);
	int depth = X509_STORE_CTX_get_error_depth(store);
	char memory[1024];
	struct str out;

	if (is_ok || t == NULL)
		return is_ok;
	str_init(&out, memory, sizeof(memory));
	str_cstr(&out, X509_verify_cert_error_string(
	    X509_STORE_CTX_get_error(store)));
	if (cert != NULL) {
		str_lit(&out, ": ");
		tls_verify_put_name(&out, X509_get_subject_name(cert));
		str_lit(&out, ", issued by ");
		tls_verify_put_name(&out, X509_get_issuer_name(cert));
	}
	if (depth > 0)
		str_printf(&out, " (%d above the peer's own)", depth);
	if (t->why == NULL)
		t->why = strdup(str_terminate(&out));
	/*
	 * A client whose certificate is optional is let in; what it showed is
	 * told to nobody (tls_verify_fact).
	 */
	if (t->server != NULL)
		return t->server->conf->verify == TLS_VERIFY_OPTIONAL;
	t->is_unverified = true;
	return 0;
}
