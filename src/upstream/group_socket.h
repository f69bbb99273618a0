/* SPDX-License-Identifier: BSD-2-Clause */
/* group_socket - the sockets of connections to backends: bind and tcp. */
#ifndef UPSTREAM_GROUP_SOCKET_H
#define UPSTREAM_GROUP_SOCKET_H

#include <stdbool.h>

struct addr;
struct conf_ctx;
struct conf_node;
struct conf_table;
struct group_conf;

extern const struct conf_table group_socket_tcp_table;

/* Fill conf->sources and ->tune from the options; -1 = reported. */
int group_socket_check(struct conf_ctx *ctx, const struct conf_node *node,
    struct group_conf *conf);
/*
 * sock_connect_with() what the upstream says.  has_tls: the first bytes do no
 * harm when they come twice, as those of Fast Open may.
 */
int group_socket_connect(const struct group_conf *conf, const struct addr *to,
    bool has_tls, bool *in_progress);

#endif
