/* SPDX-License-Identifier: BSD-2-Clause */
/* options - walking the tables and what is nested in them. */
#include "master/options.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "conf/item.h"
#include "site/generation.h"

enum { DEPTH_MAX = 8, LINE_BYTES = 8192 };

static const char *
type_name(enum conf_type type)
{
	switch (type) {
	case CONF_TYPE_BOOL:
		return "bool";
	case CONF_TYPE_UINT:
		return "uint";
	case CONF_TYPE_SIZE:
		return "size";
	case CONF_TYPE_DURATION:
		return "duration";
	case CONF_TYPE_STRING:
		return "string";
	case CONF_TYPE_ENUM:
		return "enum";
	case CONF_TYPE_TEMPLATE:
		return "template";
	case CONF_TYPE_STRINGS:
		return "strings";
	case CONF_TYPE_UINTS:
		return "uints";
	case CONF_TYPE_ADDRESS:
		return "address";
	case CONF_TYPE_RANGES:
		return "ranges";
	case CONF_TYPE_REGEX:
		return "regex";
	case CONF_TYPE_MAP:
		return "map";
	case CONF_TYPE_GROUP:
		return "group";
	case CONF_TYPE_LIST:
		return "list";
	case CONF_TYPE_CUSTOM:
		return "custom";
	}
	return "?";
}

static void
put_string(struct str *s, const char *key, const char *value)
{
	str_printf(s, ", \"%s\": ", key);
	if (value == NULL) {
		str_lit(s, "null");
		return;
	}
	str_char(s, '"');
	str_json(s, span_cstr(value));
	str_char(s, '"');
}

static void
put_bool(struct str *s, const char *key, bool value)
{
	str_printf(s, ", \"%s\": %s", key, value ? "true" : "false");
}

static void
put_values(struct str *s, const struct conf_enum *values)
{
	str_lit(s, ", \"values\": [");
	for (size_t i = 0; values != NULL && values[i].name != NULL; i++) {
		str_cstr(s, i > 0 ? ", \"" : "\"");
		str_json(s, span_cstr(values[i].name));
		str_char(s, '"');
	}
	str_char(s, ']');
}

static void
print_item(FILE *out, const char *place, const struct conf_item *item)
{
	char memory[LINE_BYTES];
	struct str s;

	str_init(&s, memory, sizeof(memory));
	str_lit(&s, "{\"place\": \"");
	str_json(&s, span_cstr(place));
	str_char(&s, '"');
	put_string(&s, "name", item->name);
	put_string(&s, "type", type_name(item->type));
	put_string(&s, "default", item->def);
	str_printf(&s, ", \"min\": %llu, \"max\": %llu",
	    (unsigned long long)item->min, (unsigned long long)item->max);
	put_string(&s, "unit", item->unit);
	put_values(&s, item->values);
	put_string(&s, "help", item->help);
	put_bool(&s, "required", (item->flags & CONF_REQUIRED) != 0);
	put_bool(&s, "secret", (item->flags & CONF_SECRET) != 0);
	put_bool(&s, "restart", (item->flags & CONF_RESTART) != 0);
	fprintf(out, "%.*s}\n", SPAN_ARG(str_view(&s)));
}

static void
print_table(FILE *out, const char *place, const struct conf_table *table,
    unsigned depth)
{
	for (const struct conf_item *item = table->items; item->name != NULL;
	     item++) {
		char inner[512];

		print_item(out, place, item);
		if (item->table == NULL || depth == DEPTH_MAX)
			continue;
		snprintf(inner, sizeof(inner), "%s%s%s", place,
		    place[0] != '\0' ? "." : "", item->name);
		print_table(out, inner, item->table, depth + 1);
	}
}

static void
on_table(void *arg, const char *place, const struct conf_table *table)
{
	if (table != NULL)
		print_table(arg, place, table, 0);
}

void
options_print(FILE *out)
{
	generation_each_table(on_table, out);
}
