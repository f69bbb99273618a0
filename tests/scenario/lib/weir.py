# SPDX-License-Identifier: BSD-2-Clause
"""Run weir: write its configuration, start it, wait for it, stop it.

A stopped weir must have left no process, and its log no failed assertion
and no report of a sanitizer; stop() checks that each time.
"""
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

from . import conf, proc, wait
from .client import Client, once
from .prom import Metrics

DEFECT = re.compile(
    r".*(?:[Aa]ssert|AddressSanitizer|UndefinedBehaviorSanitizer|"
    r"runtime error:|LeakSanitizer|SUMMARY: ).*")
live = []
recent = []


def binary():
    """The weir under test: $WEIR, else the build tree's."""
    named = os.environ.get("WEIR")
    if named:
        return os.path.abspath(named)
    top = os.path.abspath(os.path.join(os.path.dirname(__file__),
                                       "..", "..", ".."))
    build = os.environ.get("abs_top_builddir", os.getcwd())
    for root in (build, top):
        for place in ("weir", "src/weir", "build/weir"):
            path = os.path.join(root, place)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return None


def sanitized():
    """True if this weir is a sanitizer's build, and slower."""
    if not hasattr(sanitized, "known"):
        with open(binary(), "rb") as f:
            sanitized.known = b"__asan_init" in f.read()
    return sanitized.known


def environment(extra=None):
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    for name in ("LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"):
        env.pop(name, None)
    env.update(extra or {})
    return env


def run(*args, timeout=20, cwd=None, env=None, **kw):
    """weir with arguments, to its end: (status, stdout, stderr)."""
    done = subprocess.run([binary(), *map(str, args)], timeout=timeout,
                          cwd=cwd, env=environment(env), text=True,
                          stdin=subprocess.DEVNULL, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          **kw)
    assert not DEFECT.search(done.stderr), done.stderr
    return done.returncode, done.stdout, done.stderr


class Weir:
    """One running weir in the foreground."""

    def __init__(self, config=None, *args, files=None, admin=True, env=None,
                 nofile=None, fsize=None, start=True, prefix=()):
        # Workers drop to another account, which must reach Unix sockets
        # here, as pytest's own directories would not let it.
        self.dir = tempfile.mkdtemp(prefix="weir-test-")
        os.chmod(self.dir, 0o777)
        self.args = list(args)
        self.env = env
        self.limits = (nofile, fsize)
        self.prefix = list(prefix)
        self.process = None
        self.admin = None
        self.addresses = []
        self.text = None
        self.expected = None
        self.log_seen = 0
        self.status = None  # once a test has seen it end
        for name, content in (files or {}).items():
            self.write(name, content)
        if isinstance(config, dict):
            if admin and "admin" not in config:
                config = {**config, "admin": {"address": conf.address()}}
            if "admin" in config:
                self.admin = conf.split(config["admin"]["address"])
            for service in config["services"]:
                for listen in service["listen"]:
                    self.addresses.append(conf.split(listen["address"]))
            if isinstance(config.get("workers"), int):
                self.expected = config["workers"] + 1
            config = conf.document(config)
        if config is not None:
            # As root the default is one file for all, and several run here.
            if not re.search(r"^\s*pid_file\b", config, re.M):
                config += '\npid_file = "@DIR@/weir.pid";\n'
            if not re.search(r"^\s*control\b", config, re.M):
                config += 'control = { path = "@DIR@/control.sock"; };\n'
            # Only root sees which connections a process has that may not
            # be dumped.
            if os.geteuid() != 0 and "core_dumps" not in config:
                config += "\ncore_dumps = true;\n"
            self.text = config.replace("@DIR@", self.dir)
            self.addresses = [
                a.replace("@DIR@", self.dir) if isinstance(a, str) else a
                for a in self.addresses]
            self.conf = self.write("weir.conf", self.text)
            self.args = ["-c", self.conf] + self.args
        if start:
            self.start()

    # -- life --------------------------------------------------------------

    def write(self, name, content):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        mode = "wb" if isinstance(content, bytes) else "w"
        with open(path, mode) as f:
            f.write(content)
        os.chmod(path, 0o644)
        return path

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), errors="replace") as f:
            return f.read()

    def _limit(self):
        nofile, fsize = self.limits
        if nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
        if fsize is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (fsize, fsize))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    def start(self, ready=True):
        with open(self.path("stderr"), "ab") as err:
            self.process = subprocess.Popen(
                [*self.prefix, binary(), *self.args], cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                env=environment(self.env), start_new_session=True,
                preexec_fn=self._limit if any(self.limits) else None)
        if self not in live:
            live.append(self)
        del recent[:-4]
        recent.append(self)
        if ready:
            try:
                self.wait_ready()
                if self.expected:
                    wait.until(
                        lambda: sum("master" not in proc.title(pid)
                                    for pid in self.children())
                        >= self.expected,
                        what="workers and background")
            except BaseException:
                self.kill()
                raise
        self.known_children = set(self.children())
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return self.addresses[0]

    @property
    def log(self):
        return self.read("stderr")

    def wait_ready(self, timeout=15.0):
        deadline = time.monotonic() + timeout
        for address in self.addresses:
            while not self._accepts(address):
                self._still_there()
                if time.monotonic() > deadline:
                    raise AssertionError("not ready:\n" + self.log)
                time.sleep(0.01)
        if self.admin:
            while True:
                self._still_there()
                try:
                    if once(self.admin, target="/healthz",
                            timeout=2).status == 200:
                        return
                except Exception:
                    if time.monotonic() > deadline:
                        raise
                if time.monotonic() > deadline:
                    raise AssertionError("not ready:\n" + self.log)
                time.sleep(0.01)

    def _accepts(self, address):
        try:
            Client(address, timeout=1).close()
            return True
        except OSError:
            return False

    def _still_there(self):
        status = self.process.poll()
        if status is not None:
            raise AssertionError("weir ended with %s:\n%s"
                                 % (status, self.log))

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, timeout=15.0):
        try:
            self.status = self.process.wait(timeout)
            return self.status
        except subprocess.TimeoutExpired:
            raise AssertionError("weir did not end in %.1f s:\n%s"
                                 % (timeout, self.log[-3000:])) from None

    def stop(self, number=signal.SIGINT, status=0, timeout=15.0):
        """End it with a signal to the master and check how it ended."""
        if self.process is None or self not in live:
            return
        try:
            if self.status is not None:
                status = self.status
            elif self.process.poll() is None:
                self.send_signal(number)
            got = self.wait_exit(timeout)
            assert got == status, "exit status %s:\n%s" % (
                got, self.log[-3000:])
            wait.until(lambda: not self.processes(), 5,
                       what="all processes of weir end")
        finally:
            self.kill()
        self.check_log()

    def kill(self):
        """The end of a run that went wrong; leaves nothing behind."""
        def none_left():
            left = self.processes()
            # The master first: it would replace the others.
            for pid in sorted(left, key=lambda pid: pid != self.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not left
        wait.until(none_left, 15)
        self.process.wait(10)
        if self in live:
            live.remove(self)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def check_log(self):
        """What was found once is not held against the next test."""
        log, seen = self.log, self.log_seen
        self.log_seen = len(log)
        found = DEFECT.search(log, seen)
        assert not found, log[max(0, found.start() - 200):][:6000]

    # -- processes ---------------------------------------------------------

    def processes(self):
        """Every living process of this weir's session."""
        return proc.of_session(self.pid)

    def children(self):
        return proc.children(self.pid)

    def check_children(self):
        """No child died since the last look (a crash is a failure)."""
        now = set(self.children())
        before, self.known_children = self.known_children, now
        if self.process.poll() is None:
            assert now == before, "children %s became %s:\n%s" % (
                before, now, self.log[-3000:])

    def expect_new_children(self):
        self.known_children = set(self.children())

    def worker_of(self, client):
        """The process that holds this client's connection."""
        local = client.sock.getsockname()
        inode = wait.until(lambda: proc.inode_of(
            client.sock.getpeername(), local), what="accepted")
        return wait.until(
            lambda: next((pid for pid in self.children()
                          if inode in proc.inodes(pid)), None),
            what="a worker holds the connection")

    def workers(self):
        return [pid for pid in self.children()
                if "worker" in proc.title(pid)]

    def background(self):
        found = [pid for pid in self.children()
                 if "background" in proc.title(pid)]
        return found[0] if found else None

    # -- traffic -----------------------------------------------------------

    def client(self, **kw):
        return Client(self.address, **kw)

    def request(self, method="GET", target="/", fields=(), body=None, **kw):
        """One request on its own connection to the first listener."""
        return once(self.address, method, target, fields, body, **kw)

    def get(self, target="/", fields=(), **kw):
        return self.request("GET", target, fields, **kw)

    def metrics(self):
        answer = once(self.admin, target="/metrics")
        assert answer.status == 200
        return Metrics(answer)

    def health(self):
        return once(self.admin, target="/healthz").status

    def wait_log(self, what, timeout=8.0):
        return wait.until(lambda: re.search(what, self.log), timeout,
                          what="%r in the log:\n%s" % (what, self.log))
