/* SPDX-License-Identifier: BSD-2-Clause */
/* coder - the codings by name, and the coders that wait for another body. */
#include "coder.h"

#include <assert.h>
#include <stdlib.h>

#include "coder_ops.h"

enum { SPARE_MAX = 32 };

static const struct {
	const char *name;
	const struct coder_ops *ops;
} kinds[CODER_KIND_COUNT] = {
	[CODER_GZIP] = { "gzip", &coder_gzip_ops },
#ifdef HAVE_BROTLI
	[CODER_BROTLI] = { "br", &coder_brotli_ops },
#else
	[CODER_BROTLI] = { "br", NULL },
#endif
#ifdef HAVE_ZSTD
	[CODER_ZSTD] = { "zstd", &coder_zstd_ops },
#else
	[CODER_ZSTD] = { "zstd", NULL },
#endif
};

/* Of this process: each worker has its own after the fork. */
static struct list spares = { &spares, &spares };
static unsigned spare_count;
static unsigned live_count;

const char *
coder_name(enum coder_kind kind)
{
	return kinds[kind].name;
}

bool
coder_find(struct span name, enum coder_kind *kind)
{
	if (span_ieq(name, SPAN("x-gzip"))) {
		*kind = CODER_GZIP;
		return true;
	}
	for (unsigned i = 0; i < CODER_KIND_COUNT; i++) {
		if (span_ieq(name, span_cstr(kinds[i].name))) {
			*kind = (enum coder_kind)i;
			return true;
		}
	}
	return false;
}

bool
coder_is_built(enum coder_kind kind)
{
	return kinds[kind].ops != NULL;
}

unsigned
coder_level_max(enum coder_kind kind)
{
	return coder_is_built(kind) ? kinds[kind].ops->level_max : 0;
}

unsigned
coder_live(void)
{
	return live_count;
}

static struct coder *
take_spare(const struct coder_ops *ops, bool is_decoder, unsigned level)
{
	LIST_EACH(&spares, node, after) {
		struct coder *c = LIST_OF(node, struct coder, spare);

		if (c->ops != ops || c->is_decoder != is_decoder ||
		    (!is_decoder && c->level != level))
			continue;
		list_remove(&c->spare);
		spare_count--;
		return c;
	}
	return NULL;
}

static void
destroy(struct coder *c)
{
	if (c->is_decoder)
		c->ops->decoder_free(c->state);
	else
		c->ops->encoder_free(c->state);
	free(c);
}

/* Who does it: gzip is done by two. */
static const struct coder_ops *
ops_of(enum coder_kind kind, bool is_decoder, unsigned level)
{
#ifdef HAVE_ISAL
	if (kind == CODER_GZIP && !is_decoder &&
	    level <= coder_isal_ops.level_max)
		return &coder_isal_ops;
#endif
	(void)is_decoder;
	(void)level;
	return kinds[kind].ops;
}

struct coder *
coder_new(enum coder_kind kind, bool is_decoder, unsigned level,
    unsigned live_max)
{
	const struct coder_ops *ops = ops_of(kind, is_decoder, level);
	struct coder *c;

	assert(ops != NULL);
	if (live_count >= live_max)
		return NULL;
	c = take_spare(ops, is_decoder, level);
	if (c == NULL) {
		c = malloc(sizeof(*c));
		if (c == NULL)
			return NULL;
		c->state = is_decoder ? ops->decoder_new()
				      : ops->encoder_new(level);
		if (c->state == NULL) {
			free(c);
			return NULL;
		}
		c->ops = ops;
		c->is_decoder = is_decoder;
		c->level = level;
	}
	list_init(&c->spare);
	c->has_ended = false;
	c->has_begun = false;
	live_count++;
	return c;
}

void
coder_free(struct coder *c)
{
	void (*reset)(void *state);

	if (c == NULL)
		return;
	live_count--;
	reset = c->is_decoder ? c->ops->decoder_reset : c->ops->encoder_reset;
	if (reset == NULL || spare_count >= SPARE_MAX) {
		destroy(c);
		return;
	}
	reset(c->state);
	list_push_front(&spares, &c->spare);
	spare_count++;
}

static int
decode(struct coder *c, struct span *in, enum coder_op op, bool *has_more)
{
	c->has_begun |= in->len > 0;
	if (c->ops->decode(c, in, has_more) != 0)
		return -1;
	/* An empty body is none that was cut short. */
	if (op == CODER_FINISH && in->len == 0 && !*has_more && c->has_begun &&
	    !c->has_ended)
		return -1;
	return 0;
}

int
coder_step(struct coder *c, struct span *in, enum coder_op op,
    struct span *out, bool *has_more)
{
	int result;

	c->out_len = 0;
	*has_more = false;
	result = c->is_decoder ? decode(c, in, op, has_more)
			       : c->ops->encode(c, in, op, has_more);
	*out = span_of(c->out, c->out_len);
	return result;
}
