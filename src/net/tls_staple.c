/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_staple - OCSP for those who fetch, by the numbers of pairs. */
#include "net/tls_staple.h"

#include <openssl/ocsp.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "net/tls_private.h"

bool
tls_staple_is_wanted(const struct tls_server *s, size_t i)
{
	const struct tls_pair *pair = &s->pairs[i];

	return pair->conf->ocsp_fetch && tls_ocsp_issuer(pair) != NULL;
}

int
tls_staple_target(const struct tls_server *s, size_t i,
    struct tls_staple_target *out, struct error *err)
{
	return tls_ocsp_target(&s->pairs[i], out, err);
}

int
tls_staple_request(const struct tls_server *s, size_t i, char **der,
    size_t *len, struct error *err)
{
	const struct tls_pair *pair = &s->pairs[i];
	X509 *issuer = tls_ocsp_issuer(pair);
	OCSP_REQUEST *request = OCSP_REQUEST_new();
	OCSP_CERTID *id = issuer != NULL
	    ? OCSP_cert_to_id(NULL, pair->cert, issuer) : NULL;
	unsigned char *p;
	int bytes = -1;

	*der = NULL;
	if (request != NULL && id != NULL &&
	    OCSP_request_add0_id(request, id) != NULL) {
		id = NULL; /* the request's */
		bytes = i2d_OCSP_REQUEST(request, NULL);
	}
	if (bytes > 0) {
		*der = heap_alloc((size_t)bytes);
		*len = (size_t)bytes;
		p = (unsigned char *)*der;
		i2d_OCSP_REQUEST(request, &p);
	}
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(request);
	return bytes > 0 ? 0
	    : tls_verify_set_error(err, "making an OCSP request");
}

int
tls_staple_check(const struct tls_server *s, size_t i, struct span der,
    int64_t *until_s, struct error *err)
{
	struct tls_ocsp_times times;

	if (tls_ocsp_issuer(&s->pairs[i]) == NULL)
		return error_set(err, "its issuer is not known");
	if (tls_ocsp_check(&s->pairs[i], der, &times, err) != 0)
		return -1;
	*until_s = times.until_s;
	return 0;
}

const void *
tls_staple_owner(const struct tls_server *s, size_t i)
{
	return &s->pairs[i];
}

void
tls_staple_times(const struct tls_server *s, size_t i, int64_t *from_s,
    int64_t *until_s)
{
	const struct tls_pair *pair = &s->pairs[i];

	*from_s = pair->ocsp != NULL ? pair->ocsp_times.from_s : 0;
	*until_s = pair->ocsp != NULL ? pair->ocsp_times.until_s : 0;
}
