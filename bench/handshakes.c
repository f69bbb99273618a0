/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshakes - open TLS 1.3 connections to a proxy, full or resumed, and print
 * one JSON object.
 *
 * A connection counts when its session ticket has come, so that the proxy has
 * done all of its work, and is closed in order.  Whether it was resumed is
 * checked on each: a full handshake among resumed ones is an error, for it
 * would spoil the figure, and so is the opposite.  With -k connections make
 * one request each and stay open.  The gates of -g are those of load.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define THREADS_MAX 64

struct options {
	struct sockaddr_in target;
	uint32_t threads;
	uint32_t count;
	uint32_t warm;
	int limit_s;
	bool resume, keep, gate;
};

/* What one thread is at. */
struct client {
	pthread_t thread;
	const struct options *opt;
	SSL_CTX *ctx;
	SSL_SESSION *latest; /* the last session that came */
	bool is_resuming;    /* each connection resumes it */
	uint32_t count;
	const char *error;
};

static atomic_uint errors;

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *me = SSL_get_app_data(ssl);

	SSL_SESSION_free(me->latest);
	me->latest = session;
	return 1;
}

static void
fail(struct client *me, const char *why)
{
	if (me->error == NULL)
		me->error = why;
	atomic_fetch_add(&errors, 1);
}

static int
dial(const struct options *opt)
{
	const struct timeval patience = { opt->limit_s, 0 };
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&opt->target,
		    sizeof(opt->target)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* As SSL_read(), again after a record without data; but until *until is set. */
static int
read_some(SSL *ssl, char *to, size_t size, SSL_SESSION *const *until)
{
	int n;

	do {
		errno = 0;
		n = SSL_read(ssl, to, (int)size);
	} while (n <= 0 && SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ &&
		 errno != EAGAIN && (until == NULL || *until == NULL));
	return n;
}

/* One request whose answer has 1,024 bytes of body and an 'x' last. */
static void
request(struct client *me, SSL *ssl)
{
	static const char head[] =
		"GET /b/1024 HTTP/1.1\r\nHost: bench.example\r\n\r\n";
	char bytes[8192];
	size_t got = 0;
	const char *body = NULL;
	int n;

	if (SSL_write(ssl, head, sizeof(head) - 1) <= 0) {
		fail(me, "cannot send a request");
		return;
	}
	do {
		n = read_some(ssl, bytes + got, sizeof(bytes) - 1 - got, NULL);
		if (n <= 0) {
			fail(me, "no whole response");
			return;
		}
		got += (size_t)n;
		bytes[got] = '\0';
		body = strstr(bytes, "\r\n\r\n");
	} while (body == NULL || (size_t)(body + 4 - bytes) + 1024 > got);
	if (strncmp(bytes + 9, "200", 3) != 0)
		fail(me, "a status other than 200");
}

static void
one(struct client *me, SSL *ssl, int fd)
{
	char bytes[256];
	SSL_SESSION *session = me->is_resuming ? me->latest : NULL;
	bool resumed;

	SSL_set_app_data(ssl, me);
	if (SSL_set_fd(ssl, fd) != 1 ||
	    (session != NULL && SSL_set_session(ssl, session) != 1)) {
		fail(me, "cannot begin");
		return;
	}
	/* As browsers do: no ticket is used twice. */
	SSL_SESSION_free(me->latest);
	me->latest = NULL;
	if (SSL_connect(ssl) != 1) {
		fail(me, "the handshake failed");
		return;
	}
	resumed = SSL_session_reused(ssl) == 1;
	if (resumed != me->is_resuming)
		fail(me, resumed ? "resumed" : "not resumed");
	if (me->opt->keep) {
		request(me, ssl);
		return;
	}
	(void)read_some(ssl, bytes, sizeof(bytes), &me->latest);
	if (me->latest == NULL)
		fail(me, "no session ticket");
	(void)SSL_shutdown(ssl);
	(void)shutdown(fd, SHUT_WR);
	while (read_some(ssl, bytes, sizeof(bytes), NULL) > 0)
		;
}

static void
connections(struct client *me, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		SSL *ssl = SSL_new(me->ctx);
		int fd = dial(me->opt);

		if (fd < 0)
			fail(me, "cannot connect");
		else
			one(me, ssl, fd);
		/* What is kept is closed by the end of the program. */
		if (me->opt->keep)
			continue;
		SSL_free(ssl);
		if (fd >= 0)
			(void)close(fd);
	}
}

/* Some full handshakes, of which the last leaves a session to resume. */
static void *
warm_up(void *arg)
{
	struct client *me = arg;

	if (!me->opt->keep)
		connections(me, me->opt->warm / me->opt->threads + 1);
	me->is_resuming = me->opt->resume;
	return NULL;
}

static void *
work(void *arg)
{
	struct client *me = arg;

	connections(me, me->count);
	return NULL;
}

static void
run(struct client *clients, uint32_t count, void *(*function)(void *))
{
	for (uint32_t i = 0; i < count; i++)
		if (pthread_create(&clients[i].thread, NULL, function,
				   &clients[i]) != 0)
			abort();
	for (uint32_t i = 0; i < count; i++)
		(void)pthread_join(clients[i].thread, NULL);
}

static void
gate(const struct options *opt, const char *word)
{
	int c;

	printf("%s\n", word);
	fflush(stdout);
	while (opt->gate && (c = getchar()) != '\n' && c != EOF)
		;
}

static SSL_CTX *
context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	static const unsigned char alpn[] = "\x08http/1.1";
	int groups[] = { NID_X25519 };

	if (ctx == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
	    SSL_CTX_set1_groups(ctx, groups, 1) != 1 ||
	    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0)
		abort();
	/* Tell of a ticket, which may be all that comes. */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
				       SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	return ctx;
}

static _Noreturn void
usage(void)
{
	fputs("usage: handshakes -a ADDRESS:PORT [options]\n"
	      "  -n N   connections (1)       -c N   at once (1)\n"
	      "  -w N   full ones before      -T S   patience with each (60)\n"
	      "  -r     resumed, all of them\n"
	      "  -k     make one request each, and stay open\n"
	      "  -g     wait for a line on stdin before and after\n",
	      stderr);
	exit(2);
}

static uint32_t
number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || value > 10000000)
		usage();
	return (uint32_t)value;
}

static void
options_parse(struct options *opt, int argc, char **argv)
{
	char *colon;
	int c;

	while ((c = getopt(argc, argv, "a:c:n:w:T:rkg")) != -1) {
		switch (c) {
		case 'a':
			colon = strrchr(optarg, ':');
			if (colon == NULL)
				usage();
			*colon = '\0';
			opt->target.sin_family = AF_INET;
			opt->target.sin_port =
				htons((uint16_t)number(colon + 1));
			if (inet_pton(AF_INET, optarg,
				      &opt->target.sin_addr) != 1)
				usage();
			break;
		case 'c': opt->threads = number(optarg); break;
		case 'n': opt->count = number(optarg); break;
		case 'w': opt->warm = number(optarg); break;
		case 'T': opt->limit_s = (int)number(optarg); break;
		case 'r': opt->resume = true; break;
		case 'k': opt->keep = true; break;
		case 'g': opt->gate = true; break;
		default: usage();
		}
	}
	if (optind != argc || opt->target.sin_port == 0 ||
	    opt->threads == 0 || opt->threads > THREADS_MAX)
		usage();
}

int
main(int argc, char **argv)
{
	static struct client clients[THREADS_MAX];
	struct options opt = { .threads = 1, .count = 1, .limit_s = 60 };
	const char *error = "";
	struct rlimit files;
	SSL_CTX *ctx;

	options_parse(&opt, argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	ctx = context();
	for (uint32_t i = 0; i < opt.threads; i++) {
		clients[i].opt = &opt;
		clients[i].ctx = ctx;
		clients[i].count = opt.count / opt.threads +
				   (i < opt.count % opt.threads);
	}
	run(clients, opt.threads, warm_up);
	/* Idle connections are there before the first gate, as load's are. */
	if (opt.keep)
		run(clients, opt.threads, work);
	gate(&opt, "ready");
	if (!opt.keep)
		run(clients, opt.threads, work);
	for (uint32_t i = 0; i < opt.threads; i++)
		if (clients[i].error != NULL)
			error = clients[i].error;
	printf("{\"requests\":%" PRIu32 ",\"errors\":%u,\"error\":\"%s\"}",
	       opt.count, atomic_load(&errors), error);
	gate(&opt, "");
	return atomic_load(&errors) == 0 ? 0 : 3;
}
