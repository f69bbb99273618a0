/* SPDX-License-Identifier: BSD-2-Clause */
/* ask - one command to the control socket, and its answer. */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct error;

enum ask_result {
	ASK_DONE,
	ASK_FAILED, /* err says why */
	ASK_NOBODY, /* no instance answers there; err too */
};

/*
 * Send line, without its newline, to the socket at path; timeout_ms 0 = wait
 * for ever.  *answer: the line that came, without its newline; caller frees
 * *answer->p.
 */
enum ask_result ask(const char *path, struct span line, uint64_t timeout_ms,
    struct span *answer, struct error *err)
    __attribute__((warn_unused_result));

#endif
