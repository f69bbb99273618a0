"""Master, workers, background: signals, deaths, limits."""
# SPDX-License-Identifier: BSD-2-Clause
import grp
import os
import pwd
import re
import resource
import selectors
import shutil
import signal
import socket
import threading
import time

import pytest

from conftest import need
from lib import conf, proc, tls, wait
from lib import weir as runner
from lib.client import Client, compose, once, outcome
from lib.origin import big
from lib.weir import sanitized

pytestmark = pytest.mark.process

OWN = {"path": "/own", "respond": {"body": "own\n"}}


@pytest.fixture(scope="module", autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def proxied(origin, workers=1, **top):
    return conf.config(conf.service(OWN, {"path": "/", "upstream": "up"}),
                       [conf.upstream("up", origin)], workers=workers, **top)


def held(origin):
    """A script that answers when the test lets it."""
    release = threading.Event()

    def answer(exchange):
        release.wait(20)
        exchange.reply(200, b"late")
        return True
    return origin.script(answer), release


def background_of(weir):
    """The child that is no worker."""
    named = weir.background()
    if named:
        return named
    with Client(weir.address) as client:
        client.get("/own")
        worker = weir.worker_of(client)
    return next(pid for pid in weir.children() if pid != worker)


def replaced(weir, victim, count):
    wait.until(lambda: victim not in weir.children()
               and len(weir.children()) == count, 8, what="a successor")
    weir.expect_new_children()


class Load:
    """Requests from several clients, until stopped; every answer is
    judged: complete and right, or visibly broken."""

    def __init__(self, address, target="/own", want=b"own\n", clients=4):
        self.address, self.target, self.want = address, target, want
        self.good = self.broken = 0
        self.wrong = []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True)
                        for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait.until(lambda: self.good > 0, what="the first answer")
        return self

    def __exit__(self, *unused):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        assert not self.wrong, self.wrong[:3]

    def _count(self, good):
        with self.lock:
            if good:
                self.good += 1
            else:
                self.broken += 1

    def _run(self):
        client = None
        while not self.over.is_set():
            try:
                if client is None:
                    client = Client(self.address, timeout=10)
                client.send(compose(target=self.target))
                kind, response = outcome(client)
            except OSError:
                kind, response = "none", None
            except AssertionError as wrong:
                self.wrong.append(repr(wrong))
                kind, response = "none", None
            good = kind == "complete" and response.status == 200
            if good and response.body != self.want:
                self.wrong.append(repr(response.body[:100]))
            self._count(good)
            if not good or "close" in response.fields.tokens("connection"):
                if client:
                    client.close()
                client = None
        if client:
            client.close()


# -- who runs --------------------------------------------------------------

@pytest.mark.short
@pytest.mark.parametrize("workers", [1, 3])
def test_processes(start, origin, workers):
    """One master, so many workers, one background process."""
    weir = start(proxied(origin, workers))
    assert len(weir.children()) == workers + 1
    assert len(weir.processes()) == workers + 2
    assert [proc.status(pid, "Threads") for pid in [weir.pid]] == [["1"]]


@pytest.mark.short
def test_workers_auto(start, origin):
    """As many as CPUs may be used by affinity."""
    weir = start(proxied(origin, "auto"), prefix=["taskset", "-c", "0"])
    assert len(weir.children()) == 2
    weir = start(proxied(origin, "auto"))
    wait.until(lambda: len(weir.children())
               == len(os.sched_getaffinity(0)) + 1)
    weir.expect_new_children()


@pytest.mark.short
@pytest.mark.root
def test_accounts(start, origin):
    """Workers and background have dropped root; the master has not."""
    weir = start(proxied(origin, 2))
    assert proc.status(weir.pid, "Uid")[0] == "0"
    # One serves already; another may just have been forked.
    wait.until(lambda: not any("0" in proc.status(pid, "Uid")
                               for pid in weir.children()))
    for pid in weir.children():
        assert "0" not in proc.status(pid, "Uid")
        assert "0" not in proc.status(pid, "Gid")
        assert "0" not in proc.status(pid, "Groups")
        assert proc.status(pid, "CapEff") == ["0" * 16]


@pytest.mark.short
@pytest.mark.root
def test_named_account(start, origin):
    user, group = pwd.getpwnam("daemon"), grp.getgrnam("nogroup")
    weir = start(proxied(origin, user="daemon", group="nogroup"))
    for pid in weir.children():
        assert set(proc.status(pid, "Uid")) == {str(user.pw_uid)}
        assert set(proc.status(pid, "Gid")) == {str(group.gr_gid)}
    assert weir.get("/hello").status == 200


@pytest.mark.short
@pytest.mark.root
def test_without_root(start, origin):
    """A plain user runs it as himself; user and group are ignored."""
    weir = start(proxied(origin, 2), prefix=[
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert proc.status(weir.pid, "Uid")[0] == "65534"
    assert weir.get("/hello").status == 200


@pytest.mark.short
def test_idle_costs_nothing(start, origin):
    """No process spins, with open connections too."""
    weir = start(proxied(origin, 2))
    clients = [Client(weir.address) for _ in range(20)]
    for client in clients:
        client.get("/hello")
    before = {pid: proc.cpu_seconds(pid) for pid in weir.processes()}
    assert clients[0].silent(1.0)
    for pid, seconds in before.items():
        assert proc.cpu_seconds(pid) - seconds <= 0.05, proc.title(pid)
    for client in clients:
        client.close()


@pytest.mark.parametrize("workers", [2, 8])
@pytest.mark.parametrize("reuseport", [True, False])
def test_balance(start, origin, workers, reuseport):
    """Under 1,000 kept connections no worker holds twice the mean."""
    weir = start(conf.config(
        conf.service(OWN, listen=[{"address": conf.address(),
                                   "reuseport": reuseport}]),
        workers=workers))
    idle = {pid: len(proc.inodes(pid)) for pid in weir.workers()}
    clients = [Client(weir.address) for _ in range(1000)]
    try:
        for client in clients:
            client.send(compose(target="/own"))
        for client in clients:
            assert client.response().body == b"own\n"
        holds = {pid: len(proc.inodes(pid)) - idle[pid]
                 for pid in weir.workers()}
        assert sum(holds.values()) >= 1000
        if reuseport:
            assert max(holds.values()) <= 2 * 1000 / workers, holds
    finally:
        for client in clients:
            client.close()


# -- deaths ----------------------------------------------------------------

@pytest.mark.short
def test_killed_worker(start, origin):
    """It costs its own exchanges, is replaced at once, and is named."""
    weir = start(proxied(origin, 2))
    script, release = held(origin)
    clients = [Client(weir.address) for _ in range(16)]
    for client in clients:
        client.get("/own")
    owner = {client: weir.worker_of(client) for client in clients}
    victim = owner[clients[0]]
    for client in clients:
        client.send(compose(target=script.path))
    script.wait(len(clients))
    os.kill(victim, signal.SIGKILL)
    for client in clients:
        if owner[client] == victim:
            assert client.closed(5)
    release.set()
    for client in clients:
        if owner[client] != victim:
            assert client.response().body == b"late"
    began = time.monotonic()
    replaced(weir, victim, 3)
    assert time.monotonic() - began < 2
    weir.wait_log(r"(?m)^.*\b%d\b.*(serving|exchanges? w).*$" % victim)
    for _ in range(20):
        assert weir.get("/own").status == 200
    for client in clients:
        client.close()


def test_workers_killed_under_load(start, origin):
    """Ten kills: nothing wrong, nothing cut that looks whole."""
    weir = start(proxied(origin, 2))
    with Load(weir.address, "/chunked/20000", big(20000)) as load:
        for _ in range(10):
            good = load.good
            background = weir.background()
            victim = wait.until(lambda: next(
                (pid for pid in weir.children() if pid != background),
                None), 20, what="a worker")
            os.kill(victim, signal.SIGKILL)
            wait.until(lambda: victim not in weir.children(), 10)
            wait.until(lambda: load.good > good + 20, 20,
                       what="it serves on")
    # A back-off may hold the last ones back.
    wait.until(lambda: len(weir.children()) == 3, 20)
    weir.expect_new_children()
    assert load.broken <= 10 * 6, (load.good, load.broken)


@pytest.mark.short
def test_killed_background(start, origin):
    """Clients notice nothing; logs and names go on."""
    config = conf.config(
        conf.service(OWN, {"path": "/", "upstream": "up"},
                     accesslog=[{"path": "@DIR@/a.log",
                                 "format": "${request.path}"}]),
        [conf.upstream("up", origin)], workers=2)
    weir = start(config)
    with Load(weir.address) as load:
        victim = background_of(weir)
        os.kill(victim, signal.SIGKILL)
        replaced(weir, victim, 3)
        good = load.good
        wait.until(lambda: load.good > good + 50)
    assert load.broken == 0
    weir.get("/own?after")
    weir.get("/hello")
    wait.until(lambda: "/hello" in weir.read("a.log"))


@pytest.mark.short
def test_killed_master(start, origin):
    """Promise 11: workers serve on, and end by themselves in time."""
    weir = start(proxied(origin, 2, orphan_timeout="1s"))
    children = weir.children()
    with Client(weir.address) as client:
        assert client.get("/hello").status == 200
        os.kill(weir.pid, signal.SIGKILL)
        weir.process.wait(5)
        for _ in range(5):
            assert client.get("/hello").status == 200
            assert weir.get("/hello").status == 200
    wait.until(lambda: not any(proc.alive(pid) for pid in children), 10,
               what="orphans end after orphan_timeout")
    weir.kill()
    weir.check_log()


@pytest.mark.short
def test_orphans_can_be_told_to_end(start, origin):
    weir = start(proxied(origin, 2))
    children = weir.children()
    os.kill(weir.pid, signal.SIGKILL)
    weir.process.wait(5)
    assert weir.get("/hello").status == 200
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    wait.until(lambda: not any(proc.alive(pid) for pid in children), 8,
               what="TERM ends orphans")
    weir.kill()


def test_crash_loop_backs_off(start, origin):
    """A worker that dies at once is not forked in a tight loop."""
    weir = start(proxied(origin, 1))
    background = background_of(weir)
    seen = set()
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        for pid in weir.children():
            if pid != background:
                seen.add(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        time.sleep(0.002)
    assert len(seen) < 100, "%d workers in 2.5 s" % len(seen)
    wait.until(lambda: len(weir.children()) == 2
               and weir.get("/hello").status == 200, 20,
               what="it recovers")
    weir.expect_new_children()


def test_others_serve_while_one_crashes(start, origin):
    """Again and again: pauses double, and no client waits for its turn."""
    weir = start(proxied(origin, 2))
    for _ in range(10):
        victim = wait.until(lambda: [pid for pid in weir.children()
                                     if "worker 0" in proc.title(pid)], 15)[0]
        before = weir.log.count("(pid %d) was killed" % victim)
        os.kill(victim, signal.SIGKILL)
        wait.until(lambda: weir.log.count("(pid %d) was killed" % victim)
                   > before)
    pauses = [int(n) for n in re.findall(
        r"worker 0: the next one starts in (\d+) ms", weir.log)]
    assert pauses == [50, 100, 200, 400, 800]
    seen = len(weir.children())
    for _ in range(100):
        assert weir.get("/own", timeout=5).body == b"own\n"
    assert seen == 2 and "worker 1" not in "".join(
        re.findall(".*error.*", weir.log))
    wait.until(lambda: len(weir.children()) == 3)
    weir.expect_new_children()


def test_random_kills(start, origin):
    """Promise: no wrong answer, no cut one that looks complete."""
    weir = start(proxied(origin, 2))
    rounds = 25
    with Load(weir.address, "/chunked/3000", big(3000)) as load:
        for i in range(rounds):
            children = weir.children()
            if children:
                os.kill(children[(i * 7) % len(children)], signal.SIGKILL)
            good = load.good
            wait.until(lambda: load.good > good + 5, 20)
        wait.until(lambda: len(weir.children()) == 3, 20)
        weir.expect_new_children()
    assert load.good > rounds


# -- signals ---------------------------------------------------------------

@pytest.mark.short
def test_int_stops_at_once(start, origin):
    weir = start(proxied(origin, 2))
    script, release = held(origin)
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        began = time.monotonic()
        weir.send_signal(signal.SIGINT)
        assert weir.wait_exit(5) == 0
        assert time.monotonic() - began < 3
        assert outcome(client)[0] == "none"
    release.set()


@pytest.mark.short
def test_term_finishes_what_is_in_flight(start, origin):
    """The answer says close; nothing new is accepted; exit 0."""
    weir = start(proxied(origin, 2))
    script, release = held(origin)
    clients = [Client(weir.address) for _ in range(8)]
    for client in clients:
        client.send(compose(target=script.path))
    script.wait(8)
    weir.send_signal(signal.SIGTERM)
    wait.until(lambda: weir.health() == 503)

    def refused():
        try:
            late = Client(weir.address, timeout=1)
        except OSError:
            return True
        late.close()
        return False
    wait.until(refused, 8, what="new connections are refused")
    release.set()
    for client in clients:
        response = client.response()
        assert response.body == b"late"
        assert "close" in response.fields.tokens("connection")
        assert client.closed()
        client.close()
    assert weir.wait_exit(5) == 0


@pytest.mark.short
def test_term_answers_idle_connections_once_more(start, origin):
    """DESIGN 3: not cut, but answered with Connection: close."""
    weir = start(proxied(origin, 2))
    idle = [Client(weir.address) for _ in range(6)]
    for client in idle:
        assert client.get("/hello").status == 200
    weir.send_signal(signal.SIGTERM)
    wait.until(lambda: weir.health() == 503)
    for client in idle:
        response = client.get("/hello")
        assert response.status == 200
        assert "close" in response.fields.tokens("connection")
        assert client.closed()
        client.close()
    assert weir.wait_exit(5) == 0


def test_term_hears_out_who_has_just_connected(start, origin):
    """Its connection waits in the kernel, unseen, until it says something."""
    weir = start(proxied(origin, 1))
    assert once(weir.address, target="/own").status == 200
    with Client(weir.address) as silent:
        weir.send_signal(signal.SIGTERM)
        # It is seen a second later: then it is let in, and waited for.
        wait.until(lambda: weir.metrics().sum(
            "weir_proxy_connections", state="open") >= 2)
        assert silent.get("/own").status == 200
    assert weir.wait_exit(10) == 0


@pytest.mark.short
def test_shutdown_timeout(start, origin):
    """What is still open then is cut, and that is logged."""
    weir = start(proxied(origin, 1, shutdown_timeout="500ms"))
    script, release = held(origin)
    with Client(weir.address) as client, Client(weir.address) as idle:
        idle.get("/own")
        client.send(compose(target=script.path))
        script.wait()
        began = time.monotonic()
        weir.send_signal(signal.SIGTERM)
        assert weir.wait_exit(6) == 0
        assert 0.4 < time.monotonic() - began < 4
    assert "cut at the end: 1 request, 0 tunnels and 1 idle" in weir.log
    release.set()


@pytest.mark.short
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_whole_group(start, origin, number):
    """Ctrl+C means what it means to the master alone."""
    weir = start(proxied(origin, 2))
    script, release = held(origin)
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        os.killpg(weir.pid, number)
        if number == signal.SIGTERM:
            assert client.silent(0.3), "cut instead of drained"
            release.set()
            assert client.response().body == b"late"
    assert weir.wait_exit(6) == 0
    release.set()
    wait.until(lambda: not weir.processes())


@pytest.mark.short
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_term_and_another_signal(start, origin, second):
    """An impatient admin: what would have had 90 s is cut."""
    weir = start(proxied(origin))
    script, release = held(origin)
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        weir.send_signal(signal.SIGTERM)
        weir.wait_log("stopping: draining for at most 90000 ms")
        assert proc.alive(weir.pid)
        weir.send_signal(second)
        assert weir.wait_exit(10) == 0
        assert outcome(client)[0] == "none"
    assert "stopping at once: told to stop a second time" in weir.log
    assert "cut at the end: 1 request, 0 tunnels and 0 idle" in weir.log
    release.set()


SERVED = "weir.pid", "control.sock", "run/up.sock.orphans"


def left_of(weir):
    return [name for name in SERVED if os.path.exists(weir.path(name))]


def with_files(origin, **top):
    return proxied(origin, 2, upgrade_sock="@DIR@/run/up.sock", **top)


@pytest.mark.parametrize("numbers", [
    [signal.SIGINT], [signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM],
    [signal.SIGTERM, signal.SIGINT]],
    ids=lambda numbers: "-".join(n.name for n in numbers))
def test_every_way_to_stop(start, origin, numbers):
    """Status 0, and nothing is left: no process and no file."""
    weir = start(with_files(origin), start=False)
    os.mkdir(weir.path("run"), 0o755)
    weir.start()
    weir.wait_log("serves with")
    assert left_of(weir) == list(SERVED)
    client = Client(weir.address)
    assert client.get("/own").status == 200
    weir.send_signal(numbers[0])
    if numbers[0] != signal.SIGINT:
        weir.wait_log("stopping: draining")
        assert proc.alive(weir.pid)  # it waits for the client
    if len(numbers) > 1:
        weir.send_signal(numbers[1])
    elif numbers[0] != signal.SIGINT:
        client.close()
    assert weir.wait_exit() == 0
    client.close()
    assert not weir.processes() and not left_of(weir)
    assert "weir has stopped" in weir.log


def starting(start, origin, test, *args, **top):
    """One whose start meets with something."""
    if "test" not in runner.run("-V")[1].split():
        pytest.skip("built without the module test")
    config = with_files(origin, http={"test": test}, **top)
    weir = start(config, *args, start=False)
    os.mkdir(weir.path("run"), 0o755)
    weir.start(ready=False)
    return weir


FAILED_STARTS = [
    ({"fork_dies": 1},
     r"background \(pid \d+\) ended with status 7 before it served"),
    ({"fork_dies": 3},
     r"worker 1 \(pid \d+\) ended with status 7 before it served"),
    ({"fork_dies": 2},
     r"worker 0 \(pid \d+\) ended with status 7 before it served", "-d"),
    ({"fork_stops": 2}, "worker 0 was not ready within 300 ms", "-d"),
]


@pytest.mark.parametrize("row", FAILED_STARTS,
                         ids=["background", "worker", "daemon", "late"])
def test_process_that_fails_at_start(start, origin, row):
    """Status 1, the reason once on stderr and in the log, nothing is left."""
    test, want, *how = row
    weir = starting(start, origin, test, *how, daemon_ready_timeout="300ms",
                    error_log={"path": "@DIR@/error.log"})
    assert weir.wait_exit() == 1
    assert len(re.findall("(?m)^weir: %s$" % want, weir.log)) == 1, weir.log
    wait.until(lambda: not left_of(weir))
    assert re.search(" error: %s\n" % want, weir.read("error.log"))
    more = ["1 worker did not end in time and was killed"] \
        if "fork_stops" in test else []
    said = re.findall(" error: (.*)", weir.read("error.log"))
    assert len(said) == 1 + len(more) and said[1:] == more


def test_term_while_it_starts(start, origin):
    """It was told to, so that is no failure."""
    weir = starting(start, origin, {"fork_stops": 3})
    halted = wait.until(lambda: [pid for pid in weir.children()
                                 if proc.state(pid) == "T"])[0]
    wait.until(lambda: left_of(weir) == list(SERVED))
    weir.send_signal(signal.SIGTERM)
    weir.wait_log("stopping")
    os.kill(halted, signal.SIGCONT)
    assert weir.wait_exit() == 0
    assert not left_of(weir) and not weir.processes()


@pytest.mark.short
@pytest.mark.parametrize("name", ["HUP", "USR1"])
def test_other_signals_stop_nothing(start, origin, name):
    """To the master, to every process, twice."""
    weir = start(proxied(origin, 2))
    number = getattr(signal, "SIG" + name)
    with Client(weir.address) as client:
        assert client.get("/hello").status == 200
        for pid in weir.children():
            os.kill(pid, number)
        weir.send_signal(number)
        weir.send_signal(number)
        weir.wait_log("(?i)%s|reopen|reloaded" % name)
        assert client.get("/hello").status == 200
        assert weir.get("/hello").status == 200
    # A reload makes others first.
    wait.until(lambda: len(weir.children()) == 3)
    weir.expect_new_children()


IGNORED = [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
           signal.SIGUSR2]


@pytest.mark.short
def test_workers_ignore_what_is_the_masters(start, origin):
    weir = start(proxied(origin, 2))
    for pid in weir.children():
        for number in IGNORED:
            os.kill(pid, number)
    for _ in range(5):
        assert weir.get("/hello").status == 200


@pytest.mark.short
def test_term_to_the_background_process(start, origin):
    """Another one takes its place; nobody notices."""
    weir = start(proxied(origin, 1))
    victim = weir.background()
    with Load(weir.address) as load:
        os.kill(victim, signal.SIGTERM)
        replaced(weir, victim, 2)
        weir.wait_log(r"background \(pid %d\) was told to go" % victim)
    assert load.broken == 0
    assert "error: " not in weir.log


@pytest.mark.short
def test_term_to_one_worker(start, origin):
    """It drains, and has a successor."""
    weir = start(proxied(origin, 1))
    script, release = held(origin)
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        victim = weir.worker_of(client)
        os.kill(victim, signal.SIGTERM)
        wait.until(lambda: weir.get("/own", timeout=10).status == 200)
        release.set()
        assert client.response().body == b"late"
    wait.until(lambda: not proc.alive(victim))
    wait.until(lambda: len(weir.children()) == 2)
    weir.expect_new_children()
    assert weir.get("/hello").status == 200


# -- pid file, daemon ------------------------------------------------------

@pytest.mark.short
def test_pid_file(start, origin):
    weir = start(proxied(origin, pid_file="@DIR@/weir.pid"))
    assert weir.read("weir.pid").strip() == str(weir.pid)
    weir.stop(signal.SIGTERM)
    assert not os.path.exists(weir.path("weir.pid"))


@pytest.mark.short
def test_stale_pid_file(start, origin):
    """A number left behind by a crash is no instance."""
    weir = start(proxied(origin, pid_file="@DIR@/weir.pid"),
                 files={"weir.pid": "1\n"})
    assert weir.read("weir.pid").strip() == str(weir.pid)


@pytest.mark.short
def test_pid_file_of_a_running_one(start, origin):
    """A second instance with the same file does not start."""
    weir = start(proxied(origin, pid_file="@DIR@/weir.pid"))
    second = proxied(origin, pid_file=weir.path("weir.pid"))
    other = start(second, start=False)
    other.start(ready=False)
    assert other.wait_exit(8) == 1
    assert "weir.pid" in other.log
    assert weir.read("weir.pid").strip() == str(weir.pid)
    assert weir.get("/hello").status == 200


@pytest.mark.short
def test_pid_file_that_cannot_be_made(start, origin):
    other = start(proxied(origin, pid_file="/nonexistent/weir.pid"),
                  start=False)
    other.start(ready=False)
    assert other.wait_exit(8) == 1
    assert "/nonexistent/weir.pid" in other.log


@pytest.mark.short
@pytest.mark.parametrize("how", ["option", "configuration"])
def test_daemon(start, origin, how):
    """The parent returns when the workers are ready."""
    config = proxied(origin, 2, pid_file="@DIR@/weir.pid",
                     daemon=True if how == "configuration" else None,
                     error_log={"path": "@DIR@/error.log"})
    weir = start(config, *(["-d"] if how == "option" else []), start=False)
    weir.start(ready=False)
    status = weir.wait_exit(10)
    pid = int(weir.read("weir.pid"))
    try:
        assert status == 0
        # No polling: it serves when the parent has returned.
        assert weir.get("/hello").status == 200
        assert weir.health() == 200
        assert len(proc.children(pid)) == 3
        assert pid not in weir.processes(), "no session of its own"
        # It does not lead the session, so no terminal can become its own.
        assert os.getsid(pid) not in (pid, os.getsid(0))
        assert not proc.alive(os.getsid(pid)), "the first fork has ended"
        assert os.readlink("/proc/%d/fd/0" % pid) == "/dev/null"
        os.kill(pid, signal.SIGTERM)
        wait.until(lambda: not proc.alive(pid), 8)
    finally:
        for one in [pid, *proc.children(pid)]:
            if proc.alive(one):
                os.kill(one, signal.SIGKILL)
    assert not os.path.exists(weir.path("weir.pid"))
    assert not re.search("assert|Sanitizer|runtime error",
                         weir.read("error.log"))


@pytest.mark.short
def test_daemon_that_cannot_start(start, origin):
    """Non-zero, and the reason on stderr."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    address = "127.0.0.1:%d" % taken.getsockname()[1]
    weir = start(conf.proxy(origin, listen=[{"address": address}]), "-d",
                 start=False, admin=False)
    weir.start(ready=False)
    assert weir.wait_exit(10) == 1
    assert address in weir.log
    wait.until(lambda: not weir.processes())
    taken.close()


@pytest.mark.short
def test_working_directory(start, origin):
    weir = start(proxied(origin, working_directory="/"))
    for pid in weir.processes():
        assert os.readlink("/proc/%d/cwd" % pid) == "/"


def test_relative_paths_and_working_directory(start, origin):
    """They begin where weir was started, also at a reload, an upgrade, and
    when a file has changed meanwhile."""
    need("openssl")
    certs = tls.Certs()
    one, two = [certs.own(name, "localhost") for name in ("one", "two")]
    config = with_files(origin, working_directory="/",
                        error_log={"path": "error.log"},
                        http={"accesslog": [{"path": "access.log"}]})
    config["services"][0]["listen"].append({
        "address": conf.address(),
        "tls": {"cert": "own.pem", "key": "own.key"}})
    weir = start(config, start=False)
    weir.args = ["-c", "weir.conf"]
    os.mkdir(weir.path("run"), 0o755)

    def put(pair):
        for source, name in zip(pair, ("own.pem", "own.key")):
            shutil.copy(source, weir.path(name + ".new"))
            os.rename(weir.path(name + ".new"), weir.path(name))

    def logged(what, name="error.log"):
        wait.until(lambda: os.path.exists(weir.path(name)) and
                   re.search(what, weir.read(name)), 15, what=what)
    put(one)
    weir.start()
    put(two)
    certs.remove()
    logged("certificate own.pem has changed and is used")
    weir.write("weir.conf", weir.text.replace("error.log", "other.log"))
    weir.send_signal(signal.SIGHUP)
    logged("reloaded: generation 2 ", "other.log")
    assert weir.get("/own").status == 200
    logged("/own", "access.log")
    weir.send_signal(signal.SIGUSR2)
    logged("has taken over", "other.log")
    assert weir.wait_exit() == 0
    assert weir.get("/own").status == 200
    successor = int(weir.read("weir.pid"))
    os.kill(successor, signal.SIGINT)
    wait.until(lambda: not proc.alive(successor), 15)
    assert " error: " not in weir.read("error.log") + weir.read("other.log")
    # What is warned of before the log is known.
    assert "error" not in weir.log


# -- limits ----------------------------------------------------------------

@pytest.mark.short
def test_connections_max(start, origin):
    """What is beyond waits in the kernel, and is served in its turn."""
    weir = start(proxied(origin, 1, connections_max=10))
    clients = [Client(weir.address) for _ in range(10)]
    for client in clients[:9]:
        assert client.get("/own").status == 200
    late = [Client(weir.address) for _ in range(5)]
    for client in late:
        client.send(compose(target="/own"))
    for client in clients:
        client.close()
    for client in late:
        assert client.response(timeout=10).body == b"own\n"
        client.close()


def test_out_of_descriptors(start, origin):
    """A hard limit of 64: who is served stays served, nobody spins, and
    it recovers within a second of the shortage's end."""
    weir = start(proxied(origin, 1), nofile=64)
    assert re.search(r"(?i)warn.*connections_max|connections_max.*limit",
                     weir.log), weir.log
    kept = Client(weir.address)
    assert kept.get("/hello").status == 200
    crowd = []
    for _ in range(150):
        client = Client(weir.address)
        client.send(compose(target="/hello"))
        crowd.append(client)
    for _ in range(5):
        assert kept.get("/own", timeout=5).status == 200
    pids = weir.processes()
    before = sum(proc.cpu_seconds(pid) for pid in pids)
    assert kept.silent(1.0)
    spent = sum(proc.cpu_seconds(pid) for pid in pids) - before
    assert spent <= 0.1, "spins: %.2f s CPU in 1 s" % spent
    for client in crowd:
        client.close()

    def recovered():
        try:
            return weir.get("/hello", timeout=3).status == 200
        except (OSError, AssertionError):
            return False
    wait.until(recovered, 3, what="new clients are served")
    assert kept.get("/hello").status == 200
    kept.close()


def test_backend_connections_without_descriptors(start, origin):
    """Enough for clients, not for backends: 503 or an answer, no hang."""
    weir = start(proxied(origin, 1), nofile=64)
    script, release = held(origin)
    clients = []
    for _ in range(40):
        client = Client(weir.address, timeout=10)
        client.send(compose(target=script.path))
        clients.append(client)
    wait.until(lambda: len(script.exchanges) >= 5)
    release.set()
    good = 0
    for client in clients:
        kind, response = outcome(client)
        assert kind == "complete", kind
        assert response.status in (200, 503, 502), response
        good += response.status == 200
        client.close()
    assert good >= 5
    wait.until(lambda: weir.get("/hello").status == 200)


@pytest.mark.parametrize("count", [5000])
def test_slow_clients(start, origin, count):
    """5,000 that trickle a head are cut at the deadline; others are
    served meanwhile."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count + 500:
        pytest.skip("too few descriptors here")
    weir = start(conf.config(
        conf.service(OWN, {"path": "/", "upstream": "up"},
                     client_header_timeout="4s"),
        [conf.upstream("up", origin)], workers=2))
    selector = selectors.DefaultSelector()
    slow = []
    for _ in range(count):
        sock = socket.create_connection(weir.address)
        sock.send(b"GET / HTTP/1.1\r\nHo")
        slow.append(sock)
    opened = time.monotonic()
    for sock in slow:
        selector.register(sock, selectors.EVENT_READ)
    worst, over = 0, 0
    with Client(weir.address) as client:
        while over < count and time.monotonic() - opened < 15:
            began = time.monotonic()
            assert client.get("/hello", timeout=5).status == 200
            worst = max(worst, time.monotonic() - began)
            for sock in slow[::50]:
                try:
                    sock.send(b"s")
                except OSError:
                    pass
            for key, _ in selector.select(0.1):
                try:
                    data = key.fileobj.recv(4096)
                except OSError:
                    data = b""
                assert data == b"" or data.startswith(b"HTTP/1.1 408 ")
                if not data:
                    selector.unregister(key.fileobj)
                    over += 1
    took = time.monotonic() - opened
    for sock in slow:
        sock.close()
    assert over == count, "%d of %d were cut" % (over, count)
    assert took < 12
    assert worst < 1.5, "others waited %.2f s" % worst


@pytest.mark.parametrize("target", ["/hello", "/own", "/bytes/100000"])
def test_memory_is_flat(start, origin, target):
    """After the first thousand, thousands more cost nothing."""
    weir = start(proxied(origin, 1))
    with Client(weir.address) as client:
        def run(n):
            for _ in range(n):
                assert client.get(target).status == 200
        run(300)
        worker = weir.worker_of(client)
        first = proc.memory(worker)
        run(1500)
        if not sanitized():
            assert proc.memory(worker) - first < 200000


def test_idle_connections_are_cheap(start, origin):
    """At most 400 bytes of memory for each kept one."""
    if sanitized():
        pytest.skip("the sanitizer's memory is in the way")
    weir = start(proxied(origin, 1))
    with Client(weir.address) as probe:
        probe.get("/own")
        worker = weir.worker_of(probe)
        clients = []

        def more(n):
            for _ in range(n):
                client = Client(weir.address)
                client.get("/own")
                clients.append(client)
        more(200)
        before = proc.memory(worker)
        more(4000)
        each = (proc.memory(worker) - before) / 4000
        for client in clients:
            client.close()
    assert each <= 450, "%d bytes a connection" % each


def test_sigpipe_and_broken_peers(start, origin):
    """A thousand clients that vanish in every state."""
    weir = start(proxied(origin, 1))
    for i in range(1000):
        client = Client(weir.address)
        if i % 4:
            client.send(compose(target="/bytes/200000")[:i % 60])
        if i % 4 == 3:
            client.send(compose(target="/bytes/200000"), may_fail=True)
        (client.reset if i % 2 else client.close)()
    for _ in range(5):
        assert weir.get("/bytes/200000").body == big(200000)
