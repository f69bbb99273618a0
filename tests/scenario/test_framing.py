"""Each message is framed for the one who reads it."""
# SPDX-License-Identifier: BSD-2-Clause
import hashlib

import pytest

from lib import conf, wait
from lib.client import Client, chunked, compose
from lib.origin import Echo, big

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.proxy(origin))


# -- answers without a body ------------------------------------------------

NO_BODY = [
    ("HEAD with length (pingora 9, 177)", "HEAD",
     b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", 200, "11"),
    ("HEAD chunked", "HEAD",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
    ("HEAD without framing", "HEAD", b"HTTP/1.1 200 OK\r\n\r\n", 200, None),
    ("HEAD 304 (pingora 177)", "HEAD",
     b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, None),
    ("HEAD 204 (pingora 177)", "HEAD", b"HTTP/1.1 204 None\r\n\r\n", 204,
     None),
    ("HEAD 404", "HEAD", b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n",
     404, "5"),
    ("GET 204 (pingora 158)", "GET", b"HTTP/1.1 204 None\r\n\r\n", 204,
     None),
    ("GET 304", "GET",
     b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, None),
    ("GET 304 with length", "GET",
     b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304,
     "100"),
    ("GET 200 of length 0", "GET",
     b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "0"),
    ("HEAD after 100 (pingora 72)", "HEAD",
     b"HTTP/1.1 100 Continue\r\n\r\n"
     b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", 200, "42"),
]


@pytest.mark.parametrize("name,method,raw,status,length", NO_BODY,
                         ids=[n[0] for n in NO_BODY])
def test_no_body(weir, origin, name, method, raw, status, length):
    """Neither side waits for a body; both connections stay usable."""
    script = origin.raw(raw)
    with Client(weir.address) as client:
        for _ in range(2):
            response = client.request(method, script.path)
            assert response.status == status and response.body == b""
            if length is not None:
                assert response.fields.get("content-length") in (length,
                                                                 None)
                if method == "HEAD":
                    assert response.fields.one("content-length") == length
            assert "close" not in response.fields.tokens("connection")
    if "without framing" not in name:
        assert len(script.connections) == 1


# -- how a body is framed for the client -----------------------------------

BODIES = [0, 1, 13, 1000, 65536, 300000]


@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("target,framing", [
    ("/bytes/%d", "length"), ("/chunked/%d", "chunked"),
    ("/close/%d", "chunked")])
def test_framing_for_1_1(weir, target, framing, size):
    """Length stays length, chunks stay chunks, until-close gets chunks."""
    with Client(weir.address) as client:
        for _ in range(2):
            response = client.get(target % size)
            assert response.framing == framing
            assert response.body == big(size)


@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("target,framing", [
    ("/bytes/%d", "length"), ("/chunked/%d", "close"),
    ("/close/%d", "close")])
def test_framing_for_1_0(weir, target, framing, size):
    """A 1.0 client is never sent chunked (pingora 84 errs here)."""
    with Client(weir.address) as client:
        response = client.get(target % size, version="1.0")
        assert response.framing == framing
        assert response.body == big(size)
        assert client.closed()


@pytest.mark.parametrize("target,framing,kept", [
    ("/bytes/100", "length", True), ("/chunked/100", "close", False)])
def test_keep_alive_for_1_0(weir, target, framing, kept):
    with Client(weir.address) as client:
        response = client.get(target, [("Connection", "keep-alive")],
                              version="1.0")
        assert response.framing == framing
        if kept:
            assert "keep-alive" in response.fields.tokens("connection")
            assert client.get("/hello").status == 200
        else:
            assert "keep-alive" not in response.fields.tokens("connection")
            assert client.closed()


# -- how a body is framed for the backend ----------------------------------

@pytest.mark.parametrize("how", ["whole", "bytewise"])
@pytest.mark.parametrize("body", [b"", b"a", b"abc" * 11], ids=len)
def test_request_bodies(weir, body, how):
    """pingora 7, 8, 162, 163, 168: by length and chunked, in any cut."""
    with Client(weir.address) as client:
        send = client.send if how == "whole" else client.send_bytewise
        send(compose("POST", "/echo", body=body))
        echo = Echo(client.response())
        assert echo.body == body
        assert echo.framing == "length"
        send(compose("POST", "/echo", [("Transfer-Encoding", "chunked")])
             + chunked(body[:2], body[2:]))
        echo = Echo(client.response())
        assert echo.body == body


def test_every_split_of_a_chunked_body(weir):
    """pingora 163, 168."""
    raw = b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\n"
    head = compose("POST", "/echo", [("Transfer-Encoding", "chunked")])
    with Client(weir.address) as client:
        for i in range(len(raw) + 1):
            client.send(head + raw[:i])
            client.send(raw[i:])
            echo = Echo(client.response())
            assert echo.body == b"abcde" and echo.trailers.one("t") == "u"


@pytest.mark.parametrize("size", [70000, 1 << 20, 15 << 20])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_uploads(weir, size, framing):
    """pingora 66: the backend reads all, then answers."""
    body = big(size)
    want = "%d %s" % (size, hashlib.sha256(body).hexdigest())
    with Client(weir.address) as client:
        if framing == "length":
            client.send(compose("POST", "/sha", body=body))
        else:
            client.send(compose("POST", "/sha",
                                [("Transfer-Encoding", "chunked")])
                        + chunked(*[body[i:i + 100000]
                                    for i in range(0, size, 100000)]))
        assert client.response().text == want


def test_no_framing_means_no_body(weir, origin):
    """pingora 145, 182: a POST without framing has no body, nor upstream."""
    with Client(weir.address) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\n\r\n"
                    b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        first, second = Echo(client.response()), Echo(client.response())
    assert first.fields.get("transfer-encoding") is None
    assert first.fields.get("content-length") in (None, "0")
    assert second.method == "GET"
    assert "content-length" not in second.fields
    assert "transfer-encoding" not in second.fields


def test_1_0_request_becomes_1_1(weir):
    """weir speaks its own version upstream."""
    with Client(weir.address) as client:
        echo = Echo(client.get("/echo", version="1.0"))
        assert echo.version == "1.1"


# -- trailers --------------------------------------------------------------

def test_trailers_reach_the_backend(weir):
    with Client(weir.address) as client:
        client.send(compose("POST", "/echo", [
            ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum, X-More")])
            + chunked(b"abc", trailers=[("X-Sum", "1"), ("X-More", "2")]))
        echo = Echo(client.response())
        assert echo.trailers.one("x-sum") == "1"
        assert echo.trailers.one("x-more") == "2"
        assert "x-sum" not in echo.fields


def test_trailers_reach_the_client(weir, origin):
    script = origin.script(lambda e: e.reply(
        200, b"abc", [("Trailer", "X-Sum")], chunked=True,
        trailers=[("X-Sum", "1"), ("X-More", "2")]))
    with Client(weir.address) as client:
        response = client.get(script.path, [("TE", "trailers"),
                                            ("Connection", "TE")])
        assert response.body == b"abc"
        assert response.trailers.one("x-sum") == "1"
        assert response.trailers.one("x-more") == "2"
        assert "x-sum" not in response.fields
        assert client.get("/hello").status == 200


def test_trailers_are_dropped_for_1_0(weir, origin):
    script = origin.script(lambda e: e.reply(
        200, b"abc", chunked=True, trailers=[("X-Sum", "1")]))
    with Client(weir.address) as client:
        response = client.get(script.path, version="1.0")
        assert response.body == b"abc" and response.framing == "close"


# -- interim responses -----------------------------------------------------

def test_expect_continue(weir, origin):
    """The client's wait, the backend's 100, then the body."""
    def answer(exchange):
        assert exchange.fields.one("expect").lower() == "100-continue"
        assert not exchange.conn.reader.buf, "the body came unasked"
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.reply(200, exchange.body())
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        for _ in range(2):
            client.send(compose("POST", script.path, [
                ("Expect", "100-continue"), ("Content-Length", "3")]))
            head = client.response(interims=False)
            assert head.status == 100
            client.send(b"abc")
            final = client.response()
            assert final.status == 200 and final.body == b"abc"


def test_expect_continue_chunked(weir, origin):
    def answer(exchange):
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.reply(200, exchange.body())
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose("POST", script.path, [
            ("Expect", "100-Continue"), ("Transfer-Encoding", "chunked")]))
        assert client.response(interims=False).status == 100
        client.send(chunked(b"ab", b"c"))
        assert client.response().body == b"abc"


@pytest.mark.parametrize("status", [401, 417, 200])
def test_expect_answered_at_once(weir, origin, status):
    """A final answer instead of 100; the body may come or not."""
    script = origin.raw(b"HTTP/1.1 %d Final\r\nContent-Length: 2\r\n\r\nno"
                        % status, read_body=False, then="gone")
    with Client(weir.address) as client:
        client.send(compose("POST", script.path, [
            ("Expect", "100-continue"), ("Content-Length", "3")]))
        response = client.response()
        assert response.status == status and not response.interims
        if "close" in response.fields.tokens("connection"):
            assert client.closed()
        else:
            client.send(b"abc" + compose(target="/hello"))
            assert client.response().body == b"Hello World!\n"


def test_expect_and_the_client_does_not_wait(weir, origin):
    script = origin.script(lambda e: e.reply(200, e.body()))
    with Client(weir.address) as client:
        client.send(compose("POST", script.path,
                            [("Expect", "100-continue")], b"abc"))
        response = client.response()
        assert response.status == 200 and response.body == b"abc"
        assert client.get("/hello").status == 200


def test_no_100_for_1_0(weir, origin):
    """RFC 9110 10.1.1: a 1.0 client's expectation is ignored."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.reply(200, exchange.body())
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose("POST", script.path,
                            [("Expect", "100-continue")], b"abc",
                            version="1.0"))
        response = client.response()
        assert response.status == 200 and response.interims == []
        assert response.body == b"abc"


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456"

INTERIMS = [
    ("103 (pingora 16)", HINTS + OK, [103]),
    ("100 and final in one packet (pingora 176)",
     b"HTTP/1.1 100 Continue\r\n\r\n" + OK, None),
    ("100, 103 (pingora 176)", b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + OK,
     None),
    ("102", b"HTTP/1.1 102 Processing\r\n\r\n" + OK, [102]),
    ("unknown 1xx", b"HTTP/1.1 142 Odd\r\nX: y\r\n\r\n" + OK, [142]),
    ("five", HINTS * 5 + OK, [103] * 5),
]


@pytest.mark.parametrize("how", ["whole", "bytewise"])
@pytest.mark.parametrize("name,raw,want", INTERIMS,
                         ids=[i[0] for i in INTERIMS])
def test_interim_responses(weir, origin, name, raw, want, how):
    script = origin.raw([raw[i:i + 1] for i in range(len(raw))]
                        if how == "bytewise" else raw)
    with Client(weir.address) as client:
        for _ in range(2):
            response = client.get(script.path)
            assert response.status == 200 and response.body == b"123456"
            if want is not None:
                assert [i.status for i in response.interims] == want
            for interim in response.interims:
                if interim.status == 103:
                    assert interim.fields.one(
                        "link") == "</a.css>; rel=preload"


def test_103_arrives_before_the_answer(weir, origin):
    """pingora 16."""
    seen = []

    def answer(exchange):
        exchange.send(HINTS)
        wait.until(lambda: seen, what="the client has the 103")
        exchange.send(OK)
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        assert client.response(interims=False).status == 103
        seen.append(True)
        assert client.response().body == b"123456"


def test_no_interims_for_1_0(weir, origin):
    script = origin.raw(HINTS + OK)
    response = weir.get(script.path, version="1.0")
    assert response.interims == [] and response.body == b"123456"


# -- fields pass as they are -----------------------------------------------

def test_response_fields_in_order_and_case(weir, origin):
    """pingora 232: names keep their case, fields their order."""
    script = origin.raw(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nx-LOWER: q\r\n"
                        b"Set-Cookie: b=2; Path=/\r\nContent-Length: 0\r\n"
                        b"X-Empty:\r\nSet-Cookie: c=3\r\n\r\n")
    response = weir.get(script.path)
    assert response.fields.all("set-cookie") == ["a=1", "b=2; Path=/", "c=3"]
    assert ("x-LOWER", "q") in list(response.fields)
    assert response.fields.one("x-empty") == ""
    assert response.reason == "OK"


def test_request_fields_in_order_and_case(weir):
    fields = [("x-ONE", "1"), ("Accept", "a/b, */*;q=0.1"), ("X-Two", ""),
              ("accept", "c/d"), ("Cookie", "a=b; c=d"),
              ("Authorization", "Basic eDp5")]
    with Client(weir.address) as client:
        echo = Echo(client.get("/echo", fields))
        assert [f for f in echo.fields
                if f[0].lower() in [n.lower() for n, _ in fields]] == fields


def test_basic_proxying(weir):
    """pingora 1: 200, length 13, the body."""
    response = weir.get("/hello")
    assert response.status == 200
    assert response.fields.one("content-length") == "13"
    assert response.body == b"Hello World!\n"
