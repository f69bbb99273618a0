/* SPDX-License-Identifier: BSD-2-Clause */
/* attempt - a table of forbidden things. */
#include "attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int
closed(int fd)
{
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int
read_file(void)
{
	return closed(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
write_file(void)
{
	return closed(open("/tmp/weir-test-attempt",
	    O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int
list_root(void)
{
	return closed(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int
execute(void)
{
	char name[] = "/bin/true";
	char *argv[] = { name, NULL };
	char *env[] = { NULL };

	return execve(name, argv, env);
}

static int
trace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int
fork_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static int
kill_parent(void)
{
	return kill(getppid(), 0);
}

static int
map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : munmap(p, 4096);
}

static int
enter_namespace(void)
{
	return (int)syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */);
}

/* Harmless, known to the kernel, and on no list. */
static int
change_personality(void)
{
	return syscall(SYS_personality, 0xffffffff) < 0 ? -1 : 0;
}

/* No kernel has so many. */
static int
call_unknown(void)
{
	return (int)syscall(4000);
}

static int
make_memory_file(void)
{
	return closed(memfd_create("attempt", MFD_CLOEXEC));
}

static void *
return_at_once(void *arg)
{
	return arg;
}

static int
start_thread(void)
{
	pthread_t thread;
	int status = pthread_create(&thread, NULL, return_at_once, NULL);

	if (status != 0) {
		errno = status;
		return -1;
	}
	return pthread_join(thread, NULL);
}

/* Reads the zone's file, if it does. */
static int
tell_time(void)
{
	time_t now = time(NULL);
	struct tm tm;

	return localtime_r(&now, &tm) == NULL ? -1 : 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} attempts[] = {
	{ "read", read_file },
	{ "write", write_file },
	{ "list", list_root },
	{ "exec", execute },
	{ "ptrace", trace },
	{ "fork", fork_process },
	{ "kill", kill_parent },
	{ "code", map_code },
	{ "namespace", enter_namespace },
	{ "memfd", make_memory_file },
	{ "unknown", call_unknown },
	{ "personality", change_personality },
	{ "thread", start_thread },
	{ "time", tell_time },
};

const char *
attempt_run(struct span name)
{
	static char line[64];

	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		const char *why = "ok";

		if (!span_eq(name, span_cstr(attempts[i].name)))
			continue;
		if (attempts[i].run() != 0)
			why = strerrorname_np(errno);
		snprintf(line, sizeof(line), "%s\n",
		    why != NULL ? why : "?");
		return line;
	}
	return "what?\n";
}
