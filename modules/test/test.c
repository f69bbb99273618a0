/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test - pauses, answers, fails or crashes in any phase, and tries what the
 * sandbox forbids; for weir's own tests only.
 *
 * Proves that every phase can wait and go on, and that a client which leaves
 * meanwhile is logged once.  Each wait has a timer, as a module with a slow
 * helper would; the log phase cancels them.
 */
#include "module.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attempt.h"

struct test_conf {
	const char *load;            /* "hang", "crash", "stop", or NULL */
	uint32_t fork_dies;          /* counted from 1 */
	uint32_t fork_stops;         /* the same */
	uint64_t pause_ms;           /* 0 = never pause */
	bool each;                   /* at every piece of a body, not one */
	bool after;                  /* pause when the piece was passed on */
	bool stubborn;               /* a wait cannot be taken back */
	struct conf_strings phases;  /* where to pause; none = everywhere */
	const char *answer_in;       /* phase in which to answer 299 */
	const char *fail_in;         /* phase in which to fail */
	const char *crash_in;        /* phase in which to die of SIGSEGV */
	bool attempts;               /* do what the query says */
};

/* What the walk and each handler of bodies and trailers wait for. */
struct test_wait {
	struct exchange *ex;
	struct deadline timer;
	bool is_waiting;
	bool is_over; /* the handler that is called again goes on */
};

enum { WAIT_WALK, WAIT_REQUEST_BODY, WAIT_UP_BODY, WAIT_UP_TRAILERS,
	WAIT_BODY, WAIT_TRAILERS, WAIT_COUNT };

struct test_ctx {
	struct test_wait waits[WAIT_COUNT];
	bool is_begun;
	uint32_t paused; /* bits by phase: paused there already */
};

static const struct conf_item test_group_items[] = {
	CONF_DURATION("pause", struct test_conf, pause_ms, 0, 60000, "0", 0,
	    "how long to wait in each phase"),
	CONF_BOOL("each", struct test_conf, each, "false", 0,
	    "pause at each piece of a body, not once"),
	CONF_BOOL("after", struct test_conf, after, "false", 0,
	    "pass a piece of a body on, then pause"),
	CONF_BOOL("stubborn", struct test_conf, stubborn, "false", 0,
	    "do not let a deadline end a pause"),
	CONF_VALUE("phases", STRINGS, struct test_conf, phases, NULL, 0,
	    "phases to pause in (default: all)"),
	CONF_VALUE("answer_in", STRING, struct test_conf, answer_in, NULL, 0,
	    "phase in which to answer 299"),
	CONF_VALUE("fail_in", STRING, struct test_conf, fail_in, NULL, 0,
	    "phase in which to fail"),
	CONF_VALUE("crash_in", STRING, struct test_conf, crash_in, NULL, 0,
	    "phase in which to crash"),
	CONF_BOOL("attempts", struct test_conf, attempts, "false", 0,
	    "try the system calls that a query names"),
	CONF_VALUE("load", STRING, struct test_conf, load, NULL, 0,
	    "what loading it does: \"hang\", \"crash\", or \"stop\" in the "
	    "process that checks"),
	CONF_UINT("fork_dies", struct test_conf, fork_dies, 0, 1000, "0",
	    NULL, 0, "which process dies as soon as it is forked; 0: none"),
	CONF_UINT("fork_stops", struct test_conf, fork_stops, 0, 1000, "0",
	    NULL, 0, "which process stops as soon as it is forked; 0: none"),
	CONF_END,
};

static const struct conf_table test_group = {
	.name = "test",
	.items = test_group_items,
	.struct_bytes = sizeof(struct test_conf),
};

static const struct conf_item items[] = {
	{ .name = "test", .type = CONF_TYPE_GROUP, .table = &test_group,
	    .help = "pause, answer, fail or crash in a phase" },
	CONF_END,
};

static const struct conf_table table = {
	.name = "test",
	.items = items,
	.struct_bytes = sizeof(struct test_conf),
};

static bool
test_is_active(const void *conf_ptr)
{
	const struct test_conf *conf = conf_ptr;

	return conf->pause_ms > 0 || conf->answer_in != NULL ||
	    conf->fail_in != NULL || conf->crash_in != NULL ||
	    conf->attempts || conf->load != NULL || conf->fork_dies > 0 ||
	    conf->fork_stops > 0;
}

static void
on_timer(struct deadline *d)
{
	struct test_wait *wait = (struct test_wait *)(void *)
	    ((char *)d - offsetof(struct test_wait, timer));

	wait->is_over = true;
	relay_resume(wait->ex);
}

static void
on_walk_timer(struct deadline *d)
{
	struct test_wait *wait = (struct test_wait *)(void *)
	    ((char *)d - offsetof(struct test_wait, timer));

	exchange_resume(wait->ex, VERDICT_NEXT);
}

static bool
pauses_in(const struct test_conf *conf, enum phase phase)
{
	if (conf->pause_ms == 0)
		return false;
	for (size_t i = 0; i < conf->phases.count; i++) {
		if (strcmp(conf->phases.items[i], phase_name(phase)) == 0)
			return true;
	}
	return conf->phases.count == 0;
}

static struct test_wait *
wait_of(struct test_ctx *ctx, enum phase phase)
{
	if (phase == PHASE_REQUEST_BODY)
		return &ctx->waits[WAIT_REQUEST_BODY];
	if (phase == PHASE_UPSTREAM_RESPONSE_BODY)
		return &ctx->waits[WAIT_UP_BODY];
	if (phase == PHASE_UPSTREAM_RESPONSE_TRAILERS)
		return &ctx->waits[WAIT_UP_TRAILERS];
	if (phase == PHASE_RESPONSE_BODY)
		return &ctx->waits[WAIT_BODY];
	if (phase == PHASE_RESPONSE_TRAILERS)
		return &ctx->waits[WAIT_TRAILERS];
	return &ctx->waits[WAIT_WALK];
}

static void
begin_ctx(struct exchange *ex, struct test_ctx *ctx)
{
	if (ctx->is_begun)
		return;
	ctx->is_begun = true;
	for (unsigned i = 0; i < WAIT_COUNT; i++) {
		ctx->waits[i].ex = ex;
		deadline_init(&ctx->waits[i].timer,
		    i == WAIT_WALK ? on_walk_timer : on_timer);
	}
}

/*
 * True once for each phase of an exchange that is to pause there.  The walk
 * and the handlers of bodies pause side by side, each with a timer.
 */
static bool
begin_pause(struct exchange *ex, const struct test_conf *conf,
    enum phase phase)
{
	struct test_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	struct test_wait *wait = wait_of(ctx, phase);

	if (!pauses_in(conf, phase) || (ctx->paused >> phase & 1) != 0)
		return false;
	begin_ctx(ex, ctx);
	if (!conf->each || wait == &ctx->waits[WAIT_WALK])
		ctx->paused |= UINT32_C(1) << phase;
	wait->is_waiting = true;
	wait->is_over = false;
	deadline_set(exchange_loop(ex), &wait->timer,
	    now_ms() + conf->pause_ms);
	return true;
}

/* What a handler that is called again has to do with its own wait. */
enum rest { REST_NONE, REST_WAITS, REST_OVER };

static enum rest
rest_of_pause(struct exchange *ex, enum phase phase)
{
	struct test_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));
	struct test_wait *wait = wait_of(ctx, phase);

	if (!wait->is_waiting)
		return REST_NONE;
	if (!wait->is_over)
		return REST_WAITS;
	wait->is_waiting = false;
	return REST_OVER;
}

static bool
is_named(const char *name, enum phase phase)
{
	return name != NULL && strcmp(name, phase_name(phase)) == 0;
}

static void
crash_if_named(const struct test_conf *conf, enum phase phase)
{
	if (is_named(conf->crash_in, phase))
		raise(SIGSEGV);
}

static enum verdict
on_phase(struct exchange *ex, const void *conf_ptr)
{
	const struct test_conf *conf = conf_ptr;

	crash_if_named(conf, ex->phase);
	if (conf->attempts && ex->phase == PHASE_REQUEST)
		return exchange_answer_body(ex, 200, SPAN("text/plain"),
		    span_cstr(attempt_run(ex->req.query)));
	if (is_named(conf->fail_in, ex->phase))
		return exchange_fail(ex, REASON_INTERNAL, "test said so");
	if (is_named(conf->answer_in, ex->phase))
		return exchange_answer_body(ex, 299, SPAN("text/plain"),
		    SPAN("answered by test\n"));
	return begin_pause(ex, conf, ex->phase) ? VERDICT_WAIT
						      : VERDICT_NEXT;
}

static enum verdict
on_body(struct exchange *ex, const struct test_conf *conf,
    struct body_piece *piece, enum phase phase)
{
	crash_if_named(conf, phase);
	if (is_named(conf->fail_in, phase))
		return exchange_fail(ex, REASON_INTERNAL, "test said so");
	switch (rest_of_pause(ex, phase)) {
	case REST_OVER:
		return VERDICT_NEXT;
	case REST_WAITS:
		break; /* it was another one that could go on */
	case REST_NONE:
	default:
		if (conf->each && piece->in.len == 0)
			return VERDICT_NEXT;
		if (!begin_pause(ex, conf, phase))
			return VERDICT_NEXT;
		if (conf->after)
			return VERDICT_WAIT;
		break;
	}
	/* Take nothing yet: it is offered again. */
	piece->is_changed = true;
	piece->taken = 0;
	return VERDICT_WAIT;
}

/* Says so in a trailer field, and in front of it, once it has waited. */
static enum verdict
on_trailers(struct exchange *ex, const struct test_conf *conf,
    enum phase phase, struct http_fields *trailers, struct span *body)
{
	crash_if_named(conf, phase);
	if (is_named(conf->fail_in, phase))
		return exchange_fail(ex, REASON_INTERNAL, "test said so");
	switch (rest_of_pause(ex, phase)) {
	case REST_WAITS:
		return VERDICT_WAIT;
	case REST_OVER:
		http_fields_add(trailers, &ex->arena, SPAN("X-Waited"),
		    span_cstr(phase_name(phase)));
		if (conf->after)
			*body = SPAN("waited\n");
		return VERDICT_NEXT;
	case REST_NONE:
	default:
		return begin_pause(ex, conf, phase) ? VERDICT_WAIT
						    : VERDICT_NEXT;
	}
}

static enum verdict
on_upstream_response_trailers(struct exchange *ex, const void *conf,
    struct http_fields *trailers, struct span *body)
{
	return on_trailers(ex, conf, PHASE_UPSTREAM_RESPONSE_TRAILERS,
	    trailers, body);
}

static enum verdict
on_response_trailers(struct exchange *ex, const void *conf,
    struct http_fields *trailers, struct span *body)
{
	return on_trailers(ex, conf, PHASE_RESPONSE_TRAILERS, trailers,
	    body);
}

static enum verdict
on_request_body(struct exchange *ex, const void *conf,
    struct body_piece *piece)
{
	return on_body(ex, conf, piece, PHASE_REQUEST_BODY);
}

static enum verdict
on_upstream_response_body(struct exchange *ex, const void *conf,
    struct body_piece *piece)
{
	return on_body(ex, conf, piece, PHASE_UPSTREAM_RESPONSE_BODY);
}

static enum verdict
on_response_body(struct exchange *ex, const void *conf,
    struct body_piece *piece)
{
	return on_body(ex, conf, piece, PHASE_RESPONSE_BODY);
}

static bool
on_cancel(struct exchange *ex, const void *conf_ptr)
{
	const struct test_conf *conf = conf_ptr;
	struct test_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));

	if (conf->stubborn)
		return false;
	deadline_stop(exchange_loop(ex), &ctx->waits[WAIT_WALK].timer);
	return true;
}

static enum verdict
on_log(struct exchange *ex, const void *conf)
{
	struct test_ctx *ctx = exchange_ctx(ex, sizeof(*ctx));

	crash_if_named(conf, PHASE_LOG);
	for (unsigned i = 0; ctx->is_begun && i < WAIT_COUNT; i++)
		deadline_stop(exchange_loop(ex), &ctx->waits[i].timer);
	return VERDICT_NEXT;
}

/* It alone ends with its parent. */
static bool
is_check(void)
{
	int number = 0;

	return prctl(PR_GET_PDEATHSIG, &number) == 0 && number == SIGKILL;
}

/* Where the configuration is checked, before the master loads it. */
static int
test_start(const struct module_env *env, void *conf_ptr, struct error *err)
{
	const struct test_conf *conf = conf_ptr;

	(void)env;
	(void)err;
	while (conf->load != NULL && strcmp(conf->load, "hang") == 0)
		pause();
	if (conf->load != NULL && strcmp(conf->load, "crash") == 0)
		raise(SIGKILL);
	if (conf->load != NULL && strcmp(conf->load, "stop") == 0 &&
	    is_check())
		raise(SIGSTOP);
	return 0;
}

/* Forks until one dies, or stops; 0 = none does. */
static unsigned until_dies, until_stops;

static void
on_fork(void)
{
	if (until_dies > 0)
		until_dies--;
	if (until_stops > 0)
		until_stops--;
}

static void
on_forked(void)
{
	/* In the new one: the count says which it is. */
	if (until_dies == 1)
		_exit(7);
	if (until_stops == 1)
		raise(SIGSTOP);
}

static int
test_attach(const struct module_env *env, void *conf_ptr, struct error *err)
{
	const struct test_conf *conf = conf_ptr;
	static bool is_registered;

	(void)env;
	if (conf->fork_dies == 0 && conf->fork_stops == 0)
		return 0;
	until_dies = conf->fork_dies > 0 ? conf->fork_dies + 1 : 0;
	until_stops = conf->fork_stops > 0 ? conf->fork_stops + 1 : 0;
	if (!is_registered && pthread_atfork(on_fork, NULL, on_forked) != 0)
		return error_set(err, "pthread_atfork failed");
	is_registered = true;
	return 0;
}

const struct module mod_test = {
	.name = "test",
	.help = "pauses in every phase, for weir's own tests",
	.table = &table,
	.conf_size = sizeof(struct test_conf),
	.is_active = test_is_active,
	.start = test_start,
	.attach = test_attach,
	.on_cancel = on_cancel,
	.hooks = {
		[PHASE_EARLY_REQUEST] = on_phase,
		[PHASE_ROUTE] = on_phase,
		[PHASE_REQUEST] = on_phase,
		[PHASE_CACHE_LOOKUP] = on_phase,
		[PHASE_UPSTREAM_GATE] = on_phase,
		[PHASE_UPSTREAM_SELECT] = on_phase,
		[PHASE_UPSTREAM_CONNECTED] = on_phase,
		[PHASE_UPSTREAM_REQUEST] = on_phase,
		[PHASE_UPSTREAM_RESPONSE] = on_phase,
		[PHASE_CACHE_STORE] = on_phase,
		[PHASE_RESPONSE] = on_phase,
		[PHASE_FAIL] = on_phase,
		[PHASE_LOG] = on_log,
	},
	.body_hooks = {
		[PHASE_REQUEST_BODY] = on_request_body,
		[PHASE_UPSTREAM_RESPONSE_BODY] = on_upstream_response_body,
		[PHASE_RESPONSE_BODY] = on_response_body,
	},
	.trailers_hooks = {
		[PHASE_UPSTREAM_RESPONSE_TRAILERS] =
		    on_upstream_response_trailers,
		[PHASE_RESPONSE_TRAILERS] = on_response_trailers,
	},
};
