"""Every phase can wait, answer and fail, and the exchange comes out right.

Drives the internal module `test`, which pauses on a timer; a build without
it skips this file.
"""
# SPDX-License-Identifier: BSD-2-Clause
import os
import socket
import threading
import time

import pytest

from lib import conf, wait, ws
from lib.client import Client, chunked, compose, outcome
from lib.origin import Echo, big
from lib.weir import run

pytestmark = pytest.mark.short

WALK = ["early_request", "route", "request", "cache_lookup",
        "upstream_gate", "upstream_select", "upstream_connected",
        "upstream_request", "upstream_response", "cache_store", "response"]
BODIES = ["request_body", "upstream_response_body", "response_body"]
BEFORE_BACKEND = WALK[:6]


@pytest.fixture(scope="module", autouse=True)
def built_in():
    _, out, _ = run("-V")
    if " test" not in out.replace(",", " "):
        pytest.skip("built without the module test")


def at(path, **test):
    return {"path": path, "upstream": "up", "test": test}


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    routes = [at("/all", pause="15ms")]
    for phase in WALK[1:] + BODIES:
        routes += [at("/pause/" + phase, pause="40ms", phases=[phase]),
                   at("/stuck/" + phase, pause="30s", phases=[phase]),
                   at("/fail/" + phase, fail_in=phase)]
        if phase in WALK:
            routes.append(at("/answer/" + phase, answer_in=phase))
    routes += [
        {"path": "/own", "respond": {"body": "own"},
         "test": {"pause": "20ms"}},
        {"path": "/down", "upstream": "down",
         "test": {"pause": "20ms"}},
        {"path": "/down-stuck", "upstream": "down",
         "test": {"pause": "30s", "phases": ["fail"]}}]
    log = [{"path": "@DIR@/a.log", "format": "${request.path} "
            "${response.status} ${error.reason:--}"}]
    # Before routing only a service's options are known.
    early = [conf.service({"path": "/", "upstream": "up"}, name=name,
                          accesslog=log, test=test)
             for name, test in (
                 ("pause", {"pause": "40ms", "phases": [WALK[0]]}),
                 ("stuck", {"pause": "30s", "phases": [WALK[0]]}),
                 ("fail", {"fail_in": WALK[0]}),
                 ("answer", {"answer_in": WALK[0]}))]
    return start_shared(conf.config(
        [conf.service(*routes, name="web", accesslog=log), *early],
        [conf.upstream("up", origin),
         conf.upstream("down", "127.0.0.1:1", retries=0)]))


@pytest.fixture
def client(weir):
    with Client(weir.address) as one:
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

@pytest.mark.parametrize("phase", WALK + BODIES)
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
        assert time.monotonic() - began >= 0.035


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

@pytest.mark.parametrize("phase", WALK + BODIES)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_gone_while_it_waits(weir, phase, how):
    """Waiting is cancelled, and the log has the request once."""
    path = "/stuck/%s/echo/%s" % (phase, how)
    client = Client(where(weir, "stuck", phase))
    client.send(compose("POST", path, body=b"body"))
    assert client.silent(0.03) or phase in BODIES
    getattr(client, how)()
    line, = logged(weir, path)
    assert "client_gone" in line
    assert weir.get("/own").status == 200


def test_client_gone_in_the_fail_phase(weir):
    client = Client(weir.address)
    client.send(compose(target="/down-stuck/x"))
    assert client.silent(0.03)
    client.close()
    logged(weir, "/down-stuck/x")
    assert weir.get("/own").status == 200


@pytest.mark.parametrize("phase", ["upstream_connected", "upstream_response",
                                   "response", "response_body",
                                   "upstream_response_body"])
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


@pytest.mark.parametrize("phase", BODIES)
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
