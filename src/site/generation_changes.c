/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generation_changes - in what one configuration differs from another.
 *
 * Each thing has a name ("route web/api") and a print: a number for all its
 * effective options.  Those of levels that many routes inherit are made once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/heap_alloc.h"
#include "base/str.h"
#include "conf/sign.h"
#include "net/tls_conf.h"
#include "proxy/proxy.h"
#include "site/generation_private.h"
#include "site/modules.h"
#include "upstream/group.h"

struct thing {
	char *name;
	uint64_t print; /* a hash */
	bool is_seen;
	uint64_t row; /* of those with the same one the first counts; 0: none */
};

struct things {
	const struct generation *generation;
	struct thing *items;
	size_t count, room;
	struct hash_map levels; /* address of a struct -> its print */
	struct hash_map files;  /* those added, by path */
};

/* ---- prints ---- */

static uint64_t
mix(uint64_t print, uint64_t more)
{
	return conf_sign_mix(print, more);
}

/* Of a struct that several routes share. */
static uint64_t
print_level(struct things *t, const struct conf_table *table,
    const void *conf)
{
	struct span key = span_of((const char *)&conf, sizeof(conf));
	uint64_t *known = hash_map_get(&t->levels, key);
	char *copy;

	if (known != NULL)
		return *known;
	/* The entry: its print, and behind that its key. */
	copy = heap_alloc(sizeof(*known) + key.len);
	known = (void *)copy;
	*known = conf_sign_table(table, conf);
	memcpy(copy + sizeof(*known), key.p, key.len);
	hash_map_put(&t->levels, span_of(copy + sizeof(*known), key.len),
	    known);
	return *known;
}

/* ---- things ---- */

static void
add(struct things *t, uint64_t print, const char *kind, const char *outer,
    const char *name)
{
	size_t len = strlen(kind) + strlen(outer) + strlen(name) + 3;
	char *text = heap_alloc(len);

	snprintf(text, len, "%s %s%s%s", kind, outer,
	    outer[0] != '\0' ? "/" : "", name);
	if (t->count == t->room) {
		t->room = t->room > 0 ? t->room * 2 : 64;
		t->items = heap_alloc_grow(t->items, t->room,
		    sizeof(*t->items));
	}
	t->items[t->count++] = (struct thing){ .name = text, .print = print };
}

/* Routes that are tried one after the other (see struct route_host). */
static uint64_t
row_of(const char *service, const struct route *r)
{
	uint64_t row = hash_stable(span_cstr(service));
	const char *path = r->path_exact != NULL ? r->path_exact : r->path;

	for (size_t i = 0; i < r->hosts.count; i++)
		row = mix(row, hash_stable(span_cstr(r->hosts.items[i])));
	row = mix(row, r->path_regex != NULL ? 1 : r->path_exact != NULL);
	if (r->path_regex == NULL)
		row = mix(row, hash_stable(span_cstr(path != NULL ? path
		    : "/")));
	return row != 0 ? row : 1;
}

/* A route without a name is called "web/2", one with a name "web/api". */
static void
add_route(struct things *t, const char *service, const struct route *r)
{
	uint64_t print = conf_sign_table(&route_conf_table, r);

	print = mix(print, print_level(t, &core_conf_table, r->core));
	for (size_t i = 0; i < modules_count(); i++)
		print = mix(print, print_level(t, modules_get(i)->table,
		    r->module_confs[i]));
	add(t, print, "route", strchr(r->name, '/') != NULL ? "" : service,
	    r->name);
	t->items[t->count - 1].row = row_of(service, r);
}

static void
add_service(struct things *t, const struct service *service)
{
	uint64_t print = print_level(t, &core_conf_table, service->core);

	for (size_t i = 0; i < modules_count(); i++)
		print = mix(print, print_level(t, modules_get(i)->table,
		    service->fallback.module_confs[i]));
	add(t, print, "service", "", service->name);
	for (size_t i = 0; i < service->route_count; i++)
		add_route(t, service->name, service->routes[i]);
}

/* What was written for it; NULL: the admin's, which has an address alone. */
static const struct service_listen *
listen_of(const struct listener_spec *spec)
{
	const struct service *service = spec->service;
	const struct service_listen *listens = service->listens.items;

	for (size_t i = 0; i < service->listens.count; i++) {
		if (addr_equal(&listens[i].address->addr, &spec->addr))
			return &listens[i];
	}
	return NULL;
}

static void
add_listeners(struct things *t)
{
	const struct generation *g = t->generation;

	for (size_t i = 0; i < g->build.listener_count; i++) {
		const struct listener_spec *spec = &g->build.listeners[i];
		const struct service_listen *listen = listen_of(spec);
		const struct service *service = spec->service;
		uint64_t print = hash_stable(span_cstr(
		    service->name != NULL ? service->name : ""));

		if (listen != NULL)
			print = mix(print, conf_sign_table(
			    &route_conf_listen_table, listen));
		add(t, print, "listener", "", spec->text);
	}
}

/* Each row of the table by itself; groups as one. */
static void
add_options(struct things *t)
{
	for (const struct conf_item *item = settings_table.items;
	     item->name != NULL; item++) {
		struct conf_item items[2] = { *item, CONF_END };
		const struct conf_table one = { .name = "settings",
			.items = items,
			.struct_bytes = settings_table.struct_bytes };

		add(t, conf_sign_table(&one, &t->generation->settings),
		    "option", "", item->name);
	}
}

/* The admin's own, which templates and modules read. */
static void
add_custom(struct things *t)
{
	const struct conf_node *custom =
	    conf_node_get(t->generation->tree, "custom");

	if (custom != NULL)
		add(t, conf_sign_node(custom), "option", "", "custom");
}

/* Each once, however many listeners have it. */
static void
add_files(struct things *t)
{
	const struct generation *g = t->generation;

	for (size_t i = 0; i < g->file_count; i++) {
		const struct generation_file *f = &g->files[i];

		if (hash_map_get(&t->files, span_cstr(f->path)) != NULL)
			continue;
		hash_map_put(&t->files, span_cstr(f->path), t);
		add(t, f->sign, "certificate", "", f->path);
	}
}

static void
collect(struct things *t, const struct generation *g)
{
	*t = (struct things){ .generation = g };
	hash_map_init(&t->levels, false);
	hash_map_init(&t->files, false);
	add_listeners(t);
	for (size_t i = 0; i < g->group_count; i++)
		add(t, conf_sign_table(&group_conf_table, g->groups[i]->conf),
		    "upstream", "", g->groups[i]->conf->name);
	for (size_t i = 0; i < g->build.service_count; i++) {
		/* That of the admin listener is weir's own. */
		if (!g->build.services[i]->is_admin)
			add_service(t, g->build.services[i]);
	}
	add_files(t);
	add_options(t);
	add_custom(t);
}

static void
release(struct things *t)
{
	for (size_t i = 0; i < t->levels.size; i++)
		free(t->levels.entries[i].value);
	hash_map_fini(&t->levels);
	hash_map_fini(&t->files);
	for (size_t i = 0; i < t->count; i++)
		free(t->items[i].name);
	free(t->items);
}

/* ---- comparing ---- */

static void
tell(generation_line_fn *fn, void *arg, const char *what, const char *name)
{
	char memory[512];
	struct str s;

	str_init(&s, memory, sizeof(memory));
	str_printf(&s, "%s %s", what, name);
	fn(arg, str_terminate(&s));
}

/*
 * It stood behind one before which it stands now.  last: by row, of those that
 * did not move, the last one.
 */
static bool
has_moved(const struct thing *now, struct thing *was, struct hash_map *last)
{
	struct span row = span_of((const char *)&now->row, sizeof(now->row));
	const struct thing *before;

	if (now->row == 0 || was == NULL || was->row != now->row)
		return false;
	before = hash_map_get(last, row);
	if (before != NULL && was < before)
		return true;
	hash_map_put(last, row, was);
	return false;
}

void
generation_changes(const struct generation *a, const struct generation *b,
    generation_line_fn *fn, void *arg)
{
	struct things before, after;
	struct hash_map by_name, last;

	collect(&before, a);
	collect(&after, b);
	hash_map_init(&by_name, false);
	hash_map_init(&last, false);
	for (size_t i = 0; i < before.count; i++)
		hash_map_put(&by_name, span_cstr(before.items[i].name),
		    &before.items[i]);
	for (size_t i = 0; i < after.count; i++) {
		const struct thing *now = &after.items[i];
		struct thing *was =
		    hash_map_get(&by_name, span_cstr(now->name));
		bool moved = has_moved(now, was, &last);

		if (was == NULL)
			tell(fn, arg, "added", now->name);
		else if (was->print != now->print || moved)
			tell(fn, arg, "changed", now->name);
		if (was != NULL)
			was->is_seen = true;
	}
	for (size_t i = 0; i < before.count; i++) {
		if (!before.items[i].is_seen)
			tell(fn, arg, "removed", before.items[i].name);
	}
	hash_map_fini(&by_name);
	hash_map_fini(&last);
	release(&before);
	release(&after);
}

/* ---- files ---- */

/* Another one, or other content, has another; 0 = it cannot be looked at. */
static __attribute__((noinline)) uint64_t
sign_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return 0;
	return mix(mix(mix((uint64_t)st.st_mtim.tv_sec,
	    (uint64_t)st.st_mtim.tv_nsec), (uint64_t)st.st_ino),
	    (uint64_t)st.st_size);
}

static void
note_file(struct generation *g, const char *path)
{
	if (path == NULL)
		return;
	g->files[g->file_count++] = (struct generation_file){
		.path = path, .sign = sign_of(path) };
}

void
generation_changes_note(struct generation *g)
{
	size_t room = 0;

	for (size_t i = 0; i < g->build.service_count; i++) {
		const struct service *s = g->build.services[i];
		const struct service_listen *listens = s->listens.items;

		for (size_t j = 0; j < s->listens.count; j++)
			room += 1 + listens[j].tls.certificates.count;
	}
	g->file_count = 0;
	g->files = arena_zalloc(&g->arena, (room + 1) * sizeof(*g->files));
	for (size_t i = 0; i < g->build.service_count; i++) {
		const struct service *s = g->build.services[i];
		const struct service_listen *listens = s->listens.items;

		for (size_t j = 0; j < s->listens.count; j++) {
			const struct conf_list *more =
			    &listens[j].tls.certificates;
			const struct tls_pair_conf *pairs = more->items;

			if (!listens[j].has_tls)
				continue;
			note_file(g, listens[j].tls.pair.cert);
			for (size_t k = 0; k < more->count; k++)
				note_file(g, pairs[k].cert);
		}
	}
}

/* ---- settings of the start ---- */

static bool
is_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Take over the value at `from`; true if it was another. */
static bool
keep(struct arena *arena, const struct conf_item *item, void *to,
    const void *from)
{
	size_t bytes = 0;
	const char *text;
	bool differs;

	if (item->type == CONF_TYPE_STRING) {
		memcpy(&text, from, sizeof(text));
		differs = !is_same_text(*(const char **)to, text);
		if (differs)
			*(const char **)to = text == NULL ? NULL :
			    arena_dup(arena, span_of(text, strlen(text) + 1));
		return differs;
	}
	if (item->type == CONF_TYPE_BOOL)
		bytes = sizeof(bool);
	else if (item->type == CONF_TYPE_UINT || item->type == CONF_TYPE_ENUM)
		bytes = sizeof(uint32_t);
	else if (item->type == CONF_TYPE_SIZE ||
	    item->type == CONF_TYPE_DURATION)
		bytes = sizeof(uint64_t);
	/* Of the other types no setting needs a restart. */
	differs = memcmp(to, from, bytes) != 0;
	memcpy(to, from, bytes);
	return differs;
}

static void
keep_table(struct generation *g, const struct conf_table *table, char *to,
    const char *from, const char *outer, generation_line_fn *fn, void *arg)
{
	for (const struct conf_item *i = table->items; i->name != NULL; i++) {
		char name[128];

		snprintf(name, sizeof(name), "%s%s%s", outer,
		    outer[0] != '\0' ? "." : "", i->name);
		if (i->type == CONF_TYPE_GROUP)
			keep_table(g, i->table, to + i->offset,
			    from + i->offset, name, fn, arg);
		else if ((i->flags & CONF_RESTART) != 0 &&
		    keep(&g->arena, i, to + i->offset, from + i->offset))
			tell(fn, arg, name, "takes effect at a restart or an "
			    "upgrade only");
	}
}

void
generation_changes_keep(struct generation *g,
    const struct generation *running, generation_line_fn *fn, void *arg)
{
	keep_table(g, &settings_table, (char *)&g->settings,
	    (const char *)&running->settings, "", fn, arg);
}
