/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * auth - what it costs to check an API key, its hash and the look together,
 * with good keys and with such as are in no file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../modules/auth/keys.h"
#include "timing.h"

enum { CHECKS = 1000000, KEY_BYTES = 48, LINE_BYTES = 128, DRAWN = 65536 };

struct bench {
	struct digest *digest;
	struct keys *keys;
	uint32_t *numbers; /* which key comes; DRAWN of them, over and over */
};

/* Quick, for it is not taken off what a check costs. */
static void
hash_of(struct digest *d, uint32_t number, uint8_t hash[DIGEST_SHA256_BYTES])
{
	char text[] = "weir_0000000000000000000000000000000000000000000";
	struct span key = span_of(text, KEY_BYTES);

	for (char *to = text + KEY_BYTES - 1; number > 0; number /= 10)
		*to-- = (char)('0' + number % 10);
	digest_sha256(d, &key, 1, hash);
}

static struct keys *
make_keys(struct digest *d, uint32_t count)
{
	char *memory = heap_alloc((size_t)count * LINE_BYTES + 1);
	struct keyfile_entry e = { .identity = SPAN("billing"),
		.scopes = SPAN("read,write") };
	struct error err;
	struct keys *k;
	struct str out;

	str_init(&out, memory, (size_t)count * LINE_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		hash_of(d, i, e.hash);
		keyfile_put(&out, &e);
	}
	k = keys_parse(str_view(&out), NULL, &err);
	free(memory);
	if (k == NULL) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	return k;
}

static bool
check(void *arg, unsigned i)
{
	const struct bench *b = arg;
	uint8_t hash[DIGEST_SHA256_BYTES];

	hash_of(b->digest, b->numbers[i % DRAWN], hash);
	return keys_find(b->keys, hash) != NULL;
}

static double
measure(struct bench *b, uint32_t count, bool are_good)
{
	for (unsigned i = 0; i < DRAWN; i++)
		b->numbers[i] = (uint32_t)(entropy_fast() % count) +
		    (are_good ? 0 : 1000000000);
	return timing_best_ns(check, b, CHECKS);
}

int
main(void)
{
	static const uint32_t counts[] = { 1, 1000, 100000 };
	struct bench b = { .digest = digest_new() };

	b.numbers = heap_alloc(DRAWN * sizeof(*b.numbers));
	printf("ns a check of an API key\n%8s  %6s  %6s\n", "keys", "good",
	    "bad");
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		double good, bad;

		b.keys = make_keys(b.digest, counts[i]);
		good = measure(&b, counts[i], true);
		bad = measure(&b, counts[i], false);
		printf("%8u  %6.0f  %6.0f\n", counts[i], good, bad);
		keys_free(b.keys);
	}
	free(b.numbers);
	digest_free(b.digest);
	return 0;
}
