"""A request that can be read two ways is refused, and no backend sees it."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf
from lib.client import Client, chunked, compose, outcome
from lib.origin import Echo

pytestmark = pytest.mark.short

HOST = b"Host: test.example\r\n"


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.config(
        [conf.service({"path": "/", "upstream": "up"}, name="web"),
         conf.service({"path": "/", "upstream": "up"}, name="small",
                      header_size_max="2KB", fields_max=10,
                      request_line_max=256, body_size_max=1000)],
        [conf.upstream("up", origin)]))


def get(*lines, target=b"/x", version=b"HTTP/1.1", method=b"GET",
        host=HOST, body=b""):
    """A request with these field lines, each ended by CRLF."""
    return (method + b" " + target + b" " + version + b"\r\n" + host
            + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body)


def post(*lines, body=b"", **kw):
    return get(*lines, method=b"POST", body=body, **kw)


CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"

# name, request, statuses that are right
BAD = [
    # Two framings, or one that is none.
    ("cl-te (pingora 140)", post(b"Content-Length: 5", CHUNKED, body=END),
     400),
    ("te-cl", post(CHUNKED, b"Content-Length: 5", body=END), 400),
    ("cl-te lower case",
     post(b"content-length: 5", b"transfer-encoding: chunked", body=END),
     400),
    ("cl-te on GET", get(b"Content-Length: 0", CHUNKED, body=END), 400),
    ("cl twice, same (pingora 141)",
     post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400),
    ("cl twice, differing",
     post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), 400),
    ("cl twice and te (pingora 141)",
     post(b"Content-Length: 3", b"Content-Length: 3", CHUNKED, body=END),
     400),
    ("cl list", post(b"Content-Length: 3, 3", body=b"abc"), 400),
    ("cl list differing", post(b"Content-Length: 3, 4", body=b"abcd"), 400),
    ("cl plus", post(b"Content-Length: +3", body=b"abc"), 400),
    ("cl minus (pingora 139)", post(b"Content-Length: -1"), 400),
    ("cl word (pingora 139)", post(b"Content-Length: abc"), 400),
    ("cl fraction (pingora 139)", post(b"Content-Length: 1.5"), 400),
    ("cl empty (pingora 139)", post(b"Content-Length:"), 400),
    ("cl blank (pingora 139)", post(b"Content-Length:   "), 400),
    ("cl trailing word (pingora 139)", post(b"Content-Length: 123abc"), 400),
    ("cl hex", post(b"Content-Length: 0x3", body=b"abc"), 400),
    ("cl inner space", post(b"Content-Length: 1 2", body=b"a" * 12), 400),
    ("cl quoted", post(b'Content-Length: "3"', body=b"abc"), 400),
    ("cl semicolon", post(b"Content-Length: 3;", body=b"abc"), 400),
    ("cl 20 digits", post(b"Content-Length: 99999999999999999999"), 400),
    ("cl 2^64", post(b"Content-Length: 18446744073709551616"), 400),
    ("cl 2^64 + 3",
     post(b"Content-Length: 18446744073709551619", body=b"abc"), 400),
    ("cl 20 digits of zeros and 3",
     post(b"Content-Length: 00000000000000000003", body=b"abc"), 400),
    ("cl 2^63", post(b"Content-Length: 9223372036854775808"), (400, 413)),
    ("cl CR (pingora 138)",
     b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\r\n\r\nabc", 400),
    ("cl other digits", post(b"Content-Length: \xd9\xa3", body=b"abc"), 400),
    # Transfer codings.
    ("te unknown then chunked (pingora 143)",
     post(b"Transfer-Encoding: gzip, chunked", body=END), 501),
    ("te unknown then chunked, two lines (pingora 143)",
     post(b"Transfer-Encoding: gzip", CHUNKED, body=END), 501),
    ("te not final", post(b"Transfer-Encoding: chunked, gzip", body=END),
     400),
    ("te chunked twice",
     post(b"Transfer-Encoding: chunked, chunked", body=END), 400),
    ("te chunked twice, two lines", post(CHUNKED, CHUNKED, body=END), 400),
    ("te chunked then identity (pingora 143)",
     post(CHUNKED, b"Transfer-Encoding: identity", body=END), 400),
    ("te without chunked", post(b"Transfer-Encoding: gzip", body=END),
     (400, 501)),
    ("te identity", post(b"Transfer-Encoding: identity", body=END),
     (400, 501)),
    ("te xchunked", post(b"Transfer-Encoding: xchunked", body=END),
     (400, 501)),
    ("te with parameter", post(b"Transfer-Encoding: chunked;a=b", body=END),
     (400, 501)),
    ("te empty", post(b"Transfer-Encoding:", body=END), 400),
    ("te comma only", post(b"Transfer-Encoding: ,", body=END), (400, 501)),
    ("te quoted", post(b'Transfer-Encoding: "chunked"', body=END),
     (400, 501)),
    ("te vertical tab", post(b"Transfer-Encoding: \x0bchunked", body=END),
     400),
    ("te inner space", post(b"Transfer-Encoding: chun ked", body=END),
     (400, 501)),
    ("te high byte", post(b"Transfer-Encoding: chunked\xff", body=END),
     (400, 501)),
    ("te in 1.0 (pingora 142)", post(CHUNKED, body=END, version=b"HTTP/1.0"),
     400),
    ("te and cl in 1.0",
     post(b"Content-Length: 5", CHUNKED, body=END, version=b"HTTP/1.0"),
     400),
    # Bytes that end a line for some readers only.
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: test.example\n\n", 400),
    ("bare LF after the request line",
     b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
     400),
    ("bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("bare LF in a value", get(b"X: a\nContent-Length: 3"), 400),
    ("bare CR in a value", get(b"X: a\rb"), 400),
    ("bare CR before CRLF", get(b"X: a\r"), 400),
    ("bare CR in a name", get(b"X\rY: a"), 400),
    ("bare CR in the request line", get(target=b"/\r/x"), 400),
    ("bare CR ends the request line",
     b"GET / HTTP/1.1\r" + HOST + b"\r\n", 400),
    ("bare CR ends the head", b"GET / HTTP/1.1\r\n" + HOST + b"\rx\r\n\r\n",
     400),
    ("CR CR LF", b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n", 400),
    ("NUL in a value", get(b"X: a\0b"), 400),
    ("NUL in a name", get(b"X\0: a"), 400),
    ("NUL in the target", get(target=b"/a\0b"), 400),
    ("NUL in the method", get(method=b"G\0T"), 400),
    ("NUL in Host", get(host=b"Host: a\0b\r\n"), 400),
    ("control 01 in a value", get(b"X: a\x01b"), 400),
    ("control 0b in a value", get(b"X: a\x0bb"), 400),
    ("control 0c in a value", get(b"X: a\x0cb"), 400),
    ("control 1f in a value", get(b"X: \x1f"), 400),
    ("control 7f in a value", get(b"X: a\x7f"), 400),
    ("control 01 in the target", get(target=b"/\x01"), 400),
    ("control 7f in the target", get(target=b"/\x7f"), 400),
    ("tab in the target", get(target=b"/a\tb"), 400),
    # Fields.
    ("obs-fold, space", get(b"X: a", b" b"), 400),
    ("obs-fold, tab", get(b"X: a", b"\tb"), 400),
    ("obs-fold, blank", get(b"X: a", b" "), 400),
    ("obs-fold of the framing",
     post(b"Transfer-Encoding:", b" chunked", body=END), 400),
    ("first field begins with space",
     b"GET / HTTP/1.1\r\n " + HOST + b"\r\n", 400),
    ("space before the colon", get(b"X : a"), 400),
    ("tab before the colon", get(b"X\t: a"), 400),
    ("space before the colon of Host", get(host=b"Host : a\r\n"), 400),
    ("space before the colon of the length",
     post(b"Content-Length : 3", body=b"abc"), 400),
    ("space before the colon of the coding",
     post(b"Transfer-Encoding : chunked", body=END), 400),
    ("space in a name", get(b"X Y: a"), 400),
    ("no colon", get(b"X"), 400),
    ("empty name", get(b": a"), 400),
    ("parenthesis in a name", get(b"X(Y): a"), 400),
    ("at sign in a name", get(b"X@Y: a"), 400),
    ("slash in a name", get(b"X/Y: a"), 400),
    ("quote in a name", get(b'"X": a'), 400),
    ("brackets in a name", get(b"[X]: a"), 400),
    ("high byte in a name", get(b"X\xc3\xa9: a"), 400),
    ("semicolon line", get(b";"), 400),
    # Host and authority.
    ("no Host", get(host=b""), 400),
    ("no Host, absolute target", get(target=b"http://a/", host=b""), 400),
    ("two Hosts, same", get(b"Host: test.example"), 400),
    ("two Hosts, differing", get(b"Host: other.example"), 400),
    ("two Hosts in 1.0", get(b"Host: b", version=b"HTTP/1.0"), 400),
    ("Host list", get(host=b"Host: a, b\r\n"), 400),
    ("Host with space", get(host=b"Host: a b\r\n"), 400),
    ("Host with path", get(host=b"Host: a/b\r\n"), 400),
    ("Host with userinfo (pingora 239)", get(host=b"Host: user@x\r\n"), 400),
    ("Host with query", get(host=b"Host: a?b\r\n"), 400),
    ("Host with fragment", get(host=b"Host: a#b\r\n"), 400),
    ("Host with backslash", get(host=b"Host: a\\b\r\n"), 400),
    ("Host with a port of letters", get(host=b"Host: a:b\r\n"), 400),
    ("Host with a port too large", get(host=b"Host: a:65536\r\n"), 400),
    ("Host with two ports", get(host=b"Host: a:1:2\r\n"), 400),
    ("Host of a port alone", get(host=b"Host: :80\r\n"), 400),
    ("Host with an open bracket", get(host=b"Host: [::1\r\n"), 400),
    ("Host with a word in brackets", get(host=b"Host: [word]\r\n"), 400),
    ("Host with text after the bracket", get(host=b"Host: [::1]x\r\n"), 400),
    ("Host with high bytes", get(host=b"Host: a\xff\r\n"), 400),
    ("Host with angle", get(host=b"Host: a<b\r\n"), 400),
    ("Host with scheme", get(host=b"Host: http://a\r\n"), 400),
    ("empty Host", get(host=b"Host: \r\n"), 400),
    ("Host contradicts the target (pingora 239)",
     get(target=b"http://a/", host=b"Host: b\r\n"), 400),
    ("Host's port contradicts the target",
     get(target=b"http://a:81/", host=b"Host: a:82\r\n"), 400),
    ("userinfo in the target", get(target=b"http://u@test.example/"), 400),
    ("user and password in the target",
     get(target=b"http://u:p@test.example/"), 400),
    ("empty authority", get(target=b"http:///x"), 400),
    ("backslash authority (pingora 239)",
     get(target=b"http:/\\h/", host=b"Host: h\r\n"), 400),
    ("no slashes", get(target=b"http:test.example/"), 400),
    ("another scheme", get(target=b"ftp://test.example/"), 400),
    # The request line.
    ("protocol name (pingora 137)", get(version=b"HTP/1.1"), 400),
    ("protocol in lower case", get(version=b"http/1.1"), 400),
    ("version 2.0", get(version=b"HTTP/2.0"), 505),
    ("version 3.0", get(version=b"HTTP/3.0"), 505),
    ("version 0.9", get(version=b"HTTP/0.9"), (400, 505)),
    ("version 9.9", get(version=b"HTTP/9.9"), 505),
    ("version of three digits", get(version=b"HTTP/1.10"), 400),
    ("version without minor", get(version=b"HTTP/1"), (400, 505)),
    ("version without dot", get(version=b"HTTP/11"), (400, 505)),
    ("version of letters", get(version=b"HTTP/x.y"), 400),
    ("signed version", get(version=b"HTTP/+1.1"), 400),
    ("no version", b"GET /\r\n\r\n", (400, 505)),
    ("no version, fields", b"GET /\r\n" + HOST + b"\r\n", (400, 505)),
    ("no target (pingora 154)", b"GET HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("two spaces before the target", get(target=b" /"), 400),
    ("two spaces before the version", get(version=b" HTTP/1.1"), 400),
    ("space after the version", get(version=b"HTTP/1.1 "), 400),
    ("word after the version", get(version=b"HTTP/1.1 x"), 400),
    ("tab for a space", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("leading space", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("empty method", b" / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("method no token", get(method=b"G(T"), 400),
    ("method with high byte", get(method=b"G\xc9T"), 400),
    ("space in the query (pingora 154)", get(target=b"/a?q=b c"), 400),
    ("fragment", get(target=b"/a#b"), 400),
    ("empty fragment", get(target=b"/#"), 400),
    ("fragment in the query", get(target=b"/a?b#c"), 400),
    ("relative target", get(target=b"a"), 400),
    ("query only", get(target=b"?a"), 400),
    ("asterisk with GET", get(target=b"*"), 400),
    ("authority form with GET", get(target=b"test.example:80"), 400),
    ("TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
     + b"\r\n\r\n" * 2, 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    # Methods that weir does not serve.
    ("CONNECT (pingora 13)",
     b"CONNECT test.example:443 HTTP/1.1\r\nHost: test.example:443\r\n\r\n",
     405),
    ("CONNECT in 1.0", b"CONNECT test.example:443 HTTP/1.0\r\n\r\n", 405),
    ("TRACE", get(method=b"TRACE"), 405),
    # Paths.
    ("dot dot", get(target=b"/a/../b"), 400),
    ("dot dot at the end", get(target=b"/a/.."), 400),
    ("dot", get(target=b"/a/./b"), 400),
    ("dot at the end", get(target=b"/a/."), 400),
    ("root dot dot", get(target=b"/.."), 400),
    ("encoded dots", get(target=b"/a/%2e%2e/b"), 400),
    ("half encoded dots", get(target=b"/a/.%2E/b"), 400),
    ("other half encoded dots", get(target=b"/a/%2e./b"), 400),
    ("encoded dot", get(target=b"/%2e/b"), 400),
    ("dot dot before the query", get(target=b"/a/..?b"), 400),
    ("dots in an absolute target",
     get(target=b"http://test.example/a/../b"), 400),
    # Connection nominates what it must not.
    ("Connection: Host (pingora 237)", get(b"Connection: Host"), 400),
    ("Connection: close, Host", get(b"Connection: close, Host"), 400),
    ("Connection: Content-Length",
     post(b"Connection: Content-Length", b"Content-Length: 3", body=b"abc"),
     400),
    ("Connection: Transfer-Encoding",
     post(b"Connection: transfer-encoding", CHUNKED, body=END), 400),
    ("Connection: X-Forwarded-For (pingora 237)",
     get(b"Connection: X-Forwarded-For"), 400),
    ("Connection: x-forwarded-proto", get(b"Connection: x-forwarded-proto"),
     400),
    ("Connection: X-Forwarded-Host", get(b"Connection: X-Forwarded-Host"),
     400),
    ("Connection: :authority (pingora 237)", get(b"Connection: :authority"),
     400),
    ("Connection: :path", get(b"Connection: close, :path"), 400),
    ("Connection: bad token (pingora 237)", get(b"Connection: bad token"),
     400),
    ('Connection: "X-Forwarded-For" (pingora 237)',
     get(b'Connection: "X-Forwarded-For"'), 400),
    ("Connection of ten nominations (pingora 237)",
     get(b"Connection: " + b", ".join(b"x-%d" % i for i in range(10))), 400),
    ("Connection of ten nominations in two lines",
     get(b"Connection: a, b, c, d, e", b"Connection: f, g, h, i, j"), 400),
    ("unknown expectation", post(b"Expect: the-unexpected",
                                 b"Content-Length: 0"), 417),
    # More than the limits allow.
    ("request line over 8 KB", get(target=b"/" + b"a" * 8192), 414),
    ("query over 8 KB", get(target=b"/?" + b"a" * 9000), 414),
    ("field over 32 KB", get(b"X: " + b"a" * 33000), 431),
    ("name over 32 KB", get(b"X" * 33000 + b": a"), 431),
    ("block over 32 KB", get(*[b"X%d: " % i + b"a" * 4000
                               for i in range(9)]), 431),
    ("101 fields", get(*[b"X%d: a" % i for i in range(100)]), 431),
    ("body over the limit",
     post(b"Content-Length: 1073741825"), 413),
]


def check_refused(weir, origin, client, want):
    kind, response = outcome(client)
    assert kind == "complete", (kind, response)
    assert response.status in (want if isinstance(want, tuple) else (want,))
    assert response.interims == []
    assert "close" in response.fields.tokens("connection")
    assert client.closed(), "the connection stayed open"


@pytest.mark.parametrize("how", ["whole", "bytewise"])
@pytest.mark.parametrize("name,raw,want", BAD, ids=[b[0] for b in BAD])
def test_refused(weir, origin, name, raw, want, how):
    if how == "bytewise" and len(raw) > 2000:
        pytest.skip("long")
    before = origin.bytes_received
    with Client(weir.address) as client:
        if how == "whole":
            client.send(raw, may_fail=True)
        else:
            client.send_bytewise(raw)
        check_refused(weir, origin, client, want)
    assert origin.bytes_received == before, "the backend saw it"


@pytest.mark.parametrize("name,raw,want", [
    row for row in BAD if row[0] in (
        "cl-te (pingora 140)", "bare LF in a value", "NUL in a value",
        "obs-fold, space", "two Hosts, same", "version 2.0",
        "CONNECT (pingora 13)", "101 fields", "dot dot")],
    ids=lambda v: v if isinstance(v, str) else "")
def test_refused_behind_a_good_one(weir, origin, name, raw, want):
    """The same in the middle of a connection, pipelined."""
    with Client(weir.address) as client:
        client.send(get(target=b"/first") + raw + get(target=b"/third"),
                    may_fail=True)
        assert Echo(client.response()).target == "/first"
        check_refused(weir, origin, client, want)
    assert "/third" not in [e.target for e in origin.exchanges]


def test_nothing_after_a_refused_request_is_read(weir, origin):
    """What follows a refused request is no request."""
    before = len(origin.exchanges)
    with Client(weir.address) as client:
        client.send(post(b"Content-Length: 0", CHUNKED,
                         body=b"0\r\n\r\nGET /evil HTTP/1.1\r\n" + HOST
                         + b"\r\n"), may_fail=True)
        check_refused(weir, origin, client, 400)
    assert len(origin.exchanges) == before


# -- chunked bodies, whose head may have left already ----------------------

CHUNKS = [
    ("size of letters", b"g\r\n"),
    ("empty size", b"\r\n"),
    ("negative size", b"-1\r\n"),
    ("signed size", b"+1\r\na\r\n0\r\n\r\n"),
    ("0x size", b"0x1\r\na\r\n0\r\n\r\n"),
    ("space before the size", b" 1\r\na\r\n0\r\n\r\n"),
    ("inner space", b"1 0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"),
    ("tab before the size", b"\t1\r\na\r\n0\r\n\r\n"),
    ("bare LF after the size", b"1\na\r\n0\r\n\r\n"),
    ("bare CR after the size", b"1\ra\r\n0\r\n\r\n"),
    ("size over 64 bits", b"10000000000000000\r\na\r\n0\r\n\r\n"),
    ("size that wraps", b"10000000000000001\r\na\r\n0\r\n\r\n"),
    ("size 2^64-1", b"ffffffffffffffff\r\na"),
    ("zeros without end", b"0" * 9000 + b"1\r\na\r\n0\r\n\r\n"),
    ("comma", b"1,1\r\na\r\n0\r\n\r\n"),
    ("no CRLF after data (pingora 166)", b"1\r\nabcd\r\n0\r\n\r\n"),
    ("bare LF after data", b"1\r\na\n0\r\n\r\n"),
    ("bare CR after data (pingora 166)", b"1\r\na\rn0\r\n\r\n"),
    ("CR, letter after data (pingora 166)", b"1\r\nar\n0\r\n\r\n"),
    ("extension too long (pingora 165)",
     b"1;" + b"a" * 9000 + b"\r\na\r\n0\r\n\r\n"),
    ("extension with NUL", b"1;a=\0\r\na\r\n0\r\n\r\n"),
    ("extension with bare CR", b"1;a\rb\r\na\r\n0\r\n\r\n"),
    ("extension with bare LF", b"1;a\nb\r\na\r\n0\r\n\r\n"),
    ("extension without semicolon", b"1 a\r\na\r\n0\r\n\r\n"),
    ("last chunk, bad end (pingora 164)", b"0\r\nr\n"),
    ("last chunk, bare LF", b"0\r\n\n"),
    ("last chunk, bare LFs", b"0\n\n"),
    ("trailer without colon", b"0\r\nabc\r\n\r\n"),
    ("trailer with space before the colon", b"0\r\nA : b\r\n\r\n"),
    ("trailer that is no token", b"0\r\nA B: b\r\n\r\n"),
    ("trailer folded", b"0\r\nA: b\r\n c\r\n\r\n"),
    ("trailer with bare LF", b"0\r\nA: b\nC: d\r\n\r\n"),
    ("trailer with bare CR (pingora 170)", b"0\r\nabc: hi\rn\r\n\r\n"),
    ("trailer with NUL", b"0\r\nA: \0\r\n\r\n"),
    ("trailer Content-Length", b"0\r\nContent-Length: 5\r\n\r\n"),
    ("trailer Transfer-Encoding",
     b"0\r\ntransfer-encoding: chunked\r\n\r\n"),
    ("trailer Host", b"0\r\nHost: evil\r\n\r\n"),
    ("trailers too large (pingora 170)",
     b"0\r\n" + b"".join(b"A%d: %s\r\n" % (i, b"b" * 3000)
                         for i in range(12)) + b"\r\n"),
    ("too many trailers",
     b"0\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(101)) + b"\r\n"),
]


@pytest.mark.parametrize("prefix", [b"", b"3\r\nabc\r\n"],
                         ids=["first", "later"])
@pytest.mark.parametrize("name,body", CHUNKS, ids=[c[0] for c in CHUNKS])
def test_bad_chunks(weir, origin, name, body, prefix):
    """400 (431 for what is too large), and never a whole request upstream."""
    before = len(origin.exchanges)
    with Client(weir.address) as client:
        client.send(post(CHUNKED, target=b"/chunks") + prefix + body,
                    may_fail=True)
        kind, response = outcome(client)
        assert kind == "complete"
        assert response.status in (400, 413, 431)
        assert client.closed()
    for exchange in origin.exchanges[before:]:
        assert exchange.done.wait(5)
        assert exchange.failure, "the backend read a whole request"


@pytest.mark.parametrize("body", [
    b"", b"5", b"5\r\n", b"5\r\nab", b"5\r\nabcde", b"5\r\nabcde\r\n",
    b"0\r\n", b"0\r\nabc", b"0\r\nabc: hi\r\n"], ids=repr)
@pytest.mark.parametrize("end", ["finish", "close", "reset"])
def test_chunked_body_that_ends_early(weir, origin, body, end):
    """pingora 147, 167, 170: an incomplete request stays incomplete."""
    script = origin.script(lambda e: e.reply(200))
    with Client(weir.address) as client:
        client.send(post(CHUNKED, target=script.path.encode()) + body)
        getattr(client, end)()
        if end == "finish":
            kind, response = outcome(client)
            assert kind == "none" or response.status in (400, 408)
    for exchange in script.exchanges:
        assert exchange.done.wait(5)
        assert exchange.failure, "the backend read a whole request"


# -- what looks odd and is right -------------------------------------------

GOOD = [
    ("plain (pingora 135)", get(), {}),
    ("1.0 without Host (pingora 135)", b"GET /x HTTP/1.0\r\n\r\n", {}),
    ("1.0 with length (pingora 142)",
     post(b"Content-Length: 3", body=b"abc", version=b"HTTP/1.0"),
     {"body": b"abc"}),
    ("empty line before", b"\r\n" + get(), {}),
    ("length 0 (pingora 139)", post(b"Content-Length: 0"), {"body": b""}),
    ("length (pingora 139)", post(b"Content-Length: 3", body=b"abc"),
     {"body": b"abc"}),
    ("space around the length", post(b"Content-Length: \t 3 \t",
                                     body=b"abc"), {"body": b"abc"}),
    ("no framing (pingora 145)", post(), {"body": b""}),
    ("chunked", post(CHUNKED, body=chunked(b"ab", b"c")), {"body": b"abc"}),
    ("chunked, odd case", post(b"transfer-ENCODING: ChunKed",
                               body=chunked(b"abc")), {"body": b"abc"}),
    ("chunked, tabs around", post(b"Transfer-Encoding:\tchunked\t",
                                  body=chunked(b"abc")), {"body": b"abc"}),
    ("chunk size with zeros", post(CHUNKED, body=b"0003\r\nabc\r\n0\r\n\r\n"),
     {"body": b"abc"}),
    ("chunk size in capitals",
     post(CHUNKED, body=b"A\r\n0123456789\r\n0\r\n\r\n"),
     {"body": b"0123456789"}),
    ("chunk extensions (pingora 165)",
     post(CHUNKED, body=b'3;a;b=c;d="e;f"\r\nabc\r\n0;aaaa\r\n\r\n'),
     {"body": b"abc"}),
    ("empty chunked (pingora 163)", post(CHUNKED, body=END), {"body": b""}),
    ("chunked GET", get(CHUNKED, body=chunked(b"abc")), {"body": b"abc"}),
    ("GET with length", get(b"Content-Length: 3", body=b"abc"),
     {"body": b"abc"}),
    ("no space after the colon", get(b"X:a"), {"X": "a"}),
    ("spaces after the colon", get(b"X:  \t a b \t "), {"X": "a b"}),
    ("empty value", get(b"X:"), {"X": ""}),
    ("tab inside a value", get(b"X: a\tb"), {"X": "a\tb"}),
    ("high bytes in a value", get(b"X: \xc3\xa9\xff"), {"X": "\xc3\xa9\xff"}),
    ("odd token", get(b"!#$%&'*+-.^`|~09az: a"), {"!#$%&'*+-.^`|~09az": "a"}),
    ("method in lower case", get(method=b"get"), {"method": "get"}),
    ("unknown method", get(method=b"BREW"), {"method": "BREW"}),
    ("method PROPFIND", get(method=b"PROPFIND"), {"method": "PROPFIND"}),
    ("absolute target", get(target=b"http://test.example/x?y"),
     {"target": "/x?y"}),
    ("absolute target without path",
     get(target=b"http://test.example"), {"target": "/"}),
    ("absolute target with query alone",
     get(target=b"http://test.example?y"), {"target": "/?y"}),
    ("absolute target in capitals",
     get(target=b"HTTP://TEST.example/x"), {"target": "/x"}),
    ("Host with port", get(host=b"Host: test.example:8080\r\n"),
     {"Host": "test.example:8080"}),
    ("Host of IPv4", get(host=b"Host: 127.0.0.1:80\r\n"),
     {"Host": "127.0.0.1:80"}),
    ("Host of IPv6", get(host=b"Host: [::1]:80\r\n"), {"Host": "[::1]:80"}),
    ("100 fields", get(*[b"X%d: a" % i for i in range(99)]), {"X98": "a"}),
    ("request line of 8 KB", get(target=b"/" + b"a" * 8100), {}),
    ("field of 16 KB", get(b"X: " + b"a" * 16000), {"X": "a" * 16000}),
    ("Connection of tchar quotes (pingora 237)",
     get(b"Connection: 'X-Forwarded-For'"), {}),
    ("Connection of nine nominations (pingora 237)",
     get(b"Connection: " + b", ".join(b"x-%d" % i for i in range(9))), {}),
]


@pytest.mark.parametrize("how", ["whole", "bytewise", "halves"])
@pytest.mark.parametrize("name,raw,want", GOOD, ids=[g[0] for g in GOOD])
def test_accepted(weir, name, raw, want, how):
    if how != "whole" and len(raw) > 2000:
        pytest.skip("long")
    with Client(weir.address) as client:
        if how == "whole":
            client.send(raw)
        elif how == "bytewise":
            client.send_bytewise(raw, may_fail=False)
        else:
            client.send(raw[:len(raw) // 2])
            client.send(raw[len(raw) // 2:])
        echo = Echo(client.response())
        for key, value in want.items():
            if key in ("method", "target", "body"):
                assert getattr(echo, key) == value
            else:
                assert echo.fields.one(key) == value
        if b"HTTP/1.0" not in raw:
            assert client.request(target="/next").status == 200


# -- read one way or refused; nothing between ------------------------------

@pytest.mark.parametrize("target", [
    b"/\xf0\x90\x80", b'/a"b', b"/a<b>", b"/a\\b", b"/a|b", b"/a^b",
    b"/a{b}", b"/a`b", b"/%", b"/%2", b"/%zz", b"/a?b|c", b"/%00", b"/%0a"])
def test_odd_targets_unchanged_or_refused(weir, origin, target):
    """pingora 136, 154: weir does not repair a target."""
    with Client(weir.address) as client:
        client.send(get(target=target))
        response = client.response()
        if response.status == 200:
            assert Echo(response).target == target.decode("latin-1")
        else:
            assert response.status == 400
            assert client.closed()


@pytest.mark.parametrize("length", [b"003", b"0000000000000000003"])
def test_leading_zeros_are_read_one_way(weir, length):
    with Client(weir.address) as client:
        client.send(post(b"Content-Length: " + length, body=b"abc")
                    + get(target=b"/next"))
        response = client.response()
        if response.status == 200:
            assert Echo(response).body == b"abc"
            assert Echo(client.response()).target == "/next"
        else:
            assert response.status == 400 and client.closed()


def test_options_asterisk(weir):
    with Client(weir.address) as client:
        client.send(get(method=b"OPTIONS", target=b"*"))
        response = client.response()
        if response.status == 200 and response.body:
            assert Echo(response).target == "*"
        else:
            assert response.status in (200, 204, 400, 404)


def test_minor_version_above_one(weir):
    """RFC 9112 2.3: a higher minor version is read as 1.1, or refused."""
    with Client(weir.address) as client:
        client.send(get(version=b"HTTP/1.2"))
        response = client.response()
        if response.status == 200:
            assert Echo(response).version == "1.1"
        else:
            assert response.status in (400, 505)


# -- limits from the configuration -----------------------------------------

LIMITS = [
    ("request line under 256", b"GET /" + b"a" * 238 + b" HTTP/1.1", [], 200),
    ("request line over 256", b"GET /" + b"a" * 250 + b" HTTP/1.1", [], 414),
    ("10 fields", b"GET / HTTP/1.1", [b"X%d: a" % i for i in range(9)], 200),
    ("11 fields", b"GET / HTTP/1.1", [b"X%d: a" % i for i in range(10)],
     431),
    ("block of 2 KB", b"GET / HTTP/1.1", [b"X: " + b"a" * 1900], 200),
    ("block over 2 KB", b"GET / HTTP/1.1", [b"X: " + b"a" * 2048], 431),
    ("body of 1000", b"POST / HTTP/1.1", [b"Content-Length: 1000"], 200),
    ("body of 1001", b"POST / HTTP/1.1", [b"Content-Length: 1001"], 413),
]


@pytest.mark.parametrize("name,line,fields,want", LIMITS,
                         ids=[row[0] for row in LIMITS])
def test_configured_limits(weir, origin, name, line, fields, want):
    before = len(origin.exchanges)
    with Client(weir.addresses[1]) as client:
        client.send(line + b"\r\n" + HOST
                    + b"".join(f + b"\r\n" for f in fields) + b"\r\n"
                    + (b"a" * 1000 if want == 200 and b"POST" in line
                       else b""), may_fail=True)
        assert client.response().status == want
        if want != 200:
            assert client.closed()
            assert len(origin.exchanges) == before


def test_announced_body_over_the_limit_is_not_awaited(weir):
    """413 comes before a byte of the body is sent, also with Expect."""
    with Client(weir.addresses[1]) as client:
        client.send(post(b"Content-Length: 5000", b"Expect: 100-continue"))
        response = client.response()
        assert response.status == 413 and not response.interims


def test_chunked_body_over_the_limit(weir, origin):
    script = origin.script(lambda e: e.reply(200))
    with Client(weir.addresses[1]) as client:
        client.send(post(CHUNKED, target=script.path.encode())
                    + b"1f4\r\n" + b"a" * 500 + b"\r\n" + b"1f5\r\n"
                    + b"a" * 501 + b"\r\n0\r\n\r\n", may_fail=True)
        assert client.response().status == 413
        assert client.closed()
    for exchange in script.exchanges:
        assert exchange.done.wait(5) and exchange.failure


def test_refusal_reaches_a_client_that_still_sends(weir):
    """The close lingers, so that no reset destroys the answer."""
    with Client(weir.addresses[1]) as client:
        client.send(post(b"Content-Length: 4000000"))
        for _ in range(64):
            if not client.send(b"a" * 16384, may_fail=True):
                break
        assert client.response().status == 413


def test_refused_request_is_logged_with_its_offset(start, origin):
    """DESIGN 10: logged with the byte offset."""
    config = conf.proxy(origin, top={"error_log": {"level": "debug"}})
    weir = start(config)
    with Client(weir.address) as client:
        client.send(get(b"X: a\0b"))
        assert client.response().status == 400
    where = get(b"X: a\0b").index(b"\0")
    weir.wait_log(r"\b(%d|%d)\b" % (where, where + 1))


def test_composed_requests_are_strict():
    assert compose() == b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n"
