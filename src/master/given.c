/* SPDX-License-Identifier: BSD-2-Clause */
/* given - from descriptors to listeners. */
#include "master/given.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/heap_alloc.h"
#include "base/log.h"
#include "base/str.h"
#include "master/listeners.h"
#include "os/sock.h"

/* Options that it does not have yet are zero: they will be set. */
static void
add(struct given *g, struct inherited_socket *from)
{
	struct listener_spec *spec = &g->specs[g->set.count];
	struct listener *l = &g->set.items[g->set.count++];

	*spec = (struct listener_spec){
		.addr = from->addr,
		.text = from->name,
		.ipv6_only = sock_is_ipv6_only(from->fd),
	};
	*l = (struct listener){ .spec = spec, .fd_count = 1,
		.is_given = true };
	l->fds = heap_alloc(sizeof(*l->fds));
	l->fds[0] = from->fd;
	l->surplus = heap_alloc_zeroed(1, sizeof(*l->surplus));
	from->fd = -1;
	if (from->addr.u.sa.sa_family != AF_UNIX)
		(void)sock_nodelay(l->fds[0]);
}

void
given_init(struct given *g)
{
	struct inherited *in = &g->inherited;
	size_t ignored;

	*g = (struct given){ .specs = NULL };
	inherited_init(in, &ignored);
	if (ignored > 0)
		log_warn(NULL, "%zu of the descriptors that the service "
		    "manager gave are no listening stream sockets", ignored);
	g->specs = heap_alloc_zeroed(in->count, sizeof(*g->specs));
	g->set.items = heap_alloc_zeroed(in->count, sizeof(*g->set.items));
	for (size_t i = 0; i < in->count; i++)
		add(g, &in->items[i]);
}

static bool
is_taken(const struct listener *l, const struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->items[i].kept > 0 &&
		    set->items[i].fds[0] == l->fds[0])
			return true;
	}
	return false;
}

int
given_settle(struct given *g, struct listener_set *set, struct error *err)
{
	uint8_t *gone = NULL;
	bool stays;

	for (size_t i = 0; i < g->set.count; i++) {
		const struct listener *l = &g->set.items[i];
		char memory[160];
		struct str s;

		if (is_taken(l, set))
			continue;
		str_init(&s, memory, sizeof(memory));
		addr_put(&s, &l->spec->addr);
		log_warn(NULL, "socket %.*s (\"%s\") of the service manager: "
		    "no service listens there; it is closed",
		    SPAN_ARG(str_view(&s)), l->spec->text);
	}
	if (listeners_take_over(set, &g->set, false, &gone, &stays,
	    err) != 0)
		return -1;
	free(gone);
	given_fini(g);
	return 0;
}

void
given_fini(struct given *g)
{
	listener_set_close(&g->set);
	free(g->specs);
	inherited_fini(&g->inherited);
	*g = (struct given){ .specs = NULL };
}
