/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade_take - waiting for a predecessor, and taking over from it. */
#include "master/upgrade_take.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"

enum {
	/* Of one who came to the door and then says nothing. */
	SILENCE_MS = 5000,
	COMMIT_MS = 5000,
};

static void on_door(struct loop_watch *w, unsigned events);
static void on_deadline(struct deadline *d);

void
upgrade_take_init(struct upgrade_take *t,
    const struct upgrade_take_config *config)
{
	*t = (struct upgrade_take){ .config = *config,
		.door_fd = -1, .door = { on_door, -1, 0 },
		.talk.watch.fd = -1 };
	deadline_init(&t->deadline, on_deadline);
	estate_init(&t->estate);
}

static void
close_door(struct upgrade_take *t)
{
	if (t->door_fd < 0)
		return;
	loop_remove(t->config.loop, &t->door);
	close(t->door_fd);
	unlink(t->config.sock_path);
	t->door_fd = -1;
}

void
upgrade_take_stop(struct upgrade_take *t)
{
	if (t->state == TAKE_NONE)
		return;
	close_door(t);
	handover_stop(&t->talk);
	deadline_stop(t->config.loop, &t->deadline);
	estate_fini(&t->estate, true);
	t->state = TAKE_OVER;
}

void
upgrade_take_forget(struct upgrade_take *t)
{
	if (t->door_fd >= 0)
		close(t->door_fd);
	if (t->talk.watch.fd >= 0)
		close(t->talk.watch.fd);
	t->door_fd = t->door.fd = t->talk.watch.fd = -1;
}

bool
upgrade_take_is_running(const struct upgrade_take *t)
{
	return t->state >= TAKE_WAITING && t->state <= TAKE_READY;
}

static void
tell(struct upgrade_take *t, enum upgrade_take_event event, const char *why)
{
	t->config.on_event(t->config.arg, event, why);
}

static void
end(struct upgrade_take *t, const char *why)
{
	upgrade_take_stop(t);
	tell(t, UPGRADE_TAKE_FAILED, why);
}

/* Somebody else may still come. */
static void
wait_again(struct upgrade_take *t)
{
	t->state = TAKE_WAITING;
	deadline_set(t->config.loop, &t->deadline, t->wait_until_ms);
	if (loop_add_reader(t->config.loop, &t->door, t->door_fd, false) != 0)
		log_error(NULL, "watching upgrade_sock: %s", strerror(errno));
}

static void
on_deadline(struct deadline *d)
{
	struct upgrade_take *t = LIST_OF(d, struct upgrade_take, deadline);
	struct error err;

	switch (t->state) {
	case TAKE_WAITING:
		error_set(&err, "upgrade: nobody has handed over within %llu "
		    "ms", (unsigned long long)t->config.timeout_ms);
		end(t, err.text);
		break;
	case TAKE_RECEIVING:
		handover_stop(&t->talk);
		if (t->was_invited) {
			end(t, "upgrade: the predecessor has handed over "
			    "nothing");
			break;
		}
		log_warn(NULL, "upgrade_sock: process %ld came and said "
		    "nothing: its connection is closed",
		    (long)t->talk.peer_pid);
		wait_again(t);
		break;
	case TAKE_READY:
		end(t, "upgrade: the predecessor does not let go");
		break;
	case TAKE_NONE:
	case TAKE_STARTING:
	case TAKE_TAKEN:
	case TAKE_OVER:
		break;
	}
}

/* ---- the conversation ---- */

/* Who talks nonsense at the door goes; others may come. */
static void
refuse(struct upgrade_take *t, const char *why)
{
	if (t->was_invited) {
		struct error err;

		error_set(&err, "upgrade: %s", why);
		end(t, err.text);
		return;
	}
	log_warn(NULL, "upgrade_sock: process %ld: %s: its connection is "
	    "closed", (long)t->talk.peer_pid, why);
	handover_stop(&t->talk);
	wait_again(t);
}

static void
on_manifest(struct upgrade_take *t)
{
	struct error err;

	if (estate_decode(&t->estate, &t->talk.manifest, &err) != 0) {
		refuse(t, err.text);
		return;
	}
	/* What nobody understood is closed now. */
	manifest_fini(&t->talk.manifest);
	close_door(t);
	t->state = TAKE_STARTING;
	deadline_clear(&t->deadline);
	tell(t, UPGRADE_TAKE_ESTATE, "");
}

static void
on_commit(struct upgrade_take *t)
{
	deadline_clear(&t->deadline);
	tell(t, UPGRADE_TAKE_TAKEN, "");
	/* Who could not has said FAILED: the other one serves on. */
	if (t->state != TAKE_READY)
		return;
	t->state = TAKE_TAKEN;
	/* Only now, when the pid file names us, may the other one leave. */
	handover_say(&t->talk, HANDOVER_TAKEN, SPAN(""));
}

static void
on_end(struct upgrade_take *t, struct span why)
{
	struct error err;

	error_set(&err, "%.*s", SPAN_ARG(why));
	switch (t->state) {
	case TAKE_RECEIVING:
		refuse(t, err.text);
		break;
	case TAKE_STARTING:
	case TAKE_READY:
		end(t, "upgrade: the predecessor has withdrawn");
		break;
	case TAKE_TAKEN:
		t->state = TAKE_OVER;
		if (!t->has_ended)
			tell(t, UPGRADE_TAKE_GONE, "");
		break;
	case TAKE_NONE:
	case TAKE_WAITING:
	case TAKE_OVER:
		break;
	}
}

static void
on_message(struct handover *h, unsigned type, struct span body)
{
	struct upgrade_take *t = LIST_OF(h, struct upgrade_take, talk);

	switch (type) {
	case 0:
		on_end(t, body);
		break;
	case HANDOVER_END:
		if (t->state == TAKE_RECEIVING)
			on_manifest(t);
		break;
	case HANDOVER_ENDED:
		if (t->state != TAKE_TAKEN || t->has_ended)
			break;
		/* A process 1 stays, and this conversation with it. */
		t->has_ended = true;
		tell(t, UPGRADE_TAKE_GONE, "");
		break;
	case HANDOVER_FAILED:
		if (t->state != TAKE_RECEIVING)
			break;
		t->was_refused = true;
		on_end(t, body);
		break;
	case HANDOVER_COMMIT:
		/* Who gave up waiting for us serves on: see what follows. */
		if (t->state == TAKE_READY && handover_has_peer(h))
			on_commit(t);
		break;
	default:
		break; /* not for this side, or of a later version */
	}
}

/* Takes fd. */
static int
converse(struct upgrade_take *t, int fd, struct error *err)
{
	if (handover_start(&t->talk, t->config.loop, fd, on_message, err) != 0)
		return -1;
	t->state = TAKE_RECEIVING;
	deadline_set(t->config.loop, &t->deadline, now_ms() +
	    (t->was_invited ? t->config.timeout_ms : SILENCE_MS));
	handover_say(&t->talk, HANDOVER_HELLO, span_cstr(t->config.version));
	return 0;
}

static void
on_door(struct loop_watch *w, unsigned events)
{
	struct upgrade_take *t = LIST_OF(w, struct upgrade_take, door);
	struct error err;
	int fd;

	(void)events;
	fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	/* One after the other; the next one waits in the queue. */
	if (converse(t, fd, &err) == 0)
		loop_remove(t->config.loop, w);
	else
		log_warn(NULL, "upgrade_sock: %s", err.text);
}

int
upgrade_take_start(struct upgrade_take *t, int fd, struct error *err)
{
	t->state = TAKE_WAITING;
	t->was_refused = false;
	if (fd >= 0) {
		t->was_invited = true;
		return converse(t, fd, err);
	}
	fd = handover_listen(t->config.sock_path, err);
	if (fd < 0)
		return -1;
	t->door_fd = fd;
	t->wait_until_ms = now_ms() + t->config.timeout_ms;
	wait_again(t);
	return 0;
}

void
upgrade_take_ready(struct upgrade_take *t, const uint32_t *kept,
    size_t count)
{
	assert(t->state == TAKE_STARTING);
	t->state = TAKE_READY;
	deadline_set(t->config.loop, &t->deadline, now_ms() + COMMIT_MS);
	handover_say(&t->talk, HANDOVER_READY,
	    span_of((const char *)kept, count * sizeof(*kept)));
}

void
upgrade_take_fail(struct upgrade_take *t, const char *why)
{
	if (!upgrade_take_is_running(t))
		return;
	handover_say(&t->talk, HANDOVER_FAILED, span_cstr(why));
	upgrade_take_stop(t);
}
