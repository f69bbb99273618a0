/* SPDX-License-Identifier: BSD-2-Clause */
/* apikey - `weirctl apikey`: adding, listing and removing API keys. */
#ifndef CTL_APIKEY_H
#define CTL_APIKEY_H

#include <stdbool.h>

/*
 * words: behind "apikey", NULL at the end.  No instance is asked.  0, or 1
 * (failed) or 2 (usage), with a text on stderr.
 */
int apikey_run(char **words, bool is_json);

#endif
