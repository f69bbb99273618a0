/* SPDX-License-Identifier: BSD-2-Clause */
/* health - the bits of a slot's state, and counting failures. */
#include "upstream/health.h"

#include "base/log.h"
#include "base/now.h"
#include "upstream/backend.h"
#include "upstream/group.h"

/* The word of failures: when the first one was, and how many. */
enum { COUNT_BITS = 16, COUNT_MAX = (1 << COUNT_BITS) - 1 };

static const struct {
	const char *name;
	const char *words;
} whys[HEALTH_WHY_COUNT] = {
#define X(id, name, words) { name, words },
	HEALTH_WHY_LIST(X)
#undef X
};

const char *
health_why_name(uint32_t why)
{
	return why < HEALTH_WHY_COUNT ? whys[why].name : "unknown";
}

const char *
health_why_words(uint32_t why)
{
	return why < HEALTH_WHY_COUNT ? whys[why].words : "unknown";
}

const char *
health_state_name(const struct backend *b)
{
	uint32_t state = backend_state(b);

	if ((state & BACKEND_DRAINED) != 0)
		return "drained";
	if ((state & BACKEND_CHECK_DOWN) != 0)
		return "down";
	if ((state & BACKEND_FAILED) != 0)
		return "failed";
	return backend_is_resolved(b) ? "up" : "unresolved";
}

bool
health_change(const struct backend *b, uint32_t bit, bool is_set,
    enum health_why why)
{
	struct backend_slot *slot = b->shared;
	uint32_t before = is_set ? atomic_fetch_or(&slot->state, bit) :
	    atomic_fetch_and(&slot->state, ~bit);

	if (((before & bit) != 0) == is_set)
		return false;
	atomic_store(&slot->why, (uint32_t)why);
	atomic_store(&slot->since_ms, now_wall_ms());
	return true;
}

/* One more failure; returns how many there were in a row and in time. */
static uint32_t
count_failure(struct backend_slot *slot, uint64_t window_ms)
{
	uint64_t now = now_ms();
	uint64_t seen = atomic_load_explicit(&slot->failures,
	    memory_order_relaxed);
	uint64_t want;

	do {
		uint64_t count = seen & COUNT_MAX;

		if (count == 0 || now > (seen >> COUNT_BITS) + window_ms)
			want = now << COUNT_BITS | 1;
		else
			want = seen + (count < COUNT_MAX);
	} while (!atomic_compare_exchange_weak(&slot->failures, &seen, want));
	return (uint32_t)(want & COUNT_MAX);
}

static bool
is_another_up(const struct backend *b)
{
	const struct group *g = b->group;

	for (uint32_t i = 0; i < g->backend_count; i++)
		if (i != b->index && backend_is_up(&g->backends[i]))
			return true;
	return false;
}

void
health_failed(const struct backend *b, const char *what)
{
	const struct group_conf *conf = b->group->conf;
	struct backend_slot *slot = b->shared;
	char name[BACKEND_LOG_NAME_MAX];
	uint32_t count;

	if (conf->max_fails == 0 || slot == NULL)
		return;
	count = count_failure(slot, conf->fail_window_ms);
	if ((backend_state(b) & BACKEND_FAILED) != 0) {
		atomic_store(&slot->retry_ms,
		    now_ms() + conf->fail_timeout_ms);
		return;
	}
	if (count < conf->max_fails || !is_another_up(b))
		return;
	/* The time first: with the bit alone it could be tried at once. */
	atomic_store(&slot->retry_ms, now_ms() + conf->fail_timeout_ms);
	if (health_change(b, BACKEND_FAILED, true, HEALTH_FAILURES))
		log_warn(NULL, "backend %s is left out for %llu ms: %u "
		    "failures in a row, the last one: %s",
		    backend_log_name(b, name),
		    (unsigned long long)conf->fail_timeout_ms, count, what);
}

void
health_succeeded(const struct backend *b, uint64_t selected_ms)
{
	struct backend_slot *slot = b->shared;
	char name[BACKEND_LOG_NAME_MAX];

	if (atomic_load_explicit(&slot->failures, memory_order_relaxed) != 0)
		atomic_store(&slot->failures, 0);
	if ((backend_state(b) & BACKEND_FAILED) == 0 ||
	    selected_ms + b->group->conf->fail_timeout_ms <
	    atomic_load(&slot->retry_ms))
		return;
	if (health_change(b, BACKEND_FAILED, false, HEALTH_TRIAL))
		log_notice(NULL, "backend %s is back: a request to it "
		    "succeeded", backend_log_name(b, name));
}

void
health_forget(const struct backend *b)
{
	atomic_store(&b->shared->failures, 0);
	(void)health_change(b, BACKEND_FAILED, false, HEALTH_PASSED);
}

bool
health_claim_trial(const struct backend *b)
{
	uint64_t due = atomic_load(&b->shared->retry_ms);
	uint64_t now = now_ms();

	return now >= due && atomic_compare_exchange_strong(
	    &b->shared->retry_ms, &due, now + b->group->conf->fail_timeout_ms);
}
