"""The harness itself: its client and origin agree, and see what is wrong."""
# SPDX-License-Identifier: BSD-2-Clause
import socket
import threading

import pytest

from lib import conf, ws
from lib.client import Client, chunked, once, outcome
from lib.origin import Blackhole, Echo, Refused, big, pattern
from lib.prom import Metrics
from lib.wire import Cut, Malformed, Message, Reader, parse_fields

pytestmark = pytest.mark.short

GOOD = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3\r\nabc\r\n0\r\nA: b\r\n\r\n", b"abc"),
    "close": (b"HTTP/1.1 200 \r\n\r\nabc", b"abc"),
    "none": (b"HTTP/1.1 204 No\r\n\r\n", b""),
}
BAD = {
    "both framings": b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    "two lengths": b"Content-Length: 1\r\nContent-Length: 1\r\n",
    "space before colon": b"A : b\r\n",
    "folded": b"A: b\r\n c\r\n",
    "bare CR": b"A: b\rc\r\n",
    "bare LF": b"A: b\nB: c\r\n",
    "NUL": b"A: \0\r\n",
    "signed": b"Content-Length: +1\r\n",
}


def answer(raw):
    """A reader over a peer that sent these bytes and closed."""
    ours, theirs = socket.socketpair()
    theirs.sendall(raw)
    theirs.close()
    return Reader(ours, 2)


@pytest.mark.parametrize("name", GOOD)
def test_reads_good_responses(name):
    raw, body = GOOD[name]
    response = answer(raw).response()
    assert response.complete and response.body == body
    assert response.framing == name


@pytest.mark.parametrize("name", BAD)
def test_refuses_bad_responses(name):
    with pytest.raises(Malformed):
        answer(b"HTTP/1.1 200 OK\r\n" + BAD[name] + b"\r\nx").response()


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
])
def test_sees_what_is_cut(raw):
    with pytest.raises(Cut) as caught:
        answer(raw).response()
    assert caught.value.message.status == 200


def test_reset_inside_a_closing_body_is_cut(origin):
    script = origin.raw(b"HTTP/1.1 200 OK\r\n\r\nabc", then="reset")
    with Client(origin.address) as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
                    % script.path.encode())
        script.wait_done()
        assert outcome(client)[0] in ("cut", "none")


def test_origin_echoes_what_it_read(origin):
    with Client(origin.address) as client:
        for nth in range(3):
            echo = Echo(client.request("POST", "/echo", [("X-A", "b")],
                                       b"body"))
            assert (echo.method, echo.body, echo.nth) == ("POST", b"body",
                                                          nth)
            assert echo.fields.one("x-a") == "b"
        client.send_bytewise(
            b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n" + chunked(b"ab", b"c", trailers=[("T", "u")]))
        echo = Echo(client.response())
        assert echo.body == b"abc" and echo.trailers.one("t") == "u"


@pytest.mark.parametrize("target,size,framing", [
    ("/bytes/70000", 70000, "length"), ("/chunked/70000", 70000, "chunked"),
    ("/close/70000", 70000, "close"), ("/bytes/0", 0, "length"),
])
def test_origin_app(origin, target, size, framing):
    response = once(origin.address, target=target)
    assert response.framing == framing and response.body == big(size)


def test_origin_reports_malformed_requests(origin):
    with Client(origin.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        assert client.closed()
    assert origin.errors
    origin.errors = []


def test_refused_and_blackhole(origin_factory):
    refused = origin_factory(kind=Refused)
    with pytest.raises(ConnectionRefusedError):
        Client(conf.split(refused.backend))
    hole = origin_factory(kind=Blackhole)
    with pytest.raises(TimeoutError):
        Client(conf.split(hole.backend), timeout=0.3)


def test_websocket_helpers(origin):
    script = origin.script(ws.serve_echo)
    with Client(origin.address) as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n" % script.path.encode()
                    + b"".join(("%s: %s\r\n" % f).encode()
                               for f in ws.handshake_fields()) + b"\r\n")
        head = client.response(upgrade=True)
        assert head.status == 101
        assert (head.fields.one("sec-websocket-accept")
                == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        for size in (5, 300, 70000):
            client.send(ws.frame(ws.BINARY, big(size), mask=True))
            assert ws.read_frame(client.reader) == (ws.BINARY, big(size))
        client.send(ws.frame(ws.CLOSE, b"\x03\xe8", mask=True))
        assert ws.read_frame(client.reader) == (ws.CLOSE, b"\x03\xe8")
        assert client.closed()


def metrics(text):
    message = Message()
    message.fields = parse_fields([b"Content-Type: text/plain"])
    message.body = text
    return Metrics(message)


def test_prometheus_reader():
    good = metrics(b'# HELP a_total Things.\n# TYPE a_total counter\n'
                   b'a_total{b="c"} 1\na_total{b="d"} 2\n')
    assert good.sum("a_total") == 3 and good.sum("a_total", b="d") == 2
    for bad in (b"a 1\n", b"# TYPE a counter\na{b=c} 1\n",
                b"# TYPE a counter\na 1\na 2\n",
                b"# TYPE a counter\na 1"):
        with pytest.raises(AssertionError):
            metrics(bad)


def test_configuration_writer():
    text = conf.document({"a": True, "b": 5000000000, "c": ["x", "y"],
                          "d": [{"e": 'q"\\'}], "f": []})
    assert text == ('a = true;\nb = 5000000000L;\nc = [ "x", "y" ];\n'
                    'd = ( {\n    e = "q\\"\\\\";\n  } );\nf = (  );\n')


def test_patterns_differ_everywhere():
    assert len({pattern(64, n) for n in range(50)}) == 50
    body = big(100000)
    assert len(body) == 100000 and body[64:127] == b"%-63d" % 1


def test_threads_end(origin):
    with Client(origin.address) as client:
        client.get("/hello")
    origin.drop_idle()
    assert threading.active_count() < 200
