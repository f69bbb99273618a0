# SPDX-License-Identifier: BSD-2-Clause
"""Clients that speak HTTP/2: what they get, and what they cannot do."""
import hashlib
import json
import os
import shutil
import struct
import subprocess

import pytest

from conftest import need
from lib import conf, wait
from lib import h2wire as h2
from lib.client import once
from lib.origin import big
from lib.weir import run

pytestmark = pytest.mark.short


@pytest.fixture(scope="module", autouse=True)
def built_with_it():
    status, out, err = run("-V")
    if "no HTTP/2" in out + err:
        pytest.skip("this weir has no HTTP/2")


def listen():
    return [{"address": conf.address(), "h2c": True}]


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.proxy(
        origin, listen=listen(), h2_resets_max=20, h2_pings_max=20,
        h2_settings_max=10, h2_priorities_max=50, h2_empty_frames_max=20,
        h2_window_updates_max=100, h2_streams_max=20,
        client_write_timeout="2s"))


@pytest.fixture
def client(weir):
    with h2.Client(weir.address) as one:
        yield one


def echo(stream):
    assert stream.status == 200, (stream.heads, stream.reset)
    return json.loads(stream.data)


# -- messages -------------------------------------------------------------

def test_request_and_answer(weir, client):
    """A GET by prior knowledge reaches an HTTP/1 origin as one."""
    seen = echo(client.get("/x?a=b", fields=[("x-a", "1")]))
    assert seen["method"] == "GET" and seen["target"] == "/x?a=b"
    assert seen["version"] == "1.1" and seen["framing"] == "none"
    fields = {n.lower(): v for n, v in seen["fields"]}
    assert fields["host"] == "test.example" and fields["x-a"] == "1"
    assert fields["via"] == "2 weir"
    assert fields["x-forwarded-for"] == "127.0.0.1"


def test_http1_on_the_same_port(weir):
    """Who does not begin with the preface speaks HTTP/1."""
    assert weir.get("/hello").body == b"Hello World!\n"


def test_preface_in_pieces(weir):
    """However the preface is cut, it is recognised."""
    with h2.Client(weir.address, preface=False) as client:
        client.auto_ack = False  # it would come in between
        for byte in h2.PREFACE + h2.settings():
            client.send(bytes([byte]))
        client.until(lambda: client.settings)
        client.send(h2.frame(h2.SETTINGS, h2.ACK))
        assert client.get("/hello").data == b"Hello World!\n"


def test_many_at_once(weir, client):
    """Streams do not wait for each other, and answers do not mix."""
    numbers = [(client.request("/bytes/%d" % n), n)
               for n in (1, 70000, 0, 3, 16384, 16385, 500000, 9)]
    for number, size in numbers:
        assert client.wait(number).data == big(size)


def test_bodies_with_and_without_length(weir, client):
    """Uploads are forwarded with their length, or chunked."""
    body = big(300000)
    want = "%d %s" % (len(body), hashlib.sha256(body).hexdigest())
    for fields in ([("content-length", str(len(body)))], []):
        stream = client.wait(upload(client, "/sha", body, fields))
        assert stream.data.decode() == want
    seen = echo(client.wait(client.request("/e", "POST", [], b"abc")))
    assert seen["framing"] == "chunked" and seen["body"] == "abc"
    seen = echo(client.wait(client.request(
        "/e", "POST", [("content-length", "3")], b"abc")))
    assert seen["framing"] == "length"


def upload(client, target, body, fields=()):
    """Send a body as the windows allow."""
    number = client.request(target, "POST", fields, end=False)
    sent = 0

    def window(stream):
        initial = client.settings.get(4, 65535) if stream else 65535
        return initial + sum(
            struct.unpack(">I", p)[0] for k, f, s, p in client.frames
            if k == h2.WINDOW_UPDATE and s == stream)
    total = getattr(client, "given", 0)
    client.until(lambda: client.settings)
    while sent < len(body):
        client.until(lambda: min(window(number) - sent,
                                 window(0) - total - sent) > 0,
                     what="window at %d" % sent)
        n = min(16384, len(body) - sent, window(number) - sent,
                window(0) - total - sent)
        client.data(number, body[sent:sent + n], sent + n == len(body))
        sent += n
    client.given = total + sent
    return number


def test_cookie_crumbs_are_joined(weir, client):
    """RFC 9113, 8.2.3: HTTP/1 knows one Cookie field."""
    seen = echo(client.get("/c", fields=[
        ("cookie", "a=1"), ("x-between", "y"), ("cookie", "b=2"),
        ("cookie", "c=3")]))
    cookies = [v for n, v in seen["fields"] if n.lower() == "cookie"]
    assert cookies == ["a=1; b=2; c=3"]


def test_trailers_both_ways(weir, client, origin):
    """Trailers of the request and of the response go through."""
    script = origin.script(lambda ex: ex.reply(
        200, b"body", chunked=True, trailers=[("X-Sum", "7")],
        fields=[("Trailer", "X-Sum")]))
    stream = client.wait(client.request(
        script.path, "POST", [("te", "trailers")], b"abc",
        trailers=[("x-check", "9")]))
    assert stream.data == b"body"
    assert ("x-sum", "7") in stream.trailers
    assert list(script.wait_done().head.trailers) == [("x-check", "9")]


def test_interim_responses(weir, client, origin):
    """103 and 100 come before the final head."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        exchange.reply(200, b"x")
    stream = client.get(origin.script(answer).path)
    assert dict(stream.heads[0])[":status"] == "103"
    assert ("link", "</a>") in stream.heads[0]
    assert stream.status == 200 and stream.data == b"x"


def test_head_and_empty_answers(weir, client):
    """No body: END_STREAM with the head, and the length is kept."""
    stream = client.wait(client.request("/bytes/77", "HEAD"))
    assert stream.final["content-length"] == "77" and stream.data == b""
    for path, status in (("/status/204", 204), ("/status/304", 304)):
        stream = client.get(path)
        assert stream.status == status and stream.ended
    kinds = [k for k, f, s, p in client.frames if s]
    assert h2.DATA not in kinds


def test_no_connection_fields_in_answers(weir, client, origin):
    """What belongs to HTTP/1 alone is not said in HTTP/2."""
    path = origin.raw(b"HTTP/1.1 200 OK\r\nConnection: keep-alive, x-a\r\n"
                      b"Keep-Alive: timeout=5\r\nX-A: b\r\nX-B: c\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").path
    stream = client.get(path)
    names = {n for n, v in stream.heads[0]}
    assert names == {":status", "x-b", "date"}


def test_cut_answers_are_seen(weir, client, origin):
    """A response that breaks off is a reset stream, never an end."""
    path = origin.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
                      then="close").path
    stream = client.get(path)
    assert stream.status == 200 and not stream.ended
    assert stream.reset == h2.INTERNAL_ERROR
    assert client.get("/hello").data == b"Hello World!\n"


def test_reset_by_the_client(weir, client, origin):
    """A cancelled stream ends the backend's side; others go on."""
    script = origin.script(lambda ex: ex.gone())
    number = client.request(script.path)
    script.wait()
    client.rst(number)
    script.wait_done()
    assert client.get("/hello").data == b"Hello World!\n"


def test_answer_before_the_upload_ended(weir, client, origin):
    """An early answer is whole; the rest of the upload is not needed."""
    path = origin.raw(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n"
                      b"Connection: close\r\n\r\nno", read_body=False,
                      then="close").path
    number = client.request(path, "POST", end=False)
    client.data(number, b"abc")
    client.until(lambda: client.stream(number).reset is not None)
    stream = client.stream(number)
    assert stream.status == 403 and stream.data == b"no" and stream.ended
    assert stream.reset == h2.NO_ERROR


def test_access_log_and_variables(start, origin):
    """The log says HTTP/2.0; numbers of bytes are those of the bodies."""
    weir = start(conf.proxy(origin, listen=listen(), accesslog=[
        {"path": "@DIR@/log",
         "format": "${request.version} ${response.body_bytes} "
                   "${connection.requests}"}]))
    with h2.Client(weir.address) as client:
        client.get("/bytes/1000")
        client.get("/bytes/10")
    wait.until(lambda: os.path.exists(weir.path("log"))
               and weir.read("log").count("\n") == 2)
    assert weir.read("log").split("\n")[:2] == [
        "HTTP/2.0 1000 1", "HTTP/2.0 10 2"]


# -- flow control ---------------------------------------------------------

def test_a_closed_window_closes_the_pipe(start, origin_factory):
    """A client that gives no window stops the backend, and costs no more
    than h2_buffer; its neighbours go on."""
    origin = origin_factory()
    weir = start(conf.proxy(origin, listen=listen(), buffer="32KB",
                            h2_buffer="128KB"))
    sent = [0]

    def endless(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        piece = b"x" * 65536
        while True:
            exchange.send(piece)
            sent[0] += len(piece)
    script = origin.script(endless)
    with h2.Client(weir.address, window=0) as client:
        slow = [client.request(script.path) for _ in range(8)]
        script.wait(8)
        client.until(lambda: all(client.stream(n).final for n in slow))
        last = -1
        while last != sent[0]:
            last = sent[0]
            import time
            time.sleep(0.3)
        with h2.Client(weir.address) as other:
            assert other.get("/bytes/200000").data == big(200000)
        number = client.request("/hello")
        client.until(lambda: client.stream(number).final)
        client.window(number, 100)
        assert client.wait(number).data == b"Hello World!\n"
        before = last
        client.window(slow[0], 1 << 20)
        wait.until(lambda: sent[0] > before, what="the pipe goes on")
        client.until(lambda: len(client.stream(slow[0]).data) > 400000)


def test_uploads_are_held_back(start, origin_factory):
    """A backend that does not read closes the stream's window, not that
    of the others."""
    origin = origin_factory(rcvbuf=8192)
    import threading
    go = threading.Event()

    def slow(exchange):
        go.wait(20)
        exchange.reply(200, "%d" % len(exchange.body()))
    script = origin.script(slow)
    weir = start(conf.proxy(origin, listen=listen(), buffer="64KB"))
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings)
        assert client.settings[4] == 65536
        number = client.request(script.path, "POST", end=False)
        script.wait()
        given = 65536
        for _ in range(4):
            client.data(number, b"y" * 16384)
        assert client.get("/hello").data == b"Hello World!\n"
        other = upload2(client, "/sha", big(40000))
        assert client.wait(other).data.startswith(b"40000 ")
        go.set()
        client.data(number, b"", True)
        assert client.wait(number).data == b"%d" % given


def upload2(client, target, body):
    number = client.request(target, "POST", end=False)
    for at in range(0, len(body), 16384):
        client.data(number, body[at:at + 16384], at + 16384 >= len(body))
    return number


def test_never_read_streams_time_out(weir, client, origin):
    """Who does not read its answer is reset after client_write_timeout, and
    counted: of an answer that weir holds, and of one that it does not."""
    def counted():
        return (weir.metrics().sum("weir_proxy_errors_total",
                                   reason="client_write_timeout"),
                weir.metrics().sum("weir_proxy_h2_unread_total"))
    before = counted()
    with h2.Client(weir.address, window=10, give_window=False) as one:
        numbers = [one.request("/bytes/5000"), one.request("/bytes/900000")]
        one.until(lambda: all(one.stream(n).reset is not None
                              for n in numbers))
        for number in numbers:
            assert len(one.stream(number).data) == 10
            assert not one.stream(number).ended
    wait.until(lambda: counted() == (before[0] + 1, before[1] + 1))


# -- priorities -----------------------------------------------------------

def test_urgent_answers_overtake(start, origin_factory):
    """RFC 9218: of what waits, the more urgent goes first."""
    origin = origin_factory()
    weir = start(conf.proxy(origin, listen=listen()))
    with h2.Client(weir.address, give_window=False) as client:
        # The connection's window is used up before anything is asked for.
        filler = client.request("/bytes/65535")
        client.until(lambda: len(client.stream(filler).data) == 65535)
        low = client.request("/bytes/30000", fields=[("priority", "u=7")])
        high = client.request("/bytes/30000", fields=[("priority", "u=0")])
        client.until(lambda: client.stream(low).final
                     and client.stream(high).final)
        assert not client.stream(low).data and not client.stream(high).data
        wait.until(lambda: len(origin.exchanges) >= 3 and all(
            e.done.is_set() for e in origin.exchanges))
        client.request("/hello")
        client.window(0, 20000)
        client.until(lambda: len(client.stream(high).data) >= 16384)
        assert not client.stream(low).data
        client.window(0, 100000)
        assert client.wait(high).data == big(30000)
        assert client.wait(low).data == big(30000)


def frames_of(client, numbers):
    """Of which stream each DATA frame was, in order."""
    return [s for k, f, s, p in client.frames
            if k == h2.DATA and s in numbers and p]


@pytest.mark.parametrize("how", ["field", "frame"])
def test_incremental_answers_share(start, origin_factory, how):
    """RFC 9218: of the same urgency one after the other, but those that are
    incremental in turn; said by the field or by PRIORITY_UPDATE."""
    origin = origin_factory()
    weir = start(conf.proxy(origin, listen=listen()))
    for value, turns in (("u=3", 1), ("u=3, i", 3)):
        with h2.Client(weir.address, give_window=False) as client:
            filler = client.request("/bytes/65535")
            client.until(lambda: len(client.stream(filler).data) == 65535)
            before = len(origin.exchanges)
            fields = [("priority", value)] if how == "field" else []
            numbers = []
            for _ in range(2):
                if how == "frame":
                    client.send(h2.frame(
                        h2.PRIORITY_UPDATE, 0, 0, struct.pack(
                            ">I", client.next) + value.encode()))
                numbers.append(client.request("/bytes/60000",
                                              fields=fields))
            client.until(lambda: all(client.stream(n).final
                                     for n in numbers))
            wait.until(lambda: len(origin.exchanges) == before + 2 and all(
                e.done.is_set() for e in origin.exchanges))
            weir.metrics()  # what came before it was read before it
            client.window(0, 1 << 20)
            for number in numbers:
                assert client.wait(number).data == big(60000)
            order = frames_of(client, numbers)
            changes = sum(a != b for a, b in zip(order, order[1:]))
            assert changes == 1 if turns == 1 else changes >= turns, order


def test_padding(weir, client):
    """Padding costs window and nothing else."""
    client.until(lambda: client.settings)
    block = client.encoder.encode([
        (":method", "POST"), (":scheme", "http"), (":path", "/sha"),
        (":authority", "test.example")])
    client.send(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED, 1,
                         b"\x07" + block + bytes(7)))
    body = big(200000)
    for at in range(0, len(body), 1000):
        client.until(lambda: client.settings[4] + sum(
            struct.unpack(">I", p)[0] for k, f, s, p in list(client.frames)
            if k == h2.WINDOW_UPDATE and s == 1)
            - at // 1000 * 1256 >= 1256, what="window at %d" % at)
        client.send(h2.frame(
            h2.DATA, h2.PADDED | (at + 1000 == len(body)), 1,
            b"\xff" + body[at:at + 1000] + bytes(255)))
    assert client.wait(1).data.decode() == "200000 " + hashlib.sha256(
        body).hexdigest()


def test_expectations(weir, client, origin):
    """100-continue goes to the backend, and its 100 to the client."""
    def answer(exchange):
        assert exchange.fields.one("expect") == "100-continue"
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.reply(200, exchange.body())
    script = origin.script(answer)
    number = client.request(script.path, "POST", [
        ("expect", "100-continue"), ("content-length", "3")], end=False)
    client.until(lambda: client.stream(number).heads)
    assert client.stream(number).heads[0][0] == (":status", "100")
    client.data(number, b"abc", True)
    assert client.wait(number).data == b"abc"


def test_what_is_said_by_default(start, origin):
    """100 streams, header lists of 64 KB, no push, RFC 8441 and RFC 9218;
    no RFC 8441 where WebSocket is off."""
    for websocket in (True, False):
        weir = start(conf.proxy(origin, listen=listen(),
                                websocket=websocket))
        with h2.Client(weir.address) as client:
            client.until(lambda: client.settings)
            said = client.settings
            assert said[3] == 100 and said[6] == 65536 and said[9] == 1
            assert said.get(8, 0) == (1 if websocket else 0)
            connect = [(":method", "CONNECT"), (":protocol", "websocket"),
                       (":scheme", "http"), (":path", "/hello"),
                       (":authority", "test.example"),
                       ("sec-websocket-version", "13")]
            client.head(1, connect)
            client.until(lambda: client.stream(1).reset is not None
                         or client.stream(1).heads)
            if not websocket:
                assert client.stream(1).reset == h2.PROTOCOL_ERROR
            bomb = M + [("x-bomb", "a" * 3000)] * 24
            client.head(3, bomb, True)
            client.wait_goaway(h2.CALM)


# -- what is malformed ----------------------------------------------------

M = [(":method", "GET"), (":scheme", "http"), (":path", "/m"),
     (":authority", "test.example")]


def without(name):
    return [f for f in M if f[0] != name]


MALFORMED = {
    "uppercase": M + [("X-Upper", "a")],
    "connection": M + [("connection", "close")],
    "keep-alive": M + [("keep-alive", "5")],
    "transfer-encoding": M + [("transfer-encoding", "chunked")],
    "upgrade": M + [("upgrade", "websocket")],
    "proxy-connection": M + [("proxy-connection", "close")],
    "te": M + [("te", "gzip")],
    "CR": M + [("x-a", "a\rb")],
    "LF": M + [("x-a", "a\nb: c")],
    "NUL": M + [("x-a", "a\0b")],
    "leading blank": M + [("x-a", " a")],
    "trailing blank": M + [("x-a", "a ")],
    "empty name": M + [("", "a")],
    "space in a name": M + [("x a", "a")],
    "colon in a name": M + [("x:a", "a")],
    "no method": without(":method"),
    "no path": without(":path"),
    "no scheme": without(":scheme"),
    "no authority": without(":authority"),
    "empty path": without(":path") + [(":path", "")],
    "relative path": without(":path") + [(":path", "m")],
    "absolute path": without(":path") + [(":path", "http://a/m")],
    "space in a path": without(":path") + [(":path", "/m HTTP/1.1")],
    "asterisk": without(":path") + [(":path", "*")],
    "fragment": without(":path") + [(":path", "/m#a")],
    "other scheme": without(":scheme") + [(":scheme", "ftp")],
    "twice": M + [(":path", "/n")],
    "late": without(":path") + [("x-a", "b"), (":path", "/m")],
    "unknown pseudo": [(":other", "a")] + M,
    "status": [(":status", "200")] + M,
    "host contradicts": M + [("host", "other.example")],
    "two hosts": M + [("host", "test.example"), ("host", "test.example")],
    "userinfo": without(":authority") + [(":authority", "a@test.example")],
    "bad authority": without(":authority") + [(":authority", "te st")],
    "method": without(":method") + [(":method", "GE T")],
    "length": M + [("content-length", "x")],
    "negative length": M + [("content-length", "-1")],
    "lengths": M + [("content-length", "0"), ("content-length", "0")],
    "length without body": M + [("content-length", "5")],
    "protocol": M + [(":protocol", "websocket")],
    "LF in the path": without(":path") + [(":path", "/m\nX-A: b")],
    "NUL in the path": without(":path") + [(":path", "/m\0")],
    "CR in the authority": without(":authority") + [(":authority", "a\r")],
    "tab behind": M + [("x-a", "a\t")],
    "blank before the path": without(":path") + [(":path", " /m")],
    "two methods": M + [(":method", "GET")],
    "two authorities": M + [(":authority", "test.example")],
    "empty authority": without(":authority") + [(":authority", "")],
    "empty host": without(":authority") + [("host", "")],
    "path of two lines": without(":path") + [(":path", "/m\r\nHost: a")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_heads(weir, origin, name):
    """A stream error, nothing at the backend, counted, and the next one is
    served."""
    def counted():
        return weir.metrics().sum("weir_proxy_h2_malformed_total")
    before, count = len(origin.exchanges), counted()
    with h2.Client(weir.address) as client:
        client.head(1, MALFORMED[name], True)
        client.until(lambda: client.stream(1).reset is not None
                     or client.goaway or client.stream(1).heads)
        assert client.stream(1).reset == h2.PROTOCOL_ERROR, (
            client.stream(1).heads, client.goaway)
        client.next = 3
        assert client.get("/hello").data == b"Hello World!\n"
    assert len(origin.exchanges) == before + 1
    assert counted() > count


def test_malformed_bodies(weir, origin, client):
    """More or less body than announced, and bad trailers, are errors."""
    for length, body, trailers in (
            ("5", b"abc", None), ("2", b"abc", None),
            (None, b"abc", [(":path", "/")]), (None, b"abc", [("Up", "a")]),
            (None, b"abc", [("content-length", "3")]),
            (None, b"abc", [("host", "a")])):
        number = client.request(
            "/e", "POST", [("content-length", length)] if length else [],
            body, trailers=trailers)
        client.until(lambda: client.stream(number).reset is not None,
                     what=(length, trailers))
        assert client.stream(number).reset == h2.PROTOCOL_ERROR
        assert client.stream(number).status is None
    wait.until(lambda: weir.metrics().sum("weir_proxy_requests_active")
               == 1)


def test_too_large_is_answered(weir, client):
    """Heads within h2_header_list_max but beyond the limits get a status."""
    big_field = [("x-big", "a" * 40000)]
    assert client.get("/", fields=big_field).status == 431
    assert client.get("/", fields=[("x-%d" % i, "a") for i in range(120)]
                      ).status == 431
    assert client.get("/" + "a" * 9000).status == 414
    assert client.get("/", fields=[("expect", "tea")]).status == 417
    assert client.get("/hello").status == 200


def test_connect_and_trace_are_refused(weir, client):
    """As in HTTP/1."""
    number = client.next
    client.next += 2
    client.head(number, [(":method", "CONNECT"),
                         (":authority", "a.example:443")], True)
    assert client.wait(number).status == 405
    assert client.wait(client.request("/", "TRACE")).status == 405


# -- abuse ----------------------------------------------------------------

def floods(weir, kind):
    return weir.metrics().sum("weir_proxy_h2_floods_total", kind=kind)


def flood(weir, kind, attack, bystander=True):
    before = floods(weir, kind)
    with h2.Client(weir.address) as other, h2.Client(weir.address) as bad:
        bad.until(lambda: bad.settings_acked)
        attack(bad)
        bad.wait_goaway(h2.CALM)
        bad.until(lambda: bad.closed)
        assert other.get("/hello").data == b"Hello World!\n"
    wait.until(lambda: floods(weir, kind) == before + 1, what=kind)


def test_rapid_reset(weir, origin):
    """Streams opened and reset at once end the connection, and few of them
    reach the backend."""
    connections = len(origin.connections)

    def attack(bad):
        for _ in range(200):
            bad.rst(bad.request("/hello"))
    flood(weir, "reset", attack)
    assert len(origin.connections) - connections <= 45


def test_resets_made(weir):
    """The same, where weir is made to send the resets."""
    def attack(bad):
        for _ in range(60):
            number = bad.request("/hello", "POST", end=False)
            bad.window(number, 0x7fffffff)
            bad.until(lambda: bad.stream(number).reset or bad.goaway)
    flood(weir, "reset_made", attack)


def test_control_frame_floods(weir):
    """SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty and unknown frames."""
    flood(weir, "settings", lambda bad: bad.send(h2.settings() * 40))
    flood(weir, "ping", lambda bad: bad.send(
        h2.frame(h2.PING, 0, 0, b"12345678") * 40))
    flood(weir, "priority", lambda bad: bad.send(
        h2.frame(h2.PRIORITY, 0, 3, b"\0\0\0\0\x10") * 80))
    flood(weir, "window_update", lambda bad: bad.send(
        h2.frame(h2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 200))
    flood(weir, "empty", lambda bad: bad.send(h2.frame(0x77) * 40))

    def empty_data(bad):
        number = bad.request("/e", "POST", end=False)
        bad.send(h2.frame(h2.DATA, 0, number) * 40)
    flood(weir, "empty", empty_data)


def test_continuation_flood(weir):
    """A head of many frames is not waited for."""
    def attack(bad):
        block = bad.encoder.encode(M)
        bad.send(h2.frame(h2.HEADERS, 0, 1, block)
                 + h2.frame(h2.CONTINUATION, 0, 1) * 20)
    flood(weir, "continuation", attack)


def test_header_list_bomb(weir):
    """Small on the wire, large when decoded."""
    def attack(bad):
        bad.encoder.header_table_size = 4096
        fields = M + [("x-bomb", "a" * 3000)] * 40
        bad.head(1, fields, True)
    flood(weir, "header_list", attack)


def test_stream_limit(weir, origin):
    """Not more than h2_streams_max at once; the others are refused."""
    import threading
    go = threading.Event()
    script = origin.script(lambda ex: (go.wait(20), ex.reply(200, b"x")))
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings)
        assert client.settings[3] == 20
        numbers = [client.request(script.path) for _ in range(20)]
        script.wait(20)
        extra = client.request(script.path)
        client.until(lambda: client.stream(extra).reset is not None
                     or client.goaway)
        assert len(script.exchanges) == 20
        if client.goaway is None:
            assert client.stream(extra).reset == h2.REFUSED_STREAM
            go.set()
            for number in numbers:
                assert client.wait(number).data == b"x"
        go.set()


def test_garbage(weir):
    """Frames that break the protocol end the connection, with a GOAWAY."""
    for bad in (h2.frame(h2.DATA, 0, 0, b"x"),
                h2.frame(h2.HEADERS, 4, 2, b"\x82"),
                h2.frame(h2.SETTINGS, 0, 0, b"123"),
                h2.frame(h2.HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
                h2.frame(h2.PUSH_PROMISE, 4, 1, b"\0\0\0\2\x82"),
                h2.frame(h2.CONTINUATION, 4, 1, b"\x82")):
        with h2.Client(weir.address) as client:
            client.until(lambda: client.settings_acked)
            client.send(bad)
            client.until(lambda: client.closed)
            assert client.goaway and client.goaway[1] != h2.NO_ERROR
    assert weir.get("/hello").status == 200


# -- ends -----------------------------------------------------------------

def test_idle_connections_end(start, origin):
    """After keepalive_timeout with GOAWAY; a silent one after the time for
    a head."""
    weir = start(conf.proxy(origin, listen=listen(),
                            keepalive_timeout="300ms",
                            client_header_timeout="300ms"))
    with h2.Client(weir.address) as client:
        assert client.get("/hello").status == 200
        client.wait_goaway(h2.NO_ERROR)
        client.until(lambda: client.closed)
    with h2.Client(weir.address, preface=False) as client:
        client.send(h2.PREFACE)
        client.until(lambda: client.closed)
    with h2.Client(weir.address) as client:
        client.until(lambda: client.settings_acked)
        client.send(h2.frame(h2.HEADERS, 0, 1, client.encoder.encode(M)))
        client.until(lambda: client.closed)


def test_keepalive_requests(start, origin):
    """After so many requests the client is sent elsewhere, gently."""
    weir = start(conf.proxy(origin, listen=listen(), keepalive_requests=3))
    with h2.Client(weir.address) as client:
        for _ in range(3):
            assert client.get("/hello").status == 200
        client.wait_goaway(h2.NO_ERROR)
        client.until(lambda: client.closed)


def test_drain(start, origin_factory):
    """TERM: GOAWAY, streams finish, then the connection closes."""
    import signal
    import threading
    origin = origin_factory()
    go = threading.Event()
    script = origin.script(lambda ex: (go.wait(20), ex.reply(200, b"end")))
    weir = start(conf.proxy(origin, listen=listen()))
    idle = h2.Client(weir.address)
    idle.until(lambda: idle.settings_acked)
    with h2.Client(weir.address) as client:
        number = client.request(script.path)
        script.wait()
        weir.send_signal(signal.SIGTERM)
        idle.wait_goaway(h2.NO_ERROR)
        idle.until(lambda: idle.closed)
        client.until(lambda: client.goaway and client.goaway[0] == number)
        go.set()
        assert client.wait(number).data == b"end"
        client.until(lambda: client.closed)
    idle.close()
    weir.wait_exit()


def test_cut_at_the_deadline(start, origin_factory):
    """What has not ended by then is cut, stream by stream, and counted."""
    import signal
    import threading
    origin = origin_factory()
    go = threading.Event()
    script = origin.script(lambda ex: go.wait(20))
    weir = start({**conf.proxy(origin, listen=listen()),
                  "shutdown_timeout": "300ms"})
    with h2.Client(weir.address) as client:
        for _ in range(3):
            client.request(script.path)
        script.wait(3)
        weir.send_signal(signal.SIGTERM)
        client.until(lambda: client.closed)
        assert weir.wait_exit() == 0
    assert "cut at the end: 3 requests, 0 tunnels and 0 idle" in weir.log
    go.set()


def test_option_needs_the_library(start):
    """A listener without h2c refuses the preface as HTTP/1 of another
    version."""
    weir = start(conf.config(conf.service(
        {"path": "/", "respond": {"body": "x"}})))
    answer = once(weir.address, "PRI", "*", version="2.0", host=None)
    assert answer.status in (400, 505)


# -- other people's clients -----------------------------------------------

def test_curl(weir):
    """curl --http2-prior-knowledge."""
    out = subprocess.run(
        [need("curl"), "-sS", "-m", "20", "--http2-prior-knowledge",
         "http://%s:%d/bytes/200000" % weir.address],
        stdout=subprocess.PIPE, check=True).stdout
    assert out == big(200000)


def test_h2load(weir):
    """h2load: many streams on some connections, none fails."""
    out = subprocess.run(
        [need("h2load"), "-n", "600", "-c", "4", "-m", "16",
         "http://%s:%d/bytes/2000" % weir.address], stdout=subprocess.PIPE,
        timeout=60, check=True, text=True).stdout
    assert "600 succeeded, 0 failed" in out


def test_nghttp(weir, tmp_path):
    """nghttp uploads and downloads."""
    path = tmp_path / "body"
    path.write_bytes(big(100000))
    out = subprocess.run(
        [need("nghttp"), "-t", "20", "-d", str(path),
         "http://%s:%d/sha" % weir.address], stdout=subprocess.PIPE,
        check=True, text=True).stdout
    assert out == "100000 " + hashlib.sha256(big(100000)).hexdigest()


NODE = """
const http2 = require('http2');
const c = http2.connect('http://%s:%d');
let left = 40, bad = 0;
for (let i = 0; i < 40; i++) {
  const r = c.request({ ':path': '/bytes/' + i * 1000 });
  let n = 0;
  r.on('data', (d) => { n += d.length; });
  r.on('end', () => {
    if (n !== i * 1000) bad++;
    if (--left === 0) { c.close(); console.log('bad ' + bad); }
  });
}
"""


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_node(start, origin):
    """Node's http2 client, 40 streams at once."""
    weir = start(conf.proxy(origin, listen=listen()))
    out = subprocess.run([need("node"), "-e", NODE % weir.address],
                         stdout=subprocess.PIPE, timeout=60, text=True)
    assert out.stdout == "bad 0\n"


# -- over TLS -------------------------------------------------------------

@pytest.fixture(scope="module")
def secure(start_shared, origin):
    from lib import tls
    certs = tls.Certs()
    pair = certs.own("a", "a.example", "localhost")
    yield start_shared(conf.proxy(origin, listen=[
        {"address": conf.address(), "http2": True,
         "tls": {"certificates": [{"cert": pair[0], "key": pair[1]}]}}]))
    certs.remove()


def test_alpn(secure):
    """ALPN chooses HTTP/2, and HTTP/1.1 for those who want that."""
    url = "https://localhost:%d/" % secure.address[1]
    for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
        out = subprocess.run(
            [need("curl"), "-sSk", "-m", "20", option, "-o", os.devnull,
             "--resolve", "localhost:%d:127.0.0.1" % secure.address[1],
             "-w", "%{http_version} %{size_download}", url + "bytes/300000"],
            stdout=subprocess.PIPE, check=True, text=True).stdout
        assert out == version + " 300000"


def test_h2load_over_tls(secure):
    """Many streams over TLS."""
    out = subprocess.run(
        [need("h2load"), "-n", "400", "-c", "4", "-m", "16",
         "https://127.0.0.1:%d/bytes/20000" % secure.address[1]],
        stdout=subprocess.PIPE, timeout=60, check=True, text=True).stdout
    assert "400 succeeded, 0 failed" in out


def test_length_nought_without_end(weir, client):
    """Content-Length: 0 is the whole body, whenever the stream ends."""
    number = client.request("/x", "POST", [("content-length", "0")],
                            end=False)
    client.until(lambda: client.stream(number).heads)
    assert client.stream(number).status == 200
    number = client.request("/x", "POST", [], end=False)
    client.data(number, b"", True)
    assert client.wait(number).status == 200
