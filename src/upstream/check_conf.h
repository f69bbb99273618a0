/* SPDX-License-Identifier: BSD-2-Clause */
/* check_conf - the options of an upstream's health checks. */
#ifndef UPSTREAM_CHECK_CONF_H
#define UPSTREAM_CHECK_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/item.h"

enum check_conf_type { CHECK_CONF_TCP, CHECK_CONF_TLS, CHECK_CONF_HTTP };

/* health_check = { … } */
struct check_conf {
	uint32_t type;           /* enum check_conf_type */
	const char *method;
	const char *path;
	const char *host;        /* NULL: the backend's address */
	struct conf_map headers; /* constant templates */
	struct conf_strings expect; /* "200", "2xx", "200-399" */
	struct conf_regex *body_match;
	uint32_t port;           /* 0 = the backend's */
	uint64_t interval_ms;
	uint32_t jitter;         /* percent of it by which one may be early */
	uint64_t timeout_ms;
	uint32_t rise;
	uint32_t fall;
	bool reuse;
	uint32_t initial;        /* 1 = down until the first result */
	uint64_t statuses[10];   /* of `expect`: bit i is status i */
};

extern const struct conf_table check_conf_table;

/* Is the status one of those expected? */
bool check_conf_expects(const struct check_conf *conf, unsigned status);

#endif
