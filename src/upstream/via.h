/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * via - backends behind a next hop: another proxy that is asked by CONNECT to
 * make the connection (RFC 9110, section 9.3.6).
 *
 * What is said to the hop comes before all else on a connection; once it has
 * agreed, the bytes are the backend's.
 */
#ifndef UPSTREAM_VIA_H
#define UPSTREAM_VIA_H

#include <stddef.h>

#include "conf/item.h"
#include "http/h1_parse.h"

struct addr;
struct conn;
struct str;

enum {
	VIA_HEAD_MAX = 8192,    /* of the hop's answer */
	VIA_REQUEST_MAX = 8192,
};

/* via = { … } of an upstream. */
struct via_conf {
	const struct addr_spec *address; /* no name */
	struct conf_map headers;         /* constant templates */
};

extern const struct conf_table via_conf_table;

/* The request for a connection to `to`. */
void via_put_request(const struct via_conf *conf, const struct addr *to,
    struct str *out);

/* The hop's answer so far.  Zero-initialise h1, interims and len. */
struct via_answer {
	struct h1_state h1;
	unsigned interims;
	size_t len;
	char bytes[VIA_HEAD_MAX];
};

struct via_answer *via_answer_new(void); /* the caller frees */

enum via_result {
	VIA_MORE,    /* the answer is not whole */
	VIA_OPEN,    /* from now on it is the backend who speaks */
	VIA_REFUSED, /* why says what the hop did */
};

/* The bytes up to a->len have come.  why: untouched but for VIA_REFUSED. */
enum via_result via_answer_parse(struct via_answer *a, struct str *why);
/* Receive what there is, from a plain conn. */
enum via_result via_answer_receive(struct via_answer *a, struct conn *c,
    struct str *why);

#endif
