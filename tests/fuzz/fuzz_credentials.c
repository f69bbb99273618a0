/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Authorization, Cookie and the query: a value has one reading, and what was
 * taken out is gone.  The first byte says which, the rest is the value.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../modules/auth/credentials.h"
#include "../../modules/auth/htpasswd.h"

#define NAME SPAN("key")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_authorization(struct span value)
{
	char memory[CREDENTIALS_PAIR_MAX + 1];
	struct span user, password, rest;

	if (credentials_basic(value, memory, &user, &password) ==
	    CREDENTIALS_FOUND) {
		assert(htpasswd_is_name(user));
		assert(memchr(user.p, ':', user.len) == NULL);
		assert(strlen(password.p) == password.len);
	}
	if (credentials_scheme(value, SPAN("Bearer"), &rest) ==
	    CREDENTIALS_FOUND)
		assert(rest.len > 0 && *rest.p != ' ');
}

static void
check_cookie(struct span value)
{
	enum credentials before, after;
	size_t room = 2 * value.len + 1;
	char *memory = malloc(room);
	struct span found;
	struct str out;

	str_init(&out, memory, room);
	before = credentials_cookie(value, NAME, &found);
	if (before == CREDENTIALS_FOUND)
		assert(found.len > 0 && found.p >= value.p &&
		    found.p + found.len <= value.p + value.len);
	credentials_drop_cookie(&out, value, NAME);
	assert(!out.overflow);
	after = credentials_cookie(str_view(&out), NAME, &found);
	assert(after == CREDENTIALS_NONE);
	free(memory);
}

static void
check_query(struct span value)
{
	char key[CREDENTIALS_KEY_MAX];
	size_t room = 2 * value.len + 8;
	char *memory = malloc(room);
	enum credentials before;
	struct span found;
	struct str out;

	before = credentials_arg(value, NAME, key, &found);
	str_init(&out, memory, room);
	credentials_drop_arg(&out, value, NAME);
	assert(!out.overflow && out.len <= value.len);
	assert(credentials_arg(str_view(&out), NAME, key, &found) ==
	    CREDENTIALS_NONE);
	out.len = 0;
	(void)credentials_hide_arg(&out, value, NAME);
	assert(!out.overflow);
	if (before == CREDENTIALS_FOUND)
		assert(credentials_arg(str_view(&out), NAME, key, &found) ==
		    CREDENTIALS_FOUND && span_eq(found, SPAN("***")));
	free(memory);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;
	struct span value;

	if (size == 0)
		return 0;
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	value = span_of(copy, size - 1);
	switch (data[0]) {
	case 'a':
		check_authorization(value);
		break;
	case 'c':
		check_cookie(value);
		break;
	default:
		check_query(value);
		break;
	}
	free(copy);
	return 0;
}
