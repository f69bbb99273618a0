# SPDX-License-Identifier: BSD-2-Clause
"""The first process of the machine that tests/vm/run starts: runs one job.

It says how that ended on the second serial line, and stops the machine.
"""
import fcntl
import json
import os
import resource
import socket
import struct
import subprocess
import sys

JOB = "/run/weir-vm.json"
MOUNTS = [("tmpfs", "/dev/shm"), ("devpts", "/dev/pts"),
          ("securityfs", "/sys/kernel/security"),
          ("cgroup2", "/sys/fs/cgroup")]
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
DESCRIPTORS = 524288


def mount_all():
    for kind, where in MOUNTS:
        os.makedirs(where, exist_ok=True)
        subprocess.run(["/bin/mount", "-t", kind, kind, where], check=False)


def start_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def run(job):
    """As the first process has to: whoever is left without parent is ours."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(job["folder"])
        try:
            os.execvpe(job["command"][0], job["command"],
                       job["environment"])
        except OSError as wrong:
            print(wrong, flush=True)
        os._exit(127)
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def main():
    if os.getpid() != 1:
        sys.exit("inside.py: only for the machine of tests/vm/run: it ends "
                 "the one that it runs in")
    with open(JOB, encoding="utf-8") as f:
        job = json.load(f)
    mount_all()
    start_loopback()
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    for module in job["modules"]:
        subprocess.run(["/sbin/modprobe", module], check=False)
    status = run(job)
    sys.stdout.flush()
    with open("/dev/ttyS1", "w", encoding="ascii") as f:
        f.write("%d\n" % (status if status >= 0 else 128 - status))
    os.sync()
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as f:
        f.write("b")


if __name__ == "__main__":
    main()
