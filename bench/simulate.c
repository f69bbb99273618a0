/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * simulate - which balancer when: weir's own balancers in front of backends
 * that exist only on paper.
 *
 * Choosing, counting and leaving out are the real code; time, arrivals and
 * service are simulated, with fixed seeds, so that the table of
 * weir-upstreams(5) can be made again.  Eight workers, ten backends, each with
 * eight places and a queue; requests arrive by chance at 70 % of what all of
 * them can do.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/entropy.h"
#include "base/error.h"
#include "base/log.h"
#include "base/now.h"
#include "upstream/backend.h"
#include "upstream/group.h"
#include "upstream/health.h"
#include "upstream/lb_hash.h"

enum {
	WORKERS = 8,
	BACKENDS = 10,
	PLACES = 8, /* requests that a backend serves at once */
	REQUESTS = 200000,
	KEYS = 2000,
	MEAN_US = 10000,
	FAIL_US = 500, /* a backend that fails does so at once */
	TRIES_MAX = 3,
};

/* ---- time: the test's own, see base/now.h ---- */

static uint64_t clock_us = 1000000000;

void now_update(void) { }
uint64_t now_ms(void) { return clock_us / 1000; }
uint64_t now_us(void) { return clock_us; }
uint64_t now_wall_ms(void) { return clock_us / 1000; }
uint64_t now_exact_us(void) { return clock_us; }

/* ---- chance ---- */

static double
uniform(void)
{
	return ((double)(entropy_fast() >> 11) + 1) / 9007199254740994.0;
}

static double
exponential(double mean)
{
	return -log(uniform()) * mean;
}

/* ---- the world ---- */

struct scene {
	const char *name;
	double long_share; /* of requests that take 20 times the time */
	double slow;       /* backend 0 takes so many times longer */
	bool is_failing;   /* backend 0 fails the middle third */
	bool has_hot_key;  /* a fifth of the requests have one key */
};

static const struct scene scenes[] = {
	{ .name = "alike" },
	{ .name = "long and short requests", .long_share = 0.03 },
	{ .name = "one backend 4 times slower", .slow = 4 },
	{ .name = "one backend fails at once", .is_failing = true },
	{ .name = "one key has 20 % of the requests", .has_hot_key = true },
};

static const struct method {
	const char *name;
	enum group_balance balance;
	uint32_t hash_load_max;
} methods[] = {
	{ "round_robin", GROUP_ROUND_ROBIN, 0 },
	{ "random", GROUP_RANDOM, 0 },
	{ "least_connections", GROUP_LEAST_CONNECTIONS, 0 },
	{ "power_of_two", GROUP_POWER_OF_TWO, 0 },
	{ "hash", GROUP_HASH, 0 },
	{ "hash, load 125 %", GROUP_HASH, 125 },
};

enum {
	SCENES = sizeof(scenes) / sizeof(scenes[0]),
	METHODS = sizeof(methods) / sizeof(methods[0]),
};

struct request {
	uint64_t arrived_us;
	uint64_t ends_us;
	uint64_t selected_ms;
	const struct backend *backend;
	struct group *worker;
	struct group_tries tries;
	struct request *next; /* in a backend's queue, or free */
	bool is_failing;
};

struct server {
	uint32_t busy;
	struct request *first;
	struct request **last;
};

static struct {
	const struct scene *scene;
	struct arena arena;
	struct backend_zone *zone;
	struct group workers[WORKERS];
	struct server servers[BACKENDS];
	struct request *heap[1 << 20]; /* by ends_us; 1-based */
	size_t heap_count;
	uint32_t times_us[REQUESTS];
	size_t done;
	size_t arrived;
	size_t failures, errors;
} w;

static void
push(struct request *r)
{
	size_t i = ++w.heap_count;

	for (; i > 1 && w.heap[i / 2]->ends_us > r->ends_us; i /= 2)
		w.heap[i] = w.heap[i / 2];
	w.heap[i] = r;
}

static struct request *
pop(void)
{
	struct request *top = w.heap[1];
	struct request *r = w.heap[w.heap_count--];
	size_t i = 1;

	for (size_t k; (k = 2 * i) <= w.heap_count; i = k) {
		if (k < w.heap_count &&
		    w.heap[k + 1]->ends_us < w.heap[k]->ends_us)
			k++;
		if (r->ends_us <= w.heap[k]->ends_us)
			break;
		w.heap[i] = w.heap[k];
	}
	w.heap[i] = r;
	return top;
}

static bool
is_failing(const struct backend *b)
{
	return w.scene->is_failing && b->index == 0 &&
	    w.arrived > REQUESTS / 3 && w.arrived < REQUESTS * 2 / 3;
}

static void
serve(struct request *r)
{
	const struct scene *s = w.scene;
	double mean = MEAN_US;

	w.servers[r->backend->index].busy++;
	r->is_failing = is_failing(r->backend);
	if (s->long_share > 0)
		mean = (uniform() < s->long_share ? 20 : 1) * MEAN_US /
		    (1 + 19 * s->long_share);
	if (s->slow > 0 && r->backend->index == 0)
		mean *= s->slow;
	r->ends_us = clock_us + (r->is_failing ? FAIL_US :
	    (uint64_t)exponential(mean) + 1);
	push(r);
}

static void
choose(struct request *r)
{
	struct server *server;

	r->backend = group_pick(r->worker, &r->tries);
	if (r->backend == NULL || r->tries.count > TRIES_MAX) {
		w.errors++;
		free(r);
		return;
	}
	backend_begin(r->backend);
	r->selected_ms = now_ms();
	server = &w.servers[r->backend->index];
	if (server->busy < PLACES || is_failing(r->backend)) {
		serve(r);
		return;
	}
	r->next = NULL;
	*server->last = r;
	server->last = &r->next;
}

static void
finish(struct request *r)
{
	struct server *server = &w.servers[r->backend->index];

	server->busy--;
	backend_end(r->backend);
	if (server->first != NULL && server->busy < PLACES) {
		struct request *next = server->first;

		server->first = next->next;
		if (server->first == NULL)
			server->last = &server->first;
		serve(next);
	}
	if (r->is_failing) {
		w.failures++;
		health_failed(r->backend, "simulated");
		choose(r);
		return;
	}
	health_succeeded(r->backend, r->selected_ms);
	w.times_us[w.done++] = (uint32_t)(clock_us - r->arrived_us);
	free(r);
}

static void
arrive(void)
{
	struct request *r = calloc(1, sizeof(*r));
	uint64_t key = entropy_fast() % KEYS;
	char text[32];
	int len;

	if (r == NULL)
		abort();
	if (w.scene->has_hot_key && uniform() < 0.2)
		key = 0;
	len = snprintf(text, sizeof(text), "client-%llu",
	    (unsigned long long)key);
	w.arrived++;
	r->arrived_us = clock_us;
	r->worker = &w.workers[entropy_fast() % WORKERS];
	r->tries.has_hash = true;
	r->tries.hash = lb_hash_key(span_of(text, (size_t)len));
	choose(r);
}

static void
begin(const struct scene *scene, const struct method *m)
{
	static struct group_conf conf;
	static struct addr_spec specs[BACKENDS];
	static struct backend_conf backends[BACKENDS];
	struct error err;
	struct group *g;

	memset(&w, 0, sizeof(w));
	w.scene = scene;
	entropy_seed(7);
	arena_init(&w.arena, NULL);
	conf = (struct group_conf){ .name = "app", .balance = m->balance,
		.hash_load_max = m->hash_load_max, .max_fails = 5,
		.fail_window_ms = 10000, .fail_timeout_ms = 10000,
		.backends = { .items = backends, .count = BACKENDS } };
	for (int i = 0; i < BACKENDS; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.0.%d:80", i + 1);
		if (addr_parse(span_cstr(text), 0, &specs[i], &err) != 0)
			abort();
		backends[i] = (struct backend_conf){ .address = &specs[i],
			.weight = 1 };
		w.servers[i].last = &w.servers[i].first;
	}
	w.zone = backend_zone_new(BACKENDS, &err);
	g = group_new(&w.arena, &conf);
	if (w.zone == NULL || group_bind(g, w.zone, &err) != 0)
		abort();
	for (int i = 0; i < WORKERS; i++) {
		w.workers[i] = *g;
		group_start(&w.workers[i], NULL);
	}
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
end(const struct method *m)
{
	double sum = 0;

	for (size_t i = 0; i < w.done; i++)
		sum += w.times_us[i];
	qsort(w.times_us, w.done, sizeof(w.times_us[0]), compare);
	printf("  %-18s %8.1f %8.1f %8.1f %9zu %7zu\n", m->name,
	    sum / (double)w.done / 1000, w.times_us[w.done / 2] / 1000.0,
	    w.times_us[w.done * 99 / 100] / 1000.0, w.failures, w.errors);
	for (int i = 0; i < WORKERS; i++)
		group_stop(&w.workers[i]);
	backend_zone_free(w.zone);
	arena_fini(&w.arena);
}

static void
simulate(const struct scene *scene, const struct method *m)
{
	double gap = MEAN_US / (0.7 * BACKENDS * PLACES);
	uint64_t next = clock_us;
	double exact = (double)next;

	begin(scene, m);
	while (w.arrived < REQUESTS || w.heap_count > 0) {
		if (w.arrived < REQUESTS && (w.heap_count == 0 ||
		    next <= w.heap[1]->ends_us)) {
			clock_us = next;
			arrive();
			exact += exponential(gap);
			next = (uint64_t)exact;
		} else {
			struct request *r = pop();

			clock_us = r->ends_us;
			finish(r);
		}
	}
	end(m);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	for (int i = 0; i < SCENES; i++) {
		printf("%s\n  %-18s %8s %8s %8s %9s %7s\n", scenes[i].name,
		    "", "mean ms", "p50", "p99", "failures", "errors");
		for (int k = 0; k < METHODS; k++)
			simulate(&scenes[i], &methods[k]);
	}
	return 0;
}
