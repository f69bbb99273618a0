/* SPDX-License-Identifier: BSD-2-Clause */
/* control - accepting, reading a line, finding who answers it. */
#include "master/control.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/heap_alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/now.h"
#include "base/str.h"
#include "master/runfolder.h"
#include "os/deadline.h"
#include "os/loop.h"
#include "os/reply.h"
#include "os/sock.h"

enum {
	BACKLOG = 64,
	CONNS_MAX = 32,   /* that have not sent their line */
	REPLIES_MAX = 64, /* that wait for the answer */
	LINE_MS = 5000,
	/* Memory that nobody writes to costs nothing. */
	ANSWER_MAX = 64 << 20,
};

/* A connection whose line has not come yet. */
struct conn {
	struct list node;
	struct control *control;
	struct loop_watch watch;
	struct deadline deadline;
	size_t len;
	char line[COMMAND_LINE_MAX + 2]; /* CR LF */
};

struct control {
	struct control_config config;
	struct loop_watch watch;
	struct list conns;
	unsigned conn_count;
	struct reply_set replies;
	char *path;
	dev_t file_dev; /* of the socket file, as we made it */
	ino_t file_ino;
};

/* ---- one connection ---- */

/* Its descriptor is the caller's from now on. */
static int
detach(struct conn *conn)
{
	struct control *c = conn->control;
	int fd = conn->watch.fd;

	deadline_stop(c->config.loop, &conn->deadline);
	loop_remove(c->config.loop, &conn->watch);
	list_remove(&conn->node);
	c->conn_count--;
	free(conn);
	return fd;
}

static void
refuse(struct control *c, int fd, const char *why)
{
	reply_answer(reply_new(&c->replies, fd), why, span_of(NULL, 0));
}

static void
serve(struct control *c, int fd, struct span line)
{
	struct command_env env = { .arg = c->config.arg };
	const struct command *row;
	struct command_words w;
	struct error err;

	if (command_split(&w, line, &err) != 0) {
		refuse(c, fd, err.text);
		return;
	}
	row = command_find(c->config.rows, &w);
	if (row != NULL) {
		reply_log_request(fd, row, line);
		reply_run(reply_new(&c->replies, fd), row, &w, &env,
		    ANSWER_MAX);
	} else if (c->config.pass_on(c->config.arg, fd, line, &err) == 0) {
		close(fd);
	} else {
		refuse(c, fd, err.text);
	}
}

/* The line is whole, or as whole as it gets. */
static void
end_line(struct conn *conn, size_t len)
{
	struct control *c = conn->control;
	char line[sizeof(conn->line)];
	int fd;

	memcpy(line, conn->line, len);
	if (len > 0 && line[len - 1] == '\r')
		len--;
	fd = detach(conn);
	serve(c, fd, span_of(line, len));
}

static void
on_readable(struct loop_watch *w, unsigned events)
{
	struct conn *conn = LIST_OF(w, struct conn, watch);
	ssize_t n = recv(w->fd, conn->line + conn->len,
	    sizeof(conn->line) - conn->len, MSG_DONTWAIT);
	const char *end;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || (n == 0 && conn->len == 0)) {
		close(detach(conn));
		return;
	}
	end = n > 0 ? memchr(conn->line + conn->len, '\n', (size_t)n) : NULL;
	conn->len += (size_t)n;
	if (end != NULL)
		end_line(conn, (size_t)(end - conn->line));
	else if (n == 0 || conn->len == sizeof(conn->line))
		end_line(conn, conn->len);
}

static void
on_deadline(struct deadline *d)
{
	struct conn *conn = LIST_OF(d, struct conn, deadline);
	struct control *c = conn->control;

	refuse(c, detach(conn), "no command came in time");
}

/* ---- the socket ---- */

static void
add_conn(struct control *c, int fd)
{
	struct conn *conn = heap_alloc_zeroed(1, sizeof(*conn));

	conn->control = c;
	conn->watch = (struct loop_watch){ on_readable, -1, 0 };
	deadline_init(&conn->deadline, on_deadline);
	if (loop_add_reader(c->config.loop, &conn->watch, fd, false) != 0) {
		close(fd);
		free(conn);
		return;
	}
	deadline_set(c->config.loop, &conn->deadline, now_ms() + LINE_MS);
	list_push_back(&c->conns, &conn->node);
	c->conn_count++;
}

static void
on_connection(struct loop_watch *w, unsigned events)
{
	struct control *c = LIST_OF(w, struct control, watch);
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		/* Out of descriptors: the deadlines of the others free some. */
		if (errno == EMFILE || errno == ENFILE)
			log_warn(NULL, "control: accepting: %s",
			    strerror(errno));
		return;
	}
	if (c->replies.count >= REPLIES_MAX)
		close(fd);
	else if (c->conn_count >= CONNS_MAX)
		refuse(c, fd, "too many connections wait for a command");
	else
		add_conn(c, fd);
}

static int
find_owner(const struct control_config *config, struct sock_owner *owner,
    struct error *err)
{
	const struct passwd *pw;
	const struct group *gr;

	*owner = (struct sock_owner){ (uid_t)-1, (gid_t)-1 };
	if (config->owner != NULL) {
		pw = getpwnam(config->owner);
		if (pw == NULL)
			return error_set(err, "there is no user %s",
			    config->owner);
		owner->uid = pw->pw_uid;
	}
	if (config->group != NULL) {
		gr = getgrnam(config->group);
		if (gr == NULL)
			return error_set(err, "there is no group %s",
			    config->group);
		owner->gid = gr->gr_gid;
	}
	return 0;
}

static int
listen_at(const struct control_config *config, struct error *err)
{
	struct addr a = { .u.un.sun_family = AF_UNIX };
	struct sock_owner owner;
	struct sock_listen_options options = {
		.backlog = BACKLOG,
		.mode = config->mode,
	};
	size_t len = strlen(config->path);
	int fd;

	if (len >= sizeof(a.u.un.sun_path))
		return error_set(err, "the path is longer than %zu bytes",
		    sizeof(a.u.un.sun_path) - 1);
	memcpy(a.u.un.sun_path, config->path, len + 1);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (find_owner(config, &owner, err) != 0)
		return -1;
	/* Without need not even asked for: a sandbox may forbid it. */
	if (config->owner != NULL || config->group != NULL)
		options.owner = &owner;
	runfolder_make(config->path);
	fd = sock_listen(&a, &options, err);
	if (fd < 0 && errno == EADDRINUSE)
		return error_set(err, "another instance answers there");
	return fd;
}

struct control *
control_open(const struct control_config *config, struct error *err)
{
	int fd = config->adopt_fd;
	struct control *c;
	struct stat st;

	if (fd < 0)
		fd = listen_at(config, err);
	if (fd < 0) {
		error_set(err, "control socket %s: %s", config->path,
		    err->text);
		return NULL;
	}
	c = heap_alloc_zeroed(1, sizeof(*c));
	c->config = *config;
	c->path = heap_alloc_strdup(config->path);
	list_init(&c->conns);
	reply_set_init(&c->replies, config->loop);
	c->watch = (struct loop_watch){ on_connection, -1, 0 };
	if (lstat(c->path, &st) == 0) {
		c->file_dev = st.st_dev;
		c->file_ino = st.st_ino;
	}
	if (loop_add_reader(config->loop, &c->watch, fd, false) == 0)
		return c;
	error_set_errno(err, errno, "control socket %s: watching it", c->path);
	close(fd);
	free(c->path);
	free(c);
	return NULL;
}

int
control_fd(const struct control *c)
{
	return c != NULL ? c->watch.fd : -1;
}

void
control_release(struct control *c)
{
	int fd = control_fd(c);

	if (fd < 0)
		return;
	loop_remove(c->config.loop, &c->watch);
	close(fd);
}

static bool
is_our_file(const struct control *c)
{
	struct stat st;

	return c->file_ino != 0 && lstat(c->path, &st) == 0 &&
	    st.st_dev == c->file_dev && st.st_ino == c->file_ino;
}

void
control_close(struct control *c)
{
	if (c == NULL)
		return;
	/* After control_release() the file is another's. */
	if (c->watch.fd >= 0 && is_our_file(c))
		unlink(c->path);
	control_release(c);
	LIST_EACH(&c->conns, node, after)
		close(detach(LIST_OF(node, struct conn, node)));
	reply_set_fini(&c->replies);
	free(c->path);
	free(c);
}

void
control_forget(struct control *c)
{
	if (c == NULL)
		return;
	if (c->watch.fd >= 0)
		close(c->watch.fd);
	/* The loop is the master's: no word to it. */
	LIST_EACH(&c->conns, node, after) {
		struct conn *conn = LIST_OF(node, struct conn, node);

		close(conn->watch.fd);
		free(conn);
	}
	reply_set_forget(&c->replies);
	free(c->path);
	free(c);
}
