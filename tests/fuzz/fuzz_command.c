/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the control socket: no line breaks the words or the answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/command.h"
#include "base/error.h"
#include "base/str.h"
#include "splits.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int
answer(struct command_call *call)
{
	size_t i = 0;

	json_array(call->json, "args");
	for (; i < call->arg_count; i++)
		json_cstr(call->json, NULL, call->args[i]);
	json_close(call->json);
	CHECK(call->args[i] == NULL);
	return 0;
}

static const struct command rows[] = {
	{ "status", NULL, "h", false, answer },
	{ "upstream", "NAME [BACKEND]", "h", false, answer },
	{ "upstream drain", "NAME BACKEND", "h", true, answer },
	{ "many", "[KEY...]", "h", true, answer },
	{ .name = NULL },
};

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct command_words w;
	static char memory[1 << 16];
	struct command_env env = { .arg = NULL };
	const struct command *row;
	struct error err;
	struct str out;
	char *copy = malloc(len > 0 ? len : 1);

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	if (command_split(&w, span_of(copy, len), &err) == 0) {
		CHECK(w.count > 0 && w.items[w.count] == NULL);
		str_init(&out, memory, sizeof(memory));
		row = command_find(rows, &w);
		if (row != NULL) {
			CHECK(command_run(row, &w, &env, &out));
			CHECK(!out.overflow && out.len > 2);
			CHECK(memchr(out.p, '\n', out.len - 1) == NULL);
		}
	}
	free(copy);
	return 0;
}
