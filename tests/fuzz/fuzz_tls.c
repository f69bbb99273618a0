/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Certificates as files bring them, and server names as clients do: names come
 * out in lower case and whole, and what is refused leaves nothing behind.
 * The first byte says what the rest is.
 */
#include "base/error.h"
#include "net/tls_private.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check_name(const uint8_t *p, size_t len)
{
	char name[256];
	struct tls_sni sni;
	struct tls_pair pair = { .kind = TLS_KEY_EC };

	if (tls_sni_parse(p, len, name) != 0)
		return;
	CHECK(strlen(name) <= len - 5 && strlen(name) + 1 >= len - 5);
	for (const char *c = name; *c != '\0'; c++)
		CHECK(*c > ' ' && *c < 0x7f && !(*c >= 'A' && *c <= 'Z'));
	tls_sni_init(&sni);
	tls_sni_add(&sni, name, &pair);
	CHECK(name[0] == '\0' ||
	    tls_sni_find(&sni, span_cstr(name)) != NULL);
	tls_sni_fini(&sni);
}

/* Certificate and key lie behind each other, as in some files. */
static void
check_pair(struct span pem)
{
	struct tls_pair pair = { .conf = NULL };
	struct error err;

	if (tls_cert_parse(&pair, pem, pem, "secret", &err) != 0) {
		CHECK(pair.cert == NULL && pair.key == NULL);
		return;
	}
	CHECK(pair.cert != NULL && pair.key != NULL);
	for (size_t i = 0; i < pair.name_count; i++) {
		for (const char *c = pair.names[i]; *c != '\0'; c++)
			CHECK(!(*c >= 'A' && *c <= 'Z'));
	}
	tls_cert_fini(&pair);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return 0;
	if (bytes[0] % 2 == 0)
		check_name(bytes + 1, len - 1);
	else
		check_pair(span_of((const char *)bytes + 1, len - 1));
	return 0;
}
