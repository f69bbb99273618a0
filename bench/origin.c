/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * origin - a web server that costs next to nothing, behind a proxy.
 *
 * Answers /b/N with a body of N bytes, /t/N with one of N bytes of words, on any number of ports, over kept-alive
 * connections; takes uploads and answers when the last byte is there.  Counts
 * requests and the connections that carried any, per port: /_stats tells them,
 * and SIGTERM prints them and ends.  What it cannot read is answered with 400
 * and counted as an error, for then the proxy sent what it should not have.
 *
 * Each size of response is built once and then sent as it lies there.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define SCRATCH_LEN 262144
#define EVENTS_MAX 256
#define RESPONSES_MAX 16
#define PORTS_MAX 1024
#define BODY_MAX (1U << 30)

struct response {
	size_t body_len;
	size_t len; /* head and body */
	bool is_text; /* words, for what compresses */
	char *bytes;
};

struct port {
	int fd;
	unsigned number;
	uint64_t connections; /* that carried at least one request */
	uint64_t requests;
};

struct conn {
	int fd;
	struct port *port;
	const struct response *response; /* being sent or to be sent */
	size_t sent;	 /* bytes of it */
	size_t left;	 /* body bytes of the request not seen yet */
	size_t head_len; /* bytes of an incomplete head in `head` */
	char *head;	 /* allocated when a head comes in pieces */
	bool counted;	 /* carried a request */
	bool last;	 /* the request asked for the connection's end */
};

struct origin {
	int epoll_fd, signal_fd;
	struct port ports[PORTS_MAX];
	size_t port_count;
	struct response responses[RESPONSES_MAX];
	size_t response_count;
	struct response stats; /* made anew each time it is asked for */
	uint64_t errors;
};

static char scratch[SCRATCH_LEN];

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "origin: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Build a response with room for a body, which is filled by the caller. */
static char *
response_make(struct response *response, size_t body_len, const char *status)
{
	int n;

	response->bytes = realloc(response->bytes, 512 + body_len);
	if (response->bytes == NULL)
		die("realloc");
	n = snprintf(response->bytes, 512,
		     "HTTP/1.1 %s\r\nServer: origin\r\n"
		     "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
		     "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
		     status, body_len);
	if (n < 0)
		die("snprintf");
	response->body_len = body_len;
	response->len = (size_t)n + body_len;
	return response->bytes + n;
}

/* The same each time, and about as good to compress as a page: some 3 : 1. */
static void
fill_words(char *body, size_t len)
{
	static const char *const words[] = { "the ", "request ", "of ", "a ",
		"client ", "goes ", "to ", "server ", "\"name\": ", "value",
		"<p>", "</p>\n", "and ", "comes ", "back ", "with " };
	uint32_t state = 1;
	size_t at = 0;

	while (at < len) {
		const char *word;
		char number[16];

		state = state * 1664525 + 1013904223;
		word = words[state >> 28];
		if ((state >> 24 & 7) == 0) {
			(void)snprintf(number, sizeof(number), "%u ",
				       state >> 12);
			word = number;
		}
		for (; *word != '\0' && at < len; word++)
			body[at++] = *word;
	}
}

static const struct response *
response_of_size(struct origin *origin, size_t body_len, bool is_text)
{
	struct response *response;
	char *body;

	for (size_t i = 0; i < origin->response_count; i++)
		if (origin->responses[i].body_len == body_len &&
		    origin->responses[i].is_text == is_text)
			return &origin->responses[i];
	if (origin->response_count == RESPONSES_MAX || body_len > BODY_MAX)
		return NULL;
	response = &origin->responses[origin->response_count++];
	body = response_make(response, body_len, "200 OK");
	response->is_text = is_text;
	if (is_text)
		fill_words(body, body_len);
	else
		memset(body, 'd', body_len);
	return response;
}

static int
stats_write(const struct origin *origin, FILE *out)
{
	uint64_t connections = 0, requests = 0;

	if (fputs("{\"ports\":[", out) < 0)
		return -1;
	for (size_t i = 0; i < origin->port_count; i++) {
		const struct port *port = &origin->ports[i];

		connections += port->connections;
		requests += port->requests;
		fprintf(out, "%s{\"port\":%u,\"connections\":%" PRIu64
			     ",\"requests\":%" PRIu64 "}",
			i > 0 ? "," : "", port->number, port->connections,
			port->requests);
	}
	return fprintf(out, "],\"connections\":%" PRIu64
			    ",\"requests\":%" PRIu64 ",\"errors\":%" PRIu64
			    "}\n",
		       connections, requests, origin->errors);
}

static const struct response *
stats_response(struct origin *origin)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL || stats_write(origin, out) < 0 || fclose(out) != 0)
		die("stats");
	memcpy(response_make(&origin->stats, len, "200 OK"), text, len);
	free(text);
	return &origin->stats;
}

static void
conn_close(struct conn *conn)
{
	(void)close(conn->fd);
	free(conn->head);
	free(conn);
}

/* Send what the socket takes; -1 when the connection is to be closed. */
static int
conn_send(struct conn *conn)
{
	const struct response *response = conn->response;

	while (conn->sent < response->len) {
		ssize_t n = send(conn->fd, response->bytes + conn->sent,
				 response->len - conn->sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		conn->sent += (size_t)n;
	}
	conn->response = NULL;
	return conn->last ? -1 : 0;
}

static void
conn_count(struct conn *conn)
{
	conn->port->requests++;
	if (!conn->counted)
		conn->port->connections++;
	conn->counted = true;
}

/*
 * Understand a complete head: choose the response and how much body to read.
 * Returns -1 for a request that no proxy should have made of ours.
 */
static int
request_read(struct origin *origin, struct conn *conn, const char *head,
	     const char *end)
{
	const char *path = memchr(head, ' ', (size_t)(end - head));
	const char *line = memchr(head, '\n', (size_t)(end - head));

	if (path == NULL || line == NULL || path > line)
		return -1;
	if (strncmp(path, " /_stats ", 9) == 0) {
		conn->response = stats_response(origin);
	} else if (strncmp(path, " /b/", 4) == 0) {
		conn->response = response_of_size(
			origin, strtoul(path + 4, NULL, 10), false);
		conn_count(conn);
	} else if (strncmp(path, " /t/", 4) == 0) {
		conn->response = response_of_size(
			origin, strtoul(path + 4, NULL, 10), true);
		conn_count(conn);
	}
	for (conn->left = 0; line != NULL && ++line < end;
	     line = memchr(line, '\n', (size_t)(end - line))) {
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			conn->left = strtoul(line + 15, NULL, 10);
		else if (strncasecmp(line, "Connection: close", 17) == 0)
			conn->last = true;
		else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
			return -1;
	}
	conn->sent = 0;
	return conn->response == NULL ? -1 : 0;
}

/* Join a piece to the head kept so far; NULL if it grows too long. */
static const char *
head_join(struct conn *conn, const char *bytes, size_t *len)
{
	if (conn->head_len == 0 && memmem(bytes, *len, "\r\n\r\n", 4) != NULL)
		return bytes;
	if (conn->head == NULL)
		conn->head = malloc(HEAD_MAX);
	if (conn->head == NULL || conn->head_len + *len > HEAD_MAX)
		return NULL;
	memcpy(conn->head + conn->head_len, bytes, *len);
	conn->head_len += *len;
	*len = conn->head_len;
	return conn->head;
}

/* Take bytes of a request; -1 when the connection is to be closed. */
static int
conn_take(struct origin *origin, struct conn *conn, const char *bytes,
	  size_t len)
{
	static const char refusal[] =
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
		"Connection: close\r\n\r\n";
	const char *end;

	if (conn->response == NULL) {
		bytes = head_join(conn, bytes, &len);
		end = bytes == NULL ? NULL : memmem(bytes, len, "\r\n\r\n", 4);
		if (bytes != NULL && end == NULL)
			return 0;
		if (bytes == NULL ||
		    request_read(origin, conn, bytes, end + 4) != 0)
			goto fail;
		conn->head_len = 0;
		len -= (size_t)(end + 4 - bytes);
	}
	/* Nothing may follow a request before its answer. */
	if (len > conn->left)
		goto fail;
	conn->left -= len;
	return conn->left == 0 ? conn_send(conn) : 0;
fail:
	origin->errors++;
	(void)send(conn->fd, refusal, sizeof(refusal) - 1, MSG_NOSIGNAL);
	return -1;
}

/* Read until the socket is empty; bytes of a body are dropped in the kernel. */
static int
conn_recv(struct origin *origin, struct conn *conn, bool hangup)
{
	for (;;) {
		bool body = conn->response != NULL && conn->left > 0;
		size_t want = body ? sizeof(scratch) : HEAD_MAX;
		ssize_t n = recv(conn->fd, scratch, want,
				 body ? MSG_TRUNC : 0);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0 ||
		    conn_take(origin, conn, scratch, (size_t)n) != 0)
			return -1;
		if ((size_t)n < want && !hangup)
			return 0;
	}
}

static void
conn_on_event(struct origin *origin, struct conn *conn, uint32_t events)
{
	bool hangup = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	int rc = 0;

	if (conn->response != NULL && conn->left == 0 &&
	    (events & EPOLLOUT) != 0)
		rc = conn_send(conn);
	if (rc == 0 && (hangup || (events & EPOLLIN) != 0))
		rc = conn_recv(origin, conn, hangup);
	if (rc != 0)
		conn_close(conn);
}

static void
accept_one(struct origin *origin, struct port *port)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	};
	struct conn *conn;
	int fd = accept4(port->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
		die("calloc");
	conn->fd = fd;
	conn->port = port;
	event.data.ptr = conn;
	if (epoll_ctl(origin->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

static void
port_open(struct origin *origin, unsigned number)
{
	struct port *port = &origin->ports[origin->port_count++];
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)number),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = port };
	int yes = 1;

	port->number = number;
	port->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			  0);
	/* Connections inherit TCP_NODELAY from their listener. */
	if (port->fd < 0 ||
	    setsockopt(port->fd, SOL_SOCKET, SO_REUSEADDR, &yes,
		       sizeof(yes)) != 0 ||
	    setsockopt(port->fd, IPPROTO_TCP, TCP_NODELAY, &yes,
		       sizeof(yes)) != 0 ||
	    bind(port->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(port->fd, 4096) != 0 ||
	    epoll_ctl(origin->epoll_fd, EPOLL_CTL_ADD, port->fd, &event) != 0)
		die("listen");
}

static bool
is_port(const struct origin *origin, const void *ptr)
{
	uintptr_t at = (uintptr_t)ptr, first = (uintptr_t)origin->ports;

	return at >= first && at < first + sizeof(origin->ports);
}

static void
setup(struct origin *origin, unsigned first, unsigned last)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct rlimit files;
	sigset_t signals;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGALRM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	origin->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	origin->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (origin->signal_fd < 0 || origin->epoll_fd < 0 ||
	    epoll_ctl(origin->epoll_fd, EPOLL_CTL_ADD, origin->signal_fd,
		      &event) != 0)
		die("setup");
	for (unsigned number = first; number <= last; number++)
		port_open(origin, number);
}

/* A signal's event is the one without a pointer. */
static void
serve(struct origin *origin)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(origin->epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			void *ptr = events[i].data.ptr;

			if (ptr == NULL)
				return;
			if (is_port(origin, ptr))
				accept_one(origin, ptr);
			else
				conn_on_event(origin, ptr, events[i].events);
		}
	}
}

int
main(int argc, char **argv)
{
	static struct origin origin;
	unsigned first = 0, last = 0, lifetime = 0;
	int c;

	while ((c = getopt(argc, argv, "p:T:")) != -1) {
		char *end = optarg;

		if (c == 'p') {
			first = last = (unsigned)strtoul(optarg, &end, 10);
			if (*end == '-')
				last = (unsigned)strtoul(end + 1, &end, 10);
		} else if (c == 'T') {
			lifetime = (unsigned)strtoul(optarg, &end, 10);
		}
		if (*end != '\0')
			first = 0;
	}
	if (optind != argc || first == 0 || last < first || last > 65535 ||
	    last - first >= PORTS_MAX) {
		fputs("usage: origin -p PORT[-PORT] [-T SECONDS]\n"
		      "  -p  the ports of 127.0.0.1 to listen on\n"
		      "  -T  end after so many seconds\n", stderr);
		return 2;
	}
	setup(&origin, first, last);
	(void)alarm(lifetime);
	puts("ready");
	fflush(stdout);
	serve(&origin);
	return stats_write(&origin, stdout) < 0;
}
