/* SPDX-License-Identifier: BSD-2-Clause */
/* children_fork - making a process, up to its main function. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "master/children_private.h"
#include "os/fdpass.h"
#include "os/logring.h"
#include "os/proc.h"
#include "os/signals.h"
#include "site/generation.h"

static void
log_to_ring(struct generation *g, unsigned process)
{
	static struct logring_output output;
	const struct generation_shared *shared = generation_shared(g);

	output.ring = shared->rings[process];
	output.target = shared->error_log;
	log_set_sink(logring_sink, &output);
}

static void __attribute__((noreturn))
run_child(struct child_slot *slot, unsigned process, int channel_fd)
{
	static const int ignored[] = { SIGINT, SIGHUP, SIGQUIT, SIGUSR1,
		SIGUSR2, SIGPIPE, SIGXFSZ };
	struct children *c = slot->children;
	const struct children_config *config = &c->config;
	bool is_background = slot->is_background;
	char short_name[32];
	struct process_boot boot = {
		.generation = config->generation,
		.process = process,
		.slot = slot->number,
		.workers = config->workers,
		.is_background = is_background,
		.is_signer = slot->is_signer,
		.is_serving = c->is_serving,
		.surplus_stays = c->surplus_stays,
		.channel_fd = channel_fd,
		.lifeline_fd = config->lifeline[is_background ? 0 : 1],
		.listeners = config->listeners,
		.account = config->account,
	};

	signals_ignore(ignored, sizeof(ignored) / sizeof(*ignored));
	snprintf(short_name, sizeof(short_name), "weir:%s", slot->name);
	proc_title_set(short_name, "weir: %s", slot->name);
	log_set_process(slot->name);
	log_set_level((enum log_level)c->log_level);
	log_to_ring(config->generation, process);
	c->config.in_child(c->config.arg, &boot);
	generation_keep_keys(config->generation, slot->is_signer);
	close(config->lifeline[is_background ? 1 : 0]);
	if (slot->is_signer) {
		/* Nobody waits for its end. */
		close(config->lifeline[1]);
		exit(config->signer_main(&boot));
	}
	exit(is_background ? config->background_main(&boot)
			   : config->worker_main(&boot));
}

static struct child *
add_child(struct child_slot *slot, pid_t pid, unsigned process)
{
	struct child *child = heap_alloc_zeroed(1, sizeof(*child));

	child->children = slot->children;
	child->slot = slot;
	child->pid = pid;
	child->process = process;
	child->state = CHILD_STARTING;
	child->started_ms = now_exact_us() / 1000;
	child->channel.watch.fd = -1;
	list_push_back(&slot->children->all, &child->node);
	slot->current = child;
	slot->process = process;
	children_files_begin(child);
	return child;
}

int
children_fork(struct child_slot *slot, channel_fn *on_message,
    struct error *err)
{
	struct children *c = slot->children;
	/* Its predecessor's, unless that one is still leaving. */
	int process = shared_take_process(c->shared, slot->process);
	struct child *child;
	int fds[2];
	pid_t pid;

	if (process < 0)
		return error_set(err, "all %zu process slots are taken: too "
		    "many processes are still leaving",
		    c->shared->process_count);
	if (fdpass_pair(fds) != 0) {
		error_set_errno(err, errno, "making a channel");
		goto fail;
	}
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		error_set_errno(err, errno, "forking");
		close(fds[0]);
		close(fds[1]);
		goto fail;
	}
	if (pid == 0) {
		close(fds[0]);
		run_child(slot, (unsigned)process, fds[1]);
	}
	close(fds[1]);
	children_count(c, CHILDREN_STAT_STARTS);
	child = add_child(slot, pid, (unsigned)process);
	log_debug(NULL, "%s: forked (pid %ld)", slot->name, (long)pid);
	/* Without a channel it is of no use; its death is seen as usual. */
	if (channel_start(&child->channel, c->config.loop, fds[0],
	    on_message, err) != 0)
		kill(pid, SIGKILL);
	return 0;
fail:
	shared_give_process(c->shared, (unsigned)process);
	return -1;
}
