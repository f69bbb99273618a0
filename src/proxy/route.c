/* SPDX-License-Identifier: BSD-2-Clause */
/* route - the tables of a service's routes, and the search in them. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "proxy/route.h"

#include <assert.h>
#include <pcre2.h>

#include "base/arena.h"
#include "base/str.h"
#include "conf/report.h"
#include "http/uri.h"

enum { PREFIX_SLASHES_MAX = 64, SUFFIX_MAX = 256,
	MATCH_LIMIT = 100000, HEAP_LIMIT_KB = 1024 };

/* ---- building ---- */

void
route_table_init(struct route_table *t)
{
	memset(t, 0, sizeof(*t));
	hash_map_init(&t->hosts, true);
	hash_map_init(&t->wildcards, true);
}

static void
host_fini(struct route_host *h)
{
	if (h == NULL)
		return;
	hash_map_fini(&h->exact);
	hash_map_fini(&h->prefixes);
}

static void
hosts_fini(struct hash_map *m)
{
	for (size_t i = 0; i < m->size; i++)
		host_fini(m->entries[i].value);
	hash_map_fini(m);
}

void
route_table_fini(struct route_table *t)
{
	hosts_fini(&t->hosts);
	hosts_fini(&t->wildcards);
	host_fini(t->any);
}

static struct route_host *
host_new(struct arena *a)
{
	struct route_host *h = arena_zalloc(a, sizeof(*h));

	hash_map_init(&h->exact, false);
	hash_map_init(&h->prefixes, false);
	return h;
}

static struct route_host *
host_for(struct route_table *t, struct arena *a, const char *name)
{
	struct hash_map *m = &t->hosts;
	struct span key = span_cstr(name);
	struct route_host *h;

	if (name == NULL) {
		if (t->any == NULL)
			t->any = host_new(a);
		return t->any;
	}
	if (name[0] == '*') {
		m = &t->wildcards;
		key = span_cstr(name + 1);
	}
	h = hash_map_get(m, key);
	if (h == NULL) {
		h = host_new(a);
		hash_map_put(m, key, h);
	}
	return h;
}

static bool
has_conditions(const struct route *r)
{
	return r->methods.count > 0 || r->match_headers.count > 0 ||
	    r->match_query.count > 0;
}

/* Behind those that came before; a route is linked under several hosts. */
static struct route_link *
append(struct route_link *head, struct arena *a, struct route *r,
    struct conf_report *report)
{
	struct route_link *link = arena_zalloc(a, sizeof(*link));
	struct route_link *at = head;

	link->route = r;
	if (head == NULL)
		return link;
	for (;;) {
		if (!has_conditions(at->route) && !at->is_warned) {
			conf_report_warning(report, &r->place,
			    "route %s can never be reached: %s takes all its "
			    "requests", r->name, at->route->name);
			at->is_warned = true;
		}
		if (at->next == NULL)
			break;
		at = at->next;
	}
	at->next = link;
	return head;
}

static unsigned
count_slashes(struct span path)
{
	unsigned n = 0;

	for (size_t i = 0; i < path.len; i++)
		n += path.p[i] == '/';
	return n;
}

static void
add_keyed(struct hash_map *m, struct arena *a, const char *path,
    struct route *r, struct conf_report *report)
{
	struct span key = span_cstr(path);
	struct route_link *before = hash_map_get(m, key);
	struct route_link *head = append(before, a, r, report);

	if (before == NULL)
		hash_map_put(m, key, head);
}

/* Regular expressions are no keys: one does not hide the next. */
static struct route_link *
append_regex(struct route_link *head, struct arena *a, struct route *r)
{
	struct route_link *link = arena_zalloc(a, sizeof(*link));
	struct route_link *at = head;

	link->route = r;
	if (head == NULL)
		return link;
	while (at->next != NULL)
		at = at->next;
	at->next = link;
	return head;
}

static uint64_t
length_bit(size_t len)
{
	return UINT64_C(1) << (len & 63);
}

static void
add_under(struct route_table *t, struct arena *a, const char *host,
    struct route *r, struct conf_report *report)
{
	struct route_host *h = host_for(t, a, host);

	if (r->path_exact != NULL) {
		h->exact_lengths |= length_bit(strlen(r->path_exact));
		add_keyed(&h->exact, a, r->path_exact, r, report);
	} else if (r->path_regex != NULL) {
		h->regexes = append_regex(h->regexes, a, r);
	} else if (r->path != NULL && strcmp(r->path, "/") != 0) {
		unsigned slashes = count_slashes(span_cstr(r->path));

		if (slashes > h->prefix_slashes)
			h->prefix_slashes = slashes;
		h->prefix_lengths |= length_bit(strlen(r->path));
		add_keyed(&h->prefixes, a, r->path, r, report);
	} else {
		h->any = append(h->any, a, r, report);
	}
}

void
route_table_add(struct route_table *t, struct arena *a, struct route *r,
    struct conf_report *report)
{
	if (r->hosts.count == 0) {
		add_under(t, a, NULL, r, report);
		return;
	}
	for (size_t i = 0; i < r->hosts.count; i++)
		add_under(t, a, r->hosts.items[i], r, report);
}

/* ---- matching ---- */

static bool
regex_matches(const struct conf_regex *regex, struct span subject,
    uint32_t *captures, uint32_t *count)
{
	static pcre2_match_data *data;
	static pcre2_match_context *context;
	const PCRE2_SIZE *ends;
	int n;

	/* One of each for the process: workers have a single thread here. */
	if (data == NULL) {
		data = pcre2_match_data_create(ROUTE_CAPTURES_MAX, NULL);
		context = pcre2_match_context_create(NULL);
		if (data == NULL || context == NULL)
			return false;
		pcre2_set_match_limit(context, MATCH_LIMIT);
		pcre2_set_heap_limit(context, HEAP_LIMIT_KB);
	}
	n = pcre2_match(regex->code, (PCRE2_SPTR)(const void *)subject.p,
	    subject.len, 0, 0, data, context);
	if (n < 0)
		return false;
	if (captures == NULL)
		return true;
	ends = pcre2_get_ovector_pointer(data);
	*count = n > 0 && n <= ROUTE_CAPTURES_MAX ? (uint32_t)n
						  : ROUTE_CAPTURES_MAX;
	for (uint32_t i = 0; i < *count; i++) {
		bool unset = ends[2 * i] == PCRE2_UNSET;

		captures[2 * i] = unset ? 0 : (uint32_t)ends[2 * i];
		captures[2 * i + 1] = unset ? 0 : (uint32_t)ends[2 * i + 1];
	}
	return true;
}

static bool
value_matches(const struct route_match *m, bool found, struct span value)
{
	if (!found || !m->present)
		return found == m->present;
	if (m->value != NULL && !span_eq(value, span_cstr(m->value)))
		return false;
	return m->regex == NULL ||
	    regex_matches(m->regex, value, NULL, NULL);
}

static bool
method_matches(const struct route *r, struct span method)
{
	for (size_t i = 0; i < r->methods.count; i++) {
		if (span_eq(method, span_cstr(r->methods.items[i])))
			return true;
	}
	return r->methods.count == 0;
}

static bool
conditions_match(const struct route *r, const struct http_request *req)
{
	const struct route_match *headers = r->match_headers.items;
	const struct route_match *query = r->match_query.items;

	for (size_t i = 0; i < r->match_headers.count; i++) {
		const struct http_field *f = http_fields_find(&req->fields,
		    span_cstr(headers[i].name));

		if (!value_matches(&headers[i], f != NULL,
		    f != NULL ? http_field_value(f) : span_of(NULL, 0)))
			return false;
	}
	for (size_t i = 0; i < r->match_query.count; i++) {
		struct span value = { NULL, 0 };
		bool found = uri_query_get(req->query,
		    span_cstr(query[i].name), &value);

		if (!value_matches(&query[i], found, value))
			return false;
	}
	return true;
}

/* The first of the chain that takes the request. */
static const struct route *
first_match(const struct route_link *link, struct route_request *q)
{
	const struct http_request *req = q->req;


	for (; link != NULL; link = link->next) {
		if (!conditions_match(link->route, req))
			continue;
		if (method_matches(link->route, req->method))
			return link->route;
		if (q->other_count < ROUTE_OTHERS_MAX)
			q->others[q->other_count++] = link->route;
	}
	return NULL;
}

/* Longest first: the whole path, then up to each slash from the right. */
static const struct route *
find_prefix(const struct route_host *h, struct route_request *q)
{
	size_t ends[2 * PREFIX_SLASHES_MAX + 1];
	unsigned count = 0, slashes = 0;

	if (h->prefixes.used == 0)
		return NULL;
	for (size_t i = 1; i < q->path.len && slashes < h->prefix_slashes &&
	    slashes < PREFIX_SLASHES_MAX; i++) {
		if (q->path.p[i] != '/')
			continue;
		slashes++;
		ends[count++] = i;     /* "/api" of "/api/x" */
		ends[count++] = i + 1; /* "/api/" */
	}
	if (count == 0 || ends[count - 1] < q->path.len)
		ends[count++] = q->path.len;
	while (count-- > 0) {
		const struct route *r;

		if ((h->prefix_lengths & length_bit(ends[count])) == 0)
			continue; /* spares the hash */
		r = first_match(hash_map_get(&h->prefixes,
		    span_of(q->path.p, ends[count])), q);
		if (r != NULL)
			return r;
	}
	return NULL;
}

static const struct route *
find_regex(const struct route_host *h, struct route_request *q)
{
	for (const struct route_link *link = h->regexes; link != NULL;
	     link = link->next) {
		struct route_link alone = { .route = link->route };
		const struct route *r;

		if (!regex_matches(link->route->path_regex, q->path,
		    q->captures, &q->capture_count))
			continue;
		r = first_match(&alone, q);
		if (r != NULL)
			return r;
	}
	q->capture_count = 0;
	return NULL;
}

static const struct route *
find_in_host(const struct route_host *h, struct route_request *q)
{
	const struct route *r = NULL;

	if (h == NULL)
		return NULL;
	if ((h->exact_lengths & length_bit(q->path.len)) != 0)
		r = first_match(hash_map_get(&h->exact, q->path), q);
	if (r == NULL)
		r = find_prefix(h, q);
	if (r == NULL && h->regexes != NULL)
		r = find_regex(h, q);
	if (r == NULL)
		r = first_match(h->any, q);
	return r;
}

/* ".example.com" of "www.example.com", the longest suffix first. */
static const struct route *
find_wildcard(const struct route_table *t, struct route_request *q)
{
	struct span host = q->req->host;

	if (t->wildcards.used == 0)
		return NULL;
	for (size_t i = 1; i < host.len && i < SUFFIX_MAX; i++) {
		const struct route *r;

		if (host.p[i] != '.')
			continue;
		r = find_in_host(hash_map_get(&t->wildcards,
		    span_of(host.p + i, host.len - i)), q);
		if (r != NULL)
			return r;
	}
	return NULL;
}

const struct route *
route_find(const struct route_table *t, struct route_request *q)
{
	const struct route *r = NULL;

	q->other_count = 0;
	q->capture_count = 0;
	if (t->hosts.used > 0)
		r = find_in_host(hash_map_get(&t->hosts, q->req->host), q);
	if (r == NULL)
		r = find_wildcard(t, q);
	if (r == NULL)
		r = find_in_host(t->any, q);
	return r;
}
