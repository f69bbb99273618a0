"""Every wait has an end, and the one who caused it is told."""
# SPDX-License-Identifier: BSD-2-Clause
import socket
import threading
import time

import pytest

from lib import conf
from lib.client import Client, compose, outcome
from lib.origin import Blackhole

pytestmark = pytest.mark.short

# What each service shortens; the rest stays long enough not to matter.
SERVICES = {
    "head": {"client_header_timeout": "300ms"},
    "body": {"client_body_timeout": "300ms"},
    "rate": {"client_body_min_rate": 1000,
             "client_body_min_rate_after": "300ms"},
    "write": {"client_write_timeout": "300ms"},
    "write-rate": {"client_body_min_rate": 100000,
                   "client_body_min_rate_after": "300ms"},
    "idle": {"stream_idle_timeout": "400ms",
             "client_body_timeout": "150ms"},
    "streaming": {"streaming": True, "client_body_timeout": "150ms",
                  "client_body_min_rate": 1000,
                  "client_body_min_rate_after": "150ms"},
    "tunnel": {"tunnel_idle_timeout": "300ms"},
}
UPSTREAMS = {
    "plain": {}, "first": {"first_byte": "300ms"},
    "between": {"between_bytes": "300ms"}, "total": {"total": "400ms"},
}


@pytest.fixture(scope="module")
def hole():
    one = Blackhole()
    yield one
    one.close()


@pytest.fixture(scope="module")
def weirs(start_shared, origin, hole):
    routes = [{"path": "/" + name, "upstream": name} for name in UPSTREAMS]
    routes += [
        {"path": "/hole", "upstream": "hole"},
        {"path": "/routed", "upstream": "plain",
         "timeouts": {"first_byte": "250ms"}},
        {"path": "/longer", "upstream": "first",
         "timeouts": {"first_byte": "20s"}},
        {"path": "/", "upstream": "plain"}]
    ups = [conf.upstream(name, origin, timeouts=timeouts, retries=0)
           for name, timeouts in UPSTREAMS.items()]
    ups.append(conf.upstream("hole", hole, retries=0,
                             timeouts={"connect": "300ms"}))
    weir = start_shared(conf.config(
        [conf.service(*routes, name=name, **options)
         for name, options in {"web": {}, **SERVICES}.items()], ups))
    addresses = dict(zip(["web", *SERVICES], weir.addresses))
    addresses["weir"] = weir
    return addresses


@pytest.fixture
def connect(weirs):
    made = []

    def go(name="web", **kw):
        client = Client(weirs[name], **kw)
        made.append(client)
        return client
    yield go
    for client in made:
        client.close()


class Clock:
    """How long something took, with room for a busy machine."""

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *unused):
        self.took = time.monotonic() - self.began

    def about(self, seconds):
        assert seconds * 0.7 <= self.took <= seconds + 2.5, self.took


def trickle(client, data, pause=0.05, stop=None):
    """Send a byte now and then until the peer has had enough."""
    def run():
        for i in range(len(data)):
            if stop is not None and stop.is_set():
                return
            try:
                client.sock.send(data[i:i + 1])
            except OSError:
                return
            time.sleep(pause)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


# -- the client's head -----------------------------------------------------

@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n",
                                   b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_head_that_stops(connect, start):
    client = connect("head")
    with Clock() as clock:
        client.send(start)
        assert client.response().status == 408
        assert client.closed()
    clock.about(0.3)


def test_head_that_trickles(connect):
    """The time is for the whole head (pingora 146, promise 7)."""
    client = connect("head")
    with Clock() as clock:
        trickle(client, compose(target="/" + "a" * 200))
        assert client.response().status == 408
        assert client.closed()
    clock.about(0.3)


def test_head_of_a_later_request(connect):
    """From its first byte on, on a kept connection too."""
    client = connect("head")
    assert client.get("/hello").status == 200
    assert client.silent(0.5), "idle time is not head time"
    with Clock() as clock:
        trickle(client, compose(target="/" + "a" * 200))
        assert client.response().status == 408
    clock.about(0.3)


def test_connection_without_a_byte(connect):
    """Closed, with or without 408."""
    client = connect("head")
    with Clock() as clock:
        kind, response = outcome(client)
        assert kind == "none" or response.status == 408
    clock.about(0.3)


# -- the client's body -----------------------------------------------------

@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("part", [b"", b"part"])
def test_body_that_stops(connect, origin, framing, part):
    """408, and the backend never has a whole request."""
    script = origin.script(lambda e: e.reply(200))
    client = connect("body")
    with Clock() as clock:
        if framing == "length":
            client.send(compose("POST", script.path,
                                [("Content-Length", "100")]) + part)
        else:
            client.send(compose("POST", script.path,
                                [("Transfer-Encoding", "chunked")])
                        + (b"%x\r\n%s\r\n" % (len(part), part)
                           if part else b""))
        assert client.response().status == 408
        assert client.closed()
    clock.about(0.3)
    for exchange in script.exchanges:
        assert exchange.done.wait(5) and exchange.failure


def test_body_that_trickles_may(connect, origin):
    """Each piece restarts client_body_timeout; the rate is satisfied."""
    script = origin.script(lambda e: e.reply(200, e.body()))
    client = connect("body")
    client.send(compose("POST", script.path, [("Content-Length", "20")]))
    trickle(client, b"x" * 20)
    assert client.response().body == b"x" * 20


def test_body_below_the_least_rate(connect, origin):
    """1000 B/s are asked for after 300 ms; 20 B/s come."""
    script = origin.script(lambda e: e.reply(200))
    client = connect("rate")
    with Clock() as clock:
        client.send(compose("POST", script.path,
                            [("Content-Length", "100000")]))
        trickle(client, b"x" * 400)
        assert client.response().status == 408
        assert client.closed()
    assert clock.took < 4


def test_body_above_the_least_rate(connect, origin):
    script = origin.script(lambda e: e.reply(200, str(len(e.body()))))
    client = connect("rate")
    client.send(compose("POST", script.path, [("Content-Length", "4000")]))
    for _ in range(20):
        client.send(b"x" * 200)
        time.sleep(0.05)
    assert client.response().body == b"4000"


def test_slow_backend_is_not_the_clients_fault(connect, origin_factory,
                                               start):
    """While the backend does not read, no limit of the client runs."""
    slow = origin_factory(rcvbuf=16384)
    go = threading.Event()

    def answer(exchange):
        go.wait(8)
        exchange.reply(200, str(len(exchange.body())))
        return True
    slow.default = answer
    weir = start(conf.proxy(slow, client_body_timeout="200ms",
                            client_body_min_rate=100000,
                            client_body_min_rate_after="200ms"))
    size = 8 << 20
    with Client(weir.address) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        sender = threading.Thread(
            target=client.send,
            args=(compose("POST", "/", body=b"x" * size), True))
        sender.start()
        assert client.silent(0.9), "cut while the backend slept"
        go.set()
        assert client.response().text == str(size)
        sender.join(8)


def test_after_the_head_the_stream_timeout_holds(connect, origin):
    """client_body_timeout 150 ms ends with the response head."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                      b"\r\n2\r\nok\r\n")
        exchange.body()
        exchange.send(b"0\r\n\r\n")
        return True
    script = origin.script(answer)
    client = connect("idle")
    client.send(compose("POST", script.path, [("Content-Length", "3")])
                + b"a")
    head = client.reader.response_head()
    assert head.status == 200
    assert client.reader.chunk(head) == b"ok"
    assert client.silent(0.25), "cut by client_body_timeout"
    client.send(b"bc")
    assert client.reader.chunk(head) is None


def test_stream_idle_timeout(connect, origin):
    """400 ms without a byte of the upload, after the head: cut."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                      b"\r\n2\r\nok\r\n")
        exchange.body()
        return True
    script = origin.script(answer)
    client = connect("idle")
    with Clock() as clock:
        client.send(compose("POST", script.path, [("Content-Length", "3")]))
        assert outcome(client)[0] == "cut"
    clock.about(0.4)


def test_streaming_routes(connect, origin):
    """streaming = true: no rate and no 150 ms, from the start."""
    script = origin.script(lambda e: e.reply(200, e.body()))
    client = connect("streaming")
    client.send(compose("POST", script.path, [("Content-Length", "2")]))
    assert client.silent(0.5)
    client.send(b"a")
    assert client.silent(0.3)
    client.send(b"b")
    assert client.response().body == b"ab"


# -- the client's reading --------------------------------------------------

def endless(exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                  % (1 << 40))
    try:
        while True:
            exchange.send(b"x" * 65536)
    except OSError:
        return False


@pytest.mark.parametrize("service", ["write", "write-rate"])
def test_client_that_does_not_read(connect, origin, service):
    """pingora 69; promise 7: cut, and the backend is let go."""
    script = origin.script(endless)
    client = connect(service, rcvbuf=4096)
    client.send(compose(target=script.path))
    assert client.reader.response_head().status == 200
    script.wait_done(timeout=6)
    client.reader.keep = False
    kind = "reset"
    try:
        while True:
            if not client.reader.some(3):
                kind = "reset" if client.reader.reset else "closed"
                break
    except AssertionError:
        kind = "open"
    assert kind != "open"


def test_client_that_reads_slowly_may(connect, origin):
    """pingora 70: progress restarts client_write_timeout."""
    body = b"y" * 400000
    script = origin.script(lambda e: e.reply(200, body))
    client = connect("write", rcvbuf=4096)
    client.send(compose(target=script.path))
    client.reader.response_head()
    got = 0
    while got < len(body):
        got += len(client.reader.exactly(min(20000, len(body) - got)))
        time.sleep(0.03)
    assert got == len(body)


def test_stream_without_bytes_is_not_a_slow_reader(connect, origin):
    """Promise 7: what waits for the backend is not cut by the client's
    limits."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                      b"\r\n2\r\nok\r\n")
        time.sleep(0.9)
        exchange.send(b"0\r\n\r\n")
        return True
    script = origin.script(answer)
    for service in ("write", "write-rate"):
        assert connect(service).get(script.path).body == b"ok"


# -- the backend -----------------------------------------------------------

def test_connect(connect):
    client = connect()
    with Clock() as clock:
        assert client.get("/hole/x").status == 504
    clock.about(0.3)


@pytest.mark.parametrize("path,seconds", [("/first", 0.3),
                                          ("/routed", 0.25)])
def test_first_byte(connect, origin, path, seconds):
    """504; the backend's connection is closed."""
    script = origin.raw(b"", then="gone")
    client = connect()
    with Clock() as clock:
        assert client.get(path + script.path).status == 504
    clock.about(seconds)
    assert script.wait_done().failure is None


def test_first_byte_of_a_trickled_head(connect, origin):
    """A head that began but does not end is no answer."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nX: ")
        exchange.gone()
        return False
    script = origin.script(answer)
    client = connect()
    with Clock() as clock:
        assert client.get("/first" + script.path).status == 504
    clock.about(0.3)


def test_interims_do_not_hold_off_the_first_byte_for_ever(connect, origin):
    """Sixteen 102s at most, then 502; or 504 before."""
    def answer(exchange):
        try:
            while True:
                exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n")
                time.sleep(0.05)
        except OSError:
            return False
    script = origin.script(answer)
    client = connect()
    assert client.get("/first" + script.path).status in (502, 504)


def test_route_may_allow_more(connect, origin):
    def answer(exchange):
        time.sleep(0.6)
        exchange.reply(200, b"late")
        return True
    script = origin.script(answer)
    assert connect().get("/longer" + script.path).body == b"late"


def test_first_byte_counts_from_the_whole_request(connect, origin):
    """A slow upload is not the backend's delay."""
    script = origin.script(lambda e: e.reply(200, e.body()))
    client = connect()
    client.send(compose("POST", "/first" + script.path,
                        [("Content-Length", "10")]))
    trickle(client, b"0123456789", pause=0.06)
    assert client.response().body == b"0123456789"


def test_between_bytes(connect, origin):
    """After the head there is no status left: the answer is cut."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart")
        exchange.gone()
        return False
    script = origin.script(answer)
    client = connect()
    with Clock() as clock:
        client.send(compose(target="/between" + script.path))
        kind, response = outcome(client)
        assert (kind, response.body) == ("cut", b"part")
    clock.about(0.3)
    assert script.wait_done().failure is None


def test_each_piece_restarts_between_bytes(connect, origin):
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            time.sleep(0.1)
            exchange.send(b"x")
        return True
    script = origin.script(answer)
    assert connect().get("/between" + script.path).body == b"x" * 8


def test_total_before_the_head(connect, origin):
    script = origin.raw(b"", then="gone")
    client = connect()
    with Clock() as clock:
        assert client.get("/total" + script.path).status == 504
    clock.about(0.4)


def test_total_inside_the_body(connect, origin):
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        try:
            for _ in range(100):
                exchange.send(b"x")
                time.sleep(0.05)
        except OSError:
            pass
        return False
    script = origin.script(answer)
    client = connect()
    with Clock() as clock:
        client.send(compose(target="/total" + script.path))
        assert outcome(client)[0] == "cut"
    clock.about(0.4)


def test_slow_to_read_backend(connect, origin_factory, start):
    """A backend that takes no byte of an upload is too slow as well."""
    slow = origin_factory(rcvbuf=4096)
    slow.default = lambda e: e.conn.ended.wait(6) and False
    weir = start(conf.proxy(slow, up={"retries": 0, "timeouts": {
        "between_bytes": "300ms", "first_byte": "300ms"}}))
    with Client(weir.address) as client:
        sender = threading.Thread(target=client.send, args=(
            compose("POST", "/", body=b"x" * (32 << 20)), True))
        sender.start()
        assert client.response().status == 504
        client.close()
        sender.join(8)
    slow.close()


# -- the timers themselves -------------------------------------------------

def test_many_deadlines_at_once(connect, weirs):
    """Three hundred connections, each cut at its time."""
    clients = [Client(weirs["head"]) for _ in range(300)]
    try:
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\n")
        with Clock() as clock:
            for client in clients:
                assert client.response().status == 408
        assert clock.took < 4
    finally:
        for client in clients:
            client.close()


def test_requests_in_time_are_untouched(connect, origin):
    """The deadlines of a request end with it."""
    for service in SERVICES:
        client = connect(service)
        for _ in range(3):
            assert client.get("/hello").status == 200
        assert client.silent(0.05)
