/* SPDX-License-Identifier: BSD-2-Clause */
/* version - the libraries' own words about themselves. */
#include "master/version.h"

#include <libconfig.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include <zlib.h>

#ifdef HAVE_CARES
#include <ares.h>
#endif
#ifdef HAVE_NGHTTP2
#include <nghttp2/nghttp2.h>
#endif
#ifdef HAVE_BROTLI
#include <brotli/encode.h>
#endif
#ifdef HAVE_ISAL
#include <isa-l.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "net/tls_ktls.h"

/* What a build may be without, and what is lost by it. */
static const char *const left_out[] = {
#ifndef HAVE_CARES
	"c-ares: names are resolved by getaddrinfo",
#endif
#ifndef HAVE_NGHTTP2
	"nghttp2: no HTTP/2",
#endif
#ifndef HAVE_LIBSECCOMP
	"libseccomp: no filter of system calls",
#endif
#ifndef HAVE_JANSSON
	"jansson: no JSON web tokens",
#endif
#ifndef HAVE_BROTLI
	"brotli: no brotli compression",
#endif
#ifndef HAVE_ZSTD
	"zstd: no zstd compression",
#endif
#ifndef HAVE_ISAL
	"ISA-L: gzip's lowest levels by zlib, slower",
#endif
#ifndef HAVE_LIBCRYPT
	"libcrypt: of passwords' hashes only apr1",
#endif
#ifndef HAVE_HIREDIS
	"hiredis: no Redis",
#endif
	NULL,
};

static void
print_libraries(FILE *out)
{
	char pcre2[64] = "?";

	(void)pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
	fprintf(out, "libraries:\n");
	fprintf(out, "  OpenSSL %s\n",
	    OpenSSL_version(OPENSSL_VERSION_STRING));
	/* It has no function for this: the version of its header. */
	fprintf(out, "  libconfig %d.%d.%d\n", LIBCONFIG_VER_MAJOR,
	    LIBCONFIG_VER_MINOR, LIBCONFIG_VER_REVISION);
	fprintf(out, "  PCRE2 %.*s\n", (int)strcspn(pcre2, " "), pcre2);
	fprintf(out, "  zlib %s\n", zlibVersion());
#ifdef HAVE_NGHTTP2
	fprintf(out, "  nghttp2 %s\n", nghttp2_version(0)->version_str);
#endif
#ifdef HAVE_CARES
	fprintf(out, "  c-ares %s\n", ares_version(NULL));
#endif
#ifdef HAVE_BROTLI
	/* Twelve bits each for minor and patch. */
	fprintf(out, "  brotli %u.%u.%u\n", BrotliEncoderVersion() >> 24,
	    BrotliEncoderVersion() >> 12 & 0xfff,
	    BrotliEncoderVersion() & 0xfff);
#endif
#ifdef HAVE_ISAL
	fprintf(out, "  ISA-L %d.%d.%d\n", ISAL_MAJOR_VERSION,
	    ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
#endif
#ifdef HAVE_ZSTD
	fprintf(out, "  zstd %s\n", ZSTD_versionString());
#endif
}

void
version_print(FILE *out, const char *const *modules, size_t count)
{
	fprintf(out, "weir %s\nmodules:", VERSION);
	for (size_t i = 0; i < count; i++)
		fprintf(out, " %s", modules[i]);
	fputc('\n', out);
	print_libraries(out);
	fprintf(out, "kTLS: %s\n", tls_ktls_text());
	if (left_out[0] == NULL)
		return;
	fprintf(out, "left out of this build:\n");
	for (size_t i = 0; left_out[i] != NULL; i++)
		fprintf(out, "  %s\n", left_out[i]);
}

const char *
version_text(void)
{
	return VERSION;
}
