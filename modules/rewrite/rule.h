/* SPDX-License-Identifier: BSD-2-Clause */
/* rule - one rule as configured, and the options that say it. */
#ifndef MODULES_REWRITE_RULE_H
#define MODULES_REWRITE_RULE_H

#include "module.h"

struct rule_redirect {
	uint32_t status;
	const struct template *location; /* NULL = what the rule has made */
};

struct rule {
	const char *prefix;
	struct conf_regex *regex;
	const struct template *replace;
	const struct template *query;
	struct conf_strings drop_args;
	struct conf_map set_args;
	struct rule_redirect redirect;
	bool has_redirect;
	bool last;
};

/* The groups of the list `rewrite`. */
extern const struct conf_table rule_table;

/* What a rule has found in a path. */
struct rule_match {
	struct span whole;                      /* what is to be replaced */
	struct span groups[ROUTE_CAPTURES_MAX]; /* of the regex; 0 = whole */
	size_t group_count;
};

/* 1, 0 without a match, -1 where the regex came to its limit. */
int rule_match(const struct rule *r, struct span path, struct rule_match *m);

#endif
