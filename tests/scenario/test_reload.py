"""HUP: another configuration takes over, and no client notices."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from conftest import need
from lib import conf, proc, tls, wait, ws
from lib.client import Client, compose, once, outcome
from lib.weir import run
from test_control import Control

pytestmark = pytest.mark.process

OWN = {"name": "own", "path": "/own", "respond": {"body": "own\n"}}


def site(origin, *more, workers=2, listen=None, own=OWN, up=None, **top):
    """Everything goes to the origin, but for weir's own answer."""
    return conf.config(
        conf.service(own, {"name": "all", "path": "/", "upstream": "up"},
                     *more, listen=listen),
        [conf.upstream("up", origin, **(up or {}))], workers=workers, **top)


class Site:
    """A running weir whose configuration is changed and reloaded."""

    def __init__(self, start, origin, **options):
        self.origin = origin
        self.listen = [{"address": conf.address()}]
        self.admin = {"address": conf.address()}
        self.options = options
        self.weir = start(self.config(), start=False)
        os.mkdir(self.weir.path("own"), 0o755)
        self.weir.start()
        # One worker may serve before all do.
        self.weir.wait_log("serves with")

    def config(self, *more, **options):
        merged = {"listen": self.listen, "admin": self.admin,
                  **self.options, **options}
        return site(self.origin, *more, **merged)

    def count(self, what):
        return len(re.findall(what, self.weir.log))

    def write(self, config):
        text = conf.document(config) if isinstance(config, dict) else config
        text += 'control = { path = "@DIR@/control.sock"; };\n'
        self.weir.write("weir.conf", text.replace("@DIR@", self.weir.dir))

    def hup(self, config=None):
        if config is not None:
            self.write(config)
        self.weir.send_signal(signal.SIGHUP)

    def reload(self, config=None, timeout=15):
        """To another one that is good."""
        before = self.count("reloaded: ")
        self.hup(config)
        wait.until(lambda: self.count("reloaded: ") > before, timeout,
                   what="the reload:\n" + self.weir.log[-2000:])
        return re.findall("reloaded: .*", self.weir.log)[-1]

    def refused(self, config=None, timeout=15):
        """To one that is not; what was logged."""
        before = self.count("is not used: ")
        seen = len(self.weir.log)
        children = set(self.weir.children())
        self.hup(config)
        wait.until(lambda: self.count("is not used: ") > before, timeout,
                   what="the refusal")
        wait.until(lambda: set(self.weir.children()) <= children,
                   what="nothing is left of the new one")
        assert self.weir.get("/own").body == b"own\n"
        assert self.count("is not used: ") == before + 1
        return self.weir.log[seen:]

    def settle(self, children=None):
        """Until the former generations have gone."""
        want = (self.options.get("workers", 2) + 1
                if children is None else children)
        wait.until(lambda: len(self.weir.children()) == want, 15,
                   what="the old generation ends")
        self.weir.expect_new_children()


def open_files(pid):
    folder = "/proc/%d/fd" % pid
    names = []
    for fd in os.listdir(folder):
        try:
            names.append(os.readlink(os.path.join(folder, fd)))
        except OSError:
            pass
    return names


@pytest.fixture
def a_site(start, origin):
    def make(**options):
        made.append(Site(start, origin, **options))
        return made[-1]
    made = []
    yield make
    for one in made:
        one.weir.expect_new_children()


class Requests:
    """One connection a request, and kept ones; none may fail."""

    def __init__(self, address, clients=4):
        self.address = address
        self.good, self.wrong = 0, []
        self.over, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i % 2 == 0,),
                                         daemon=True)
                        for i in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait.until(lambda: self.good > 0)
        return self

    def __exit__(self, *unused):
        wait.until(lambda: self.good > 10 or self.wrong, 30)
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        assert not self.wrong, self.wrong[:3]

    def run(self, keeps):
        client = None
        while not self.over.is_set():
            try:
                if client is None:
                    client = Client(self.address, timeout=10)
                answer = client.get("/own")
                if answer.status != 200 or answer.body != b"own\n":
                    self.wrong.append(repr(answer))
                with self.lock:
                    self.good += 1
                if keeps and "close" not in answer.fields.tokens(
                        "connection"):
                    continue
            except (OSError, AssertionError) as wrong:
                self.wrong.append(repr(wrong))
            if client:
                client.close()
            client = None
        if client:
            client.close()


# -- what takes effect ------------------------------------------------------

@pytest.mark.short
def test_reload(a_site):
    """The new answer, new processes, and what has changed in one line."""
    s = a_site()
    before = set(s.weir.children())
    line = s.reload(s.config(
        {"name": "new", "path": "/new", "respond": {"body": "new\n"}}))
    assert s.weir.get("/new").body == b"new\n"
    s.settle()
    assert not before & set(s.weir.children())
    assert "generation 2 serves with 2 workers" in line
    assert "added route" in line and "new" in line
    assert "changed" not in line and "removed" not in line, line
    line = s.reload(s.config(up={"retries": 1}))
    assert "removed route" in line and "changed upstream up" in line, line
    s.settle()
    assert s.reload().endswith("nothing has changed")
    s.settle()


@pytest.mark.short
def test_connections_of_other_terms(a_site, origin):
    """What former workers leave for others is taken only by who would have
    made it the same way: from the same address."""
    s = a_site(workers=2)
    head = {"pool_share_after": "1ms"}

    def last():
        assert s.weir.get("/b").status == 200
        return origin.connections[-1]

    s.reload(s.config(up=head))
    s.settle()
    first = last()
    s.reload(s.config(up={**head, "retries": 1}))
    s.settle()
    assert last() is first  # it is left and taken, or the rest shows nothing
    s.reload(s.config(up={**head, "bind": "127.0.0.2"}))
    s.settle()
    second = last()
    assert second is not first and second.peer[0] == "127.0.0.2"


@pytest.mark.short
def test_kept_alive_client(a_site):
    """Its next request is answered, and told to be the last."""
    s = a_site()
    with Client(s.weir.address) as client:
        assert client.get("/own").status == 200
        s.reload(s.config(own={**OWN, "respond": {"body": "other\n"}}))
        answer = client.get("/own")
        assert answer.body == b"own\n"
        assert "close" in answer.fields.tokens("connection")
        assert client.closed()
    assert s.weir.get("/own").body == b"other\n"
    s.settle()


def test_transfers_go_on(a_site, origin):
    """A slow download and a WebSocket outlive two reloads."""
    s = a_site()
    release = threading.Event()

    def slow(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        release.wait(30)
        exchange.send(b"done")
        return True

    def tunnel(exchange):
        exchange.send(ws.switching(exchange))
        release.wait(30)
        exchange.send(ws.frame(ws.TEXT, b"late"))
        return False
    download, socket_ = origin.script(slow), origin.script(tunnel)
    with Client(s.weir.address) as a, Client(s.weir.address) as b:
        a.send(compose(target=download.path))
        b.send(compose(target=socket_.path, fields=ws.handshake_fields()))
        download.wait()
        socket_.wait()
        s.reload()
        s.reload()
        release.set()
        assert outcome(a)[1].body == b"halfdone"
        wait.until(lambda: b"late" in b.sock.recv(4096))
    s.settle()


def test_workers_up_and_down(a_site):
    """Under load; sockets that go are emptied before."""
    s = a_site(workers=2)
    with Requests(s.weir.address):
        for workers in (4, 1, 3):
            line = s.reload(s.config(workers=workers))
            assert "changed option workers" in line
            wait.until(lambda: len(s.weir.children()) == workers + 1, 15)
    s.settle(4)


def test_reuseport_on_and_off(a_site):
    s = a_site(workers=3)
    with Requests(s.weir.address):
        for value in (False, True, False):
            line = s.reload(s.config(
                listen=[{**s.listen[0], "reuseport": value}]))
            assert "changed listener" in line, line
    s.settle()


QUEUES = [({"workers": 3}, {"workers": 1}), ({"workers": 1}, {"workers": 3}),
          ({"workers": 3}, {"reuseport": False}),
          ({"workers": 3, "reuseport": False}, {"reuseport": True}),
          ({"workers": 3}, {"workers": 2, "reuseport": False})]


@pytest.mark.parametrize("before, after", QUEUES, ids=str)
def test_clients_in_a_queue(a_site, before, after):
    """Whom no worker has accepted yet when the number of workers, or of
    sockets, changes: the new ones do, also where a socket goes."""
    s = a_site(workers=before["workers"])

    def to(workers=before["workers"], reuseport=True):
        return s.config(workers=workers, listen=[
            {**s.listen[0], "reuseport": reuseport}])
    if "reuseport" in before:
        s.reload(to(**before))
        s.settle(before["workers"] + 1)
    reloads = s.count("reloaded: ")
    halted = s.weir.workers()
    for pid in halted:
        os.kill(pid, signal.SIGSTOP)
    waiting = [Client(s.weir.address) for _ in range(30)]
    for client in waiting:
        client.send(compose(target="/own"))
    s.hup(to(**{**before, **after}))
    wait.until(lambda: s.count("reloaded: ") > reloads, 30)
    for client in waiting:
        kind, answer = outcome(client)
        assert kind == "complete" and answer.status == 200
        client.close()
    for pid in halted:
        os.kill(pid, signal.SIGCONT)
    s.settle({**before, **after}["workers"] + 1)


def test_listeners_come_and_go(a_site):
    """Who waits at one that goes is served; then it is refused."""
    s = a_site(workers=2)
    more = {"address": conf.address()}
    line = s.reload(s.config(listen=s.listen + [more]))
    assert "added listener %s" % more["address"] in line
    there = conf.split(more["address"])
    with Requests(s.weir.address):
        for _ in range(10):
            with Client(there) as client:
                assert client.get("/own").status == 200
        s.settle()
        workers = s.weir.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        waiting = [Client(there) for _ in range(8)]
        for client in waiting:
            client.send(compose(target="/own"))
        s.hup(s.config())
        wait.until(lambda: s.count("reloaded: ") == 2, 30)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        for client in waiting:
            kind, answer = outcome(client)
            assert kind == "complete" and answer.status == 200
            client.close()
    assert "removed listener %s" % more["address"] in s.weir.log

    def is_refused():
        try:
            socket.create_connection(there, 0.2).close()
            return False
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    wait.until(is_refused)
    s.settle()


def test_listener_comes_back(a_site):
    """What was taken out by mistake is put back at once: it is bound when the
    old one has been emptied."""
    s = a_site(workers=2)
    more = {"address": conf.address()}
    there = conf.split(more["address"])
    both = s.config(listen=s.listen + [more])
    s.reload(both)
    with Requests(s.weir.address):
        s.reload(s.config())
        assert "added listener %s" % more["address"] in s.reload(both)
        with Client(there) as client:
            assert client.get("/own").status == 200
    s.settle()
    with Client(there) as client:
        assert client.get("/own").status == 200


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def refuses(address):
    """Nobody listens there any more."""
    def look():
        try:
            socket.create_connection(address, 5).close()
            return False
        except ConnectionRefusedError:
            return True
    wait.until(look, 10, what="%s:%d is refused" % address)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6")
@pytest.mark.parametrize("reuseport", [True, False])
def test_ipv6_only_changes(a_site, reuseport):
    """IPv4 comes and goes at [::], and no client of IPv6 notices."""
    s = a_site()
    port = conf.free_port("::")
    six, four = ("::1", port), ("127.0.0.1", port)

    def at(only):
        return s.config(listen=[{"address": "[::]:%d" % port,
                                 "ipv6_only": only, "reuseport": reuseport}])

    s.reload(at(True))
    refuses(four)
    with Requests(six):
        s.reload(at(False))
        with Requests(four, 2):
            s.reload(at(False))
        s.settle()
        s.reload(at(True))
        refuses(four)
        s.settle()
    assert len(re.findall("changed listener", s.weir.log)) >= 2


@pytest.mark.parametrize("reuseport", [True, False])
def test_wildcard_and_exact_address(a_site, reuseport):
    """0.0.0.0 becomes 127.0.0.1 on the same port, and back."""
    s = a_site()
    port = conf.free_port("0.0.0.0")
    near, far = ("127.0.0.1", port), ("127.0.0.2", port)

    def at(*hosts):
        return s.config(listen=s.listen + [
            {"address": "%s:%d" % (host, port), "reuseport": reuseport}
            for host in hosts])

    s.reload(at("0.0.0.0"))
    with Requests(near):
        with Requests(far, 2):
            pass
        s.reload(at("127.0.0.1"))
        refuses(far)
        s.settle()
        s.reload(at("0.0.0.0"))
        with Requests(far, 2):
            pass
        s.reload(at("127.0.0.1", "127.0.0.2"))
        with Requests(far, 2):
            pass
        s.settle()
    # What a plain start would refuse is refused here, too.
    log = s.refused(at("127.0.0.1", "0.0.0.0"))
    assert "Address already in use" in log
    log = s.refused(at("0.0.0.0", "127.0.0.3"))
    assert "Address already in use" in log
    with Client(near) as client:
        assert client.get("/own").status == 200


@pytest.mark.short
def test_unix_socket(a_site):
    """The same file for a kept one; the mode changes; removed, it goes."""
    s = a_site()
    path = s.weir.path("sock")
    with_unix = s.listen + [{"address": "unix:" + path}]
    s.reload(s.config(listen=with_unix))
    first = os.stat(path)
    with Client(path) as client:
        assert client.get("/own").status == 200
    with_unix[1]["mode"] = 0o600
    s.reload(s.config(listen=with_unix))
    assert os.stat(path).st_ino == first.st_ino
    assert os.stat(path).st_mode & 0o777 == 0o600
    with Client(path) as client:
        assert client.get("/own").status == 200
    s.reload(s.config())
    assert not os.path.exists(path)
    s.settle()


@pytest.mark.short
def test_settings_of_the_start(a_site):
    """They keep their values, with one warning; the rest takes effect."""
    s = a_site()
    s.reload(s.config({"name": "new", "path": "/new",
                       "respond": {"body": "new\n"}}, backends_max=600))
    assert s.weir.get("/new").body == b"new\n"
    assert s.count("warn: backends_max takes effect at a restart") == 1
    s.settle()


# -- logs --------------------------------------------------------------------

def test_no_line_is_lost(a_site):
    """Ten reloads, each with another writer: a line for each request."""
    s = a_site()
    route = {**OWN, "accesslog": [{
        "path": "@DIR@/access.log", "format": "${request.path}"}]}
    s.options["own"] = route
    s.reload(s.config())
    with Requests(s.weir.address) as requests:
        for _ in range(10):
            s.reload()
    s.settle()

    def lines():
        return s.weir.read("access.log").splitlines()
    wait.until(lambda: len(lines()) >= requests.good, what="all lines")
    assert len(lines()) == requests.good
    assert set(lines()) == {"/own"}


@pytest.mark.short
def test_error_log_moves(a_site):
    """Another file, and the old one is closed; numbers are used again."""
    s = a_site()
    for n in range(6):
        s.hup(s.config(error_log={"path": "@DIR@/error.%d" % n}))
        wait.until(lambda: os.path.exists(s.weir.path("error.%d" % n)) and
                   "reloaded: " in s.weir.read("error.%d" % n))
    s.settle()
    wait.until(lambda: sum("/error." in name
                           for name in open_files(s.weir.pid)) == 1)


# -- what is refused ----------------------------------------------------------

@pytest.mark.short
def test_bad_configurations(a_site):
    """Each is reported once, all of it, and nothing changes."""
    s = a_site()
    good = conf.document(s.config())
    log = s.refused(good.replace("respond", "respnd").replace(
        "workers = 2", 'workers = "two"'))
    assert log.count("unknown setting `respnd`") == 1
    assert len(re.findall(r"weir.conf:\d+:\d+: error: ", log)) >= 2
    log = s.refused(good + "{")
    assert log.count(": error: ") == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        new = conf.address()
        log = s.refused(s.config(listen=s.listen + [
            {"address": new}, {"address": address}]))
        assert log.count("Address already in use") == 1
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(conf.split(new), 1)
    log = s.refused(s.config(error_log={"path": "/nonexistent/log"}))
    assert "/nonexistent/log" in log
    os.unlink(s.weir.conf)
    log = s.refused()
    assert "No such file" in log
    s.reload(s.config())
    s.settle()


@pytest.mark.short
def test_faults_while_loading(a_site):
    """A crash and a hang while it is checked; processes that die at the
    start of the new generation."""
    if "test" not in run("-V")[1].split():
        pytest.skip("built without the module test")
    s = a_site(daemon_ready_timeout="1s")
    fds = len(open_files(s.weir.pid))
    for test, want in (
            ({"load": "crash"}, "loading it was ended by SIGKILL"),
            ({"load": "hang"}, "loading it took longer than 1000 ms"),
            ({"fork_dies": 1}, "background .* before it served"),
            ({"fork_dies": 3}, "worker 1 .* before it served")):
        log = s.refused(s.config(own={**OWN, "test": test}))
        assert re.search(want, log), log
    wait.until(lambda: len(open_files(s.weir.pid)) <= fds)
    s.reload(s.config())
    s.settle()


# -- many ----------------------------------------------------------------------

def test_storm(a_site):
    """Fifty HUPs become a few reloads: nobody is cut, nothing piles up."""
    s = a_site(workers=2, max_draining_generations=1)
    most = 0
    with Requests(s.weir.address):
        for _ in range(50):
            s.hup()
            most = max(most, len(s.weir.children()))
        wait.until(lambda: s.count("reloaded: ") >= 1)
        s.settle()
    # One serves, one drains, one starts; one that has drained may be ending.
    assert most <= 4 * 3, most
    assert s.count("is not used") == 0


def test_merged(a_site, origin):
    """All who ask while one waits for its turn have the same answer; its
    turn is when the oldest has met its deadline."""
    s = a_site(workers=1, max_draining_generations=1, shutdown_timeout="2s")
    release = threading.Event()
    script = origin.script(lambda exchange: release.wait(30))
    answers = []
    with Client(s.weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        s.reload()
        asking = [threading.Thread(target=lambda: answers.append(
            Control(s.weir).ask("reload --config-only"))) for _ in range(12)]
        for thread in asking:
            thread.start()
        s.weir.wait_log("waiting until one of 1 generations")
        assert not answers and s.count("reloaded: ") == 1
        for thread in asking:
            thread.join(20)
        assert outcome(client)[0] == "none"
    s.weir.wait_log("cut at the end: 1 request, 0 tunnels and 0 idle")
    assert {a["result"]["generation"] for a in answers if a["ok"]} <= {3, 4}
    assert len(answers) == 12 and all(a["ok"] for a in answers), answers
    # Who came after it had begun is the next.
    assert 2 <= s.count("reloaded: ") <= 3
    s.settle(2)
    release.set()


def test_most_that_drain(a_site, origin):
    """One more waits until a place is free, and takes the newest file."""
    s = a_site(workers=1, max_draining_generations=1)
    release = threading.Event()

    def slow(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        release.wait(30)
        exchange.send(b"done")
        return True
    download = origin.script(slow)
    with Client(s.weir.address) as client:
        client.send(compose(target=download.path))
        download.wait()
        s.reload()
        s.hup()
        s.weir.wait_log("waiting until one of 1 generations")
        s.hup(s.config(own={**OWN, "respond": {"body": "last\n"}}))
        assert s.weir.get("/own").body == b"own\n"
        assert s.count("reloaded: ") == 1
        release.set()
        assert outcome(client)[1].body == b"halfdone"
    wait.until(lambda: s.weir.get("/own").body == b"last\n")
    s.settle(2)
    assert s.count("reloaded: ") == 2


def test_merged_and_refused(a_site, origin):
    """What two have asked for is forgotten, whoever came first."""
    s = a_site(workers=2, max_draining_generations=1)
    release = threading.Event()
    script = origin.script(lambda exchange: (
        release.wait(30), exchange.reply(200, b"late"), True)[-1])
    answers = []
    with Client(s.weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        s.reload()
        asking = []
        for count in "34":
            asking.append(threading.Thread(target=lambda line: answers.append(
                Control(s.weir).ask(line)), args=("workers " + count,)))
            asking[-1].start()
            s.weir.wait_log('control: "workers %s"' % count)
        s.write(conf.document(s.config()) + "wrokers = 1;\n")
        release.set()
        assert outcome(client)[1].body == b"late"
    for thread in asking:
        thread.join(20)
    assert len(answers) == 2 and not any(a["ok"] for a in answers)
    assert s.count("is not used: ") == 1
    assert "serves with 2 workers" in s.reload(s.config())
    s.settle()


def metrics(s):
    return once(s.weir.admin, target="/metrics").body.decode()


def test_cut_at_the_deadline(a_site, origin):
    """What does not end in time is cut, and the generation goes; the log
    says how many of what."""
    s = a_site(workers=1, shutdown_timeout="300ms")
    release = threading.Event()
    script = origin.script(lambda exchange: release.wait(30))
    with Client(s.weir.address) as client, Client(s.weir.address) as idle:
        client.send(compose(target=script.path))
        assert idle.get("/own").status == 200
        script.wait()
        s.reload()
        assert outcome(client)[0] != "complete"
        assert idle.closed()
        s.settle(2)
    s.weir.wait_log("cut at the end: 1 request, 0 tunnels and 1 idle")
    text = metrics(s)
    assert 'weir_proxy_drain_cut_total{what="request"} 1' in text
    assert 'weir_proxy_drain_cut_total{what="idle"} 1' in text
    release.set()


def test_worker_that_does_not_end(a_site):
    """It hangs at the end of its drain: it is killed, and that is said."""
    s = a_site(workers=1, shutdown_timeout="100ms")
    hung, = s.weir.workers()
    os.kill(hung, signal.SIGSTOP)
    s.reload()
    s.weir.wait_log("generation 1: 1 worker did not end in time and was "
                    "killed")
    s.settle(2)
    assert not proc.alive(hung) and s.weir.get("/own").status == 200


@pytest.mark.short
def test_shutdown_delay(a_site):
    """TERM: it serves on while /healthz says 503; a second one drains no
    longer."""
    s = a_site(workers=1, shutdown_delay="30s")
    s.weir.send_signal(signal.SIGTERM)
    wait.until(lambda: s.weir.health() == 503)
    assert s.weir.get("/own").status == 200
    s.hup()
    s.weir.wait_log("weir is stopping")
    s.weir.send_signal(signal.SIGTERM)
    assert s.weir.wait_exit(10) == 0


def test_shutdown_delay_after_a_crash(a_site):
    """Who takes a dead worker's place says 503 too."""
    s = a_site(workers=1, shutdown_delay="60s")
    s.weir.send_signal(signal.SIGTERM)
    wait.until(lambda: s.weir.health() == 503)
    for victim in range(3):
        old = wait.until(s.weir.workers)
        os.kill(old[0], signal.SIGKILL)
        wait.until(lambda: s.weir.workers() not in ([], old))

        def health():
            try:
                return s.weir.health()
            except OSError:  # of the dead one
                return None
        # It serves a moment before it hears that.
        wait.until(lambda: health() == 503)
        assert health() == 503 and s.weir.get("/own").status == 200
    s.weir.expect_new_children()
    s.weir.send_signal(signal.SIGTERM)
    assert s.weir.wait_exit(10) == 0


@pytest.mark.short
def test_shutdown_delay_ends(a_site):
    s = a_site(workers=1, shutdown_delay="300ms")
    s.weir.send_signal(signal.SIGTERM)
    assert s.weir.wait_exit(10) == 0
    assert "stopping: draining" in s.weir.log


@pytest.mark.short
def test_drain_shorter_than_keepalive(a_site):
    s = a_site()
    s.write(s.config(shutdown_timeout="10s"))
    status, _, err = run("-t", "-c", s.weir.conf)
    assert status == 0
    assert "warning: shutdown_timeout does not exceed" in err


def test_tunnels_have_their_own_time(a_site, origin):
    """A tunnel goes earlier than the drain's end; what is cut is counted
    and named."""
    s = a_site(workers=1, http={"tunnel_shutdown_timeout": "200ms"})
    release = threading.Event()

    def tunnel(exchange):
        exchange.send(ws.switching(exchange))
        release.wait(30)
        return False
    script = origin.script(tunnel)
    with Client(s.weir.address) as client:
        client.send(compose(target=script.path,
                            fields=ws.handshake_fields()))
        assert b" 101 " in client.sock.recv(4096)
        s.reload()
        assert client.closed(timeout=10)
    s.settle(2)
    s.weir.wait_log("draining: 1 tunnel was cut")
    assert 'weir_proxy_drain_cut_total{what="tunnel"} 1' in metrics(s)
    release.set()


# -- faults --------------------------------------------------------------------

@pytest.fixture
def certs():
    made = tls.Certs()
    yield made
    made.remove()


@pytest.mark.short
def test_missing_key(a_site, certs):
    """The key of a new listener, and then of one that serves, is not there."""
    need("openssl")
    s = a_site()
    cert, key = certs.own("pair", "localhost")
    secure = {"address": conf.address(), "tls": {"cert": cert, "key": key}}
    hidden = key + ".elsewhere"
    os.rename(key, hidden)
    log = s.refused(s.config(listen=s.listen + [secure]))
    assert re.search(r"weir.conf:\d+:\d+: error: .*pair.key", log), log
    assert "No such file" in log
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(conf.split(secure["address"]), 1)
    os.rename(hidden, key)
    s.reload(s.config(listen=s.listen + [secure]))
    s.settle()
    os.rename(key, hidden)
    assert "pair.key" in s.refused()
    os.rename(hidden, key)
    s.settle()


@pytest.mark.short
def test_certificates_that_come_and_go(a_site, certs):
    """Each is named once, also one that two listeners have."""
    need("openssl")
    s = a_site()
    pairs = [certs.own(name, "localhost") for name in ("one", "two")]

    def at(cert, key):
        return {"address": conf.address(), "tls": {"cert": cert, "key": key}}

    def told(listen):
        line = s.reload(s.config(listen=s.listen + listen))
        s.settle()
        return re.findall("(?:added|changed|removed) certificate [^,]*", line)

    cert = pairs[0][0]
    both = [at(*pairs[0]), at(*pairs[0])]
    assert told(both) == ["added certificate " + cert]
    assert told(both) == []
    assert told(both[1:]) == []
    for new, old in zip(pairs[1], pairs[0]):
        os.replace(new, old)
    assert told(both) == ["changed certificate " + cert]
    assert told([]) == ["removed certificate " + cert]


@pytest.mark.root
def test_full_disk(a_site):
    """Logs that cannot be written, a new one that cannot be made: it serves
    on, the one is dropped and the other refused."""
    s = a_site()
    mount = s.weir.path("small")
    os.mkdir(mount)
    if subprocess.run(["mount", "-t", "tmpfs", "-o",
                       "size=16k,nr_inodes=3,mode=777", "tmpfs", mount],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("nothing can be mounted")
    try:
        own = {**OWN, "accesslog": [{"path": mount + "/a.log"}]}
        s.reload(s.config(own=own))
        with open(mount + "/filler", "wb", buffering=0) as f:
            with pytest.raises(OSError):
                while f.write(b"x" * 4096):
                    pass
        for _ in range(3):
            assert s.weir.get("/own").status == 200
        # The full disk is no reason to refuse what is good.
        s.reload(s.config({"name": "new", "path": "/new",
                           "respond": {"body": "new\n"}}, own=own))
        assert s.weir.get("/new").body == b"new\n"
        # But a log that is not there cannot be made.
        log = s.refused(s.config(own={**OWN, "accesslog": [
            {"path": mount + "/b.log"}]}))
        assert re.search(r"b.log: .*No space left", log), log
        s.reload(s.config())
        s.settle()
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


def stop_in_step(s, step):
    """A reload that does not go on: one of its processes is halted."""
    before = set(s.weir.children())
    test = {"load": "stop"} if step == "check" else {"fork_stops": 3}
    s.hup(s.config(own={**OWN, "test": test}))
    return wait.until(lambda: [pid for pid in set(s.weir.children()) - before
                               if proc.state(pid) == "T"], 15)[0]


@pytest.mark.parametrize("step", ["check", "start", "drain"])
def test_master_killed_during_a_reload(a_site, step):
    """Who served before serves on, nothing that was new remains, and a plain
    start takes over."""
    if "test" not in run("-V")[1].split():
        pytest.skip("built without the module test")
    s = a_site(workers=2, upgrade_sock="@DIR@/own/upgrade.sock")
    master = s.weir.pid
    before = set(s.weir.children())
    halted = None
    if step == "drain":
        client = Client(s.weir.address)
        assert client.get("/own").status == 200
        s.reload()
        old = s.weir.worker_of(client)
        before = {pid for pid in s.weir.children() if pid not in before}
    else:
        halted = stop_in_step(s, step)
    os.kill(master, signal.SIGKILL)
    s.weir.process.wait(10)
    if step == "start":
        os.kill(halted, signal.SIGCONT)
    # Who checks has ended with it.
    wait.until(lambda: not halted or not proc.alive(halted))
    if step == "drain":
        assert proc.alive(old)
        answer = client.get("/own")
        assert answer.status == 200 and "close" in answer.fields.tokens(
            "connection")
        client.close()
    assert s.weir.get("/own").body == b"own\n"
    # A background process ends with the last worker of all.
    wait.until(lambda: {pid for pid in proc.of_session(master) if
                        re.search("worker|checks", proc.title(pid))} <=
               before, 20, what="only those who served are left")
    s.write(s.config())
    s.weir.start()
    s.weir.wait_log("taking over from process")
    assert s.weir.get("/own").body == b"own\n"
    wait.until(lambda: not proc.of_session(master), 20,
               what="the orphans have drained")


def test_memory_and_descriptors(a_site):
    """After 60 reloads the master is what it was after 20."""
    s = a_site(workers=1)

    def measure(reloads):
        for _ in range(reloads):
            s.reload()
        s.settle(2)
        wait.until(lambda: s.count("has gone") == s.count("reloaded: "))
        return (proc.memory(s.weir.pid),
                len(open_files(s.weir.pid)))
    s.options["error_log"] = {"level": "debug"}
    s.reload(s.config())
    rss, fds = measure(20)
    rss_after, fds_after = measure(40)
    assert fds_after == fds
    assert rss_after <= rss + 1024 * 1024, (rss, rss_after)
