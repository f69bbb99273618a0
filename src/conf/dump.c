/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump - writes values by the type of their row.
 *
 * Inheritance copies whole structs, so where a value is from is asked for by
 * the outermost struct and the offset in it.
 */
#include "conf/dump.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/str.h"
#include "conf/measure.h"
#include "conf/origins.h"
#include "conf/template.h"

enum { CUSTOM_BYTES_MAX = 65536 }; /* of a value that a CUSTOM row prints */

/* A table's struct lies at offset in the struct whose origins are known. */
struct source {
	const void *base;
	size_t offset;
};

static void put_table(const struct conf_dump *d,
    const struct conf_table *table, struct source from);

static struct source
at_item(struct source from, const struct conf_item *item)
{
	from.offset += item->offset;
	return from;
}

static const void *
field_of(struct source from)
{
	return (const char *)from.base + from.offset;
}

void
conf_dump_quoted(FILE *out, struct span text)
{
	putc('"', out);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static void
put_indent(const struct conf_dump *d)
{
	for (unsigned i = 0; i < d->indent; i++)
		putc('\t', d->out);
}

/* Behind the value: where it is from, and the end of the line. */
static void
put_place(const struct conf_dump *d, const struct conf_place *place)
{
	fputs(" # ", d->out);
	if (place == NULL) {
		fputs("default", d->out);
	} else {
		for (const char *c = place->file; c != NULL && *c != '\0'; c++)
			putc((unsigned char)*c < 0x20 ? '?' : *c, d->out);
		if (place->line > 0)
			fprintf(d->out, ":%u", place->line);
	}
	putc('\n', d->out);
}

/* An integer beyond 31 bits needs an L. */
static void
put_number(FILE *out, uint64_t n)
{
	fprintf(out, "%" PRIu64 "%s", n, n > INT32_MAX ? "L" : "");
}

/* As the manual says it, where it is the default: "60s" rather than "1m". */
static void
put_measure(FILE *out, const struct conf_item *item, uint64_t n)
{
	bool is_size = item->type == CONF_TYPE_SIZE;
	struct span def = span_cstr(item->def);
	struct error ignored;
	char memory[32];
	struct str text;
	uint64_t value;

	str_init(&text, memory, sizeof(memory));
	if ((is_size ? measure_size(def, &value, &ignored) :
	    measure_duration(def, &value, &ignored)) == 0 && value == n)
		str_span(&text, def);
	else if (is_size)
		measure_put_size(&text, n);
	else
		measure_put_duration(&text, n);
	if (n == 0)
		putc('0', out);
	else
		conf_dump_quoted(out, str_view(&text));
}

static bool
put_word(FILE *out, const struct conf_enum *values, uint32_t n)
{
	for (; values != NULL && values->name != NULL; values++) {
		if (values->value != n)
			continue;
		conf_dump_quoted(out, span_cstr(values->name));
		return true;
	}
	return false;
}

static void
put_address(FILE *out, const struct addr_spec *spec)
{
	char memory[512];
	struct str text;

	str_init(&text, memory, sizeof(memory));
	if (spec->is_name || spec->is_any)
		str_printf(&text, "%s:%u", spec->is_name ? spec->host : "",
		    (unsigned)spec->port);
	else
		addr_put(&text, &spec->addr);
	conf_dump_quoted(out, str_view(&text));
}

static void
put_range(FILE *out, const struct addr_range *range)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct addr_ip ip = { .family = AF_INET6 };
	unsigned bits = range->bits;
	char memory[80];
	struct str text;

	memcpy(ip.bytes, range->bytes, sizeof(ip.bytes));
	if (bits >= 96 && memcmp(ip.bytes, mapped, sizeof(mapped)) == 0) {
		ip.family = AF_INET;
		bits -= 96;
	}
	str_init(&text, memory, sizeof(memory));
	addr_ip_put(&text, &ip);
	str_printf(&text, "/%u", bits);
	conf_dump_quoted(out, str_view(&text));
}

static void
put_strings(FILE *out, const struct conf_strings *all)
{
	putc('[', out);
	for (size_t i = 0; i < all->count; i++) {
		fputs(i > 0 ? ", " : " ", out);
		conf_dump_quoted(out, span_cstr(all->items[i]));
	}
	fputs(" ]", out);
}

static void
put_uints(FILE *out, const struct conf_uints *all)
{
	putc('(', out);
	for (size_t i = 0; i < all->count; i++) {
		fputs(i > 0 ? ", " : " ", out);
		put_number(out, all->items[i]);
	}
	fputs(" )", out);
}

static void
put_ranges(FILE *out, const struct conf_ranges *all)
{
	putc('[', out);
	for (size_t i = 0; i < all->count; i++) {
		fputs(i > 0 ? ", " : " ", out);
		put_range(out, &all->items[i]);
	}
	fputs(" ]", out);
}

/* A CUSTOM row's own text; false if it has none. */
static bool
put_custom(FILE *out, const struct conf_item *item, const void *field)
{
	char *memory;
	struct str text;

	if (item->print == NULL)
		return false;
	memory = heap_alloc(CUSTOM_BYTES_MAX);
	str_init(&text, memory, CUSTOM_BYTES_MAX);
	item->print(field, &text);
	if (!text.overflow)
		fwrite(text.p, 1, text.len, out);
	free(memory);
	return !text.overflow && text.len > 0;
}

/*
 * A value that takes one line; false if there is none to print.  Those of
 * pointers are not asked for when they are NULL.
 */
static bool
put_value(FILE *out, const struct conf_item *item, const void *field)
{
	switch (item->type) {
	case CONF_TYPE_BOOL:
		fputs(*(const bool *)field ? "true" : "false", out);
		return true;
	case CONF_TYPE_UINT:
	case CONF_TYPE_ENUM:
		if (!put_word(out, item->values, *(const uint32_t *)field))
			put_number(out, *(const uint32_t *)field);
		return true;
	case CONF_TYPE_SIZE:
	case CONF_TYPE_DURATION:
		put_measure(out, item, *(const uint64_t *)field);
		return true;
	case CONF_TYPE_STRING:
		conf_dump_quoted(out,
		    span_cstr(*(const char *const *)field));
		return true;
	case CONF_TYPE_TEMPLATE:
		conf_dump_quoted(out,
		    template_text(*(const struct template *const *)field));
		return true;
	case CONF_TYPE_STRINGS:
		put_strings(out, field);
		return true;
	case CONF_TYPE_UINTS:
		put_uints(out, field);
		return true;
	case CONF_TYPE_ADDRESS:
		put_address(out, *(const struct addr_spec *const *)field);
		return true;
	case CONF_TYPE_RANGES:
		put_ranges(out, field);
		return true;
	case CONF_TYPE_REGEX:
		conf_dump_quoted(out, span_cstr(
		    (*(const struct conf_regex *const *)field)->text));
		return true;
	case CONF_TYPE_CUSTOM:
		return put_custom(out, item, field);
	case CONF_TYPE_MAP:
	case CONF_TYPE_GROUP:
	case CONF_TYPE_LIST:
		break;
	}
	return false;
}

/* Without a value: pointers that are NULL, and all ones for "the other's". */
static bool
is_unset(const struct conf_item *item, const void *field)
{
	switch (item->type) {
	case CONF_TYPE_STRING:
	case CONF_TYPE_TEMPLATE:
	case CONF_TYPE_ADDRESS:
	case CONF_TYPE_REGEX:
		return *(const void *const *)field == NULL;
	case CONF_TYPE_SIZE:
	case CONF_TYPE_DURATION:
		return *(const uint64_t *)field == CONF_UNSET;
	case CONF_TYPE_BOOL:
	case CONF_TYPE_UINT:
	case CONF_TYPE_ENUM:
	case CONF_TYPE_STRINGS:
	case CONF_TYPE_UINTS:
	case CONF_TYPE_RANGES:
	case CONF_TYPE_MAP:
	case CONF_TYPE_GROUP:
	case CONF_TYPE_LIST:
	case CONF_TYPE_CUSTOM:
		break;
	}
	return false;
}

static void
put_map(const struct conf_dump *d, const struct conf_map *map,
    bool is_secret)
{
	struct conf_dump inner = *d;

	inner.indent++;
	for (size_t i = 0; i < map->count; i++) {
		put_indent(&inner);
		fprintf(d->out, "%s = ", map->items[i].name);
		conf_dump_quoted(d->out, is_secret ? SPAN("****") :
		    template_text(map->items[i].value));
		putc(';', d->out);
		if (d->origins != NULL)
			put_place(d, &map->items[i].place);
		else
			putc('\n', d->out);
	}
}

static void
put_list(const struct conf_dump *d, const struct conf_table *table,
    const struct conf_list *list)
{
	struct conf_dump braces = *d, inner = *d;

	braces.indent++;
	inner.indent += 2;
	for (size_t i = 0; i < list->count; i++) {
		const char *element = (const char *)list->items +
		    i * table->struct_bytes;

		put_indent(&braces);
		fputs("{\n", d->out);
		put_table(&inner, table, (struct source){ element, 0 });
		put_indent(&braces);
		fputs(i + 1 < list->count ? "},\n" : "}\n", d->out);
	}
}

/* GROUPs, LISTs and MAPs: more than a line, unless they are empty. */
static void
put_block(const struct conf_dump *d, const struct conf_item *item,
    struct source from, const struct conf_place *place)
{
	struct conf_dump inner = *d;
	const struct conf_list *list = field_of(from);
	const struct conf_map *map = field_of(from);
	bool is_list = item->type == CONF_TYPE_LIST;

	put_indent(d);
	fprintf(d->out, "%s = %s", item->name, is_list ? "(" : "{");
	inner.indent++;
	if (item->type == CONF_TYPE_GROUP) {
		putc('\n', d->out);
		put_table(&inner, item->table, from);
	} else if (is_list ? list->count == 0 : map->count == 0) {
		fputs(is_list ? " );" : " };", d->out);
		put_place(d, place);
		return;
	} else {
		put_place(d, place);
		if (is_list)
			put_list(d, item->table, list);
		else
			put_map(d, map, (item->flags & CONF_SECRET) != 0);
	}
	put_indent(d);
	fputs(is_list ? ");\n" : "};\n", d->out);
}

static void
put_line(const struct conf_dump *d, const struct conf_item *item,
    struct source from, const struct conf_place *place)
{
	const void *field = field_of(from);
	char *text = NULL;
	size_t len = 0;
	FILE *value;
	bool has_value = false;

	put_indent(d);
	if ((item->flags & CONF_SECRET) != 0 && !is_unset(item, field)) {
		fprintf(d->out, "%s = \"****\";", item->name);
		put_place(d, place);
		return;
	}
	value = open_memstream(&text, &len);
	if (value != NULL) {
		has_value = !is_unset(item, field) &&
		    put_value(value, item, field);
		fclose(value);
	}
	if (has_value) {
		fprintf(d->out, "%s = %s;", item->name, text);
		put_place(d, place);
	} else {
		fprintf(d->out, "# %s is %s", item->name,
		    place != NULL ? "not shown;" : "unset;");
		put_place(d, place);
	}
	free(text);
}

static const struct conf_place *
place_of(const struct conf_dump *d, struct source from)
{
	if (d->only_set)
		return conf_origins_own(d->origins, field_of(from));
	return conf_origins_get(d->origins, from.base, from.offset);
}

/* Whether anything of the table is to be shown. */
static bool
is_shown(const struct conf_dump *d, const struct conf_item *item,
    struct source from)
{
	if ((item->flags & d->hidden) != 0 ||
	    (item->type == CONF_TYPE_CUSTOM && item->print == NULL))
		return false;
	if (!d->only_set)
		return true;
	if (item->type != CONF_TYPE_GROUP)
		return place_of(d, from) != NULL;
	if (item->present != 0 && place_of(d, (struct source){ from.base,
	    from.offset - item->offset + item->present }) != NULL)
		return true;
	for (const struct conf_item *i = item->table->items; i->name != NULL;
	    i++) {
		if (is_shown(d, i, at_item(from, i)))
			return true;
	}
	return false;
}

/* A GROUP that says whether it was given, and was not. */
static bool
is_absent(const struct conf_item *item, struct source from)
{
	return item->type == CONF_TYPE_GROUP && item->present != 0 &&
	    !*(const bool *)((const char *)from.base + from.offset +
	    item->present);
}

static void
put_table(const struct conf_dump *d, const struct conf_table *table,
    struct source from)
{
	for (const struct conf_item *item = table->items; item->name != NULL;
	    item++) {
		struct source field = at_item(from, item);

		if (is_absent(item, from) || !is_shown(d, item, field))
			continue;
		if (item->type == CONF_TYPE_GROUP ||
		    item->type == CONF_TYPE_LIST ||
		    item->type == CONF_TYPE_MAP)
			put_block(d, item, field, place_of(d, field));
		else
			put_line(d, item, field, place_of(d, field));
	}
}

static void
put_scalar(FILE *out, const struct conf_node *node)
{
	switch (node->type) {
	case CONF_NODE_STRING:
		conf_dump_quoted(out, node->v.string);
		break;
	case CONF_NODE_INT:
		/* In an array all have an L or none has. */
		fprintf(out, "%" PRId64 "%s", node->v.integer,
		    node->v.integer > INT32_MAX ||
		    node->v.integer < INT32_MIN || (node->parent != NULL &&
		    node->parent->type == CONF_NODE_ARRAY) ? "L" : "");
		break;
	case CONF_NODE_FLOAT:
		fprintf(out, "%.17e", node->v.real);
		break;
	case CONF_NODE_BOOL:
		fputs(node->v.boolean ? "true" : "false", out);
		break;
	case CONF_NODE_GROUP:
	case CONF_NODE_LIST:
	case CONF_NODE_ARRAY:
		break;
	}
}

void
conf_dump_node(const struct conf_dump *d, const struct conf_node *node)
{
	static const char *const brackets[] = {
		[CONF_NODE_GROUP] = "{}",
		[CONF_NODE_LIST] = "()",
		[CONF_NODE_ARRAY] = "[]",
	};
	struct conf_dump inner = *d;
	bool is_element = node->name == NULL;

	put_indent(d);
	if (!is_element)
		fprintf(d->out, "%s = ", node->name);
	inner.indent++;
	if (node->type == CONF_NODE_GROUP || node->type == CONF_NODE_LIST ||
	    node->type == CONF_NODE_ARRAY) {
		fprintf(d->out, "%c\n", brackets[node->type][0]);
		for (const struct conf_node *n = node->first; n != NULL;
		    n = n->next)
			conf_dump_node(&inner, n);
		put_indent(d);
		putc(brackets[node->type][1], d->out);
	} else {
		put_scalar(d->out, node);
	}
	if (!is_element)
		putc(';', d->out);
	else if (node->next != NULL)
		putc(',', d->out);
	put_place(d, &node->place);
}

void
conf_dump_table(const struct conf_dump *d, const struct conf_table *table,
    const void *conf)
{
	put_table(d, table, (struct source){ conf, 0 });
}
