/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * render - the order of samples in the text, and their form.
 *
 * All samples of a name must stand together, so the order is set, name, index
 * of the directory, row of the name (its labels), process.
 */
#include "metrics/render.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "metrics/histogram.h"
#include "metrics/metrics.h"

static const struct {
	const char *parent;
	const char *name;
} label_names[METRIC_SCOPE_COUNT] = {
	[METRIC_SCOPE_ROUTE] = { "service", "route" },
	[METRIC_SCOPE_UPSTREAM] = { NULL, "upstream" },
	[METRIC_SCOPE_BACKEND] = { "upstream", "backend" },
};

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

static const struct metric_set *
set_of(const struct render *r)
{
	return r->metrics->sets[r->set];
}

static bool
is_of_family(const struct metric_set *set, size_t family, size_t row)
{
	return row < set->count && set->rows[row].name != NULL &&
	    strcmp(set->rows[row].name, set->rows[family].name) == 0;
}

/* The first row at or behind row that has a name, or set->count. */
static size_t
named_row(const struct metric_set *set, size_t row)
{
	while (row < set->count && set->rows[row].name == NULL)
		row++;
	return row;
}

/* To the first name of the set. */
static void
enter_set(struct render *r, size_t set)
{
	r->set = set;
	r->family = set < r->metrics->set_count ? named_row(set_of(r), 0) : 0;
	r->row = r->family;
}

void
render_init(struct render *r, const struct metrics *m)
{
	memset(r, 0, sizeof(*r));
	r->metrics = m;
	enter_set(r, 0);
}

static void
next_name(struct render *r)
{
	const struct metric_set *set = set_of(r);
	size_t row = r->family;

	do
		row = named_row(set, row + 1);
	while (is_of_family(set, r->family, row));
	r->family = row;
	r->row = row;
	r->index = 0;
	r->process = 0;
	r->is_headed = false;
}

static void
go_to_index(struct render *r, uint32_t index)
{
	r->index = index;
	r->row = r->family;
	r->process = 0;
}

static void
next_row(struct render *r)
{
	const struct metric_set *set = set_of(r);

	r->row = named_row(set, r->row + 1);
	r->process = 0;
	if (!is_of_family(set, r->family, r->row))
		go_to_index(r, r->index + 1);
}

/* To the next process slot that has counted; false if there is none. */
static bool
settle_process(struct render *r)
{
	uint32_t end = r->metrics->layout.process_slots;

	while (r->process < end &&
	    !metrics_has_counted(r->metrics, set_of(r), r->process))
		r->process++;
	return r->process < end;
}

/* Stand on a sample that exists, with its labels; false at the end of all. */
static bool
settle(struct render *r, struct metrics_label *label)
{
	while (r->set < r->metrics->set_count) {
		const struct metric_set *set = set_of(r);
		uint32_t index;

		if (r->family >= set->count) {
			enter_set(r, r->set + 1);
			continue;
		}
		index = metrics_next(r->metrics, set->scope, r->index);
		if (index == UINT32_MAX)
			next_name(r);
		else if (index != r->index)
			go_to_index(r, index);
		else if (metrics_is_hidden(r->metrics, set->scope, index) ||
		    !metrics_label(r->metrics, set->scope, index, label))
			go_to_index(r, index + 1);
		else if (set->rows[r->row].per_process &&
		    !settle_process(r))
			next_row(r);
		else
			return true;
	}
	return false;
}

/* HELP: backslash and newline are escaped; in labels also the quote. */
static void
put_escaped(struct str *out, const char *text, bool is_label)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			str_lit(out, "\\n");
		else if (*text == '\\')
			str_lit(out, "\\\\");
		else if (*text == '"' && is_label)
			str_lit(out, "\\\"");
		else
			str_char(out, *text);
	}
}

static void
put_name(const struct render *r, struct str *out)
{
	str_lit(out, "weir_");
	str_cstr(out, set_of(r)->prefix);
	str_char(out, '_');
	str_cstr(out, set_of(r)->rows[r->family].name);
}

static void
put_head(const struct render *r, struct str *out)
{
	const struct metric *m = &set_of(r)->rows[r->family];

	str_lit(out, "# HELP ");
	put_name(r, out);
	str_char(out, ' ');
	put_escaped(out, m->help, false);
	str_lit(out, "\n# TYPE ");
	put_name(r, out);
	str_char(out, ' ');
	str_cstr(out, type_names[m->type]);
	str_char(out, '\n');
}

static void
put_label(struct str *out, bool *is_open, const char *name, const char *value)
{
	str_char(out, *is_open ? ',' : '{');
	*is_open = true;
	str_cstr(out, name);
	str_lit(out, "=\"");
	put_escaped(out, value, true);
	str_char(out, '"');
}

/* {…} of the current sample; le is NULL but for the buckets. */
static void
put_labels(const struct render *r, struct str *out,
    const struct metrics_label *label, const char *le)
{
	const struct metric *m = &set_of(r)->rows[r->row];
	enum metric_scope scope = set_of(r)->scope;
	bool is_open = false;

	if (label_names[scope].parent != NULL && label->parent[0] != '\0')
		put_label(out, &is_open, label_names[scope].parent,
		    label->parent);
	if (label_names[scope].name != NULL)
		put_label(out, &is_open, label_names[scope].name, label->name);
	if (m->label != NULL) {
		str_char(out, is_open ? ',' : '{');
		is_open = true;
		str_cstr(out, m->label);
	}
	if (m->per_process) {
		char number[16];
		struct str s;

		str_init(&s, number, sizeof(number));
		str_u64(&s, r->process);
		put_label(out, &is_open, "process", str_terminate(&s));
	}
	if (le != NULL)
		put_label(out, &is_open, "le", le);
	if (is_open)
		str_char(out, '}');
}

static void
put_u64_line(struct str *out, uint64_t value)
{
	str_char(out, ' ');
	str_u64(out, value);
	str_char(out, '\n');
}

static void
put_histogram(const struct render *r, struct str *out,
    const struct metrics_label *label)
{
	uint64_t count = 0, sum_us;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		count += metrics_sum(r->metrics, set_of(r), r->index,
		    r->row + i);
		put_name(r, out);
		str_lit(out, "_bucket");
		put_labels(r, out, label, histogram_bound_text(i));
		put_u64_line(out, count);
	}
	sum_us = metrics_sum(r->metrics, set_of(r), r->index,
	    r->row + HISTOGRAM_SUM);
	put_name(r, out);
	str_lit(out, "_sum");
	put_labels(r, out, label, NULL);
	str_printf(out, " %" PRIu64 ".%06u\n", sum_us / 1000000,
	    (unsigned)(sum_us % 1000000));
	put_name(r, out);
	str_lit(out, "_count");
	put_labels(r, out, label, NULL);
	put_u64_line(out, count);
}

static void
put_sample(const struct render *r, struct str *out,
    const struct metrics_label *label)
{
	const struct metric *m = &set_of(r)->rows[r->row];
	uint64_t value;

	if (m->type == METRIC_HISTOGRAM) {
		put_histogram(r, out, label);
		return;
	}
	value = m->per_process
	    ? metrics_value(r->metrics, set_of(r), r->process, r->index, r->row)
	    : metrics_sum(r->metrics, set_of(r), r->index, r->row);
	put_name(r, out);
	put_labels(r, out, label, NULL);
	if (m->type == METRIC_GAUGE && value > INT64_MAX) {
		/* Processes read at different moments may add up below 0. */
		str_lit(out, " -");
		str_u64(out, 0 - value);
		str_char(out, '\n');
	} else {
		put_u64_line(out, value);
	}
}

enum render_result
render_piece(struct render *r, struct str *out)
{
	struct metrics_label label;
	size_t before = out->len;

	if (!settle(r, &label))
		return RENDER_DONE;
	if (!r->is_headed)
		put_head(r, out);
	put_sample(r, out, &label);
	if (out->overflow) {
		out->overflow = false;
		out->len = before;
		return RENDER_FULL;
	}
	r->is_headed = true;
	if (set_of(r)->rows[r->row].per_process)
		r->process++;
	else
		next_row(r);
	return RENDER_MORE;
}

bool
render_all(const struct metrics *m, render_emit_fn *emit, void *arg)
{
	char memory[RENDER_PIECE_MAX];
	enum render_result result;
	struct render r;
	struct str s;

	render_init(&r, m);
	do {
		str_init(&s, memory, sizeof(memory));
		do
			result = render_piece(&r, &s);
		while (result == RENDER_MORE);
		if (s.len > 0 && !emit(arg, str_view(&s)))
			return false;
	} while (result == RENDER_FULL && s.len > 0);
	return result == RENDER_DONE;
}
