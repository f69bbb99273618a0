/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load - send HTTP/1.1 requests to a proxy, check every response, and print
 * one JSON object.
 *
 * With -g the run stops twice for a line on standard input: when all
 * connections are open and warm, and after the result is printed.  Between the
 * two the proxy did nothing but the measured requests, so that whoever starts
 * this program can read the proxy's counters before and after.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients.h"

#define OPENING_MAX 32 /* connections that are opened at once */

struct options {
	const char *path;
	uint32_t inflight; /* 0: as many as connections */
	uint64_t requests;
	uint64_t warm;	   /* requests before the measured ones */
	double rate;	   /* requests a second; 0: as fast as they go */
	double seconds;	   /* instead of a number of requests */
	double limit;	   /* give up after so many seconds */
	size_t upload;	   /* body bytes of each request */
	double trickle_ms; /* slow clients: a byte each so often */
	bool browser;	   /* the fields that a browser sends */
	bool gate;
};

static const char plain_fields[] =
	"User-Agent: load/1\r\n"
	"Accept: */*\r\n";

/* With Host these are 14, as a browser sends them for a page. */
static const char browser_fields[] =
	"Connection: keep-alive\r\n"
	"sec-ch-ua: \"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\"\r\n"
	"sec-ch-ua-mobile: ?0\r\n"
	"sec-ch-ua-platform: \"Linux\"\r\n"
	"Upgrade-Insecure-Requests: 1\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
	"(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,"
	"image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
	"Sec-Fetch-Site: same-origin\r\n"
	"Sec-Fetch-Mode: navigate\r\n"
	"Sec-Fetch-Dest: document\r\n"
	"Accept-Encoding: gzip, deflate, br, zstd\r\n"
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; "
	"seen=1718000000\r\n";

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
gate(const struct options *opt, const char *word)
{
	int c;

	printf("%s\n", word);
	fflush(stdout);
	if (!opt->gate)
		return;
	do {
		c = getchar();
	} while (c != '\n' && c != EOF);
}

static void
report(const struct clients *set, uint64_t ns)
{
	const struct tally *tally = &set->latency;

	printf("{\"requests\":%" PRIu64 ",\"errors\":%" PRIu64
	       ",\"error\":\"%s\",\"seconds\":%.6f,\"connections\":%" PRIu32
	       ",\"reconnects\":%" PRIu64
	       ",\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f"
	       ",\"p999_us\":%.1f,\"max_us\":%.1f}",
	       set->done, set->errors, set->error, (double)ns / 1e9,
	       set->count, set->reconnects, tally_quantile_us(tally, 0.5),
	       tally_quantile_us(tally, 0.9), tally_quantile_us(tally, 0.99),
	       tally_quantile_us(tally, 0.999),
	       (double)tally->max_ns / 1e3);
}

static void
run(struct clients *set, const struct options *opt)
{
	uint32_t inflight = opt->inflight;
	struct clients_phase open = {
		.requests = set->count,
		.active_max = inflight < OPENING_MAX ? inflight : OPENING_MAX,
	};
	struct clients_phase warm = {
		.requests = opt->warm,
		.active_max = inflight,
	};
	struct clients_phase measured = {
		.requests = opt->requests,
		.active_max = inflight,
		.rate = opt->rate,
		.seconds = opt->seconds,
	};
	uint64_t begin_ns;

	if (!set->one_shot)
		clients_run(set, &open);
	if (set->errors == 0)
		clients_run(set, &warm);
	gate(opt, "ready");
	begin_ns = clients_now_ns();
	clients_check_idle(set);
	if (set->errors == 0)
		clients_run(set, &measured);
	report(set, clients_now_ns() - begin_ns);
	gate(opt, "");
}

struct slow {
	uint32_t cut, answered_408;
	double first_s, last_s;
};

/* One more byte on a slow connection; notes when the proxy has had enough. */
static void
slow_step(const struct clients *set, struct client *client, struct slow *slow)
{
	char reply[64];
	ssize_t n;

	/* Never the last line, which would complete the head. */
	if (client->sent == set->head_len - 4)
		client->sent--;
	n = send(client->fd, set->request + client->sent, 1, MSG_NOSIGNAL);
	if (n < 0 && errno == ECONNREFUSED)
		die("connect");
	if (n > 0)
		client->sent++;
	n = recv(client->fd, reply, sizeof(reply), 0);
	if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
		return;
	if (n > 12 && memcmp(reply + 9, "408", 3) == 0)
		slow->answered_408++;
	slow->last_s = (double)(clients_now_ns() - set->start_ns) / 1e9;
	if (slow->cut++ == 0)
		slow->first_s = slow->last_s;
	clients_close(client);
}

/* Clients that trickle a head which never ends, until all of them are cut. */
static void
run_slow(struct clients *set, const struct options *opt)
{
	long pause_ms = (long)opt->trickle_ms;
	struct timespec pause = { pause_ms / 1000, pause_ms % 1000 * 1000000 };
	struct slow slow = { 0 };

	for (uint32_t i = 0; i < set->count; i++)
		if (clients_open(set, &set->table[i]) != 0)
			die("connect");
	gate(opt, "ready");
	set->start_ns = clients_now_ns();
	while (slow.cut < set->count && clients_now_ns() < set->give_up_ns) {
		for (uint32_t i = 0; i < set->count; i++)
			if (set->table[i].fd >= 0)
				slow_step(set, &set->table[i], &slow);
		(void)nanosleep(&pause, NULL);
	}
	printf("{\"errors\":0,\"connections\":%" PRIu32 ",\"cut\":%" PRIu32
	       ",\"answered_408\":%" PRIu32
	       ",\"first_cut_s\":%.3f,\"last_cut_s\":%.3f}",
	       set->count, slow.cut, slow.answered_408, slow.first_s,
	       slow.last_s);
	gate(opt, "");
}

static void
make_request(struct clients *set, const struct options *opt)
{
	char length[128] = "";
	char *request;
	int n;

	set->filler_len = opt->upload < CLIENTS_SCRATCH ? opt->upload
							: CLIENTS_SCRATCH;
	request = malloc(CLIENTS_HEAD_MAX + set->filler_len);
	if (request == NULL)
		die("malloc");
	if (opt->upload > 0)
		(void)snprintf(length, sizeof(length),
			       "Content-Type: application/octet-stream\r\n"
			       "Content-Length: %zu\r\n", opt->upload);
	n = snprintf(request, CLIENTS_HEAD_MAX,
		     "%s %s HTTP/1.1\r\nHost: bench.example\r\n%s%s%s\r\n",
		     opt->upload > 0 ? "POST" : "GET", opt->path,
		     opt->browser ? browser_fields : plain_fields, length,
		     set->one_shot ? "Connection: close\r\n" : "");
	if (n < 0 || n >= CLIENTS_HEAD_MAX) {
		fprintf(stderr, "load: the path is too long\n");
		exit(2);
	}
	set->head_len = (size_t)n;
	memset(request + set->head_len, 'u', set->filler_len);
	set->request = request;
	set->request_len = set->head_len + opt->upload;
}

static _Noreturn void
usage(void)
{
	fputs("usage: load -a ADDRESS:PORT -p PATH -b BYTES [options]\n"
	      "  -b N   body bytes that each response must have\n"
	      "  -c N   connections (1)       -k N   at most N at work (all)\n"
	      "  -n N   requests              -d S   instead: for S seconds\n"
	      "  -r N   requests a second     -w N   requests before, to warm\n"
	      "  -u N   upload N bytes        -T S   give up after S (60)\n"
	      "  -s MS  slow clients that send a byte of a head each MS\n"
	      "  -1     a connection per request\n"
	      "  -B     the fields of a browser\n"
	      "  -g     wait for a line on stdin before and after\n",
	      stderr);
	exit(2);
}

static double
number(const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= min && value <= max)) {
		fprintf(stderr, "load: %s is no number from %g to %g\n", text,
			min, max);
		exit(2);
	}
	return value;
}

static void
target_parse(struct sockaddr_in *target, const char *text)
{
	char host[INET_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		usage();
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	target->sin_family = AF_INET;
	target->sin_port = htons((uint16_t)number(colon + 1, 1, 65535));
	if (inet_pton(AF_INET, host, &target->sin_addr) != 1)
		usage();
}

/* Options with a number; false if `c` is none of them. */
static bool
option_number(struct clients *set, struct options *opt, int c)
{
	switch (c) {
	case 'b': set->expected = (size_t)number(optarg, 0, 1e12); break;
	case 'c': set->count = (uint32_t)number(optarg, 1, 1e6); break;
	case 'd': opt->seconds = number(optarg, 0.1, 1e5); break;
	case 'k': opt->inflight = (uint32_t)number(optarg, 1, 1e6); break;
	case 'n': opt->requests = (uint64_t)number(optarg, 0, 1e12); break;
	case 'r': opt->rate = number(optarg, 0.1, 1e7); break;
	case 's': opt->trickle_ms = number(optarg, 1, 1e6); break;
	case 'T': opt->limit = number(optarg, 0.1, 1e5); break;
	case 'u': opt->upload = (size_t)number(optarg, 1, 1e12); break;
	case 'w': opt->warm = (uint64_t)number(optarg, 0, 1e12); break;
	default: return false;
	}
	return true;
}

static void
options_parse(struct clients *set, struct options *opt, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "a:b:c:d:k:n:p:r:s:T:u:w:1Bg")) != -1) {
		if (c == 'a')
			target_parse(&set->target, optarg);
		else if (c == 'p')
			opt->path = optarg;
		else if (c == '1')
			set->one_shot = true;
		else if (c == 'B')
			opt->browser = true;
		else if (c == 'g')
			opt->gate = true;
		else if (!option_number(set, opt, c))
			usage();
	}
	if (optind != argc || set->target.sin_port == 0)
		usage();
	if (opt->seconds > 0)
		opt->requests = UINT64_MAX;
	if (opt->inflight == 0 || opt->inflight > set->count)
		opt->inflight = set->count;
}

int
main(int argc, char **argv)
{
	static struct clients set = { .count = 1 };
	struct options opt = { .path = "/", .limit = 60 };
	struct rlimit files;

	options_parse(&set, &opt, argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Requests at a rate are due to the microsecond. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	set.give_up_ns = clients_now_ns() + (uint64_t)(opt.limit * 1e9);
	make_request(&set, &opt);
	if (clients_init(&set) != 0)
		die("init");
	if (opt.trickle_ms > 0)
		run_slow(&set, &opt);
	else
		run(&set, &opt);
	return set.errors == 0 ? 0 : 3;
}
