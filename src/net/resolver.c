/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolver - queries, and what needs no source: localhost, literal addresses.
 */
#include "net/resolver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap_alloc.h"
#include "net/resolver_private.h"
#include "os/loop.h"

struct resolver {
	struct loop *loop;
	const struct resolver_ops *ops;
	void *source;
	struct list running;
	struct list done;
	struct loop_task deliver;
};

static const struct resolver_options default_options;

static const struct resolver_ops *
ops_for(const struct resolver_options *options)
{
#ifdef HAVE_CARES
	if (!options->use_getaddrinfo)
		return &resolver_cares;
#else
	(void)options;
#endif
	return &resolver_threads;
}

const char *
resolver_name(void)
{
	return ops_for(&default_options)->name();
}

void
resolver_add(struct resolver_answer *answer, const struct sockaddr *sa,
    socklen_t len)
{
	struct addr_ip *ip = &answer->items[answer->count];
	struct addr a;

	if (answer->count == RESOLVER_ADDRESSES_MAX || len > sizeof(a.u) ||
	    (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return;
	memset(&a, 0, sizeof(a));
	memcpy(&a.u, sa, len);
	a.len = len;
	memset(ip, 0, sizeof(*ip));
	addr_ip_from(ip, &a);
	ip->port = 0;
	for (uint32_t i = 0; i < answer->count; i++)
		if (memcmp(answer->items[i].bytes, ip->bytes,
		    sizeof(ip->bytes)) == 0)
			return;
	answer->count++;
}

static void
free_all(struct list *jobs)
{
	while (!list_is_empty(jobs)) {
		struct resolver_job *job = LIST_OF(jobs->next,
		    struct resolver_job, node);

		list_remove(&job->node);
		if (job->query != NULL)
			job->query->pending = NULL;
		free(job);
	}
}

/* What an on_answer starts is for the next turn. */
static void
deliver(struct loop_task *task)
{
	struct resolver *r = LIST_OF(task, struct resolver, deliver);
	struct list *last = r->done.prev;
	bool is_last = list_is_empty(&r->done);

	while (!is_last) {
		struct resolver_job *job = LIST_OF(r->done.next,
		    struct resolver_job, node);
		struct resolver_query *q = job->query;

		is_last = &job->node == last;
		list_remove(&job->node);
		if (q != NULL) {
			q->pending = NULL;
			q->on_answer(q, &job->answer);
		}
		free(job);
	}
}

struct resolver *
resolver_new(struct loop *loop, const struct resolver_options *options,
    struct error *err)
{
	struct resolver *r = heap_alloc_zeroed(1, sizeof(*r));

	if (options == NULL)
		options = &default_options;
	r->loop = loop;
	r->ops = ops_for(options);
	list_init(&r->running);
	list_init(&r->done);
	loop_task_init(&r->deliver, deliver);
	r->source = r->ops->open(loop, options, err);
	if (r->source == NULL) {
		free(r);
		return NULL;
	}
	return r;
}

void
resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	r->ops->close(r->source);
	loop_cancel(r->loop, &r->deliver);
	free_all(&r->running);
	free_all(&r->done);
	free(r);
}

void
resolver_done(struct resolver_job *job)
{
	struct resolver *r = job->resolver;

	if (job->answer.count == 0 && job->answer.why == NULL)
		job->answer.why = "the name has no address";
	list_remove(&job->node);
	list_push_back(&r->done, &job->node);
	loop_defer(r->loop, &r->deliver);
}

/* RFC 6761, section 6.3: never a question for anybody else. */
static bool
is_localhost(const char *host)
{
	struct span name = span_cstr(host);

	if (name.len > 0 && name.p[name.len - 1] == '.')
		name.len--;
	return span_ieq(name, SPAN("localhost")) ||
	    span_ends_i(name, SPAN(".localhost"));
}

static bool
answer_here(struct resolver_job *job)
{
	struct resolver_answer *answer = &job->answer;

	if (is_localhost(job->host)) {
		answer->count = 2;
		(void)addr_ip_parse(SPAN("127.0.0.1"), &answer->items[0]);
		(void)addr_ip_parse(SPAN("::1"), &answer->items[1]);
	} else if (addr_ip_parse(span_cstr(job->host),
	    &answer->items[0]) == 0) {
		answer->count = 1;
	} else {
		return false;
	}
	answer->ttl = UINT32_MAX;
	return true;
}

void
resolver_start(struct resolver *r, struct resolver_query *q, const char *host)
{
	struct resolver_job *job = heap_alloc_zeroed(1, sizeof(*job));
	size_t len = strlen(host);

	assert(q->pending == NULL && q->on_answer != NULL);
	job->resolver = r;
	job->query = q;
	q->pending = job;
	list_push_back(&r->running, &job->node);
	if (len == 0 || len >= sizeof(job->host)) {
		job->answer.why = "not a host name";
		resolver_done(job);
		return;
	}
	memcpy(job->host, host, len);
	if (answer_here(job))
		resolver_done(job);
	else
		r->ops->start(r->source, job);
}

void
resolver_cancel(struct resolver *r, struct resolver_query *q)
{
	struct resolver_job *job = q->pending;

	(void)r;
	if (job == NULL)
		return;
	job->query = NULL;
	q->pending = NULL;
}
