/* SPDX-License-Identifier: BSD-2-Clause */
/* error - composing the text of a set-up failure. */
#include "base/error.h"

#include <stdarg.h>

#include "base/str.h"

static void __attribute__((format(printf, 3, 0)))
compose(struct error *err, const char *why, const char *fmt, va_list ap)
{
	struct str s;

	str_init(&s, err->text, sizeof(err->text));
	str_vprintf(&s, fmt, ap);
	if (why != NULL) {
		str_lit(&s, ": ");
		str_cstr(&s, why);
	}
	str_terminate(&s);
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
