/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload_check - loads a configuration in a process of its own, which may crash
 * or hang without harm, and brings back what it had to report.
 */
#ifndef MASTER_RELOAD_CHECK_H
#define MASTER_RELOAD_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"
#include "os/deadline.h"
#include "os/loop.h"

struct error;
struct generation_source;

/*
 * It is over: text is what was reported, in lines, valid during the call; why:
 * NULL = it is good, else in words why not (errors in text, a crash, a hang).
 */
typedef void reload_check_fn(void *arg, struct span text, const char *why);

struct reload_check {
	struct loop *loop;
	reload_check_fn *on_done;
	void *arg;
	struct loop_watch pipe;
	struct deadline deadline;
	uint64_t timeout_ms;
	pid_t pid;      /* 0 = none */
	bool is_late;   /* killed because of that */
	char *text;
	size_t len;
	int status;     /* of waitpid(), once has_ended */
	bool has_ended;
};

void reload_check_init(struct reload_check *c, struct loop *loop,
    reload_check_fn *on_done, void *arg);
/*
 * in_child: in the new process, before it loads; source is borrowed until the
 * end.  -1 and err on failure.
 */
int reload_check_start(struct reload_check *c,
    const struct generation_source *source, uint64_t timeout_ms,
    void (*in_child)(void *arg), struct error *err)
    __attribute__((warn_unused_result));
/* What waitpid() said; false if pid is not its process. */
bool reload_check_on_exit(struct reload_check *c, pid_t pid, int status);
/* Nobody wants to know any more. */
void reload_check_stop(struct reload_check *c);

#endif
