"""A disk that is full while weir changes: pid file, logs and upgrade socket
are there, and somebody always serves."""
# SPDX-License-Identifier: BSD-2-Clause
import errno
import os
import signal
import subprocess

import pytest

from lib import wait
from lib.client import once
from lib.handover import TAKEN
from test_control import weirctl
from test_upgrade import OWN, Instance, Load, config
from test_upgrade_manifest import between  # noqa: F401

pytestmark = [pytest.mark.process, pytest.mark.root]

LOG = "run/error.log"


class OnSmallDisk(Instance):
    """Everything that it writes is below run/, which is small."""

    def __init__(self, start):
        self.weir = start(config(
            dict(OWN, accesslog=[{"path": "@DIR@/run/access.log"}]),
            control={"path": "@DIR@/run/control.sock"},
            error_log={"path": "@DIR@/" + LOG, "level": "info"}),
            start=False)
        self.disk = self.weir.path("run")
        os.mkdir(self.disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o",
                           "size=64k,nr_inodes=16,mode=755", "tmpfs",
                           self.disk], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("nothing can be mounted")
        self.mounted = True
        # The background process would not be let in.
        for name in ("error.log", "access.log"):
            self.weir.write("run/" + name, "")
        self.weir.start()
        self.first = self.pid

    def fill(self):
        """Neither a byte nor a file more."""
        with open(self.disk + "/filler", "wb", buffering=0) as f:
            with pytest.raises(OSError):
                while f.write(b"x" * 4096):
                    pass
        with pytest.raises(OSError) as full:
            for i in range(100):
                open(self.disk + "/filler%d" % i, "wb").close()
        assert full.value.errno == errno.ENOSPC

    def make_room(self):
        for name in os.listdir(self.disk):
            if name.startswith("filler"):
                os.unlink(os.path.join(self.disk, name))

    def weirctl(self, *args):
        done = subprocess.run(
            [weirctl(), "--socket", self.path("run/control.sock"), *args],
            text=True, timeout=30, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def wait_logged(self, text):
        wait.until(lambda: text in self.weir.read(LOG), 15,
                   what="%r in the log" % text)

    def finish(self):
        self.make_room()
        try:
            super().finish()
        finally:
            subprocess.run(["umount", "-l", self.disk], check=False)


@pytest.fixture
def small(start):
    made = []

    def make():
        made.append(OnSmallDisk(start))
        return made[-1]
    yield make
    for one in made:
        one.finish()


def test_upgrade_on_a_full_disk(small):
    """It succeeds: the pid file has room for another number."""
    one = small()
    one.fill()
    with Load(one.address) as load:
        for _ in range(2):
            before = one.pid
            one.send(signal.SIGUSR2)
            one.wait_taken(before)
            one.wait_gone(before)
            load.more()
        before = one.pid
        status, text = one.weirctl("upgrade")
        assert status == 0, text
        one.wait_taken(before)
        one.wait_gone(before)
    assert one.weir.read("run/weir.pid") == "%d\n" % one.pid
    # A second instance is told who runs.
    second = one.successor()
    assert second.wait(15) == 1
    assert "another instance is running (pid %d)" % one.pid in one.weir.log
    # The log goes on once there is room.
    one.make_room()
    before = one.pid
    one.send(signal.SIGUSR2)
    one.wait_taken(before)
    one.wait_logged("process %d has taken over" % one.pid)


def test_reload_on_a_full_disk(small):
    """What is good is not refused; the answer comes over the control
    socket."""
    one = small()
    one.fill()
    with Load(one.address):
        one.weir.write("weir.conf", one.weir.text.replace(
            '"own\\n"', '"other\\n"'))
        status, text = one.weirctl("reload")
        assert status == 0, text
    assert one.pid == one.first
    assert once(one.address, target="/own").body == b"other\n"


@pytest.mark.parametrize("how", ["upgrade", "reload"])
def test_log_that_cannot_be_made(small, how):
    """The old one serves on, and says why."""
    one = small()
    one.fill()
    with Load(one.address):
        one.weir.write("weir.conf", one.weir.text.replace(
            "access.log", "another.log"))
        status, text = one.weirctl(*(
            ["upgrade"] if how == "upgrade" else ["reload", "--config-only"]))
        assert status == 1
        assert "another.log" in text and "No space left" in text, text
    assert one.pid == one.first
    # And with room it does what it could not.
    one.make_room()
    status, text = one.weirctl("upgrade")
    assert status == 0, text
    one.wait_gone(one.first)
    assert one.pid != one.first
    wait.until(lambda: once(one.address, target="/own").status == 200 and
               os.path.getsize(one.path("run/another.log")) > 0)


def test_no_room_for_the_upgrade_socket(small):
    """A successor cannot wait there; QUIT alone needs no socket."""
    one = small()
    one.fill()
    successor = one.successor("-u")
    assert successor.wait(15) == 1
    assert one.pid == one.first
    # Its own log has no room for it: standard error does.
    seen = one.weir.log + one.weir.read(LOG)
    assert "upgrade_sock" in seen and "No space left" in seen, seen
    with Load(one.address):
        one.send(signal.SIGUSR2)
        one.wait_taken()
        one.wait_gone(one.first)


def test_successor_that_wrote_its_number_dies(small, between):  # noqa: F811
    """In place, for want of room: the old one puts its own back."""
    one = small()
    taken = []

    def say(kind, body):
        if kind != TAKEN:
            return None
        taken.append(one.pid)
        successor.kill()
        return []
    successor = one.successor("-u")
    one.wait_logged("upgrade: waiting at")
    between(one.path("run/up.sock"), say=say)
    one.fill()
    with Load(one.address):
        one.send(signal.SIGQUIT)
        assert successor.wait(15) == -signal.SIGKILL
        wait.until(lambda: one.pid == one.first, 15)
        assert taken == [successor.pid]
    assert one.weir.process.poll() is None
