"""A backend gets no more connections than it may have; the rest waits."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import select
import signal
import socket
import threading
import time

import pytest

from lib import conf, wait
from lib.client import Client

pytestmark = [pytest.mark.short, pytest.mark.process]

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Narrow:
    """Counts the connections that are open at once."""

    def __init__(self, pause=0.0):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(512)
        self.backend = "%s:%d" % self.sock.getsockname()
        self.pause = pause
        self.most = 0
        self.accepted = 0
        self.open = set()
        self.holding = None
        self.arrived = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def _alive(self):
        """Connections that weir has not closed: its FIN is there before
        the next connection is."""
        poll = select.poll()
        for fd in list(self.open):
            poll.register(fd, select.POLLRDHUP)
        return len(self.open) - len(poll.poll(0))

    def _run(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.open.add(sock.fileno())
            self.accepted += 1
            self.most = max(self.most, self._alive())
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        try:
            while sock.recv(4096):
                self.arrived.release()
                if self.holding:
                    self.holding.wait(20)
                time.sleep(self.pause)
                sock.sendall(ANSWER)
        except OSError:
            pass
        self.open.discard(sock.fileno())
        sock.close()

    def close(self):
        if self.holding:
            self.holding.set()
        self.sock.close()


@pytest.fixture
def narrow():
    server = Narrow()
    yield server
    server.close()


def config(backends, workers=1, **up):
    return conf.config(conf.service({"path": "/", "upstream": "app"}),
                       [conf.upstream("app", *backends, **up)],
                       workers=workers)


def crowd(weir, count, rounds):
    """So many clients at once; the statuses they get."""
    socks, statuses = [], []
    for _ in range(count):
        sock = socket.create_connection(weir.address, 20)
        sock.settimeout(20)
        socks.append(sock)
    for _ in range(rounds):
        for sock in socks:
            sock.sendall(REQUEST)
        for sock in socks:
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"ok"):
                piece = sock.recv(4096)
                if not piece:
                    break
                answer += piece
            statuses.append(answer[9:12])
    for sock in socks:
        sock.close()
    return statuses


def test_never_one_more(start, narrow):
    """8 workers, limit 10, 500 clients: the backend never sees 11."""
    narrow.pause = 0.002
    weir = start(config([narrow], workers=8, max_connections=10,
                        queue={"timeout": "20s"}))
    assert set(crowd(weir, 500, 3)) == {b"200"}
    assert 5 <= narrow.most <= 10
    # Mostly over kept connections: workers do not take them off each other.
    assert narrow.accepted < 750
    assert weir.metrics().sum("weir_proxy_queued_total") > 500
    wait.until(lambda: weir.metrics().sum("weir_backend_queued") == 0)


def test_two_backends(start, narrow):
    """The limit is each backend's own; both are used up to it."""
    other = Narrow(0.002)
    narrow.pause = 0.002
    weir = start(config(
        [narrow, {"address": other.backend, "max_connections": 3}],
        workers=2, max_connections=2, balance="least_connections"))
    assert set(crowd(weir, 60, 3)) == {b"200"}
    assert narrow.most == 2 and other.most == 3
    other.close()


def held(weir, narrow, count):
    """So many requests that the backend does not answer."""
    narrow.holding = threading.Event()
    clients = []
    for _ in range(count):
        client = Client(weir.address)
        client.send(REQUEST)
        assert narrow.arrived.acquire(timeout=10)
        clients.append(client)
    return clients


def test_queue_is_bounded(start, narrow):
    """One waits, the next one does not: 503 at once, and with
    Retry-After; the one that waits gets 503 when its time is up."""
    weir = start(config([narrow], max_connections=1,
                        queue={"size": 1, "timeout": "300ms"}))
    kept = held(weir, narrow, 1)
    with Client(weir.address) as waiting:
        waiting.send(REQUEST)
        wait.until(lambda: weir.metrics().sum("weir_proxy_queued_total"))
        refused = weir.get("/")
        assert refused.status == 503
        assert refused.fields.one("retry-after") == "1"
        late = waiting.response()
        assert late.status == 503
    weir.wait_log("until the queue's timeout")
    m = weir.metrics()
    assert m.sum("weir_proxy_errors_total", reason="queue_full") == 1
    assert m.sum("weir_proxy_errors_total", reason="queue_timeout") == 1
    narrow.holding.set()
    assert kept[0].response().status == 200
    assert weir.get("/").status == 200


def test_retry_holds_up_nobody(start, origin_factory):
    """Who has failed at the only backend with room lets others pass."""
    gates = {name: threading.Event() for name in ("/a", "/b", "/c", "/d")}
    came = {name: threading.Semaphore(0) for name in gates}

    def answer(exchange):
        if exchange.target in gates:
            came[exchange.target].release()
            gates[exchange.target].wait(30)
        if exchange.target == "/c":
            exchange.reset()
        else:
            # Nothing is kept: a failure is that of a new connection.
            exchange.reply(200, b"ok", [("Connection", "close")])
        return False

    two = [origin_factory(), origin_factory()]
    for origin in two:
        origin.default = answer
    weir = start(config(two, max_connections=1, retries=1, max_fails=0,
                        retry_budget={"percent": 100, "min_per_second": 100},
                        queue={"timeout": "60s"}))
    clients = {}

    def send(name):
        clients[name] = Client(weir.address)
        clients[name].send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
                           % name.encode())

    def queued(count):
        wait.until(lambda: weir.metrics().sum(
            "weir_proxy_queued_total") == count)

    for name in ("/a", "/b"):
        send(name)
        assert came[name].acquire(timeout=10)
    send("/c")
    queued(1)
    send("/d")
    queued(2)
    gates["/a"].set()
    assert came["/c"].acquire(timeout=10)
    gates["/c"].set()  # fails, and waits for the backend that has /b
    queued(3)
    assert came["/d"].acquire(timeout=10)
    send("/e")
    queued(4)
    gates["/d"].set()
    assert clients["/e"].response().status == 200
    for gate in gates.values():
        gate.set()
    for client in clients.values():
        client.close()


def test_no_queue(start, narrow):
    weir = start(config([narrow], max_connections=1, queue={"size": 0}))
    kept = held(weir, narrow, 1)
    assert weir.get("/").status == 503
    narrow.holding.set()
    assert kept[0].response().status == 200


def test_client_leaves_queue(start, narrow):
    """Who goes gives his place to the next one."""
    weir = start(config([narrow], max_connections=1,
                        queue={"size": 1, "timeout": "20s"}))
    kept = held(weir, narrow, 1)
    gone = Client(weir.address)
    gone.send(REQUEST)
    queued = "weir_proxy_queued_total"
    wait.until(lambda: weir.metrics().sum(queued) == 1)
    gone.close()

    def status():
        with Client(weir.address, timeout=0.3) as client:
            client.send(REQUEST)
            try:
                return client.response().status
            except (OSError, AssertionError):
                return None
    # Refused while the place is taken; then it waits.
    wait.until(lambda: status() is None)
    narrow.holding.set()
    assert kept[0].response().status == 200
    assert weir.get("/").status == 200


def clients_of_all(weir, workers):
    """A connection to each worker."""
    found = {}
    while len(found) < workers:
        client = Client(weir.address)
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: b\r\n\r\n")
        assert client.response().status == 404
        found.setdefault(weir.worker_of(client), client)
    return list(found.values())


def test_idle_of_another_worker(start, narrow):
    """No worker starves beside an idle connection of another one."""
    config_ = config([narrow], workers=2, max_connections=1,
                     queue={"timeout": "10s"})
    config_["services"][0]["routes"][0]["host"] = "a"
    weir = start(config_)
    first, second = clients_of_all(weir, 2)
    for client in [first, second] * 5:
        client.send(REQUEST)
        assert client.response().status == 200
    assert narrow.most == 1


def test_killed_worker(start, narrow):
    """kill -9 of workers that hold all connections: others follow."""
    weir = start(config([narrow], workers=2, max_connections=2,
                        queue={"timeout": "20s"}))
    kept = held(weir, narrow, 2)
    waiting = Client(weir.address)
    waiting.send(REQUEST)
    wait.until(lambda: weir.metrics().sum("weir_proxy_queued_total"))
    for pid in weir.workers():
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: len(weir.workers()) == 2)
    weir.expect_new_children()
    holding, narrow.holding = narrow.holding, None
    for _ in range(5):
        assert weir.get("/").status == 200
    holding.set()
    assert len(kept) == 2 and narrow.most <= 2

    def counted():
        m = weir.metrics()
        return (m.sum("weir_backend_limited_connections") in (1, 2)
                and m.sum("weir_backend_queued") == 0)
    wait.until(counted)
