/* SPDX-License-Identifier: BSD-2-Clause */
/* json - names, commas and values. */
#include "base/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

void
json_init(struct json *j, struct str *out)
{
	*j = (struct json){ .out = out };
}

static bool
is_in_array(const struct json *j)
{
	return j->depth == 0 || (j->is_array >> (j->depth - 1) & 1) != 0;
}

/* What stands before a value. */
static void
begin_value(struct json *j, const char *name)
{
	assert(is_in_array(j) == (name == NULL));
	if (j->has_value)
		str_char(j->out, ',');
	j->has_value = true;
	if (name == NULL)
		return;
	str_char(j->out, '"');
	str_json(j->out, span_cstr(name));
	str_lit(j->out, "\":");
}

static void
open_value(struct json *j, const char *name, bool is_array)
{
	assert(j->depth < JSON_DEPTH_MAX);
	begin_value(j, name);
	str_char(j->out, is_array ? '[' : '{');
	j->is_array &= ~(UINT32_C(1) << j->depth);
	j->is_array |= (uint32_t)is_array << j->depth;
	j->depth++;
	j->has_value = false;
}

void
json_object(struct json *j, const char *name)
{
	open_value(j, name, false);
}

void
json_array(struct json *j, const char *name)
{
	open_value(j, name, true);
}

void
json_close(struct json *j)
{
	assert(j->depth > 0);
	str_char(j->out, is_in_array(j) ? ']' : '}');
	j->depth--;
	j->has_value = true;
}

void
json_span(struct json *j, const char *name, struct span value)
{
	begin_value(j, name);
	str_char(j->out, '"');
	str_json(j->out, value);
	str_char(j->out, '"');
}

void
json_cstr(struct json *j, const char *name, const char *value)
{
	if (value == NULL)
		json_null(j, name);
	else
		json_span(j, name, span_cstr(value));
}

void
json_printf(struct json *j, const char *name, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		text[0] = '\0';
	json_cstr(j, name, text);
}

void
json_u64(struct json *j, const char *name, uint64_t value)
{
	begin_value(j, name);
	str_u64(j->out, value);
}

void
json_i64(struct json *j, const char *name, int64_t value)
{
	uint64_t size = (uint64_t)value;

	begin_value(j, name);
	if (value < 0) {
		str_char(j->out, '-');
		size = -size;
	}
	str_u64(j->out, size);
}

void
json_bool(struct json *j, const char *name, bool value)
{
	begin_value(j, name);
	str_cstr(j->out, value ? "true" : "false");
}

void
json_null(struct json *j, const char *name)
{
	begin_value(j, name);
	str_lit(j->out, "null");
}

void
json_raw(struct json *j, const char *name, struct span value)
{
	begin_value(j, name);
	str_span(j->out, value);
}
