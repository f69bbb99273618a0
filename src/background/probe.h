/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - one health check of one backend: connect, and perhaps ask.
 *
 * Made once for a backend, then started again and again; between two checks it
 * keeps its connection where `reuse` says so.
 */
#ifndef BACKGROUND_PROBE_H
#define BACKGROUND_PROBE_H

#include <stdbool.h>

#include "http/h1_body.h"
#include "net/conn.h"
#include "os/addr.h"
#include "upstream/health.h"

struct backend;
struct check_conf;
struct probe;
struct probe_h2;
struct tls_io;
struct via_answer;

/*
 * Called once for each probe_start(), from the loop or from inside of it.
 * HEALTH_PASSED, or what is wrong; detail: in words, NULL if that says it all.
 */
typedef void probe_fn(struct probe *p, enum health_why why,
    const char *detail);

struct probe {
	const struct backend *backend;
	const struct check_conf *conf;
	struct loop *loop;
	struct block_pool *pool;
	struct tls_io *tls;
	probe_fn *on_result;
	struct conn conn;        /* watch.fd -1 while there is none */
	struct deadline timeout;
	unsigned seen;           /* addresses of its name that were tried */
	struct addr to;          /* what the next hop is asked for */
	struct via_answer *via;  /* heap, while it has not answered */
	bool is_running;
	bool is_connecting;
	bool is_shaking;         /* hands, over TLS */
	bool is_reused;          /* the connection has served before */
	/* Of the answer: */
	char *buffer;            /* heap; the head, then the body's bytes */
	size_t len;
	struct h1_state h1;
	struct h1_body body;
	size_t body_len;         /* decoded, at the buffer's begin */
	bool head_done;
	bool keep_alive;
	struct probe_h2 *h2;     /* NULL: HTTP/1.1 */
	char detail[256];
};

/* What the probes of a process share; borrowed. */
struct probe_env {
	struct loop *loop;
	struct block_pool *pool;
	struct tls_io *tls;
};

/* Borrows b, whose group has a health check. */
void probe_init(struct probe *p, const struct probe_env *env,
    const struct backend *b, probe_fn *on_result);
void probe_start(struct probe *p);
/* Drops what is under way and the kept connection; no result is told. */
void probe_stop(struct probe *p);

#endif
