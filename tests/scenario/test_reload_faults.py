"""A failure at each step of a reload: the old generation serves on, and what
was wrong is said once.

The module `test` halts the process that checks, or one that was just forked,
so that a step lasts until the test lets it go.
"""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import resource
import signal
import threading

import pytest

from conftest import need
from lib import conf, proc, wait
from lib.client import Client, compose, once, outcome
from lib.weir import run
from test_control import Control
from test_reload import OWN, a_site, certs, open_files  # noqa: F401

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def module_test():
    if "test" not in run("-V")[1].split():
        pytest.skip("built without the module test")


HALT = {"check": {"load": "stop"},
        "start": {"fork_stops": 3}}  # the second worker, as the last one
# As long as a test halts it, and not longer than one may take.
PATIENT = {"workers": 2, "daemon_ready_timeout": "60s"}


def begin(s, step, **options):
    """A reload that has come so far; the new processes, the halted last."""
    before = set(s.weir.children())
    s.hup(s.config(own={**OWN, "test": HALT[step]}, **options))
    halted = wait.until(lambda: [
        pid for pid in set(s.weir.children()) - before
        if proc.state(pid) == "T"], 15, what="one is halted")[0]
    if step == "start":
        # The others may still be on their way.
        wait.until(lambda: len(set(s.weir.children()) - before) == 3)
    return [pid for pid in s.weir.children()
            if pid not in before and pid != halted] + [halted]


def go_on(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: not proc.alive(pid))


def titled(pids, what):
    """One that has its title; a halted one has not."""
    return wait.until(lambda: [pid for pid in pids
                               if what in proc.title(pid)])[0]


def serves(s):
    for _ in range(10):
        assert s.weir.get("/own").status == 200


def errors(log):
    return re.findall(r"(?m)^\S+ master\S* error: (.*)$", log)


VICTIMS = [("check", who) for who in ("old worker", "old background",
                                      "new check")] + \
          [("start", who) for who in ("old worker", "old background",
                                      "new worker", "new background",
                                      "halted worker")]


@pytest.mark.parametrize("step, who", VICTIMS,
                         ids=["-".join(row).replace(" ", "-")
                              for row in VICTIMS])
def test_killed(a_site, step, who):  # noqa: F811
    """Of the old ones another takes the place, and the reload goes on; of
    the new ones, it is refused."""
    s = a_site(**PATIENT)
    side, what = who.split()
    old = s.weir.children()
    fds = len(open_files(s.weir.pid))
    new = begin(s, step)
    serves(s)
    seen = len(s.weir.log)
    if side == "old":
        kill(titled(old, what))
        wait.until(lambda: len([pid for pid in s.weir.children()
                                if pid not in new]) == 3, 10)
    elif side == "halted" or what == "check":
        kill(new[-1])
    else:
        kill(titled(new, what))
    serves(s)
    go_on(new[-1])
    wait.until(lambda: s.count("reloaded: |is not used: ") == 1, 15,
               what=s.weir.log)
    serves(s)
    if side == "old":
        assert s.count("reloaded: generation 2 ") == 1
        s.settle()
        assert not set(old) & set(s.weir.children())
        return
    wait.until(lambda: set(s.weir.children()) == set(old), 15,
               what="nothing is left of the new one")
    want = ("loading it was ended by SIGKILL" if what == "check" else
            r"%s.* was killed by signal 9 \(SIGKILL\) before it served" %
            what)
    said, = errors(s.weir.log[seen:])
    assert re.search("the new configuration is not used: " + want +
                     "; the old one serves on$", said), said
    wait.until(lambda: len(open_files(s.weir.pid)) <= fds)
    s.weir.expect_new_children()


@pytest.mark.parametrize("who", ["old worker", "old background",
                                 "new worker", "new background"])
def test_killed_while_the_old_one_drains(a_site, origin, who):  # noqa: F811
    """Of the old ones nobody follows; of the new ones, as ever."""
    s = a_site(workers=2)
    side, what = who.split()
    release = threading.Event()
    script = origin.script(lambda exchange: (
        release.wait(30), exchange.reply(200, b"late"), True)[-1])
    with Client(s.weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        old = s.weir.children()
        holder = s.weir.worker_of(client)
        s.reload()
        wait.until(lambda: len(s.weir.children()) == 5)  # one has drained
        new = [pid for pid in s.weir.children() if pid not in old]
        victim = (holder if who == "old worker" else
                  titled(old if side == "old" else new, what))
        kill(victim)
        if side == "new":
            wait.until(lambda: len(s.weir.children()) == 5 and
                       victim not in s.weir.children())
        serves(s)
        release.set()
        kind, answer = outcome(client)
        if who == "old worker":
            assert kind == "none"
        else:
            assert kind == "complete" and answer.body == b"late"
    s.settle()
    assert not set(old) & set(s.weir.children())
    s.weir.wait_log("%s.* was killed by signal 9" % what)
    s.reload()
    s.settle()


@pytest.mark.parametrize("step", ["check", "start"])
def test_stop_during_a_reload(a_site, step):  # noqa: F811
    """TERM ends it: no error, and nothing of the new one is left."""
    s = a_site(**PATIENT)
    new = begin(s, step)
    with Client(s.weir.address) as client:
        assert client.get("/own").status == 200
        s.weir.send_signal(signal.SIGTERM)
        s.weir.wait_log("notice: reload: weir is stopping")
        answer = client.get("/own")
        assert "close" in answer.fields.tokens("connection")
    assert s.weir.wait_exit() == 0
    assert not s.weir.processes() and not any(map(proc.alive, new))
    assert not errors(s.weir.log) and not s.count("reloaded: ")


def test_process_that_cannot_start(a_site):  # noqa: F811
    """Which one was not ready in time, or why it died: in one line, and the
    same from weirctl, with status 1."""
    s = a_site(daemon_ready_timeout="400ms")
    children = set(s.weir.children())
    control = Control(s.weir)
    for test, want in (
            ({"fork_stops": 2}, "worker 0 was not ready within 400 ms"),
            ({"fork_dies": 3},
             r"worker 1 \(pid \d+\) ended with status 7 before it served")):
        seen = len(s.weir.log)
        s.write(s.config(own={**OWN, "test": test}))
        status, out, err = control.run("reload")
        line = "reload: the new configuration is not used: %s; " \
            "the old one serves on" % want
        assert (status, out) == (1, "")
        assert err.startswith("weirctl: reload: refused: "), err
        assert len(re.findall(line, err)) == 1, err
        said, = errors(s.weir.log[seen:])
        assert re.fullmatch(line, said), said
        wait.until(lambda: set(s.weir.children()) == children, 15)
        # And those that were halted are gone without a further word.
        assert len(errors(s.weir.log[seen:])) == 1
    s.reload(s.config())
    s.settle()


def test_signer_that_dies_at_start(a_site, certs):  # noqa: F811
    need("openssl")
    pair = certs.own("pair", "localhost")
    listen = {"address": conf.address(),
              "tls": {"cert": pair[0], "key": pair[1]}}
    s = a_site(key_isolation=True)
    s.listen.append(listen)
    s.reload(s.config())
    s.settle(4)
    seen = len(s.weir.log)
    s.refused(s.config(own={**OWN, "test": {"fork_dies": 4}}))
    said, = errors(s.weir.log[seen:])
    assert re.search(r"not used: signer \(pid \d+\) ended with status 7 "
                     "before it served", said), said
    s.reload(s.config())
    s.settle(4)


def test_descriptors_run_out(a_site, certs):  # noqa: F811
    """At one step after the other, from the last to the first: it is refused
    with one reason, and all is as before."""
    need("openssl")
    pair = certs.own("pair", "localhost")
    s = a_site(workers=2)
    config = s.config(
        listen=s.listen + [{"address": conf.address()},
                           {"address": conf.address(), "tls": {
                               "cert": pair[0], "key": pair[1]}}],
        own={**OWN, "accesslog": [{"path": "@DIR@/own/access.log"}]})
    master, children = s.weir.pid, set(s.weir.children())
    before = sorted(open_files(master))
    reasons = set()

    def attempt(limit):
        """What was said."""
        seen = len(s.weir.log)
        # A limit that was lowered cannot be raised again by everybody.
        resource.prlimit(master, resource.RLIMIT_NOFILE, (limit, limit))
        s.hup(config)
        wait.until(lambda: s.count("reloaded: ") or re.search(
            "is not used: ", s.weir.log[seen:]), 15, what="an outcome")
        wait.until(lambda: set(s.weir.children()) == children, 15,
                   what="nothing is left of the new one")
        said, = errors(s.weir.log[seen:])
        return said

    # It needs four for sockets, three for channels, a log, a zone, and one more
    # while it makes a channel.
    for more in range(8, -1, -1):
        reasons.add(attempt(len(before) + more))
        serves(s)
        wait.until(lambda: sorted(open_files(master)) == before, 15,
                   what="all is closed")
    for what in ("making a pipe", "making a socket for",
                 "background: starting it", "worker 0: starting it"):
        assert any("not used: " in line and what in line and
                   "Too many open files" in line for line in reasons), reasons
