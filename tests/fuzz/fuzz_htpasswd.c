/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of users: who was read is found, and has a hash that is none else's. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "../../modules/auth/htpasswd.h"
#include "../../modules/auth/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { .text = "" };
	struct htpasswd *h = htpasswd_parse(span_of((const char *)data, size),
	    NULL, &err);
	bool is_known;

	assert(h != NULL || err.text[0] != '\0');
	for (uint32_t i = 0; h != NULL && i < h->count; i++) {
		const struct htpasswd_user *user = &h->users[i];

		assert(htpasswd_find(h, user->name, &is_known) == user);
		assert(is_known && htpasswd_is_name(user->name));
		assert(password_fault(span_cstr(user->hash)) == NULL);
	}
	if (h != NULL)
		assert(htpasswd_find(h, SPAN(":"), &is_known) == NULL ||
		    !is_known);
	htpasswd_free(h);
	return 0;
}
