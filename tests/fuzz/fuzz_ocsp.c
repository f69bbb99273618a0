/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OCSP responses as anybody may send them: what is accepted is about our
 * certificate and holds now, and is the same when it comes again.
 */
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "net/tls_private.h"
#include "pair.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct tls_pair pair;
	const struct span der = span_of((const char *)bytes, len);
	struct tls_ocsp_times times = { 0, 0 };
	struct error err;

	if (pair.cert == NULL)
		CHECK(tls_cert_parse(&pair, span_cstr(pair_cert),
		    span_cstr(pair_key), NULL, &err) == 0);
	if (tls_ocsp_check(&pair, der, &times, &err) != 0) {
		CHECK(err.text[0] != '\0');
		return 0;
	}
	CHECK(times.until_s > (int64_t)time(NULL));
	CHECK(tls_ocsp_set(&pair, der, &err) == 0);
	CHECK(pair.ocsp_len == len && memcmp(pair.ocsp, bytes, len) == 0);
	return 0;
}
