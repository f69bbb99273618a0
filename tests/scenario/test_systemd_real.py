"""The shipped units under a real systemd, which runs in namespaces of its own;
where none can be had, this is skipped."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import shutil
import signal
import socket
import time

import pytest

from lib import conf, proc, wait
from lib import weir as runner
from lib.client import Client, once
from lib.systemd import Systemd

pytestmark = [pytest.mark.process, pytest.mark.root]

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.environ.get("WEIR_SRCDIR") or os.path.join(HERE, "..", "..")
SBIN = "/run/weir-test/sbin"
CONF = "/etc/weir/weir.conf"
WATCHDOG_S, STOP_S = 3, 2  # 30 and 120 in the unit


def unit(name, port):
    with open(os.path.join(SRCDIR, "contrib", "systemd",
                           name + ".in")) as f:
        text = f.read()
    for word, path in (("sbindir", SBIN), ("sysconfdir", "/etc"),
                       ("runstatedir", "/run")):
        text = text.replace("@%s@" % word, path)
    # This build may have been configured for other folders.
    text = text.replace("weirctl reload",
                        "weirctl --socket /run/weir/control.sock reload")
    return text.replace("ListenStream=0.0.0.0:80",
                        "ListenStream=127.0.0.1:%d" % port)


def shorter(text):
    """The same unit with less patience."""
    for name, seconds in (("WatchdogSec", WATCHDOG_S),
                          ("TimeoutStopSec", STOP_S)):
        text, count = re.subn(r"(?m)^%s=.*$" % name,
                              "%s=%ds" % (name, seconds), text)
        assert count == 1, name
    return text


class Site:
    """weir in it: one answer, at one address."""

    def __init__(self):
        self.port = conf.free_port()
        self.address = ("127.0.0.1", self.port)
        self.systemd = Systemd({
            name: unit(name, self.port) for name in
            ("weir.service", "weir-forking.service", "weir.socket")} | {
            "weir-short.service": shorter(unit("weir.service", self.port))})
        for program in ("weir", "weirctl"):
            self.install(program)

    def install(self, program):
        source = os.path.join(os.path.dirname(runner.binary()), program)
        with open(source, "rb") as f:
            self.systemd.write("%s/%s" % (SBIN, program), f.read(), 0o755)

    def write(self, body="here", extra="", **route):
        text = conf.document(conf.config(
            conf.service({"path": "/", "respond": {"body": body}, **route},
                         listen=[{"address": "127.0.0.1:%d" % self.port}]),
            workers=2, pid_file="/run/weir/weir.pid",
            upgrade_sock="/run/weir/upgrade.sock",
            error_log={"path": "/var/log/weir/error.log", "level": "info"},
            control={"path": "/run/weir/control.sock"}))
        self.systemd.write(CONF, text + extra)

    def get(self):
        return once(self.address).body.decode()

    @property
    def log(self):
        try:
            with open(self.systemd.path("/var/log/weir/error.log")) as f:
                return f.read()
        except OSError:
            return ""

    def start(self, name="weir.service", **kw):
        self.write(**kw)
        status, out = self.systemd.ctl("start", name)
        assert status == 0, (out, self.systemd.log, self.log)

    def main(self, name="weir.service"):
        return int(self.systemd.show(name, "MainPID"))

    def outside(self, inside):
        """The number here of a process that has that one inside."""
        for pid in proc.descendants(self.systemd.pid):
            if proc.status(pid, "NSpid")[-1] == str(inside):
                return pid
        return None

    def end(self):
        for name in ("weir.socket", "weir.service", "weir-forking.service",
                     "weir-short.service"):
            self.systemd.ctl("stop", name)
            self.systemd.ctl("reset-failed", name)
        left = [proc.title(pid) for pid in
                proc.descendants(self.systemd.pid)
                if "weir:" in proc.title(pid)]
        assert not left, left
        if self.log:
            os.unlink(self.systemd.path("/var/log/weir/error.log"))


@pytest.fixture(scope="module")
def booted():
    if runner.sanitized():
        pytest.skip("a build with sanitizers")
    for program in ("unshare", "nsenter", "systemctl"):
        if not shutil.which(program):
            pytest.skip(program + " is not installed")
    try:
        site = Site()
    except OSError as why:
        pytest.skip(str(why))
    yield site
    site.systemd.close()


@pytest.fixture
def site(booted):
    yield booted
    booted.end()


def test_reloads(site):
    """The start waits for READY; a reload brings the configuration, and with
    a new file the program; one that is refused fails, and says so."""
    s = site.systemd
    site.start()
    first = site.main()
    assert site.get() == "here"
    assert s.show("weir.service", "StatusText") == (
        "serving with 2 workers, generation 1")
    site.write("there")
    assert s.ctl("reload", "weir.service") == (0, "")
    assert site.get() == "there" and site.main() == first
    assert "generation 2" in s.show("weir.service", "StatusText")

    site.write("there", extra="wrokers = 2;\n")
    status, out = s.ctl("reload", "weir.service")
    assert status != 0 and "failed" in out, out
    assert "wrokers" in site.log
    assert s.show("weir.service", "ActiveState") == "active"
    assert site.get() == "there" and site.main() == first

    site.install("weir")
    status, out = s.ctl("reload", "weir.service")
    assert status != 0, "the configuration is wrong still"
    assert site.main() == first and site.get() == "there"
    site.write("new")
    assert s.ctl("reload", "weir.service") == (0, ""), site.log
    wait.until(lambda: site.main() != first)
    assert site.get() == "new"
    assert s.show("weir.service", "ActiveState") == "active"
    # The predecessor has gone, and nobody took that for the end.
    wait.until(lambda: site.outside(first) is None)
    assert s.show("weir.service", "ActiveState", "NRestarts") == {
        "ActiveState": "active", "NRestarts": "0"}
    # systemd waits for the end of its own children alone; then it kills.
    second = site.outside(site.main())
    assert proc.parent(second) == s.pid
    assert s.ctl("stop", "weir.service") == (0, "")
    assert "weir has stopped" in site.log.splitlines()[-1]


def test_reloading_is_shown(site):
    """While it is not decided the unit is "reloading", whoever asked."""
    if "test" not in runner.run("-V")[1].split():
        pytest.skip("built without the module test")
    s = site.systemd
    site.start(extra='daemon_ready_timeout = "2s";\n')
    site.write(extra='daemon_ready_timeout = "2s";\n',
               test={"load": "hang"})
    os.kill(site.outside(site.main()), signal.SIGHUP)
    wait.until(lambda: s.show("weir.service", "ActiveState") == "reloading")
    assert site.get() == "here"
    wait.until(lambda: s.show("weir.service", "ActiveState") == "active", 20)
    assert "loading it took longer" in site.log


def test_stop(site):
    """An idle one ends at once; a drain may take its time."""
    s = site.systemd
    site.start()
    with Client(site.address) as client:
        assert client.get("/").body == b"here"
        assert s.ctl("stop", "--no-block", "weir.service")[0] == 0
        wait.until(lambda: s.show("weir.service", "ActiveState")
                   == "deactivating")
        wait.until(lambda: "draining" in site.log)
        answer = client.get("/")
        assert answer.status == 200
    wait.until(lambda: s.show("weir.service", "ActiveState") == "inactive")
    assert s.show("weir.service", "Result") == "success"
    assert not os.path.exists(s.path("/run/weir"))
    site.start()
    assert s.ctl("stop", "weir.service", timeout=20) == (0, "")
    assert s.show("weir.service", "Result") == "success"


def test_long_drain(site):
    """One that takes longer than TimeoutStopSec asks for the time."""
    s, name = site.systemd, "weir-short.service"
    site.start(name)
    with Client(site.address) as client:
        assert client.get("/").body == b"here"
        assert s.ctl("stop", "--no-block", name)[0] == 0
        wait.until(lambda: "draining" in site.log)
        # Waiting is what is tested: it would be killed meanwhile.
        time.sleep(2 * STOP_S)
        assert s.show(name, "ActiveState") == "deactivating"
        answer = client.get("/")
        assert answer.status == 200
    wait.until(lambda: s.show(name, "ActiveState") == "inactive", 20)
    assert s.show(name, "Result") == "success"


def test_failed_start(site):
    """It fails loudly, and leaves nothing."""
    site.write(extra="wrokers = 2;\n")
    status, out = site.systemd.ctl("start", "weir.service")
    assert status != 0 and "failed" in out
    assert not any("weir:" in proc.title(pid) for pid in
                   proc.descendants(site.systemd.pid))


def test_killed_master(site):
    """Workers serve on, and the one that systemd starts takes over."""
    s = site.systemd
    site.start()
    first = site.main()
    os.kill(site.outside(first), signal.SIGKILL)
    assert site.get() == "here"
    wait.until(lambda: s.show("weir.service", "NRestarts") == "1" and
               s.show("weir.service", "ActiveState") == "active", 20)
    assert site.get() == "here" and site.main() != first
    wait.until(lambda: len([pid for pid in proc.descendants(s.pid)
                            if "weir: worker" in proc.title(pid)]) == 2, 20)
    assert "taking over" in site.log


def fed(site, name, times):
    """So often it was heard from anew."""
    for _ in range(times):
        before = site.systemd.show(name, "WatchdogTimestampMonotonic")
        wait.until(lambda: site.systemd.show(
            name, "WatchdogTimestampMonotonic") != before, 3 * WATCHDOG_S)


def test_watchdog(site):
    """It is fed, by a successor too; a master that hangs is killed, and the
    next one takes over from the workers that served on meanwhile."""
    s, name = site.systemd, "weir-short.service"
    site.start(name)
    assert s.show(name, "WatchdogUSec") == "%ds" % WATCHDOG_S
    fed(site, name, 3)
    site.install("weir")
    first = site.main(name)
    assert s.ctl("reload", name) == (0, "")
    wait.until(lambda: site.main(name) != first)
    wait.until(lambda: site.outside(first) is None, 20)
    fed(site, name, 3)
    assert s.show(name, "ActiveState", "NRestarts") == {
        "ActiveState": "active", "NRestarts": "0"}
    second = site.main(name)
    master = site.outside(second)
    workers = [pid for pid in proc.children(master)
               if "worker" in proc.title(pid)]
    with Client(site.address) as client:
        assert client.get("/").status == 200
        os.kill(master, signal.SIGSTOP)
        while s.show(name, "NRestarts") == "0":
            assert client.get("/").status == 200
            assert site.get() == "here"
        wait.until(lambda: s.show(name, "ActiveState") == "active", 20)
        assert not proc.alive(master)
        assert site.main(name) not in (0, second)
        wait.until(lambda: site.log.count("another master has taken over")
                   == len(workers))
        answer = client.get("/")
        assert answer.status == 200
        assert "close" in answer.fields.tokens("connection")
    wait.until(lambda: not any(map(proc.alive, workers)), 20)
    assert site.get() == "here"
    assert s.show(name, "NRestarts") == "1"


def test_socket(site):
    """systemd listens: the first client starts weir, and who comes after a
    stop starts it again."""
    s = site.systemd
    site.write()
    assert s.ctl("start", "weir.socket")[0] == 0
    assert s.show("weir.service", "ActiveState") == "inactive"
    assert site.get() == "here"
    wait.until(lambda: s.show("weir.service", "ActiveState") == "active")
    first = site.main()
    site.write("there")
    assert s.ctl("reload", "weir.service") == (0, "")
    assert site.get() == "there"
    site.install("weir")
    assert s.ctl("reload", "weir.service") == (0, "")
    wait.until(lambda: site.main() != first)
    assert site.get() == "there"
    assert s.ctl("stop", "weir.service")[0] == 0
    assert site.get() == "there"
    wait.until(lambda: s.show("weir.service", "ActiveState") == "active")
    assert s.ctl("stop", "weir.socket")[0] == 0
    assert s.ctl("stop", "weir.service")[0] == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(site.address, 5)


def test_forking(site):
    """The other unit: a daemon whose reload is a whole upgrade."""
    s, name = site.systemd, "weir-forking.service"
    site.start(name)
    first = site.main(name)
    assert site.get() == "here"
    site.write("there")
    assert s.ctl("reload", name) == (0, "")
    wait.until(lambda: site.get() == "there", 30)
    wait.until(lambda: site.main(name) not in (0, first), 30)
    assert s.show(name, "ActiveState") == "active"
    assert re.search(r"%d" % site.main(name),
                     open(s.path("/run/weir/weir.pid")).read())
    assert s.ctl("stop", name) == (0, "")
    assert s.show(name, "Result") == "success"
