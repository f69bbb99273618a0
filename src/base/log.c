/* SPDX-License-Identifier: BSD-2-Clause */
/* log - composing the lines of the error log, and limiting their rate. */
#include "base/log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/now.h"
#include "base/str.h"

enum { LINE_MAX_BYTES = 4096, PREFIX_MAX_BYTES = 1024,
	LINES_PER_SECOND = 10 };

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static void sink_stderr(void *arg, enum log_level level, const char *line,
    size_t len);

enum log_level log_threshold = LOG_LEVEL_NOTICE;
static log_sink_fn *log_sink = sink_stderr;
static void *log_sink_arg;
static const char *process_name = "weir";

/* journald takes the level from "<N>" in front (sd-daemon(3)). */
static void
sink_stderr(void *arg, enum log_level level, const char *line, size_t len)
{
	static const char priorities[] = { '3', '4', '5', '6', '7' };
	char prefixed[LINE_MAX_BYTES + 8];
	struct str s;
	ssize_t ignored;

	(void)arg;
	str_init(&s, prefixed, sizeof(prefixed));
	if (getenv("JOURNAL_STREAM") != NULL) {
		str_char(&s, '<');
		str_char(&s, priorities[level]);
		str_char(&s, '>');
	}
	str_put(&s, line, len);
	ignored = write(STDERR_FILENO, s.p, s.len);
	(void)ignored;
}

void
log_set_sink(log_sink_fn *sink, void *arg)
{
	log_sink = sink != NULL ? sink : sink_stderr;
	log_sink_arg = arg;
}

void
log_set_level(enum log_level level)
{
	log_threshold = level;
}

enum log_level
log_get_level(void)
{
	return log_threshold;
}

void
log_set_process(const char *name)
{
	process_name = name;
}

int
log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names);
	     i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

/* True if the line may be written; *suppressed = lines kept back before it. */
static bool
site_allows(struct log_site *site, uint32_t *suppressed)
{
	uint64_t second = now_ms() / 1000;

	*suppressed = 0;
	if (site->second != second) {
		*suppressed = site->suppressed;
		*site = (struct log_site){ .second = second };
	}
	if (site->lines < LINES_PER_SECOND) {
		site->lines++;
		return true;
	}
	site->suppressed++;
	return false;
}

static void
put_time(struct str *s)
{
	uint64_t wall_ms = now_wall_ms();
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[32];

	if (gmtime_r(&seconds, &tm) == NULL)
		return;
	str_put(s, text,
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm));
	str_printf(s, ".%03uZ", (unsigned)(wall_ms % 1000));
}

void
log_line(enum log_level level, struct log_site *site,
    const struct log_ctx *ctx, const char *fmt, ...)
{
	char memory[LINE_MAX_BYTES];
	struct str s;
	uint32_t suppressed = 0;
	size_t text_at;
	va_list ap;

	if ((level == LOG_LEVEL_WARN || level == LOG_LEVEL_INFO) &&
	    !site_allows(site, &suppressed))
		return;
	str_init(&s, memory, sizeof(memory) - 64);
	put_time(&s);
	str_printf(&s, " %s[%ld] %s: ", process_name, (long)getpid(),
	    level_names[level]);
	if (ctx != NULL) {
		s.cap = s.len + PREFIX_MAX_BYTES;
		ctx->prefix(ctx, &s);
		s.cap = sizeof(memory) - 64;
		s.overflow = false; /* it is cut, the text is not */
	}
	text_at = s.len;
	va_start(ap, fmt);
	str_vprintf(&s, fmt, ap);
	va_end(ap);
	if (s.overflow) {
		/* What was cut lies there, with a NUL behind it. */
		s.overflow = false;
		s.len = text_at + strnlen(s.p + text_at, s.cap - text_at - 1);
	}
	s.cap = sizeof(memory);
	if (suppressed > 0)
		str_printf(&s, " (%u more like this suppressed)", suppressed);
	str_char(&s, '\n');
	log_sink(log_sink_arg, level, s.p, s.len);
}
