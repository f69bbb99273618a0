/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error - why a set-up step failed, in words for the admin.
 *
 * Set-up code fills one; traffic code returns enums instead.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
	char text[1024]; /* "doing what: why"; cut when longer */
};

/*
 * Fill err->text; always returns -1, so that `return error_set(…)` works.
 * err->text may be one of the arguments.
 */
int error_set(struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with ": " and the text of errno_value behind it. */
int error_set_errno(struct error *err, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
