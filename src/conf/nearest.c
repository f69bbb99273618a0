/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nearest - edit distance with swaps (optimal string alignment), ASCII case
 * ignored.
 */
#include "conf/nearest.h"

#include <stdint.h>

enum { WORD_MAX = 64 }; /* what is longer is no slip of the finger */

void
nearest_init(struct nearest *n, struct span word)
{
	n->word = word;
	n->best = NULL;
	/* A third of the letters may be wrong, but at least one. */
	n->distance = (word.len < 3 ? 1 : word.len / 3) + 1;
}

static unsigned char
fold(struct span s, size_t i)
{
	unsigned char c = span_lower((unsigned char)s.p[i]);

	return c == '-' ? '_' : c;
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Rows are i - 2, i - 1 and i of the usual matrix. */
static size_t
distance(struct span a, struct span b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b.len; j++)
		above[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *spare = before;

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			bool same = fold(a, i - 1) == fold(b, j - 1);

			row[j] = least(above[j], row[j - 1]) + 1;
			row[j] = least(row[j], above[j - 1] + !same);
			if (i > 1 && j > 1 &&
			    fold(a, i - 1) == fold(b, j - 2) &&
			    fold(a, i - 2) == fold(b, j - 1))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[b.len];
}

void
nearest_offer(struct nearest *n, const char *name)
{
	struct span known = span_cstr(name);
	size_t found;

	if (n->word.len == 0 || n->word.len > WORD_MAX ||
	    known.len > WORD_MAX)
		return;
	if (known.len + n->distance <= n->word.len ||
	    n->word.len + n->distance <= known.len)
		return;
	found = distance(n->word, known);
	if (found < n->distance) {
		n->distance = found;
		n->best = name;
	}
}
