/* SPDX-License-Identifier: BSD-2-Clause */
/* certs - the command `certs`: what listeners show, and until when. */
#ifndef BACKGROUND_CERTS_H
#define BACKGROUND_CERTS_H

struct commands;
struct generation;
struct ocsp;

/* What the command needs; stays where it is. */
struct certs {
	struct generation *generation;
	struct ocsp *ocsp; /* NULL: nothing is fetched */
};

void certs_add_commands(struct certs *certs, struct commands *commands);

#endif
