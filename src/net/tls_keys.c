/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_keys - the vault, the desk, and sending keys to where they are kept.
 *
 * Runs in the master, which never has a byte of a private key in its memory:
 * files are opened here and read elsewhere.
 */
#include "net/tls_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/async.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/entropy.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "net/tls_keys_private.h"
#include "os/fdpass.h"

/* For one key; a command for its passphrase is killed before. */
enum { READ_MS = TLS_PASSPHRASE_MS + 2000 };

struct tls_keys *
tls_keys_new(struct error *err)
{
	struct tls_keys *k = heap_alloc_zeroed(1, sizeof(*k));

	*k = (struct tls_keys){ .vault_fd = -1, .desk = { -1, -1 },
		.reader_fd = -1 };
	if (!ASYNC_is_capable()) {
		error_set(err, "key_isolation: this OpenSSL cannot put off a "
		    "handshake");
	} else if ((k->vault_fd = memfd_create("weir-keys", MFD_CLOEXEC)) <
	    0 || tls_keys_vault_begin(k->vault_fd) != 0 ||
	    fdpass_pair(k->desk) != 0) {
		error_set_errno(err, errno, "key_isolation");
	} else if (tls_keys_provider_load(k, err) == 0) {
		return k;
	}
	tls_keys_free(k);
	return NULL;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
tls_keys_forget(struct tls_keys *k)
{
	if (k == NULL)
		return;
	close_fd(&k->vault_fd);
	close_fd(&k->desk[0]);
	close_fd(&k->desk[1]);
	close_fd(&k->reader_fd);
}

void
tls_keys_free(struct tls_keys *k)
{
	if (k == NULL)
		return;
	tls_keys_rest(k);
	tls_keys_forget(k);
	if (k->provider != NULL)
		OSSL_PROVIDER_unload(k->provider);
	OSSL_LIB_CTX_free(k->library);
	free(k->retired);
	free(k->frees);
	free(k);
}

void
tls_keys_be_signer(struct tls_keys *k)
{
	close_fd(&k->desk[0]);
	close_fd(&k->reader_fd);
}

void
tls_keys_be_other(struct tls_keys *k)
{
	if (k == NULL)
		return;
	close_fd(&k->desk[1]);
	close_fd(&k->vault_fd);
	close_fd(&k->reader_fd);
}

int
tls_keys_vault_fd(const struct tls_keys *k)
{
	return k->vault_fd;
}

int
tls_keys_desk_fd(const struct tls_keys *k)
{
	return k->desk[1];
}

size_t
tls_keys_count(const struct tls_keys *k)
{
	return k->count;
}

/* ---- the process that reads ---- */

static int
start_reader(struct tls_keys *k, struct error *err)
{
	int fds[2];

	if (k->reader_fd >= 0)
		return 0;
	if (fdpass_pair(fds) != 0)
		return error_set_errno(err, errno, "making a channel");
	fflush(NULL);
	k->reader = fork();
	if (k->reader < 0) {
		error_set_errno(err, errno, "forking");
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (k->reader == 0) {
		close(fds[0]);
		close_fd(&k->desk[0]);
		close_fd(&k->desk[1]);
		tls_keys_reader_main(fds[1], k->vault_fd);
	}
	close(fds[1]);
	k->reader_fd = fds[0];
	return 0;
}

void
tls_keys_rest(struct tls_keys *k)
{
	if (k == NULL || k->reader_fd < 0)
		return;
	close_fd(&k->reader_fd);
	while (waitpid(k->reader, NULL, 0) < 0 && errno == EINTR)
		;
}

/* One errand, and its end. */
static int
ask_reader(struct tls_keys *k, const struct tls_keys_errand *errand,
    const int fds[2], size_t fd_count, struct tls_keys_proof *proof,
    struct error *err)
{
	struct pollfd wait = { .fd = k->reader_fd, .events = POLLIN };
	size_t none = 0;
	int ready;

	if (fdpass_send(k->reader_fd, errand, sizeof(*errand), fds,
	    fd_count) != 0)
		return error_set_errno(err, errno, "passing it on");
	while ((ready = poll(&wait, 1, READ_MS)) < 0 && errno == EINTR)
		;
	if (ready == 0) {
		/* A file that hangs must not stop us. */
		kill(k->reader, SIGKILL);
		tls_keys_rest(k);
		return error_set(err, "reading it took more than %d s",
		    READ_MS / 1000);
	}
	if (fdpass_receive(k->reader_fd, proof, sizeof(*proof), NULL,
	    &none) != sizeof(*proof)) {
		tls_keys_rest(k);
		return error_set(err, "the process that reads it has died");
	}
	proof->why[sizeof(proof->why) - 1] = '\0';
	return proof->is_good != 0 ? 0 : error_set(err, "%s", proof->why);
}

static int
verify(const struct tls_keys_errand *errand,
    const struct tls_keys_proof *proof, EVP_PKEY *half, struct error *err)
{
	int id = EVP_PKEY_get_base_id(half);
	bool is_edwards = id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int result = -1;

	if (proof->len <= sizeof(proof->signature) &&
	    EVP_DigestVerifyInit(md, NULL, is_edwards ? NULL : EVP_sha256(),
	    NULL, half) == 1 &&
	    EVP_DigestVerify(md, proof->signature, proof->len,
	    errand->challenge, sizeof(errand->challenge)) == 1)
		result = 0;
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return result == 0 ? 0
	    : error_set(err, "the key is not the certificate's");
}

static int
open_file(const char *path, int *fd, struct error *err)
{
	/* Opening a FIFO would wait for somebody to write. */
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return *fd >= 0 ? 0
	    : error_set_errno(err, errno, "reading %s", path);
}

/* A free record that it may fit into becomes the last one, and is offered. */
static void
choose_room(struct tls_keys *k, struct tls_keys_errand *errand,
    EVP_PKEY *half)
{
	/* A signature's length; a key of RSA is some four of them. */
	uint32_t least = (uint32_t)EVP_PKEY_get_size(half) *
	    (EVP_PKEY_get_base_id(half) == EVP_PKEY_RSA ? 4 : 1);

	errand->free_at = 0;
	for (size_t i = k->free_count; i-- > 0 && errand->is_known == 0;) {
		struct tls_keys_free found = k->frees[i];

		if (found.room < least)
			continue;
		k->frees[i] = k->frees[k->free_count - 1];
		k->frees[k->free_count - 1] = found;
		errand->free_at = found.at;
		return;
	}
}

/*
 * Half of a record must not stay in the vault; a whole one that is of no use
 * does, for the signer may have read it already.
 */
static int
give(struct tls_keys *k, struct tls_keys_errand *errand, const int fds[2],
    size_t fd_count, EVP_PKEY *half, struct error *err)
{
	struct tls_keys_proof proof;
	struct stat before;

	if (fstat(k->vault_fd, &before) != 0)
		return error_set_errno(err, errno, "looking at the vault");
	if (start_reader(k, err) != 0)
		return -1;
	choose_room(k, errand, half);
	if (ask_reader(k, errand, fds, fd_count, &proof, err) == 0) {
		if (proof.has_used_free != 0)
			k->free_count--;
		if (errand->is_known != 0)
			return verify(errand, &proof, half, err);
		k->count++;
		if (verify(errand, &proof, half, err) == 0)
			return 0;
		tls_keys_vault_retire(k, errand->id, now_ms());
		return -1;
	}
	if (ftruncate(k->vault_fd, before.st_size) != 0)
		tls_keys_rest(k);
	return -1;
}

static bool
is_known(EVP_PKEY *half)
{
	switch (EVP_PKEY_get_base_id(half)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_EC:
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		return true;
	default:
		return false;
	}
}

void
tls_keys_expect(struct tls_keys *k, const struct tls_pair *former)
{
	if (k != NULL)
		k->former = former;
}

int
tls_keys_isolate(struct tls_pair *pair, struct tls_keys *k,
    struct error *err)
{
	const struct tls_pair_conf *conf = pair->conf;
	EVP_PKEY *half = X509_get0_pubkey(pair->cert);
	struct tls_keys_errand errand = { .id = { 0 } };
	int fds[2] = { -1, -1 };
	int result = -1;

	if (half == NULL || !is_known(half))
		return error_set(err, "key_isolation knows RSA, EC, Ed25519 "
		    "and Ed448, not this kind of key");
	/* Proven anew, for its file may be another; but kept once. */
	if (k->former != NULL && k->former->is_isolated &&
	    EVP_PKEY_eq(X509_get0_pubkey(k->former->cert), half) == 1) {
		errand.is_known = 1;
		memcpy(errand.id, k->former->key_id, sizeof(errand.id));
	} else {
		entropy_fill(errand.id, sizeof(errand.id));
	}
	entropy_fill(errand.challenge, sizeof(errand.challenge));
	if (conf->passphrase_command != NULL) {
		if (strlen(conf->passphrase_command) >=
		    sizeof(errand.passphrase_command))
			return error_set(err, "passphrase_command is too "
			    "long");
		strcpy(errand.passphrase_command, conf->passphrase_command);
	}
	if (open_file(conf->key, &fds[0], err) == 0 &&
	    (conf->passphrase_file == NULL ||
	    open_file(conf->passphrase_file, &fds[1], err) == 0) &&
	    give(k, &errand, fds, fds[1] >= 0 ? 2 : 1, half, err) == 0)
		result = tls_keys_adopt(pair, k, errand.id, err);
	close_fd(&fds[0]);
	close_fd(&fds[1]);
	return result;
}

int
tls_keys_adopt(struct tls_pair *pair, struct tls_keys *k,
    const unsigned char *id, struct error *err)
{
	EVP_PKEY *half = X509_get0_pubkey(pair->cert);

	pair->key = half != NULL ? tls_keys_provider_key(k, half, id) : NULL;
	if (pair->key == NULL)
		return tls_verify_set_error(err, "key_isolation");
	pair->kind = tls_cert_kind(half);
	pair->is_isolated = true;
	memcpy(pair->key_id, id, sizeof(pair->key_id));
	return 0;
}
