/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logins - passwords against hashes, off the event loop, and their verdicts.
 *
 * Who asks for what another one has asked already waits with him: a page and
 * its pictures cost one hash.
 */
#ifndef MODULES_AUTH_LOGINS_H
#define MODULES_AUTH_LOGINS_H

#include "module.h"

#include "verdicts.h"

struct login_job;

/* Of a worker: exchange_worker_memory(); zeroed at first. */
struct logins {
	bool is_ready;
	uint8_t key[DIGEST_SHA256_BYTES];
	struct list jobs;
	struct verdicts verdicts;
};

/* What is asked; all is borrowed for the call. */
struct logins_question {
	struct span user, password; /* the password ends with a NUL */
	const char *hash;
	bool is_known;        /* else the answer is no, after the same time */
	uint64_t lifetime_ms; /* of the verdict */
};

/* Who waits; embedded, in a list while job is set. */
struct logins_waiter {
	struct list node;
	struct login_job *job;
	/* From the loop; may end the exchange. */
	void (*answer)(struct logins_waiter *w, bool is_right);
};

enum logins_answer {
	LOGINS_RIGHT, /* these are remembered */
	LOGINS_WRONG,
	LOGINS_WAIT, /* w->answer will come */
	LOGINS_BUSY, /* no more work can be queued */
};

enum logins_answer logins_ask(struct logins *l, struct helpers *helpers,
    struct digest *digest, const struct logins_question *q,
    struct logins_waiter *w);
/* Nobody wants it any more; harmless if it does not wait. */
void logins_cancel(struct helpers *helpers, struct logins_waiter *w);

#endif
