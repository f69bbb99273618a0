"""The master is killed: workers serve on, and a plain start takes over."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import signal
import time

import pytest

from conftest import need
from lib import conf, proc, tls, wait, weir as runner
from lib.client import Client, once
from test_upgrade import Instance, Load, config, requests_total

pytestmark = pytest.mark.process


class Orphans(Instance):
    """One whose master may be killed."""

    def kill_master(self):
        left = proc.children(self.pid)
        # The signer sees it by nobody's being left who would ask it.
        told = [pid for pid in left if "signer" not in proc.title(pid)]
        os.kill(self.pid, signal.SIGKILL)
        if self.weir.process.poll() is None:
            self.weir.process.wait(10)
        wait.until(lambda: self.weir.log.count("the master has gone")
                   >= len(told), 15)
        return left

    def plain_start(self):
        """Without -u, as a service manager does it."""
        before = self.pid
        successor = self.successor(start_new_session=True)
        try:
            wait.until(lambda: self.pid == successor.pid, 15,
                       what="a new master:\n" + self.weir.log)
            wait.until(lambda: "%d] notice: weir" % successor.pid
                       in self.weir.log, 15)
        except BaseException:
            successor.kill()
            raise
        assert before != successor.pid
        return successor

    def finish(self):
        pass


@pytest.fixture
def orphans(start):
    made = []

    def make(*args, **kw):
        one = Orphans(start, *args, **kw)
        made.append((one, []))
        return one
    yield make
    for one, _ in made:
        pid = one.pid
        if pid and proc.alive(pid):
            os.kill(pid, signal.SIGINT)
            wait.until(lambda: not proc.alive(pid), 15)
        wait.until(lambda: not one.weir.processes(), 15,
                   what="orphans end:\n" + one.weir.log)
        one.weir.status = one.weir.process.returncode


@pytest.mark.short
def test_plain_start_takes_over(orphans):
    """Nobody is refused, counters go on, the orphans drain and end."""
    one = orphans()
    with Load(one.address) as load:
        counted = requests_total(one)
        left = one.kill_master()
        load.more(100)
        successor = one.plain_start()
        load.more(100)
        wait.until(lambda: not any(proc.alive(pid) for pid in left), 20,
                   what="the orphans end:\n" + one.weir.log)
        load.more(100)
        assert requests_total(one) > counted
    assert one.weir.log.count("another master has taken over") == 2
    successor.terminate()
    assert successor.wait(20) == 0


def test_orphans_finish_what_they_have(orphans):
    """A client of an orphan is answered once more."""
    one = orphans()
    with Client(one.weir.address) as client:
        assert client.get("/own").status == 200
        one.kill_master()
        assert client.get("/own").status == 200
        one.plain_start()
        wait.until(lambda: one.weir.log.count(
            "another master has taken over") == 2)
        answer = client.get("/own")
        assert answer.status == 200
        assert "close" in answer.fields.tokens("connection")


def test_master_killed_again(orphans):
    """Who has taken over can be lost and followed as well."""
    one = orphans()
    one.kill_master()
    second = one.plain_start()
    # Until then one of the first may still answer who comes next.
    wait.until(lambda: one.weir.log.count(
        "another master has taken over") == 2, 15)
    with Load(one.address) as load:
        second.kill()
        second.wait(10)
        load.more(100)
        one.weir.wait_log("the master has gone")
        one.plain_start()
        load.more(100)


def test_worker_ends(orphans):
    """One that is told to go leaves the sockets as they are."""
    one = orphans()
    left = one.kill_master()
    worker = [pid for pid in left if "worker" in proc.title(pid)][0]
    with Load(one.address) as load:
        os.kill(worker, signal.SIGTERM)
        wait.until(lambda: not proc.alive(worker), 15,
                   what="a worker ends:\n" + one.weir.log)
        load.more(100)
        one.plain_start()
        load.more(100)


def test_fewer_workers(orphans):
    """What was surplus after a reload is closed; the rest goes over."""
    one = orphans(config(workers=3))

    def listening():
        worker, = one.weir.workers()
        return len(proc.inodes(worker))
    one.weir.write("weir.conf", one.weir.text.replace(
        "workers = 3", "workers = 1"))
    one.send(signal.SIGHUP)
    wait.until(lambda: len(one.weir.workers()) == 1, 15,
               what="one worker:\n" + one.weir.log)
    before = listening()
    wait.until(lambda: listening() == before - 2, 20,
               what="surplus goes:\n" + one.weir.log)
    one.kill_master()
    with Load(one.address) as load:
        one.plain_start()
        load.more(100)


def test_new_configuration_is_refused(orphans):
    """A start that fails leaves the orphans as they are."""
    one = orphans()
    one.kill_master()
    one.weir.write("weir.conf", one.weir.text + "\nwrokers = 3;\n")
    assert one.successor().wait(15) == 2
    assert one.weir.get("/own").status == 200
    one.weir.write("weir.conf", one.weir.text)
    one.plain_start()
    assert one.weir.get("/own").status == 200


def test_worker_killed_too(orphans):
    """The worker that is left answers."""
    one = orphans()
    left = one.kill_master()
    worker = [pid for pid in left if "worker" in proc.title(pid)][0]
    os.kill(worker, signal.SIGKILL)
    wait.until(lambda: not proc.alive(worker))
    with Load(one.address) as load:
        one.plain_start()
        load.more(100)


def test_all_killed(orphans):
    """Nobody is left: a plain start is a start."""
    one = orphans()
    for pid in one.kill_master():
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: not one.weir.processes())
    one.plain_start()
    assert one.weir.get("/own").status == 200


@pytest.mark.parametrize("isolated", [False, True])
def test_last_worker_killed(orphans, request, isolated):
    """Nobody is left whom the others could wait for: they end by themselves,
    the signer too."""
    text = config(key_isolation=isolated)
    if isolated:
        need("openssl")
        certs = tls.Certs()
        request.addfinalizer(certs.remove)
        cert, key = certs.own("own", "localhost")
        text["services"][0]["listen"].append({
            "address": conf.address(), "tls": {"cert": cert, "key": key}})
    one = orphans(text)
    left = one.kill_master()
    assert any("signer" in proc.title(pid) for pid in left) == isolated
    for pid in left:
        if "worker" in proc.title(pid):
            os.kill(pid, signal.SIGKILL)
    wait.until(lambda: not any(proc.alive(pid) for pid in left), 15,
               what="the others end")
    one.weir.wait_log("no other process is left: ending")
    one.plain_start()
    assert one.weir.get("/own").status == 200


def test_nothing_is_left_for_ever(orphans):
    """Without a new master the orphans end after orphan_timeout."""
    one = orphans(config(orphan_timeout="300ms"))
    begin = time.monotonic()
    left = one.kill_master()
    wait.until(lambda: not any(proc.alive(pid) for pid in left), 20)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("delay", [0, 0.03, 0.06, 0.12])
def test_two_plain_starts(orphans, delay):
    """One takes over; the other is told so, and does no harm."""
    one = orphans()
    before = one.pid
    one.kill_master()
    with Load(one.address) as load:
        first = one.successor(start_new_session=True)
        time.sleep(delay)  # not a wait: who comes when is what is tested
        second = one.successor(start_new_session=True)
        both = [first, second]
        wait.until(lambda: any(p.poll() is not None for p in both), 20,
                   what="one ends:\n" + one.weir.log)
        loser = first if first.poll() is not None else second
        winner = second if loser is first else first
        assert loser.wait() == 1
        wait.until(lambda: one.pid == winner.pid != before, 15)
        load.more(100)
        wait.until(lambda: one.weir.log.count(
            "another master has taken over") == 2, 15)
        load.more(50)
    assert re.search("another instance is running|another instance is "
                     "taking over", one.weir.log)
    assert winner.poll() is None


# -- log lines -------------------------------------------------------------

def logged(one, count):
    """So many requests, each on a connection of its own, with its number."""
    for i in range(count):
        assert once(one.address, target="/own?n%d" % i).status == 200


def lines(one):
    try:
        return one.weir.read("access.log").count("/own?n")
    except OSError:
        return 0


def with_accesslog():
    text = config(workers=2)
    text["http"] = {"accesslog": [{"path": "@DIR@/access.log"}]}
    return text


def test_logs_without_background(orphans):
    """Master and background process are dead: a worker writes the lines."""
    one = orphans(with_accesslog())
    background = one.weir.background()
    left = one.kill_master()
    os.kill(background, signal.SIGKILL)
    wait.until(lambda: not proc.alive(background))
    logged(one, 30)
    wait.until(lambda: lines(one) == 30, 15)
    # Whoever does it may go as well.
    worker = [pid for pid in left if "worker" in proc.title(pid)
              and proc.alive(pid)][0]
    os.kill(worker, signal.SIGKILL)
    wait.until(lambda: not proc.alive(worker))
    logged(one, 20)
    wait.until(lambda: lines(one) == 50, 15)
    one.plain_start()
    logged(one, 5)
    wait.until(lambda: lines(one) == 55, 15)


def test_logs_of_a_predecessor(orphans):
    """It drains after an upgrade; then its master and background die."""
    one = orphans(with_accesslog())
    first = one.pid
    with Client(one.weir.address) as client:
        assert client.get("/own?n0").status == 200
        background = one.weir.background()
        one.send(signal.SIGUSR2)
        one.wait_taken()
        one.weir.wait_log("leaving|drains")
        os.kill(background, signal.SIGSTOP)  # it writes nothing any more
        os.kill(first, signal.SIGKILL)
        os.kill(background, signal.SIGKILL)
        one.weir.process.wait(10)
        wait.until(lambda: not proc.alive(background))
        assert client.get("/own?n1").status == 200
    wait.until(lambda: lines(one) == 2, 15)


def test_relative_paths(orphans):
    """Those of sockets and the pid file begin in the working_directory, also
    for who asks there first."""
    one = orphans(config(working_directory="run", pid_file="weir.pid",
                         upgrade_sock="up.sock"))
    conf_path = one.weir.conf
    status, _, err = runner.run("-c", conf_path, "-s", "reload",
                                cwd=one.weir.dir)
    assert (status, err) == (0, "")
    one.weir.wait_log("reloaded: generation 2 ")
    waiting = one.successor("-u")
    one.weir.wait_log("upgrade: waiting at up.sock")
    one.send(signal.SIGQUIT)
    one.wait_taken()
    assert one.weir.wait_exit() == 0
    wait.until(lambda: waiting.pid == one.pid, 15)
    os.kill(waiting.pid, signal.SIGKILL)
    waiting.wait(10)
    successor = one.plain_start()
    assert "taking over from" in one.weir.log
    assert once(one.address, target="/own").status == 200
    one.send(signal.SIGINT)
    assert successor.wait(15) == 0
