"""Connections are kept exactly as long as both sides said, in order."""
# SPDX-License-Identifier: BSD-2-Clause
import threading
import time

import pytest

from lib import conf
from lib.client import Client, chunked, compose, outcome
from lib.origin import Echo

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.config(
        [conf.service({"path": "/own", "respond": {"body": "own\n"}},
                      {"path": "/", "upstream": "up"}, name="web"),
         conf.service({"path": "/", "upstream": "up"}, name="three",
                      keepalive_requests=3),
         conf.service({"path": "/", "upstream": "up"}, name="brief",
                      keepalive_timeout="300ms"),
         conf.service({"path": "/", "upstream": "up"}, name="half",
                      half_close=True)],
        [conf.upstream("up", origin)]))


CLOSES = [
    # version, Connection, is it kept (pingora 12, 150, 179)
    ("1.1", None, True), ("1.1", "keep-alive", True), ("1.1", "foo", True),
    ("1.1", "close", False), ("1.1", "Close", False),
    ("1.1", "CLOSE", False), ("1.1", "close, keep-alive", False),
    ("1.1", "keep-alive, close", False), ("1.1", "foo,close", False),
    ("1.1", "foo ,\tclose , bar", False), ("1.1", ",close", False),
    ("1.1", "closed", True), ("1.1", "x-close", True),
    ("1.0", None, False), ("1.0", "keep-alive", True),
    ("1.0", "Keep-Alive", True), ("1.0", "foo, keep-alive", True),
    ("1.0", "keep-alive, close", False), ("1.0", "close", False),
]


@pytest.mark.parametrize("target", ["/hello", "/own"])
@pytest.mark.parametrize("version,connection,kept", CLOSES)
def test_who_keeps_a_connection(weir, version, connection, kept, target):
    fields = [("Connection", connection)] if connection else []
    with Client(weir.address) as client:
        response = client.get(target, fields, version=version)
        tokens = response.fields.tokens("connection")
        if kept:
            assert "close" not in tokens
            assert version == "1.1" or "keep-alive" in tokens
            assert client.get(target).status == 200
        else:
            assert "close" in tokens or version == "1.0"
            assert client.closed()


def test_two_connection_fields(weir):
    with Client(weir.address) as client:
        response = client.get("/hello", [("Connection", "keep-alive"),
                                         ("Connection", "close")])
        assert "close" in response.fields.tokens("connection")
        assert client.closed()


def test_requests_per_connection(weir):
    """pingora 157: the last one says that it is."""
    with Client(weir.addresses[1]) as client:
        for nth in range(3):
            response = client.get("/hello")
            last = "close" in response.fields.tokens("connection")
            assert last == (nth == 2)
        assert client.closed()


def test_no_limit_by_default(weir):
    with Client(weir.address) as client:
        for _ in range(1500):
            assert client.get("/own").body == b"own\n"


def test_idle_connection_ends(weir):
    """After keepalive_timeout, without a word."""
    with Client(weir.addresses[2]) as client:
        assert client.get("/hello").status == 200
        began = time.monotonic()
        assert client.closed(timeout=5)
        assert 0.2 < time.monotonic() - began < 2.5
        assert not client.reader.received.endswith(b"408")


def test_activity_restarts_the_idle_time(weir):
    with Client(weir.addresses[2]) as client:
        for _ in range(6):
            assert client.get("/hello").status == 200
            assert client.silent(0.1)


# -- pipelining ------------------------------------------------------------

@pytest.mark.parametrize("how", ["whole", "bytewise"])
def test_pipelined_answers_come_in_order(weir, how):
    raw = b""
    for i in range(8):
        if i % 3 == 1:
            raw += compose("POST", "/echo/%d" % i, body=b"b" * i)
        elif i % 3 == 2:
            raw += compose("POST", "/echo/%d" % i, [
                ("Transfer-Encoding", "chunked")]) + chunked(b"c" * i)
        else:
            raw += compose("GET", "/echo/%d" % i)
    with Client(weir.address) as client:
        (client.send if how == "whole" else client.send_bytewise)(raw)
        for i in range(8):
            echo = Echo(client.response())
            assert echo.target == "/echo/%d" % i
            assert echo.body == (b"", b"b", b"c")[i % 3] * i


def test_pipelined_with_a_slow_first(weir, origin):
    """The second waits for the first, whoever is ready sooner."""
    release = threading.Event()

    def answer(exchange):
        assert release.wait(8)
        exchange.reply(200, b"first")
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose(target=script.path) + compose(target="/own"))
        script.wait()
        assert client.silent(0.1), "answered out of order"
        release.set()
        assert client.response().body == b"first"
        assert client.response().body == b"own\n"


def test_many_pipelined(weir):
    with Client(weir.address) as client:
        thread = threading.Thread(
            target=client.send, args=(compose(target="/own") * 3000,))
        thread.start()
        for _ in range(3000):
            assert client.response().body == b"own\n"
        thread.join(8)


def test_pipelined_after_close_is_not_answered(weir, origin):
    before = len(origin.exchanges)
    with Client(weir.address) as client:
        client.send(compose(target="/echo/1", fields=[
            ("Connection", "close")]) + compose(target="/echo/2"))
        assert Echo(client.response()).target == "/echo/1"
        assert client.closed()
    assert [e.target for e in origin.exchanges[before:]] == ["/echo/1"]


def test_pipelined_then_half_closed(weir):
    """FIN after whole requests, where half_close allows it."""
    with Client(weir.addresses[3]) as client:
        client.send(compose(target="/echo/1") + compose(target="/echo/2"))
        client.finish()
        assert Echo(client.response()).target == "/echo/1"
        assert Echo(client.response()).target == "/echo/2"
        assert client.closed()


def test_half_close_while_the_backend_works(weir, origin):
    """pingora 159: half_close = true delivers the answer."""
    client_done = threading.Event()

    def answer(exchange):
        assert client_done.wait(8)
        exchange.reply(200, b"late")
        return False
    script = origin.script(answer)
    with Client(weir.addresses[3]) as client:
        client.send(compose(target=script.path))
        script.wait()
        client.finish()
        client_done.set()
        assert client.response().body == b"late"
        assert client.closed()


def test_fin_cancels_without_half_close(weir, origin):
    """pingora 159: by default a client that closes has gone."""
    script = origin.raw(b"", then="gone")
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        client.finish()
        assert script.wait_done().failure is None
        assert outcome(client)[0] == "none"


# -- bodies that nobody reads ----------------------------------------------

EVIL = b"GET /evil HTTP/1.1\r\nHost: test.example\r\n\r\n"


@pytest.mark.parametrize("target", ["/own", "/hello", "/status/404"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_is_never_the_next_request(weir, origin, target, framing,
                                          method):
    """pingora 156, 240: read, drained or closed, but not parsed."""
    with Client(weir.address) as client:
        if framing == "length":
            client.send(compose(method, target, body=EVIL))
        else:
            client.send(compose(method, target,
                                [("Transfer-Encoding", "chunked")])
                        + chunked(EVIL))
        response = client.response()
        assert response.status in (200, 404)
        if "close" in response.fields.tokens("connection"):
            assert client.closed()
        else:
            assert Echo(client.get("/echo/next")).target == "/echo/next"
    assert "/evil" not in [e.target for e in origin.exchanges]


def test_body_that_comes_after_the_answer(weir, origin):
    """pingora 156: the answer of weir itself, then the body."""
    with Client(weir.address) as client:
        client.send(compose("POST", "/own",
                            [("Content-Length", str(len(EVIL)))]))
        response = client.response()
        assert response.status == 200
        client.send(EVIL + compose(target="/echo/next"), may_fail=True)
        if "close" in response.fields.tokens("connection"):
            assert client.closed()
        else:
            assert Echo(client.response()).target == "/echo/next"
    assert "/evil" not in [e.target for e in origin.exchanges]


def test_bytes_after_a_1_0_request(weir, origin):
    """pingora 144: no body without a length."""
    before = len(origin.exchanges)
    with Client(weir.address) as client:
        client.send(b"GET /echo HTTP/1.0\r\n\r\nX")
        assert Echo(client.response()).body == b""
        assert client.closed()
    assert len(origin.exchanges) == before + 1


def test_connections_are_independent(weir):
    """Fifty at a time, mixed, none sees another's answer."""
    clients = [Client(weir.address) for _ in range(50)]
    try:
        for round_ in range(3):
            for i, client in enumerate(clients):
                client.send(compose(target="/echo/%d-%d" % (i, round_)))
            for i, client in enumerate(clients):
                assert Echo(client.response()).target == "/echo/%d-%d" % (
                    i, round_)
    finally:
        for client in clients:
            client.close()
