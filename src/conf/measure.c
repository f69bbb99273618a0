/* SPDX-License-Identifier: BSD-2-Clause */
/* measure - a number and its unit, from tables of units. */
#include "conf/measure.h"

#include "base/error.h"
#include "base/str.h"

struct unit {
	const char *name;
	uint64_t factor;
};

struct scale {
	const char *what; /* "duration" */
	const char *example;
	const char *known; /* the units, for messages */
	const struct unit *units; /* largest first */
	size_t count;
};

static const struct unit durations[] = {
	{ "d", 86400000 },
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

static const struct unit sizes[] = {
	{ "TB", (uint64_t)1 << 40 },
	{ "GB", 1 << 30 },
	{ "MB", 1 << 20 },
	{ "KB", 1 << 10 },
	{ "B", 1 },
};

static const struct scale duration = {
	"duration", "\"30s\"", "ms, s, m, h, d",
	durations, sizeof(durations) / sizeof(durations[0]),
};

static const struct scale size = {
	"size", "\"64KB\"", "B, KB, MB, GB, TB",
	sizes, sizeof(sizes) / sizeof(sizes[0]),
};

/* For messages: a value is short or it is none. */
static struct span
shown(struct span text)
{
	return span_of(text.p, text.len < 40 ? text.len : 40);
}

static const struct unit *
find_unit(const struct scale *m, struct span name)
{
	for (size_t i = 0; i < m->count; i++) {
		if (span_eq(name, span_cstr(m->units[i].name)))
			return &m->units[i];
	}
	return NULL;
}

static int
read_value(const struct scale *m, struct span text, uint64_t *value,
    struct error *err)
{
	size_t digits = 0;
	const struct unit *unit;
	struct span name;

	while (digits < text.len && text.p[digits] >= '0' &&
	    text.p[digits] <= '9')
		digits++;
	if (digits == 0)
		return error_set(err, "\"%.*s\" is no %s; one looks like %s",
		    SPAN_ARG(shown(text)), m->what, m->example);
	if (span_u64(span_of(text.p, digits), value) != 0)
		return error_set(err, "\"%.*s\" is too large",
		    SPAN_ARG(shown(text)));
	name = span_of(text.p + digits, text.len - digits);
	if (name.len == 0 && *value == 0)
		return 0;
	if (name.len == 0)
		return error_set(err, "\"%.*s\" has no unit (%s)",
		    SPAN_ARG(shown(text)), m->known);
	unit = find_unit(m, name);
	if (unit == NULL && name.p[0] == '.')
		return error_set(err, "\"%.*s\" has a fraction: take a smaller "
		    "unit (%s)", SPAN_ARG(shown(text)), m->known);
	if (unit == NULL)
		return error_set(err, "\"%.*s\": unknown unit \"%.*s\" (known: "
		    "%s)", SPAN_ARG(shown(text)), SPAN_ARG(shown(name)),
		    m->known);
	if (*value > UINT64_MAX / unit->factor)
		return error_set(err, "\"%.*s\" is too large",
		    SPAN_ARG(shown(text)));
	*value *= unit->factor;
	return 0;
}

static void
put_value(const struct scale *m, struct str *out, uint64_t value)
{
	for (size_t i = 0; i < m->count && value > 0; i++) {
		if (value % m->units[i].factor != 0)
			continue;
		str_u64(out, value / m->units[i].factor);
		str_cstr(out, m->units[i].name);
		return;
	}
	str_u64(out, value);
}

int
measure_duration(struct span text, uint64_t *ms, struct error *err)
{
	return read_value(&duration, text, ms, err);
}

int
measure_size(struct span text, uint64_t *bytes, struct error *err)
{
	return read_value(&size, text, bytes, err);
}

void
measure_put_duration(struct str *out, uint64_t ms)
{
	put_value(&duration, out, ms);
}

void
measure_put_size(struct str *out, uint64_t bytes)
{
	put_value(&size, out, bytes);
}
