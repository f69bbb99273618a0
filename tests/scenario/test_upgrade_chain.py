"""Upgrades of successors: process 1 follows them, what drains is counted,
reloads and upgrades do not get lost in each other's way."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import shutil
import signal
import subprocess

import pytest

from lib import proc, wait
from lib.client import Client
from test_control import Control, ask_status
from test_upgrade import Load, config, instance  # noqa: F401

pytestmark = pytest.mark.process

NAMESPACE = ["--pid", "--fork", "--mount-proc", "--kill-child"]


# -- process 1 -------------------------------------------------------------

class First:
    """weir as the first process of a namespace, seen from outside."""

    def __init__(self, start, **top):
        unshare = shutil.which("unshare")
        if not unshare or subprocess.run(
                [unshare, *NAMESPACE, "true"],
                stderr=subprocess.DEVNULL).returncode:
            pytest.skip("no process namespace can be made")
        self.weir = start(config(**top), start=False)
        os.mkdir(self.weir.path("run"), 0o755)
        self.weir.prefix = [unshare, *NAMESPACE]
        self.weir.start(ready=False)
        self.weir.wait_ready()
        self.pid = wait.until(lambda: proc.children(self.weir.pid))[0]

    def inner(self):
        """The number inside of the one who serves."""
        try:
            return int(self.weir.read("run/weir.pid"))
        except (OSError, ValueError):
            return None

    def outer(self, inner):
        """Its number outside; None if it has ended."""
        space = os.readlink("/proc/%d/ns/pid" % self.pid)
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink("/proc/%s/ns/pid" % name) == space and \
                        proc.status(int(name), "NSpid")[-1] == str(inner) \
                        and proc.alive(int(name)):
                    return int(name)
            except OSError:
                pass
        return None

    def upgrade(self):
        before = self.inner()
        os.kill(self.pid, signal.SIGUSR2)
        now = wait.until(lambda: self.inner() not in (before, None) and
                         self.inner(), 15, what=self.weir.log)
        if before != 1:
            self.weir.wait_log("process %d has taken over there" % now)
            wait.until(lambda: self.outer(before) is None, 15,
                       what="the predecessor ends")
        else:
            self.weir.wait_log("as process 1 this one stays", 15)
        return now


@pytest.fixture
def first(start):
    return First(start)


def test_process_1_follows(first):
    """After two further upgrades signals still reach the one who serves."""
    seen = [first.upgrade() for _ in range(3)]
    assert len(set(seen)) == 3
    assert first.weir.get("/own").body == b"own\n"
    os.kill(first.pid, signal.SIGHUP)
    first.weir.wait_log(r"master\[?%d\]?.* reloaded" % seen[-1]
                        if "master[" in first.weir.log else
                        r"%d\] notice: .*reloaded" % seen[-1])
    os.kill(first.pid, signal.SIGTERM)
    assert first.weir.wait_exit() == 0
    assert first.inner() is None


def test_process_1_does_not_drain_for_ever(start):
    """It stays, but is no generation that drains."""
    first = First(start, max_draining_generations=1)
    for number in (1, 2):
        first.upgrade()
        os.kill(first.pid, signal.SIGHUP)
        wait.until(lambda: first.weir.log.count("reloaded: generation 2")
                   == number, 15)
    os.kill(first.pid, signal.SIGTERM)
    assert first.weir.wait_exit() == 0


@pytest.mark.parametrize("upgrades", [1, 2])
def test_process_1_ends_with_its_successor(first, upgrades):
    """Whoever serves last is killed: the container ends, and says so."""
    for _ in range(upgrades):
        last = first.upgrade()
    os.kill(first.outer(last), signal.SIGKILL)
    assert first.weir.wait_exit() == 128 + signal.SIGKILL


def test_process_1_is_told_to_stop_while_it_drains(first):
    """What comes then is meant for the successor."""
    with Client(first.weir.address) as client:
        assert client.get("/own").status == 200
        os.kill(first.pid, signal.SIGUSR2)
        first.weir.wait_log("has taken over")
        successor = first.inner()
        os.kill(first.pid, signal.SIGTERM)
        wait.until(lambda: first.outer(successor) is None, 15)
        # The client of the old one has until the deadline.
        assert client.get("/own").status == 200
    assert first.weir.wait_exit() == 0


# -- what drains is counted ------------------------------------------------

def test_reload_waits_for_a_predecessor(instance):
    """One that drains is one of max_draining_generations."""
    one = instance(config(max_draining_generations=1))
    with Client(one.weir.address) as client:
        assert client.get("/own").status == 200
        one.send(signal.SIGUSR2)
        pid = one.wait_taken()
        one.send(signal.SIGHUP)
        one.weir.wait_log("waiting until one of 1 generations that drain")
        assert "reloaded" not in one.weir.log
        assert client.get("/own").status == 200
    one.wait_gone(one.first)
    one.weir.wait_log("reloaded: generation 2", 15)
    assert one.pid == pid


def test_upgrade_waits_for_a_predecessor(instance):
    """A further upgrade as well, and it is not lost."""
    one = instance(config(max_draining_generations=1))
    with Client(one.weir.address) as client:
        assert client.get("/own").status == 200
        one.send(signal.SIGUSR2)
        second = one.wait_taken()
        one.send(signal.SIGUSR2)
        one.weir.wait_log("upgrading once one of 1 generations that drain")
        one.send(signal.SIGUSR2)
        one.weir.wait_log("an upgrade is running already")
        assert one.pid == second
        assert client.get("/own").status == 200
    one.wait_taken(second)
    assert one.weir.get("/own").status == 200


def test_all_that_drain_are_counted(instance):
    """Those of the predecessor and before: a third cannot pile up."""
    one = instance(config(max_draining_generations=2))
    with Client(one.weir.address) as first, \
            Client(one.weir.address) as second:
        assert first.get("/own").status == 200
        one.send(signal.SIGUSR2)
        pid = one.wait_taken()
        wait.until(lambda: "%d] notice: weir" % pid in one.weir.log)
        wait.until(lambda: second.get("/own").status == 200)
        one.weir.wait_log("leaving: draining")
        kept = Client(one.weir.address)
        assert kept.get("/own").status == 200
        one.send(signal.SIGUSR2)
        third = one.wait_taken(pid)
        one.send(signal.SIGUSR2)
        one.weir.wait_log("upgrading once one of 2 generations that drain")
        assert one.pid == third
        kept.close()
    one.wait_taken(third)


def test_the_first_of_three_drains_longest(instance):
    """The second ends after it: until then its slots are not free."""
    one = instance(config(max_draining_generations=8))
    with Client(one.weir.address) as client:
        assert client.get("/own").status == 200
        one.send(signal.SIGUSR2)
        second = one.wait_taken()
        one.weir.wait_log("process %d has taken over" % second)
        one.send(signal.SIGUSR2)
        third = one.wait_taken(second)
        one.weir.wait_log("process %d has taken over" % third)
        wait.until(lambda: not any("worker" in proc.title(pid)
                                   for pid in proc.children(second)), 15)
        # New workers look for slots.
        one.send(signal.SIGHUP)
        one.weir.wait_log(r"%d\] notice: reloaded: generation 2" % third)
        assert proc.alive(second)
        assert "predecessor has ended" not in one.weir.log
        assert client.get("/own").status == 200
    one.wait_gone(one.first)
    one.wait_gone(second)
    wait.until(lambda: one.weir.log.count("the predecessor has ended") == 2)
    assert one.weir.get("/own").status == 200


# -- a reload and an upgrade at once ---------------------------------------

def test_upgrade_while_a_generation_drains(instance):
    """What a reload left to drain goes on draining in the predecessor."""
    one = instance()
    with Client(one.weir.address) as client:
        assert client.get("/own").status == 200
        one.send(signal.SIGHUP)
        one.weir.wait_log("reloaded: generation 2")
        with Load(one.address) as load:
            one.send(signal.SIGUSR2)
            one.wait_taken()
            load.more()
        answer = client.get("/own")
        assert answer.status == 200
        assert "close" in answer.fields.tokens("connection")
    one.wait_gone(one.first)


def begin_upgrade(one):
    """QUIT, and nobody is there yet; then a reload is asked for."""
    control = Control(one.weir)
    one.send(signal.SIGQUIT)
    wait.until(lambda: ask_status(control).get("upgrade") == "running")
    one.send(signal.SIGHUP)
    one.weir.wait_log("reload: waiting until the upgrade is over")


def test_reload_while_an_upgrade_runs(instance):
    """The one who serves afterwards reloads."""
    one = instance()
    begin_upgrade(one)
    successor = one.successor("-u")
    one.wait_taken()
    one.weir.wait_log(r"%d\] notice: reloaded: generation 2" % successor.pid)
    assert "notice: reload: an upgrade was first; the successor reloads" \
        in one.weir.log
    assert " error: " not in one.weir.log
    one.wait_gone(one.first)
    one.send(signal.SIGINT)
    assert successor.wait(10) == 0


def test_upgrade_while_a_reload_runs(instance):
    """It follows when the reload is over."""
    one = instance()
    os.kill(one.first, signal.SIGSTOP)
    one.send(signal.SIGUSR2)
    one.send(signal.SIGHUP)  # the lower number is heard first
    os.kill(one.first, signal.SIGCONT)
    one.wait_taken()
    one.weir.wait_log("reloaded: generation 2")
    assert "SIGUSR2: upgrading once the reload is over" in one.weir.log
    one.wait_gone(one.first)


def test_reload_while_an_upgrade_fails(instance):
    """It was only put off."""
    one = instance(config(quit_alone="serve"))
    begin_upgrade(one)
    one.weir.wait_log("reloaded: generation 2", 15)
    assert one.pid == one.first
