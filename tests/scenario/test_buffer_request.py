# SPDX-License-Identifier: BSD-2-Clause
"""buffer_request: no backend hears of a request before its body is whole."""
import hashlib
import json
import struct
import threading

import pytest

from lib import conf, wait
from lib import h2wire as h2
from lib.client import Client, chunked, compose, outcome
from lib.origin import Echo, Origin, Refused, big
from lib.weir import run

pytestmark = pytest.mark.short

INITIAL_WINDOW = 4  # RFC 9113, 6.5.2
UNLIMITED = {"percent": 100, "min_per_second": 1000}


def has(what):
    status, out, err = run("-V")
    if what == "HTTP/2":
        return "no HTTP/2" not in out + err
    return " test" in out.replace(",", " ")


@pytest.fixture(scope="module")
def bad():
    """A backend whose behaviour each test sets."""
    one = Origin()
    yield one
    one.close()


@pytest.fixture(scope="module")
def slow_h2():
    """An HTTP/2 backend that says what it got."""
    def handler(peer, number, fields):
        stream = peer.stream(number)
        peer.until(lambda: stream.ended)
        peer.head(number, [(":status", "200"),
                           ("x-length", dict(fields).get(
                               "content-length", "none"))])
        peer.data(number, hashlib.sha256(
            bytes(stream.data)).hexdigest().encode(), end=True)
    one = h2.Server(handler)
    yield one
    one.close()


@pytest.fixture(scope="module")
def weir(start_shared, origin, bad, slow_h2):
    refused = Refused()
    ups = [conf.upstream("up", origin),
           conf.upstream("retry", {"address": bad.backend, "weight": 100},
                         origin, retry_budget=UNLIMITED, max_fails=0,
                         retries=2),
           conf.upstream("refused", refused, origin, max_fails=0,
                         retry_budget=UNLIMITED)]
    routes = [{"path": "/" + u["name"], "upstream": u["name"],
               "buffer_request_max": "1MB", "retry_buffer": 0} for u in ups]
    routes += [
        {"path": "/small", "upstream": "up", "buffer_request_max": 1000},
        {"path": "/large", "upstream": "up", "buffer_request_max": "64MB",
         "body_size_max": "8MB"},
        {"path": "/slow", "upstream": "up", "client_body_timeout": "100ms"},
        {"path": "/total", "upstream": "up",
         "timeouts": {"total": "100ms"}},
        {"path": "/off", "upstream": "up", "buffer_request": False}]
    if has("test"):
        for name, options in (
                ("pause", {"pause": "1ms", "each": True,
                           "phases": ["request_body"]}),
                ("auth", {"pause": "80ms", "phases": ["request"]}),
                ("fail", {"fail_in": "request_body"})):
            routes.append({"path": "/" + name, "upstream": "up",
                           "test": options})
    listen = [{"address": conf.address()}]
    if has("HTTP/2"):
        ups.append(conf.upstream("h2", slow_h2.backend, protocol="h2"))
        routes.append({"path": "/h2", "upstream": "h2"})
        listen[0]["h2c"] = True
    yield start_shared(conf.config(
        conf.service(*routes, listen=listen, buffer_request=True,
                     accesslog=[{"path": "@DIR@/a.log",
                                 "format": "${request.path} "
                                 "${response.status} ${error.reason:--} "
                                 "${error.phase:--}"}]), ups,
        body_memory="4MB"))
    refused.close()


@pytest.fixture
def client(weir):
    with Client(weir.address) as one:
        yield one


def came(origin, path):
    """How many requests for this path have reached the origin."""
    return len([e for e in list(origin.exchanges) if e.target == path])


def logged(weir, path):
    def line():
        try:
            lines = weir.read("a.log").split("\n")
        except FileNotFoundError:
            return None
        return next((x for x in lines if x.startswith(path + " ")), None)
    return wait.until(line, what="a log line for " + path)


# -- the whole body first --------------------------------------------------

@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_no_backend_before_the_end(weir, client, origin, framing):
    """The last byte brings the backend in, and not the one before."""
    path = "/up/echo/" + framing
    if framing == "length":
        data = compose("POST", path, body=b"0123456789")
    else:
        data = compose("POST", path, [("Transfer-Encoding", "chunked")]) \
            + chunked(b"01234", b"56789")
    client.send(data[:-1])
    # Another exchange goes all the way meanwhile: the first had its turn.
    assert weir.get("/up/hello").status == 200
    assert came(origin, path) == 0
    client.send(data[-1:])
    echo = Echo(client.response())
    assert echo.body == b"0123456789"
    assert echo.framing == "length"
    assert echo.fields.one("content-length") == "10"


@pytest.mark.parametrize("size", [0, 1, 70000, 1048576])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies(client, size, framing):
    """Any size up to the bound arrives as it was."""
    body = big(size)
    for _ in range(2):
        if framing == "length":
            response = client.request("PUT", "/up/sha", body=body)
        else:
            client.send(compose("PUT", "/up/sha",
                                [("Transfer-Encoding", "chunked")])
                        + chunked(*(body[i:i + 9999]
                                    for i in range(0, size, 9999))))
            response = client.response()
        assert response.text == "%d %s" % (
            size, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_no_body(client, method):
    """What has no body is sent without one."""
    response = client.request(method, "/up/echo")
    assert response.status == 200
    if method != "HEAD":
        assert Echo(response).framing == "none"


def test_trailers_keep_the_chunks(client):
    client.send(compose("POST", "/up/echo",
                        [("Transfer-Encoding", "chunked")])
                + chunked(b"abc", trailers=[("T", "u")]))
    echo = Echo(client.response())
    assert echo.body == b"abc" and echo.framing == "chunked"
    assert echo.trailers.one("t") == "u"


def test_pipelining(client):
    client.send(b"".join(compose("POST", "/up/echo/%d" % i, body=b"x" * i)
                         for i in range(5)))
    for i in range(5):
        echo = Echo(client.response())
        assert echo.target == "/up/echo/%d" % i and echo.body == b"x" * i


def test_off_in_a_route(weir, client, origin):
    """The most specific value holds: here the backend hears at once."""
    client.send(compose("POST", "/off/echo/1",
                        [("Content-Length", "2")]) + b"a")
    wait.until(lambda: came(origin, "/off/echo/1"), what="the request")
    client.send(b"b")
    assert Echo(client.response()).body == b"ab"


# -- Expect ----------------------------------------------------------------

@pytest.mark.parametrize("size", [3, 100000])
def test_weir_says_continue(client, origin, size):
    """weir asks for the body, and the backend need not."""
    path, body = "/up/echo/expect-%d" % size, big(size)
    client.send(compose("POST", path, [("Expect", "100-continue"),
                                       ("Content-Length", str(size))]))
    assert client.response(interims=False).status == 100
    assert came(origin, path) == 0
    client.send(body)
    response = client.response()
    assert not response.interims
    echo = Echo(response)
    assert echo.body == body and "expect" not in echo.fields


def test_no_continue_for_what_is_too_large(client):
    client.send(compose("POST", "/small/echo", [
        ("Expect", "100-continue"), ("Content-Length", "1001")]))
    response = client.response()
    assert response.status == 413 and not response.interims


def test_continue_is_not_needed(client):
    """A body that came with its head is not asked for."""
    response = client.request("POST", "/up/echo",
                              [("Expect", "100-continue")], b"abc")
    assert not response.interims
    assert Echo(response).body == b"abc"


# -- bounds ----------------------------------------------------------------

@pytest.mark.parametrize("framing", ["length", "chunked", "late"])
def test_too_large(weir, origin, framing):
    """413, and no backend has heard of it."""
    path = "/small/echo/" + framing
    with Client(weir.address) as client:
        if framing == "length":
            client.send(compose("POST", path, [("Content-Length", "1001")]))
        elif framing == "chunked":
            client.send(compose("POST", path, [
                ("Transfer-Encoding", "chunked")]) + chunked(b"x" * 1001))
        else:
            client.send(compose("POST", path, [
                ("Transfer-Encoding", "chunked")]))
            for _ in range(11):
                client.send(b"64\r\n" + b"x" * 100 + b"\r\n", may_fail=True)
        assert client.response().status == 413
    assert logged(weir, path).startswith(path + " 413 body_too_large")
    assert came(origin, path) == 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_exactly_as_large(client, framing):
    if framing == "length":
        response = client.request("POST", "/small/echo", body=b"x" * 1000)
    else:
        client.send(compose("POST", "/small/echo",
                            [("Transfer-Encoding", "chunked")])
                    + chunked(b"x" * 500, b"x" * 500))
        response = client.response()
    assert Echo(response).body == b"x" * 1000


def test_body_memory_used_up(weir):
    """503 for who finds none left, and the others go on."""
    held = []
    try:
        for _ in range(5):
            client = Client(weir.address)
            held.append(client)
            client.send(compose("POST", "/large/sha", [
                ("Content-Length", str(2 << 20))]))
            client.send(big((2 << 20) - 1), may_fail=True)
        kinds = []
        for client in held:
            # Those that are served wait for a byte.
            client.send(b"x", may_fail=True)
            kind, response = outcome(client)
            kinds.append(response.status if kind == "complete" else kind)
    finally:
        for client in held:
            client.close()
    assert 503 in kinds and set(kinds) <= {200, 503, "none", "cut"}
    assert weir.request("POST", "/up/echo", body=b"abc").status == 200


# -- what may happen meanwhile ---------------------------------------------

@pytest.mark.parametrize("how", ["close", "reset", "finish"])
def test_client_leaves(weir, origin, how):
    """It is logged as gone; no backend was troubled."""
    path = "/up/echo/gone-" + how
    with Client(weir.address) as client:
        client.send(compose("POST", path, [("Content-Length", "10")])
                    + b"12345")
        assert weir.get("/up/hello").status == 200
        getattr(client, how)()
        line = logged(weir, path)
        assert line.endswith("client_gone buffer_request"), line
    assert came(origin, path) == 0


def test_client_is_slow(client, origin):
    client.send(compose("POST", "/slow/echo/x", [("Content-Length", "10")])
                + b"12345")
    assert client.response().status == 408
    assert came(origin, "/slow/echo/x") == 0


def test_total_timeout(client, origin):
    client.send(compose("POST", "/total/echo/x", [("Content-Length", "10")])
                + b"12345")
    assert client.response().status == 504
    assert came(origin, "/total/echo/x") == 0


def test_bad_chunk(client, origin):
    client.send(compose("POST", "/up/echo/bad",
                        [("Transfer-Encoding", "chunked")]) + b"5\r\nabcdeX")
    assert client.response().status == 400
    assert came(origin, "/up/echo/bad") == 0


# -- retries ---------------------------------------------------------------

@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_replayed_whole_when_refused(client, method):
    """A backend that is not there costs no byte of the body."""
    body = big(1 << 20)
    response = client.request(method, "/refused/sha", body=body)
    assert response.text == "%d %s" % (
        len(body), hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("when", ["head", "half", "whole"])
def test_replayed_whole_when_it_broke(weir, client, bad, when):
    """An idempotent request goes to another backend with all its body,
    however large, and however much of it the first one took."""
    body = big(1 << 20)

    def hang_up(exchange):
        if when == "half":
            exchange.conn.reader.exactly(1 << 19)
        elif when == "whole":
            exchange.body()
        return False
    bad.default, before = hang_up, bad.default
    try:
        response = client.request("PUT", "/retry/sha", body=body)
    finally:
        bad.default = before
    assert response.text == "%d %s" % (
        len(body), hashlib.sha256(body).hexdigest())


def test_post_that_was_taken_is_not_repeated(client, bad, origin):
    """Whole or not: what is not idempotent is done once at most."""
    bad.default, before = (lambda e: bool(e.body()) and False), bad.default
    path = "/retry/echo/post"
    try:
        assert client.request("POST", path, body=b"x").status == 502
    finally:
        bad.default = before
    assert came(origin, path) == 0


def test_slow_backend_takes_its_time(client, origin):
    """A backend that reads late gets all of it, at its own pace."""
    body = big(1 << 20)

    def answer(exchange):
        # What the kernel takes unread is less than the body.
        assert go.wait(8)
        assert exchange.body() == body
        exchange.reply(200, b"got it")
        return True
    go = threading.Event()
    script = origin.script(answer)
    client.send(compose("POST", "/up" + script.path, body=body))
    script.wait()
    go.set()
    assert client.response().body == b"got it"


def test_answer_before_the_body_was_read(weir, client, origin):
    """The response may come, and end, before the backend read it all."""
    body = big(1 << 20)

    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
        assert exchange.body() == body
        return True
    script = origin.script(answer)
    response = client.request("POST", "/up" + script.path, body=body)
    assert response.body == b"early"
    assert script.wait_done().failure is None


# -- HTTP/2 ----------------------------------------------------------------

@pytest.fixture
def h2_client(weir):
    if not has("HTTP/2"):
        pytest.skip("this weir has no HTTP/2")
    with h2.Client(weir.address) as one:
        yield one


def window(client, stream):
    """Bytes that weir lets this client send in all on stream, or at all."""
    first = client.settings.get(INITIAL_WINDOW, 65535) \
        if stream else 65535
    return first + sum(struct.unpack(">I", payload)[0]
                       for kind, _, number, payload in list(client.frames)
                       if kind == h2.WINDOW_UPDATE and number == stream)


@pytest.mark.parametrize("last", [True, False])
def test_h2_client(weir, h2_client, origin, last):
    """Its windows open while weir collects; its end ends the wait."""
    body, path = big(900000), "/up/sha/h2-%s" % last
    h2_client.until(lambda: h2_client.settings)
    number = h2_upload(h2_client, path)
    for at in range(0, len(body), 10000):
        end = at + 10000
        h2_client.until(lambda: window(h2_client, number) >= end
                        and window(h2_client, 0) >= end, what="a window")
        h2_client.data(number, body[at:end], end=last and end == len(body))
    if not last:
        assert weir.get("/up/hello").status == 200
        assert came(origin, path) == 0
        h2_client.head(number, [("t", "u")], end=True)
    assert h2_client.wait(number).data.decode() == "%d %s" % (
        len(body), hashlib.sha256(body).hexdigest())


def h2_upload(client, path, fields=()):
    """Begin a request whose body follows; its number."""
    number = client.next
    client.next += 2
    client.head(number, [(":method", "POST"), (":scheme", "http"),
                         (":path", path), (":authority", "test.example")]
                + list(fields))
    return number


def test_h2_too_large(weir, h2_client, origin):
    number = h2_client.request("/small/echo/h2", "POST", body=b"x" * 1001)
    assert h2_client.wait(number).status == 413
    assert came(origin, "/small/echo/h2") == 0


def test_h2_expect(h2_client, origin):
    number = h2_upload(h2_client, "/up/echo/h2-expect",
                       [("expect", "100-continue")])
    stream = h2_client.stream(number)
    h2_client.until(lambda: stream.heads, what="the 100")
    assert dict(stream.heads[0])[":status"] == "100"
    assert came(origin, "/up/echo/h2-expect") == 0
    h2_client.data(number, b"abc", end=True)
    h2_client.wait(number)
    assert stream.status == 200
    assert json.loads(stream.data)["body"] == "abc"


def test_h2_client_leaves(weir, h2_client, origin):
    path = "/up/echo/h2-gone"
    number = h2_upload(h2_client, path)
    h2_client.data(number, b"abc")
    h2_client.rst(number)
    assert "client_gone" in logged(weir, path)
    assert came(origin, path) == 0


@pytest.mark.parametrize("size", [0, 5, 300000])
def test_h2_backend(weir, client, size):
    """A backend over HTTP/2 is told the length too."""
    if not has("HTTP/2"):
        pytest.skip("this weir has no HTTP/2")
    body = big(size)
    client.send(compose("POST", "/h2/x", [("Transfer-Encoding", "chunked")])
                + chunked(*(body[i:i + 5000] for i in range(0, size, 5000))))
    response = client.response()
    assert response.text == hashlib.sha256(body).hexdigest()
    assert response.fields.one("x-length") == str(size)


# -- with handlers ---------------------------------------------------------

def with_test():
    if not has("test"):
        pytest.skip("built without the module test")


@pytest.mark.parametrize("name", ["pause", "auth"])
@pytest.mark.parametrize("size", [0, 10, 200000])
def test_handlers_that_pause(weir, client, origin, name, size):
    """Its handlers run before; waiting anywhere changes nothing."""
    with_test()
    body = big(size)
    response = client.request("PUT", "/%s/sha" % name, body=body)
    assert response.text == "%d %s" % (
        size, hashlib.sha256(body).hexdigest())


def test_a_handler_that_fails(client, origin):
    """500, and the backend was not asked."""
    with_test()
    assert client.request("PUT", "/fail/sha/x", body=b"abc").status == 500
    assert came(origin, "/fail/sha/x") == 0
