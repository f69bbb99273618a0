/* SPDX-License-Identifier: BSD-2-Clause */
/* sock - making, asking and ending sockets. */
#include "os/sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "os/sock_tune.h"

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int
fail_at(struct error *err, int why, const char *what, const struct addr *a)
{
	struct str s;
	char memory[160];

	str_init(&s, memory, sizeof(memory));
	addr_put(&s, a);
	error_set_errno(err, why, "%s %.*s", what, (int)s.len, s.p);
	errno = why;
	return -1;
}

/* True if a socket file is there and nobody answers on it. */
static bool
is_stale(const struct addr *a)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(a->u.un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, &a->u.sa, a->len) != 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

/* The file gets its owner and mode before anybody can connect. */
static int
bind_unix(int fd, const struct addr *a, const struct sock_listen_options *o,
    struct error *err)
{
	const char *path = a->u.un.sun_path;

	if (bind(fd, &a->u.sa, a->len) != 0) {
		if (errno != EADDRINUSE || !is_stale(a) || unlink(path) != 0 ||
		    bind(fd, &a->u.sa, a->len) != 0)
			return fail_at(err, errno, "binding", a);
	}
	if (chmod(path, (mode_t)o->mode) != 0)
		return fail_at(err, errno, "setting the mode of", a);
	if (o->owner != NULL && chown(path, o->owner->uid, o->owner->gid) != 0)
		return fail_at(err, errno, "setting the owner of", a);
	return 0;
}

static int
set_tcp_options(int fd, const struct addr *a,
    const struct sock_listen_options *o)
{
	if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0)
		return -1;
	if (o->reuseport && sock_allow_reuseport(fd) != 0)
		return -1;
	if (a->u.sa.sa_family == AF_INET6 &&
	    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->ipv6_only) != 0)
		return -1;
	/* What is accepted inherits these, without a call of its own. */
	if (sock_nodelay(fd) != 0)
		return -1;
	if (o->defer_accept && sock_defer_accept(fd, true) != 0)
		return -1;
	return o->keepalive_s > 0 ? sock_keepalive(fd, o->keepalive_s) : 0;
}

static int
tune(int fd, const struct addr *a, const struct sock_listen_options *o,
    struct error *err)
{
	enum sock_tune_row row;
	struct str what;
	char memory[64];

	if (o->tune == NULL || sock_tune_all(fd, o->tune, &row) == 0)
		return 0;
	str_init(&what, memory, sizeof(memory));
	str_printf(&what, "setting %s of", sock_tune_name(row));
	return fail_at(err, errno, str_terminate(&what), a);
}

int
sock_listen(const struct addr *a, const struct sock_listen_options *o,
    struct error *err)
{
	int family = a->u.sa.sa_family;
	int fd, why;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_at(err, errno, "making a socket for", a);
	if (family == AF_UNIX) {
		if (bind_unix(fd, a, o, err) != 0)
			goto fail;
	} else if (set_tcp_options(fd, a, o) != 0) {
		fail_at(err, errno, "setting the options of", a);
		goto fail;
	} else if (tune(fd, a, o, err) != 0) {
		goto fail;
	} else if (bind(fd, &a->u.sa, a->len) != 0) {
		fail_at(err, errno, "binding", a);
		goto fail;
	}
	if (!o->is_late && listen(fd, o->backlog) != 0) {
		fail_at(err, errno, "listening on", a);
		goto fail;
	}
	return fd;
fail:
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

int
sock_start(int fd, int backlog)
{
	return listen(fd, backlog);
}

int
sock_keepalive(int fd, unsigned keepalive_s)
{
	if (set_option(fd, SOL_SOCKET, SO_KEEPALIVE, keepalive_s > 0) != 0)
		return -1;
	return keepalive_s == 0 ? 0 :
	    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)keepalive_s);
}

int
sock_steer(int fd, unsigned count)
{
	/* By lot: a hash of the packet is not there on every device. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(*code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
	    sizeof(program));
}

int
sock_allow_reuseport(int fd)
{
	return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

bool
sock_listens_at(int fd, const struct addr *a)
{
	int listens = 0;
	socklen_t len = sizeof(listens);
	struct addr local;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 ||
	    listens == 0)
		return false;
	sock_local(fd, &local);
	if (local.len == 0)
		return false;
	if (a->u.sa.sa_family == AF_UNIX)
		return local.u.sa.sa_family == AF_UNIX &&
		    strncmp(local.u.un.sun_path, a->u.un.sun_path,
		    sizeof(a->u.un.sun_path)) == 0;
	if (local.u.sa.sa_family != AF_INET &&
	    local.u.sa.sa_family != AF_INET6)
		return false;
	if (addr_port(a) == 0)
		return true;
	/* Without IPv6 in the kernel what was to be [::] is 0.0.0.0. */
	if (addr_is_any(a) && addr_is_any(&local))
		return addr_port(a) == addr_port(&local);
	return addr_equal(a, &local);
}

int
sock_defer_accept(int fd, bool on)
{
	/* Seconds; a client that stays silent is seen by then. */
	return set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, on);
}

enum { NO_INTERFACE = INT32_MAX }; /* no packet comes from there */

/* SYN without ACK is not heard (RFC 9293, section 3.1). */
static int
drop_syn(int fd)
{
	enum { FLAGS_AT = 13, SYN = 2, ACK = 16 };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(*code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
	    sizeof(program));
}

/*
 * Packets of a handshake find it by what their first one has left; only that
 * one is looked up among the listeners, by the interface too.  A SYN cookie
 * leaves nothing: the last packet of such a handshake is looked up as well, and
 * is answered with a reset.
 */
int
sock_refuse_new(int fd)
{
#ifdef SO_BINDTOIFINDEX
	int bound = 0;
	socklen_t len = sizeof(bound);

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound, &len) == 0 &&
	    (bound == NO_INTERFACE || set_option(fd, SOL_SOCKET,
	    SO_BINDTOIFINDEX, NO_INTERFACE) == 0))
		return 0;
#endif
	return drop_syn(fd);
}

int
sock_admit_new(int fd)
{
	int bound = 0;
	socklen_t len = sizeof(bound);

	(void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &bound, len);
#ifdef SO_BINDTOIFINDEX
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &bound, &len) == 0 &&
	    bound == NO_INTERFACE)
		return set_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0);
#endif
	return 0;
}

bool
sock_is_ipv6_only(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len) == 0 &&
	    value != 0;
}

int
sock_error(int fd)
{
	int why = 0;
	socklen_t len = sizeof(why);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0)
		return errno;
	return why;
}

int
sock_nodelay(int fd)
{
	return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void
sock_reset(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

bool
sock_is_quiet(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK);
}

void
sock_local(int fd, struct addr *a)
{
	memset(a, 0, sizeof(*a));
	a->len = sizeof(a->u);
	if (getsockname(fd, &a->u.sa, &a->len) != 0)
		a->len = 0;
}
