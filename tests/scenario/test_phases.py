"""Every phase can wait, answer and fail, and the exchange comes out right.

Drives the internal module `test`, which pauses on a timer; a build without
it skips this file.
"""
# SPDX-License-Identifier: BSD-2-Clause
import hashlib
import json
import os
import socket
import threading
import time

import pytest

from lib import conf, wait, ws
from lib import h2wire as h2
from lib.client import Client, chunked, compose, outcome
from lib.origin import Echo, big
from lib.weir import run

pytestmark = pytest.mark.short

WALK = ["early_request", "route", "request", "cache_lookup",
        "upstream_gate", "upstream_select", "upstream_connected",
        "upstream_request", "upstream_response", "cache_store", "response"]
BODIES = ["request_body", "upstream_response_body", "response_body"]
TRAILERS = ["upstream_response_trailers", "response_trailers"]
BEFORE_BACKEND = WALK[:6]


@pytest.fixture(scope="module", autouse=True)
def built_in():
    _, out, _ = run("-V")
    if " test" not in out.replace(",", " "):
        pytest.skip("built without the module test")


def at(path, total="0", **test):
    return {"path": path, "upstream": "up", "test": test,
            "timeouts": {"total": total}}


def has_h2():
    return "no HTTP/2" not in "".join(run("-V")[1:])


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    routes = [at("/all", pause="15ms")]
    for phase in WALK[1:] + BODIES + TRAILERS:
        routes += [at("/late/" + phase, total="150ms", pause="30s",
                      phases=[phase]),
                   at("/pause/" + phase, pause="40ms", phases=[phase]),
                   at("/stuck/" + phase, pause="30s", phases=[phase]),
                   at("/fail/" + phase, fail_in=phase)]
        if phase in WALK:
            routes.append(at("/answer/" + phase, answer_in=phase))
    for name, options in (("/two", {}), ("/two-after", {"after": True})):
        routes.append(at(name, pause="1ms", each=True, phases=BODIES + TRAILERS,
                         **options))
    routes += [
        at("/stubborn", total="50ms", pause="150ms", stubborn=True,
           phases=["upstream_select"]),
        {"path": "/late-fail", "upstream": "down", "timeouts": {
            "total": "50ms"}, "test": {"pause": "150ms", "phases": ["fail"]}},
        {"path": "/limited", "upstream": "up", "body_size_max": 1000,
         "test": {"pause": "40ms", "phases": ["request"]}},
        {"path": "/own", "respond": {"body": "own"},
         "test": {"pause": "20ms"}},
        {"path": "/down", "upstream": "down",
         "test": {"pause": "20ms"}},
        {"path": "/down-stuck", "upstream": "down",
         "test": {"pause": "30s", "phases": ["fail"]}}]
    log = [{"path": "@DIR@/a.log", "format": "${request.path} "
            "${response.status} ${error.reason:--}"}]
    # Before routing only a service's options are known.
    early = [conf.service(
        {"path": "/", "upstream": "up"},
        # Without it the handler is not even in the chain of the service.
        {"path_exact": "/echo/early", "upstream": "up",
         "test": {"fail_in": "request_body"}},
        name=name, accesslog=log, test=test)
             for name, test in (
                 ("pause", {"pause": "40ms", "phases": [WALK[0]]}),
                 ("stuck", {"pause": "30s", "phases": [WALK[0]]}),
                 ("fail", {"fail_in": WALK[0]}),
                 ("answer", {"answer_in": WALK[0]}))]
    if has_h2():
        early.append(conf.service(
            *routes, name="h2", accesslog=log,
            listen=[{"address": conf.address(), "h2c": True}]))
    return start_shared(conf.config(
        [conf.service(*routes, name="web", accesslog=log), *early],
        [conf.upstream("up", origin),
         conf.upstream("down", "127.0.0.1:1", retries=0)]))


@pytest.fixture
def client(weir):
    with Client(weir.address) as one:
        yield one


@pytest.fixture
def h2_client(weir):
    if not has_h2():
        pytest.skip("this weir has no HTTP/2")
    with h2.Client(weir.addresses[-1]) as one:
        yield one


def where(weir, what, phase):
    """The listener whose exchanges do this in this phase."""
    names = ["web", "pause", "stuck", "fail", "answer"]
    return weir.addresses[names.index(what) if phase == WALK[0] else 0]


def logged(weir, path, count=1):
    """The log's lines for a path; exactly so many come."""
    def lines():
        if not os.path.exists(weir.path("a.log")):
            return None
        found = [line for line in weir.read("a.log").split("\n")
                 if line.startswith(path + " ")]
        return found if len(found) >= count else None
    found = wait.until(lines, what="a log line for " + path)
    assert len(found) == count, found
    return found


# -- waiting ---------------------------------------------------------------

@pytest.mark.parametrize("phase", WALK + BODIES + TRAILERS)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_pause(weir, phase, framing):
    """One phase waits; the exchange is as without, only later."""
    with Client(where(weir, "pause", phase)) as client:
        paused(client, phase, framing)


def paused(client, phase, framing):
    for _ in range(2):
        began = time.monotonic()
        target = "/pause/%s/echo" % phase
        if framing == "length":
            response = client.request("POST", target, body=b"body")
        else:
            client.send(compose("POST", target, [
                ("Transfer-Encoding", "chunked")])
                + chunked(b"bo", b"dy", trailers=[("T", "u")]))
            response = client.response()
        echo = Echo(response)
        assert echo.body == b"body" and echo.target == target
        if framing == "chunked":
            assert echo.trailers.one("t") == "u"
        if phase in TRAILERS:
            assert response.trailers.one("x-waited") == phase
        assert time.monotonic() - began >= 0.035


@pytest.mark.parametrize("phase", WALK[1:] + BODIES + TRAILERS)
def test_pause_over_h2(h2_client, phase):
    """The same with a client of HTTP/2."""
    target = "/pause/%s/echo" % phase
    began = time.monotonic()
    stream = h2_client.wait(h2_client.request(
        target, "POST", body=b"body", trailers=[("t", "u")]))
    assert stream.status == 200 and stream.reset is None
    assert json.loads(stream.data)["target"] == target
    trailers = dict(stream.trailers or ())
    assert trailers.get("x-waited") == (phase if phase in TRAILERS else None)
    assert time.monotonic() - began >= 0.035


@pytest.mark.parametrize("path", ["/two", "/two-after"])
@pytest.mark.parametrize("size", [1, 40000, 300000])
def test_handlers_pause_at_once(client, path, size):
    """Handlers of one body that wait together keep its bytes in order."""
    body = big(size)
    response = client.request("PUT", path + "/sha", body=body)
    # The digest's own text waits as well; with `after` more follows it.
    assert response.text.startswith("%d %s" % (
        size, hashlib.sha256(body).hexdigest()))
    response = client.get(path + "/chunked/%d" % size)
    more = b"waited\n" * 2 if path == "/two-after" else b""
    assert response.body == body + more
    assert response.trailers.all("x-waited") == TRAILERS


def test_handlers_pause_at_once_over_h2(h2_client):
    """The same with a client of HTTP/2, several at a time."""
    body = big(100000)
    streams = [h2_client.request("/two-after/chunked/100000")
               for _ in range(4)]
    for number in streams:
        stream = h2_client.wait(number)
        assert bytes(stream.data) == body + b"waited\n" * 2
        assert [v for n, v in stream.trailers
                if n == "x-waited"] == TRAILERS


def test_pause_everywhere(client):
    for size in (0, 5, 300000):
        body = big(size)
        response = client.request("PUT", "/all/sha", body=body)
        assert response.text.startswith("%d " % size)
        assert client.get("/all/chunked/%d" % size).body == body
        assert client.get("/all/close/%d" % size).body == body


def test_pause_and_pipelining(client):
    client.send(b"".join(compose(target="/all/echo/%d" % i)
                         for i in range(5)))
    for i in range(5):
        assert Echo(client.response()).target == "/all/echo/%d" % i


def test_body_waits_for_its_route(weir):
    """Handlers of the route see what came before it was known."""
    for size in (4, 300000):
        with Client(weir.addresses[1]) as client:
            response = client.request("POST", "/echo/early",
                                      body=b"x" * size)
            assert response.status == 500
    with Client(weir.addresses[1]) as client:
        assert client.request("POST", "/echo", body=b"x").status == 200


@pytest.mark.parametrize("size", [1000, 1001])
def test_limit_of_a_body_that_comes_meanwhile(client, size):
    """A body without a length that is whole before the wait ends."""
    client.send(compose("POST", "/limited/echo", [
        ("Transfer-Encoding", "chunked")]) + chunked(b"x" * size))
    assert client.response().status == (200 if size == 1000 else 413)


def test_others_go_on_meanwhile(weir, client):
    """A paused exchange holds up no other."""
    client.send(compose(target="/stuck/request/hello"))
    for _ in range(20):
        assert weir.get("/pause/request/hello").status == 200
    assert client.silent(0)


def test_pause_of_own_answers(client):
    assert client.get("/own").body == b"own"
    assert client.request("POST", "/own", body=b"x").body == b"own"
    assert client.get("/own").body == b"own"


def test_pause_of_errors(client):
    for _ in range(2):
        assert client.get("/down").status == 502


def test_pause_with_interims_and_trailers(client, origin):
    script = origin.raw(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nT: u\r\n\r\n")
    for _ in range(2):
        response = client.get("/all" + script.path)
        assert [i.status for i in response.interims] == [103]
        assert response.body == b"abc"
        assert response.trailers.one("t") == "u"


def test_pause_of_an_upgrade(client, origin):
    script = origin.script(ws.serve_echo)
    client.send(compose(target="/all" + script.path,
                        fields=ws.handshake_fields()))
    assert client.response(upgrade=True).status == 101
    client.send(ws.frame(ws.TEXT, b"hi", mask=True))
    assert ws.read_frame(client.reader) == (ws.TEXT, b"hi")


def test_pause_with_expect(client, origin):
    script = origin.script(lambda e: e.send(
        b"HTTP/1.1 100 Continue\r\n\r\n") or e.reply(200, e.body()))
    client.send(compose("POST", "/all" + script.path, [
        ("Expect", "100-continue"), ("Content-Length", "3")]))
    assert client.response(interims=False).status == 100
    client.send(b"abc")
    assert client.response().body == b"abc"


# -- clients and backends that go away meanwhile ---------------------------

@pytest.mark.parametrize("phase", WALK + BODIES + TRAILERS)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_gone_while_it_waits(weir, phase, how):
    """Waiting is cancelled, and the log has the request once."""
    path = "/stuck/%s/echo/%s" % (phase, how)
    client = Client(where(weir, "stuck", phase))
    client.send(compose("POST", path, body=b"body"))
    assert client.silent(0.03) or phase in BODIES + TRAILERS
    getattr(client, how)()
    line, = logged(weir, path)
    assert "client_gone" in line
    assert weir.get("/own").status == 200


@pytest.mark.parametrize("phase", ["request"] + BODIES + TRAILERS)
@pytest.mark.parametrize("how", ["rst", "close"])
def test_h2_client_gone_while_it_waits(weir, h2_client, phase, how):
    """The same when a stream or its connection ends."""
    path = "/stuck/%s/echo/h2-%s" % (phase, how)
    number = h2_client.request(path, "POST", body=b"body")
    time.sleep(0.03)
    if how == "rst":
        h2_client.rst(number)
        # Only what arrived before is known to have been waiting.
        assert h2_client.get("/own").data == b"own"
    else:
        h2_client.close()
    line, = logged(weir, path)
    assert "client_gone" in line
    assert weir.get("/own").status == 200


@pytest.mark.parametrize("phase", ["upstream_select", "response"] + BODIES + TRAILERS)
def test_deadline_while_it_waits(weir, phase):
    """timeouts.total ends a wait: 504 before the head, a cut behind it."""
    with Client(weir.address) as client:
        path = "/late/%s/echo" % phase
        client.send(compose("POST", path, body=b"body"))
        kind, response = outcome(client)
        if phase in BODIES[1:] + TRAILERS:
            assert kind != "complete"
        else:
            assert response.status == 504
            assert logged(weir, path) == ["%s 504 total_timeout" % path]


def test_deadline_while_it_cannot_be_ended(client):
    """The failure then comes in the place of the verdict."""
    assert client.get("/stubborn/hello").status == 504


def test_deadline_while_an_answer_is_made(weir, client):
    """A wait of the phase fail goes on to its answer."""
    assert client.get("/late-fail").status == 502
    assert logged(weir, "/late-fail") == ["/late-fail 502 connect_refused"]


@pytest.mark.parametrize("phase", ["response"] + BODIES + TRAILERS)
def test_deadline_while_it_waits_over_h2(h2_client, phase):
    """The same with a client of HTTP/2: a reset in place of the cut."""
    stream = h2_client.wait(h2_client.request(
        "/late/%s/echo" % phase, "POST", body=b"body"))
    if phase in BODIES[1:] + TRAILERS:
        assert stream.status == 200 and stream.reset is not None
    else:
        assert stream.status == 504


def test_client_gone_in_the_fail_phase(weir):
    client = Client(weir.address)
    client.send(compose(target="/down-stuck/x"))
    assert client.silent(0.03)
    client.close()
    logged(weir, "/down-stuck/x")
    assert weir.get("/own").status == 200


@pytest.mark.parametrize("phase", ["upstream_connected", "upstream_response",
                                   "response", "response_body",
                                   "upstream_response_body"] + TRAILERS)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_backend_gone_while_it_waits(client, origin, phase, how):
    """A whole answer is delivered, or the client sees a failure."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
                      b"Connection: close\r\n\r\nabc")
        getattr(exchange, how)()
        return False
    script = origin.script(answer)
    client.send(compose(target="/pause/%s%s" % (phase, script.path)))
    kind, response = outcome(client)
    if kind == "complete":
        assert response.status == 502 or response.body == b"abc"
    else:
        assert how == "reset"


# -- answering and failing -------------------------------------------------

@pytest.mark.parametrize("phase", WALK)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_answer(weir, origin, phase, method):
    """From any phase on the module's answer is what the client gets."""
    before = len(origin.exchanges)
    with Client(where(weir, "answer", phase)) as client:
        response = client.request(method, "/answer/%s/echo" % phase,
                                  body=b"x" if method == "POST" else None)
        assert response.status == 299
        if method != "HEAD":
            assert response.body == b"answered by test\n"
        if "close" not in response.fields.tokens("connection"):
            assert client.get("/own").status in (200, 299)
    if phase in BEFORE_BACKEND:
        assert len(origin.exchanges) == before


@pytest.mark.parametrize("phase", WALK)
def test_fail(weir, origin, phase):
    """A failing handler is a 500, with a reason."""
    before = len(origin.exchanges)
    path = "/fail/%s/echo" % phase
    with Client(where(weir, "fail", phase)) as client:
        response = client.get(path)
        assert response.status == 500
        if "close" not in response.fields.tokens("connection"):
            assert client.get("/own").status in (200, 500)
    assert logged(weir, path) == ["%s 500 internal" % path]
    if phase in BEFORE_BACKEND:
        assert len(origin.exchanges) == before


@pytest.mark.parametrize("phase", BODIES + TRAILERS)
def test_fail_in_a_body(weir, phase):
    """500 while there is no head out yet, else a cut."""
    with Client(weir.address) as client:
        client.send(compose("POST", "/fail/%s/echo" % phase, body=b"body"))
        kind, response = outcome(client)
        assert kind != "complete" or response.status == 500
    assert weir.get("/own").status == 200


def test_backend_leaves_while_a_handler_waits(start, origin):
    """The failure waits for the verdict; the worker lives on."""
    server = socket.create_server(("127.0.0.1", 0))

    def hang_up():
        try:
            while True:
                server.accept()[0].close()
        except OSError:
            pass  # the test is over
    threading.Thread(target=hang_up, daemon=True).start()
    weir = start(conf.config(
        [conf.service({"path": "/", "upstream": "two", "test": {
            "pause": "200ms", "phases": ["upstream_connected"]}},
            {"path": "/alone", "upstream": "one", "test": {
                "pause": "200ms", "phases": ["upstream_connected"]}},
            {"path_exact": "/own", "respond": {"body": "own"}})],
        [conf.upstream("two", "127.0.0.1:%d" % server.getsockname()[1],
                       origin),
         conf.upstream("one", "127.0.0.1:%d" % server.getsockname()[1])]))
    with server:
        assert weir.get("/hello").body == b"Hello World!\n"
        assert weir.get("/alone").status == 502
        assert weir.get("/own").body == b"own"
        server.shutdown(socket.SHUT_RDWR)
