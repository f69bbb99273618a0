/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_keys - private keys that only one process holds (key_isolation).
 *
 * A generation has one struct tls_keys, and one process, the signer, that
 * signs for all others.  What they share:
 *
 *	vault	a memfd with the keys, one record behind the other.  It is
 *		written by a process that lives as long as files are being
 *		read, and read by the signer; the master holds it for the
 *		signer's successors, and never reads it.  All others close it.
 *	desk	a SOCK_SEQPACKET pair.  Whoever wants signatures makes a pair
 *		of its own and sends one end there; so nobody can take
 *		another's answers, and each side sees the other one die.
 *
 * The master opens key files, and passes the descriptors on.  That a key is
 * its certificate's is shown by a signature of a challenge.  A key has a
 * random name, which is all that other processes know of it.
 */
#ifndef NET_TLS_KEYS_H
#define NET_TLS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"

struct error;
struct loop;
struct tls_io;
struct tls_keys;

enum {
	TLS_KEYS_ID = 16,            /* bytes of a key's name */
	TLS_KEYS_VAULT_MAX = 67108864,
	TLS_KEYS_KEY_MAX = 65536,    /* of one, DER */
	TLS_KEYS_INPUT_MAX = 4096,   /* what is signed: a digest, mostly */
	TLS_KEYS_SIGNATURE_MAX = 2048,
	TLS_KEYS_SENT_MAX = 64,      /* requests of a process on their way */
	TLS_KEYS_WAIT_MAX = 1024,    /* handshakes of it that wait */
	TLS_KEYS_TIMEOUT_MS = 5000,
};

enum tls_keys_scheme {
	TLS_KEYS_RSA_PKCS1,
	TLS_KEYS_RSA_PSS, /* the salt is as long as the digest */
	TLS_KEYS_ECDSA,
	TLS_KEYS_EDWARDS, /* of the whole input, not of a digest */
};

/* From a worker to the signer; as long as its input. */
struct tls_keys_request {
	uint32_t sequence;
	uint32_t scheme;  /* enum tls_keys_scheme */
	int32_t digest;   /* OpenSSL's NID; 0 with Edwards curves */
	uint32_t len;
	unsigned char id[TLS_KEYS_ID];
	unsigned char input[TLS_KEYS_INPUT_MAX];
};

/* The answer; len 0: refused. */
struct tls_keys_response {
	uint32_t sequence;
	uint32_t len;
	unsigned char signature[TLS_KEYS_SIGNATURE_MAX];
};

/* What the vault begins with; records follow. */
struct tls_keys_head {
	uint32_t magic;
	uint32_t changes; /* of records that were there before; counts up */
};

/* DER of the key (PKCS #8 or older) follows, in `room` bytes. */
struct tls_keys_record {
	uint32_t magic;
	uint32_t len;
	uint32_t room;
	unsigned char id[TLS_KEYS_ID]; /* all zero: free for another one */
};

enum {
	TLS_KEYS_MAGIC = 0x4b455902,
	TLS_KEYS_ROOM = 64, /* of which room is a multiple */
};

/* NULL and err on failure. */
struct tls_keys *tls_keys_new(struct error *err);
/* After all keys made with it have gone. */
void tls_keys_free(struct tls_keys *k);
/* Where the process that reads files may go: no file is left to be read. */
void tls_keys_rest(struct tls_keys *k);
/* How many keys there are. */
size_t tls_keys_count(const struct tls_keys *k);

/*
 * A key that no configuration names any more stays for a while: handshakes may
 * be under way with it.  Bookkeeping of the master alone.
 */
enum { TLS_KEYS_RETIRED_MS = 600000 };

void tls_keys_vault_retire(struct tls_keys *k, const unsigned char *id,
    uint64_t now_ms);
/* Some process still uses one: those that are retired stay longer. */
void tls_keys_vault_hold(struct tls_keys *k, uint64_t now_ms);
/*
 * Those whose time is over are wiped, and their room in the vault is others'.
 * True if there were any: the signer ought to look at the vault.
 */
bool tls_keys_vault_release(struct tls_keys *k, uint64_t now_ms);

/*
 * In a new process, first thing: what it is.  The signer keeps the vault and
 * its end of the desk, others their end of the desk.
 */
void tls_keys_be_signer(struct tls_keys *k);
void tls_keys_be_other(struct tls_keys *k);
/* In a process of another generation: nothing of it stays open. */
void tls_keys_forget(struct tls_keys *k);

/* The signer's. */
int tls_keys_vault_fd(const struct tls_keys *k);
int tls_keys_desk_fd(const struct tls_keys *k);

/* ---- tls_keys_client: of a process that has connections ---- */

/* Rows of tls_keys_client_metrics. */
enum {
	TLS_KEYS_SIGNED,
	TLS_KEYS_REFUSED,
	TLS_KEYS_TIMED_OUT,
	TLS_KEYS_FULL,
	TLS_KEYS_LOST,
	TLS_KEYS_WAITING,
	TLS_KEYS_ROWS
};

extern const struct metric_set tls_keys_client_metrics;

/*
 * From here on handshakes are put off until the signer has answered.  stats: a
 * block of tls_keys_client_metrics, or NULL.
 */
struct tls_keys_client *tls_keys_client_new(struct tls_keys *k,
    struct tls_io *io, struct loop *loop, _Atomic uint64_t *stats);
/* No handshake waits any more. */
void tls_keys_client_free(struct tls_keys_client *c);

#endif
