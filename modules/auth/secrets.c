/* SPDX-License-Identifier: BSD-2-Clause */
/* secrets - reading, and reading again. */
#include "secrets.h"

enum { FILE_BYTES_MAX = 64 << 20 };

static int
receive(void *arg, struct span content, struct error *err)
{
	struct secrets *s = arg;
	struct keys *keys = NULL;
	struct htpasswd *users = NULL;

	if (s->kind == SECRETS_KEYS)
		keys = keys_parse(content, s->arena, err);
	else
		users = htpasswd_parse(content, s->arena, err);
	if (keys == NULL && users == NULL)
		return -1;
	if (s->is_owned) {
		keys_free(s->keys);
		htpasswd_free(s->users);
	}
	s->keys = keys;
	s->users = users;
	s->is_owned = s->arena == NULL;
	return 0;
}

const struct secrets *
secrets_open(const struct module_env *env, const char *path,
    enum secrets_kind kind, struct error *err)
{
	struct files_spec spec = {
		.what = kind == SECRETS_KEYS ? "API keys" : "users",
		.path = path,
		.bytes_max = FILE_BYTES_MAX,
		.receive = receive,
	};
	struct secrets *s;

	for (s = *env->common; s != NULL; s = s->next) {
		if (s->kind == kind && strcmp(s->path, path) == 0)
			return s;
	}
	s = arena_zalloc(env->arena, sizeof(*s));
	s->path = path;
	s->kind = kind;
	s->arena = env->arena;
	spec.arg = s;
	if (files_add(env->files, &spec, err) < 0)
		return NULL;
	s->arena = NULL;
	s->next = *env->common;
	*env->common = s;
	return s;
}
