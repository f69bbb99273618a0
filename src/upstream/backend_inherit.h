/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_inherit - a zone of backends that follows one of another size.
 *
 * What a predecessor knew of each backend (health, weights, drain marks,
 * addresses) is copied by name when the new zone is made.  Requests and
 * connections stay where they were begun: the predecessor's processes count in
 * the old zone, ours in the new one.  So that balancers and max_connections
 * see both, the background process that serves books what the old zone has in
 * an account of its own, twice a second, and sees to the dead there as well.
 * The predecessor knows nothing of us: together the two may exceed a limit by
 * what its last clients still ask for.
 */
#ifndef UPSTREAM_BACKEND_INHERIT_H
#define UPSTREAM_BACKEND_INHERIT_H

#include <stddef.h>
#include <stdint.h>

#include "upstream/backend_zone.h"

struct backend_heritage;
struct backend_zone;
struct error;

/*
 * backend_zone_adopt() for a zone of owner_count slots.  Takes fd, also on
 * failure.  A backend keeps its slot's number where there is one; without room
 * for all, those that come last start as new.
 */
struct backend_zone *backend_inherit_zone(int fd, size_t slots,
    const struct backend_owner *owners, size_t owner_count,
    uint32_t versions, struct error *err);
/*
 * From here on this process, alone of all, books what the old zone has; or no
 * longer.  Nothing happens where there is none.
 */
void backend_inherit_serve(struct backend_zone *zone, bool is_serving);
/* For backend_zone_mend(). */
void backend_inherit_mirror(struct backend_zone *zone);
/* In the master: the predecessor has gone. */
void backend_inherit_end(struct backend_zone *zone);
void backend_inherit_free(struct backend_heritage *heritage);

#endif
