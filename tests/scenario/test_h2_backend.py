# SPDX-License-Identifier: BSD-2-Clause
"""Backends that speak HTTP/2, and whatever client they meet."""
import base64
import collections
import hashlib
import shutil
import signal
import ssl
import struct
import subprocess
import threading
import time

import pytest

from conftest import need
from lib import conf, tls, wait
from lib import h2wire as h2
from lib.client import Client
from lib.origin import big
from lib.weir import run

pytestmark = pytest.mark.short
OK = [(":status", "200")]


@pytest.fixture(scope="module", autouse=True)
def built_with_it():
    status, out, err = run("-V")
    if "no HTTP/2" in out + err:
        pytest.skip("this weir has no HTTP/2")


def plain(peer, stream, fields):
    """Answer once the request has ended, with what came."""
    peer.until(lambda: peer.stream(stream).ended)
    body = peer.stream(stream).data
    peer.head(stream, OK + [("x-seen", "%s %s %d" % (
        fields[":method"], fields[":path"], len(body)))])
    peer.data(stream, b"hello", True)


@pytest.fixture
def chain(start, origin_factory):
    """chain(handler): a backend, and weir in front of it."""
    def make(handler=plain, up=None, settings=None, **options):
        server = origin_factory(handler, kind=h2.Server, **(settings or {}))
        weir = start(conf.proxy(
            server, up={"protocol": "h2", **(up or {})},
            listen=[{"address": conf.address(), "h2c": True}], **options))
        return server, weir
    return make


def test_from_http1(chain):
    """An HTTP/1 client's request, as the backend sees it."""
    seen = []

    def handler(peer, stream, fields):
        seen.append(peer.stream(stream).heads[0])
        plain(peer, stream, fields)
    server, weir = chain(handler)
    answer = weir.request("POST", "/a?b", [("X-Name", "v")], b"body")
    assert answer.status == 200 and answer.body == b"hello"
    assert answer.fields.one("x-seen") == "POST /a?b 4"
    head = dict(seen[0])
    assert head[":scheme"] == "http" and head[":authority"] == "test.example"
    assert head["x-name"] == "v" and head["content-length"] == "4"
    assert "connection" not in head and "host" not in head
    assert all(n == n.lower() for n in head)


def test_one_connection_is_shared(chain):
    """Requests at once share one connection, made once."""
    go = threading.Event()

    def handler(peer, stream, fields):
        go.wait(20)
        plain(peer, stream, fields)
    server, weir = chain(handler)
    with h2.Client(weir.address) as client:
        numbers = [client.request("/") for _ in range(30)]
        wait.until(lambda: server.peers and
                   len(server.peers[0].streams) == 30)
        go.set()
        for number in numbers:
            assert client.wait(number).data == b"hello"
    assert len(server.peers) == 1
    assert weir.get("/").status == 200 and len(server.peers) == 1


class Busy:
    """A backend whose answers wait for leave; counts what is at once."""

    def __init__(self, pause=0.0):
        self.go = threading.Event()
        self.pause = pause
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, peer, stream, fields):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.go.wait(20)
        time.sleep(self.pause)
        with self.lock:
            self.now -= 1
        plain(peer, stream, fields)


def test_max_connections_carry_many(chain):
    """With room for streams nobody has to wait for a connection."""
    busy = Busy()
    server, weir = chain(busy, up={"max_connections": 1,
                                   "queue": {"size": 0}})
    with h2.Client(weir.address) as client:
        numbers = [client.request("/")]
        wait.until(lambda: busy.now == 1)
        numbers += [client.request("/") for _ in range(29)]
        wait.until(lambda: busy.now == 30)
        busy.go.set()
        for number in numbers:
            assert client.wait(number).data == b"hello"
    assert len(server.peers) == 1
    assert weir.metrics().sum("weir_proxy_queued_total") == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_max_connections_queue(chain, at_once):
    """Without a stream a request waits for its turn, as over HTTP/1; none
    fails, none becomes another attempt."""
    busy = Busy(0.005)
    server, weir = chain(busy, up={
        "max_connections": 1, "h2_streams_max": 2, "retries": 3,
        "queue": {"timeout": "20s"}}, top={"workers": 1},
        headers={"response": {"set": {"X-Tries": "${upstream.tries}"}}})
    with h2.Client(weir.address) as client:
        numbers = [client.request("/")]
        if not at_once:
            wait.until(lambda: busy.now == 1)
        numbers += [client.request("/") for _ in range(19)]
        wait.until(lambda: weir.metrics().sum("weir_proxy_queued_total")
                   >= 18)
        busy.go.set()
        for number in numbers:
            stream = client.wait(number)
            assert stream.data == b"hello"
            assert dict(stream.heads[0])["x-tries"] == "1"
    assert len(server.peers) == 1 and busy.most == 2
    m = weir.metrics()
    assert m.sum("weir_proxy_backend_connect_failures_total") == 0
    assert m.sum("weir_proxy_retries_total") == 0


def test_max_connections_bounds_the_queue(chain):
    """503 for who may not wait, and for who waited too long."""
    busy = Busy()
    server, weir = chain(busy, up={
        "max_connections": 1, "h2_streams_max": 1,
        "queue": {"size": 1, "timeout": "300ms"}})
    with h2.Client(weir.address) as client:
        first = client.request("/")
        wait.until(lambda: busy.now == 1)
        late = client.request("/")
        wait.until(lambda: weir.metrics().sum("weir_proxy_queued_total"))
        assert weir.get("/").status == 503
        assert client.wait(late).status == 503
        busy.go.set()
        assert client.wait(first).data == b"hello"
    m = weir.metrics()
    assert m.sum("weir_proxy_errors_total", reason="queue_full") == 1
    assert m.sum("weir_proxy_errors_total", reason="queue_timeout") == 1
    assert weir.get("/").status == 200


def test_max_connections_of_workers(chain):
    """A worker that has the only connection gives it up for another."""
    busy = Busy(0.002)
    busy.go.set()
    server, weir = chain(busy, up={
        "max_connections": 1, "h2_streams_max": 4,
        "queue": {"timeout": "20s"}}, top={"workers": 3})
    clients = [h2.Client(weir.address) for _ in range(12)]
    try:
        for _ in range(3):
            numbers = [[c.request("/") for _ in range(5)] for c in clients]
            for client, wanted in zip(clients, numbers):
                for number in wanted:
                    assert client.wait(number, 20).data == b"hello"
    finally:
        for client in clients:
            client.close()
    wait.until(lambda: weir.metrics().sum("weir_backend_queued") == 0)
    assert weir.metrics().sum("weir_proxy_backend_connect_failures_total") == 0


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = tls.Certs()
    made.root = made.ca("root")
    made.server = made.signed("server", made.root, "a.example", "b.example")
    yield made
    made.remove()


def speaks(certs, *protocols):
    """What an HTTP/2 server over TLS is made with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certs.server)
    context.set_alpn_protocols(protocols or ["h2"])
    return context


@pytest.mark.parametrize("limit", [0, 1])
def test_names_of_requests_share_no_connection(chain, certs, limit):
    """Where the server name follows from the request, a connection is for
    one name; an idle one of another name makes room."""
    context, asked = speaks(certs), []

    def note(sock, name, context):
        asked.append(name)
    context.sni_callback = note
    server, weir = chain(up={"max_connections": limit, "tls": {
        "sni": "${request.header.x-name}", "ca_file": certs.root[0]}},
        settings={"tls": context})

    def get(name):
        before = [len(peer.streams) for peer in server.peers]
        assert weir.get("/", [("X-Name", name)]).status == 200
        now = [len(peer.streams) for peer in server.peers]
        return [i for i, n in enumerate(now)
                if n != (before[i:] or [0])[0]]
    a, b = get("a.example"), get("b.example")
    assert (a, b) == ([0], [1]) and asked == ["a.example", "b.example"]
    if not limit:
        assert (get("a.example"), get("b.example")) == (a, b)
    assert weir.get("/", [("X-Name", "c.example")]).status == 502
    assert weir.get("/").status == 421


def test_limits_of_streams(chain):
    """Our limit and the peer's: what is beyond gets another connection."""
    for up, settings in (({"h2_streams_max": 2}, {}), ({}, {"streams": 2})):
        go = threading.Event()

        def handler(peer, stream, fields):
            go.wait(20)
            plain(peer, stream, fields)
        server, weir = chain(handler, up=up, settings=settings)
        with h2.Client(weir.address) as client:
            first = client.request("/")
            wait.until(lambda: server.peers and server.peers[0].streams)
            rest = [client.request("/") for _ in range(3)]
            wait.until(lambda: sum(len(p.streams) for p in server.peers)
                       == 4)
            assert max(len(p.streams) for p in server.peers) == 2
            go.set()
            for number in [first, *rest]:
                assert client.wait(number).data == b"hello"


def test_bodies_both_ways(chain):
    """Large bodies up and down, with windows that are followed."""
    def handler(peer, stream, fields):
        peer.until(lambda: peer.stream(stream).ended)
        body = peer.stream(stream).data
        peer.head(stream, OK)
        sent = 0
        initial = peer.settings.get(4, 65535)

        def room():
            def window(n, start):
                return start + sum(
                    struct.unpack(">I", p)[0] for k, f, s, p in peer.frames
                    if k == h2.WINDOW_UPDATE and s == n)
            return min(window(stream, initial), window(0, 65535)) - sent
        while sent < len(body):
            peer.until(lambda: room() > 0)
            n = min(16384, room(), len(body) - sent)
            peer.data(stream, body[sent:sent + n], sent + n == len(body))
            sent += n
    server, weir = chain(handler)
    body = big(600000)
    answer = weir.request("POST", "/", [], body)
    assert answer.body == body


def endless(peer, stream, fields):
    """As far as the windows reach."""
    size = 64 << 20 if fields[":path"] == "/endless" else 3000
    peer.head(stream, OK)
    try:
        paced(peer, stream, b"x" * size)
    except AssertionError:
        assert peer.closed


def test_slow_clients_hold_up_nobody(chain):
    """Clients that read nothing hold what h2_buffer lets them, and what else
    goes to the backend is neither stalled nor memory for ever."""
    server, weir = chain(endless, buffer="16KB", h2_buffer="64KB")
    slow = []
    try:
        for _ in range(8):
            slow.append(Client(weir.address, rcvbuf=4096))
            slow[-1].send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        wait.until(lambda: sum(len(p.streams) for p in server.peers) == 8)

        def sent():
            return sum(len(p.frames) for p in server.peers)
        same, before = 0, -1
        while same < 5:  # until no more window is given
            same, before = same + 1 if before == sent() else 0, sent()
            time.sleep(0.2)
        for _ in range(20):
            assert weir.get("/").body == b"x" * 3000
    finally:
        for client in slow:
            client.close()


def test_one_stream_may_have_the_window(chain):
    """Where a stream's buffer is more than all of a connection's, streams
    share the connection still."""
    go = threading.Event()

    def handler(peer, stream, fields):
        go.wait(20)
        plain(peer, stream, fields)
    server, weir = chain(handler, buffer="1MB", h2_buffer="64KB")
    with h2.Client(weir.address) as client:
        first = client.request("/")
        wait.until(lambda: server.peers and server.peers[0].streams)
        rest = [client.request("/") for _ in range(3)]
        wait.until(lambda: sum(len(p.streams) for p in server.peers) == 4)
        assert len(server.peers) == 1
        go.set()
        for number in [first, *rest]:
            assert client.wait(number).data == b"hello"


def test_slow_upload_holds_up_nobody(chain):
    """A stream whose window stays closed stops its own client; uploads next
    to it go on."""
    go = threading.Event()

    def handler(peer, stream, fields):
        peer.give_window = fields[":path"] != "/slow"
        if fields[":path"] == "/slow":
            # The connection's window is opened, the stream's is not.
            peer.window(0, 1 << 24)
            go.wait(20)
            peer.give_window = True
            peer.window(stream, 1 << 24)
        plain(peer, stream, fields)
    server, weir = chain(handler)
    with h2.Client(weir.address) as client:
        slow = client.request("/slow", "POST", [], end=False)
        wait.until(lambda: server.peers and server.peers[0].streams)
        paced(client, slow, b"y" * 131072, False)
        for _ in range(3):
            number = client.request("/fast", "POST", [], b"z" * 30000)
            assert client.wait(number).final["x-seen"] == "POST /fast 30000"
        assert len(server.peers) == 1
        go.set()
        client.data(slow, b"", True)
        assert client.wait(slow).final["x-seen"] == "POST /slow 131072"


def test_trailers_and_interim(chain):
    """Trailers and 1xx, from HTTP/2 to HTTP/2 and to HTTP/1."""
    def handler(peer, stream, fields):
        peer.until(lambda: peer.stream(stream).ended)
        peer.head(stream, [(":status", "103"), ("link", "</a>")])
        peer.head(stream, OK)
        peer.data(stream, b"x")
        got = peer.stream(stream).trailers or []
        peer.head(stream, [("x-end", "1"), *got], True)
    server, weir = chain(handler)
    with h2.Client(weir.address) as client:
        stream = client.wait(client.request(
            "/", "POST", [("te", "trailers")], b"abc",
            trailers=[("x-up", "2")]))
        assert dict(stream.heads[0])[":status"] == "103"
        assert dict(stream.trailers) == {"x-end": "1", "x-up": "2"}
    answer = weir.get("/", [("TE", "trailers"), ("Connection", "TE, close")])
    assert answer.status == 200 and answer.body == b"x"
    assert answer.trailers.one("x-end") == "1"


def test_host_of_a_rule(chain):
    """What a rule, or the option host, sets is :authority, and no field
    beside it (pingora 6)."""
    for options in ({"headers": {"request": {"set": {"Host": "b.example"}}}},
                    {"up": {"host": "b.example"}}):
        seen = []

        def handler(peer, stream, fields):
            seen.append(peer.stream(stream).heads[0])
            plain(peer, stream, fields)
        server, weir = chain(handler, **options)
        with h2.Client(weir.address) as client:
            # A GET with a body, as well (pingora 7).
            stream = client.wait(client.request("/e", "GET", [], b"upload"))
            assert stream.final["x-seen"] == "GET /e 6"
        names = [name for name, value in seen[0]]
        assert names.count(":authority") == 1 and "host" not in names
        assert dict(seen[0])[":authority"] == "b.example"


def test_head_with_length(chain):
    """A Content-Length without a body is no error where HEAD was asked for,
    nor with 304 (pingora 9)."""
    def handler(peer, stream, fields):
        status = "200" if fields[":method"] == "HEAD" else "304"
        peer.head(stream, [(":status", status), ("content-length", "11")],
                  True)
    server, weir = chain(handler)
    with h2.Client(weir.address) as client:
        for method, status in (("HEAD", 200), ("GET", 304)):
            stream = client.wait(client.request("/", method))
            assert stream.status == status and stream.data == b""
            assert stream.reset is None
    with weir.client() as client:
        for method, status in (("HEAD", 200), ("GET", 304), ("HEAD", 200)):
            assert client.request(method, "/").status == status


def test_answer_before_the_upload_ended(chain):
    """A whole answer, and then RST_STREAM with NO_ERROR (RFC 9113, 8.1): the
    answer counts, the rest of the upload is not wanted."""
    def handler(peer, stream, fields):
        peer.head(stream, [(":status", "413"), ("content-length", "5")])
        peer.data(stream, b"large", True)
        peer.rst(stream, h2.NO_ERROR)
    server, weir = chain(handler)
    for _ in range(5):
        with h2.Client(weir.address) as client:
            number = client.request("/", "POST", end=False)
            client.data(number, b"abc")
            client.until(lambda: client.stream(number).done)
            stream = client.stream(number)
            assert stream.status == 413 and stream.data == b"large"
            assert stream.ended
        with weir.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\n"
                        b"Content-Length: 1000\r\n\r\nabc")
            answer = client.response()
            assert answer.status == 413 and answer.body == b"large"


def test_expectation_of_http1(chain):
    """100-continue from HTTP/1 to HTTP/2: the backend's 100 comes back before
    the body goes."""
    def handler(peer, stream, fields):
        assert fields["expect"] == "100-continue"
        peer.head(stream, [(":status", "100")])
        plain(peer, stream, fields)
    server, weir = chain(handler)
    with weir.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                    b"Expect: 100-continue\r\n\r\n")
        assert client.response(interims=False).status == 100
        client.send(b"abc")
        answer = client.response()
        assert answer.status == 200
        assert answer.fields.one("x-seen") == "POST / 3"


def test_interim_and_then_nothing(chain):
    """A backend that says 103 and goes: 502 (pingora 17)."""
    def handler(peer, stream, fields):
        peer.head(stream, [(":status", "103"), ("link", "</a>")])
        peer.close()
    server, weir = chain(handler, up={"retries": 0})
    with h2.Client(weir.address) as client:
        stream = client.get("/")
        assert stream.status == 502
        assert dict(stream.heads[0])[":status"] == "103"


MALFORMED = {
    "uppercase": OK + [("X-A", "b")],
    "connection": OK + [("connection", "close")],
    "transfer-encoding": OK + [("transfer-encoding", "chunked")],
    "upgrade": OK + [("upgrade", "x")],
    "LF": OK + [("x-a", "a\nb: c")],
    "NUL": OK + [("x-a", "a\0")],
    "leading blank": OK + [("x-a", " a")],
    "trailing blank": OK + [("x-a", "a\t")],
    "empty name": OK + [("", "a")],
    "no status": [("x-a", "b")],
    "late status": [("x-a", "b")] + OK,
    "two statuses": OK + OK,
    "status of four": [(":status", "2000")],
    "of requests": OK + [(":path", "/")],
    "unknown pseudo": OK + [(":x", "y")],
    "lengths": OK + [("content-length", "1"), ("content-length", "1")],
    "no length": OK + [("content-length", "x")],
}


def test_malformed_heads_of_backends(chain):
    """502 for each, the stream alone is reset, and the connection goes on."""
    def handler(peer, stream, fields):
        name = fields[":path"][1:].replace("-", " ")
        if name == "good":
            plain(peer, stream, fields)
            return
        name = next(n for n in MALFORMED if n.replace("-", " ") == name)
        peer.head(stream, MALFORMED[name], False)
    server, weir = chain(handler, up={"retries": 0})
    for name in MALFORMED:
        path = "/" + name.replace(" ", "-")
        assert weir.request("POST", path, [], b"a").status == 502, name
    assert weir.get("/good").status == 200
    peer, = server.peers
    wait.until(lambda: all(
        peer.stream(n).reset == h2.PROTOCOL_ERROR
        for n in list(peer.streams)[:len(MALFORMED)]))


def test_end_without_body(chain):
    """END_STREAM with the head: an empty body for HTTP/1, at once."""
    server, weir = chain(lambda peer, stream, fields:
                         peer.head(stream, OK + [("x-a", "b")], True))
    answer = weir.get("/")
    assert answer.status == 200 and answer.body == b""
    assert answer.fields.one("content-length") == "0"
    assert weir.request("HEAD", "/").status == 200


def test_refused_streams_are_repeated(chain):
    """REFUSED_STREAM, and what a GOAWAY names as not seen: once more, also
    for POST."""
    for how in ("refuse", "goaway"):
        seen = []

        def handler(peer, stream, fields):
            seen.append(stream)
            if len(seen) == 2 and how == "refuse":
                peer.rst(stream, h2.REFUSED_STREAM)
            elif len(seen) == 2:
                peer.say_goaway(stream - 2)
            else:
                plain(peer, stream, fields)
        server, weir = chain(handler)
        assert weir.get("/").status == 200
        answer = weir.request("POST", "/", [], b"abc")
        assert answer.status == 200, how
        assert len(seen) == 3 and len(server.peers) == 2


def test_goaway_lets_streams_finish(chain):
    """What the backend still answers is answered; new ones go elsewhere."""
    go = threading.Event()

    def handler(peer, stream, fields):
        if len(server.peers) == 1:
            peer.say_goaway(stream)
            go.wait(20)
        plain(peer, stream, fields)
    server, weir = chain(handler)
    with h2.Client(weir.address) as client:
        first = client.request("/")
        wait.until(lambda: server.peers and server.peers[0].streams)
        wait.until(lambda: weir.get("/").status == 200)
        assert len(server.peers) == 2
        go.set()
        assert client.wait(first).data == b"hello"


def test_failures(chain):
    """A reset, a closed connection, a malformed answer: 502 or a cut."""
    def reset(peer, stream, fields):
        peer.rst(stream, h2.INTERNAL_ERROR)

    def close(peer, stream, fields):
        peer.close()

    def malformed(peer, stream, fields):
        peer.head(stream, OK + [("connection", "close")], True)

    def wrong_length(peer, stream, fields):
        peer.head(stream, OK + [("content-length", "3")])
        peer.data(stream, b"abcd", True)

    def unasked(peer, stream, fields):
        peer.head(stream, [(":status", "101")])

    def large(peer, stream, fields):
        peer.head(stream, OK + [("x-large", "a" * 60000)], True)
    for handler in (reset, close, malformed, unasked, large):
        server, weir = chain(handler, up={"retries": 0})
        assert weir.request("POST", "/", [], b"a").status == 502, handler
    server, weir = chain(wrong_length)
    with h2.Client(weir.address) as client:
        number = client.request("/")
        client.until(lambda: client.stream(number).done)
        stream = client.stream(number)
        assert stream.status in (200, 502)
        if stream.status == 200:
            assert stream.reset is not None


def test_timeouts(chain):
    """A backend that is silent: 504, and only that stream is cancelled."""
    def handler(peer, stream, fields):
        if fields[":path"] == "/slow":
            return
        plain(peer, stream, fields)
    server, weir = chain(handler, up={
        "retries": 0, "timeouts": {"first_byte": "300ms"}})
    with h2.Client(weir.address) as client:
        assert client.get("/slow").status == 504
        assert client.get("/").data == b"hello"
    assert len(server.peers) == 1
    assert server.peers[0].stream(1).reset == h2.CANCEL


def test_dead_backends_are_found_by_ping(chain):
    """Silence is pinged; an answer keeps the connection."""
    def handler(peer, stream, fields):
        peer.until(lambda: any(k == h2.PING for k, f, s, p in peer.frames))
        plain(peer, stream, fields)
    server, weir = chain(handler, up={"h2_ping_interval": "100ms"})
    assert weir.get("/").status == 200
    assert len(server.peers) == 1


@pytest.mark.parametrize("method,status", [("GET", 200), ("POST", 502)])
def test_no_answer_to_a_ping(chain, method, status):
    """A connection that has died unseen is left after h2_ping_timeout; what
    waited on it is tried again where that is safe."""
    def handler(peer, stream, fields):
        if peer is server.peers[0] and stream > 1:
            peer.auto_ack = False
        else:
            plain(peer, stream, fields)
    server, weir = chain(handler, up={"h2_ping_interval": "100ms",
                                      "h2_ping_timeout": "600ms"})
    assert weir.get("/").status == 200
    assert weir.request(method, "/", [], b"a").status == status
    wait.until(lambda: server.peers[0].closed)
    assert any(kind == h2.PING for kind, *rest in server.peers[0].frames)
    if status == 502:
        weir.wait_log("it does not answer a PING")


def test_no_pushes(chain):
    """Nobody asked for one: SETTINGS say so, and who pushes breaks the
    protocol."""
    def handler(peer, stream, fields):
        assert peer.settings[2] == 0
        if peer is not server.peers[0]:
            plain(peer, stream, fields)
            return
        peer.until(lambda: peer.settings_acked)
        peer.send(h2.frame(h2.PUSH_PROMISE, h2.END_HEADERS, stream,
                           struct.pack(">I", 2) + peer.encoder.encode(
                               [(":method", "GET"), (":scheme", "http"),
                                (":path", "/p"), (":authority", "a")])))
    server, weir = chain(handler)
    assert weir.get("/").status == 502
    server.peers[0].until(lambda: server.peers[0].goaway)
    assert server.peers[0].goaway[1] == h2.PROTOCOL_ERROR
    assert weir.get("/").status == 200


def test_idle_connections_end(chain):
    """After keepalive.idle_timeout."""
    server, weir = chain(up={"keepalive": {"idle_timeout": "200ms"}})
    assert weir.get("/").status == 200
    wait.until(lambda: server.peers[0].closed)
    assert weir.get("/").status == 200


def test_http1_required(start, origin):
    """HTTP_1_1_REQUIRED: the same request over HTTP/1.1."""
    class Both(h2.Server):
        def _serve(self, peer):
            first = peer.sock.recv(3)
            if first == b"PRI":
                peer._exactly(21)
                peer.send(h2.settings())
                peer.begin()
                return
            data = first
            while b"\r\n\r\n" not in data:
                data += peer.sock.recv(4096)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1")
    server = Both(lambda peer, stream, fields:
                  peer.rst(stream, h2.H1_REQUIRED))
    weir = start(conf.proxy(server, up={"protocol": "h2"}))
    assert weir.get("/").body == b"h1"
    server.close()


def test_http1_required_is_remembered(start, certs, origin_factory):
    """Once a backend wants HTTP/1.1, ALPN offers it nothing else."""
    alpn = []

    class Both(h2.Server):
        def _serve(self, peer):
            peer.sock = tls.TlsSocket(peer.sock, self.tls, True)
            alpn.append(peer.sock.tls.selected_alpn_protocol())
            if alpn[-1] == "h2":
                assert peer._exactly(24) == h2.PREFACE
                peer.send(h2.settings())
                peer.begin()
                return
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += (piece := peer.sock.recv(4096))
                    if not piece:
                        return
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1")
    server = origin_factory(lambda peer, stream, fields: peer.rst(
        stream, h2.H1_REQUIRED), kind=Both,
        tls=speaks(certs, "h2", "http/1.1"))
    weir = start(conf.proxy(server, up={"protocol": "auto", "tls": {
        "sni": "a.example", "ca_file": certs.root[0]},
        "keepalive": {"idle_max": 0}}))
    for _ in range(3):
        assert weir.request("POST", "/", [], b"a").body == b"h1"
    assert alpn == ["h2"] + ["http/1.1"] * 3


def test_websocket_needs_http1_alone(start, certs, origin_factory):
    """A backend without RFC 8441 gets WebSockets over HTTP/1.1, and all else
    over HTTP/2 as before."""
    class Both(h2.Server):
        def _serve(self, peer):
            peer.sock = tls.TlsSocket(peer.sock, self.tls, True)
            if peer.sock.tls.selected_alpn_protocol() == "h2":
                assert peer._exactly(24) == h2.PREFACE
                peer.send(h2.settings())
                peer.begin()
                return
            data = b""
            while b"\r\n\r\n" not in data:
                data += peer.sock.recv(4096)
            key = next(line.split()[1] for line in data.decode().split("\r\n")
                       if line.lower().startswith("sec-websocket-key"))
            peer.send(("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: "
                       "websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n"
                       % accept(key)).encode())
            peer.send(peer.sock.recv(4096).upper())
    server = origin_factory(plain, kind=Both,
                            tls=speaks(certs, "h2", "http/1.1"))
    weir = start(conf.proxy(
        server, up={"protocol": "auto", "tls": {
            "sni": "a.example", "ca_file": certs.root[0]}},
        listen=[{"address": conf.address(), "h2c": True}]))
    for _ in range(2):
        with weir.client() as client:
            switch(client)
            client.send(b"hello")
            assert client.sock.recv(100) == b"HELLO"
        with h2.Client(weir.address) as client:
            client.until(lambda: client.settings)
            client.head(1, CONNECT)
            client.until(lambda: client.stream(1).final)
            client.data(1, b"hello")
            client.until(lambda: client.stream(1).data == b"HELLO")
        answer = weir.get("/x")
        assert answer.fields.one("x-seen") == "GET /x 0"


# -- WebSocket ------------------------------------------------------------

CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"),
           (":scheme", "http"), (":path", "/ws"),
           (":authority", "test.example"), ("sec-websocket-version", "13"),
           ("sec-websocket-protocol", "chat")]


def accept(key):
    return base64.b64encode(hashlib.sha1(
        key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    ).decode()


def test_websocket_from_h2_to_http1(start, origin_factory):
    """RFC 8441 in, Upgrade out; bytes both ways, and both ends."""
    origin = origin_factory()

    def tunnel(exchange):
        key = exchange.fields.one("sec-websocket-key")
        assert exchange.method == "GET"
        assert exchange.fields.one("upgrade") == "websocket"
        exchange.send(("HTTP/1.1 101 x\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n"
                       "Sec-WebSocket-Protocol: chat\r\n\r\n"
                       % accept(key)).encode())
        while True:
            data = exchange.conn.sock.recv(4096)
            if not data:
                return False
            exchange.send(data.upper())
    origin.default = tunnel
    weir = start(conf.proxy(origin, listen=[
        {"address": conf.address(), "h2c": True}]))
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings)
        assert client.settings[8] == 1
        client.head(1, CONNECT)
        client.until(lambda: client.stream(1).final)
        head = client.stream(1).final
        assert head[":status"] == "200"
        assert head["sec-websocket-protocol"] == "chat"
        assert not {"upgrade", "connection", "sec-websocket-accept"} & {
            n for n in head}
        client.data(1, b"hello ")
        client.data(1, b"there")
        client.until(lambda: client.stream(1).data == b"HELLO THERE")
        client.data(1, b"", True)
        client.until(lambda: client.stream(1).done)
        assert client.stream(1).ended


def test_tunnel_in_a_drain(start, origin_factory):
    """tunnel_shutdown_timeout ends it earlier than the rest; a request on the
    same connection goes on."""
    origin = origin_factory()
    release = threading.Event()

    def serve(exchange):
        if exchange.target == "/ws":
            exchange.send(("HTTP/1.1 101 x\r\nConnection: Upgrade\r\n"
                           "Upgrade: websocket\r\nSec-WebSocket-Accept: %s"
                           "\r\n\r\n" % accept(exchange.fields.one(
                               "sec-websocket-key"))).encode())
            release.wait(30)
            return False
        release.wait(30)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True
    origin.default = serve
    weir = start(conf.proxy(
        origin, listen=[{"address": conf.address(), "h2c": True}],
        top={"http": {"tunnel_shutdown_timeout": "200ms"}}))
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings)
        client.head(1, CONNECT)
        client.head(3, [(":method", "GET"), (":scheme", "http"),
                        (":path", "/slow"), (":authority", "x")], True)
        client.until(lambda: client.stream(1).final)
        weir.send_signal(signal.SIGHUP)
        client.until(lambda: client.stream(1).done)
        assert not client.stream(3).done
        release.set()
        client.until(lambda: client.stream(3).done)
        assert client.stream(3).data == b"ok"
    weir.wait_log("draining: 1 tunnel was cut")
    wait.until(lambda: len(weir.children()) == 2, 15)
    weir.expect_new_children()


def test_websocket_refused(start, origin_factory):
    """An answer other than 101 is that answer; 2xx would be a tunnel."""
    origin = origin_factory()
    weir = start(conf.proxy(origin, listen=[
        {"address": conf.address(), "h2c": True}]))
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings)
        origin.default = lambda ex: ex.reply(403, b"no")
        client.head(1, CONNECT)
        assert client.wait(1).status == 403
        origin.default = lambda ex: ex.reply(200, b"yes")
        client.head(3, CONNECT)
        client.until(lambda: client.stream(3).done)
        assert client.stream(3).reset is not None
        assert client.stream(3).status is None


def test_websocket_to_h2(chain):
    """From HTTP/1 and from HTTP/2 to a backend of RFC 8441."""
    def handler(peer, stream, fields):
        assert fields[":method"] == "CONNECT"
        assert fields[":protocol"] == "websocket"
        assert "sec-websocket-key" not in fields
        peer.head(stream, OK)
        peer.until(lambda: peer.stream(stream).data)
        peer.data(stream, peer.stream(stream).data.upper())
        peer.until(lambda: peer.stream(stream).done or peer.closed)
        peer.data(stream, b"", True)
    server, weir = chain(handler, settings={"connect": 1})
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings)
        client.head(1, CONNECT)
        client.until(lambda: client.stream(1).final)
        client.data(1, b"abc", True)
        assert client.wait(1).data == b"ABC"
    with weir.client() as client:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        client.send(("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: %s\r\n\r\n" % key).encode())
        client.sock.settimeout(8)
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.sock.recv(4096)
        assert data.startswith(b"HTTP/1.1 101 ")
        assert ("Sec-WebSocket-Accept: " + accept(key)).encode() in data
        client.send(b"xyz")
        assert client.sock.recv(10) == b"XYZ"


def echo_tunnel(peer, stream, fields):
    """Takes the tunnel and sends back what comes, until its end."""
    peer.head(stream, OK)
    at = 0
    while True:
        peer.until(lambda: len(peer.stream(stream).data) > at
                   or peer.stream(stream).done or peer.closed, 20)
        data = peer.stream(stream).data[at:]
        at += len(data)
        if not data:
            break
        paced(peer, stream, data, False)
    peer.data(stream, b"", True)


def switch(client):
    """From HTTP/1; what follows the head is left to be read."""
    client.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    client.sock.settimeout(10)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.sock.recv(1) or pytest.fail("closed: %r" % head)
    assert head.startswith(b"HTTP/1.1 101 ")


def test_tunnel_to_h2_carries_much(chain):
    """More than all windows, both ways at once, from both kinds of client."""
    server, weir = chain(echo_tunnel, settings={"connect": 1})
    body = big(500000)
    with weir.client() as client:
        switch(client)
        sender = threading.Thread(target=client.send, args=(body,))
        sender.start()
        got = b""
        while len(got) < len(body):
            got += client.sock.recv(65536) or pytest.fail("closed")
        sender.join(10)
        assert got == body
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings)
        client.head(1, CONNECT)
        client.until(lambda: client.stream(1).final)
        paced(client, 1, body)
        assert bytes(client.wait(1, 20).data) == body


def test_tunnel_to_h2_idle(chain):
    """tunnel_idle_timeout ends a silent tunnel on both of its streams, and
    no other time does."""
    server, weir = chain(echo_tunnel, settings={"connect": 1},
                         tunnel_idle_timeout="1500ms",
                         up={"timeouts": {"between_bytes": "100ms"}})
    with h2.Client(weir.address) as client, weir.client() as other:
        client.until(lambda: client.settings)
        client.next = 3
        client.head(1, CONNECT)
        client.until(lambda: client.stream(1).final)
        switch(other)
        for i in range(2):
            time.sleep(0.2)
            client.data(1, b"x")
            other.send(b"y")
            client.until(lambda: client.stream(1).data == b"x" * (i + 1))
            assert other.sock.recv(1) == b"y"
        client.until(lambda: client.stream(1).done)
        assert client.stream(1).reset == h2.CANCEL
        assert other.closed(timeout=8)
        peer = server.peers[0]
        wait.until(lambda: all(peer.stream(n).done
                               for n in list(peer.streams)))


# -- gRPC -----------------------------------------------------------------

GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


def message(data):
    return b"\0" + struct.pack(">I", len(data)) + data


def test_grpc_unary_and_streaming(chain):
    """Messages go as they come, trailers bring the status."""
    def handler(peer, stream, fields):
        assert fields["te"] == "trailers"
        peer.head(stream, OK + [("content-type", "application/grpc")])
        at = 0
        while True:
            peer.until(lambda: len(peer.stream(stream).data) > at
                       or peer.stream(stream).ended)
            data = peer.stream(stream).data[at:]
            if not data:
                break
            at += len(data)
            peer.data(stream, data)
        peer.head(stream, [("grpc-status", "0")], True)
    server, weir = chain(handler)
    with h2.Client(weir.address) as client:
        number = client.request("/p.S/M", "POST", GRPC, end=False)
        sent = b""
        for word in (b"one", b"two", b"three"):
            client.data(number, message(word))
            sent += message(word)
            client.until(lambda: client.stream(number).data == sent)
        client.data(number, b"", True)
        stream = client.wait(number)
        assert dict(stream.trailers) == {"grpc-status": "0"}


def test_grpc_trailers_only(chain):
    """A head with END_STREAM stays one."""
    server, weir = chain(lambda peer, stream, fields: peer.head(
        stream, OK + [("content-type", "application/grpc"),
                      ("grpc-status", "5")], True))
    with h2.Client(weir.address) as client:
        stream = client.wait(client.request("/p.S/M", "POST", GRPC,
                                            message(b"a")))
        assert stream.final["grpc-status"] == "5" and stream.data == b""
        frames = [(k, f) for k, f, s, p in client.frames if s == 1
                  and k in (h2.HEADERS, h2.DATA)]
        assert len(frames) == 1 and frames[0][1] & h2.END_STREAM


def test_grpc_timeout_and_errors(chain):
    """grpc-timeout bounds the call; weir's own errors carry grpc-status."""
    asked = []
    server, weir = chain(lambda peer, stream, fields: asked.append(
        fields["grpc-timeout"] if "grpc-timeout" in fields else None))
    with h2.Client(weir.address) as client:
        stream = client.wait(client.request(
            "/p.S/M", "POST", GRPC + [("grpc-timeout", "200m")],
            message(b"a")))
        assert asked == ["200m"]
        wait.until(lambda: server.peers[0].stream(1).reset == h2.CANCEL)
        assert stream.status == 200 and stream.ended
        assert stream.final["grpc-status"] == "4"
        assert stream.final["content-type"] == "application/grpc"
        server.close()
        for peer in server.peers:
            peer.close()
        stream = client.wait(client.request("/p.S/M", "POST", GRPC,
                                            message(b"a")))
        assert stream.status == 200
        assert stream.final["grpc-status"] == "14"
        assert stream.final["grpc-message"]


GRPC_STATUSES = {
    400: 13, 401: 16, 403: 7, 404: 12, 405: 2, 413: 8, 429: 14, 431: 8,
    500: 2, 502: 14, 503: 14, 504: 14,
}


def test_grpc_statuses_of_weir(start):
    """Every error that weir makes is a status of gRPC, with END_STREAM in
    the head; to others it is what it was."""
    routes = [{"path": "/%d" % status, "respond": {
        "status": status, "body": "words"}} for status in GRPC_STATUSES]
    weir = start(conf.config(conf.service(
        *routes, listen=[{"address": conf.address(), "h2c": True}],
        header_size_max="4KB")))

    def call(path, fields=()):
        stream = client.wait(client.request(
            path, "POST", GRPC + list(fields), message(b"a")))
        assert stream.status == 200 and stream.data == b"", path
        assert stream.final["content-type"] == "application/grpc"
        assert stream.final["grpc-message"] and len(stream.heads) == 1
        return int(stream.final["grpc-status"])
    with h2.Client(weir.address) as client:
        for status, code in GRPC_STATUSES.items():
            assert call("/%d" % status) == code, status
            assert client.get("/%d" % status).status == status
        assert call("/none") == 12
        assert call("/400", [("x-large", "a" * 5000)]) == 8


def test_grpc_in_every_combination(start, origin_factory, certs):
    """Clients in clear text and over TLS, backends likewise, and by ALPN."""
    def serve(peer, stream, fields):
        peer.until(lambda: peer.stream(stream).ended)
        peer.head(stream, OK + [("content-type", "application/grpc")])
        peer.data(stream, peer.stream(stream).data)
        peer.head(stream, [("grpc-status", "0"), ("x-bin", "AAE=")], True)
    clear = origin_factory(serve, kind=h2.Server)
    secure = origin_factory(serve, kind=h2.Server, tls=speaks(certs))
    trust = {"sni": "a.example", "ca_file": certs.root[0]}
    weir = start(conf.config(
        conf.service(
            *[{"path": "/" + name, "upstream": name}
              for name in ("clear", "secure", "auto")],
            listen=[{"address": conf.address(), "h2c": True},
                    {"address": conf.address(), "http2": True,
                     "tls": {"cert": certs.server[0],
                             "key": certs.server[1]}}]),
        [conf.upstream("clear", clear, protocol="h2"),
         conf.upstream("secure", secure, protocol="h2", tls=trust),
         conf.upstream("auto", secure, protocol="auto", tls=trust)]))
    context = tls.client_context(alpn=["h2"])
    for address, how in ((weir.addresses[0], {}),
                         (weir.addresses[1], {"tls": context})):
        with h2.Client(address, **how) as client:
            for path in ("/clear", "/secure", "/auto"):
                stream = client.wait(client.request(
                    path, "POST", GRPC, message(b"abc")))
                assert stream.data == message(b"abc"), path
                assert dict(stream.trailers) == {"grpc-status": "0",
                                                 "x-bin": "AAE="}


NODE = """
const http2 = require('http2');
const s = http2.createServer();
s.on('stream', (stream, headers) => {
  let n = 0;
  stream.on('data', (d) => { n += d.length; });
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'x-path': headers[':path'] });
    stream.end('got ' + n);
  });
});
s.listen(0, '127.0.0.1', () => console.log(s.address().port));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_node_backend(start):
    """Node's http2 server behind HTTP/1 and HTTP/2 clients."""
    node = subprocess.Popen([need("node"), "-e", NODE],
                            stdout=subprocess.PIPE, text=True)
    try:
        port = int(node.stdout.readline())
        weir = start(conf.proxy("127.0.0.1:%d" % port,
                                up={"protocol": "h2"},
                                listen=[{"address": conf.address(),
                                         "h2c": True}]))
        body = big(300000)
        answer = weir.request("POST", "/n", [], body)
        assert answer.body == b"got 300000"
        assert answer.fields.one("x-path") == "/n"
        with h2.Client(weir.address) as client:
            numbers = [client.request("/%d" % i) for i in range(20)]
            for number in numbers:
                assert client.wait(number).data == b"got 0"
    finally:
        node.kill()
        node.wait()
        node.stdout.close()


SPENDING = threading.Lock()


def paced(peer, stream, data, end=True):
    """Send as the other end's windows allow."""
    def granted(number):
        return sum(struct.unpack(">I", payload)[0]
                   for kind, flags, of, payload in list(peer.frames)
                   if kind == h2.WINDOW_UPDATE and of == number)
    sent = 0
    with SPENDING:  # by number, the connection as 0
        if not hasattr(peer, "spent"):
            peer.spent = collections.Counter()

    def room():
        return min(65535 + granted(0) - peer.spent[0],
                   peer.settings.get(4, 65535)
                   + granted(stream) - peer.spent[stream])
    while sent < len(data):
        peer.until(lambda: room() > 0, 20)
        with SPENDING:
            piece = data[sent:sent + max(min(room(), 16384), 0)]
            peer.spent[0] += len(piece)
            peer.spent[stream] += len(piece)
        sent += len(piece)
        if piece:
            peer.data(stream, piece, end and sent == len(data))


def test_bodies_beyond_all_windows(chain):
    """More than the windows of both sides together, in both directions:
    what one side has no room for goes on when it has."""
    body = big(1 << 20)

    def handler(peer, stream, fields):
        peer.until(lambda: peer.stream(stream).ended, 30)
        assert bytes(peer.stream(stream).data) == body
        peer.head(stream, OK)
        paced(peer, stream, body)
    server, weir = chain(handler)
    with h2.Client(weir.address) as client:
        number = client.request("/", "POST", [], end=False)
        paced(client, number, body)
        stream = client.wait(number, 30)
        assert stream.status == 200 and bytes(stream.data) == body


def test_length_without_end(chain):
    """What a Content-Length announced has come, but no END_STREAM: a client
    of HTTP/1 has its answer, and its connection goes on."""
    def handler(peer, stream, fields):
        length = int(fields[":path"][1:])
        peer.head(stream, OK + [("content-length", str(length))])
        if length > 0:
            peer.data(stream, b"x" * length)
    server, weir = chain(handler)
    with weir.client() as client:
        for length in (5, 0, 16000):
            assert client.get("/%d" % length).body == b"x" * length
    with h2.Client(weir.address) as client:
        stream = client.wait(client.request("/5"))
        assert bytes(stream.data) == b"xxxxx" and stream.reset is None
