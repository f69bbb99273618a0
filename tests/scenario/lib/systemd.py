# SPDX-License-Identifier: BSD-2-Clause
"""A systemd of our own: process 1 of its namespaces, with a control group, a
/run, an /etc and a /var that nobody else sees, and no units but those given."""
import contextlib
import glob
import os
import shutil
import subprocess
import tempfile

from . import proc, wait

PROGRAM = "/lib/systemd/systemd"
# All that the shipped units order themselves by, with nothing in them.
TARGETS = ["sysinit", "basic", "shutdown", "sockets", "network-online",
           "nss-lookup", "multi-user", "weir-test"]
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/upper /run/work /run/weir-test/sbin
mount -t overlay overlay \
    -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /var/lib
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cp -r "$1" /run/weir-test/units
exec env -i PATH="$PATH" container=weir-test \
    SYSTEMD_UNIT_PATH=/run/weir-test/units \
    %s --system --unit=weir-test.target --log-target=console \
    --show-status=no
""" % PROGRAM


class Systemd:
    def __init__(self, units):
        """units: {name: text}.  OSError where it cannot be had."""
        self.dir = tempfile.mkdtemp(prefix="weir-systemd-")
        self.group = self.process = None
        try:
            self._start(units)
        except BaseException:
            self.close()
            raise

    def _start(self, units):
        roots = glob.glob("/sys/fs/cgroup/cgroup.procs") + glob.glob(
            "/sys/fs/cgroup/unified/cgroup.procs")
        if not roots or not os.access(PROGRAM, os.X_OK):
            raise OSError("no systemd, or no second version of cgroups")
        self.group = os.path.join(os.path.dirname(roots[0]),
                                  "weir-test-%d" % os.getpid())
        os.mkdir(self.group)
        folder = os.path.join(self.dir, "units")
        os.mkdir(folder)
        for name in TARGETS:
            units = {**units, name + ".target": "[Unit]\nDescription=%s\n"
                     "DefaultDependencies=no\n" % name}
        for name, text in units.items():
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc",
                 "--cgroup", "--kill-child", "--mount-proc", "sh", "-c",
                 BOOT, "sh", folder], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=self._enter)
        try:
            wait.until(self._is_up, 30)
        except AssertionError:
            raise OSError("systemd does not run here: " + self.log) from None

    def _enter(self):
        with open(os.path.join(self.group, "cgroup.procs"), "w") as f:
            f.write("0")

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError("it ended")
        children = proc.children(self.process.pid)
        self.pid = children[0] if children else None
        return self.pid and self.ctl("is-system-running")[1].strip() in (
            "running", "degraded")

    @property
    def log(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return f.read()

    def path(self, inside):
        """A file of its, as it is seen from here."""
        return "/proc/%d/root%s" % (self.pid, inside)

    def write(self, inside, text, mode=0o644):
        path = self.path(inside)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb" if isinstance(text, bytes)
                  else "w") as f:
            f.write(text)
        os.chmod(path + ".new", mode)
        os.rename(path + ".new", path)

    def run(self, *args, timeout=60):
        """Inside: (status, output and errors)."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--mount", "--pid",
             "--cgroup", *args], timeout=timeout, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def ctl(self, *args, **kw):
        return self.run("systemctl", "--no-pager", *args, **kw)

    def show(self, unit, *names):
        """Properties of a unit; one as itself, several as a dict."""
        out = self.ctl("show", unit, "-p", ",".join(names))[1]
        found = dict(line.split("=", 1) for line in out.splitlines()
                     if "=" in line)
        return found[names[0]] if len(names) == 1 else found

    def close(self):
        if self.process is not None:
            self.process.kill()  # and process 1, and so all
            self.process.wait()
        if self.group is not None:
            # Of the groups of units inside, deepest first.
            with contextlib.suppress(AssertionError):
                wait.until(self._remove_groups, 10)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _remove_groups(self):
        for folder, _, _ in os.walk(self.group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        return not os.path.exists(self.group)
