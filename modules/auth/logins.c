/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logins - jobs for helper threads.
 *
 * A job is heap memory that outlives whoever waits for it: it holds copies of
 * hash and password, and is wiped before it is freed.
 */
#include "logins.h"

#include <stdlib.h>

#include "password.h"

struct login_job {
	struct helper_job helper;
	/* For the loop's eyes only. */
	struct logins *logins;
	struct list node;
	struct list waiters;
	uint64_t lifetime_ms;
	uint8_t digest[DIGEST_SHA256_BYTES];
	bool is_known;
	/* For the thread's. */
	bool is_right;
	char hash[PASSWORD_HASH_MAX + 1];
	char password[PASSWORD_BYTES_MAX + 1];
};

#define JOB_OF(h) LIST_OF(h, struct login_job, helper)

static void
free_job(struct login_job *job)
{
	digest_wipe(job, sizeof(*job));
	free(job);
}

/* In a helper thread. */
static void
on_work(struct helper_job *helper)
{
	struct login_job *job = JOB_OF(helper);

	job->is_right = password_check(job->hash, job->password);
	digest_wipe(job->password, sizeof(job->password));
}

static void
on_done(struct helper_job *helper, bool is_worked)
{
	struct login_job *job = JOB_OF(helper);
	bool is_right = job->is_right && job->is_known;

	if (!is_worked) {
		free_job(job);
		return;
	}
	/* First: who comes while the others are told finds the verdict. */
	list_remove(&job->node);
	if (job->lifetime_ms > 0)
		verdicts_put(&job->logins->verdicts, job->digest,
		    now_ms() + job->lifetime_ms, is_right);
	while (!list_is_empty(&job->waiters)) {
		struct logins_waiter *w = LIST_OF(job->waiters.next,
		    struct logins_waiter, node);

		list_remove(&w->node);
		w->job = NULL;
		w->answer(w, is_right);
	}
	free_job(job);
}

static struct login_job *
find_job(const struct logins *l, const uint8_t digest[DIGEST_SHA256_BYTES])
{
	LIST_EACH(&l->jobs, node, after) {
		struct login_job *job = LIST_OF(node, struct login_job, node);

		if (digest_is_equal(job->digest, digest,
		    DIGEST_SHA256_BYTES))
			return job;
	}
	return NULL;
}

/* NULL: there is no room. */
static struct login_job *
new_job(struct logins *l, struct helpers *helpers,
    const struct logins_question *q,
    const uint8_t digest[DIGEST_SHA256_BYTES])
{
	struct login_job *job = heap_alloc_zeroed(1, sizeof(*job));

	job->helper.work = on_work;
	job->helper.done = on_done;
	job->logins = l;
	job->lifetime_ms = q->lifetime_ms;
	job->is_known = q->is_known;
	list_init(&job->waiters);
	memcpy(job->digest, digest, sizeof(job->digest));
	memcpy(job->hash, q->hash, strlen(q->hash));
	memcpy(job->password, q->password.p, q->password.len);
	if (helpers_submit(helpers, &job->helper) != 0) {
		free_job(job);
		return NULL;
	}
	list_push_back(&l->jobs, &job->node);
	return job;
}

enum logins_answer
logins_ask(struct logins *l, struct helpers *helpers, struct digest *digest,
    const struct logins_question *q, struct logins_waiter *w)
{
	/*
	 * No name and no password has a NUL: it can be read one way only.  A
	 * hash may be computed for somebody unknown who is known later.
	 */
	const struct span pieces[6] = { q->is_known ? SPAN("+") : SPAN("-"),
		q->user, span_of("", 1), q->password, span_of("", 1),
		span_cstr(q->hash) };
	uint8_t sum[DIGEST_SHA256_BYTES];
	struct login_job *job;
	bool is_right;

	if (!l->is_ready) {
		entropy_fill(l->key, sizeof(l->key));
		list_init(&l->jobs);
		l->is_ready = true;
	}
	digest_hmac(digest, l->key, pieces, 6, sum);
	if (verdicts_get(&l->verdicts, sum, now_ms(), &is_right))
		return is_right && q->is_known ? LOGINS_RIGHT : LOGINS_WRONG;
	job = find_job(l, sum);
	if (job == NULL)
		job = new_job(l, helpers, q, sum);
	if (job == NULL)
		return LOGINS_BUSY;
	w->job = job;
	list_push_back(&job->waiters, &w->node);
	return LOGINS_WAIT;
}

void
logins_cancel(struct helpers *helpers, struct logins_waiter *w)
{
	struct login_job *job = w->job;

	if (job == NULL)
		return;
	w->job = NULL;
	list_remove(&w->node);
	if (!list_is_empty(&job->waiters) ||
	    !helpers_cancel(helpers, &job->helper))
		return;
	list_remove(&job->node);
	free_job(job);
}
