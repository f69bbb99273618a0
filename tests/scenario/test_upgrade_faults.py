"""kill -9 of each process at each step of an upgrade: somebody always serves.

A relay sits between the two masters and holds the message that is the step:
it was sent and has not arrived.  Then one process is killed, and the message
goes on to whoever is left.
"""
# SPDX-License-Identifier: BSD-2-Clause
import array
import os
import re
import resource
import select
import signal
import socket
import struct
import threading
import time

import pytest

from lib import proc, wait
from lib.client import Client, compose, once, outcome
from test_orphans import Orphans, orphans  # noqa: F401
from test_upgrade import Load, config

pytestmark = pytest.mark.process

HELLO, PIECE, END, READY, COMMIT, TAKEN = range(1, 7)
STEPS = {"hello": HELLO, "manifest": END, "ready": READY,
         "commit": COMMIT, "taken": TAKEN}


class Relay:
    """At upgrade_sock, before the successor that waits there."""

    def __init__(self, path, step):
        self.step = step
        self.reached = threading.Event()
        self.go = threading.Event()
        self.real = path + ".real"
        os.rename(path, self.real)
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind(path)
        self.door.listen(1)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.go.set()
        self.door.close()

    def _run(self):
        old, _ = self.door.accept()
        new = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Its path is there a moment before it listens.
        wait.until(lambda: new.connect_ex(self.real) == 0)
        other = {old: new, new: old}
        while True:
            for source in select.select([old, new], [], [])[0]:
                if not self._pass(source, other[source]):
                    old.close()
                    new.close()
                    return

    def _pass(self, source, target):
        fds = array.array("i")
        try:
            data, extra, _, _ = source.recvmsg(65536, 253 * 4 + 64)
        except OSError:
            return False
        if not data:
            return False
        for level, kind, value in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(value[:len(value) - len(value) % 4])
        if struct.unpack_from("<H", data, 10)[0] == self.step:
            self.reached.set()
            self.go.wait(30)
        try:
            target.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     fds)] if fds else [])
        except OSError:
            return True  # it has died; what it said before still arrives
        finally:
            for fd in fds:
                os.close(fd)
        return True


def first(pids, what):
    found = [pid for pid in pids if what in proc.title(pid)]
    return found[0] if found else None


def victim_of(who, old, new):
    side, what = who.split()
    master = old if side == "old" else new
    if what == "master":
        return master
    return first(proc.children(master), what)


def serves(one):
    """For a while, whoever it is."""
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        assert once(one.address, target="/own").status == 200


@pytest.fixture
def relays():
    made = []
    yield made
    for relay in made:
        relay.close()


WHO = ["old master", "old worker", "old background", "new master",
       "new worker", "new background"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("who", WHO)
def test_killed(orphans, relays, step, who):  # noqa: F811
    one = orphans(config(upgrade_timeout="2s"))
    old = one.first
    successor = one.successor("-u", start_new_session=True)
    path = one.path("run/up.sock")
    wait.until(lambda: os.path.exists(path))
    relay = Relay(path, STEPS[step])
    relays.append(relay)
    one.send(signal.SIGQUIT)
    assert relay.reached.wait(15), one.weir.log
    victim = victim_of(who, old, successor.pid)
    if victim is None:
        # It has no processes yet.
        assert who in ("new worker", "new background")
        assert step in ("hello", "manifest")
        victim = successor.pid
    os.kill(victim, signal.SIGKILL)
    wait.until(lambda: not proc.alive(victim) or victim == old and
               one.weir.process.poll() is not None)
    relay.go.set()
    settle(one, old, successor, victim)
    serves(one)
    recover(one, old, successor)
    with Load(one.address) as load:
        load.more(20)


@pytest.mark.parametrize("who", WHO)
def test_killed_while_the_old_one_drains(orphans, who):  # noqa: F811
    """It has taken over, and a client of the old one is still there: it is
    served once more, unless it was its worker."""
    one = orphans(config(workers=1))
    old = one.first
    successor = one.successor("-u", start_new_session=True)
    with Client(one.address) as client:
        assert client.get("/own").status == 200
        wait.until(lambda: os.path.exists(one.path("run/up.sock")))
        one.send(signal.SIGQUIT)
        one.wait_taken()
        one.weir.wait_log("leaving: draining")
        victim = victim_of(who, old, successor.pid)
        os.kill(victim, signal.SIGKILL)
        if victim == successor.pid:
            successor.wait(10)
        wait.until(lambda: not alive(one.weir.process, victim))
        serves(one)
        client.send(compose(target="/own"))
        kind, answer = outcome(client)
        if who == "old worker":
            assert kind == "none"
        else:
            assert kind == "complete" and answer.status == 200
    if who != "old master":
        one.wait_gone(old)
    if who == "new master":
        one.plain_start()
    else:
        assert one.pid == successor.pid
    if who in ("new worker", "new background"):
        wait.until(lambda: len(proc.children(successor.pid)) == 2, 10)
    with Load(one.address) as load:
        load.more(20)


def alive(process, pid):
    if process.pid == pid:
        return process.poll() is None
    return proc.alive(pid)


def settle(one, old, successor, victim):
    """Until it is known who goes on."""
    def is_known():
        new_lives = successor.poll() is None
        old_lives = alive(one.weir.process, old)
        if victim not in (old, successor.pid):
            # Nothing that one process less could prevent for good.
            return "has taken over" in one.weir.log or \
                "upgrade failed" in one.weir.log
        if victim == old:
            return not old_lives and (not new_lives or
                                      one.pid == successor.pid)
        return not new_lives and ("upgrade failed" in one.weir.log or
                                  "has taken over" in one.weir.log)
    wait.until(is_known, 20, what="an outcome:\n" + one.weir.log)


def recover(one, old, successor):
    """Without a master a plain start takes over; at most one is left."""
    def masters():
        return [pid for pid in (old, successor.pid)
                if alive(one.weir.process if pid == old else successor, pid)]
    wait.until(lambda: len(masters()) < 2 or
               "leaving: draining" in one.weir.log or
               "upgrade failed" in one.weir.log, 15)
    wait.until(lambda: len(masters()) < 2, 20,
               what="one of the two ends:\n" + one.weir.log)
    if not masters():
        one.plain_start()
    else:
        assert one.pid == masters()[0]


def test_descriptors_run_out(orphans):  # noqa: F811
    """A successor has too few, at one step after the other: each time the
    old instance says so once and serves on; with enough it takes over."""
    one = orphans(config(upgrade_timeout="1s", quit_alone="serve"))
    needs = len(proc.fds(one.first))  # and then some of its own
    for more in range(-3, 100, 3):
        limit = (needs + more,) * 2
        seen = len(one.weir.log)
        successor = one.successor("-u", preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, limit))  # noqa: B023
        wait.until(lambda: os.path.exists(one.path("run/up.sock")))
        one.send(signal.SIGQUIT)
        wait.until(lambda: re.search("upgrade failed: |has taken over",
                                     one.weir.log[seen:]), 15)
        if "has taken over" in one.weir.log[seen:]:
            break
        assert successor.wait(15) == 1
        assert one.pid == one.first
        log = one.weir.log[seen:]
        assert "Too many open files" in log
        assert len(re.findall(r"%d\] error: upgrade failed: .*; this instance "
                              "serves on" % one.first, log)) == 1, log
        serves(one)
    assert more >= 3
    one.wait_taken()
    one.wait_gone(one.first)


@pytest.mark.parametrize("step", ["ready", "taken"])
def test_successor_hangs(orphans, relays, step):  # noqa: F811
    """It is ready, or serves nearly, and says no more: the old one serves."""
    one = orphans(config(upgrade_timeout="2s"))
    successor = one.successor("-u", start_new_session=True)
    path = one.path("run/up.sock")
    wait.until(lambda: os.path.exists(path))
    relay = Relay(path, STEPS[step])
    relays.append(relay)
    with Load(one.address) as load:
        one.send(signal.SIGQUIT)
        assert relay.reached.wait(15)
        os.kill(successor.pid, signal.SIGSTOP)
        if step == "ready":
            relay.go.set()
        one.weir.wait_log("upgrade failed: .*(did not say that it has taken "
                          "over|not ready within)", 15)
        load.more()
        relay.go.set()
        os.kill(successor.pid, signal.SIGCONT)
        if step == "ready":
            assert successor.wait(15) == 1
            assert one.pid == one.first
        load.more()
    if step == "taken":
        os.kill(successor.pid, signal.SIGINT)
        successor.wait(15)
