/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_private - what the TLS files share; the only header with OpenSSL's. */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "conf/files.h"
#include "net/conn.h"
#include "net/tls_conf.h"
#include "net/tls_session.h"

struct conf_place;
struct error;
struct tls_ctx_about;
struct loop;
struct tls_early_zone;
struct tls_keys;
struct tls_keys_client;
struct tls_keys_wait;
struct tls_staple_target;
struct tls_ticket_zone;

/* One certificate of each kind of key can serve one name. */
enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_EC, TLS_KEY_EDWARDS, TLS_KEY_OTHER,
	TLS_KEY_KINDS };

/* How files looked: a change of any shows. */
struct tls_stamp {
	struct {
		int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
		uint64_t bytes, inode;
	} files[3]; /* certificate, key, OCSP response */
};

/* From when until when an OCSP response holds, since 1970. */
struct tls_ocsp_times {
	int64_t from_s, until_s;
};

struct tls_pair {
	X509 *cert;
	STACK_OF(X509) *chain; /* without cert */
	EVP_PKEY *key;
	enum tls_key_kind kind;
	bool is_isolated;      /* key only asks the signer; its name there: */
	unsigned char key_id[16];
	char **names;          /* lower case, heap */
	size_t name_count;
	int64_t not_before_s, not_after_s; /* since 1970 */
	unsigned char *ocsp;   /* heap, or NULL */
	size_t ocsp_len;
	struct tls_ocsp_times ocsp_times;
	char *ocsp_why;        /* heap: why ocsp_file is not used; or NULL */
	const struct tls_pair_conf *conf;
	struct tls_stamp stamp; /* when it was read */
	struct tls_stamp seen;  /* at the last look */
	uint32_t version;       /* counted up when it is replaced */
	bool is_put_off;        /* it has changed, but cannot be read now */
};

/* The pairs for one name. */
struct tls_choice {
	struct tls_pair *by_kind[TLS_KEY_KINDS];
};

/* tls_sni: who is meant by a server name. */
struct tls_sni {
	struct hash_map exact;     /* name -> struct tls_choice, heap */
	struct hash_map wildcards; /* "example.com" of "*.example.com" */
};

enum { TLS_DIGEST = 32 };

/* Whom to trust: what the files hold. */
struct tls_trust {
	STACK_OF(X509) *cas;
	STACK_OF(X509_CRL) *crls;
	unsigned char ca_digest[TLS_DIGEST], crl_digest[TLS_DIGEST];
	const char *ca_file, *crl_file; /* or NULL */
	/* One of them has changed: use it, or -1 and err. */
	int (*apply)(void *owner, struct error *err);
	void *owner;
	bool is_loaded;
	const struct tls_ctx_about *about; /* while it is loaded */
	struct tls_trust *self;
};

/* One of ticket_key_files, for its receiver. */
struct tls_ticket_file {
	struct tls_ticket_key *key;
};

/* What a listener's handshakes need. */
struct tls_server {
	SSL_CTX *ctx;
	struct tls_pair *pairs; /* of the first one is the default */
	size_t pair_count;
	struct tls_sni sni;
	const struct tls_choice *fallback; /* these are in ctx */
	const struct tls_server_conf *conf;
	struct tls_keys *keys; /* NULL: keys are in the pairs */
	unsigned char alpn[64]; /* in the wire's form, most wanted first */
	size_t alpn_len;
	struct tls_early_zone *early; /* NULL: no early data */
	const struct tls_ticket_zone *tickets; /* NULL: keys from files */
	struct tls_ticket_key *ticket_keys;
	size_t ticket_key_count;
	struct tls_ticket_file *ticket_files; /* as many */
	struct tls_trust trust;
	char *name;            /* of the listener */
};

struct tls_client {
	SSL_CTX *ctx;
	unsigned version;      /* counted up when ctx is another */
	struct tls_trust trust;
	struct tls_pair own;   /* shown to the backend; cert NULL = none */
	char *passphrase;      /* of its key; heap, or NULL */
	unsigned char alpn[64];
	size_t alpn_len;
	unsigned char terms[TLS_SESSION_KEY]; /* digest of options, files */
	const struct tls_client_conf *conf;
	struct tls_keys *keys; /* as of a server */
};

/*
 * A worker's: scratch for what is on its way between sockets and OpenSSL, which
 * needs no buffer of a connection's own.  `stream` is whose turn it is.
 */
struct tls_io {
	BIO *bio;
	BIO_METHOD *method;
	struct conn *conn;
	struct tls_stream *stream;
	char *in_memory;
	struct tls_session_zone *sessions;
	struct loop *loop;
	_Atomic uint64_t *keys_stats; /* of tls_keys_client_metrics, or NULL */
	struct tls_keys_client *keys; /* once it is needed */
	_Atomic uint64_t *early_stats; /* of tls_early_data; or NULL */
	struct span in;   /* received, not yet taken by OpenSSL */
	char *early_memory; /* for one reading of early data; or NULL */
	char *out_memory; /* records to be sent */
	size_t out_len;
	_Atomic uint64_t *ktls_stats; /* of tls_ktls_metrics, or NULL */
	bool lacks_ktls;  /* the kernel has said so */
	char name[256];   /* of the ClientHello being read; "" = none */
	const struct tls_choice *choice; /* for it */
};

struct tls_stream {
	struct conn_stream base;
	SSL *ssl;
	struct tls_io *io;
	const struct tls_server *server; /* NULL: towards a backend */
	const struct tls_client *client;
	struct pipe raw;   /* received, left over from the last turn */
	char *why;         /* heap: what went wrong, or NULL */
	/* Towards a backend: under which its sessions are kept. */
	unsigned char session_key[TLS_SESSION_KEY];
	unsigned version;  /* of client, when it began */
	struct pipe early; /* that the owner did not take yet */
	bool reads_early;  /* it is not known yet to be over */
	bool was_judged;   /* by tls_early_data_allow() */
	struct tls_keys_wait *signing; /* the handshake's; or NULL */
	bool is_leaving;   /* nothing is asked for any more */
	bool is_done;      /* the handshake */
	bool is_ended;     /* close_notify came; or, with is_cut, not */
	bool is_cut;
	bool is_broken;
	bool is_unverified; /* the handshake failed for the certificate */
	/* tls_ktls: the kernel makes the records that are sent */
	bool is_ktls;
	bool owes_end;     /* close_notify, behind what waits */
	unsigned char record_type; /* of OpenSSL's next write; 0 = data */
	size_t unsure_bytes; /* sent since TCP was seen to have room */
	size_t unsure_max;   /* so many are looked after; 0 = not known yet */
};

/* ---- tls_sni ---- */

void tls_sni_init(struct tls_sni *sni);
void tls_sni_fini(struct tls_sni *sni);
/* The first pair of a kind that claims a name keeps it. */
void tls_sni_add(struct tls_sni *sni, const char *name,
    struct tls_pair *pair);
/* For a lower-case name; exact before wildcard; NULL if nobody has it. */
const struct tls_choice *tls_sni_find(const struct tls_sni *sni,
    struct span name);
/*
 * The host of a server_name extension (RFC 6066, section 3) in lower case in
 * name, terminated.  0, or -1 if it is malformed.
 */
int tls_sni_parse(const unsigned char *p, size_t len, char name[256]);

/* ---- tls_cert ---- */

enum { TLS_FILE_MAX = 1048576 };

/*
 * Read and check a pair; -1 and err.  Warnings go to the report.  keys: who is
 * to have the key; NULL = the pair itself.
 */
int tls_cert_load(struct tls_pair *pair, const struct tls_pair_conf *conf,
    struct tls_keys *keys, struct conf_report *report,
    const struct conf_place *place, struct error *err);
/* The same of bytes. */
int tls_cert_parse(struct tls_pair *pair, struct span cert_pem,
    struct span key_pem, const char *passphrase, struct error *err);
/* Of bytes, with a key that keys has under that name. */
int tls_cert_parse_isolated(struct tls_pair *pair, struct span cert_pem,
    struct tls_keys *keys, const unsigned char *id, struct error *err);
/* A key alone, with its passphrase or NULL; the caller's. */
int tls_cert_parse_key(struct span pem, const char *passphrase,
    EVP_PKEY **key, struct error *err);
enum tls_key_kind tls_cert_kind(EVP_PKEY *key);
void tls_cert_fini(struct tls_pair *pair);
void tls_cert_stamp(const struct tls_pair_conf *conf, struct tls_stamp *out);
/* Use it in a context, or in one connection. */
int tls_cert_use_ctx(const struct tls_pair *pair, SSL_CTX *ctx);
int tls_cert_use(const struct tls_pair *pair, SSL *ssl);

/* ---- tls_passphrase ---- */

enum { TLS_PASSPHRASE_MS = 10000 }; /* that a command has */

/*
 * The key's passphrase of file or command: the first line, heap; NULL if there
 * is none.  A command that does not end in time is killed.
 */
int tls_passphrase_read(const char *file, const char *command, char **text,
    struct error *err);
/* The same with a descriptor, -1 = none. */
int tls_passphrase_read_fd(int fd, const char *command, char **text,
    struct error *err);

/* ---- tls_keys ---- */

/*
 * In the master: the key of pair's certificate goes to those who may have it,
 * and pair gets one that asks them.  -1 and err.
 */
int tls_keys_isolate(struct tls_pair *pair, struct tls_keys *keys,
    struct error *err);
/*
 * In the master, until it is called with NULL: the keys that follow may be the
 * one of former, which then is not kept twice.  keys: or NULL.
 */
void tls_keys_expect(struct tls_keys *keys, const struct tls_pair *former);
/* The latter of tls_keys_isolate() alone. */
int tls_keys_adopt(struct tls_pair *pair, struct tls_keys *keys,
    const unsigned char *id, struct error *err);
/* Is its handshake suspended? */
bool tls_keys_client_is_waiting(const struct tls_stream *t);
/* It will not be answered: the handshake fails when it goes on. */
void tls_keys_client_cancel(struct tls_stream *t);

/* ---- tls_ocsp ---- */

/*
 * Is it a good answer about the pair's certificate?  Its signature is checked
 * where the chain has the issuer.  -1 and err if not.
 */
int tls_ocsp_check(const struct tls_pair *pair, struct span der,
    struct tls_ocsp_times *times, struct error *err);
/* Behind the certificate in its file; NULL if it is not there. */
X509 *tls_ocsp_issuer(const struct tls_pair *pair);
/* Staple it, if it is good. */
int tls_ocsp_set(struct tls_pair *pair, struct span der, struct error *err);
/* At load: one may be fetched (ocsp_fetch).  Warns if it cannot be. */
int tls_ocsp_await(struct tls_pair *pair, const struct tls_ctx_about *about,
    const struct conf_place *place);
int tls_ocsp_target(const struct tls_pair *pair,
    struct tls_staple_target *out, struct error *err);

/* ---- tls_verify ---- */

/* Empties OpenSSL's queue of errors; the first of them in words. */
const char *tls_verify_error(void);
/* Set err to doing and the first of OpenSSL's errors; -1. */
int tls_verify_set_error(struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Of contexts: notes what was wrong with which certificate. */
int tls_verify_callback(int is_ok, X509_STORE_CTX *store);
/* Facts of the peer's certificate; false if there is none that is valid. */
bool tls_verify_fact(SSL *ssl, enum conn_fact fact, struct str *out);
/* As in RFC 2253. */
void tls_verify_put_name(struct str *out, const X509_NAME *name);

/* ---- tls_trust ---- */

/*
 * Read the files, and watch them: apply and owner are set.  ca_file NULL: what
 * the system trusts, which is not watched.  -1 and err.
 */
int tls_trust_load(struct tls_trust *t, const char *ca_file,
    const char *crl_file, const struct tls_ctx_about *about,
    struct error *err);
/* A store for a context; NULL and err. */
X509_STORE *tls_trust_store(const struct tls_trust *t, struct error *err);
void tls_trust_fini(struct tls_trust *t);

/* ---- tls_ticket ---- */

/* Keys of conf's ticket_key_files, watched; -1 and err. */
int tls_ticket_load(struct tls_server *s, const struct tls_ctx_about *about,
    struct error *err);
/* Of a SSL_CTX: the callback that finds keys; see tls_ticket.h. */
int tls_ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_encrypting);

/* ---- tls_callbacks ---- */

/* What a server's context calls in a handshake. */
void tls_callbacks_set(SSL_CTX *ctx);

/* ---- tls_early_data ---- */

/* Of a SSL_CTX: SSL_CTX_set_allow_early_data_cb(). */
int tls_early_data_allow(SSL *ssl, void *arg);
/* There is no (more) early data on this connection. */
void tls_early_data_over(struct tls_stream *t);

/* ---- tls_io ---- */

enum { TLS_IO_IN_BYTES = 262144 + 16384 };

/* Give what was gathered to the kernel; a failure shows in conn->failed. */
void tls_io_flush(struct tls_io *io);

/* ---- tls_ktls ---- */

/* Before the handshake: let the kernel send, if it can. */
void tls_ktls_want(struct tls_stream *t);
/* What OpenSSL asks the BIO about it; 0: no, or none of it. */
long tls_ktls_ctrl(struct tls_io *io, int command, long number, void *p);
/* With is_ktls: what OpenSSL writes, which is no application data. */
void tls_ktls_write(struct tls_stream *t, struct conn *c, struct span bytes);
/* With is_ktls: application data, as conn_send(). */
int tls_ktls_send(struct tls_stream *t, struct conn *c, struct span bytes);
/* As conn_stream_ops.drained. */
void tls_ktls_drained(struct tls_stream *t, struct conn *c);
/* Has the peer just demanded what the kernel cannot do?  Once true. */
bool tls_ktls_must_end(struct tls_stream *t);

/* ---- tls_policy ---- */

/*
 * Into ctx; -1 and an error that names the option of which OpenSSL has none.
 * is_isolated: of a server whose keys are a signer's, which does not decrypt.
 */
int tls_policy_apply(const struct tls_policy *p, SSL_CTX *ctx,
    bool is_isolated, struct error *err);
/* Whether the server's order of ciphers counts, not the client's. */
bool tls_policy_prefers_server(const struct tls_policy *p);

/* ---- tls_stream ---- */

/* What a client's context calls when a ticket comes. */
void tls_stream_set_client_callbacks(SSL_CTX *ctx);

static inline struct tls_stream *
tls_stream_of(const struct conn *c)
{
	return (struct tls_stream *)(void *)c->stream;
}

#endif
