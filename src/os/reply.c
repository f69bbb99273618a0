/* SPDX-License-Identifier: BSD-2-Clause */
/* reply - sending to readers that may be slow. */
#include "os/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap_alloc.h"
#include "base/now.h"
#include "os/deadline.h"
#include "os/loop.h"

enum { SILENCE_MS = 10000 };

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

static void
end(struct reply *r)
{
	struct reply_set *set = r->set;

	deadline_stop(set->loop, &r->deadline);
	loop_remove(set->loop, &r->watch);
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
	LIST_EACH(&set->all, node, after)
		close(LIST_OF(node, struct reply, node)->fd);
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

struct ucred
reply_peer(int fd)
{
	struct ucred peer = { .pid = 0 };
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		peer = (struct ucred){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	return peer;
}
