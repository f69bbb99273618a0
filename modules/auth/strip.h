/* SPDX-License-Identifier: BSD-2-Clause */
/* strip - keeping credentials out of logs, and from backends. */
#ifndef MODULES_AUTH_STRIP_H
#define MODULES_AUTH_STRIP_H

#include "options.h"

/* A key in the query is *** in what logs and templates show as the target. */
void strip_target(struct exchange *ex, const struct options_api_key *k);
/* Take out what is not to be forwarded. */
void strip_credentials(struct exchange *ex, const struct auth_conf *conf);

#endif
