/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health - why a backend gets no requests, told to all processes by its slot.
 *
 * Three things speak for themselves: health checks (the background process
 * tells their results), failed requests (any worker counts them, over all
 * workers) and weirctl.  Each has a bit of the slot's state, one atomic word;
 * who changes a bit writes the one line about it to the log.
 */
#ifndef UPSTREAM_HEALTH_H
#define UPSTREAM_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct backend_zone;

/* X(id, name, words): of the last change; the names are weirctl's. */
#define HEALTH_WHY_LIST(X)                                                  \
	X(NONE, "none", "as configured")                                    \
	X(UNCHECKED, "unchecked", "not checked yet")                        \
	X(PASSED, "passed", "the health check passes")                      \
	X(UNCHECKED_ANY_MORE, "no_check", "there is no health check any more") \
	X(REFUSED, "refused", "health check: connection refused")           \
	X(UNREACHABLE, "unreachable", "health check: cannot be reached")    \
	X(TIMEOUT, "timeout", "health check: no answer in time")            \
	X(CLOSED, "closed", "health check: the connection was closed")      \
	X(TLS, "tls", "health check: the TLS handshake failed")             \
	X(NOT_HTTP, "not_http", "health check: the answer is not HTTP")     \
	X(STATUS, "status", "health check: unexpected status")              \
	X(BODY, "body", "health check: body_match does not match")          \
	X(UNRESOLVED, "unresolved", "health check: the name has no address") \
	X(FAILURES, "failures", "requests failed in a row")                 \
	X(TRIAL, "trial", "a request to it succeeded")                      \
	X(DRAINED, "drained", "drained by weirctl")                         \
	X(ENABLED, "enabled", "enabled by weirctl")

enum health_why {
#define X(id, name, words) HEALTH_##id,
	HEALTH_WHY_LIST(X)
#undef X
	HEALTH_WHY_COUNT
};

const char *health_why_name(uint32_t why);
const char *health_why_words(uint32_t why);
/* "up", "down" (checks), "failed" (requests), "drained", "unresolved". */
const char *health_state_name(const struct backend *b);

/*
 * Set or clear one bit of the state (enum backend_state).  True if that is a
 * change, which is then noted with its time and reason.
 */
bool health_change(const struct backend *b, uint32_t bit, bool is_set,
    enum health_why why);

/* ---- requests, in workers ---- */

/*
 * A request to b failed through its fault.  After max_fails in a row within
 * fail_window it is left out for fail_timeout, unless no other would be left.
 * what: for the log.
 */
void health_failed(const struct backend *b, const char *what);
/*
 * A response began, to a request that was sent to b at selected_ms: those from
 * before b was left out do not bring it back.  Two loads while all is well.
 */
void health_succeeded(const struct backend *b, uint64_t selected_ms);
/* What requests met before a health check brought b back is forgotten. */
void health_forget(const struct backend *b);
/*
 * b failed of late and its time has come: may this process try it with one
 * request?  Only one may, until fail_timeout has passed again.
 */
bool health_claim_trial(const struct backend *b);

#endif
