/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_watch - looking at certificate files, and taking what has changed. */
#include "net/tls_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "net/tls_keys.h"
#include "net/tls_private.h"

enum {
	SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
	BYTES_MAX = 4 * TLS_FILE_MAX,
	DESCRIPTORS = 8, /* files, and a process that reads them */
};

/* What a memfd begins with; the three parts follow. */
struct header {
	uint32_t cert_len, key_len, ocsp_len, is_isolated;
};

size_t
tls_watch_count(const struct tls_server *s)
{
	return s->pair_count;
}

void
tls_watch_describe(const struct tls_server *s, size_t i,
    struct tls_watch_info *info)
{
	static const char *const kinds[] = { [TLS_KEY_RSA] = "RSA",
		[TLS_KEY_EC] = "ECDSA", [TLS_KEY_EDWARDS] = "EdDSA",
		[TLS_KEY_OTHER] = "other" };
	const struct tls_pair *pair = &s->pairs[i];
	const struct conf_strings *given = &pair->conf->names;

	*info = (struct tls_watch_info){
		.cert = pair->conf->cert,
		.name = given->count > 0 ? given->items[0]
		    : pair->name_count > 0 ? pair->names[0] : "",
		.name_count = given->count > 0 ? given->count
					       : pair->name_count,
		.kind = kinds[pair->kind],
		.not_after_s = pair->not_after_s,
	};
}

/* ---- replacing ---- */

static bool
has_name(const struct tls_pair *pair, const char *name)
{
	for (size_t i = 0; i < pair->name_count; i++) {
		if (strcmp(pair->names[i], name) == 0)
			return true;
	}
	return false;
}

/* Who of the chain has signed it; NULL if nobody has. */
static X509 *
issuer_in(STACK_OF(X509) *chain, X509 *cert)
{
	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *other = sk_X509_value(chain, i);

		if (X509_check_issued(other, cert) == X509_V_OK &&
		    X509_verify(cert, X509_get0_pubkey(other)) == 1)
			return other;
	}
	ERR_clear_error();
	return NULL;
}

/*
 * Those behind it must be its issuers, in whatever order, and be valid today;
 * and they may not be forgotten where there were some.
 */
static int
check_chain(const struct tls_pair *old, const struct tls_pair *pair,
    struct error *err)
{
	int count = sk_X509_num(pair->chain), at = 0;
	X509 *cert = pair->cert;

	if (count <= 0)
		return sk_X509_num(old->chain) <= 0 ||
		    X509_check_issued(cert, cert) == X509_V_OK ? 0
		    : error_set(err, "the chain behind it is missing");
	for (; at < count; at++) {
		X509 *issuer = issuer_in(pair->chain, cert);

		if (issuer == NULL || issuer == cert)
			break;
		cert = issuer;
		if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
			return error_set(err, "a certificate behind it has "
			    "expired");
		if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
			return error_set(err, "a certificate behind it is "
			    "not valid yet");
	}
	return at > 0 ? 0 : error_set(err, "none of the certificates behind "
	    "it has signed it");
}

/* May it take the place of the old one? */
static int
check(const struct tls_pair *old, const struct tls_pair *pair,
    struct error *err)
{
	int64_t now = (int64_t)time(NULL);

	if (pair->kind != old->kind)
		return error_set(err, "the key is of another kind: that needs "
		    "a reload");
	if (pair->not_after_s <= now)
		return error_set(err, "it has expired");
	if (pair->not_before_s > now)
		return error_set(err, "it is not valid yet");
	for (size_t i = 0; old->conf->names.count == 0 &&
	    i < old->name_count; i++) {
		if (!has_name(pair, old->names[i]))
			return error_set(err, "it is not for %s any more",
			    old->names[i]);
	}
	return check_chain(old, pair, err);
}

/*
 * The new one comes into the place of the old one, to which names point.  The
 * old one's names are keys of the maps: they stay until all goes.
 */
static int
replace(struct tls_server *s, size_t i, struct tls_pair *pair,
    struct error *err)
{
	struct tls_pair *old = &s->pairs[i];
	bool is_default = i == 0 || (s->fallback != NULL &&
	    s->fallback->by_kind[old->kind] == old);

	if (is_default && tls_cert_use_ctx(pair, s->ctx) != 0)
		return tls_verify_set_error(err, "using it");
	for (size_t n = 0; old->conf->names.count == 0 &&
	    n < pair->name_count; n++) {
		if (has_name(old, pair->names[n]))
			continue;
		old->names = heap_alloc_grow(old->names, old->name_count + 1,
		    sizeof(*old->names));
		old->names[old->name_count] = strdup(pair->names[n]);
		tls_sni_add(&s->sni, old->names[old->name_count++], old);
	}
	/* What was fetched for a certificate holds as long as that does. */
	if (pair->ocsp == NULL && old->conf->ocsp_fetch &&
	    X509_cmp(old->cert, pair->cert) == 0) {
		pair->ocsp = old->ocsp;
		pair->ocsp_len = old->ocsp_len;
		pair->ocsp_times = old->ocsp_times;
		old->ocsp = NULL;
	}
	X509_free(old->cert);
	sk_X509_pop_free(old->chain, X509_free);
	EVP_PKEY_free(old->key);
	free(old->ocsp);
	free(old->ocsp_why);
	old->ocsp_times = pair->ocsp_times;
	old->ocsp_why = pair->ocsp_why;
	pair->ocsp_why = NULL;
	old->cert = pair->cert;
	old->chain = pair->chain;
	old->key = pair->key;
	old->is_isolated = pair->is_isolated;
	memcpy(old->key_id, pair->key_id, sizeof(old->key_id));
	old->ocsp = pair->ocsp;
	old->ocsp_len = pair->ocsp_len;
	old->not_before_s = pair->not_before_s;
	old->not_after_s = pair->not_after_s;
	pair->cert = NULL;
	pair->chain = NULL;
	pair->key = NULL;
	pair->ocsp = NULL;
	return 0;
}

/* ---- in the master ---- */

/* PEM of all, the key without passphrase: it stays in memory. */
static int
write_parts(const struct tls_pair *pair, int fd)
{
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	struct header header = { .ocsp_len = (uint32_t)pair->ocsp_len };
	char *cert_bytes = NULL, *key_bytes = NULL;
	int result = -1;

	PEM_write_bio_X509(cert, pair->cert);
	for (int i = 0; i < sk_X509_num(pair->chain); i++)
		PEM_write_bio_X509(cert, sk_X509_value(pair->chain, i));
	/* Of a key that is elsewhere, its name. */
	header.is_isolated = pair->is_isolated;
	if (pair->is_isolated)
		BIO_write(key, pair->key_id, sizeof(pair->key_id));
	else
		PEM_write_bio_PrivateKey(key, pair->key, NULL, NULL, 0, NULL,
		    NULL);
	header.cert_len = (uint32_t)BIO_get_mem_data(cert, &cert_bytes);
	header.key_len = (uint32_t)BIO_get_mem_data(key, &key_bytes);
	if (write(fd, &header, sizeof(header)) == sizeof(header) &&
	    write(fd, cert_bytes, header.cert_len) ==
	    (ssize_t)header.cert_len &&
	    write(fd, key_bytes, header.key_len) == (ssize_t)header.key_len &&
	    (header.ocsp_len == 0 || write(fd, pair->ocsp, header.ocsp_len) ==
	    (ssize_t)header.ocsp_len))
		result = fcntl(fd, F_ADD_SEALS, SEALS);
	OPENSSL_cleanse(key_bytes, header.key_len);
	BIO_free(cert);
	BIO_free(key);
	ERR_clear_error();
	return result;
}

uint32_t
tls_watch_version(const struct tls_server *s, size_t i)
{
	return s->pairs[i].version;
}

int
tls_watch_open(const struct tls_server *s, size_t i, struct error *err)
{
	int fd = memfd_create("weir-certificate", MFD_CLOEXEC |
	    MFD_ALLOW_SEALING);

	if (fd < 0)
		return error_set_errno(err, errno, "sharing it");
	if (write_parts(&s->pairs[i], fd) == 0)
		return fd;
	error_set_errno(err, errno, "sharing it");
	close(fd);
	return -1;
}

/*
 * A new certificate goes without an OCSP response until there is one for it; of
 * a certificate that is the same, the old response stays.
 */
static int
check_staple(const struct tls_pair *old, const struct tls_pair *pair,
    struct error *err)
{
	if (pair->ocsp_why == NULL)
		return 0;
	if (X509_cmp(old->cert, pair->cert) == 0)
		return error_set(err, "%s: %s", old->conf->ocsp_file,
		    pair->ocsp_why);
	log_warn(NULL, "certificate %s: nothing is stapled: %s: %s",
	    old->conf->cert, old->conf->ocsp_file, pair->ocsp_why);
	return 0;
}

/* Of the two keys the one that nobody will use. */
static void
retire_key(struct tls_keys *keys, const unsigned char *former,
    const unsigned char *fresh, bool is_used)
{
	if (keys != NULL && memcmp(former, fresh, TLS_KEYS_ID) != 0)
		tls_keys_vault_retire(keys, is_used ? former : fresh, now_ms());
}

static int
take_files(struct tls_server *s, size_t i, struct error *err)
{
	struct tls_pair *old = &s->pairs[i];
	struct conf_report *report = conf_report_new();
	unsigned char former[TLS_KEYS_ID], fresh[TLS_KEYS_ID];
	struct tls_pair pair;
	int result = -1;

	memcpy(former, old->key_id, sizeof(former));
	tls_keys_expect(s->keys, old);
	if (tls_cert_load(&pair, old->conf, s->keys, report, NULL, err) == 0) {
		memcpy(fresh, pair.key_id, sizeof(fresh));
		if (check(old, &pair, err) == 0 &&
		    check_staple(old, &pair, err) == 0)
			result = replace(s, i, &pair, err);
		retire_key(s->keys, former, fresh, result == 0);
		tls_cert_fini(&pair);
	}
	tls_keys_expect(s->keys, NULL);
	conf_report_free(report);
	tls_keys_rest(s->keys);
	return result;
}

/*
 * Are there descriptors to read it with?  Without them a good pair would look
 * like a bad one, and stay old until it changes once more.
 */
static bool
can_read(struct tls_pair *pair)
{
	int fds[DESCRIPTORS];
	size_t count = 0;

	while (count < DESCRIPTORS && (fds[count] = open("/dev/null",
	    O_RDONLY | O_CLOEXEC)) >= 0)
		count++;
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	if (count < DESCRIPTORS && !pair->is_put_off)
		log_error(NULL, "certificate %s has changed and cannot be "
		    "read now; it is tried again: %s", pair->conf->cert,
		    strerror(errno));
	pair->is_put_off = count < DESCRIPTORS;
	return !pair->is_put_off;
}

void
tls_watch_look(struct tls_server *s, size_t i)
{
	struct tls_pair *pair = &s->pairs[i];
	struct tls_stamp now;
	struct error err;
	bool is_new;

	tls_cert_stamp(pair->conf, &now);
	if (memcmp(&now, &pair->stamp, sizeof(now)) == 0)
		return;
	/* Half of it may be written yet: it has to rest first. */
	is_new = memcmp(&now, &pair->seen, sizeof(now)) != 0;
	pair->seen = now;
	if (is_new || !can_read(pair))
		return;
	pair->stamp = now;
	if (take_files(s, i, &err) != 0) {
		log_error(NULL, "certificate %s has changed and is not used; "
		    "the old one stays: %s", pair->conf->cert, err.text);
		return;
	}
	pair->version++;
	log_notice(NULL, "certificate %s has changed and is used from now on",
	    pair->conf->cert);
}

/* ---- in a process ---- */

static int
parse(struct tls_pair *pair, struct tls_keys *keys, const char *bytes,
    size_t len, struct error *err)
{
	struct span cert, key;
	struct header h;
	size_t left = len - sizeof(h);

	memcpy(&h, bytes, sizeof(h));
	if (h.cert_len > left || h.key_len > left - h.cert_len ||
	    h.ocsp_len != left - h.cert_len - h.key_len)
		return error_set(err, "lengths differ");
	bytes += sizeof(h);
	cert = span_of(bytes, h.cert_len);
	key = span_of(bytes + h.cert_len, h.key_len);
	if ((h.is_isolated != 0) != (keys != NULL) ||
	    (keys != NULL && key.len != sizeof(pair->key_id)))
		return error_set(err, "a key of the wrong kind");
	if ((keys != NULL ? tls_cert_parse_isolated(pair, cert, keys,
	    (const unsigned char *)key.p, err) : tls_cert_parse(pair, cert,
	    key, NULL, err)) != 0)
		return -1;
	if (h.ocsp_len == 0)
		return 0;
	return tls_ocsp_set(pair, span_of(bytes + h.cert_len + h.key_len,
	    h.ocsp_len), err);
}

int
tls_watch_take(struct tls_server *s, size_t i, uint32_t version, int fd,
    struct error *err)
{
	struct tls_pair pair;
	struct stat st;
	void *bytes;
	size_t len;
	int result;

	if (i < s->pair_count && s->pairs[i].version == version)
		return 0;
	if (i >= s->pair_count || fstat(fd, &st) != 0 ||
	    (fcntl(fd, F_GET_SEALS) & SEALS) != SEALS ||
	    st.st_size < (off_t)sizeof(struct header) ||
	    st.st_size > BYTES_MAX)
		return error_set(err, "not what the master sends");
	len = (size_t)st.st_size;
	bytes = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return error_set_errno(err, errno, "mapping it");
	pair = (struct tls_pair){ .conf = s->pairs[i].conf };
	result = parse(&pair, s->keys, bytes, len, err);
	munmap(bytes, len);
	if (result == 0)
		result = replace(s, i, &pair, err);
	if (result == 0)
		s->pairs[i].version = version;
	tls_cert_fini(&pair);
	return result;
}
