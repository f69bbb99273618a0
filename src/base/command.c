/* SPDX-License-Identifier: BSD-2-Clause */
/* command - words, rows, answers. */
#include "base/command.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/str.h"

enum { AROUND_BYTES = 8192 }; /* of an answer, beside the result */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* One word from line at *at on, its NUL included. */
static int
put_word(struct str *s, struct span line, size_t *at, struct error *err)
{
	bool is_quoted = false;
	size_t i = *at;

	for (; i < line.len && (is_quoted || !is_space(line.p[i])); i++) {
		if (line.p[i] == '"') {
			is_quoted = !is_quoted;
			continue;
		}
		if (is_quoted && line.p[i] == '\\' && ++i == line.len)
			break;
		str_char(s, line.p[i]);
	}
	*at = i;
	if (is_quoted)
		return error_set(err, "a quote is not closed");
	str_char(s, '\0');
	return 0;
}

static int
check_bytes(struct span line, struct error *err)
{
	if (line.len > COMMAND_LINE_MAX)
		return error_set(err, "the line is longer than %d bytes",
		    COMMAND_LINE_MAX);
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return error_set(err, "byte %zu of the line is a "
			    "control character", i + 1);
	}
	return 0;
}

int
command_split(struct command_words *w, struct span line, struct error *err)
{
	struct str s;
	size_t at = 0;

	w->count = 0;
	w->items[0] = NULL;
	if (check_bytes(line, err) != 0)
		return -1;
	str_init(&s, w->memory, sizeof(w->memory));
	for (;;) {
		while (at < line.len && is_space(line.p[at]))
			at++;
		if (at == line.len)
			break;
		if (w->count == COMMAND_WORDS_MAX)
			return error_set(err, "more than %d words",
			    COMMAND_WORDS_MAX);
		w->items[w->count] = s.p + s.len;
		if (put_word(&s, line, &at, err) != 0)
			return -1;
		w->items[++w->count] = NULL;
	}
	if (s.overflow)
		return error_set(err, "the line is too long");
	return w->count > 0 ? 0 : error_set(err, "the line is empty");
}

size_t
command_name_words(const struct command *row)
{
	size_t n = 1;

	for (const char *p = row->name; *p != '\0'; p++)
		n += *p == ' ';
	return n;
}

static bool
has_name(const struct command_words *w, const char *name)
{
	for (size_t i = 0; i < w->count; i++) {
		size_t len = strlen(w->items[i]);

		if (strncmp(name, w->items[i], len) != 0 ||
		    memchr(w->items[i], ' ', len) != NULL)
			return false;
		if (name[len] == '\0')
			return true;
		if (name[len] != ' ')
			return false;
		name += len + 1;
	}
	return false;
}

const struct command *
command_find(const struct command *rows, const struct command_words *w)
{
	const struct command *found = NULL;

	for (; rows->name != NULL; rows++) {
		if (has_name(w, rows->name) && (found == NULL ||
		    strlen(rows->name) > strlen(found->name)))
			found = rows;
	}
	return found;
}

int
command_check(const struct command *row, size_t arg_count, struct error *err)
{
	const char *p = row->arguments != NULL ? row->arguments : "";
	size_t least = 0, most = 0;
	bool is_open = false;

	while (*p != '\0') {
		size_t len = strcspn(p, " ");

		most++;
		least += *p != '[';
		is_open = is_open || memmem(p, len, "...", 3) != NULL;
		p += len;
		p += strspn(p, " ");
	}
	if (arg_count >= least && (arg_count <= most || is_open))
		return 0;
	return error_set(err, "%s; usage: %s%s%s", arg_count < least
	    ? "an argument is missing" : "too many arguments", row->name,
	    most > 0 ? " " : "",
	    row->arguments != NULL ? row->arguments : "");
}

void
command_answer(struct str *out, const char *error, struct span result)
{
	str_cstr(out, error == NULL ? "{\"ok\":true" :
	    "{\"ok\":false,\"error\":\"");
	if (error != NULL) {
		str_json(out, span_cstr(error));
		str_char(out, '"');
	}
	str_lit(out, ",\"result\":{");
	str_span(out, result);
	str_lit(out, "}}\n");
}

bool
command_run(const struct command *row, const struct command_words *w,
    const struct command_env *env, struct str *out)
{
	size_t name_words = command_name_words(row);
	size_t room = out->cap - out->len;
	struct error err = { "it failed" };
	struct str result;
	struct json json;
	struct command_call call = {
		.arg = env->arg,
		.request = env->request,
		.args = w->items + name_words,
		.arg_count = w->count - name_words,
		.json = &json,
		.err = &err,
	};
	int status = -1;

	room = room > AROUND_BYTES ? room - AROUND_BYTES : 0;
	str_init(&result, heap_alloc(room + 1), room);
	json_init(&json, &result);
	json_object(&json, NULL);
	if (command_check(row, call.arg_count, &err) == 0)
		status = row->run(&call);
	assert(json.depth == 1);
	if (status == COMMAND_LATER) {
		free(result.p);
		return false;
	}
	if (result.overflow) {
		error_set(&err, "the answer is too long");
		command_answer(out, err.text, span_of(NULL, 0));
	} else {
		command_answer(out, status == 0 ? NULL : err.text,
		    span_of(result.p + 1, result.len - 1));
	}
	free(result.p);
	return true;
}

void
command_list(const struct command *rows, struct json *j)
{
	for (; rows->name != NULL; rows++) {
		json_object(j, NULL);
		json_cstr(j, "name", rows->name);
		json_cstr(j, "arguments",
		    rows->arguments != NULL ? rows->arguments : "");
		json_cstr(j, "help", rows->help);
		json_close(j);
	}
}
