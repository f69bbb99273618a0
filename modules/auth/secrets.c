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

/* The key of etc/weir-complete.keys is for trying. */
static void
warn_of_demonstration(const struct secrets *s)
{
	static const uint8_t hash[DIGEST_SHA256_BYTES] = {
		0x16, 0x0a, 0x45, 0x87, 0x4c, 0x3b, 0xc0, 0x34, 0x63, 0x15,
		0x1b, 0x88, 0x21, 0x58, 0xaf, 0x7e, 0xd9, 0x01, 0xb7, 0x70,
		0xc9, 0x7b, 0x62, 0x9d, 0xa4, 0x21, 0xa5, 0x89, 0xfc, 0x19,
		0x19, 0xd4,
	};

	if (s->keys != NULL && keys_find(s->keys, hash) != NULL)
		log_warn(NULL, "auth: %s lets in \"weir-demonstration-key\", "
		    "which everybody knows: remove its line", s->path);
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
	warn_of_demonstration(s);
	s->next = *env->common;
	*env->common = s;
	return s;
}
