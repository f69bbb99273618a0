/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generation_files - the files of a configuration, between the master and its
 * processes.
 */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/now.h"
#include "conf/files.h"
#include "metrics/metrics.h"
#include "os/channel.h"
#include "os/sealed.h"
#include "proxy/stats.h"
#include "site/generation_private.h"


/* ---- in the master ---- */

static void
count(const struct generation *g, unsigned row)
{
	counter_add(&metrics_block(g->shared.metrics, &stats_proxy,
	    SHARED_MASTER, 0)[row], 1);
}

size_t
generation_files_look(struct generation *g,
    const struct generation_send *send)
{
	size_t number = files_count(g->files_named);

	for (size_t i = 0; i < number; i++) {
		uint32_t version;
		int fd;
		enum files_next next = files_look(g->files_named, i,
		    now_ms(), &version, &fd);

		if (next == FILES_FAILED)
			count(g, PROXY_STAT_FILES_REFUSED);
		if (next == FILES_REST || next == FILES_FAILED)
			continue;
		if (!send->file(send->arg, (uint32_t)i, version,
		    next == FILES_ASK, fd))
			files_not_sent(g->files_named, i);
	}
	return number;
}

void
generation_files_inherit(struct generation *g,
    const struct generation *former)
{
	files_inherit(g->files_named, former->files_named);
}

static void
send_to_all(struct generation *g, uint32_t number, uint32_t version, int fd,
    const struct generation_send *send)
{
	if (!send->file(send->arg, number, version, false, fd))
		files_not_sent(g->files_named, number);
}

static void
hear_answer(struct generation *g, const struct channel_message *m,
    const char *who, const struct generation_send *send)
{
	struct channel_answer body;
	struct span why;
	int fd = -1, to_all;

	if (!channel_body(m, &body, sizeof(body)) ||
	    body.number >= files_count(g->files_named))
		return;
	why = span_of(m->body.p + sizeof(body), m->body.len - sizeof(body));
	if (body.is_check == 0) {
		if (body.is_yes == 0)
			log_error(NULL, "%s does not use the new %s: %.*s",
			    who, files_name(g->files_named, body.number),
			    SPAN_ARG(why));
		return;
	}
	if (m->fd_count == 1) {
		fd = m->fds[0];
		m->fds[0] = -1;
	}
	switch (files_answered(g->files_named, body.number, body.version,
	    body.is_yes != 0, why, fd, &to_all)) {
	case 1:
		count(g, PROXY_STAT_FILES_TAKEN);
		send_to_all(g, body.number, body.version, to_all, send);
		break;
	case -1:
		count(g, PROXY_STAT_FILES_REFUSED);
		break;
	default:
		break; /* an answer to an older question */
	}
}

static void
hear_feed(struct generation *g, const struct channel_message *m,
    const struct generation_send *send)
{
	struct channel_file body;
	uint32_t version;
	int fd, to_all;

	if (!channel_body(m, &body, sizeof(body)) || m->fd_count != 1)
		return;
	fd = m->fds[0];
	m->fds[0] = -1;
	if (files_fed(g->files_named, body.number, fd, &version, &to_all))
		send_to_all(g, body.number, version, to_all, send);
}

void
generation_files_hear(struct generation *g, const struct channel_message *m,
    bool is_background, const char *who, const struct generation_send *send)
{
	/* Workers have a say about themselves only. */
	if (m->type == CHANNEL_FILE_ANSWER) {
		struct channel_answer body;

		if (is_background || (channel_body(m, &body, sizeof(body)) &&
		    body.is_check == 0))
			hear_answer(g, m, who, send);
	} else if (is_background) {
		hear_feed(g, m, send);
	}
}

/* ---- in the other processes ---- */

void
generation_files_catch_up(struct generation *g)
{
	files_catch_up(g->files_named);
}

static void
answer(const struct channel *c, const struct channel_file *file,
    const char *why, int fd)
{
	struct {
		struct channel_answer head;
		char why[sizeof(((struct error *)0)->text)];
	} body = { .head = { file->number, file->version, file->is_check,
		why == NULL } };
	size_t len = why != NULL ? strlen(why) : 0;

	if (len > 0)
		memcpy(body.why, why, len);
	/* If it does not arrive, the master asks again. */
	channel_send(c, CHANNEL_FILE_ANSWER, &body, sizeof(body.head) + len,
	    &fd, fd >= 0 ? 1 : 0);
}

void
generation_files_take(struct generation *g, const struct channel *c,
    const struct channel_message *m)
{
	struct channel_file body;
	struct error err;
	int out = -1;

	if (!channel_body(m, &body, sizeof(body)) || m->fd_count != 1)
		return;
	if (files_take(g->files_named, body.number, body.version, m->fds[0],
	    body.is_check != 0, &out, &err) != 0)
		answer(c, &body, err.text, -1);
	else
		answer(c, &body, NULL, out);
	if (out >= 0)
		close(out);
}

bool
generation_files_feed(struct generation *g, const struct channel *c,
    const void *arg, struct span content)
{
	struct channel_file body = { .number = 0 };
	int number = files_number(g->files_named, arg);
	struct error err;
	int fd, result;

	if (number < 0)
		return false;
	fd = sealed_new("weir-file", content, &err);
	if (fd < 0) {
		log_error(NULL, "%s: %s", files_name(g->files_named,
		    (size_t)number), err.text);
		return false;
	}
	body.number = (uint32_t)number;
	result = channel_send(c, CHANNEL_FILE_FED, &body, sizeof(body), &fd,
	    1);
	close(fd);
	return result == 0;
}
