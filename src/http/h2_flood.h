/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_flood - what a peer of HTTP/2 can do so often that it is an attack. */
#ifndef HTTP_H2_FLOOD_H
#define HTTP_H2_FLOOD_H

/* What a peer can do too often, each counted over ten seconds. */
#define H2_FLOOD_LIST(X)                                                  \
	X(RESET, "reset", "streams it reset")                             \
	X(RESET_MADE, "reset_made", "streams it made us reset")           \
	X(SETTINGS, "settings", "SETTINGS frames")                        \
	X(PING, "ping", "PING frames")                                    \
	X(PRIORITY, "priority", "PRIORITY frames")                        \
	X(EMPTY, "empty", "DATA frames without data, unknown frames")     \
	X(WINDOW, "window_update", "WINDOW_UPDATE frames")                \
	X(CONTINUATION, "continuation", "CONTINUATION frames of a head")  \
	X(HEADER_LIST, "header_list", "bytes of a decoded header list")

enum h2_flood {
#define X(id, name, help) H2_FLOOD_##id,
	H2_FLOOD_LIST(X)
#undef X
	H2_FLOOD_COUNT
};

enum { H2_FLOOD_WINDOW_MS = 10000 };

#endif
