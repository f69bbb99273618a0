/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange_private - what the files of the exchange share among themselves. */
#ifndef PROXY_EXCHANGE_PRIVATE_H
#define PROXY_EXCHANGE_PRIVATE_H

#include "proxy/exchange.h"

enum { EXCHANGE_MAGIC = 0x65786368 };

/* Walk on through the states; may free the exchange. */
void exchange_run(struct exchange *ex);
/* Note a reason without walking on; keeps the first one of an answer. */
void exchange_note(struct exchange *ex, enum reason reason,
    const char *detail);
/* End the exchange if both bodies have ended; may free it. */
void exchange_settle(struct exchange *ex);
/* ex->backend has something to do for this try from now on, or no more. */
void exchange_enter_backend(struct exchange *ex);
void exchange_leave_backend(struct exchange *ex);
/* Drop the backend's side of this try. */
void exchange_drop_backend(struct exchange *ex);

/* exchange_answer.c: weir's own answers. */
void exchange_answer_error(struct exchange *ex);
enum verdict exchange_answer_route(struct exchange *ex);
/* The value of Allow: the methods of all these routes. */
struct span exchange_answer_allow(struct exchange *ex,
    const struct route *const *routes, uint32_t count);

/* exchange_request.c: what the backend is sent. */
enum reason exchange_request_prepare(struct exchange *ex);
/* -1: ex->detail says what a template made of it. */
int exchange_request_compose(struct exchange *ex)
    __attribute__((warn_unused_result));

#endif
