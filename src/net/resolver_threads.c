/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolver_threads - names by getaddrinfo, which blocks, on helper threads.
 *
 * A thread holds a copy of the name and hands its work back through a list and
 * an eventfd; it touches nothing else.  Threads cannot be stopped: what they
 * share with the loop lives until the last of them has ended.
 */
#include "net/resolver_private.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "os/loop.h"

enum { THREADS_MAX = 4 };

struct shared {
	pthread_mutex_t lock;
	struct list finished; /* works */
	unsigned users;       /* threads, and the source while it is open */
	int wake;             /* eventfd; -1 once the source is closed */
};

struct work {
	struct list node;
	struct shared *shared;
	struct resolver_job *job; /* for the loop's eyes only */
	struct resolver_answer answer;
	char host[RESOLVER_HOST_MAX];
};

struct source {
	struct loop *loop;
	struct loop_watch watch;
	struct shared *shared;
	struct list waiting; /* works without a thread */
	unsigned threads;
};

static const char *
name(void)
{
	return "getaddrinfo";
}

static void
free_works(struct list *works)
{
	while (!list_is_empty(works)) {
		struct work *work = LIST_OF(works->next, struct work, node);

		list_remove(&work->node);
		free(work);
	}
}

/* Called with the lock held; releases it. */
static void
leave(struct shared *shared)
{
	bool is_last = --shared->users == 0;

	pthread_mutex_unlock(&shared->lock);
	if (!is_last)
		return;
	free_works(&shared->finished);
	pthread_mutex_destroy(&shared->lock);
	free(shared);
}

static const char *
why(int status)
{
	if (status == EAI_NONAME)
		return "name not found";
	if (status == EAI_AGAIN)
		return "no name server answered";
	return gai_strerror(status);
}

static void *
run(void *arg)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct work *work = arg;
	struct shared *shared = work->shared;
	struct addrinfo *list = NULL;
	int status = getaddrinfo(work->host, NULL, &hints, &list);
	uint64_t one = 1;

	if (status != 0) {
		work->answer.why = why(status);
	} else {
		for (struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
			resolver_add(&work->answer, ai->ai_addr,
			    ai->ai_addrlen);
		work->answer.ttl = RESOLVER_TTL_UNKNOWN;
		freeaddrinfo(list);
	}
	pthread_mutex_lock(&shared->lock);
	list_push_back(&shared->finished, &work->node);
	/* A full counter has woken the loop already. */
	if (shared->wake >= 0 &&
	    write(shared->wake, &one, sizeof(one)) < 0)
		one = 0;
	leave(shared);
	return NULL;
}

/* Signals are for the thread that runs the loop. */
static int
spawn(struct work *work)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int status;

	if (pthread_attr_init(&attr) != 0)
		return -1;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = pthread_create(&thread, &attr, run, work);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return status == 0 ? 0 : -1;
}

static void
run_next(struct source *s)
{
	while (s->threads < THREADS_MAX && !list_is_empty(&s->waiting)) {
		struct work *work = LIST_OF(s->waiting.next, struct work,
		    node);

		list_remove(&work->node);
		pthread_mutex_lock(&s->shared->lock);
		s->shared->users++;
		pthread_mutex_unlock(&s->shared->lock);
		s->threads++;
		if (spawn(work) == 0)
			continue;
		s->threads--;
		pthread_mutex_lock(&s->shared->lock);
		leave(s->shared);
		work->job->answer.why = "no helper thread";
		resolver_done(work->job);
		free(work);
	}
}

static void
on_finished(struct loop_watch *w, unsigned events)
{
	struct source *s = LIST_OF(w, struct source, watch);
	struct list finished;
	uint64_t count;

	(void)events;
	if (read(w->fd, &count, sizeof(count)) < 0)
		return;
	list_init(&finished);
	pthread_mutex_lock(&s->shared->lock);
	while (!list_is_empty(&s->shared->finished)) {
		struct list *node = s->shared->finished.next;

		list_remove(node);
		list_push_back(&finished, node);
	}
	pthread_mutex_unlock(&s->shared->lock);
	LIST_EACH(&finished, node, after) {
		struct work *work = LIST_OF(node, struct work, node);

		s->threads--;
		work->job->answer = work->answer;
		resolver_done(work->job);
	}
	free_works(&finished);
	run_next(s);
}

static void
close_source(void *source)
{
	struct source *s = source;

	loop_remove(s->loop, &s->watch);
	free_works(&s->waiting);
	pthread_mutex_lock(&s->shared->lock);
	if (s->shared->wake >= 0)
		close(s->shared->wake);
	s->shared->wake = -1;
	leave(s->shared);
	free(s);
}

static void *
open_source(struct loop *loop, const struct resolver_options *options,
    struct error *err)
{
	struct source *s = heap_alloc_zeroed(1, sizeof(*s));

	(void)options;
	s->loop = loop;
	s->watch = (struct loop_watch){ .on_event = on_finished, .fd = -1 };
	list_init(&s->waiting);
	s->shared = heap_alloc_zeroed(1, sizeof(*s->shared));
	s->shared->users = 1;
	pthread_mutex_init(&s->shared->lock, NULL);
	list_init(&s->shared->finished);
	s->shared->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->shared->wake < 0 || loop_add_reader(loop, &s->watch,
	    s->shared->wake, false) != 0) {
		error_set_errno(err, errno, "starting name resolution");
		close_source(s);
		return NULL;
	}
	return s;
}

static void
start(void *source, struct resolver_job *job)
{
	struct source *s = source;
	struct work *work = heap_alloc_zeroed(1, sizeof(*work));

	work->shared = s->shared;
	work->job = job;
	memcpy(work->host, job->host, sizeof(work->host));
	list_init(&work->node);
	list_push_back(&s->waiting, &work->node);
	run_next(s);
}

const struct resolver_ops resolver_threads = {
	.name = name,
	.open = open_source,
	.close = close_source,
	.start = start,
};
