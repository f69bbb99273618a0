/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * counter - what is counted, as rows of tables beside the code that counts.
 *
 * A table's row number is also the place of its value in a block of words:
 * the enum that names the rows is all that the hot path needs.  Each block has
 * one writer (a process, in its slot) and any number of readers, so counting
 * is a load, an add and a store, without a lock prefix.
 *
 *	enum { APP_REQUESTS, METRIC_SPACE(APP_DURATION), APP_CLIENTS,
 *		APP_ROWS };
 *	static const struct metric rows[APP_ROWS] = {
 *		[APP_REQUESTS] = { "requests_total", "Requests." },
 *		[APP_DURATION] = { "duration_seconds", "Time of a request.",
 *		    METRIC_HISTOGRAM },
 *		[APP_CLIENTS] = { "clients", "Clients now.", METRIC_GAUGE },
 *	};
 *	const struct metric_set app_metrics = METRIC_SET("app",
 *	    METRIC_SCOPE_PROCESS, rows);
 *
 * That makes weir_app_requests_total and so on.
 */
#ifndef METRICS_COUNTER_H
#define METRICS_COUNTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_type {
	METRIC_COUNTER,   /* only grows; the name ends in _total */
	METRIC_GAUGE,     /* goes up and down; 0 again when its process dies */
	METRIC_HISTOGRAM, /* of microseconds; METRIC_SPACE() in the enum */
};

/* What a set is counted for; also the labels that its samples carry. */
enum metric_scope {
	METRIC_SCOPE_PROCESS,  /* one block a process, no label */
	METRIC_SCOPE_ROUTE,    /* service="…",route="…" */
	METRIC_SCOPE_UPSTREAM, /* upstream="…" */
	METRIC_SCOPE_BACKEND,  /* upstream="…",backend="…" */
	METRIC_SCOPE_COUNT
};

/* 16 buckets, the one above them, the sum of microseconds. */
enum { METRIC_HISTOGRAM_WORDS = 18 };

/* In the enum of the rows: a histogram's row and the room behind it. */
#define METRIC_SPACE(row) \
	row, row##_LAST = row + METRIC_HISTOGRAM_WORDS - 1

struct metric {
	/* NULL: no row (room of a histogram).  [a-z0-9_], no prefix. */
	const char *name;
	const char *help; /* of the first row of a name */
	enum metric_type type;
	/*
	 * Ready-made label pairs, `code="2xx"`; NULL = none.  Rows of one name
	 * and different labels stand together and have one type.
	 */
	const char *label;
	/* A sample for each process slot, process="N", instead of the sum. */
	bool per_process;
};

struct metric_set {
	const char *prefix;
	enum metric_scope scope;
	const struct metric *rows;
	size_t count; /* rows, those without a name included */
};

#define METRIC_SET(prefix_, scope_, rows_)                 \
	{ .prefix = (prefix_), .scope = (scope_), .rows = (rows_), \
	  .count = sizeof(rows_) / sizeof((rows_)[0]) }

/* For the block's one writer. */
static inline void
counter_add(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c,
	    atomic_load_explicit(c, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

/* Gauges only. */
static inline void
counter_sub(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c,
	    atomic_load_explicit(c, memory_order_relaxed) - n,
	    memory_order_relaxed);
}

/* Gauges only. */
static inline void
counter_set(_Atomic uint64_t *c, uint64_t value)
{
	atomic_store_explicit(c, value, memory_order_relaxed);
}

/* For anyone. */
static inline uint64_t
counter_get(const _Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
