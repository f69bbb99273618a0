/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * origin - the backend of loss: bodies made of a pattern, uploads that are
 * checked byte by byte, WebSockets that echo.
 *
 *	GET /b/LENGTH/SEED	200 and so many bytes
 *	POST /u/LENGTH/SEED	200 "ok", or 400 where the body is another
 *	GET /ws			101, then each frame comes back
 */
#ifndef LOSS_ORIGIN_H
#define LOSS_ORIGIN_H

/* Listens on a port of 127.0.0.1 (0 = any); -1 with errno on failure. */
int origin_listen(int *port);
/* Serves until the other end of lifeline_fd closes. */
void origin_run(int listen_fd, int lifeline_fd);

#endif
