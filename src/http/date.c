/* SPDX-License-Identifier: BSD-2-Clause */
/* date - HTTP dates, without the C library's locale and time zone. */
#include "http/date.h"

#include <stdbool.h>

#include "base/now.h"
#include "http/chars.h"

enum { DAY_SECONDS = 86400, YEAR_MAX = 9999 };

static const char day_names[7][10] = { "Sunday", "Monday", "Tuesday",
	"Wednesday", "Thursday", "Friday", "Saturday" };
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
	unsigned year;
	unsigned month; /* 1..12 */
	unsigned day;   /* 1..31 */
};

/*
 * Days since 1970-01-01 and back, in the proleptic Gregorian calendar.  Years
 * are counted from March, so that the leap day is the last of its year, and in
 * eras of 400 years, which are all alike.
 */
static int64_t
days_of(struct civil c)
{
	unsigned year = c.month <= 2 ? c.year - 1 : c.year;
	unsigned month = c.month <= 2 ? c.month + 9 : c.month - 3;
	unsigned era = year / 400;
	unsigned in_era = year % 400;
	unsigned day = (153 * month + 2) / 5 + c.day - 1;
	unsigned days = in_era * 365 + in_era / 4 - in_era / 100 + day;

	return (int64_t)era * 146097 + days - 719468;
}

static struct civil
civil_of(uint64_t day_number)
{
	uint64_t days = day_number + 719468;
	unsigned era = (unsigned)(days / 146097);
	unsigned in_era = (unsigned)(days % 146097);
	unsigned year = (in_era - in_era / 1460 + in_era / 36524 -
	    in_era / 146096) / 365;
	unsigned day = in_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * day + 2) / 153;
	struct civil c = { .day = day - (153 * month + 2) / 5 + 1,
		.month = month < 10 ? month + 3 : month - 9,
		.year = year + era * 400 };

	if (c.month <= 2)
		c.year++;
	return c;
}

static void
put_digits(char *out, unsigned n, unsigned count)
{
	while (count-- > 0) {
		out[count] = (char)('0' + n % 10);
		n /= 10;
	}
}

void
date_format(char *out, uint64_t seconds)
{
	static const char form[] = "Thu, 01 Jan 1970 00:00:00 GMT";
	uint64_t days = seconds / DAY_SECONDS;
	unsigned time = (unsigned)(seconds % DAY_SECONDS);
	struct civil c = civil_of(days);

	memcpy(out, form, DATE_BYTES);
	/* 1970-01-01 was a Thursday. */
	memcpy(out, day_names[(days + 4) % 7], 3);
	put_digits(out + 5, c.day, 2);
	memcpy(out + 8, month_names + (size_t)3 * (c.month - 1), 3);
	put_digits(out + 12, c.year, 4);
	put_digits(out + 17, time / 3600, 2);
	put_digits(out + 20, time / 60 % 60, 2);
	put_digits(out + 23, time % 60, 2);
}

struct span
date_now(void)
{
	static char text[DATE_BYTES];
	static uint64_t text_seconds = UINT64_MAX;
	uint64_t seconds = now_wall_ms() / 1000;

	if (seconds != text_seconds) {
		date_format(text, seconds);
		text_seconds = seconds;
	}
	return span_of(text, DATE_BYTES);
}

/* Readers of one piece each; they cut it off s and say whether it was there. */
static bool
read_text(struct span *s, const char *text, size_t len)
{
	if (s->len < len || memcmp(s->p, text, len) != 0)
		return false;
	s->p += len;
	s->len -= len;
	return true;
}

static bool
read_digits(struct span *s, unsigned count, unsigned *value)
{
	*value = 0;
	if (s->len < count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (!chars_is_digit(s->p[i]))
			return false;
		*value = *value * 10 + (unsigned)(s->p[i] - '0');
	}
	s->p += count;
	s->len -= count;
	return true;
}

static bool
read_day_name(struct span *s, bool whole)
{
	for (size_t i = 0; i < 7; i++) {
		size_t len = whole ? strlen(day_names[i]) : 3;

		if (read_text(s, day_names[i], len))
			return true;
	}
	return false;
}

static bool
read_month(struct span *s, unsigned *month)
{
	for (unsigned i = 0; i < 12; i++) {
		if (read_text(s, month_names + (size_t)3 * i, 3)) {
			*month = i + 1;
			return true;
		}
	}
	return false;
}

/* "08:49:37"; a leap second is a valid time. */
static bool
read_time(struct span *s, unsigned *seconds)
{
	unsigned h, m, sec;

	if (!read_digits(s, 2, &h) || !read_text(s, ":", 1) ||
	    !read_digits(s, 2, &m) || !read_text(s, ":", 1) ||
	    !read_digits(s, 2, &sec) || h > 23 || m > 59 || sec > 60)
		return false;
	*seconds = h * 3600 + m * 60 + sec;
	return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool
read_imf(struct span s, struct civil *c, unsigned *time)
{
	return read_day_name(&s, false) && read_text(&s, ", ", 2) &&
	    read_digits(&s, 2, &c->day) && read_text(&s, " ", 1) &&
	    read_month(&s, &c->month) && read_text(&s, " ", 1) &&
	    read_digits(&s, 4, &c->year) && read_text(&s, " ", 1) &&
	    read_time(&s, time) && read_text(&s, " GMT", 4) && s.len == 0;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool
read_rfc850(struct span s, struct civil *c, unsigned *time)
{
	if (!read_day_name(&s, true) || !read_text(&s, ", ", 2) ||
	    !read_digits(&s, 2, &c->day) || !read_text(&s, "-", 1) ||
	    !read_month(&s, &c->month) || !read_text(&s, "-", 1) ||
	    !read_digits(&s, 2, &c->year) || !read_text(&s, " ", 1) ||
	    !read_time(&s, time) || !read_text(&s, " GMT", 4) || s.len != 0)
		return false;
	/* More than 50 years ahead is the century before. */
	c->year += 2000;
	if (c->year > civil_of(now_wall_ms() / 1000 / DAY_SECONDS).year + 50)
		c->year -= 100;
	return true;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool
read_asctime(struct span s, struct civil *c, unsigned *time)
{
	return read_day_name(&s, false) && read_text(&s, " ", 1) &&
	    read_month(&s, &c->month) && read_text(&s, " ", 1) &&
	    (read_text(&s, " ", 1) ? read_digits(&s, 1, &c->day) :
				     read_digits(&s, 2, &c->day)) &&
	    read_text(&s, " ", 1) && read_time(&s, time) &&
	    read_text(&s, " ", 1) && read_digits(&s, 4, &c->year) &&
	    s.len == 0;
}

static unsigned
days_in_month(struct civil c)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30,
		31, 30, 31 };
	bool leap = c.year % 4 == 0 && (c.year % 100 != 0 || c.year % 400 == 0);

	return c.month == 2 && leap ? 29 : days[c.month - 1];
}

int
date_parse(struct span s, int64_t *seconds)
{
	struct civil c = { 0, 1, 0 };
	unsigned time = 0;

	if (!read_imf(s, &c, &time) && !read_rfc850(s, &c, &time) &&
	    !read_asctime(s, &c, &time))
		return -1;
	if (c.day == 0 || c.day > days_in_month(c) || c.year == 0 ||
	    c.year > YEAR_MAX)
		return -1;
	*seconds = days_of(c) * DAY_SECONDS + time;
	return 0;
}
