/* SPDX-License-Identifier: BSD-2-Clause */
/* rows - the rows of option tables, for programs. */
#include "conf/rows.h"

#include <inttypes.h>

#include "base/str.h"
#include "conf/item.h"
#include "conf/measure.h"
#include "conf/template.h"

enum { LINE_BYTES_MAX = 16384 };

static const char *
type_name(enum conf_type type)
{
	static const char *const names[] = {
		[CONF_TYPE_BOOL] = "boolean",
		[CONF_TYPE_UINT] = "integer",
		[CONF_TYPE_SIZE] = "size",
		[CONF_TYPE_DURATION] = "duration",
		[CONF_TYPE_STRING] = "string",
		[CONF_TYPE_ENUM] = "word",
		[CONF_TYPE_TEMPLATE] = "template",
		[CONF_TYPE_STRINGS] = "strings",
		[CONF_TYPE_UINTS] = "integers",
		[CONF_TYPE_ADDRESS] = "address",
		[CONF_TYPE_RANGES] = "ranges",
		[CONF_TYPE_REGEX] = "regex",
		[CONF_TYPE_MAP] = "map",
		[CONF_TYPE_GROUP] = "group",
		[CONF_TYPE_LIST] = "list",
		[CONF_TYPE_CUSTOM] = "custom",
	};

	return names[type];
}

/* ,"key":"text" or ,"key":null */
static void
json_text(struct str *line, const char *key, const char *text)
{
	str_printf(line, ",\"%s\":", key);
	if (text == NULL) {
		str_lit(line, "null");
		return;
	}
	str_char(line, '"');
	str_json(line, span_cstr(text));
	str_char(line, '"');
}

static void
json_range(struct str *line, const struct conf_item *item)
{
	void (*put)(struct str *text, uint64_t n) = str_u64;
	bool is_open = item->type == CONF_TYPE_UINT ?
	    item->max >= UINT32_MAX : item->max >= INT64_MAX;
	char memory[80];
	struct str text;

	if (item->min == 0 && (item->max == 0 || is_open)) {
		str_lit(line, ",\"min\":null,\"max\":null,\"range\":null");
		return;
	}
	if (item->type == CONF_TYPE_SIZE)
		put = measure_put_size;
	else if (item->type == CONF_TYPE_DURATION)
		put = measure_put_duration;
	str_init(&text, memory, sizeof(memory));
	str_cstr(&text, is_open ? "at least " : "");
	put(&text, item->min);
	if (!is_open) {
		str_lit(&text, " to ");
		put(&text, item->max);
	}
	str_printf(line, ",\"min\":%" PRIu64 ",\"max\":%" PRIu64, item->min,
	    item->max);
	json_text(line, "range", str_terminate(&text));
}

static void
json_words(struct str *line, const struct conf_enum *values)
{
	str_lit(line, ",\"values\":[");
	for (const struct conf_enum *v = values;
	    v != NULL && v->name != NULL; v++) {
		str_cstr(line, v == values ? "\"" : ",\"");
		str_json(line, span_cstr(v->name));
		str_char(line, '"');
	}
	str_char(line, ']');
}

static void
json_flags(struct str *line, unsigned flags)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {
		{ CONF_REQUIRED, "required" },
		{ CONF_SECRET, "secret" },
		{ CONF_RESTART, "restart" },
		{ CONF_FIELD_NAME, "field_name" },
		{ CONF_NOT_IN_ROUTE, "not_in_route" },
	};
	bool has_one = false;

	str_lit(line, ",\"flags\":[");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((flags & names[i].flag) == 0)
			continue;
		str_printf(line, "%s\"%s\"", has_one ? "," : "",
		    names[i].name);
		has_one = true;
	}
	str_char(line, ']');
}

static void
json_item(FILE *out, const struct conf_item *item, const char *path)
{
	char memory[LINE_BYTES_MAX];
	struct str line;

	str_init(&line, memory, sizeof(memory));
	str_lit(&line, "{\"path\":\"");
	str_json(&line, span_cstr(path));
	str_char(&line, '"');
	json_text(&line, "name", item->name);
	json_text(&line, "type", type_name(item->type));
	json_text(&line, "default", item->def);
	json_range(&line, item);
	json_text(&line, "unit", item->unit);
	json_words(&line, item->values);
	json_text(&line, "help", item->help);
	json_flags(&line, item->flags);
	str_char(&line, '}');
	fprintf(out, "%s\n", str_terminate(&line));
}

void
conf_rows_items(FILE *out, const struct conf_table *table,
    const char *path)
{
	char memory[256];
	struct str inner;

	for (const struct conf_item *item = table->items; item->name != NULL;
	    item++) {
		json_item(out, item, path);
		if (item->table == NULL)
			continue;
		str_init(&inner, memory, sizeof(memory));
		str_cstr(&inner, path);
		if (inner.len > 0)
			str_char(&inner, '.');
		str_cstr(&inner, item->name);
		conf_rows_items(out, item->table, str_terminate(&inner));
	}
}

void
conf_rows_vars(FILE *out, const struct template_vars *vars)
{
	char memory[LINE_BYTES_MAX];
	struct str line;

	for (size_t i = 0; i < vars->count; i++) {
		str_init(&line, memory, sizeof(memory));
		str_lit(&line, "{\"variable\":\"");
		str_json(&line, span_cstr(vars->items[i].name));
		str_char(&line, '"');
		json_text(&line, "help", vars->items[i].help);
		str_char(&line, '}');
		fprintf(out, "%s\n", str_terminate(&line));
	}
}
