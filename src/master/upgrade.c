/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade - start, end, and the time after this master's death. */
#include "master/upgrade.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/log.h"
#include "master/master_private.h"
#include "master/upgrade_come.h"
#include "master/upgrade_estate.h"
#include "master/upgrade_leave.h"

void
upgrade_open_orphans(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	struct estate *e = &u->take.estate;
	struct error err;
	int fd = u->has_estate ? e->orphans_fd : -1;

	if (u->has_estate)
		e->orphans_fd = -1;
	if (orphans_open(&u->orphans, m->loop, m->settings->upgrade_sock, fd,
	    &err) != 0)
		log_info(NULL, "workers without a master will not be found: "
		    "%s", err.text);
}

/* A copy of what own has: the worker moves its sockets elsewhere. */
static void
copy_listeners(struct listener_set *to, struct listener_set *own)
{
	to->items = heap_alloc_zeroed(own->count + 1, sizeof(*to->items));
	to->count = own->count;
	for (size_t i = 0; i < own->count; i++) {
		struct listener *from = &own->items[i];
		struct listener *l = &to->items[i];

		*l = *from;
		l->fd_count = from->fd_count + from->surplus_count;
		l->surplus = NULL;
		l->surplus_count = 0;
		l->fds = heap_alloc(l->fd_count * sizeof(*l->fds) + 1);
		for (size_t j = 0; j < l->fd_count; j++)
			l->fds[j] = *listener_socket(from, j);
	}
}

/* In a worker: the master has died. */
static void
start_orphan(void *arg, struct loop *loop, const struct process_orphan *back)
{
	struct master *m = arg;

	if (back != NULL)
		orphans_start(&m->upgrade.orphans, loop, back);
	m->upgrade.logs = m->boot->orphan_logs_start(m->shared, loop,
	    m->upgrade.process);
}

static void
drain_orphan(void *arg)
{
	struct master *m = arg;

	orphans_close_door(&m->upgrade.orphans);
}

static void
stop_orphan(void *arg, struct loop *loop)
{
	struct master *m = arg;
	struct upgrade *u = &m->upgrade;

	orphans_stop(&u->orphans);
	/* All others may have died without this worker's having seen it. */
	if (u->logs == NULL)
		u->logs = m->boot->orphan_logs_start(m->shared, loop,
		    u->process);
	m->boot->orphan_logs_stop(u->logs);
}

void
upgrade_prepare_orphan(struct master *m, struct process_boot *boot,
    struct listener_set *own)
{
	struct upgrade *u = &m->upgrade;

	if (boot->is_background || boot->is_signer) {
		/* It could not answer: it has no sockets of clients. */
		if (u->orphans.door_fd >= 0)
			close(u->orphans.door_fd);
		return;
	}
	u->process = boot->process;
	boot->orphan_start = start_orphan;
	boot->orphan_drain = drain_orphan;
	boot->orphan_stop = stop_orphan;
	boot->orphan_arg = m;
	if (u->orphans.door_fd < 0)
		return;
	copy_listeners(&u->own, own);
	orphans_prepare(&u->orphans, own->count,
	    upgrade_estate_collect_orphan, m);
}

int
upgrade_init_fd(const struct master *m)
{
	const struct upgrade_take *take = &m->upgrade.take;

	/* At the orphans' door peer_pid is who made it, not who answers. */
	if (take->state == TAKE_TAKEN && take->talk.peer_pid == 1 &&
	    m->upgrade.orphans_fd < 0)
		return take->talk.watch.fd;
	return m->upgrade.init_fd;
}

void
upgrade_init(struct master *m)
{
	struct upgrade_give_config give = {
		.loop = m->loop,
		.sock_path = m->settings->upgrade_sock,
		.timeout_ms = m->settings->upgrade_timeout_ms,
		.version = m->boot->version,
		.program = m->boot->program,
		/* Process 1 waits for everybody itself. */
		.has_manager = m->service.notify.fd >= 0 && getpid() != 1,
		.collect = upgrade_estate_collect,
		.on_result = upgrade_leave_on_result,
		.arg = m,
	};
	struct upgrade_take_config take = {
		.loop = m->loop,
		.sock_path = m->settings->upgrade_sock,
		.timeout_ms = m->settings->upgrade_timeout_ms,
		.version = m->boot->version,
		.on_event = upgrade_come_on_event,
		.arg = m,
	};

	deadline_init(&m->upgrade.forget, upgrade_come_on_forget);
	deadline_init(&m->upgrade.orphans_end, upgrade_come_on_orphans_end);
	deadline_init(&m->upgrade.sync, upgrade_come_on_sync);
	deadline_init(&m->upgrade.again, upgrade_come_on_again);
	m->upgrade.orphans_fd = -1;
	m->upgrade.init_fd = -1;
	m->upgrade.orphans.door_fd = -1;
	m->upgrade.orphans.memory.fd = -1;
	m->upgrade.page.fd = -1;
	upgrade_give_init(&m->upgrade.give, &give);
	upgrade_take_init(&m->upgrade.take, &take);
	logtarget_init(&m->upgrade.early);
}

void
upgrade_fini(struct master *m)
{
	bool is_left = m->upgrade.give.state >= GIVE_GIVEN ||
	    upgrade_come_is_provisional(m);

	deadline_stop(m->loop, &m->upgrade.forget);
	deadline_stop(m->loop, &m->upgrade.orphans_end);
	deadline_stop(m->loop, &m->upgrade.sync);
	deadline_stop(m->loop, &m->upgrade.again);
	upgrade_give_stop(&m->upgrade.give);
	upgrade_take_stop(&m->upgrade.take);
	if (m->upgrade.init_fd >= 0)
		close(m->upgrade.init_fd);
	logtarget_fini(&m->upgrade.early);
	listener_set_close(&m->upgrade.left);
	free(m->upgrade.left_specs);
	free(m->upgrade.left_numbers);
	free(m->upgrade.used);
	if (m->upgrade.page.data != NULL)
		shmem_close(&m->upgrade.page);
	orphans_close(&m->upgrade.orphans, is_left);
}

void
upgrade_forget(struct master *m)
{
	upgrade_give_forget(&m->upgrade.give);
	upgrade_take_forget(&m->upgrade.take);
	if (m->upgrade.init_fd >= 0)
		close(m->upgrade.init_fd);
	m->upgrade.init_fd = -1;
	estate_fini(&m->upgrade.take.estate, true);
}
