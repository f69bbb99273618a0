/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generation_files - the files of a configuration, between the master and its
 * processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "conf/files.h"
#include "metrics/metrics.h"
#include "net/tls_watch.h"
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
		if (!send->check(send->arg, (uint32_t)i, version, fd))
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
hear_answer(struct generation *g, const struct channel_message *m,
    const struct generation_send *send)
{
	struct channel_answer body;
	struct span why;
	int fd = -1;

	if (!channel_body(m, &body, sizeof(body)) ||
	    body.number >= files_count(g->files_named))
		return;
	why = span_of(m->body.p + sizeof(body), m->body.len - sizeof(body));
	/* What it has prepared may have got lost, too. */
	if (body.verdict == CHANNEL_AGAIN || m->is_cut) {
		files_not_received(g->files_named, body.number, body.version,
		    now_ms());
		return;
	}
	if (m->fd_count == 1) {
		fd = m->fds[0];
		m->fds[0] = -1;
	}
	switch (files_answered(g->files_named, body.number, body.version,
	    body.verdict == CHANNEL_YES, why, fd)) {
	case 1:
		count(g, PROXY_STAT_FILES_TAKEN);
		(void)send->spread(send->arg);
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
	int fd;

	if (!channel_body(m, &body, sizeof(body)) || m->fd_count != 1)
		return;
	fd = m->fds[0];
	m->fds[0] = -1;
	if (files_fed(g->files_named, body.number, fd))
		(void)send->spread(send->arg);
}

void
generation_files_hear(struct generation *g, const struct channel_message *m,
    const struct generation_send *send)
{
	if (m->type == CHANNEL_FILE_ANSWER)
		hear_answer(g, m, send);
	else
		hear_feed(g, m, send);
}

/* ---- what may change, by number ---- */

void
generation_files_list_pairs(struct generation *g)
{
	for (size_t i = 0; i < g->build.listener_count; i++) {
		struct tls_server *server = g->build.listeners[i].tls;
		size_t count = server != NULL ? tls_watch_count(server) : 0;

		if (count == 0)
			continue;
		g->pairs = heap_alloc_grow(g->pairs, g->pair_count + count,
		    sizeof(*g->pairs));
		for (size_t k = 0; k < count; k++)
			g->pairs[g->pair_count++] =
			    (struct generation_pair){ server, k };
	}
}

size_t
generation_files_count(const struct generation *g)
{
	return files_count(g->files_named) + g->pair_count;
}

/* NULL: it is a file. */
static const struct generation_pair *
pair_of(const struct generation *g, size_t i)
{
	size_t first = files_count(g->files_named);

	return i < first ? NULL : &g->pairs[i - first];
}

uint32_t
generation_files_version(const struct generation *g, size_t i)
{
	const struct generation_pair *pair = pair_of(g, i);
	int fd;

	return pair != NULL ? tls_watch_version(pair->server, pair->index)
	    : files_content(g->files_named, i, &fd);
}

const char *
generation_files_name(const struct generation *g, size_t i)
{
	const struct generation_pair *pair = pair_of(g, i);
	struct tls_watch_info info;

	if (pair == NULL)
		return files_name(g->files_named, i);
	tls_watch_describe(pair->server, pair->index, &info);
	return info.cert;
}

int
generation_files_open(const struct generation *g, size_t i,
    struct error *err)
{
	const struct generation_pair *pair = pair_of(g, i);
	int fd;

	if (pair != NULL)
		return tls_watch_open(pair->server, pair->index, err);
	(void)files_content(g->files_named, i, &fd);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 ? fd : error_set_errno(err, errno, "sharing it");
}

/* ---- in the other processes ---- */

static void
answer(const struct channel *c, const struct channel_file *file,
    enum channel_verdict verdict, const char *why, int fd)
{
	struct {
		struct channel_answer head;
		char why[sizeof(((struct error *)0)->text)];
	} body = { .head = { file->number, file->version, file->is_check,
		verdict } };
	size_t len = verdict == CHANNEL_NO ? strlen(why) : 0;

	if (len > 0)
		memcpy(body.why, why, len);
	/* If it does not arrive, the master asks again. */
	channel_send(c, CHANNEL_FILE_ANSWER, &body, sizeof(body.head) + len,
	    &fd, fd >= 0 ? 1 : 0);
}

static void
on_refused(void *arg, size_t i, uint32_t version, const char *why)
{
	const struct channel_file file = { (uint32_t)i, version, 0 };

	answer(arg, &file, CHANNEL_NO, why, -1);
}

void
generation_files_catch_up(struct generation *g, const struct channel *c)
{
	struct channel to = *c;

	files_catch_up(g->files_named, on_refused, &to);
}

static int
take(struct generation *g, const struct channel_file *file, int fd, int *out,
    struct error *err)
{
	const struct generation_pair *pair;

	if (file->number >= generation_files_count(g))
		return error_set(err, "there is no such file");
	pair = pair_of(g, file->number);
	if (pair == NULL)
		return files_take(g->files_named, file->number,
		    file->version, fd, file->is_check != 0, out, err);
	return tls_watch_take(pair->server, pair->index, file->version, fd,
	    err);
}

bool
generation_files_take(struct generation *g, const struct channel *c,
    const struct channel_message *m)
{
	struct channel_file body;
	struct error err;
	int out = -1;
	bool is_taken;

	if (!channel_body(m, &body, sizeof(body)))
		return false;
	if (m->fd_count != 1) {
		answer(c, &body, CHANNEL_AGAIN, NULL, -1);
		return false;
	}
	is_taken = take(g, &body, m->fds[0], &out, &err) == 0;
	answer(c, &body, is_taken ? CHANNEL_YES : CHANNEL_NO, err.text, out);
	if (out >= 0)
		close(out);
	return is_taken && body.number >= files_count(g->files_named);
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
