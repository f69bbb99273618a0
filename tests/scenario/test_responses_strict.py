"""A backend's answer passes on only if it parses strictly."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf, wait
from lib.client import Client, outcome
from lib.origin import Echo

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.config(
        conf.service({"path": "/", "upstream": "up"}),
        [conf.upstream("up", origin, retries=0)]))


def ok(*lines, body=b"", status=b"HTTP/1.1 200 OK"):
    return (status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
            + b"\r\n" + body)


CL = b"Content-Length: 3"
CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"

# name, response
BAD = [
    # Framing.
    ("te and cl (pingora 175)", ok(CHUNKED, CL, body=END)),
    ("cl and te (pingora 175)", ok(CL, CHUNKED, body=END)),
    ("te and cl abc (pingora 175)",
     ok(CHUNKED, b"Content-Length: abc", body=END)),
    ("cl twice, same", ok(CL, CL, body=b"abc")),
    ("cl twice, differing", ok(CL, b"Content-Length: 4", body=b"abcd")),
    ("cl list", ok(b"Content-Length: 3, 3", body=b"abc")),
    ("cl list, differing", ok(b"Content-Length: 3, 4", body=b"abcd")),
    ("cl minus (pingora 174)", ok(b"Content-Length: -1")),
    ("cl plus", ok(b"Content-Length: +3", body=b"abc")),
    ("cl word (pingora 174)", ok(b"Content-Length: abc")),
    ("cl fraction (pingora 174)", ok(b"Content-Length: 1.5")),
    ("cl empty (pingora 174)", ok(b"Content-Length:")),
    ("cl blank (pingora 174)", ok(b"Content-Length:  ")),
    ("cl trailing word (pingora 174)", ok(b"Content-Length: 123abc")),
    ("cl hex", ok(b"Content-Length: 0x3", body=b"abc")),
    ("cl 20 digits", ok(b"Content-Length: 99999999999999999999")),
    ("cl 2^64 + 3", ok(b"Content-Length: 18446744073709551619",
                       body=b"abc")),
    ("te unknown", ok(b"Transfer-Encoding: gzip", body=END)),
    ("te unknown then chunked",
     ok(b"Transfer-Encoding: gzip, chunked", body=END)),
    ("te not final", ok(b"Transfer-Encoding: chunked, gzip", body=END)),
    ("te twice", ok(CHUNKED, CHUNKED, body=END)),
    ("te chunked, chunked", ok(b"Transfer-Encoding: chunked, chunked",
                               body=END)),
    ("te identity", ok(b"Transfer-Encoding: identity", body=b"abc")),
    ("te empty", ok(b"Transfer-Encoding:", body=END)),
    ("te xchunked", ok(b"Transfer-Encoding: xchunked", body=END)),
    ("te vertical tab", ok(b"Transfer-Encoding: \x0bchunked", body=END)),
    ("te in 1.0", ok(CHUNKED, body=END, status=b"HTTP/1.0 200 OK")),
    # Line ends and controls.
    ("bare LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"),
    ("bare LF after the status line",
     b"HTTP/1.1 200 OK\n" + CL + b"\r\n\r\nabc"),
    ("bare LF after a field",
     b"HTTP/1.1 200 OK\r\n" + CL + b"\n\r\nabc"),
    ("bare LF ends the head",
     b"HTTP/1.1 200 OK\r\n" + CL + b"\r\n\nabc"),
    ("bare LF in a value", ok(CL, b"X: a\nSet-Cookie: b", body=b"abc")),
    ("bare CR in a value", ok(CL, b"X: a\rb", body=b"abc")),
    ("bare CR before CRLF", ok(CL, b"X: a\r", body=b"abc")),
    ("bare CR after the status line",
     b"HTTP/1.1 200 OK\r" + CL + b"\r\n\r\nabc"),
    ("bare CR in the reason",
     ok(CL, body=b"abc", status=b"HTTP/1.1 200 O\rK")),
    ("NUL in a value", ok(CL, b"X: a\0b", body=b"abc")),
    ("NUL in a name", ok(CL, b"X\0: a", body=b"abc")),
    ("NUL in the reason", ok(CL, body=b"abc", status=b"HTTP/1.1 200 O\0K")),
    ("control 01 in a value", ok(CL, b"X: \x01", body=b"abc")),
    ("control 7f in a value", ok(CL, b"X: \x7f", body=b"abc")),
    ("control 1b in the reason",
     ok(CL, body=b"abc", status=b"HTTP/1.1 200 \x1b[0m")),
    # Fields.
    ("obs-fold (pingora 173)", ok(CL, b"X: a", b" b", body=b"abc")),
    ("obs-fold of the framing", ok(b"Transfer-Encoding:", b" chunked",
                                   body=END)),
    ("first field begins with space",
     ok(b" X: a", CL, body=b"abc")),
    ("space before the colon (pingora 173)",
     ok(CL, b"Server : x", body=b"abc")),
    ("space before the colon of the length",
     ok(b"Content-Length : 3", body=b"abc")),
    ("space in a name", ok(CL, b"X Y: a", body=b"abc")),
    ("no colon", ok(CL, b"X", body=b"abc")),
    ("semicolon line (pingora 173)", ok(CL, b";", body=b"abc")),
    ("empty name", ok(CL, b": a", body=b"abc")),
    ("high byte in a name (pingora 173)",
     ok(CL, b"X\xc3\xa9: a", body=b"abc")),
    ("at sign in a name", ok(CL, b"X@: a", body=b"abc")),
    # The status line.
    ("protocol name (pingora 173)",
     ok(CL, body=b"abc", status=b"HTP/1.1 200 OK")),
    ("protocol in lower case",
     ok(CL, body=b"abc", status=b"http/1.1 200 OK")),
    ("version 2.0", ok(CL, body=b"abc", status=b"HTTP/2.0 200 OK")),
    ("version 0.9", ok(CL, body=b"abc", status=b"HTTP/0.9 200 OK")),
    ("version of three digits",
     ok(CL, body=b"abc", status=b"HTTP/1.10 200 OK")),
    ("version without minor", ok(CL, body=b"abc", status=b"HTTP/1 200 OK")),
    ("status of two digits", ok(CL, body=b"abc", status=b"HTTP/1.1 20 OK")),
    ("status of four digits",
     ok(CL, body=b"abc", status=b"HTTP/1.1 2000 OK")),
    ("status of letters", ok(CL, body=b"abc", status=b"HTTP/1.1 abc OK")),
    ("status 000", ok(CL, body=b"abc", status=b"HTTP/1.1 000 OK")),
    ("status 099", ok(CL, body=b"abc", status=b"HTTP/1.1 099 OK")),
    ("signed status", ok(CL, body=b"abc", status=b"HTTP/1.1 +20 OK")),
    ("no status", ok(CL, body=b"abc", status=b"HTTP/1.1 OK")),
    ("no space", ok(CL, body=b"abc", status=b"HTTP/1.1200 OK")),
    ("two spaces", ok(CL, body=b"abc", status=b"HTTP/1.1  200 OK")),
    ("tab", ok(CL, body=b"abc", status=b"HTTP/1.1\t200 OK")),
    ("status runs into the reason",
     ok(CL, body=b"abc", status=b"HTTP/1.1 200OK")),
    ("leading space", ok(CL, body=b"abc", status=b" HTTP/1.1 200 OK")),
    ("no HTTP at all", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("HTML alone (HTTP/0.9)", b"<html>hello</html>\r\n\r\n"),
    ("ICY", b"ICY 200 OK\r\n\r\n"),
    # 101 and the other interim ones.
    ("101 unasked", ok(b"Upgrade: websocket", b"Connection: upgrade",
                       status=b"HTTP/1.1 101 Switching Protocols")),
    ("100 then nonsense", b"HTTP/1.1 100 Continue\r\n\r\nHTP/1.1 200\r\n\r\n"),
    ("17 interim ones", b"HTTP/1.1 102 Processing\r\n\r\n" * 17
     + ok(CL, body=b"abc")),
    ("100 with bare LF", b"HTTP/1.1 100 Continue\n\n" + ok(CL, body=b"abc")),
    # Too much.
    ("block over 32 KB", ok(CL, *[b"X%d: " % i + b"a" * 4000
                                  for i in range(9)], body=b"abc")),
    ("field over 32 KB", ok(CL, b"X: " + b"a" * 33000, body=b"abc")),
    ("101 fields", ok(CL, *[b"X%d: a" % i for i in range(100)],
                      body=b"abc")),
    ("endless reason", b"HTTP/1.1 200 " + b"a" * 40000),
]


@pytest.mark.parametrize("how", ["whole", "bytewise"])
@pytest.mark.parametrize("name,raw", BAD, ids=[b[0] for b in BAD])
def test_bad_head_is_502(weir, origin, name, raw, how):
    if how == "bytewise":
        if len(raw) > 1500:
            pytest.skip("long")
        raw = [raw[i:i + 1] for i in range(len(raw))]
    script = origin.raw(raw, then="gone")
    with Client(weir.address) as client:
        response = client.get(script.path)
        assert response.status == 502, response
        assert b"abc" not in response.body
    done = script.wait_done()
    assert done.failure is None or isinstance(done.failure, OSError)
    assert len(script.exchanges) == 1


@pytest.mark.parametrize("raw", [
    b"", b"H", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r"], ids=repr)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_head_that_ends_early_is_502(weir, origin, raw, end):
    script = origin.raw(raw, then=end)
    response = weir.get(script.path)
    assert response.status == 502


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["103", "100"])
def test_interim_then_the_end_is_502(weir, origin, raw):
    """pingora 17."""
    script = origin.raw(raw, then="close")
    response = weir.get(script.path)
    assert response.status == 502
    assert response.framing in ("length", "chunked")


# name, head's framing, bytes after it, how the backend ends
CUT = [
    ("cl short, FIN", b"Content-Length: 5", b"abc", "close"),
    ("cl short, reset", b"Content-Length: 5", b"abc", "reset"),
    ("cl and no body", b"Content-Length: 5", b"", "close"),
    ("chunked, no end (pingora 167)", CHUNKED, b"3\r\nabc\r\n", "close"),
    ("chunked, nothing", CHUNKED, b"", "close"),
    ("chunked, inside a size", CHUNKED, b"3\r\nabc\r\n5", "close"),
    ("chunked, inside data", CHUNKED, b"5\r\nabc", "close"),
    ("chunked, before the CRLF", CHUNKED, b"3\r\nabc", "close"),
    ("chunked, inside the end (pingora 147)", CHUNKED,
     b"3\r\nabc\r\n0\r\n", "close"),
    ("chunked, inside trailers (pingora 170)", CHUNKED,
     b"3\r\nabc\r\n0\r\nA: b\r\n", "close"),
    ("chunked, reset (pingora 63)", CHUNKED, b"5\r\nAAAAA\r\n", "reset"),
    ("until close, reset", b"X: y", b"abc", "reset"),
    ("chunk size of letters", CHUNKED, b"3\r\nabc\r\ng\r\n", "gone"),
    ("chunk size negative", CHUNKED, b"3\r\nabc\r\n-1\r\n", "gone"),
    ("chunk size empty", CHUNKED, b"3\r\nabc\r\n\r\n", "gone"),
    ("chunk size 0x", CHUNKED, b"3\r\nabc\r\n0x1\r\na\r\n" + END, "gone"),
    ("chunk size too large", CHUNKED,
     b"3\r\nabc\r\n10000000000000001\r\na\r\n" + END, "gone"),
    ("chunk size, bare LF", CHUNKED, b"3\r\nabc\r\n1\na\r\n" + END, "gone"),
    ("chunk size, space before", CHUNKED, b"3\r\nabc\r\n 1\r\na\r\n" + END,
     "gone"),
    ("chunk without CRLF (pingora 166)", CHUNKED,
     b"3\r\nabcd\r\n" + END, "gone"),
    ("chunk, bare LF", CHUNKED, b"3\r\nabc\n" + END, "gone"),
    ("chunk extension too long (pingora 165)", CHUNKED,
     b"3\r\nabc\r\n1;" + b"a" * 9000 + b"\r\na\r\n" + END, "gone"),
    ("bad end (pingora 164)", CHUNKED, b"3\r\nabc\r\n0\r\nr\n", "gone"),
    ("trailer without colon", CHUNKED, b"3\r\nabc\r\n0\r\nabc\r\n\r\n",
     "gone"),
    ("trailer with space before the colon", CHUNKED,
     b"3\r\nabc\r\n0\r\nA : b\r\n\r\n", "gone"),
    ("trailer with bare LF", CHUNKED, b"3\r\nabc\r\n0\r\nA: b\nC: d\r\n\r\n",
     "gone"),
    ("trailer Content-Length", CHUNKED,
     b"3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n", "gone"),
    ("trailer Transfer-Encoding", CHUNKED,
     b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "gone"),
    ("trailers too large (pingora 170)", CHUNKED,
     b"3\r\nabc\r\n0\r\n" + b"".join(b"A%d: %s\r\n" % (i, b"b" * 3000)
                                     for i in range(24)) + b"\r\n", "gone"),
]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("how", ["whole", "streamed"])
@pytest.mark.parametrize("name,framing,body,end", CUT,
                         ids=[c[0] for c in CUT])
def test_broken_body_is_cut(weir, origin, name, framing, body, end, how,
                            version):
    """What broke off reaches the client as cut (or 502), never as whole.

    A 1.0 client of a chunked answer can be told only by a reset.
    """
    head = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
    started = []

    def answer(exchange):
        if how == "whole":
            exchange.send(head + body)
        else:
            exchange.send(head)
            wait.until(lambda: started, what="the head arrives")
            exchange.send(body)
        if end == "gone":
            exchange.gone()
        else:
            getattr(exchange, end)()
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(b"GET %s HTTP/%s\r\nHost: a\r\n\r\n" % (
            script.path.encode(), version.encode()))
        if how == "streamed":
            wait.until(lambda: client.reader._fill(
                client.reader.deadline()), what="the head")
            started.append(True)
        kind, response = outcome(client)
        if kind == "complete":
            assert response.status == 502 and how == "whole", (
                kind, response, response.body[:200])
        elif kind == "cut":
            assert response.status == 200
            assert body.find(response.body[:3]) >= 0
            assert client.closed()
        else:
            assert how == "whole"
    assert len(script.exchanges) == 1, "retried after the answer began"
    script.wait_done()


# -- answers that end right, and bytes that follow them --------------------

SURPLUS = [
    ("cl (pingora 172)", ok(CL, body=b"abcX")),
    ("cl, a whole response", ok(CL, body=b"abc" + ok(CL, body=b"evl"))),
    ("cl 0", ok(b"Content-Length: 0", body=b"X")),
    ("chunked (pingora 169)", ok(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\nX")),
    ("204", ok(status=b"HTTP/1.1 204 No Content", body=b"abc")),
    ("304", ok(status=b"HTTP/1.1 304 Not Modified", body=b"abc")),
    ("304 with length", ok(CL, status=b"HTTP/1.1 304 Not Modified",
                           body=b"abc")),
]


@pytest.mark.parametrize("when", ["together", "later"])
@pytest.mark.parametrize("name,raw", SURPLUS, ids=[s[0] for s in SURPLUS])
def test_surplus_discards_the_connection(weir, origin, name, raw, when):
    """pingora 172, 198: what follows an answer is no one's answer."""
    cut = raw.rindex(b"X") if b"X" in raw[-2:] else raw.rindex(b"\r\n\r\n") + 4
    if name == "cl, a whole response":
        cut = raw.index(b"abc") + 3
    seen = []

    def answer(exchange):
        if when == "together":
            exchange.send(raw)
        else:
            exchange.send(raw[:cut])
            wait.until(lambda: seen, what="the client reads the answer")
            exchange.send(raw[cut:])
        exchange.gone()
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        first = client.get(script.path)
        seen.append(True)
        assert first.complete
        assert first.status in (200, 204, 304, 502)
        assert b"X" not in first.body and b"evl" not in first.body
        script.wait_done()
        second = client.get("/hello")
        assert second.status == 200 and second.body == b"Hello World!\n"
    assert script.exchanges[0].failure is None
    assert len(script.exchanges) == 1


def test_surplus_of_head(weir, origin):
    """A body after the answer to HEAD is surplus."""
    script = origin.raw(ok(CL, body=b"abc"), then="gone")
    with Client(weir.address) as client:
        first = client.request("HEAD", script.path)
        assert first.status == 200 and first.fields.one(
            "content-length") == "3"
        script.wait_done()
        assert client.get("/hello").body == b"Hello World!\n"


GOOD = [
    ("no reason", ok(CL, body=b"abc", status=b"HTTP/1.1 200 "), 200),
    ("own reason (pingora 151)",
     ok(CL, body=b"abc", status=b"HTTP/1.1 299 My Own (Reason)"), 299),
    ("high bytes in the reason",
     ok(CL, body=b"abc", status=b"HTTP/1.1 200 D\xe9j\xe0"), 200),
    ("1.0", ok(CL, body=b"abc", status=b"HTTP/1.0 200 OK"), 200),
    ("1.0 until close", ok(body=b"abc", status=b"HTTP/1.0 200 OK"), 200),
    ("until close (pingora 171)", ok(body=b"abc"), 200),
    ("chunked", ok(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"), 200),
    ("chunked in one-byte chunks",
     ok(CHUNKED, body=b"1\r\na\r\n01\r\nb\r\n1;x=y\r\nc\r\n000\r\n\r\n"),
     200),
    ("chunked, odd case", ok(b"TRANSFER-encoding:  ChUnKeD ",
                             body=b"3\r\nabc\r\n0\r\n\r\n"), 200),
    ("length, odd case", ok(b"cOnTeNt-LeNgTh:3", body=b"abc"), 200),
    ("status 404", ok(CL, body=b"abc", status=b"HTTP/1.1 404 Not"), 404),
    ("status 599", ok(CL, body=b"abc", status=b"HTTP/1.1 599 Odd"), 599),
    ("tab in a value", ok(CL, b"X: a\tb", body=b"abc"), 200),
    ("high bytes in a value", ok(CL, b"X: \xff", body=b"abc"), 200),
    ("100 fields", ok(CL, *[b"X%d: a" % i for i in range(99)],
                      body=b"abc"), 200),
    ("16 interim ones", b"HTTP/1.1 102 Processing\r\n\r\n" * 16
     + ok(CL, body=b"abc"), 200),
]


@pytest.mark.parametrize("how", ["whole", "bytewise"])
@pytest.mark.parametrize("name,raw,status", GOOD, ids=[g[0] for g in GOOD])
def test_good_ones_pass(weir, origin, name, raw, status, how):
    script = origin.raw([raw[i:i + 1] for i in range(len(raw))]
                        if how == "bytewise" else raw, then="close")
    with Client(weir.address) as client:
        response = client.get(script.path)
        assert response.status == status and response.body == b"abc"
        assert response.version == "1.1"
        if b"Own" in raw:
            assert response.reason == "My Own (Reason)"
        if name == "16 interim ones":
            assert len(response.interims) == 16
        assert client.get("/hello").status == 200


def test_204_with_a_length(weir, origin):
    """RFC 9110 8.6 forbids it: no Content-Length reaches the client."""
    script = origin.raw(ok(CL, status=b"HTTP/1.1 204 No Content"),
                        then="close")
    response = weir.get(script.path)
    assert response.status in (204, 502)


def test_bad_answer_does_not_end_the_client_connection(weir, origin):
    script = origin.raw(b"nonsense\r\n\r\n", then="gone")
    with Client(weir.address) as client:
        response = client.get(script.path)
        assert response.status == 502
        if "close" not in response.fields.tokens("connection"):
            assert Echo(client.get("/echo")).method == "GET"


def test_limits_of_the_upstream(start, origin_factory):
    """response_header_max, response_fields_max, interim_responses_max."""
    origin = origin_factory()
    weir = start(conf.config(
        conf.service({"path": "/", "upstream": "up"}),
        [conf.upstream("up", origin, retries=0, response_header_max="1KB",
                       response_fields_max=5, interim_responses_max=2)]))
    table = [
        (ok(CL, b"X: " + b"a" * 900, body=b"abc"), 200),
        (ok(CL, b"X: " + b"a" * 1100, body=b"abc"), 502),
        (ok(CL, *[b"X%d: a" % i for i in range(4)], body=b"abc"), 200),
        (ok(CL, *[b"X%d: a" % i for i in range(5)], body=b"abc"), 502),
        (b"HTTP/1.1 102 P\r\n\r\n" * 2 + ok(CL, body=b"abc"), 200),
        (b"HTTP/1.1 102 P\r\n\r\n" * 3 + ok(CL, body=b"abc"), 502),
    ]
    for raw, status in table:
        script = origin.raw(raw, then="close")
        assert weir.get(script.path).status == status, raw[:60]
