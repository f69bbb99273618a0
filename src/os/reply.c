/* SPDX-License-Identifier: BSD-2-Clause */
/* reply - sending to readers that may be slow. */
#include "os/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "os/deadline.h"
#include "os/loop.h"

enum {
	SILENCE_MS = 10000,
	DRAIN_MAX = 64, /* pieces that nobody asked for */
	REFUSAL_MAX = 8192, /* of an error, escaped */
};

struct reply {
	struct list node;
	struct reply_set *set;
	struct loop_watch watch;
	struct deadline deadline;
	int fd;
	char *memory;
	size_t len;
	size_t sent;
};

void
reply_set_init(struct reply_set *set, struct loop *loop)
{
	set->loop = loop;
	set->count = 0;
	list_init(&set->all);
}

/* What was never read would turn the end into a reset, answer and all. */
static void
drain(int fd)
{
	char waste[4096];

	for (int i = 0; i < DRAIN_MAX; i++) {
		if (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) <= 0)
			return;
	}
}

static void
end(struct reply *r)
{
	struct reply_set *set = r->set;

	deadline_stop(set->loop, &r->deadline);
	loop_remove(set->loop, &r->watch);
	drain(r->fd);
	close(r->fd);
	list_remove(&r->node);
	set->count--;
	free(r->memory);
	free(r);
}

void
reply_set_fini(struct reply_set *set)
{
	LIST_EACH(&set->all, node, after)
		end(LIST_OF(node, struct reply, node));
}

void
reply_set_forget(struct reply_set *set)
{
	LIST_EACH(&set->all, node, after) {
		struct reply *r = LIST_OF(node, struct reply, node);

		close(r->fd);
		free(r->memory);
		free(r);
	}
	list_init(&set->all);
}

/* True once there is nothing more to send, or nobody to send it to. */
static bool
send_some(struct reply *r)
{
	while (r->sent < r->len) {
		ssize_t n = send(r->fd, r->memory + r->sent, r->len - r->sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno != EAGAIN && errno != EWOULDBLOCK;
		r->sent += (size_t)n;
		deadline_set(r->set->loop, &r->deadline,
		    now_ms() + SILENCE_MS);
	}
	return true;
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct reply *r = LIST_OF(w, struct reply, watch);

	if ((events & (LOOP_WRITABLE | LOOP_FAILED)) == 0)
		return;
	if (send_some(r))
		end(r);
	else
		loop_blocked(r->set->loop, w, LOOP_WRITABLE);
}

static void
on_deadline(struct deadline *d)
{
	end(LIST_OF(d, struct reply, deadline));
}

struct reply *
reply_new(struct reply_set *set, int fd)
{
	struct reply *r = heap_alloc_zeroed(1, sizeof(*r));

	r->set = set;
	r->fd = fd;
	r->watch = (struct loop_watch){ on_event, -1, 0 };
	deadline_init(&r->deadline, on_deadline);
	list_push_back(&set->all, &r->node);
	set->count++;
	return r;
}

void
reply_send(struct reply *r, char *memory, size_t len)
{
	r->memory = memory;
	r->len = len;
	deadline_set(r->set->loop, &r->deadline, now_ms() + SILENCE_MS);
	if (send_some(r) || loop_add_stream(r->set->loop, &r->watch,
	    r->fd) != 0)
		end(r);
}

void
reply_answer(struct reply *r, const char *error, struct span result)
{
	size_t cap = REFUSAL_MAX + result.len;
	struct str out;

	str_init(&out, heap_alloc(cap), cap);
	command_answer(&out, error, result);
	reply_send(r, out.p, out.len);
}

void
reply_run(struct reply *r, const struct command *row,
    const struct command_words *w, struct command_env *env, size_t max)
{
	struct str out;

	env->request = r;
	str_init(&out, heap_alloc(max), max);
	if (command_run(row, w, env, &out))
		reply_send(r, heap_alloc_grow(out.p, out.len, 1), out.len);
	else
		free(out.p);
}

/* Who is at the other end. */
static struct ucred
peer_of(int fd)
{
	struct ucred peer = { .pid = 0 };
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		peer = (struct ucred){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	return peer;
}

void
reply_log_request(int fd, const struct command *row, struct span line)
{
	struct ucred peer = peer_of(fd);
	char memory[512];
	struct str s;

	str_init(&s, memory, sizeof(memory));
	str_escaped(&s, line);
	str_terminate(&s);
	if (row->is_change)
		log_notice(NULL, "control: \"%s\" from uid %ld, process %ld",
		    s.p, (long)peer.uid, (long)peer.pid);
	else
		log_info(NULL, "control: \"%s\" from uid %ld, process %ld",
		    s.p, (long)peer.uid, (long)peer.pid);
}
