# SPDX-License-Identifier: BSD-2-Clause
"""What a group of processes costs: CPU time, memory, system calls, instructions.

Everything is read from outside, from /proc, perf, strace and callgrind's files,
and always summed over all processes and threads of the group.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


class MeasureError(Exception):
    pass


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def stat_fields(path):
    """The fields of a stat file after the name in parentheses: state first."""
    return read(path).rpartition(")")[2].split()


def tree(root):
    """The process ids of `root` and of all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(stat_fields(f"/proc/{name}/stat")[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return sorted(found)


class Cpu:
    """Run time of a process tree in ns, as the scheduler counts it.

    The scheduler's sum is exact; how it divides into user and system is
    sampled by the clock tick, so the shares are only good over some seconds.
    """

    def __init__(self, root):
        self.pids = tree(root)
        self.run_ns = self.user_ns = self.system_ns = 0
        for pid in self.pids:
            fields = stat_fields(f"/proc/{pid}/stat")
            self.user_ns += int(fields[11]) * TICK_NS
            self.system_ns += int(fields[12]) * TICK_NS
            for task in os.listdir(f"/proc/{pid}/task"):
                text = read(f"/proc/{pid}/task/{task}/schedstat")
                self.run_ns += int(text.split()[0])

    def since(self, before):
        """(total, user) in ns since `before`."""
        if self.pids != before.pids:
            raise MeasureError("a process died or was born while measured")
        run = self.run_ns - before.run_ns
        user = self.user_ns - before.user_ns
        system = self.system_ns - before.system_ns
        share = user / (user + system) if user + system > 0 else 0.0
        return run, run * share


def memory(root):
    """Memory of a process tree that no file backs, in bytes, shared pages once.

    Pages of programs and libraries are left out: what a process is charged
    for them changes whenever anyone else starts using the same library.
    """
    total = 0
    for pid in tree(root):
        text = read(f"/proc/{pid}/smaps_rollup")
        for match in re.finditer(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB", text, re.M):
            total += int(match.group(1)) * 1024
    return total


# The calls that a proxy makes for a request, or should not make for one.
CALLS = """accept accept4 bind clock_gettime close connect epoll_ctl epoll_pwait
epoll_pwait2 epoll_wait fcntl futex getpeername getrusage getsockname getsockopt
gettid ioctl openat poll pread64 pwrite64 pwritev read readv recvfrom recvmmsg
recvmsg sched_yield sendfile64 sendmmsg sendmsg sendto setsockopt shutdown
socket splice timerfd_settime unlink write writev""".split()


class Syscalls:
    """Counts the system calls of a process tree between start and stop.

    perf counts in the kernel and disturbs nobody.  Where it is not allowed,
    strace does it, which slows the proxy down so much that it sees more
    events at each wait: the waits are then counted too low.
    """

    def __init__(self, root):
        pids = ",".join(str(pid) for pid in tree(root))
        handle, self.path = tempfile.mkstemp(prefix="bench-calls-")
        os.close(handle)
        self.perf = Syscalls.perf_works()
        if self.perf:
            events = ["raw_syscalls:sys_enter"]
            events += [f"syscalls:sys_enter_{call}" for call in CALLS
                       if Syscalls.known(call)]
            argv = ["perf", "stat", "-x", ";", "-o", self.path, "-e",
                    ",".join(events), "-p", pids]
        elif shutil.which("strace"):
            argv = ["strace", "-c", "-f", "-o", self.path]
            for pid in tree(root):
                argv += ["-p", str(pid)]
        else:
            raise MeasureError("neither perf nor strace can count here")
        self.process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    @staticmethod
    def known(call):
        return os.path.isdir(f"/sys/kernel/tracing/events/syscalls/"
                             f"sys_enter_{call}") or \
            os.path.isdir(f"/sys/kernel/debug/tracing/events/syscalls/"
                          f"sys_enter_{call}")

    @staticmethod
    def perf_works():
        if not shutil.which("perf") or not Syscalls.known("close"):
            return False
        return subprocess.run(
            ["perf", "stat", "-x", ";", "-e", "raw_syscalls:sys_enter",
             "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0

    def stop(self):
        """Return {name: count}, with the sum under "total"."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        text = read(self.path)
        os.unlink(self.path)
        return parse_perf(text) if self.perf else parse_strace(text)


def parse_perf(text):
    counts = {}
    for line in text.splitlines():
        match = re.match(r"(\d+);[^;]*;(?:raw_)?syscalls:sys_enter_?(\w*)", line)
        if match and int(match.group(1)) > 0:
            counts[match.group(2) or "total"] = int(match.group(1))
    named = sum(count for name, count in counts.items() if name != "total")
    if counts.get("total", 0) > named:
        counts["other"] = counts["total"] - named
    return counts


def parse_strace(text):
    counts = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[3].isdigit():
            counts[fields[-1]] = int(fields[3])
    return counts


def callgrind_functions(paths):
    """{function: instructions spent in itself} over callgrind's files."""
    costs = {}
    for path in paths:
        names = {}
        function = None
        called = False
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("fn="):
                    match = re.match(r"fn=\((\d+)\)(?: (.*))?", line.rstrip())
                    number, name = match.groups()
                    if name is not None:
                        names[number] = name
                    function = names[number]
                elif line.startswith("cfn=") or line.startswith("cfi="):
                    match = re.match(r"cfn=\((\d+)\) (.*)", line.rstrip())
                    if match:
                        names[match.group(1)] = match.group(2)
                elif line.startswith("calls="):
                    called = True
                elif line[:1].isdigit() or line[:1] in "+-*":
                    # The line after calls= is the cost of what was called.
                    fields = line.split()
                    if not called and function and len(fields) > 1:
                        costs[function] = (costs.get(function, 0) +
                                           int(fields[1]))
                    called = False
    return costs
