/* SPDX-License-Identifier: BSD-2-Clause */
/* printed - what a report prints, as a string; and nodes as one line. */
#ifndef TESTS_UNIT_CONF_PRINTED_H
#define TESTS_UNIT_CONF_PRINTED_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/report.h"
#include "conf/tree.h"

/*
 * Not inlined: gcc 12 takes what open_memstream() made for a pointer to the
 * local variable, and warns of it.
 */
#define PRINTED_FN static __attribute__((noinline, unused))

/* Caller frees. */
PRINTED_FN char *
printed_report(const struct conf_report *r)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	conf_report_print(r, out);
	fclose(out);
	return text;
}

static inline void
printed_put(FILE *out, const struct conf_node *node)
{
	static const char *const brackets[] = {
		[CONF_NODE_GROUP] = "{}",
		[CONF_NODE_LIST] = "()",
		[CONF_NODE_ARRAY] = "[]",
	};

	if (node->name != NULL)
		fprintf(out, "%s=", node->name);
	switch (node->type) {
	case CONF_NODE_GROUP:
	case CONF_NODE_LIST:
	case CONF_NODE_ARRAY:
		putc(brackets[node->type][0], out);
		for (const struct conf_node *n = node->first; n != NULL;
		    n = n->next) {
			printed_put(out, n);
			if (n->next != NULL)
				putc(' ', out);
		}
		putc(brackets[node->type][1], out);
		break;
	case CONF_NODE_STRING:
		fprintf(out, "\"%s\"", node->v.string.p);
		break;
	case CONF_NODE_INT:
		fprintf(out, "%" PRId64, node->v.integer);
		break;
	case CONF_NODE_FLOAT:
		fprintf(out, "%g", node->v.real);
		break;
	case CONF_NODE_BOOL:
		fputs(node->v.boolean ? "true" : "false", out);
		break;
	}
}

/* "{a=1 b=(\"x\")}"; caller frees. */
PRINTED_FN char *
printed_node(const struct conf_node *node)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (node == NULL)
		fputs("nothing", out);
	else
		printed_put(out, node);
	fclose(out);
	return text;
}

#endif
