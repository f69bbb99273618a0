/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ocsp - fetches OCSP responses for certificates that ask for it (ocsp_fetch).
 *
 * One at a start, the next one when half of its time is over; after a failure
 * again after some seconds, then ever later.  A good one goes to the master,
 * and by it to all processes; of a bad one, or none, only the log hears.
 */
#ifndef BACKGROUND_OCSP_H
#define BACKGROUND_OCSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct error;
struct generation;
struct listener_spec;
struct loop;
struct ocsp;

struct ocsp_config {
	struct loop *loop;
	struct generation *generation;
	const struct channel *channel; /* to the master */
	/* Of stats_proxy, this process's. */
	_Atomic uint64_t *counters;
};

/* Fetches nothing yet.  NULL and err; also NULL, without err, if none asks. */
int ocsp_start(struct ocsp **o, const struct ocsp_config *config,
    struct error *err) __attribute__((warn_unused_result));
/* Only the generation that serves fetches.  o may be NULL. */
void ocsp_serve(struct ocsp *o, bool is_serving);
/* A pair was replaced: without a response one is fetched.  o may be NULL. */
void ocsp_cert_changed(struct ocsp *o);
void ocsp_stop(struct ocsp *o);
/* Why the last attempt failed; NULL if it did not, or is none of its. */
const char *ocsp_why(const struct ocsp *o, const struct listener_spec *spec,
    size_t pair);

/*
 * Milliseconds until the next one: at half of the time that is left until
 * until_s, a tenth earlier at most; random is any number.
 */
uint64_t ocsp_refresh_ms(int64_t now_s, int64_t until_s, uint64_t random);
/* The same after so many failures, the first one being 1. */
uint64_t ocsp_retry_ms(unsigned failures, uint64_t random);

#endif
