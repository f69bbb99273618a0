/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lb_leastconn - the backend with the fewest requests in flight, over all
 * workers and relative to its weight.
 *
 * Looks at every backend for every request.  Among equals it goes around, and
 * each worker begins elsewhere, so that an idle upstream is not served by its
 * first backend alone.
 */
#ifndef UPSTREAM_LB_LEASTCONN_H
#define UPSTREAM_LB_LEASTCONN_H

#include "upstream/lb.h"

extern const struct lb_ops lb_leastconn;

/*
 * Has place a of the view less to do than b, one more request included and
 * relative to the weights?  False for equals.
 */
bool lb_leastconn_is_less(const struct lb_view *view, uint32_t a, uint32_t b);

#endif
