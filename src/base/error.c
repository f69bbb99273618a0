/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error - composing the text of a set-up failure.
 *
 * What was tried is cut before why it failed is.  The text is composed aside,
 * so that an argument may be the text of the same error.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 3, 0)))
compose(struct error *err, const char *why, const char *fmt, va_list ap)
{
	char text[sizeof(err->text)];
	char reason[200] = "";
	size_t room;
	int len;

	if (why != NULL)
		snprintf(reason, sizeof(reason), ": %s", why);
	room = sizeof(text) - strlen(reason);
	len = vsnprintf(text, room, fmt, ap);
	if (len < 0)
		len = 0;
	if ((size_t)len >= room)
		len = (int)room - 1;
	memcpy(text + len, reason, strlen(reason) + 1);
	memcpy(err->text, text, (size_t)len + strlen(reason) + 1);
}

int
error_set(struct error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	compose(err, NULL, fmt, ap);
	va_end(ap);
	return -1;
}

int
error_set_errno(struct error *err, int errno_value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	compose(err, strerror(errno_value), fmt, ap);
	va_end(ap);
	return -1;
}
