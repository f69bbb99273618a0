"""Under a service manager: what it hears, sockets it hands over, its units;
weir -s, and the first process of a container."""
# SPDX-License-Identifier: BSD-2-Clause
import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from lib import conf, proc, wait
from lib.client import once
from lib.weir import binary, run

pytestmark = pytest.mark.process

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.environ.get("WEIR_SRCDIR") or os.path.join(HERE, "..", "..")


def respond(**top):
    return conf.config(
        conf.service({"path": "/", "respond": {"status": 200,
                                               "body": "here"}}),
        [], **top)


class Manager:
    """The end of NOTIFY_SOCKET that a service manager has."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(address)
        self.text = address.replace("\0", "@")
        self.seen = []

    def close(self):
        self.sock.close()

    def poll(self):
        """All that has come: [(sender, {name: value})]."""
        while True:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(
                    8192, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return self.seen
            pid = int.from_bytes(ancillary[0][2][:4], "little")
            lines = data.decode().splitlines()
            self.seen.append((pid, dict(l.split("=", 1) for l in lines)))

    def wait(self, name, value=None, after=0):
        """The first message from number `after` on that has name=value."""
        def find():
            for i, (pid, message) in enumerate(self.poll()[after:], after):
                if name in message and value in (None, message[name]):
                    return i + 1, pid, message
            return None
        return wait.until(find, 15, what="%s=%s among %s" % (
            name, value, self.seen))

    def has(self, name):
        return any(name in message for _, message in self.poll())


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    one = Manager("\0weir-test-%d" % os.getpid()
                  if request.param == "abstract" else
                  str(tmp_path / "notify"))
    if request.param == "path":
        os.chmod(tmp_path / "notify", 0o777)
    yield one
    one.close()


# -- notifications ---------------------------------------------------------

def test_life_is_told(start, manager):
    """READY, RELOADING with a time, READY again, STOPPING; by the master."""
    weir = start(respond(), env={"NOTIFY_SOCKET": manager.text})
    at, pid, message = manager.wait("READY", "1")
    assert pid == weir.pid and message["MAINPID"] == str(weir.pid)
    assert message["STATUS"] == "serving with 1 worker, generation 1"
    assert not manager.has("RELOADING") and not manager.has("WATCHDOG")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    weir.send_signal(signal.SIGHUP)
    at, pid, message = manager.wait("RELOADING", "1", at)
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(message["MONOTONIC_USEC"]) <= after
    at, pid, message = manager.wait("READY", "1", at)
    assert "generation 2" in message["STATUS"]
    weir.expect_new_children()
    weir.send_signal(signal.SIGTERM)
    manager.wait("STOPPING", "1", at)
    _, _, message = manager.wait("EXTEND_TIMEOUT_USEC", None, at)
    assert int(message["EXTEND_TIMEOUT_USEC"]) > 90 * 1000000
    assert weir.wait_exit() == 0
    assert {pid for pid, _ in manager.poll()} == {weir.pid}


def test_refused_reload_ends_too(start, manager):
    """A manager that waits for READY is not left waiting."""
    weir = start(respond(), env={"NOTIFY_SOCKET": manager.text})
    at, _, _ = manager.wait("READY", "1")
    weir.write("weir.conf", "nonsense")
    weir.send_signal(signal.SIGHUP)
    at, _, _ = manager.wait("RELOADING", "1", at)
    at, _, message = manager.wait("READY", "1", at)
    assert "generation 1" in message["STATUS"]


def test_upgrade_is_told(start, manager):
    """The successor says that it is the main process now; the old one is
    silent from then on, though it stops."""
    weir = start(respond(), env={"NOTIFY_SOCKET": manager.text})
    at, _, _ = manager.wait("READY", "1")
    weir.send_signal(signal.SIGUSR2)
    at, pid, _ = manager.wait("RELOADING", "1", at)
    assert pid == weir.pid
    at, pid, message = manager.wait("READY", "1", at)
    assert pid != weir.pid and message["MAINPID"] == str(pid)
    assert weir.wait_exit() == 0
    assert not manager.has("STOPPING")
    os.kill(pid, signal.SIGINT)
    wait.until(lambda: not proc.alive(pid), 15)
    assert manager.wait("STOPPING", "1", at)[1] == pid


def test_failed_upgrade_is_told(start, manager):
    weir = start(respond(), env={"NOTIFY_SOCKET": manager.text})
    at, _, _ = manager.wait("READY", "1")
    weir.write("weir.conf", "nonsense")
    weir.send_signal(signal.SIGUSR2)
    at, _, _ = manager.wait("RELOADING", "1", at)
    at, pid, _ = manager.wait("READY", "1", at)
    assert pid == weir.pid


def test_failed_start_is_not_ready(start, manager):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        weir = start(conf.document(conf.config(conf.service(
            {"path": "/", "respond": {"status": 200}},
            listen=[{"address": address}]))),
            env={"NOTIFY_SOCKET": manager.text}, start=False)
        weir.start(ready=False)
        assert weir.wait_exit() == 1
    assert not manager.has("READY")


def test_watchdog(start, tmp_path):
    """Fed at twice the rate that was asked for, by the one it is meant for."""
    manager = Manager(str(tmp_path / "notify"))
    with contextlib.closing(manager):
        weir = start(respond(), env={"NOTIFY_SOCKET": manager.text,
                                     "WATCHDOG_USEC": "200000"})
        at = 0
        for _ in range(5):
            at, pid, _ = manager.wait("WATCHDOG", "1", at)
            assert pid == weir.pid
        weir.stop()


def test_watchdog_of_another(start, tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    with contextlib.closing(manager):
        weir = start(respond(), env={"NOTIFY_SOCKET": manager.text,
                                     "WATCHDOG_USEC": "20000",
                                     "WATCHDOG_PID": "1"})
        at, _, _ = manager.wait("READY", "1")
        weir.send_signal(signal.SIGHUP)
        at, _, _ = manager.wait("RELOADING", "1", at)
        manager.wait("READY", "1", at)
        weir.expect_new_children()
        assert not manager.has("WATCHDOG")
        weir.stop()


@pytest.mark.parametrize("path", ["/nonexistent/notify", "relative", "@", "",
                                  "/" + "x" * 200])
def test_no_such_manager(start, path):
    """Nobody to tell is no reason not to serve."""
    weir = start(respond(), env={"NOTIFY_SOCKET": path})
    assert weir.get("/").body == b"here"


# -- weir -s ---------------------------------------------------------------

def tell(weir, word):
    return run("-c", weir.conf, "-s", word)


def test_signals_by_word(start):
    """Each word is its signal, and the exit status says that it was sent."""
    weir = start({**respond(), "error_log": {"path": "@DIR@/error.log",
                                             "level": "info"}})
    for word, name in (("reload", "SIGHUP"), ("reopen", "SIGUSR1")):
        assert tell(weir, word) == (0, "", "")
        wait.until(lambda: "%s from process" % name
                   in weir.read("error.log"))
    weir.expect_new_children()
    assert tell(weir, "quit")[0] == 0
    assert weir.wait_exit() == 0
    assert "SIGTERM from process" in weir.read("error.log")
    status, out, err = tell(weir, "stop")
    assert status == 1 and "no instance is running" in err


def test_stop_by_word_while_the_configuration_is_wrong(start):
    weir = start(respond())
    weir.write("weir.conf", weir.text + "\nwrokers = 2;\n")
    assert tell(weir, "stop") == (0, "", "")
    assert weir.wait_exit() == 0


def test_stale_pid_file(start, tmp_path):
    """A number whose lock nobody holds gets no signal."""
    victim = subprocess.Popen(["sleep", "60"])
    try:
        pid_file = tmp_path / "weir.pid"
        pid_file.write_text("%d\n" % victim.pid)
        path = tmp_path / "weir.conf"
        path.write_text(conf.document({**respond(),
                                       "pid_file": str(pid_file)}))
        status, out, err = run("-c", path, "-s", "stop")
        assert status == 1 and "nobody has it locked" in err
        assert victim.poll() is None
        pid_file.unlink()
        status, out, err = run("-c", path, "-s", "stop")
        assert status == 1 and "there is none" in err
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize("args,status", [
    (["-s", "nonsense"], 2), (["-s"], 2), (["-s", "hup"], 2),
    (["-s", "stop", "--from", ":1", "--to", "http://127.0.0.1:1"], 2),
    (["-s", "stop", "-c", "/nonexistent/weir.conf"], 2)])
def test_signal_usage(args, status):
    got, out, err = run(*args)
    assert got == status and out == "" and err


# -- without memory that can be written and executed -----------------------

def deny_exec_memory():
    """What MemoryDenyWriteExecute does (prctl PR_SET_MDWE)."""
    if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:
        os._exit(77)


def test_expressions_without_a_compiler(start):
    """They are interpreted then, and the log says so once."""
    if subprocess.run(["true"], preexec_fn=deny_exec_memory).returncode:
        pytest.skip("the kernel has no such thing")
    weir = start(conf.config(conf.service(
        {"path_regex": "^/a+$", "respond": {"status": 200, "body": "a"}},
        {"path_regex": "^/b+$", "respond": {"status": 200, "body": "b"}})),
        start=False)
    weir.prefix = ["/usr/bin/python3", "-c", (
        "import ctypes, os, sys\n"
        "ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)\n"
        "os.execv(sys.argv[1], sys.argv[1:])")]
    weir.start()
    assert weir.get("/aaa").body == b"a" and weir.get("/bb").body == b"b"
    assert weir.get("/c").status == 404
    assert len(re.findall(r"regular expressions are interpreted",
                          weir.log)) == 1


# -- units -----------------------------------------------------------------

def unit(name):
    with open(os.path.join(SRCDIR, "contrib", "systemd",
                           name + ".in")) as f:
        text = f.read()
    for word, path in (("sbindir", os.path.dirname(binary())),
                       ("sysconfdir", "/etc"), ("runstatedir", "/run"),
                       ("localstatedir", "/var")):
        text = text.replace("@%s@" % word, path)
    assert not re.search(r"@[a-z]*dir@", text)
    return text


def analyze(*args):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *args], text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.short
def test_unit_exposure(tmp_path):
    """At most 2.5 of 10."""
    path = tmp_path / "weir.service"
    path.write_text(unit("weir.service"))
    done = analyze("security", "--offline=true", "--threshold=25",
                   str(path))
    if "nrecognized option" in done.stdout:
        pytest.skip("this systemd-analyze cannot look at files")
    assert done.returncode == 0, done.stdout


@pytest.mark.short
@pytest.mark.parametrize("name", ["weir.service", "weir-forking.service",
                                  "weir.socket"])
def test_units_are_understood(tmp_path, name):
    for each in {name, "weir.service"}:
        (tmp_path / each).write_text(unit(each))
    done = analyze("verify", "--man=no", str(tmp_path / name))
    wrong = [line for line in done.stdout.splitlines()
             if str(tmp_path) in line or line.startswith(name)]
    assert not wrong, wrong


def seconds(text, name):
    return int(re.search(r"(?m)^%s=(\d+)s$" % name, text)[1])


@pytest.mark.short
@pytest.mark.parametrize("name", ["weir.service", "weir-forking.service"])
def test_times_of_units(name):
    """A drain may last as long as weir itself lets it, and a start too."""
    limits = dict(re.findall(
        r"(?m)^(shutdown_timeout|daemon_ready_timeout) = \"(\d+)s\"",
        run("--from", ":8080", "--to", "http://127.0.0.1:1", "-T")[1]))
    text = unit(name)
    assert seconds(text, "TimeoutStopSec") > int(limits["shutdown_timeout"])
    assert seconds(text, "TimeoutStartSec") > int(
        limits["daemon_ready_timeout"])
    assert re.search(r"(?m)^KillMode=process$", text)


@pytest.mark.short
def test_account_and_folders(tmp_path):
    """sysusers.d and tmpfiles.d are understood and make what weir uses."""
    if not shutil.which("systemd-sysusers"):
        pytest.skip("systemd-sysusers is not installed")
    path = tmp_path / "weir.conf"
    path.write_text(unit("weir.sysusers"))
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    subprocess.run(["systemd-sysusers", "--root=%s" % root, str(path)],
                   check=True, timeout=20)
    assert re.search(r"(?m)^weir:x:\d+:\d+:", (root / "etc" / "passwd")
                     .read_text())
    if not shutil.which("systemd-tmpfiles") or os.geteuid() != 0:
        return
    (root / "etc" / "group").write_text("root:x:0:\nadm:x:4:\n")
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    path.write_text(unit("weir.tmpfiles"))
    subprocess.run(["systemd-tmpfiles", "--create", "--root=%s" % root,
                    str(path)], check=True, timeout=20)
    for folder, mode in (("run/weir", 0o755), ("var/log/weir", 0o750)):
        st = os.stat(root / folder)
        assert (st.st_mode & 0o7777, st.st_uid) == (mode, 0), folder


@pytest.mark.short
def test_logrotate_file(tmp_path):
    if not shutil.which("logrotate"):
        pytest.skip("logrotate is not installed")
    with open(os.path.join(SRCDIR, "contrib", "logrotate",
                           "weir.in")) as f:
        text = f.read().replace("@localstatedir@", "/var").replace(
            "@sbindir@", "/usr/sbin")
    path = tmp_path / "weir"
    path.write_text(text)
    os.chmod(path, 0o644)
    done = subprocess.run(["logrotate", "-d", str(path)], text=True,
                          timeout=20, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0 and "error" not in done.stdout, done.stdout


# -- containers ------------------------------------------------------------

def test_first_process_of_a_container(start):
    """As process 1: serves, takes in orphans, ends when told to."""
    unshare = shutil.which("unshare")
    options = ["--pid", "--fork", "--mount-proc", "--kill-child"]
    if not unshare or subprocess.run(
            [unshare, *options, "true"],
            stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no process namespace can be made")
    weir = start(respond(), start=False)
    weir.prefix = [unshare, *options]
    weir.start(ready=False)
    weir.wait_ready()
    first = wait.until(lambda: proc.children(weir.pid))[0]
    assert weir.get("/").body == b"here"
    # A process whose parent has gone belongs to process 1 from then on.
    subprocess.run(["nsenter", "--target", str(first), "--pid",
                    "sh", "-c", "(sleep 0.1 &) ; exit 0"], check=True)

    def zombies():
        for pid in os.listdir("/proc"):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    cells = f.read().rpartition(")")[2].split()
            except (OSError, ValueError):
                continue
            if int(cells[1]) == first and cells[0] in "ZS" and \
                    "sleep" in proc.title(int(pid)):
                yield pid

    wait.until(lambda: not list(zombies()))
    os.kill(first, signal.SIGTERM)
    assert weir.wait_exit() == 0


READ_ONLY = ("mount --make-rprivate / && mount -o remount,bind,ro / && "
             "! touch /tmp/weir-test 2>/dev/null && exec "
             "setpriv --reuid 65534 --regid 65534 --clear-groups "
             "--no-new-privs \"$@\"")


@pytest.mark.root
def test_read_only_and_without_root(start):
    """An ordinary user, a root file system that nobody may write to."""
    prefix = [shutil.which("unshare") or "false", "--mount", "sh", "-c",
              READ_ONLY, "sh"]
    if subprocess.run([*prefix, "true"],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no such mount namespace can be made")
    weir = start(respond(), start=False)
    weir.write("weir.conf", "".join(
        line for line in weir.text.splitlines(True)
        if not re.match(r"\s*(pid_file|control)\b", line)))
    prefix += ["sh", "-c", "exec \"$@\"", "sh"]
    weir.prefix = prefix
    weir.start()
    assert weir.get("/").body == b"here"
    assert proc.status(weir.pid, "Uid")[1] == "65534"
    assert "warn" not in weir.log.replace("warn: connections_max", "")


# -- socket activation -----------------------------------------------------

LAUNCH = """
import os, sys
count, names, program = sys.argv[1], sys.argv[2], sys.argv[3:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count)
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(program[0], program)
"""


def activate(start, config, sockets, names=""):
    """weir with these sockets as descriptors 3 and so on."""
    held = [s.dup() for s in sockets]
    weir = start(config, start=False)

    def place():
        # Out of the way first: one may sit where another belongs.
        high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in held]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
            os.close(fd)

    weir.prefix = ["/usr/bin/python3", "-c", LAUNCH, str(len(held)), names]
    popen = subprocess.Popen

    def with_sockets(args, **kw):
        kw.update(close_fds=False, preexec_fn=place)
        return popen(args, **kw)

    subprocess.Popen = with_sockets
    try:
        weir.start()
    finally:
        subprocess.Popen = popen
        for s in held:
            s.close()
    return weir


def bound(address=("127.0.0.1", 0)):
    s = socket.socket()
    s.bind(address)
    s.listen(64)
    return s


def listening_at(*addresses, **top):
    return conf.config(conf.service(
        {"path": "/", "respond": {"status": 200, "body": "here"}},
        listen=[{"address": a} for a in addresses]), **top)


def text_of(sock):
    return "%s:%d" % sock.getsockname()


def test_sockets_of_the_manager(start):
    """Served from the same queue, over reload and stop; all workers share."""
    with bound() as given:
        own = conf.address()
        # Comes before weir does, and is answered by it.
        early = socket.create_connection(given.getsockname())
        early.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        weir = activate(start, listening_at(text_of(given), own, workers=2),
                        [given], "web")
        early.settimeout(10)
        assert b"200 OK" in early.recv(4096)
        early.close()
        for address in weir.addresses:
            for _ in range(4):
                assert once(address, target="/").body == b"here"
        inode = os.fstat(given.fileno()).st_ino
        for pid in weir.workers():
            assert inode in proc.inodes(pid)
        weir.send_signal(signal.SIGHUP)
        weir.wait_log("generation 2 serves with 2 workers")
        weir.expect_new_children()
        for _ in range(4):
            assert once(weir.address, target="/").body == b"here"
        # Nobody else's socket was bound at that address.
        inodes = set().union(*(proc.inodes(p) for p in weir.workers()))
        assert len([i for i in listeners_of(given.getsockname()[1])
                    if i in inodes]) == 1
        weir.stop()
        # The manager's queue is still there for the next one.
        socket.create_connection(given.getsockname()).close()


def listeners_of(port):
    """Inodes of the sockets that listen at that port."""
    with open("/proc/net/tcp") as f:
        next(f)
        for line in f:
            cells = line.split()
            if cells[3] == "0A" and cells[1].endswith(":%04X" % port):
                yield int(cells[9])


def test_unix_socket_of_the_manager(start, tmp_path):
    """Its file is the manager's: it keeps its mode, and stays."""
    path = str(tmp_path / "given.sock")
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(path)
        given.listen(8)
        os.chmod(path, 0o640)
        weir = activate(start, listening_at("unix:" + path), [given])
        assert weir.get("/").body == b"here"
        weir.stop()
        assert os.stat(path).st_mode & 0o777 == 0o640


def test_sockets_of_the_manager_over_an_upgrade(start, tmp_path):
    """They stay shared by all workers, and a file stays the manager's."""
    path = str(tmp_path / "given.sock")
    pid_file = str(tmp_path / "weir.pid")
    with bound() as given, socket.socket(socket.AF_UNIX) as file:
        file.bind(path)
        file.listen(8)
        os.chmod(path, 0o640)
        weir = activate(start, listening_at(
            text_of(given), "unix:" + path, workers=2, pid_file=pid_file,
            upgrade_sock=str(tmp_path / "up.sock")), [given, file])
        before = weir.pid
        for _ in range(2):
            os.kill(before, signal.SIGUSR2)

            def successor():
                with open(pid_file, encoding="ascii") as f:
                    text = f.read()
                return text and int(text) != before and int(text)

            before = wait.until(successor, 15)
            weir.wait_log(r"%d\] notice: weir" % before)
            for address in weir.addresses:
                assert once(address, target="/").body == b"here"
            own = set().union(*(proc.inodes(p) for p in
                                proc.children(before)))
            assert [i for i in listeners_of(given.getsockname()[1])
                    if i in own] == [os.fstat(given.fileno()).st_ino]
            assert os.stat(path).st_mode & 0o777 == 0o640
            wait.until(lambda: weir.log.count(
                "upgrade: the predecessor has ended"), 15)
        os.kill(before, signal.SIGINT)
        wait.until(lambda: not proc.alive(before), 15)
        assert os.path.exists(path)
        assert weir.wait_exit() == 0


def test_sockets_that_are_not_wanted(start):
    """Reported with address and name; what is no listener is left out."""
    with bound() as given, bound() as other, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        weir = activate(start, listening_at(text_of(given)),
                        [other, datagrams, given], "spare:udp:web")
        assert weir.get("/").body == b"here"
        assert re.search(r'socket %s \("spare"\) of the service manager: no '
                         r"service listens there" % text_of(other), weir.log)
        assert "1 of the descriptors" in weir.log
        inode = os.fstat(other.fileno()).st_ino
        for pid in [weir.pid, *weir.children()]:
            assert inode not in proc.inodes(pid)


def test_sockets_of_another_process(start):
    """LISTEN_PID names somebody else: weir binds for itself."""
    weir = start(respond(), env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert weir.get("/").body == b"here"
