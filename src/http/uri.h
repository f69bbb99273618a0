/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uri - request targets, authorities, paths (RFC 3986; RFC 9112, section 3.2).
 */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/str.h"

struct http_request;

/*
 * Split req->target by its form into scheme, authority, path, query.  False
 * if it is none of origin-form, absolute-form (http, https), asterisk-form
 * (OPTIONS only) or authority-form (CONNECT only), has a fragment, or bytes
 * that no target may have.
 */
bool uri_split_target(struct http_request *req);

/* host[:port] without userinfo; IPv6 in brackets; port 1..65535 or empty. */
bool uri_is_authority(struct span s);
/*
 * The host of a valid authority, lower-cased into memory of the caller
 * (authority.len bytes are enough), without port and one trailing dot.
 */
struct span uri_host_of(struct span authority, char *memory);
/* The port, or fallback where none is given. */
uint16_t uri_port_of(struct span authority, uint16_t fallback);
/* Same host, case ignored, and same port, fallback where none is given. */
bool uri_same_authority(struct span a, struct span b, uint16_t fallback);

enum uri_path_state {
	URI_PATH_PLAIN,    /* matching may use it as it is */
	URI_PATH_ENCODED,  /* has %-escapes of unreserved characters */
	URI_PATH_DOTS,     /* dot segments would change it */
	URI_PATH_INVALID,  /* a '%' without two hexadecimal digits */
};
/* One pass; dots are also found written as %2e. */
enum uri_path_state uri_path_check(struct span path);
/* For matching: escapes of unreserved characters decoded, nothing else. */
void uri_path_decode(struct span path, struct str *out);
/* RFC 3986, section 5.2.4; keeps escapes other than those of dots. */
void uri_path_resolve(struct span path, struct str *out);

/* The raw value of the first argument of that name in a query string. */
bool uri_query_get(struct span query, struct span name, struct span *value);
/*
 * The byte at *at of a query, as readers of HTML forms have it: '+' is a
 * space, an escape that is none stands for itself.  *at moves on behind it.
 */
char uri_query_byte(struct span s, size_t *at);

#endif
