/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loss - a steady crowd of clients in front of a proxy, its backend behind it,
 * and a count of what got lost between the two.
 *
 *	loss -o PORT -a PORT [-n KIND=NUMBER]... [-T SECONDS]
 *
 * The backend listens on 127.0.0.1:-o, which a line "origin PORT" confirms; the
 * crowd begins with the first line of stdin, against 127.0.0.1:-a.  Each
 * further line is answered with the counts since the line before, as one line
 * of JSON.  At the end of stdin nothing new is begun, what is under way comes
 * to its end, and the last counts are printed.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "origin.h"
#include "pattern.h"

struct options {
	int origin_port, target_port;
	unsigned seconds; /* to live at most */
	unsigned numbers[KIND_COUNT];
};

static void
usage(void)
{
	(void)fprintf(stderr, "usage: loss -o PORT -a PORT [-n KIND=NUMBER] "
	    "[-T SECONDS]\n");
	exit(2);
}

static void
set_number(struct options *o, const char *text)
{
	for (unsigned k = 0; k < KIND_COUNT; k++) {
		size_t len = strlen(crowd_kinds[k]);

		if (strncmp(text, crowd_kinds[k], len) == 0 &&
		    text[len] == '=') {
			o->numbers[k] = (unsigned)strtoul(text + len + 1,
			    NULL, 10);
			return;
		}
	}
	usage();
}

static void
parse(struct options *o, int argc, char **argv)
{
	int letter;

	*o = (struct options){ .seconds = 600,
		.numbers = { 24, 8, 40, 3, 3, 8 } };
	while ((letter = getopt(argc, argv, "o:a:n:T:")) != -1) {
		switch (letter) {
		case 'o':
			o->origin_port = atoi(optarg);
			break;
		case 'a':
			o->target_port = atoi(optarg);
			break;
		case 'n':
			set_number(o, optarg);
			break;
		case 'T':
			o->seconds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			usage();
		}
	}
	if (o->target_port == 0)
		usage();
}

/* ---- the report ---- */

static void
print_counts(const char *name, const struct crowd_counts *n, const char *end)
{
	printf("\"%s\": {\"requests\": %llu, \"answers\": %llu, "
	    "\"announced\": %llu, \"idle_closed\": %llu", name,
	    (unsigned long long)n->requests, (unsigned long long)n->answers,
	    (unsigned long long)n->announced,
	    (unsigned long long)n->idle_closed);
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		printf(", \"%s\": %llu", crowd_faults[f],
		    (unsigned long long)n->faults[f]);
	printf("}%s", end);
}

static void
add_counts(struct crowd_counts *sum, const struct crowd_counts *n)
{
	sum->requests += n->requests;
	sum->answers += n->answers;
	sum->announced += n->announced;
	sum->idle_closed += n->idle_closed;
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		sum->faults[f] += n->faults[f];
}

static void
report(struct crowd *crowd)
{
	struct crowd_counts sum = { .requests = 0 };

	printf("{");
	for (unsigned k = 0; k < KIND_COUNT; k++) {
		print_counts(crowd_kinds[k], &crowd->counts[k], ", ");
		add_counts(&sum, &crowd->counts[k]);
	}
	print_counts("all", &sum, ", ");
	printf("\"latency_us\": {\"p50\": %.0f, \"p99\": %.0f, "
	    "\"p999\": %.0f, \"max\": %.0f}, \"first\": [",
	    tally_quantile_us(&crowd->latency, 0.5),
	    tally_quantile_us(&crowd->latency, 0.99),
	    tally_quantile_us(&crowd->latency, 0.999),
	    (double)crowd->latency.max_ns / 1000);
	for (unsigned i = 0; i < crowd->first_count; i++)
		printf("%s\"%s\"", i > 0 ? ", " : "", crowd->first[i]);
	printf("]}\n");
	(void)fflush(stdout);
	crowd_reset(crowd);
}

/* ---- running ---- */

/* Lines that came on stdin; -1 at its end. */
static int
lines_read(int timeout_ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char text[256];
	int lines = 0;
	ssize_t n;

	if (poll(&p, 1, timeout_ms) <= 0)
		return 0;
	n = read(STDIN_FILENO, text, sizeof(text));
	if (n <= 0)
		return -1;
	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static void
run(struct crowd *crowd)
{
	while (!crowd->is_ending || crowd->active > 0) {
		int lines = crowd->is_ending ? 0 : lines_read(0);

		if (lines < 0)
			crowd->is_ending = true;
		for (int i = 0; i < lines; i++)
			report(crowd);
		crowd_turn(crowd);
	}
	report(crowd);
}

/* Our death ends the backend: its end of the pipe closes. */
static pid_t
start_origin(int port, int *lifeline)
{
	int fd = origin_listen(&port);
	int ends[2];
	pid_t pid;

	if (fd < 0 || pipe(ends) != 0) {
		perror("loss: listening");
		exit(1);
	}
	printf("origin %d\n", port);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)close(ends[1]);
		(void)close(STDIN_FILENO);
		(void)close(STDOUT_FILENO);
		origin_run(fd, ends[0]);
		_exit(0);
	}
	(void)close(ends[0]);
	(void)close(fd);
	*lifeline = ends[1];
	return pid;
}

static void
raise_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

int
main(int argc, char **argv)
{
	static struct crowd crowd;
	struct options o;
	struct sockaddr_in target = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int lifeline = -1;
	pid_t origin;

	parse(&o, argc, argv);
	raise_descriptors();
	pattern_init();
	origin = start_origin(o.origin_port, &lifeline);
	(void)alarm(o.seconds);
	while (lines_read(-1) == 0)
		;
	target.sin_port = htons((uint16_t)o.target_port);
	if (crowd_init(&crowd, &target, o.numbers) != 0) {
		perror("loss");
		return 1;
	}
	run(&crowd);
	crowd_free(&crowd);
	(void)close(lifeline);
	(void)waitpid(origin, NULL, 0);
	return 0;
}
