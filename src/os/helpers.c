/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helpers - a pool of threads around a list under a lock.
 *
 * The lock is held for moving list nodes only, so the loop never waits for
 * work.  Threads cannot be stopped: what they share with the loop lives until
 * the last of them has ended.
 */
#include "os/helpers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "base/log.h"
#include "os/loop.h"

/* Enough for the hashes of libcrypt, which keep their tables elsewhere. */
enum { STACK_BYTES = 512 * 1024, AWAIT_S = 2 };

struct shared {
	pthread_mutex_t lock;
	pthread_cond_t wanted; /* there is a job, or the end */
	pthread_cond_t left;   /* a thread has ended */
	struct list waiting;   /* jobs */
	struct list finished;
	unsigned users;        /* threads, and the pool while it is open */
	unsigned waiting_count;
	unsigned idle;         /* threads that wait for a job */
	int wake;              /* eventfd; -1 once the pool is closed */
};

struct helpers {
	struct loop *loop;
	struct loop_watch watch;
	struct shared *shared; /* NULL until the first job */
	unsigned threads, threads_max;
	unsigned queue_max;
	unsigned queued;       /* as of the loop: not yet back */
};

/* Called with the lock held; releases it. */
static void
leave(struct shared *s)
{
	bool is_last = --s->users == 0;

	pthread_cond_signal(&s->left);
	pthread_mutex_unlock(&s->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&s->wanted);
	pthread_cond_destroy(&s->left);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void
take_out(struct shared *s, struct helper_job *job)
{
	list_remove(&job->node);
	job->is_queued = false;
	s->waiting_count--;
}

/* Called with the lock held, in a thread whose pool may have gone. */
static void
hand_back(struct shared *s, struct helper_job *job)
{
	uint64_t one = 1;

	if (s->wake < 0) {
		pthread_mutex_unlock(&s->lock);
		job->done(job, false);
		pthread_mutex_lock(&s->lock);
		return;
	}
	list_push_back(&s->finished, &job->node);
	/* A full counter has woken the loop already. */
	if (write(s->wake, &one, sizeof(one)) < 0)
		one = 0;
}

static void *
run(void *arg)
{
	struct shared *s = arg;

	pthread_mutex_lock(&s->lock);
	while (s->wake >= 0) {
		struct helper_job *job;

		if (list_is_empty(&s->waiting)) {
			s->idle++;
			pthread_cond_wait(&s->wanted, &s->lock);
			s->idle--;
			continue;
		}
		job = LIST_OF(s->waiting.next, struct helper_job, node);
		take_out(s, job);
		pthread_mutex_unlock(&s->lock);
		job->work(job);
		pthread_mutex_lock(&s->lock);
		hand_back(s, job);
	}
	leave(s);
	return NULL;
}

/* Signals are for the thread that runs the loop. */
static int
spawn(struct shared *s)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int status;

	if (pthread_attr_init(&attr) != 0)
		return -1;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = pthread_create(&thread, &attr, run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (status != 0)
		log_warn(NULL, "starting a helper thread: %s",
		    strerror(status));
	return status == 0 ? 0 : -1;
}

static void
move_all(struct list *from, struct list *to)
{
	while (!list_is_empty(from)) {
		struct list *node = from->next;

		list_remove(node);
		list_push_back(to, node);
	}
}

static void
on_finished(struct loop_watch *w, unsigned events)
{
	struct helpers *h = LIST_OF(w, struct helpers, watch);
	struct list finished;
	uint64_t count;

	(void)events;
	if (read(w->fd, &count, sizeof(count)) < 0)
		return;
	list_init(&finished);
	pthread_mutex_lock(&h->shared->lock);
	move_all(&h->shared->finished, &finished);
	pthread_mutex_unlock(&h->shared->lock);
	while (!list_is_empty(&finished)) {
		struct helper_job *job = LIST_OF(finished.next,
		    struct helper_job, node);

		list_remove(&job->node);
		h->queued--;
		job->done(job, true);
	}
}

/* Only now: most workers never have such work. */
static int
open_shared(struct helpers *h)
{
	struct shared *s = heap_alloc_zeroed(1, sizeof(*s));

	s->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->wake < 0 ||
	    loop_add_reader(h->loop, &h->watch, s->wake, false) != 0) {
		log_warn(NULL, "starting helper threads: %s",
		    strerror(errno));
		if (s->wake >= 0)
			close(s->wake);
		free(s);
		return -1;
	}
	s->users = 1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wanted, NULL);
	pthread_cond_init(&s->left, NULL);
	list_init(&s->waiting);
	list_init(&s->finished);
	h->shared = s;
	return 0;
}

struct helpers *
helpers_new(struct loop *loop, unsigned threads, unsigned queue_max)
{
	struct helpers *h = heap_alloc_zeroed(1, sizeof(*h));

	h->loop = loop;
	h->watch = (struct loop_watch){ .on_event = on_finished, .fd = -1 };
	h->threads_max = threads;
	h->queue_max = queue_max;
	return h;
}

/*
 * With the lock held.  What follows is mostly the end of the process, where
 * libraries are taken down which a thread may be using.
 */
static void
await_threads(struct shared *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += AWAIT_S;
	while (s->users > 1 && pthread_cond_timedwait(&s->left, &s->lock,
	    &until) == 0)
		continue;
}

void
helpers_free(struct helpers *h)
{
	struct list left;
	struct shared *s;

	if (h == NULL)
		return;
	s = h->shared;
	if (s != NULL) {
		loop_remove(h->loop, &h->watch);
		list_init(&left);
		pthread_mutex_lock(&s->lock);
		move_all(&s->waiting, &left);
		move_all(&s->finished, &left);
		close(s->wake);
		s->wake = -1;
		pthread_cond_broadcast(&s->wanted);
		await_threads(s);
		leave(s);
		while (!list_is_empty(&left)) {
			struct helper_job *job = LIST_OF(left.next,
			    struct helper_job, node);

			list_remove(&job->node);
			job->done(job, false);
		}
	}
	free(h);
}

int
helpers_submit(struct helpers *h, struct helper_job *job)
{
	struct shared *s;
	bool needs_thread;

	if (h->queued >= h->queue_max + h->threads_max ||
	    (h->shared == NULL && open_shared(h) != 0))
		return -1;
	s = h->shared;
	pthread_mutex_lock(&s->lock);
	/* A thread that was woken and has not run yet still counts as idle. */
	needs_thread = s->idle <= s->waiting_count &&
	    h->threads < h->threads_max;
	if (needs_thread)
		s->users++;
	pthread_mutex_unlock(&s->lock);
	if (needs_thread) {
		if (spawn(s) == 0) {
			h->threads++;
		} else {
			pthread_mutex_lock(&s->lock);
			leave(s);
			if (h->threads == 0)
				return -1;
		}
	}
	job->is_queued = true;
	list_init(&job->node);
	pthread_mutex_lock(&s->lock);
	list_push_back(&s->waiting, &job->node);
	s->waiting_count++;
	pthread_cond_signal(&s->wanted);
	pthread_mutex_unlock(&s->lock);
	h->queued++;
	return 0;
}

bool
helpers_cancel(struct helpers *h, struct helper_job *job)
{
	bool was_queued;

	pthread_mutex_lock(&h->shared->lock);
	was_queued = job->is_queued;
	if (was_queued)
		take_out(h->shared, job);
	pthread_mutex_unlock(&h->shared->lock);
	if (was_queued)
		h->queued--;
	return was_queued;
}

size_t
helpers_pending(const struct helpers *h)
{
	return h->queued;
}
