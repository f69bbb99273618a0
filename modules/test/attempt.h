/* SPDX-License-Identifier: BSD-2-Clause */
/* attempt - what an attacker would try from within a worker. */
#ifndef TEST_ATTEMPT_H
#define TEST_ATTEMPT_H

#include "module.h"

/*
 * Do what name says; the errno's name as a line, "ok" if it worked.  Valid
 * until the next one.
 */
const char *attempt_run(struct span name);

#endif
