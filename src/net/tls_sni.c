/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_sni - which certificates a server name asks for. */
#include <stdlib.h>

#include "base/heap_alloc.h"
#include "net/tls_private.h"

enum { HOST_NAME = 0, NAME_MAX_BYTES = 255 };

void
tls_sni_init(struct tls_sni *sni)
{
	hash_map_init(&sni->exact, false);
	hash_map_init(&sni->wildcards, false);
}

static void
free_map(struct hash_map *m)
{
	for (size_t i = 0; i < m->size; i++)
		free(m->entries[i].value);
	hash_map_fini(m);
}

void
tls_sni_fini(struct tls_sni *sni)
{
	free_map(&sni->exact);
	free_map(&sni->wildcards);
}

void
tls_sni_add(struct tls_sni *sni, const char *name, struct tls_pair *pair)
{
	struct hash_map *m = &sni->exact;
	struct span key = span_cstr(name);
	struct tls_choice *choice;

	if (key.len > 2 && key.p[0] == '*' && key.p[1] == '.') {
		m = &sni->wildcards;
		key = span_of(key.p + 2, key.len - 2);
	}
	choice = hash_map_get(m, key);
	if (choice == NULL) {
		choice = heap_alloc_zeroed(1, sizeof(*choice));
		hash_map_put(m, key, choice);
	}
	if (choice->by_kind[pair->kind] == NULL)
		choice->by_kind[pair->kind] = pair;
}

const struct tls_choice *
tls_sni_find(const struct tls_sni *sni, struct span name)
{
	const struct tls_choice *choice = hash_map_get(&sni->exact, name);
	const char *dot;

	if (choice != NULL)
		return choice;
	dot = name.len > 0 ? memchr(name.p, '.', name.len) : NULL;
	/* A wildcard stands for one whole label (RFC 9525, section 6.3). */
	if (dot == NULL || dot == name.p)
		return NULL;
	return hash_map_get(&sni->wildcards, span_of(dot + 1,
	    name.len - (size_t)(dot + 1 - name.p)));
}

static size_t
number16(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static bool
is_host(const unsigned char *p, size_t len)
{
	if (len == 0 || len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		/* What is no letter, digit, '-', '_' or '.' is no name. */
		unsigned char c = span_lower(p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_' && c != '.')
			return false;
	}
	return true;
}

int
tls_sni_parse(const unsigned char *p, size_t len, char name[256])
{
	size_t host;

	name[0] = '\0';
	/* One list of one entry: there is only one type of name. */
	if (len < 5 || number16(p) != len - 2 || p[2] != HOST_NAME)
		return -1;
	host = number16(p + 3);
	if (host != len - 5 || !is_host(p + 5, host))
		return -1;
	p += 5;
	if (p[host - 1] == '.')
		host--;
	for (size_t i = 0; i < host; i++)
		name[i] = (char)span_lower(p[i]);
	name[host] = '\0';
	return 0;
}
