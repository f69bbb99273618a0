"""Upgrades: a new instance takes over, or the old one serves on."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from lib import conf, proc, wait
from lib import weir as runner
from lib.client import Client, compose, once, outcome
from test_control import Control

pytestmark = pytest.mark.process

OWN = {"path": "/own", "respond": {"body": "own\n"}}


def config(*routes, workers=2, **top):
    top.setdefault("upgrade_sock", "@DIR@/run/up.sock")
    top.setdefault("pid_file", "@DIR@/run/weir.pid")
    return conf.config(conf.service(*(routes or [OWN])), workers=workers,
                       **top)


class Instance:
    """A weir that changes under its clients: the pid file says who it is."""

    def __init__(self, start, text=None, *args, **kw):
        self.weir = start(text or config(), *args, start=False, **kw)
        os.mkdir(self.weir.path("run"), 0o755)
        self.weir.start()
        self.first = self.pid

    def __getattr__(self, name):
        return getattr(self.weir, name)

    @property
    def pid(self):
        try:
            return int(self.weir.read("run/weir.pid"))
        except (OSError, ValueError):
            return None

    def send(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def successor(self, *args, **kw):
        """A second program with the same log, as an admin starts it."""
        with open(self.weir.path("stderr"), "ab") as err:
            return subprocess.Popen(
                [runner.binary(), "-c", self.weir.conf, *args],
                cwd=self.weir.dir, stdin=subprocess.DEVNULL, stdout=err,
                stderr=err, env=runner.environment(), **kw)

    def wait_taken(self, before=None, timeout=15):
        """The pid file names another one, and the old one has gone."""
        before = before or self.first
        wait.until(lambda: self.pid not in (before, None), timeout,
                   what="another instance:\n" + self.weir.log)
        return self.pid

    def wait_gone(self, pid, timeout=15):
        if pid == self.weir.process.pid:
            assert self.weir.wait_exit(timeout) == 0
        else:
            wait.until(lambda: not proc.alive(pid), timeout)

    def finish(self):
        """The one that serves stops, and nothing is left."""
        pid = self.pid
        if pid:
            self.send(signal.SIGINT, pid)
            self.wait_gone(pid)
        if self.weir.process.poll() is None:
            self.weir.wait_exit()
        self.weir.status = self.weir.process.returncode


@pytest.fixture
def instance(start):
    made = []

    def make(*args, **kw):
        one = Instance(start, *args, **kw)
        made.append(one)
        return one
    yield make
    for one in made:
        one.finish()


class Load:
    """Kept and one-shot clients; whatever is not answered is an error."""

    def __init__(self, address, clients=4):
        self.address = address
        self.good = 0
        self.errors = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i % 2,),
                                         daemon=True)
                        for i in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait.until(lambda: self.good > 20, what="answers")
        return self

    def __exit__(self, *unused):
        self.more()
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        assert not self.errors, self.errors[:5]

    def more(self, count=50):
        seen = self.good
        wait.until(lambda: self.errors or self.good > seen + count,
                   what="more answers")

    def _run(self, keeps):
        client = None
        while not self.over.is_set():
            try:
                if client is None:
                    client = Client(self.address, timeout=10)
                client.send(compose(target="/own"))
                kind, response = outcome(client)
                if (kind, response and response.status) != ("complete", 200):
                    self.errors.append((kind, response))
                    return
                self.good += 1
                if (not keeps or "close" in
                        response.fields.tokens("connection")):
                    client.close()
                    client = None
            except Exception as wrong:
                self.errors.append(repr(wrong))
                return
        if client:
            client.close()


def requests_total(one):
    return one.weir.metrics().sum("weir_proxy_requests_total")


# -- it works --------------------------------------------------------------

@pytest.mark.short
def test_usr2_under_load(instance):
    """The program is started anew, nobody notices, counters go on."""
    one = instance()
    with Load(one.address) as load:
        counted = requests_total(one)
        assert counted > 0
        one.send(signal.SIGUSR2)
        second = one.wait_taken()
        load.more()
        assert requests_total(one) > counted
    one.wait_gone(one.first)
    assert proc.alive(second)
    assert one.weir.get("/own").body == b"own\n"
    assert "process %d has taken over" % second in one.weir.log


@pytest.mark.parametrize("first", ["successor", "signal"])
def test_u_and_quit(instance, first):
    """-u and QUIT, in both orders."""
    one = instance()
    with Load(one.address):
        if first == "signal":
            one.send(signal.SIGQUIT)
        successor = one.successor("-u")
        if first == "successor":
            wait.until(lambda: os.path.exists(one.path("run/up.sock")))
            assert one.pid == one.first
            one.send(signal.SIGQUIT)
        one.wait_taken()
        assert one.pid == successor.pid
    one.wait_gone(one.first)
    assert not os.path.exists(one.path("run/up.sock"))
    one.send(signal.SIGINT)
    assert successor.wait(10) == 0


@pytest.mark.short
def test_quit_alone(instance):
    """QUIT without a successor is a whole upgrade after five seconds."""
    one = instance()
    one.send(signal.SIGQUIT)
    one.wait_taken()
    assert "no successor waits: starting one" in one.weir.log
    one.wait_gone(one.first)
    assert one.weir.get("/own").status == 200


@pytest.mark.parametrize("how", ["serve", "stop"])
def test_quit_alone_does_something_else(instance, how):
    one = instance(config(quit_alone=how))
    one.send(signal.SIGQUIT)
    if how == "stop":
        one.wait_gone(one.first)
        assert one.pid is None
    else:
        one.weir.wait_log("no successor waits.*serves on", 15)
        assert one.weir.get("/own").status == 200
        assert one.pid == one.first


def test_two_in_a_row(instance):
    """A successor can be followed; connections that wait are kept."""
    one = instance()
    with Load(one.address) as load:
        pid = one.first
        for _ in range(2):
            one.send(signal.SIGUSR2)
            next_pid = one.wait_taken(pid)
            load.more()
            one.weir.wait_log("the predecessor has ended" if pid ==
                              one.first else "(?s)(predecessor has ended.*){2}",
                              20)
            pid = next_pid


def test_by_word(instance):
    """weir -s upgrade is USR2 to the one that the pid file names."""
    one = instance()
    assert runner.run("-c", one.weir.conf, "-s", "upgrade") == (0, "", "")
    pid = one.wait_taken()
    assert one.weir.get("/own").status == 200
    one.weir.wait_log("process %d has taken over" % pid)


def test_killed_while_its_workers_drain(instance):
    """The old master dies, and its workers keep their places until they end:
    what they count stays, also when others are started."""
    one = instance(config(shutdown_timeout="5s"))
    with Client(one.address) as client:
        assert client.get("/own").status == 200
        one.send(signal.SIGUSR2)
        pid = one.wait_taken()
        one.weir.wait_log("process %d has taken over" % pid)
        os.kill(one.first, signal.SIGKILL)
        one.weir.process.wait(10)
        one.weir.wait_log("the predecessor's master has died")
        wait.until(lambda: once(one.weir.admin).status)

        def count():
            return one.weir.metrics().sum("weir_proxy_connections",
                                          state="open")
        # Ours, and the one that asks.
        wait.until(lambda: count() == 2)
        assert "predecessor has ended" not in one.weir.log

        def last_answer():
            answer = client.get("/own")
            assert answer.status == 200
            return "close" in answer.fields.tokens("connection")

        wait.until(last_answer)
    wait.until(lambda: count() == 1, 20)


@pytest.mark.parametrize("before, after", [(1, 3), (3, 2)])
def test_other_number_of_workers(instance, before, after):
    """More or less workers than before, and nobody is refused."""
    one = instance(config(workers=before))
    text = one.weir.text.replace("workers = %d" % before,
                                 "workers = %d" % after)
    one.weir.write("weir.conf", text)
    with Load(one.address) as load:
        one.send(signal.SIGUSR2)
        pid = one.wait_taken()
        load.more(200)
        one.wait_gone(one.first)
        load.more(200)
    workers = [child for child in proc.children(pid)
               if "worker" in proc.title(child)]
    assert len(workers) == after


def test_options_of_sockets_that_stay(instance):
    """A successor knows what its predecessor set, and takes it back."""
    address = conf.address()

    def text(**options):
        return conf.config(
            conf.service(OWN, listen=[{"address": address, **options}]),
            workers=2, upgrade_sock="@DIR@/run/up.sock",
            pid_file="@DIR@/run/weir.pid")

    def scales():
        found = set()
        for _ in range(8):
            with Client(one.address) as client:
                assert client.get("/own").status == 200
                found.add(client.window_scale())
        return found
    one = instance(text(receive_buffer="4KB"))
    assert scales() == {0}
    one.weir.write("weir.conf", conf.document(text()).replace(
        "@DIR@", one.weir.dir))
    one.send(signal.SIGUSR2)
    second = one.wait_taken()
    one.wait_gone(one.first)
    if "its receive_buffer stays 4096" in one.weir.log:
        pytest.skip("this kernel keeps the size of a buffer")
    assert 0 not in scales()
    one.weir.write("weir.conf", conf.document(text(
        receive_buffer="4KB")).replace("@DIR@", one.weir.dir))
    one.send(signal.SIGUSR2)
    one.wait_taken(second)
    one.wait_gone(second)
    assert scales() == {0}


def test_addresses_come_and_go(instance):
    """New ones are bound, those that are no longer wanted are closed."""
    one = instance()
    new, old = conf.address(), one.weir.address
    one.weir.write("weir.conf", one.weir.text.replace(
        "%s:%d" % old if isinstance(old, tuple) else old,
        new))
    one.send(signal.SIGUSR2)
    one.wait_taken()
    wait.until(lambda: once(conf.split(new), target="/own").status == 200)

    def is_refused():
        try:
            Client(old, timeout=1).close()
            return False
        except OSError:
            return True
    one.wait_gone(one.first)
    assert is_refused()
    one.weir.addresses = [conf.split(new)]


@pytest.mark.parametrize("before, after", [(2, 2), (3, 1), (1, 3)])
def test_clients_in_a_queue(instance, before, after):
    """Whom no worker has accepted yet: at an address that stays the new ones
    do, at one that is dropped the old ones."""
    text = config(workers=before)
    dropped = conf.address()
    text["services"][0]["listen"].append({"address": dropped})
    one = instance(text)
    one.weir.wait_log("serves with")
    one.weir.write("weir.conf", one.weir.text.replace(
        "workers = %d" % before, "workers = %d" % after).replace(
        dropped, conf.address()))
    halted = one.weir.workers()
    for pid in halted:
        os.kill(pid, signal.SIGSTOP)
    stay = [Client(one.weir.address) for _ in range(12)]
    go = [Client(conf.split(dropped)) for _ in range(12)]
    for client in stay + go:
        client.send(compose(target="/own"))
    one.send(signal.SIGUSR2)
    one.wait_taken()

    def served(clients):
        for client in clients:
            kind, answer = outcome(client)
            assert (kind, answer and answer.status) == ("complete", 200)
            client.close()
    served(stay)
    for pid in halted:
        os.kill(pid, signal.SIGCONT)
    served(go)
    one.wait_gone(one.first)
    with pytest.raises(OSError):
        Client(conf.split(dropped), timeout=1)


def test_unix_socket_stays(instance):
    """The file is not removed by the one who leaves."""
    text = config()
    text["services"][0]["listen"].append({"address": "unix:@DIR@/run/s"})
    one = instance(text)
    path = one.path("run/s")
    inode = os.stat(path).st_ino
    one.send(signal.SIGUSR2)
    pid = one.wait_taken()
    one.wait_gone(one.first)
    assert os.stat(path).st_ino == inode
    assert once(path, target="/own").status == 200
    one.send(signal.SIGTERM, pid)
    wait.until(lambda: not proc.alive(pid), 15)
    assert not os.path.exists(path)


def test_open_connection_is_served_by_the_old_one(instance):
    """An idle client is answered once more, with Connection: close."""
    one = instance()
    with Client(one.weir.address) as client:
        assert client.get("/own").status == 200
        one.send(signal.SIGUSR2)
        one.wait_taken()

        def last_answer():
            # Its worker hears of the drain a moment after the pid file.
            answer = client.get("/own")
            assert answer.status == 200
            return "close" in answer.fields.tokens("connection")

        wait.until(last_answer)
    one.wait_gone(one.first)


# -- daemon ----------------------------------------------------------------

def test_question_of_the_admin(instance):
    """What was asked of the old one, or is about to be, is answered."""
    one = instance()

    def is_open():
        return one.weir.metrics().sum("weir_proxy_connections",
                                      state="open") >= 3
    with Client(one.weir.admin) as fresh, Client(one.weir.admin) as begun:
        begun.send(b"GET /metrics HTTP/1.1\r\n")
        wait.until(is_open)
        one.send(signal.SIGUSR2)
        one.wait_taken()
        one.weir.wait_log("leaving: draining")
        begun.send(b"Host: a\r\n\r\n")
        assert begun.response().status == 200
        answer = fresh.get("/metrics")
        assert answer.status == 200
        assert answer.fields.tokens("connection") == ["close"]
        one.wait_gone(one.first)


def test_daemon(instance):
    """-d -u returns when it waits; the pid file names the old one."""
    one = instance(config(error_log={"path": "@DIR@/error.log"}))
    assert one.successor("-d", "-u").wait(15) == 0
    assert one.pid == one.first
    assert os.path.exists(one.path("run/up.sock"))
    one.send(signal.SIGQUIT)
    pid = one.wait_taken()
    one.wait_gone(one.first)
    assert one.weir.get("/own").status == 200
    one.send(signal.SIGINT, pid)
    wait.until(lambda: not proc.alive(pid), 15)
    assert one.pid is None


def test_daemon_wait_for_ready(instance):
    """-d -u asks the running one by itself, and returns when it serves."""
    one = instance(config(error_log={"path": "@DIR@/error.log"},
                          daemon_wait_for_ready=True))
    assert one.successor("-d", "-u").wait(20) == 0
    pid = one.pid
    assert pid != one.first
    assert one.weir.get("/own").status == 200
    one.wait_gone(one.first)
    one.send(signal.SIGINT, pid)
    wait.until(lambda: not proc.alive(pid), 15)


def test_nobody_hands_over(instance):
    """A successor that waits in vain removes its socket and ends with 1."""
    one = instance(config(upgrade_timeout="300ms"))
    assert one.successor("-u").wait(15) == 1
    assert "nobody has handed over within 300 ms" in one.weir.log
    assert not os.path.exists(one.path("run/up.sock"))
    assert one.pid == one.first


def test_daemon_whom_nobody_hands_over(instance):
    """Its parent has returned 0 long before: the log says why it ended."""
    one = instance(config(upgrade_timeout="300ms",
                          error_log={"path": "@DIR@/error.log"}))
    assert one.successor("-d", "-u").wait(15) == 0
    wait.until(lambda: re.search("error: upgrade: nobody has handed over "
                                 "within 300 ms", one.weir.read("error.log")))
    wait.until(lambda: not os.path.exists(one.path("run/up.sock")))
    assert one.pid == one.first and one.weir.get("/own").status == 200


def add_taken_port(one):
    """A configuration whose first address somebody else has."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    one.weir.write("weir.conf", one.weir.text.replace(
        "listen = (", 'listen = ( { address = "127.0.0.1:%d"; },' % port, 1))
    return taken, "127.0.0.1:%d: Address already in use" % port


@pytest.mark.parametrize("asks", [False, True])
def test_daemon_that_cannot_take_over(instance, asks):
    """The old instance says why, and the parent of -d where it waits for
    that; the pid file and the socket are as they were."""
    one = instance(config(daemon_wait_for_ready=asks,
                          error_log={"path": "@DIR@/error.log"}))
    taken, why = add_taken_port(one)
    with taken, Load(one.address):
        status = one.successor("-d", "-u").wait(15)
        assert status == (1 if asks else 0)
        if not asks:
            one.send(signal.SIGQUIT)
        wait.until(lambda: re.search("upgrade failed: .* says: .*%s; this "
                                     "instance serves on" % why,
                                     one.weir.read("error.log")))
        if asks:
            assert one.weir.log.count(why) == 1
    assert one.pid == one.first
    assert sorted(os.listdir(one.path("run"))) == ["up.sock.orphans",
                                                   "weir.pid"]


def test_daemon_that_nobody_could_hand_over_to(instance):
    """It would ask whoever has the pid file, and nobody has."""
    one = instance(config(daemon_wait_for_ready=True,
                          error_log={"path": "@DIR@/error.log"}))
    one.finish()
    assert one.successor("-d", "-u").wait(15) == 1
    assert one.weir.log.count("weir: daemon_wait_for_ready: pid file %s: "
                              "there is none: no instance is running"
                              % one.path("run/weir.pid")) == 1
    assert os.listdir(one.path("run")) == []


def test_two_successors(instance):
    """The second is refused at once; the first takes over."""
    one = instance()
    first = one.successor("-u")
    one.weir.wait_log("upgrade: waiting at")
    assert one.successor("-u").wait(15) == 1
    assert "up.sock: another instance waits there" in one.weir.log
    one.send(signal.SIGQUIT)
    assert one.wait_taken() == first.pid
    one.wait_gone(one.first)
    one.send(signal.SIGINT)
    assert first.wait(10) == 0


def test_told_to_stop_while_it_waits(instance):
    one = instance()
    successor = one.successor("-u")
    wait.until(lambda: os.path.exists(one.path("run/up.sock")))
    successor.terminate()
    assert successor.wait(10) == 0
    assert not os.path.exists(one.path("run/up.sock"))
    assert one.weir.get("/own").status == 200


# -- it fails, and the old one serves on -----------------------------------



class Copy(Instance):
    """Runs a copy of the program, at weir.dir/bin/weir."""

    def __init__(self, start, text=None):
        weir = start(text or config(), start=False)
        os.mkdir(weir.path("run"), 0o755)
        os.mkdir(weir.path("bin"), 0o755)
        with open(runner.binary(), "rb") as f:
            weir.write("bin/weir", f.read())
        os.chmod(weir.path("bin/weir"), 0o755)
        real, runner.binary = runner.binary, lambda: weir.path("bin/weir")
        try:
            weir.start()
        finally:
            runner.binary = real
        self.weir = weir
        self.first = self.pid

    def replace(self, content):
        if content is None:
            os.unlink(self.weir.path("bin/weir"))
            return
        path = self.weir.write("bin/new", content)
        os.chmod(path, 0o755)
        os.rename(path, self.weir.path("bin/weir"))


BAD = [
    ("false", "#!/bin/sh\nexit 1\n", "ended with status 1"),
    ("crash", "#!/bin/sh\nkill -SEGV $$\n", "was killed by SIGSEGV"),
    ("text", "this is no program\n", "Exec format error"),
    ("none", None, "executing .*/bin/weir: No such file"),
    ("hang", "#!/bin/sh\nexec sleep 100\n", "not ready within 500 ms"),
]


@pytest.mark.parametrize("content, want", [row[1:] for row in BAD],
                         ids=[row[0] for row in BAD])
def test_bad_program(start, content, want):
    """What cannot serve changes nothing, and the log says why, once."""
    one = Copy(start, config(upgrade_timeout="500ms"))
    one.replace(content)
    with Load(one.address):
        one.send(signal.SIGUSR2)
        one.weir.wait_log("upgrade failed: .*" + want, 15)
    assert one.pid == one.first
    assert one.weir.log.count("upgrade failed") == 1
    one.finish()


def test_bad_program_then_a_good_one(start):
    """After a failure the next upgrade works."""
    one = Copy(start)
    with open(one.weir.path("bin/weir"), "rb") as f:
        good = f.read()
    one.replace("#!/bin/sh\nexit 3\n")
    one.send(signal.SIGUSR2)
    one.weir.wait_log("ended with status 3", 15)
    one.replace(good)
    one.send(signal.SIGUSR2)
    one.wait_taken()
    one.wait_gone(one.first)
    assert one.weir.get("/own").status == 200
    one.finish()


def test_bad_configuration(instance):
    """Its first error stands in the log of the old one."""
    one = instance()
    one.weir.write("weir.conf", one.weir.text + "\nwrokers = 3;\n")
    one.send(signal.SIGUSR2)
    one.weir.wait_log("upgrade failed: .*wrokers", 15)
    assert one.pid == one.first
    assert one.weir.log.count("wrokers") == 1
    assert one.weir.get("/own").status == 200


def test_port_taken(instance):
    """What cannot be bound is a failure, and nothing is left of it."""
    one = instance()
    taken, why = add_taken_port(one)
    with taken, Load(one.address):
        one.send(signal.SIGUSR2)
        one.weir.wait_log("upgrade failed: .*" + why, 15)
    assert one.pid == one.first
    one.weir.write("weir.conf", one.weir.text)


def test_second_upgrade_is_refused(start):
    """One at a time."""
    one = Copy(start, config(upgrade_timeout="1s"))
    one.replace("#!/bin/sh\nexec sleep 100\n")
    one.send(signal.SIGUSR2)
    one.weir.wait_log("starting ")
    one.send(signal.SIGUSR2)
    one.weir.wait_log("an upgrade is running already")
    one.send(signal.SIGQUIT)
    one.weir.wait_log("SIGQUIT: an upgrade is running already")
    assert Control(one.weir).ask("upgrade") == {
        "ok": False, "result": {}, "error": "an upgrade is running already"}
    one.weir.wait_log("upgrade failed", 15)
    assert one.weir.log.count("starting ") == 1
    one.finish()


@pytest.mark.parametrize("who", ["master", "worker"])
def test_killed_successor(instance, who):
    """kill -9 before it has taken over: the old one serves on."""
    one = instance()
    successor = one.successor("-u")
    wait.until(lambda: os.path.exists(one.path("run/up.sock")))
    if who == "master":
        successor.kill()
        successor.wait(10)
        # Its socket stays, and nobody answers there.
        one.send(signal.SIGQUIT)
        one.wait_taken()
        one.wait_gone(one.first)
    else:
        one.send(signal.SIGQUIT)
        worker = wait.until(lambda: [
            pid for pid in proc.children(successor.pid)
            if "worker" in proc.title(pid)], step=0.001)[0]
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            pass
        # Before it served the old one goes on, afterwards it is replaced.
        one.weir.wait_log("upgrade failed: .*worker|has taken over", 15)
        assert one.weir.get("/own").status == 200
        pid = one.pid
        one.send(signal.SIGINT, pid)
        wait.until(lambda: not proc.alive(pid) or
                   successor.poll() is not None, 15)
        if one.weir.process.poll() is None and pid != one.first:
            one.wait_gone(one.first)
        successor.wait(15)
    assert one.weir.log.count("assert") == 0


def test_old_master_killed_after(instance):
    """The one that drains is killed: the new one serves."""
    one = instance()
    with Client(one.weir.address) as client:
        assert client.get("/own").status == 200
        one.send(signal.SIGUSR2)
        pid = one.wait_taken()
        one.weir.wait_log("leaving|drains")
        os.kill(one.first, signal.SIGKILL)
        one.weir.process.wait(10)
        assert one.weir.get("/own").status == 200
        one.weir.wait_log("the predecessor's master has died")
        # Its worker still has this client.
        assert client.get("/own").status == 200
    one.send(signal.SIGTERM, pid)
    wait.until(lambda: not proc.alive(pid), 20)
    one.weir.status = one.weir.process.returncode


# -- the socket ------------------------------------------------------------

def test_missing_folder(instance):
    one = instance(config(upgrade_sock="@DIR@/none/up.sock"))
    assert one.successor("-u").wait(15) == 1
    assert re.search("upgrade_sock .*/none/up.sock: .*No such file",
                     one.weir.log)
    assert one.weir.get("/own").status == 200


def test_folder_that_everybody_may_write_to(instance):
    one = instance(config(upgrade_sock="@DIR@/up.sock"))
    assert one.successor("-u").wait(15) == 1
    assert "everybody may write" in one.weir.log


def test_file_in_its_place(instance):
    """What is no socket is not removed, and no reason not to upgrade."""
    one = instance()
    one.weir.write("run/up.sock", "garbage")
    assert one.successor("-u").wait(15) == 1
    assert re.search("upgrade_sock .*/up.sock: a file is there that is no "
                     "socket", one.weir.log)
    assert one.weir.read("run/up.sock") == "garbage"
    one.send(signal.SIGUSR2)
    one.wait_taken()
    one.wait_gone(one.first)


def door(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()
    return listener


def test_garbage_behind_the_door(instance):
    """Who waits there is no weir, or dies: the old instance serves on."""
    one = instance()
    path = one.path("run/up.sock")
    for number, (data, why) in enumerate([
            (b"GET / HTTP/1.1\r\n\r\n", "no message of an upgrade"),
            (b"", "it has closed the connection")]):
        with door(path) as listener:
            one.send(signal.SIGQUIT)
            with listener.accept()[0] as peer:
                if data:
                    peer.send(data)
                    assert peer.recv(10) == b""
        os.unlink(path)
        one.weir.wait_log("upgrade failed: talking to process %d: .*%s; this "
                          "instance serves on" % (os.getpid(), why))
        assert one.weir.log.count("upgrade failed") == number + 1
        assert one.pid == one.first and one.weir.get("/own").status == 200
    one.send(signal.SIGUSR2)
    one.wait_taken()
    one.wait_gone(one.first)


@pytest.mark.root
def test_other_user_behind_the_door(instance):
    """Nothing is given to a socket of somebody else's."""
    one = instance()
    path = one.path("run/up.sock")
    os.chmod(one.path("run"), 0o777)
    script = ("import socket\ns = socket.socket(socket.AF_UNIX, "
              "socket.SOCK_SEQPACKET)\ns.bind(%r)\ns.listen()\n"
              "print(flush=True)\nc, _ = s.accept()\nc.settimeout(10)\n"
              "assert c.recvmsg(10, 999)[:2] == (b'', [])\n" % path)
    with subprocess.Popen(["/usr/bin/python3", "-c", script], user=65534,
                          group=65534, extra_groups=[],
                          stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        one.send(signal.SIGQUIT)
        assert other.wait(20) == 0
    one.weir.wait_log("upgrade failed: process %d of user 65534 is refused"
                      % other.pid)
    assert one.pid == one.first and one.weir.get("/own").status == 200
    os.chmod(one.path("run"), 0o755)


def test_garbage_at_the_door(instance):
    """Who is no weir is closed with one line; the right one still comes."""
    one = instance()
    successor = one.successor("-u")
    path = one.path("run/up.sock")
    one.weir.wait_log("upgrade: waiting at")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.settimeout(10)
        other.connect(path)
        other.recv(4096)  # its greeting
        other.send(b"GET / HTTP/1.1\r\n\r\n")
        assert other.recv(10) == b""
    one.weir.wait_log("no message of an upgrade")
    one.send(signal.SIGQUIT)
    one.wait_taken()
    assert one.pid == successor.pid
    one.wait_gone(one.first)
    one.send(signal.SIGINT)
    assert successor.wait(10) == 0


@pytest.mark.root
def test_other_user_at_the_door(instance):
    """Nobody but root and the own user is let in."""
    one = instance()
    successor = one.successor("-u")
    path = one.path("run/up.sock")
    one.weir.wait_log("upgrade: waiting at")
    os.chmod(path, 0o666)
    script = ("import socket\ns = socket.socket(socket.AF_UNIX, "
              "socket.SOCK_SEQPACKET)\ns.connect(%r)\n"
              "s.settimeout(10)\nassert s.recv(10) == b''\n" % path)
    subprocess.run(["/usr/bin/python3", "-c", script], check=True,
                   timeout=20, user=65534, group=65534, extra_groups=[])
    one.weir.wait_log("of user 65534 is refused")
    successor.terminate()
    assert successor.wait(10) == 0


def test_pid_file_of_another(instance):
    """Without -u a second instance is refused."""
    one = instance()
    second = one.successor()
    assert second.wait(15) == 1
    assert "another instance is running (pid %d)" % one.first in one.weir.log
    assert one.pid == one.first
