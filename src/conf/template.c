/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * template - one pass over the text makes a flat list of operations, and
 * evaluation walks it: no recursion, no allocation, no look-up by name.
 */
#include "conf/template.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "conf/nearest.h"

/* A run of plain text (value NULL), or a variable. */
struct op {
	template_fn *value;
	struct span text; /* of a variable: its full name */
	struct span arg;
	struct span fallback;
	bool has_fallback;
};

struct template {
	struct span written;
	struct op *ops;
	size_t count;
	bool is_constant;
};

struct compiler {
	struct arena *arena;
	const struct template_vars *vars;
	struct error *err;
	struct span rest; /* not yet read */
	struct template *t;
};

/* Every operation but the last text ends at a '$'. */
static size_t
count_ops(struct span text)
{
	size_t dollars = 0;

	for (size_t i = 0; i < text.len; i++)
		dollars += text.p[i] == '$';
	return dollars * 2 + 1;
}

static bool
is_prefix(const struct template_var *var)
{
	size_t len = strlen(var->name);

	return len > 0 && var->name[len - 1] == '.';
}

/* The longest prefix wins, an exact name over all. */
static const struct template_var *
find_var(const struct template_vars *vars, struct span name)
{
	const struct template_var *found = NULL;
	size_t found_len = 0;

	for (size_t i = 0; i < vars->count; i++) {
		const struct template_var *var = &vars->items[i];
		struct span known = span_cstr(var->name);

		if (span_eq(name, known) && !is_prefix(var))
			return var;
		if (is_prefix(var) && span_starts(name, known) &&
		    known.len > found_len) {
			found = var;
			found_len = known.len;
		}
	}
	return found;
}

static struct span
cut_front(struct span s, size_t len)
{
	return span_of(s.p + len, s.len - len);
}

/* As much of name as the prefix has dots; without them if it has fewer. */
static struct span
head_of(struct span name, const char *prefix)
{
	size_t dots = 0;

	for (const char *c = prefix; *c != '\0'; c++)
		dots += *c == '.';
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] == '.' && --dots == 0)
			return span_of(name.p, i + 1);
	}
	return name;
}

/* Enough of a text to recognise it in a message. */
static struct span
some_of(struct span s)
{
	return span_of(s.p, s.len < 60 ? s.len : 60);
}

static int
unknown(const struct compiler *c, struct span name)
{
	const struct template_var *best = NULL;
	size_t distance = SIZE_MAX;

	for (size_t i = 0; i < c->vars->count; i++) {
		const struct template_var *var = &c->vars->items[i];
		struct nearest n;

		nearest_init(&n, is_prefix(var) ?
		    head_of(name, var->name) : name);
		nearest_offer(&n, var->name);
		if (n.best != NULL && n.distance < distance) {
			best = var;
			distance = n.distance;
		}
	}
	if (best == NULL)
		return error_set(c->err, "unknown variable `${%.*s}`",
		    SPAN_ARG(some_of(name)));
	return error_set(c->err, "unknown variable `${%.*s}`; did you mean "
	    "`${%s%s}`?", SPAN_ARG(some_of(name)), best->name,
	    is_prefix(best) ? "NAME" : "");
}

/* Of a name as written: why it cannot be one, or NULL. */
static const char *
misshapen(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == ' ' || c == '\t')
			return "a name holds no blanks";
		if (c < 0x20 || c == 0x7f)
			return "a name holds no control characters";
		if (c == '$' || c == '{')
			return "a variable cannot stand inside another's name";
	}
	return NULL;
}

static int
resolve(const struct compiler *c, struct span name, struct op *op)
{
	const struct template_var *var;
	const char *fault = misshapen(name);

	if (name.len == 0)
		return error_set(c->err, "`${}` names no variable");
	if (fault != NULL)
		return error_set(c->err, "in `${%.*s}`: %s",
		    SPAN_ARG(some_of(name)), fault);
	var = find_var(c->vars, name);
	if (var == NULL)
		return unknown(c, name);
	op->value = var->value;
	op->text = name;
	op->arg = cut_front(name, is_prefix(var) ? strlen(var->name) :
	    name.len);
	if (is_prefix(var) && op->arg.len == 0)
		return error_set(c->err,
		    "`${%s}` needs a name behind its last dot", var->name);
	if (is_prefix(var) && var->check != NULL)
		return var->check(c->vars->context, op->arg, c->err);
	return 0;
}

/* "$$" to "$"; any other '$' is refused. */
static int
read_fallback(const struct compiler *c, struct span text, struct op *op)
{
	char *plain = arena_alloc(c->arena, text.len);
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '$' &&
		    (i + 1 == text.len || text.p[++i] != '$'))
			return error_set(c->err, "the default `%.*s` is plain "
			    "text: it cannot hold another variable, and a "
			    "dollar sign is written `$$`",
			    SPAN_ARG(some_of(text)));
		plain[len++] = text.p[i];
	}
	op->fallback = span_of(plain, len);
	op->has_fallback = true;
	return 0;
}

/* Where name ends: at ":-", at a ':' that stands for a mistake, at its end. */
static size_t
name_len(struct span inside)
{
	for (size_t i = 0; i + 1 < inside.len; i++) {
		if (inside.p[i] == ':' && inside.p[i + 1] == '-')
			return i;
	}
	return inside.len;
}

/* At "${". */
static int
compile_var(struct compiler *c)
{
	struct op *op = &c->t->ops[c->t->count];
	const char *end = memchr(c->rest.p, '}', c->rest.len);
	struct span inside, name;
	size_t len;

	memset(op, 0, sizeof(*op));
	if (end == NULL)
		return error_set(c->err, "`%.*s` is not closed: `}` is missing",
		    SPAN_ARG(some_of(c->rest)));
	inside = span_of(c->rest.p + 2, (size_t)(end - c->rest.p) - 2);
	len = name_len(inside);
	name = span_of(inside.p, len);
	if (len == inside.len && memchr(name.p, ':', len) != NULL)
		return error_set(c->err, "in `${%.*s}`: a default is written "
		    "behind `:-`", SPAN_ARG(some_of(inside)));
	if (resolve(c, name, op) != 0)
		return -1;
	if (len < inside.len &&
	    read_fallback(c, cut_front(inside, len + 2), op) != 0)
		return -1;
	c->t->count++;
	c->t->is_constant = false;
	c->rest = cut_front(c->rest, (size_t)(end + 1 - c->rest.p));
	return 0;
}

static void
compile_text(struct compiler *c, size_t len)
{
	struct op *op = &c->t->ops[c->t->count];

	if (len == 0)
		return;
	memset(op, 0, sizeof(*op));
	op->text = span_of(c->rest.p, len);
	c->t->count++;
}

/* The text up to the next '$', and what the '$' begins. */
static int
compile_next(struct compiler *c)
{
	const char *dollar = memchr(c->rest.p, '$', c->rest.len);
	size_t len;

	if (dollar == NULL) {
		compile_text(c, c->rest.len);
		c->rest.len = 0;
		return 0;
	}
	len = (size_t)(dollar - c->rest.p);
	if (len + 1 < c->rest.len && dollar[1] == '$') {
		compile_text(c, len + 1);
		c->rest = cut_front(c->rest, len + 2);
		return 0;
	}
	compile_text(c, len);
	c->rest = cut_front(c->rest, len);
	if (c->rest.len > 1 && dollar[1] == '{')
		return compile_var(c);
	return error_set(c->err, "a lone `$` at byte %zu: a variable is "
	    "written `${name}`, a dollar sign `$$`",
	    c->t->written.len - c->rest.len + 1);
}

/* A constant is one text, so that its value can be borrowed. */
static void
join_constant(struct template *t, struct arena *a)
{
	struct str all;

	if (!t->is_constant || t->count < 2)
		return;
	str_init(&all, arena_alloc(a, t->written.len), t->written.len);
	for (size_t i = 0; i < t->count; i++)
		str_span(&all, t->ops[i].text);
	t->ops[0].text = str_view(&all);
	t->count = 1;
}

const struct template *
template_compile(struct arena *a, struct span text,
    const struct template_vars *vars, struct error *err)
{
	static const struct template_vars none;
	struct template *t = arena_zalloc(a, sizeof(*t));
	struct compiler c = { .arena = a, .err = err, .t = t };

	c.vars = vars != NULL ? vars : &none;
	t->written = span_of(arena_dup(a, text), text.len);
	t->ops = arena_alloc(a, count_ops(text) * sizeof(*t->ops));
	t->is_constant = true;
	c.rest = t->written;
	while (c.rest.len > 0) {
		if (compile_next(&c) != 0)
			return NULL;
	}
	join_constant(t, a);
	return t;
}

void
template_eval(const struct template *t, const void *subject,
    struct str *out)
{
	for (size_t i = 0; i < t->count && !out->overflow; i++) {
		const struct op *op = &t->ops[i];
		size_t before = out->len;

		if (op->value == NULL) {
			str_span(out, op->text);
			continue;
		}
		if (!op->value(subject, op->arg, out)) {
			out->len = before;
			out->overflow = false;
		}
		if (op->has_fallback && out->len == before && !out->overflow)
			str_span(out, op->fallback);
	}
}

void
template_each_piece(const struct template *t, const void *subject,
    struct str *scratch, template_piece_fn *fn, void *arg)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct op *op = &t->ops[i];
		struct template_piece piece = { .bytes = op->text };

		if (op->value != NULL) {
			scratch->len = 0;
			scratch->overflow = false;
			if (!op->value(subject, op->arg, scratch))
				scratch->len = 0;
			piece.bytes = str_view(scratch);
			piece.is_value = true;
			piece.is_cut = scratch->overflow;
			if (scratch->len == 0 && !scratch->overflow)
				piece.bytes = op->fallback;
		}
		fn(arg, &piece);
	}
}

bool
template_is_constant(const struct template *t, struct span *text)
{
	if (!t->is_constant)
		return false;
	*text = t->count > 0 ? t->ops[0].text : span_of("", 0);
	return true;
}

struct span
template_text(const struct template *t)
{
	return t->written;
}

void
template_each_var(const struct template *t,
    void (*fn)(void *arg, struct span name), void *arg)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->ops[i].value != NULL)
			fn(arg, t->ops[i].text);
	}
}
