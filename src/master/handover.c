/* SPDX-License-Identifier: BSD-2-Clause */
/* handover - packets between two masters. */
#include "master/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "os/fdpass.h"

enum {
	PROTOCOL_VERSION = 1,
	BODY_MAX = 16384,
	RETRY_MS = 10,
	PACKETS_PER_EVENT = 64,
};

struct head {
	char magic[8];
	uint16_t version;
	uint16_t type;
	uint32_t body_bytes;
};

struct packet {
	struct head head;
	char body[BODY_MAX];
};

static const char magic[8] = { 'w', 'e', 'i', 'r', ' ', 'u', 'p', '\n' };

/* ---- sending ---- */

static int
send_packet(int fd, unsigned type, struct span body, const int *fds,
    size_t fd_count)
{
	struct packet p = { .head = { .version = PROTOCOL_VERSION,
		.type = (uint16_t)type, .body_bytes = (uint32_t)body.len } };

	memcpy(p.head.magic, magic, sizeof(magic));
	if (body.len > 0)
		memcpy(p.body, body.p, body.len);
	return fdpass_send(fd, &p, sizeof(p.head) + body.len, fds, fd_count);
}

void
handover_say_fd(int fd, enum handover_type type, struct span body)
{
	if (body.len > BODY_MAX)
		body.len = BODY_MAX;
	if (send_packet(fd, type, body, NULL, 0) != 0)
		log_debug(NULL, "telling the other instance: %s",
		    strerror(errno));
}

void
handover_say(struct handover *h, enum handover_type type, struct span body)
{
	if (handover_is_open(h))
		handover_say_fd(h->watch.fd, type, body);
}

/* -1: try again later, or the end comes as an event. */
static int
send_next(struct handover *h)
{
	const struct manifest *m = h->sending;
	size_t bytes = m->len - h->sent;
	size_t fds = m->fd_count - h->fds_sent;

	if (bytes == 0 && fds == 0) {
		if (send_packet(h->watch.fd, HANDOVER_END, SPAN(""), NULL,
		    0) != 0)
			return -1;
		h->sending = NULL;
		return 0;
	}
	bytes = bytes < BODY_MAX ? bytes : BODY_MAX;
	fds = fds < FDPASS_MAX ? fds : FDPASS_MAX;
	if (send_packet(h->watch.fd, HANDOVER_PIECE,
	    span_of(m->bytes + h->sent, bytes),
	    fds > 0 ? m->fds + h->fds_sent : NULL, fds) != 0)
		return -1;
	h->sent += bytes;
	h->fds_sent += fds;
	return 0;
}

/* Both ends hear of it as an event: whoever sends is not called from here. */
static void
break_off(struct handover *h, int why)
{
	if (why != EPIPE)
		log_error(NULL, "sending to the other instance: %s",
		    strerror(why));
	shutdown(h->watch.fd, SHUT_RDWR);
}

static void
send_more(struct handover *h)
{
	while (h->sending != NULL && send_next(h) == 0)
		;
	if (h->sending == NULL)
		return;
	if (errno == EAGAIN)
		loop_blocked(h->loop, &h->watch, LOOP_WRITABLE);
	else if (errno == ETOOMANYREFS || errno == ENOBUFS)
		deadline_set(h->loop, &h->retry, now_ms() + RETRY_MS);
	else
		break_off(h, errno);
}

static void
on_retry(struct deadline *d)
{
	send_more(LIST_OF(d, struct handover, retry));
}

void
handover_send_manifest(struct handover *h, const struct manifest *m)
{
	if (!handover_is_open(h))
		return;
	h->sending = m;
	h->sent = h->fds_sent = 0;
	send_more(h);
}

bool
handover_has_sent(const struct handover *h)
{
	return h->sending == NULL;
}

/* ---- receiving ---- */

static void
end(struct handover *h, const char *why)
{
	handover_stop(h);
	h->on_message(h, 0, span_cstr(why));
}

/* False if it was the end. */
static bool
deliver(struct handover *h, const struct packet *p, size_t len,
    const int *fds, size_t fd_count)
{
	bool is_packet = len >= sizeof(p->head) &&
	    memcmp(p->head.magic, magic, sizeof(magic)) == 0 &&
	    p->head.body_bytes == len - sizeof(p->head);
	bool is_piece = is_packet && p->head.version == PROTOCOL_VERSION &&
	    p->head.type == HANDOVER_PIECE;
	struct span body;
	struct error err;

	for (size_t i = 0; i < fd_count && !is_piece; i++)
		close(fds[i]);
	if (!is_packet) {
		end(h, "what came is no message of an upgrade");
		return false;
	}
	if (p->head.version != PROTOCOL_VERSION) {
		error_set(&err, "version %u of the protocol is not known",
		    p->head.version);
		end(h, err.text);
		return false;
	}
	body = span_of(p->body, p->head.body_bytes);
	if (is_piece) {
		if (manifest_append(&h->manifest, body, fds, fd_count,
		    &err) == 0)
			return true;
		end(h, err.text);
		return false;
	}
	if (p->head.type != 0)
		h->on_message(h, p->head.type, body);
	return handover_is_open(h);
}

/* False when there is no more now, or ever. */
static bool
receive(struct handover *h, struct packet *p)
{
	int fds[FDPASS_MAX];
	size_t fd_count = FDPASS_MAX;
	ssize_t n = fdpass_receive(h->watch.fd, p, sizeof(*p), fds,
	    &fd_count);
	struct error err;

	if (n > 0)
		return deliver(h, p, (size_t)n, fds, fd_count);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		loop_blocked(h->loop, &h->watch, LOOP_READABLE);
		return false;
	}
	if (n == 0) {
		end(h, "it has closed the connection");
		return false;
	}
	error_set_errno(&err, errno, "receiving");
	end(h, err.text);
	return false;
}

static void
on_event(struct loop_watch *w, unsigned events)
{
	struct handover *h = LIST_OF(w, struct handover, watch);
	struct packet *p;

	if ((events & LOOP_WRITABLE) != 0 && h->sending != NULL)
		send_more(h);
	if ((events & ~(unsigned)LOOP_WRITABLE) == 0)
		return;
	p = heap_alloc(sizeof(*p));
	while (receive(h, p))
		;
	free(p);
}

/* ---- start and end ---- */

static int
check_peer(int fd, pid_t *pid, struct error *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return error_set_errno(err, errno, "asking who is there");
	if (peer.uid != 0 && peer.uid != geteuid())
		return error_set(err, "process %ld of user %lu is refused: "
		    "only root and user %lu may upgrade", (long)peer.pid,
		    (unsigned long)peer.uid, (unsigned long)geteuid());
	*pid = peer.pid;
	return 0;
}

int
handover_start(struct handover *h, struct loop *loop, int fd,
    handover_fn *on_message, struct error *err)
{
	*h = (struct handover){ .watch = { on_event, -1, 0 }, .loop = loop,
		.on_message = on_message };
	manifest_init(&h->manifest, true);
	deadline_init(&h->retry, on_retry);
	if (check_peer(fd, &h->peer_pid, err) != 0) {
		close(fd);
		return -1;
	}
	if (loop_add_stream(loop, &h->watch, fd) == 0)
		return 0;
	error_set_errno(err, errno, "watching a connection");
	close(fd);
	return -1;
}

void
handover_stop(struct handover *h)
{
	int fd = h->watch.fd;

	if (!handover_is_open(h))
		return;
	deadline_stop(h->loop, &h->retry);
	loop_remove(h->loop, &h->watch);
	close(fd);
	h->sending = NULL;
	manifest_fini(&h->manifest);
}

bool
handover_is_open(const struct handover *h)
{
	return h->loop != NULL && h->watch.fd >= 0;
}

bool
handover_has_peer(const struct handover *h)
{
	char byte;

	return handover_is_open(h) && recv(h->watch.fd, &byte, 1,
	    MSG_PEEK | MSG_DONTWAIT) != 0;
}

/* ---- the address ---- */

static int
set_path(struct sockaddr_un *sa, const char *path)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sa->sun_path, path);
	return 0;
}

int
handover_connect(const char *path)
{
	struct sockaddr_un sa;
	int fd, why;

	if (set_path(&sa, path) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

/* Who may write to the folder could put a socket of his own there. */
static int
check_folder(const char *path, struct error *err)
{
	char copy[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat st;
	const char *folder;

	strcpy(copy, path);
	folder = dirname(copy);
	if (stat(folder, &st) != 0)
		return error_set_errno(err, errno, "upgrade_sock %s: "
		    "folder %s", path, folder);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(err, "upgrade_sock %s: folder %s belongs to "
		    "user %lu, who could put another socket there", path,
		    folder, (unsigned long)st.st_uid);
	if ((st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0)
		return error_set(err, "upgrade_sock %s: everybody may write "
		    "to folder %s", path, folder);
	return 0;
}

static bool
is_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* A socket that nobody answers on, of one who was killed. */
static void
remove_stale(const char *path)
{
	int fd;

	if (!is_socket(path))
		return;
	fd = handover_connect(path);
	if (fd >= 0)
		close(fd);
	else if (errno == ECONNREFUSED)
		unlink(path);
}

int
handover_listen(const char *path, struct error *err)
{
	struct sockaddr_un sa;
	mode_t mask;
	int fd, status;

	if (set_path(&sa, path) != 0)
		return error_set_errno(err, errno, "upgrade_sock %s", path);
	if (check_folder(path, err) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (fd < 0)
		return error_set_errno(err, errno, "upgrade_sock %s", path);
	remove_stale(path);
	mask = umask(0177);
	status = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (status == 0 && listen(fd, 4) == 0)
		return fd;
	if (errno == EADDRINUSE)
		error_set(err, "upgrade_sock %s: %s", path, is_socket(path)
		    ? "another instance waits there"
		    : "a file is there that is no socket");
	else
		error_set_errno(err, errno, "upgrade_sock %s", path);
	close(fd);
	return -1;
}
