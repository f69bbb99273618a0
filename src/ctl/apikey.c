/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apikey - lines of a file of keys.
 *
 * A key is 256 random bits as text; it is printed once, and the file gets its
 * hash.  Weir watches the file by itself.
 */
#include "ctl/apikey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/entropy.h"
#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/json.h"
#include "base/str.h"
#include "conf/keyfile.h"
#include "conf/measure.h"
#include "ctl/jsonread.h"
#include "ctl/keystore.h"
#include "ctl/show.h"

enum {
	STATUS_DONE,
	STATUS_FAILED,
	STATUS_USAGE,
};

enum {
	KEY_RANDOM_BYTES = 32,
	KEY_BYTES = 5 + 43,     /* "weir_" and base64 without padding */
	ID_BYTES = 12,          /* of a hash, in hexadecimal, to name a key */
	ID_BYTES_MIN = 8,
	LINE_BYTES_MAX = 4096,  /* of an entry, in each notation */
};

static const char default_file[] = WEIR_SYSCONFDIR "/weir/keys";

static const char usage[] =
    "usage: weirctl apikey add --identity NAME [--scopes A,B] "
    "[--expires TIME]\n"
    "       weirctl apikey list\n"
    "       weirctl apikey remove --identity NAME | --id ID\n"
    "\n"
    "      --file PATH  the file of keys (%s)\n"
    "      --expires    2027-01-31, 2027-01-31T12:00:00Z, or from now: "
    "90d\n";

struct options {
	const char *action;
	const char *file, *identity, *scopes, *expires, *id;
	bool is_json;
};

/* ---- arguments ---- */

static int
fail_usage(const char *why, const char *word)
{
	fprintf(stderr, "weirctl: apikey: %s%s%s%s\n", why,
	    word != NULL ? " \"" : "", word != NULL ? word : "",
	    word != NULL ? "\"" : "");
	fprintf(stderr, usage, default_file);
	return STATUS_USAGE;
}

static int
fail(const struct options *o, const struct error *err)
{
	if (o->is_json) {
		char memory[sizeof(err->text) * 6 + 64];
		struct str out;
		struct json j;

		str_init(&out, memory, sizeof(memory));
		json_init(&j, &out);
		json_object(&j, NULL);
		json_bool(&j, "ok", false);
		json_cstr(&j, "error", err->text);
		json_close(&j);
		printf("%.*s\n", SPAN_ARG(str_view(&out)));
	} else {
		fprintf(stderr, "weirctl: apikey %s: %s\n", o->action,
		    err->text);
	}
	return STATUS_FAILED;
}

/* "--name VALUE" or "--name=VALUE" into *to. */
static int
read_option(char ***at, const char *name, const char **to)
{
	const char *word = **at;
	size_t len = strlen(name);

	if (strncmp(word, name, len) != 0)
		return 0;
	if (word[len] == '=') {
		*to = word + len + 1;
		return 1;
	}
	if (word[len] != '\0')
		return 0;
	if ((*at)[1] == NULL)
		return -1;
	*to = *++*at;
	return 1;
}

static int
read_arguments(struct options *o, char **at)
{
	for (; *at != NULL; at++) {
		const struct {
			const char *name;
			const char **to;
		} rows[] = {
			{ "--file", &o->file }, { "--identity", &o->identity },
			{ "--scopes", &o->scopes },
			{ "--expires", &o->expires }, { "--id", &o->id },
		};
		const char *word = *at;
		int found = 0;

		for (size_t i = 0; i < 5 && found == 0; i++)
			found = read_option(&at, rows[i].name, rows[i].to);
		if (found < 0)
			return fail_usage("a value is missing behind", word);
		if (found > 0)
			continue;
		if (strcmp(word, "--json") == 0)
			o->is_json = true;
		else if (*word == '-' || o->action != NULL)
			return fail_usage("what is", word);
		else
			o->action = word;
	}
	return 0;
}

/* A point in time, or a span from now; 0 = never. */
static int
read_expires(const char *text, uint64_t *seconds, struct error *err)
{
	struct error why;
	uint64_t ms;

	*seconds = 0;
	if (text == NULL || keyfile_parse_time(span_cstr(text),
	    seconds) == 0)
		return 0;
	if (measure_duration(span_cstr(text), &ms, &why) != 0 || ms == 0)
		return error_set(err, "--expires \"%s\" is no time: "
		    "2027-01-31, 2027-01-31T12:00:00Z or 90d is expected",
		    text);
	*seconds = (uint64_t)time(NULL) + ms / 1000;
	if (*seconds > KEYFILE_TIME_MAX)
		return error_set(err, "--expires \"%s\" is too late: the year "
		    "9999 is the last one", text);
	return 0;
}

/* ---- entries ---- */

static void
put_id(struct str *out, const struct keyfile_entry *e)
{
	for (size_t i = 0; i < ID_BYTES / 2; i++)
		str_printf(out, "%02x", e->hash[i]);
}

static void
put_members(struct json *j, const struct keyfile_entry *e)
{
	char memory[64];
	struct str text;

	json_span(j, "identity", e->identity);
	str_init(&text, memory, sizeof(memory));
	put_id(&text, e);
	json_span(j, "id", str_view(&text));
	json_span(j, "scopes", e->scopes);
	text.len = 0;
	if (e->expires_s != 0)
		keyfile_put_time(&text, e->expires_s);
	else
		str_lit(&text, "never");
	json_span(j, "expires", str_view(&text));
	json_bool(j, "expired", e->expires_s != 0 &&
	    e->expires_s <= (uint64_t)time(NULL));
}

/* RFC 4648, section 5: fit for URLs, cookies and fields as it is. */
static void
make_key(char key[KEY_BYTES + 1])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t random[KEY_RANDOM_BYTES + 1] = { 0 };
	char *to = key;

	entropy_fill(random, KEY_RANDOM_BYTES);
	memcpy(to, "weir_", 5);
	to += 5;
	for (size_t i = 0; i < KEY_RANDOM_BYTES; i += 3) {
		uint32_t bits = (uint32_t)random[i] << 16 |
		    (uint32_t)random[i + 1] << 8 |
		    (i + 2 < KEY_RANDOM_BYTES ? random[i + 2] : 0U);

		for (unsigned shift = 24; shift > 0 &&
		    to < key + KEY_BYTES; shift -= 6)
			*to++ = digits[bits >> (shift - 6) & 63];
	}
	*to = '\0';
	digest_wipe(random, sizeof(random));
}

static void
hash_key(const char *key, struct keyfile_entry *e)
{
	struct digest *d = digest_new();
	struct span text = span_cstr(key);

	digest_sha256(d, &text, 1, e->hash);
	digest_free(d);
}

/* ---- add ---- */

static int
append(struct keystore *k, const struct keyfile_entry *e, struct error *err)
{
	size_t size = k->len + LINE_BYTES_MAX;
	char *memory = heap_alloc(size);
	struct str out;
	int result;

	str_init(&out, memory, size);
	str_put(&out, k->text, k->len);
	if (k->len > 0 && k->text[k->len - 1] != '\n')
		str_char(&out, '\n');
	keyfile_put(&out, e);
	result = keystore_replace(k, str_view(&out), err);
	free(memory);
	return result;
}

static void
print_added(const struct options *o, const struct keyfile_entry *e,
    const char *key)
{
	char memory[LINE_BYTES_MAX];
	struct str out;
	struct json j;

	if (!o->is_json) {
		printf("%s\n", key);
		fprintf(stderr, "This is the only time that the key is shown: "
		    "%s has its hash.\n", o->file);
		return;
	}
	str_init(&out, memory, sizeof(memory));
	json_init(&j, &out);
	json_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_object(&j, "result");
	json_cstr(&j, "key", key);
	put_members(&j, e);
	json_close(&j);
	json_close(&j);
	printf("%.*s\n", SPAN_ARG(str_view(&out)));
}

static int
add(const struct options *o, struct error *err)
{
	struct keyfile_entry e = { .identity = span_cstr(o->identity),
		.scopes = span_cstr(o->scopes) };
	char key[KEY_BYTES + 1];
	struct keystore k;
	int result;

	if (!keyfile_is_identity(e.identity))
		return error_set(err, "--identity: a name of up to 128 "
		    "visible characters is expected");
	if (o->scopes != NULL && !keyfile_is_scopes(e.scopes))
		return error_set(err, "--scopes: names between commas are "
		    "expected, of visible ASCII characters without \" and "
		    "\\");
	if (read_expires(o->expires, &e.expires_s, err) != 0)
		return -1;
	make_key(key);
	hash_key(key, &e);
	result = keystore_open(&k, o->file, true, err);
	if (result == 0)
		result = append(&k, &e, err);
	keystore_close(&k);
	if (result == 0)
		print_added(o, &e, key);
	digest_wipe(key, sizeof(key));
	return result;
}

/* ---- list ---- */

static void
print_list(const struct options *o, struct span text)
{
	struct jsonread_value *value;
	struct arena arena;

	if (o->is_json) {
		printf("%.*s\n", SPAN_ARG(text));
		return;
	}
	arena_init(&arena, NULL);
	value = jsonread_parse(&arena, text);
	if (value != NULL)
		show(jsonread_get(value, "result"), stdout);
	arena_fini(&arena);
}

static int
list(const struct options *o, struct error *err)
{
	struct keystore k;
	struct span rest, line;
	size_t size;
	char *memory;
	struct str out;
	struct json j;

	if (keystore_read(&k, o->file, err) != 0) {
		keystore_close(&k);
		return -1;
	}
	/* An entry's shortest line has more than 70 bytes. */
	size = k.len * 8 + LINE_BYTES_MAX;
	memory = heap_alloc(size);
	str_init(&out, memory, size);
	json_init(&j, &out);
	json_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_object(&j, "result");
	json_array(&j, "keys");
	rest = span_of(k.text, k.len);
	while (keyfile_next_line(&rest, &line)) {
		struct keyfile_entry e;
		unsigned column;

		if (keyfile_parse(line, &e, &column, err) != 1)
			continue;
		json_object(&j, NULL);
		put_members(&j, &e);
		json_close(&j);
	}
	json_close(&j);
	json_close(&j);
	json_close(&j);
	print_list(o, str_view(&out));
	free(memory);
	keystore_close(&k);
	return 0;
}

/* ---- remove ---- */

static bool
is_meant(const struct options *o, const struct keyfile_entry *e)
{
	char memory[2 * DIGEST_SHA256_BYTES + 1];
	struct str hash;

	if (o->identity != NULL &&
	    !span_eq(e->identity, span_cstr(o->identity)))
		return false;
	if (o->id == NULL)
		return true;
	str_init(&hash, memory, sizeof(memory));
	for (size_t i = 0; i < DIGEST_SHA256_BYTES; i++)
		str_printf(&hash, "%02x", e->hash[i]);
	return span_starts(str_view(&hash), span_cstr(o->id));
}

static int
replace_rest(struct keystore *k, const struct options *o, unsigned *removed,
    struct error *err)
{
	struct span rest = span_of(k->text, k->len), line;
	char *memory = heap_alloc(k->len + 2);
	struct str out;
	int result = -1;

	*removed = 0;
	str_init(&out, memory, k->len + 2);
	while (keyfile_next_line(&rest, &line)) {
		struct keyfile_entry e;
		unsigned column;

		if (keyfile_parse(line, &e, &column, err) == 1 &&
		    is_meant(o, &e)) {
			++*removed;
			continue;
		}
		str_span(&out, line);
		str_char(&out, '\n');
	}
	if (*removed == 0)
		error_set(err, "%s has no such key", o->file);
	else if (o->id != NULL && *removed > 1)
		error_set(err, "%u keys have an id that begins so",
		    *removed);
	else
		result = keystore_replace(k, str_view(&out), err);
	free(memory);
	return result;
}

static int
remove_keys(const struct options *o, struct error *err)
{
	struct keystore k;
	unsigned removed = 0;
	int result;

	if (o->id != NULL && strlen(o->id) < ID_BYTES_MIN)
		return error_set(err, "--id: at least %d digits are expected",
		    ID_BYTES_MIN);
	result = keystore_open(&k, o->file, false, err);
	if (result == 0)
		result = replace_rest(&k, o, &removed, err);
	keystore_close(&k);
	if (result == 0 && o->is_json)
		printf("{\"ok\":true,\"result\":{\"removed\":%u}}\n",
		    removed);
	else if (result == 0)
		printf("removed: %u\n", removed);
	return result;
}

int
apikey_run(char **words, bool is_json)
{
	struct options o = { .file = default_file, .is_json = is_json };
	struct error err;
	int result;

	if (read_arguments(&o, words) != 0)
		return STATUS_USAGE;
	if (o.action == NULL)
		return fail_usage("add, list or remove is expected", NULL);
	if (strcmp(o.action, "add") == 0) {
		if (o.identity == NULL || o.id != NULL)
			return fail_usage("add needs --identity, and has no "
			    "--id", NULL);
		result = add(&o, &err);
	} else if (strcmp(o.action, "list") == 0) {
		result = list(&o, &err);
	} else if (strcmp(o.action, "remove") == 0) {
		if (o.identity == NULL && o.id == NULL)
			return fail_usage("remove needs --identity or --id",
			    NULL);
		result = remove_keys(&o, &err);
	} else {
		return fail_usage("add, list or remove is expected, not",
		    o.action);
	}
	return result == 0 ? STATUS_DONE : fail(&o, &err);
}
