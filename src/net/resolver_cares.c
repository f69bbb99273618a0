/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolver_cares - names by c-ares on our event loop.
 *
 * c-ares says which sockets it has; they are watched as streams.  It reads
 * from TCP one piece at a time, so that after an edge it is called until
 * nothing is left.  The server list is read when c-ares is initialised: that
 * is done again when /etc/resolv.conf has changed.
 */
#include "net/resolver_private.h"

#include <ares.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/now.h"
#include "base/slab.h"
#include "os/loop.h"

enum {
	TIMEOUT_MS = 2000,
	TRIES = 3,
	READS_MAX = 64, /* of one socket in one turn */
};

static const char resolv_conf[] = "/etc/resolv.conf";

struct source;

struct socket {
	struct loop_watch watch;
	struct source *source;
	struct list node;
	unsigned wanted; /* directions that c-ares waits for */
};

struct source {
	struct loop *loop;
	ares_channel channel;
	struct deadline timeout;
	struct slab sockets;
	struct list open; /* sockets */
	unsigned running; /* queries */
	char *servers;    /* NULL: resolv.conf's */
	int timeout_ms;
	int tries;
	struct stat resolv; /* resolv.conf when it was read */
};

static const char *
name(void)
{
	static char text[32];

	snprintf(text, sizeof(text), "c-ares %s", ares_version(NULL));
	return text;
}

static void
arm(struct source *s)
{
	struct timeval left;

	if (ares_timeout(s->channel, NULL, &left) == NULL)
		deadline_clear(&s->timeout);
	else
		deadline_set(s->loop, &s->timeout, now_ms() + 1 +
		    (uint64_t)left.tv_sec * 1000 +
		    (uint64_t)left.tv_usec / 1000);
}

static void
on_timeout(struct deadline *d)
{
	struct source *s = LIST_OF(d, struct source, timeout);

	ares_process_fd(s->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(s);
}

static struct socket *
find_socket(struct source *s, int fd)
{
	LIST_EACH(&s->open, node, after) {
		struct socket *socket = LIST_OF(node, struct socket, node);

		if (socket->watch.fd == fd)
			return socket;
	}
	return NULL;
}

static bool
has_more(int fd)
{
	int bytes = 0;

	return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct socket *socket = LIST_OF(w, struct socket, watch);
	struct source *s = socket->source;
	int fd = w->fd;
	int in = events & ~(unsigned)LOOP_WRITABLE ? fd : ARES_SOCKET_BAD;
	int out = events & LOOP_WRITABLE ? fd : ARES_SOCKET_BAD;

	for (int i = 0; i < READS_MAX; i++) {
		ares_process_fd(s->channel, in, out);
		socket = find_socket(s, fd);
		if (socket == NULL || !has_more(fd))
			break;
		in = fd;
		out = ARES_SOCKET_BAD;
	}
	if (socket != NULL)
		loop_blocked(s->loop, &socket->watch, socket->wanted);
	arm(s);
}

static void
on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
	struct source *s = data;
	struct socket *socket = find_socket(s, fd);

	if (!readable && !writable) {
		if (socket == NULL)
			return;
		loop_remove(s->loop, &socket->watch);
		list_remove(&socket->node);
		slab_put(&s->sockets, socket);
		return;
	}
	if (socket == NULL) {
		socket = slab_get(&s->sockets);
		memset(socket, 0, sizeof(*socket));
		socket->watch.on_event = on_event;
		socket->source = s;
		/* Where it cannot be watched, the query times out. */
		if (loop_add_stream(s->loop, &socket->watch, fd) != 0) {
			slab_put(&s->sockets, socket);
			return;
		}
		list_push_back(&s->open, &socket->node);
	}
	socket->wanted = (readable ? (unsigned)LOOP_READABLE : 0) |
	    (writable ? (unsigned)LOOP_WRITABLE : 0);
	loop_blocked(s->loop, &socket->watch, socket->wanted);
}

static int
open_channel(struct source *s, struct error *err)
{
	char lookups[] = "fb"; /* files, then servers */
	struct ares_options options = {
		.timeout = s->timeout_ms,
		.tries = s->tries,
		.lookups = lookups,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = s,
	};
	int status;

	if (stat(resolv_conf, &s->resolv) != 0)
		memset(&s->resolv, 0, sizeof(s->resolv));
	status = ares_init_options(&s->channel, &options, ARES_OPT_TIMEOUTMS |
	    ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS) {
		s->channel = NULL;
		return error_set(err, "starting c-ares: %s",
		    ares_strerror(status));
	}
	if (s->servers == NULL)
		return 0;
	status = ares_set_servers_ports_csv(s->channel, s->servers);
	if (status != ARES_SUCCESS)
		return error_set(err, "name servers \"%s\": %s", s->servers,
		    ares_strerror(status));
	return 0;
}

static void
close_source(void *source)
{
	struct source *s = source;

	if (s->channel != NULL)
		ares_destroy(s->channel);
	deadline_stop(s->loop, &s->timeout);
	slab_fini(&s->sockets);
	free(s->servers);
	free(s);
	ares_library_cleanup();
}

static void *
open_source(struct loop *loop, const struct resolver_options *options,
    struct error *err)
{
	struct source *s = heap_alloc_zeroed(1, sizeof(*s));

	s->loop = loop;
	s->timeout_ms = options->timeout_ms ? (int)options->timeout_ms :
	    TIMEOUT_MS;
	s->tries = options->tries ? (int)options->tries : TRIES;
	if (options->servers != NULL)
		s->servers = heap_alloc_strdup(options->servers);
	list_init(&s->open);
	slab_init(&s->sockets, sizeof(struct socket));
	deadline_init(&s->timeout, on_timeout);
	ares_library_init(ARES_LIB_INIT_ALL);
	if (open_channel(s, err) != 0) {
		close_source(s);
		return NULL;
	}
	return s;
}

/* Start afresh where resolv.conf is no longer the one that was read. */
static void
refresh(struct source *s)
{
	struct stat now;
	struct error err;
	ares_channel old = s->channel;

	if (s->running > 0 || s->servers != NULL ||
	    stat(resolv_conf, &now) != 0 ||
	    (now.st_mtime == s->resolv.st_mtime &&
	    now.st_ino == s->resolv.st_ino))
		return;
	if (open_channel(s, &err) == 0)
		ares_destroy(old);
	else
		s->channel = old;
}

static void
collect(struct resolver_answer *answer, const struct ares_addrinfo *info)
{
	uint32_t ttl = UINT32_MAX;

	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL;
	     n = n->ai_next) {
		resolver_add(answer, n->ai_addr, (socklen_t)n->ai_addrlen);
		if ((uint32_t)n->ai_ttl < ttl)
			ttl = (uint32_t)n->ai_ttl;
	}
	for (const struct ares_addrinfo_cname *c = info->cnames; c != NULL;
	     c = c->next)
		if ((uint32_t)c->ttl < ttl)
			ttl = (uint32_t)c->ttl;
	answer->ttl = ttl;
}

struct running {
	struct source *source;
	struct resolver_job *job;
};

static void
on_result(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct running *running = arg;
	struct resolver_job *job = running->job;

	(void)timeouts;
	running->source->running--;
	free(running);
	if (status == ARES_SUCCESS && info != NULL)
		collect(&job->answer, info);
	else
		job->answer.why = ares_strerror(status);
	ares_freeaddrinfo(info);
	resolver_done(job);
}

static void
start(void *source, struct resolver_job *job)
{
	struct source *s = source;
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct running *running = heap_alloc(sizeof(*running));

	refresh(s);
	s->running++;
	*running = (struct running){ s, job };
	ares_getaddrinfo(s->channel, job->host, NULL, &hints, on_result,
	    running);
	arm(s);
}

const struct resolver_ops resolver_cares = {
	.name = name,
	.open = open_source,
	.close = close_source,
	.start = start,
};
