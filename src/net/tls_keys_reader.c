/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_keys_reader - the process that reads key files and fills the vault.
 *
 * It lives while a configuration is loaded, or a changed pair, and is the only
 * one besides the signer that ever sees a key or a passphrase.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "conf/slurp.h"
#include "net/tls_keys_private.h"
#include "os/fdpass.h"

static int
write_at(int fd, const void *p, size_t len, off_t at)
{
	return pwrite(fd, p, len, at) == (ssize_t)len ? 0 : -1;
}

/* Is there a free record, with room for that much? */
static bool
has_room(int vault_fd, uint64_t at, uint32_t len, uint32_t *room)
{
	static const unsigned char none[TLS_KEYS_ID];
	struct tls_keys_record there;

	if (at == 0 || pread(vault_fd, &there, sizeof(there), (off_t)at) !=
	    sizeof(there) || there.magic != TLS_KEYS_MAGIC ||
	    there.room < len || memcmp(there.id, none, sizeof(none)) != 0)
		return false;
	*room = there.room;
	return true;
}

/* The record's head last: one that is not whole is none. */
static int
put(int vault_fd, const struct tls_keys_errand *errand, EVP_PKEY *key,
    struct tls_keys_proof *proof, struct error *err)
{
	struct tls_keys_record record = { .magic = TLS_KEYS_MAGIC };
	unsigned char *der = NULL;
	int len = i2d_PrivateKey(key, &der);
	struct stat st;
	off_t at, end;
	int result = -1;

	if (len <= 0)
		return tls_verify_set_error(err, "encoding it");
	record.len = (uint32_t)len;
	record.room = (record.len + TLS_KEYS_ROOM - 1) / TLS_KEYS_ROOM *
	    TLS_KEYS_ROOM;
	memcpy(record.id, errand->id, sizeof(record.id));
	proof->has_used_free = has_room(vault_fd, errand->free_at, record.len,
	    &record.room);
	if (fstat(vault_fd, &st) != 0)
		st.st_size = TLS_KEYS_VAULT_MAX;
	at = proof->has_used_free != 0 ? (off_t)errand->free_at : st.st_size;
	end = at + (off_t)(sizeof(record) + record.room);
	if (len > TLS_KEYS_KEY_MAX || end > TLS_KEYS_VAULT_MAX)
		error_set(err, "there is no more room for keys: reload");
	else if ((end > st.st_size && ftruncate(vault_fd, end) != 0) ||
	    write_at(vault_fd, der, (size_t)len, at +
	    (off_t)sizeof(record)) != 0 ||
	    write_at(vault_fd, &record, sizeof(record), at) != 0 ||
	    (proof->has_used_free != 0 && tls_keys_vault_note(vault_fd) != 0))
		error_set_errno(err, errno, "keeping it");
	else
		result = 0;
	OPENSSL_cleanse(der, (size_t)len);
	OPENSSL_free(der);
	return result;
}

static int
prove(EVP_PKEY *key, const unsigned char *challenge,
    struct tls_keys_proof *proof, struct error *err)
{
	int id = EVP_PKEY_get_base_id(key);
	bool is_edwards = id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = sizeof(proof->signature);
	int result = -1;

	if (EVP_DigestSignInit(md, NULL, is_edwards ? NULL : EVP_sha256(),
	    NULL, key) == 1 && EVP_DigestSign(md, proof->signature, &len,
	    challenge, TLS_KEYS_CHALLENGE) == 1) {
		proof->len = (uint32_t)len;
		result = 0;
	} else {
		tls_verify_set_error(err, "signing with it");
	}
	EVP_MD_CTX_free(md);
	return result;
}

static int
read_key(int fd, int passphrase_fd, const char *command, EVP_PKEY **key,
    struct error *err)
{
	char *pem = NULL, *passphrase = NULL;
	size_t len = 0;
	int result = -1;

	if (slurp_fd(fd, TLS_FILE_MAX, &pem, &len) != 0)
		error_set(err, "reading the key: %s", slurp_reason(errno));
	else if (tls_passphrase_read_fd(passphrase_fd,
	    command[0] != '\0' ? command : NULL, &passphrase, err) == 0)
		result = tls_cert_parse_key(span_of(pem, len), passphrase,
		    key, err);
	if (pem != NULL)
		OPENSSL_cleanse(pem, len);
	if (passphrase != NULL)
		OPENSSL_cleanse(passphrase, strlen(passphrase));
	free(pem);
	free(passphrase);
	return result;
}

static void
run_errand(const struct tls_keys_errand *errand, const int *fds,
    size_t fd_count, int vault_fd, struct tls_keys_proof *proof)
{
	EVP_PKEY *key = NULL;
	struct error err;

	*proof = (struct tls_keys_proof){ .is_good = 0 };
	if (read_key(fds[0], fd_count > 1 ? fds[1] : -1,
	    errand->passphrase_command, &key, &err) == 0 &&
	    prove(key, errand->challenge, proof, &err) == 0 &&
	    (errand->is_known != 0 ||
	    put(vault_fd, errand, key, proof, &err) == 0))
		proof->is_good = 1;
	else
		snprintf(proof->why, sizeof(proof->why), "%.*s",
		    (int)sizeof(proof->why) - 1, err.text);
	EVP_PKEY_free(key);
}

/* Nobody looks into this process, and it does not outlive who asks it. */
static void
protect(void)
{
	const struct rlimit none = { 0, 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
}

void
tls_keys_reader_main(int fd, int vault_fd)
{
	static struct tls_keys_errand errand;
	static struct tls_keys_proof proof;
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	protect();
	/* Commands for passphrases are run as from a shell. */
	signal(SIGCHLD, SIG_DFL);
	for (;;) {
		size_t count = 2;
		int fds[2];
		ssize_t n;

		if (poll(&wait, 1, -1) < 0 && errno == EINTR)
			continue;
		n = fdpass_receive(fd, &errand, sizeof(errand), fds, &count);
		if (n != sizeof(errand) || count == 0)
			break;
		errand.passphrase_command[TLS_KEYS_COMMAND_MAX - 1] = '\0';
		run_errand(&errand, fds, count, vault_fd, &proof);
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		if (fdpass_send(fd, &proof, sizeof(proof), NULL, 0) != 0)
			break;
	}
	_exit(0);
}
