/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade_left - what a predecessor left, given to those who use it: shared
 * memory, listeners, pid file, control socket.
 */
#ifndef MASTER_UPGRADE_LEFT_H
#define MASTER_UPGRADE_LEFT_H

struct error;
struct listener_set;
struct master;
struct shared_config;

/* shared_new(), with what was left. */
int upgrade_left_open_shared(struct master *m, struct shared_config *config,
    struct error *err) __attribute__((warn_unused_result));
/* The first generation has booked what it needs of the zones. */
void upgrade_left_check_zones(struct master *m);
/* The predecessor's sockets, or NULL: see struct generations_config. */
struct listener_set *upgrade_left_listeners(struct master *m);
/* The listening socket at path that a predecessor left; -1 = none. */
int upgrade_left_control(struct master *m, const char *path);
/* pidfile_open(), or the predecessor's until all is ours. */
int upgrade_left_open_pidfile(struct master *m, struct error *err)
    __attribute__((warn_unused_result));

#endif
