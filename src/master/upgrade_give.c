/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade_give - giving everything away, or nothing. */
#include "master/upgrade_give.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "master/reexec.h"
#include "os/fdpass.h"
#include "os/signals.h"

enum {
	RETRY_MS = 100,
	GREETING_MS = 5000, /* of one that says that it waits */
	TAKEN_MS = 5000,
	END_MS = 8000, /* for what is told to end by a closed connection */
	LOOK_MS = 500, /* whether it has ended, after its connection has */
};

static void on_retry(struct deadline *d);
static void on_deadline(struct deadline *d);
static void on_message(struct handover *h, unsigned type, struct span body);
static void on_sibling_exit(struct loop_watch *w, unsigned events);

void
upgrade_give_init(struct upgrade_give *g,
    const struct upgrade_give_config *config)
{
	*g = (struct upgrade_give){ .config = *config, .talk.watch.fd = -1,
		.exit = { on_sibling_exit, -1, 0 } };
	manifest_init(&g->manifest, false);
	deadline_init(&g->retry, on_retry);
	deadline_init(&g->deadline, on_deadline);
}

static void
forget_exit(struct upgrade_give *g)
{
	int fd = g->exit.fd;

	if (fd < 0)
		return;
	loop_remove(g->config.loop, &g->exit);
	close(fd);
}

/* Back to where nothing was begun; what we started is on its own. */
static void
reset(struct upgrade_give *g)
{
	if (g->config.loop == NULL)
		return;
	handover_stop(&g->talk);
	forget_exit(g);
	manifest_fini(&g->manifest);
	deadline_stop(g->config.loop, &g->retry);
	deadline_stop(g->config.loop, &g->deadline);
	free(g->kept);
	g->kept = NULL;
	g->kept_count = 0;
	g->state = GIVE_IDLE;
	g->successor = 0;
	g->is_our_child = false;
	g->has_why = false;
}

void
upgrade_give_stop(struct upgrade_give *g)
{
	reset(g);
}

void
upgrade_give_forget(struct upgrade_give *g)
{
	if (g->talk.watch.fd >= 0)
		close(g->talk.watch.fd);
	g->talk.watch.fd = -1;
	if (g->exit.fd >= 0)
		close(g->exit.fd);
	g->exit.fd = -1;
}

bool
upgrade_give_is_running(const struct upgrade_give *g)
{
	return g->state != GIVE_IDLE && g->state < GIVE_GIVEN;
}

static void
enter(struct upgrade_give *g, enum upgrade_give_state state,
    uint64_t timeout_ms)
{
	g->state = state;
	deadline_set(g->config.loop, &g->deadline, now_ms() + timeout_ms);
}

/* The first reason is the cause of all others. */
static void
note_why(struct upgrade_give *g, const char *why)
{
	if (g->has_why)
		return;
	g->has_why = true;
	snprintf(g->why, sizeof(g->why), "%s", why);
}

static void
fail(struct upgrade_give *g)
{
	struct upgrade_give_config config = g->config;
	char why[sizeof(g->why)];

	memcpy(why, g->why, sizeof(why));
	reset(g);
	config.on_result(config.arg, UPGRADE_GIVE_FAILED, why);
}

/*
 * It ends when its connection does, and its processes with it; who does not
 * is killed, for there must not be two that serve.
 */
static void
give_up(struct upgrade_give *g, const char *why)
{
	/* Who has not said hello has no processes that would have to end. */
	uint64_t patience_ms = g->state == GIVE_GREETING ? 0 : END_MS;

	note_why(g, why);
	handover_stop(&g->talk);
	if (g->is_our_child)
		deadline_set(g->config.loop, &g->deadline,
		    now_ms() + patience_ms);
	else
		fail(g);
}

/* The one who has taken over. */
static void
end(struct upgrade_give *g, int exit_status)
{
	g->state = GIVE_OVER;
	g->exit_status = exit_status;
	handover_stop(&g->talk);
	deadline_clear(&g->deadline);
	g->config.on_result(g->config.arg, UPGRADE_GIVE_GONE, "");
}

/*
 * Its connection has ended, which a successor of its own may not have.  Process
 * 1 is told of its end; others ask now and then.
 */
static void
look(struct upgrade_give *g)
{
	if (kill(g->successor, 0) != 0 && errno == ESRCH)
		end(g, 0);
	else
		deadline_set(g->config.loop, &g->deadline,
		    now_ms() + LOOK_MS);
}

/*
 * exit_fd: -1, or what names one that is not our child: its pid may be that of
 * another process by now.
 */
static void
kill_started(pid_t pid, int exit_fd)
{
#ifdef SYS_pidfd_send_signal
	if (exit_fd >= 0) {
		(void)syscall(SYS_pidfd_send_signal, exit_fd, SIGKILL, NULL,
		    0U);
		return;
	}
#else
	(void)exit_fd;
#endif
	kill(pid, SIGKILL);
}

static void
on_deadline(struct deadline *d)
{
	struct upgrade_give *g = LIST_OF(d, struct upgrade_give, deadline);
	struct error err;

	if (g->state == GIVE_GIVEN) {
		look(g);
		return;
	}
	if (!handover_is_open(&g->talk)) {
		/* Its exit comes next, and with it the result. */
		kill_started(g->successor, g->exit.fd);
		return;
	}
	switch (g->state) {
	case GIVE_IDLE:
	case GIVE_CONNECTING:
	case GIVE_GIVEN:
	case GIVE_OVER:
		return;
	case GIVE_GREETING:
	case GIVE_SENDING:
		error_set(&err, "the new instance (pid %ld) was not ready "
		    "within %llu ms", (long)g->successor,
		    (unsigned long long)(g->state == GIVE_GREETING &&
		    !g->is_our_child ? GREETING_MS : g->config.timeout_ms));
		break;
	case GIVE_COMMITTING:
		error_set(&err, "the new instance (pid %ld) did not say that "
		    "it has taken over", (long)g->successor);
		break;
	}
	give_up(g, err.text);
}

/* Of one that has ended: they may still be there. */
static void
hear_last_words(struct upgrade_give *g)
{
	if (handover_is_open(&g->talk))
		g->talk.watch.on_event(&g->talk.watch, LOOP_READABLE);
}

/* The one who has taken over, if it is still that one. */
static bool
end_given(struct upgrade_give *g, pid_t pid, int status)
{
	if (g->state != GIVE_GIVEN || pid != g->successor)
		return false;
	end(g, WIFSIGNALED(status) ? 128 + WTERMSIG(status)
	    : WEXITSTATUS(status));
	return true;
}

bool
upgrade_give_on_exit(struct upgrade_give *g, pid_t pid, int status)
{
	struct error err;

	/* As process 1 we are the parent of all whose parent has ended. */
	if (end_given(g, pid, status))
		return true;
	if (!g->is_our_child || pid != g->successor)
		return false;
	hear_last_words(g);
	/* They may have been that it has taken over. */
	if (!upgrade_give_is_running(g)) {
		(void)end_given(g, pid, status);
		return true;
	}
	if (WIFSIGNALED(status))
		error_set(&err, "the new instance (pid %ld) was killed by %s "
		    "before it was ready", (long)pid,
		    signals_name(WTERMSIG(status)));
	else
		error_set(&err, "the new instance (pid %ld) ended with status "
		    "%d before it was ready", (long)pid,
		    WEXITSTATUS(status));
	note_why(g, err.text);
	fail(g);
	return true;
}

/* Its status is its parent's to know. */
static void
on_sibling_exit(struct loop_watch *w, unsigned events)
{
	struct upgrade_give *g = LIST_OF(w, struct upgrade_give, exit);
	struct error err;

	(void)events;
	hear_last_words(g);
	/* With "taken" came the end of the conversation: see on_end(). */
	if (!upgrade_give_is_running(g))
		return;
	error_set(&err, "the new instance (pid %ld) ended before it was ready",
	    (long)g->successor);
	note_why(g, err.text);
	fail(g);
}

/* ---- the conversation ---- */

static void
take_ready(struct upgrade_give *g, struct span body)
{
	g->kept_count = body.len / sizeof(*g->kept);
	g->kept = heap_alloc(g->kept_count * sizeof(*g->kept) + 1);
	if (g->kept_count > 0)
		memcpy(g->kept, body.p, g->kept_count * sizeof(*g->kept));
	handover_say(&g->talk, HANDOVER_COMMIT, SPAN(""));
	enter(g, GIVE_COMMITTING, TAKEN_MS);
}

static void
send_all(struct upgrade_give *g, struct span version)
{
	log_notice(NULL, "upgrade: handing over to process %ld (weir %.*s)",
	    (long)g->successor, SPAN_ARG(version));
	g->config.collect(g->config.arg, &g->manifest);
	enter(g, GIVE_SENDING, g->config.timeout_ms);
	handover_send_manifest(&g->talk, &g->manifest);
}

static void
on_taken(struct upgrade_give *g)
{
	g->state = GIVE_GIVEN;
	forget_exit(g);
	deadline_clear(&g->deadline);
	manifest_fini(&g->manifest);
	g->config.on_result(g->config.arg, UPGRADE_GIVE_DONE, "");
}

static void
on_end(struct upgrade_give *g, struct span body)
{
	struct error err;

	if (g->state == GIVE_GIVEN) {
		deadline_set(g->config.loop, &g->deadline,
		    now_ms() + LOOK_MS);
		return;
	}
	error_set(&err, "talking to process %ld: %.*s", (long)g->successor,
	    SPAN_ARG(body));
	/* How it ended says more. */
	if (g->is_our_child)
		deadline_set(g->config.loop, &g->deadline, now_ms() + END_MS);
	else
		give_up(g, err.text);
}

/* The successor has been followed, by the one of that pid. */
static void
on_successor(struct upgrade_give *g, struct span body)
{
	uint64_t pid;

	if (span_u64(body, &pid) != 0 || pid < 2 || pid > INT32_MAX)
		return;
	g->successor = (pid_t)pid;
	g->is_our_child = false;
	g->config.on_result(g->config.arg, UPGRADE_GIVE_FOLLOWED, "");
}

static void
on_message(struct handover *h, unsigned type, struct span body)
{
	struct upgrade_give *g = LIST_OF(h, struct upgrade_give, talk);
	struct error err;

	switch (type) {
	case 0:
		on_end(g, body);
		break;
	case HANDOVER_HELLO:
		if (g->state == GIVE_GREETING)
			send_all(g, body);
		break;
	case HANDOVER_READY:
		if (g->state == GIVE_SENDING && handover_has_sent(h))
			take_ready(g, body);
		break;
	case HANDOVER_TAKEN:
		if (g->state == GIVE_COMMITTING)
			on_taken(g);
		break;
	case HANDOVER_SUCCESSOR:
		if (g->state == GIVE_GIVEN)
			on_successor(g, body);
		break;
	case HANDOVER_FAILED:
		error_set(&err, "the new instance (pid %ld) says: %.*s",
		    (long)g->successor, SPAN_ARG(body));
		give_up(g, err.text);
		break;
	default:
		break; /* not for this side, or of a later version */
	}
}

pid_t
upgrade_give_successor(const struct upgrade_give *g)
{
	return g->state == GIVE_GIVEN ? g->successor : 0;
}

void
upgrade_give_say_ended(struct upgrade_give *g)
{
	if (g->state == GIVE_GIVEN)
		handover_say(&g->talk, HANDOVER_ENDED, SPAN(""));
}

bool
upgrade_give_keeps(const struct upgrade_give *g, size_t listener)
{
	for (size_t i = 0; i < g->kept_count; i++) {
		if (g->kept[i] == listener)
			return true;
	}
	return false;
}

/* ---- two ways to begin ---- */

static void
try_connect(struct upgrade_give *g)
{
	int fd = handover_connect(g->config.sock_path);
	int why = errno;
	struct error err;

	if (fd >= 0) {
		deadline_clear(&g->retry);
		enter(g, GIVE_GREETING, GREETING_MS);
		if (handover_start(&g->talk, g->config.loop, fd, on_message,
		    &err) == 0) {
			g->successor = g->talk.peer_pid;
			return;
		}
		note_why(g, err.text);
		fail(g);
		return;
	}
	if (now_ms() < g->connect_until_ms &&
	    (why == ENOENT || why == ECONNREFUSED || why == EAGAIN)) {
		deadline_set(g->config.loop, &g->retry, now_ms() + RETRY_MS);
		return;
	}
	error_set_errno(&err, why, "upgrade_sock %s", g->config.sock_path);
	reset(g);
	g->config.on_result(g->config.arg, UPGRADE_GIVE_NOBODY, err.text);
}

static void
on_retry(struct deadline *d)
{
	try_connect(LIST_OF(d, struct upgrade_give, retry));
}

void
upgrade_give_connect(struct upgrade_give *g)
{
	assert(g->state == GIVE_IDLE);
	g->state = GIVE_CONNECTING;
	g->connect_until_ms = now_ms() + UPGRADE_GIVE_CONNECT_MS;
	try_connect(g);
}

void
upgrade_give_execute(struct upgrade_give *g)
{
	struct error err;
	int fds[2], exit_fd = -1;
	pid_t pid;

	assert(g->state == GIVE_IDLE);
	if (fdpass_pair(fds) != 0) {
		error_set_errno(&err, errno, "making a pair of sockets");
		goto failed;
	}
	/* The child keeps one end, and this process the other. */
	if (handover_start(&g->talk, g->config.loop, fds[0], on_message,
	    &err) != 0) {
		close(fds[1]);
		goto failed;
	}
	pid = reexec_start(g->config.program, fds[1],
	    g->config.has_manager ? &exit_fd : NULL, &err);
	close(fds[1]);
	if (pid < 0)
		goto failed;
	if (exit_fd >= 0 && loop_add_reader(g->config.loop, &g->exit, exit_fd,
	    false) != 0) {
		/* Nobody else would tell us of its end. */
		error_set_errno(&err, errno, "watching the new instance (pid "
		    "%ld)", (long)pid);
		kill_started(pid, exit_fd);
		close(exit_fd);
		goto failed;
	}
	log_notice(NULL, "upgrade: starting %s (pid %ld)",
	    g->config.program->path, (long)pid);
	g->successor = pid;
	g->is_our_child = true;
	enter(g, GIVE_GREETING, g->config.timeout_ms);
	return;
failed:
	note_why(g, err.text);
	fail(g);
}
