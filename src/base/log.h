/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log - the error log: one line an event, composed here, written by a sink.
 *
 * error = act now, warn = look today, notice = life cycle, info = what a
 * client alone can cause, debug.  Texts read "doing what: why": lower case, no
 * full stop.  Bytes of peers go through str_escaped() first.  Lines of level
 * warn and info are limited per call site: after 10 in a second the rest is
 * counted, and the count is printed with the next line of that site.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str;

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Who speaks: prints "conn 12 127.0.0.1:5000: " or the like.  May be NULL. */
struct log_ctx {
	void (*prefix)(const struct log_ctx *ctx, struct str *line);
};

/* One place in the code that logs; a static of the macros below. */
struct log_site {
	uint64_t second;
	uint32_t lines;
	uint32_t suppressed;
};

/*
 * Takes a whole line with its newline; must not block for long and must not
 * log.  The level is for sinks that pass it on (journald, syslog).
 */
typedef void log_sink_fn(void *arg, enum log_level level, const char *line,
    size_t len);

/* The default sink writes to stderr. */
void log_set_sink(log_sink_fn *sink, void *arg);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Name of this process in each line: "master", "worker 3". */
void log_set_process(const char *name);
/* The level by name, -1 if there is none. */
int log_level_parse(const char *name, enum log_level *level);
const char *log_level_name(enum log_level level);

extern enum log_level log_threshold; /* read by the macros only */

void log_line(enum log_level level, struct log_site *site,
    const struct log_ctx *ctx, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define LOG_AT(level, ctx, ...)                                      \
	do {                                                         \
		static struct log_site log_site_here;                \
		if ((level) <= log_threshold)                        \
			log_line((level), &log_site_here, (ctx),     \
			    __VA_ARGS__);                            \
	} while (0)

#define log_error(ctx, ...) LOG_AT(LOG_LEVEL_ERROR, ctx, __VA_ARGS__)
#define log_warn(ctx, ...) LOG_AT(LOG_LEVEL_WARN, ctx, __VA_ARGS__)
#define log_notice(ctx, ...) LOG_AT(LOG_LEVEL_NOTICE, ctx, __VA_ARGS__)
#define log_info(ctx, ...) LOG_AT(LOG_LEVEL_INFO, ctx, __VA_ARGS__)
#define log_debug(ctx, ...) LOG_AT(LOG_LEVEL_DEBUG, ctx, __VA_ARGS__)

#endif
