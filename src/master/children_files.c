/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * children_files - contents of files to processes, and their answers.
 *
 * What all are to have is known by number and version (generation_files).  Of
 * each process it is known which version it has said to use; what is older is
 * sent, a few at a time, and again where it was lost: the channel was full, the
 * process had no descriptor for it, or does not answer.  A process that cannot
 * use one, REFUSALS_MAX times, keeps the old one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "master/children_private.h"
#include "site/generation.h"

enum {
	ON_WAY_MAX = 16,    /* of a process; a channel holds some 200 */
	ANSWER_MS = 10000,  /* then it is taken for lost */
	PAUSE_MIN_MS = 100, /* before something is sent again, doubled */
	PAUSE_MAX_MS = 10000,
	REFUSALS_MAX = 3,
};

struct child_file {
	uint32_t has;      /* the version that it uses, or keeps the old for */
	uint32_t sent;     /* not answered; 0 = none */
	uint32_t refused;  /* the version that was, so often: */
	uint32_t refusals;
};

/* ---- contents ---- */

static void
clear_shelf(struct children *c)
{
	for (size_t i = 0; i < CHILDREN_SHELF; i++) {
		if (c->shelf[i].fd >= 0)
			close(c->shelf[i].fd);
		c->shelf[i].fd = -1;
	}
}

/* All processes are at about the same: what was made for one serves others. */
static int
fetch(struct children *c, size_t i, uint32_t version, struct error *err)
{
	struct children_shelf *place = &c->shelf[i % CHILDREN_SHELF];
	int fd;

	if (place->fd >= 0 && place->number == i && place->version == version)
		return place->fd;
	fd = generation_files_open(c->config.generation, i, err);
	if (fd < 0)
		return -1;
	if (place->fd >= 0)
		close(place->fd);
	*place = (struct children_shelf){ i, version, fd };
	return fd;
}

static size_t
count_of(const struct children *c)
{
	return generation_files_count(c->config.generation);
}

static uint32_t
version_of(const struct children *c, size_t i)
{
	return generation_files_version(c->config.generation, i);
}

/* ---- sending ---- */

static void
set_pause(struct child *child)
{
	child->files_pause_ms = child->files_pause_ms == 0 ? PAUSE_MIN_MS
	    : child->files_pause_ms * 2;
	if (child->files_pause_ms > PAUSE_MAX_MS)
		child->files_pause_ms = PAUSE_MAX_MS;
	child->files_again_ms = now_ms() + child->files_pause_ms;
	child->files_next = 0;
	children_count(child->children, CHILDREN_STAT_FILES_AGAIN);
}

/* Once, until it has taken something again. */
static void
put_off(struct child *child, const char *why)
{
	if (!child->files_are_late)
		log_warn(NULL, "%s (pid %ld) has not got a file that has "
		    "changed: %s; it is sent again", child->slot->name,
		    (long)child->pid, why);
	child->files_are_late = true;
	set_pause(child);
}

static bool
send_one(struct child *child, size_t i, uint32_t version)
{
	const struct channel_file body = { (uint32_t)i, version, 0 };
	struct error err;
	int fd = fetch(child->children, i, version, &err);

	if (fd < 0) {
		put_off(child, err.text);
		return false;
	}
	if (channel_send(&child->channel, CHANNEL_FILE, &body, sizeof(body),
	    &fd, 1) == 0) {
		child->files[i].sent = version;
		child->files_on_way++;
		child->files_sent_ms = now_ms();
		return true;
	}
	if (errno != EPIPE && errno != ECONNRESET) {
		put_off(child, strerror(errno));
		return false;
	}
	/* Who has gone needs none; its successor has it from the start. */
	children_files_end(child);
	return false;
}

/* What it has not answered to is sent again. */
static void
give_up_waiting(struct child *child)
{
	for (size_t i = 0; i < count_of(child->children); i++)
		child->files[i].sent = 0;
	child->files_on_way = 0;
	put_off(child, "it does not answer");
}

static bool
has_files(const struct child *child)
{
	return child->files != NULL && child->channel.watch.fd >= 0;
}

static void
offer(struct child *child)
{
	const struct children *c = child->children;
	size_t count = count_of(c);

	if (!has_files(child))
		return;
	if (child->files_on_way > 0 &&
	    now_ms() >= child->files_sent_ms + ANSWER_MS)
		give_up_waiting(child);
	if (now_ms() < child->files_again_ms)
		return;
	while (child->files_next < count &&
	    child->files_on_way < ON_WAY_MAX) {
		size_t i = child->files_next;
		uint32_t version = version_of(c, i);
		const struct child_file *f = &child->files[i];

		/* An older one is on its way: its answer brings us back. */
		if (version != f->has && f->sent == 0 &&
		    !send_one(child, i, version))
			return;
		child->files_next++;
	}
}

/* When it is to be looked at again; 0: everything is where it should be. */
static uint64_t
due_ms(const struct child *child)
{
	uint64_t due = 0;

	if (!has_files(child))
		return 0;
	if (child->files_on_way > 0)
		due = child->files_sent_ms + ANSWER_MS;
	if (child->files_next < count_of(child->children) &&
	    child->files_on_way < ON_WAY_MAX &&
	    (due == 0 || child->files_again_ms < due))
		due = child->files_again_ms;
	return due;
}

static void
set_deadline(struct children *c)
{
	uint64_t first_ms = 0;

	LIST_EACH(&c->all, node, after) {
		const struct child *child = LIST_OF(node, struct child, node);
		uint64_t due = due_ms(child);

		if (due != 0 && (first_ms == 0 || due < first_ms))
			first_ms = due;
	}
	if (first_ms != 0) {
		deadline_set(c->config.loop, &c->files_again, first_ms);
		return;
	}
	deadline_stop(c->config.loop, &c->files_again);
	clear_shelf(c);
}

static void
on_again(struct deadline *d)
{
	struct children *c = LIST_OF(d, struct children, files_again);

	LIST_EACH(&c->all, node, after)
		offer(LIST_OF(node, struct child, node));
	set_deadline(c);
}

/* How many files are old in how many processes. */
static size_t
count_old(const struct children *c)
{
	size_t count = count_of(c), old = 0;

	LIST_EACH(&c->all, node, after) {
		const struct child *child = LIST_OF(node, struct child, node);

		for (size_t i = 0; has_files(child) && i < count; i++) {
			const struct child_file *f = &child->files[i];
			uint32_t version = version_of(c, i);

			old += f->has != version || (version != 0 &&
			    f->refused == version &&
			    f->refusals >= REFUSALS_MAX);
		}
	}
	return old;
}

bool
children_files_spread(struct children *c)
{
	size_t old;

	LIST_EACH(&c->all, node, after) {
		struct child *child = LIST_OF(node, struct child, node);

		child->files_next = 0;
		offer(child);
	}
	set_deadline(c);
	old = count_old(c);
	counter_set(&c->stats[CHILDREN_STAT_FILES_OLD], old);
	return old == 0;
}

/* If it is lost, the signer keeps them in memory for longer. */
void
children_files_keys(struct children *c)
{
	LIST_EACH(&c->all, node, after) {
		struct child *child = LIST_OF(node, struct child, node);

		if (child->slot->is_signer)
			(void)channel_send(&child->channel, CHANNEL_KEYS,
			    NULL, 0, NULL, 0);
	}
}

bool
children_files_check(struct children *c, uint32_t number, uint32_t version,
    int fd)
{
	const struct channel_file body = { number, version, 1 };
	const struct child *background = c->slots[0].current;

	if (background == NULL)
		return false;
	if (channel_send(&background->channel, CHANNEL_FILE, &body,
	    sizeof(body), &fd, 1) == 0)
		return true;
	if (errno != EPIPE && errno != ECONNRESET)
		log_warn(NULL, "sending a file to %s: %s; it is tried again",
		    background->slot->name, strerror(errno));
	return false;
}

/* ---- answers ---- */

static void
on_refusal(struct child *child, size_t i, uint32_t version, struct span why)
{
	struct child_file *f = &child->files[i];

	if (f->refused != version)
		f->refusals = 0;
	f->refused = version;
	if (f->refusals >= REFUSALS_MAX)
		return;
	f->refusals++;
	f->has = f->refusals == REFUSALS_MAX ? version : 0;
	if (f->refusals == 1 || f->refusals == REFUSALS_MAX)
		log_error(NULL, "%s (pid %ld) does not use the new %s: %.*s"
		    "%s", child->slot->name, (long)child->pid,
		    generation_files_name(child->children->config.generation,
		    i), SPAN_ARG(why), f->refusals == 1 ? ""
		    : "; it keeps the old one");
	if (f->refusals < REFUSALS_MAX)
		set_pause(child);
}

static void
on_answer(struct child *child, const struct channel_answer *body,
    struct span why)
{
	struct child_file *f = &child->files[body->number];

	if (f->sent != 0 && f->sent == body->version) {
		f->sent = 0;
		child->files_on_way--;
	}
	/* What it says about another one is of no interest any more. */
	if (body->version == 0 ||
	    body->version != version_of(child->children, body->number)) {
		if (body->number < child->files_next)
			child->files_next = body->number;
		return;
	}
	switch (body->verdict) {
	case CHANNEL_YES:
		f->has = body->version;
		child->files_pause_ms = 0;
		child->files_are_late = false;
		break;
	case CHANNEL_AGAIN:
		put_off(child, "it has no descriptor left");
		break;
	default:
		on_refusal(child, body->number, body->version, why);
		break;
	}
}

static bool
spread(void *arg)
{
	return children_files_spread(arg);
}

void
children_files_hear(struct child *child, const struct channel_message *m)
{
	struct children *c = child->children;
	const struct generation_send send = { NULL, spread, NULL, c };
	struct channel_answer body;

	if (m->type != CHANNEL_FILE_ANSWER ||
	    (channel_body(m, &body, sizeof(body)) && body.is_check != 0)) {
		/* Workers have a say about themselves only. */
		if (child->slot->is_background)
			generation_files_hear(c->config.generation, m, &send);
		return;
	}
	if (child->files == NULL || m->body.len < sizeof(body) ||
	    body.number >= count_of(c))
		return;
	on_answer(child, &body, span_of(m->body.p + sizeof(body),
	    m->body.len - sizeof(body)));
	offer(child);
	set_deadline(c);
}

/* ---- life ---- */

void
children_files_init(struct children *c)
{
	deadline_init(&c->files_again, on_again);
	for (size_t i = 0; i < CHILDREN_SHELF; i++)
		c->shelf[i].fd = -1;
}

void
children_files_fini(struct children *c)
{
	deadline_stop(c->config.loop, &c->files_again);
	clear_shelf(c);
}

void
children_files_forget(struct children *c)
{
	clear_shelf(c);
}

/* A new process has what the master had when it was forked. */
void
children_files_begin(struct child *child)
{
	size_t count = count_of(child->children);

	if (child->slot->is_signer)
		return;
	child->files = heap_alloc_zeroed(count + 1, sizeof(*child->files));
	for (size_t i = 0; i < count; i++)
		child->files[i].has = version_of(child->children, i);
	child->files_next = count;
}

void
children_files_end(struct child *child)
{
	free(child->files);
	child->files = NULL;
}
