/* SPDX-License-Identifier: BSD-2-Clause */
/* certs - the command `certs`: what listeners show, and until when. */
#ifndef BACKGROUND_CERTS_H
#define BACKGROUND_CERTS_H

struct commands;
struct generation;

/* Borrows g. */
void certs_add_commands(struct generation *g, struct commands *commands);

#endif
