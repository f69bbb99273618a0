/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signer - connections at the desk, and their requests.
 *
 * A process has few requests on their way (TLS_KEYS_SENT_MAX), so what is
 * answered always fits into the socket; whoever does not read is cut.  A few
 * requests of each connection a turn, so that one busy worker does not keep the
 * others waiting.
 *
 * Without a master it goes on until the last of those whom it serves has gone:
 * then the desk ends.
 */
#include "signer/signer.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "net/listener.h"
#include "os/channel.h"
#include "os/fdpass.h"
#include "os/signals.h"
#include "signer/keyring.h"
#include "site/confine.h"
#include "site/generation.h"

enum { CONNECTIONS_MAX = 1024, REQUESTS_A_TURN = 8 };

struct signer {
	const struct process_boot *boot;
	struct loop *loop;
	struct channel channel;
	struct signals signals;
	struct loop_watch desk;
	struct keyring *keys;
	struct list connections;
	size_t count;
	bool is_orphan;
};

struct connection {
	struct list node;
	struct signer *signer;
	struct loop_watch watch;
};

/* ---- connections ---- */

static void
drop(struct connection *c)
{
	loop_remove(c->signer->loop, &c->watch);
	close(c->watch.fd);
	list_remove(&c->node);
	c->signer->count--;
	free(c);
}

/* False: it has gone. */
static bool
serve_one(struct connection *c, bool *is_empty)
{
	const size_t head = offsetof(struct tls_keys_response, signature);
	struct tls_keys_request request;
	struct tls_keys_response response;
	ssize_t n = recv(c->watch.fd, &request, sizeof(request),
	    MSG_DONTWAIT | MSG_TRUNC);

	*is_empty = n < 0 && (errno == EAGAIN || errno == EINTR);
	if (*is_empty)
		return true;
	if (n <= 0 || (size_t)n > sizeof(request))
		return false;
	keyring_answer(c->signer->keys, &request, (size_t)n, &response);
	return send(c->watch.fd, &response, head + response.len,
	    MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void
on_request(struct loop_watch *watch, unsigned events)
{
	struct connection *c = LIST_OF(watch, struct connection, watch);
	bool is_empty = false;

	(void)events;
	for (int i = 0; i < REQUESTS_A_TURN && !is_empty; i++) {
		if (!serve_one(c, &is_empty)) {
			drop(c);
			return;
		}
	}
}

static void
add(struct signer *s, int fd)
{
	struct connection *c;

	if (s->count >= CONNECTIONS_MAX) {
		close(fd);
		return;
	}
	c = heap_alloc_zeroed(1, sizeof(*c));
	c->signer = s;
	c->watch = (struct loop_watch){ .on_event = on_request, .fd = -1 };
	if (loop_add_reader(s->loop, &c->watch, fd, false) != 0) {
		close(fd);
		free(c);
		return;
	}
	c->watch.fd = fd;
	list_push_back(&s->connections, &c->node);
	s->count++;
}

static void
on_desk(struct loop_watch *watch, unsigned events)
{
	struct signer *s = LIST_OF(watch, struct signer, desk);
	size_t count = 1;
	char byte;
	int fd;
	ssize_t n = fdpass_receive(watch->fd, &byte, sizeof(byte), &fd,
	    &count);

	(void)events;
	if (n > 0 && count == 1)
		add(s, fd);
	else if (n == 0)
		loop_stop(s->loop); /* nobody is left who could ask */
}

/* ---- what it is told ---- */

static void
on_signal(void *arg, int number, pid_t sender)
{
	struct signer *s = arg;

	(void)number;
	(void)sender;
	/* Alone it is replaced; in a stop it goes when the others have. */
	if (!s->is_orphan)
		channel_send(&s->channel, CHANNEL_LEAVING, NULL, 0, NULL, 0);
}

static void
on_message(struct channel *channel, const struct channel_message *m)
{
	struct signer *s = LIST_OF(channel, struct signer, channel);
	uint32_t level;

	if (m == NULL) {
		s->is_orphan = true;
		return;
	}
	if (m->type == CHANNEL_STOP)
		loop_stop(s->loop);
	else if (m->type == CHANNEL_KEYS)
		(void)keyring_refresh(s->keys);
	else if (m->type == CHANNEL_LOG_LEVEL &&
	    channel_body(m, &level, sizeof(level)))
		log_set_level((enum log_level)level);
}

/* ---- start and end ---- */

/* Takes the channel's descriptor, also on failure. */
static int
open_all(struct signer *s, struct error *err)
{
	static const int numbers[] = { SIGTERM };
	const struct process_boot *boot = s->boot;
	const struct tls_keys *keys = generation_keys(boot->generation);
	const struct settings *settings =
	    generation_settings(boot->generation);

	s->loop = loop_new((enum loop_backend)settings->event_loop, err);
	if (s->loop == NULL) {
		close(boot->channel_fd);
		return -1;
	}
	if (channel_start(&s->channel, s->loop, boot->channel_fd, on_message,
	    err) != 0 || signals_start(&s->signals, s->loop, numbers, 1,
	    on_signal, s, err) != 0)
		return -1;
	s->keys = keyring_new(tls_keys_vault_fd(keys), err);
	if (s->keys == NULL)
		return -1;
	if (loop_add_reader(s->loop, &s->desk, tls_keys_desk_fd(keys),
	    false) != 0)
		return error_set(err, "watching the desk");
	return 0;
}

static void
close_all(struct signer *s)
{
	LIST_EACH(&s->connections, node, after)
		drop(LIST_OF(node, struct connection, node));
	keyring_free(s->keys);
	if (s->loop == NULL)
		return;
	loop_remove(s->loop, &s->desk);
	signals_stop(&s->signals);
	channel_stop(&s->channel);
	loop_free(s->loop);
}

int
signer_main(const struct process_boot *boot)
{
	struct signer s = {
		.boot = boot,
		.channel.watch.fd = -1,
		.signals.watch.fd = -1,
		.desk = { .on_event = on_desk, .fd = -1 },
	};
	struct error err;
	int status = 1;

	list_init(&s.connections);
	listener_set_close(boot->listeners);
	if (confine_enter(boot, false, &err) != 0) {
		channel_send_fd(boot->channel_fd, CHANNEL_FAILED, err.text,
		    strlen(err.text), NULL, 0);
		close(boot->channel_fd);
		return 1;
	}
	if (open_all(&s, &err) != 0) {
		channel_send(&s.channel, CHANNEL_FAILED, err.text,
		    strlen(err.text), NULL, 0);
	} else {
		log_info(NULL, "signing with %zu keys", keyring_count(s.keys));
		channel_send(&s.channel, CHANNEL_READY, NULL, 0, NULL, 0);
		loop_run(s.loop);
		status = 0;
	}
	close_all(&s);
	return status;
}
