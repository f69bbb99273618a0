/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_policy - versions, ciphers, groups and signatures of contexts.
 *
 * What is not configured comes from the profile.  OpenSSL checks the lists.
 */
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "net/tls_private.h"

/*
 * Mozilla's recommendations, version 5.7, without the exchanges over finite
 * fields: they cost the server most, and what can do no other is older than
 * what the profile is for.  The order of TLS 1.2 is ours, where they leave it to
 * the client for the sake of those without AES in hardware: who puts ChaCha20
 * first gets it (SSL_OP_PRIORITIZE_CHACHA).
 */
#define INTERMEDIATE_CIPHERS                                                 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"         \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"         \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES                                                               \
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"                     \
	"TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

static const struct {
	int min_version;
	const char *ciphers;
	bool prefer_server;
} profiles[] = {
	[TLS_PROFILE_MODERN] = { TLS1_3_VERSION, INTERMEDIATE_CIPHERS,
		false },
	[TLS_PROFILE_INTERMEDIATE] = { TLS1_2_VERSION, INTERMEDIATE_CIPHERS,
		true },
	[TLS_PROFILE_OLD] = { TLS1_VERSION, INTERMEDIATE_CIPHERS
		":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
		"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
		"ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"
		"ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
		"AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:"
		"AES256-SHA256:AES128-SHA:AES256-SHA:@SECLEVEL=0", true },
};

/* The library's macros cast const away; nothing is written there. */
static char *
as_written(const char *text)
{
	union { const char *in; char *out; } u = { .in = text };

	return u.out;
}

/*
 * A signer signs and does not decrypt: a key exchange by encryption to the
 * server's key is left out.
 */
static int
set_ciphers(SSL_CTX *ctx, const char *ciphers, bool is_isolated)
{
	static const char without[] = ":!kRSA";
	size_t len = strlen(ciphers);
	char *text = heap_alloc(len + sizeof(without));
	int result;

	memcpy(text, ciphers, len + 1);
	if (is_isolated)
		memcpy(text + len, without, sizeof(without));
	result = SSL_CTX_set_cipher_list(ctx, text) == 1 ? 0 : -1;
	free(text);
	return result;
}

int
tls_policy_apply(const struct tls_policy *p, SSL_CTX *ctx, bool is_isolated,
    struct error *err)
{
	int min = p->min_version != 0 ? (int)p->min_version
				      : profiles[p->profile].min_version;
	int max = (int)p->max_version;
	const char *ciphers = p->ciphers != NULL ? p->ciphers
	    : profiles[p->profile].ciphers;
	const char *suites = p->suites != NULL ? p->suites : SUITES;
	const char *groups = p->groups != NULL ? p->groups : GROUPS;
	const char *signatures = p->signature_algorithms;

	if (max != 0 && min > max)
		min = max;
	if (SSL_CTX_set_min_proto_version(ctx, min) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, max) != 1)
		return tls_verify_set_error(err, "min_version, max_version");
	if (set_ciphers(ctx, ciphers, is_isolated) != 0)
		return tls_verify_set_error(err, "ciphers \"%s\"", ciphers);
	if (SSL_CTX_set_ciphersuites(ctx, suites) != 1)
		return tls_verify_set_error(err, "suites \"%s\"", suites);
	if (SSL_CTX_set1_groups_list(ctx, as_written(groups)) != 1)
		return tls_verify_set_error(err, "groups \"%s\"", groups);
	if (signatures != NULL &&
	    SSL_CTX_set1_sigalgs_list(ctx, as_written(signatures)) != 1)
		return tls_verify_set_error(err,
		    "signature_algorithms \"%s\"", signatures);
	/* What an application asked for counts less than what was set here. */
	if (p->min_version != 0 && min < TLS1_2_VERSION)
		SSL_CTX_set_security_level(ctx, 0);
	return 0;
}

bool
tls_policy_prefers_server(const struct tls_policy *p)
{
	return p->prefer_server == 1 || (p->prefer_server == 0 &&
	    profiles[p->profile].prefer_server);
}
