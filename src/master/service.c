/* SPDX-License-Identifier: BSD-2-Clause */
/* service - notifications, and the watchdog's deadline. */
#include "master/service.h"

#include "base/list.h"
#include "base/now.h"

enum { SPARE_MS = 10000 }; /* beyond the time that an end may take */

static void
on_watchdog(struct deadline *d)
{
	struct service *s = LIST_OF(d, struct service, watchdog);

	notify_watchdog(&s->notify);
	deadline_set(s->loop, d, now_ms() + s->notify.watchdog_ms);
}

void
service_init(struct service *s)
{
	*s = (struct service){ .loop = NULL };
	deadline_init(&s->watchdog, on_watchdog);
	notify_init(&s->notify);
}

void
service_start(struct service *s, struct loop *loop)
{
	s->loop = loop;
	if (s->notify.watchdog_ms > 0)
		deadline_set(loop, &s->watchdog,
		    now_ms() + s->notify.watchdog_ms);
}

void
service_stop(struct service *s)
{
	if (s->loop != NULL)
		deadline_stop(s->loop, &s->watchdog);
	s->loop = NULL;
	notify_close(&s->notify);
}

void
service_forget(struct service *s)
{
	notify_close(&s->notify);
}

void
service_serving(struct service *s, const char *status)
{
	notify_ready(&s->notify, status);
}

void
service_status(struct service *s, const char *status)
{
	notify_status(&s->notify, status);
}

void
service_changing(struct service *s, const char *status)
{
	notify_reloading(&s->notify, status);
}

void
service_ending(struct service *s, uint64_t timeout_ms, const char *status)
{
	notify_stopping(&s->notify, timeout_ms + SPARE_MS, status);
}
