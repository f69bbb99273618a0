/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox_seccomp - which system calls are left, by seccomp(2).
 *
 * The lists name what glibc, OpenSSL and our own code call in a process that
 * serves, on any architecture: a name that one does not have is passed over.
 * What is on no list answers ENOSYS, so that a library falls back to an older
 * call; clone3 is among them, since its flags cannot be looked at, and glibc
 * then makes threads with clone.
 */
#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef HAVE_LIBSECCOMP
#include <seccomp.h>
#endif

#include "base/error.h"
#include "os/sandbox_private.h"

#ifndef HAVE_LIBSECCOMP

bool
sandbox_seccomp_is_usable(void)
{
	return false;
}

const char *
sandbox_seccomp_lack(void)
{
	return "built without libseccomp";
}

int
sandbox_seccomp_enter(const struct sandbox *s, enum sandbox_level level,
    bool has_files, struct error *err)
{
	(void)s;
	(void)level;
	(void)has_files;
	return error_set(err, "seccomp: %s", sandbox_seccomp_lack());
}

#else

/* Asked for with every request: first in the filter. */
static const char *const frequent[] = {
	"recvfrom", "sendto", "epoll_wait", "epoll_pwait", "epoll_ctl",
	"writev", "sendmsg", "accept4", "close", NULL,
};

static const char *const network[] = {
	"accept", "bind", "connect", "getpeername", "getsockname",
	"getsockopt", "listen", "recv", "recvmmsg", "recvmsg", "send",
	"sendmmsg", "setsockopt", "shutdown", "socket", "socketpair", NULL,
};

static const char *const descriptors[] = {
	"close_range", "dup", "dup2", "dup3", "epoll_create",
	"epoll_create1", "epoll_pwait2", "eventfd", "eventfd2", "fadvise64",
	"fadvise64_64", "fallocate", "fcntl", "fcntl64", "fdatasync",
	"flock", "fstat", "fstat64", "fsync", "ftruncate", "ftruncate64",
	"lseek", "_llseek", "pipe", "pipe2", "poll", "ppoll",
	"ppoll_time64", "pread64", "preadv", "preadv2", "pselect6",
	"pselect6_time64", "pwrite64", "pwritev", "pwritev2", "read",
	"readv", "select", "_newselect", "sendfile", "sendfile64",
	"signalfd", "signalfd4", "splice", "tee", "timerfd_create",
	"timerfd_gettime", "timerfd_settime", "vmsplice", "write", NULL,
};

static const char *const process[] = {
	"arch_prctl", "clock_getres", "clock_gettime",
	"clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64",
	"exit", "exit_group", "futex", "futex_time64", "futex_waitv",
	"get_robust_list", "getcpu", "getegid", "geteuid", "getgid",
	"getgroups", "getpgrp", "getpid", "getppid", "getrandom",
	"getresgid", "getresuid", "getrlimit", "getrusage", "gettid",
	"gettimeofday", "getuid", "membarrier", "nanosleep",
	"restart_syscall", "rseq", "rt_sigaction", "rt_sigpending",
	"rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "sched_get_priority_max",
	"sched_get_priority_min", "sched_getaffinity", "sched_getparam",
	"sched_getscheduler", "sched_yield", "set_robust_list",
	"set_thread_area", "set_tid_address", "setitimer", "sigaltstack",
	"sigreturn", "sysinfo", "time", "times", "ugetrlimit", "uname",
	NULL,
};

static const char *const memory[] = {
	"brk", "madvise", "mlock", "mlock2", "mincore", "mremap", "msync",
	"munlock", "munmap", NULL,
};

/* All that is left to one who works with the descriptors that it has. */
static const char *const closed[] = {
	"close", "epoll_create", "epoll_create1", "epoll_ctl",
	"epoll_pwait", "epoll_wait", "fcntl", "fcntl64", "fstat",
	"fstat64", "newfstatat", "poll", "ppoll", "pread64", "read",
	"recv", "recvfrom", "recvmsg", "send", "sendmsg", "sendto",
	"signalfd", "signalfd4", "statx", "write", NULL,
};

/* Which files is for Landlock to say. */
static const char *const looking[] = {
	"access", "faccessat", "faccessat2", "fstatat64", "fstatfs",
	"fstatfs64", "getcwd", "getdents", "getdents64", "inotify_add_watch",
	"inotify_init1", "inotify_rm_watch", "lstat", "lstat64",
	"newfstatat", "readlink", "readlinkat", "stat", "stat64", "statfs",
	"statfs64", "statx", NULL,
};

static const char *const making[] = { "memfd_create", NULL };

static const char *const opening[] = {
	"creat", "open", "openat", "openat2", NULL,
};

static const char *const changing[] = {
	"fchmod", "link", "linkat", "mkdir", "mkdirat", "rename", "renameat",
	"renameat2", "rmdir", "truncate", "unlink", "unlinkat",
	"utimensat", NULL,
};

/* An attempt is an attack: the process ends. */
static const char *const deadly[] = {
	"execve", "execveat", "process_vm_readv", "process_vm_writev",
	"ptrace", NULL,
};

/* For "basic": what nobody needs who only serves. */
static const char *const administrative[] = {
	"acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime",
	"clock_settime", "delete_module", "finit_module", "fsconfig",
	"fsmount", "fsopen", "fspick", "init_module", "io_uring_enter",
	"io_uring_register", "io_uring_setup", "kcmp", "kexec_file_load",
	"kexec_load", "keyctl", "mount", "mount_setattr", "move_mount",
	"name_to_handle_at", "open_by_handle_at", "open_tree",
	"perf_event_open", "pivot_root", "quotactl", "reboot",
	"request_key", "setns", "settimeofday", "swapoff", "swapon",
	"umount", "umount2", "unshare", "userfaultfd", "vhangup", NULL,
};

bool
sandbox_seccomp_is_usable(void)
{
	/* 0: no filter yet, and the kernel knows what one is. */
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 &&
	    seccomp_api_get() >= 3; /* which ends a whole process */
}

const char *
sandbox_seccomp_lack(void)
{
	return "the kernel filters no system calls";
}

/* 0, or a negative errno; a name of another architecture is none of ours. */
static int
add(scmp_filter_ctx ctx, uint32_t action, const char *const *names)
{
	for (size_t i = 0; names[i] != NULL; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		int status;

		if (number == __NR_SCMP_ERROR)
			continue;
		status = seccomp_rule_add(ctx, action, number, 0);
		if (status != 0 && status != -EDOM)
			return status;
	}
	return 0;
}

static int
add_if(scmp_filter_ctx ctx, uint32_t action, int number,
    struct scmp_arg_cmp cmp)
{
	return seccomp_rule_add_array(ctx, action, number, 1, &cmp);
}

/* Memory, but nothing that could be written and then run. */
static int
add_mapping(scmp_filter_ctx ctx, bool may_load)
{
	const int numbers[] = { SCMP_SYS(mmap), SCMP_SYS(mmap2),
		SCMP_SYS(mprotect) };
	struct scmp_arg_cmp is_data =
	    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	struct scmp_arg_cmp is_code = SCMP_A2(SCMP_CMP_MASKED_EQ,
	    PROT_WRITE | PROT_EXEC, PROT_EXEC);
	int status = 0;

	for (size_t i = 0; i < 3 && status == 0; i++) {
		status = add_if(ctx, SCMP_ACT_ALLOW, numbers[i], is_data);
		/* A library of the resolver's. */
		if (status == 0 && may_load)
			status = add_if(ctx, SCMP_ACT_ALLOW, numbers[i],
			    is_code);
	}
	return status;
}

/* Threads, signals to oneself, one's own name and limits. */
static int
add_narrow(scmp_filter_ctx ctx)
{
	const uint64_t thread = CLONE_VM | CLONE_THREAD;
	const uint64_t self = (uint64_t)getpid();
	const unsigned long requests[] = { FIONBIO, FIONREAD, TIOCOUTQ,
		TCGETS };
	int status = 0;

	if ((status = add_if(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone),
	    SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread))) != 0 ||
	    (status = add_if(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
	    SCMP_A0(SCMP_CMP_EQ, self, 0))) != 0 ||
	    (status = add_if(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl),
	    SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0))) != 0 ||
	    (status = add_if(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl),
	    SCMP_A0(SCMP_CMP_EQ, PR_GET_DUMPABLE, 0))) != 0 ||
	    (status = add_if(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64),
	    SCMP_A2(SCMP_CMP_EQ, 0, 0))) != 0)
		return status;
	for (size_t i = 0; i < 4 && status == 0; i++)
		status = add_if(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl),
		    SCMP_A1(SCMP_CMP_EQ, requests[i], 0));
	return status;
}

static bool
has_writable(const struct sandbox *s)
{
	for (size_t i = 0; i < s->path_count; i++) {
		if (s->paths[i].is_writable)
			return true;
	}
	return false;
}

static int
fill_closed(scmp_filter_ctx ctx)
{
	const uint64_t self = (uint64_t)getpid();
	int status;

	if ((status = add(ctx, SCMP_ACT_ALLOW, closed)) != 0 ||
	    (status = add(ctx, SCMP_ACT_ALLOW, process)) != 0 ||
	    (status = add(ctx, SCMP_ACT_ALLOW, memory)) != 0 ||
	    (status = add_mapping(ctx, false)) != 0 ||
	    (status = add(ctx, SCMP_ACT_ERRNO(EACCES), opening)) != 0)
		return status;
	return add_if(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
	    SCMP_A0(SCMP_CMP_EQ, self, 0));
}

static int
fill_strict(scmp_filter_ctx ctx, const struct sandbox *s, bool has_files)
{
	const char *const *const lists[] = { frequent, network, descriptors,
		process, memory, looking };
	uint32_t refused = SCMP_ACT_ERRNO(EACCES);
	int status = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if ((status = add(ctx, SCMP_ACT_ALLOW, lists[i])) != 0)
			return status;
	}
	if ((status = add_mapping(ctx, s->resolves_names)) != 0 ||
	    (status = add_narrow(ctx)) != 0)
		return status;
	/* The background process hands files on (conf/files.h). */
	if (s->resolves_names)
		status = add(ctx, SCMP_ACT_ALLOW, making);
	if (status == 0)
		status = add(ctx, has_files ? SCMP_ACT_ALLOW : refused,
		    opening);
	if (status == 0)
		status = add(ctx, has_writable(s) ? SCMP_ACT_ALLOW : refused,
		    changing);
	for (size_t i = 0; frequent[i] != NULL; i++) {
		int number = seccomp_syscall_resolve_name(frequent[i]);

		/* A hint; without it the filter is right all the same. */
		if (number != __NR_SCMP_ERROR)
			(void)seccomp_syscall_priority(ctx, number,
			    (uint8_t)(200 - i));
	}
	return status;
}

int
sandbox_seccomp_enter(const struct sandbox *s, enum sandbox_level level,
    bool has_files, struct error *err)
{
	bool is_strict = level == SANDBOX_STRICT;
	scmp_filter_ctx ctx = seccomp_init(is_strict ? SCMP_ACT_ERRNO(ENOSYS)
	    : SCMP_ACT_ALLOW);
	int status = -ENOMEM;

	if (ctx == NULL)
		return error_set_errno(err, ENOMEM, "seccomp: making a "
		    "filter");
	if ((status = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS)) == 0 &&
	    (status = add(ctx, SCMP_ACT_KILL_PROCESS, deadly)) == 0)
		status = is_strict && s->is_closed ? fill_closed(ctx)
		    : is_strict ? fill_strict(ctx, s, has_files)
		    : add(ctx, SCMP_ACT_ERRNO(EPERM), administrative);
	/* The threads that there are already, too; there should be none. */
	if (status == 0)
		status = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (status == 0)
		status = seccomp_load(ctx);
	seccomp_release(ctx);
	if (status != 0)
		return error_set_errno(err, -status, "seccomp: setting a "
		    "filter");
	return 0;
}

#endif
