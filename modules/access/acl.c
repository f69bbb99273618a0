/* SPDX-License-Identifier: BSD-2-Clause */
/* acl - reading of rules with their files, and looking whether they hold. */
#include "acl.h"

#include <errno.h>
#include <stdlib.h>

enum { ERRORS_MAX = 20 };

/* ---- options ---- */

struct file_errors {
	struct conf_ctx *ctx;
	struct arena *arena;
	const char *file;
	unsigned count;
};

static void
report_line(void *arg, unsigned line, unsigned column, struct span text,
    const struct error *err)
{
	struct file_errors *e = arg;
	struct conf_place place = { .file = e->file, .line = line,
		.column = column };

	if (++e->count > ERRORS_MAX)
		return;
	place.source = arena_dup(e->arena, text);
	conf_report_error(e->ctx->report, &place, "%s", err->text);
}

static int
read_file(struct conf_ctx *ctx, const struct conf_node *node, const char *file,
    struct cidr_list *list)
{
	struct file_errors errors = { ctx, ctx->arena, file, 0 };
	const struct conf_node *at = conf_node_get(node, "file");
	size_t len, wrong;
	char *text;

	if (slurp_file(file, ACL_FILE_MAX, &text, &len) != 0) {
		conf_report_error(ctx->report,
		    at != NULL ? &at->value_place : &node->place,
		    "access: cannot read %s: %s", file, slurp_reason(errno));
		return -1;
	}
	wrong = cidr_parse(span_of(text, len), list, report_line, &errors);
	if (wrong > ERRORS_MAX)
		conf_report_error(ctx->report, &node->place,
		    "access: %s has %zu lines that are no address ranges",
		    file, wrong);
	free(text);
	return wrong == 0 ? 0 : -1;
}

static void
add_from(const struct acl *a, struct cidr_list *list)
{
	for (size_t i = 0; i < a->from.count; i++)
		cidr_list_add(list, &a->from.items[i]);
}

static int
read_ranges(struct conf_ctx *ctx, const struct conf_node *node, struct acl *a)
{
	struct cidr_list list = { NULL, 0, 0 };
	int result = 0;

	add_from(a, &list);
	if (a->file != NULL) {
		files_stamp(&(struct files_spec){ .path = a->file },
		    &a->stamp);
		result = read_file(ctx, node, a->file, &list);
	}
	if (result == 0)
		cidr_build(&a->ranges, ctx->arena, &list);
	cidr_list_fini(&list);
	a->has_ranges = a->from.count > 0 || a->file != NULL ||
	    a->unix_clients;
	return result;
}

static const char *
find_fault(const struct acl *a)
{
	if (a->path != NULL && a->path_regex != NULL)
		return "give path or path_regex, not both";
	if (a->path != NULL && a->path[0] != '/')
		return "path must begin with /";
	if (a->connection && (a->methods.count > 0 || a->path != NULL ||
	    a->path_regex != NULL))
		return "with connection there is no request yet: only "
		    "addresses can decide";
	if (a->action == ACL_ALLOW && (a->drop || a->mode == ACL_SHADOW))
		return "drop and mode are of rules that deny";
	return NULL;
}

static int
check_acl(struct conf_ctx *ctx, const struct conf_node *node, void *conf)
{
	struct acl *a = conf;
	const char *fault = find_fault(a);

	for (size_t i = 0; i < a->methods.count && fault == NULL; i++) {
		if (!http_is_token(span_cstr(a->methods.items[i])))
			fault = "methods: that is no method";
	}
	if (fault != NULL) {
		conf_report_error(ctx->report, &node->place, "access: %s",
		    fault);
		return -1;
	}
	return read_ranges(ctx, node, a);
}

static const struct conf_enum actions[] = {
	{ "deny", ACL_DENY },
	{ "allow", ACL_ALLOW },
	{ NULL, 0 },
};

static const struct conf_enum modes[] = {
	{ "enforce", ACL_ENFORCE },
	{ "shadow", ACL_SHADOW },
	{ NULL, 0 },
};

static const struct conf_item items[] = {
	CONF_VALUE("name", STRING, struct acl, name, NULL, 0,
	    "the rule's name, for logs"),
	CONF_ENUM("action", struct acl, action, actions, "deny", 0,
	    "what happens where the rule holds"),
	CONF_VALUE("from", RANGES, struct acl, from, NULL, 0,
	    "addresses of clients"),
	CONF_VALUE("file", STRING, struct acl, file, NULL, 0,
	    "a file with more of them, one a line"),
	CONF_BOOL("unix", struct acl, unix_clients, "false", 0,
	    "clients of Unix sockets, too"),
	CONF_VALUE("methods", STRINGS, struct acl, methods, NULL, 0,
	    "methods of requests"),
	CONF_VALUE("path", STRING, struct acl, path, NULL, 0,
	    "requests for this path and those below"),
	CONF_VALUE("path_regex", REGEX, struct acl, path_regex, NULL, 0,
	    "requests whose path matches"),
	CONF_UINT("status", struct acl, status, 400, 599, "403", NULL, 0,
	    "of the answer to what is denied"),
	CONF_BOOL("drop", struct acl, drop, "false", 0,
	    "answer nothing, close the connection"),
	CONF_BOOL("connection", struct acl, connection, "false",
	    CONF_NOT_IN_ROUTE, "decide when the connection comes, before TLS"),
	CONF_ENUM("mode", struct acl, mode, modes, "enforce", 0,
	    "shadow: count and log what would be denied, deny nothing"),
	CONF_END,
};

const struct conf_table acl_table = {
	.name = "access",
	.items = items,
	.struct_bytes = sizeof(struct acl),
	.check = check_acl,
};

/* ---- a file that has changed ---- */

struct first_error {
	struct error *err;
	bool is_set;
};

static void
note_line(void *arg, unsigned line, unsigned column, struct span text,
    const struct error *err)
{
	struct first_error *first = arg;

	(void)text;
	if (!first->is_set)
		error_set(first->err, "line %u, column %u: %s", line, column,
		    err->text);
	first->is_set = true;
}

int
acl_prepare(void *arg, struct span content, char **bytes, size_t *len,
    struct error *err)
{
	const struct acl *a = arg;
	struct first_error first = { err, false };
	struct cidr_list list = { NULL, 0, 0 };
	struct arena arena;
	struct cidr set;
	size_t wrong;

	wrong = cidr_parse(content, &list, note_line, &first);
	if (wrong > 0) {
		cidr_list_fini(&list);
		if (wrong > 1)
			error_set(err, "%s, and %zu more", err->text,
			    wrong - 1);
		return -1;
	}
	add_from(a, &list);
	arena_init(&arena, NULL);
	cidr_build(&set, &arena, &list);
	packed_make(&set, bytes, len);
	arena_fini(&arena);
	cidr_list_fini(&list);
	return 0;
}

int
acl_receive(void *arg, struct span content, struct error *err)
{
	struct acl *a = arg;
	char *memory = heap_alloc(content.len + 1);
	struct cidr set;

	memcpy(memory, content.p, content.len);
	if (packed_open(&set, span_of(memory, content.len), err) != 0) {
		free(memory);
		return -1;
	}
	free(a->memory);
	a->memory = memory;
	a->ranges = set;
	return 0;
}

/* ---- requests ---- */

bool
acl_has_client(const struct acl *a, const struct addr_ip *ip)
{
	if (!a->has_ranges)
		return true;
	return ip->family == AF_UNIX ? a->unix_clients
	    : cidr_has(&a->ranges, ip);
}

static bool
has_method(const struct acl *a, struct span method)
{
	for (size_t i = 0; i < a->methods.count; i++) {
		if (span_eq(method, span_cstr(a->methods.items[i])))
			return true;
	}
	return a->methods.count == 0;
}

/* "/a" has "/a" and "/a/b", not "/ab"; as routes do it. */
static bool
is_below(struct span path, struct span prefix)
{
	if (!span_starts(path, prefix))
		return false;
	return path.len == prefix.len || prefix.p[prefix.len - 1] == '/' ||
	    path.p[prefix.len] == '/';
}

bool
acl_has_request(const struct acl *a, const struct exchange *ex)
{
	struct span whole;

	if (!has_method(a, ex->req.method) ||
	    (a->path != NULL &&
	    !is_below(ex->match_path, span_cstr(a->path))) ||
	    !acl_has_client(a, &ex->client_ip))
		return false;
	if (a->path_regex == NULL)
		return true;
	switch (conf_regex_match(a->path_regex, ex->match_path, &whole, 1)) {
	case 0:
		return false;
	case 1:
		return true;
	default:
		/* It came to its limit: then let it be what is safe. */
		return a->action == ACL_DENY;
	}
}
