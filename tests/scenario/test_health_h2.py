"""Health checks in HTTP/2, of backends that speak nothing else."""
# SPDX-License-Identifier: BSD-2-Clause
import ssl
import threading

import pytest

from lib import conf, tls, wait
from lib import h2wire as h2
from lib.weir import run
from test_health import CHECK, Silent

pytestmark = pytest.mark.short
OK = [(":status", "200")]


@pytest.fixture(scope="module", autouse=True)
def built_with_it():
    status, out, err = run("-V")
    if "no HTTP/2" in out + err:
        pytest.skip("this weir has no HTTP/2")


def config(server, check, **up):
    return conf.config(
        conf.service({"path": "/", "upstream": "app"}),
        [conf.upstream("app", server, protocol="h2",
                       health_check={**CHECK, "timeout": "2s", **check},
                       **up)])


def ok(peer, stream, fields):
    peer.head(stream, OK)
    peer.data(stream, b"o")
    peer.data(stream, b"k", True)


def no_end(peer, stream, fields):
    peer.head(stream, OK)


def status(code):
    def handler(peer, stream, fields):
        peer.head(stream, [(":status", "103")])
        peer.head(stream, [(":status", str(code))], True)
    return handler


def large(peer, stream, fields):
    """More than is searched, within the windows."""
    peer.head(stream, OK)
    for _ in range(5):
        peer.data(stream, b"x" * 13000)
    peer.data(stream, b"y" * 536)


def reset(peer, stream, fields):
    peer.rst(stream, h2.INTERNAL_ERROR)


def reset_behind_the_head(peer, stream, fields):
    peer.head(stream, OK)
    peer.rst(stream, h2.INTERNAL_ERROR)


def goaway(peer, stream, fields):
    peer.say_goaway(0)


def malformed(peer, stream, fields):
    peer.head(stream, OK + [("connection", "close")], True)


def close(peer, stream, fields):
    peer.close()


BODY = {"body_match": "^ok$"}


@pytest.mark.parametrize("handler,check,why", [
    (ok, {}, None), (ok, BODY, None), (no_end, {}, None),
    (status(503), {"expect": "5xx"}, None),
    (large, {"body_match": "^x{65000}y{536}$"}, None),
    (status(503), {}, "unexpected status: 503"),
    (status(200), BODY, "body_match does not match"),
    (no_end, {**BODY, "timeout": "150ms"}, "no answer in time"),
    (reset, {}, "the answer is not HTTP: the stream was reset"),
    (reset_behind_the_head, BODY, "the connection was closed: the stream"),
    (goaway, {}, r"the answer is not HTTP: it takes no requests \(GOAWAY"),
    (malformed, {}, "the answer is not HTTP: malformed HTTP/2"),
    (close, {}, "the connection was closed"),
], ids=lambda x: getattr(x, "__name__", str(x)))
def test_judges(start, origin_factory, handler, check, why):
    """What an answer makes of a backend."""
    server = origin_factory(handler, kind=h2.Server)
    weir = start(config(server, {
        "initial": "down" if why is None else "up", **check}))
    if why is None:
        weir.wait_log("backend app/%s is up: the health check passes"
                      % server.backend)
        assert "is down" not in weir.log
    else:
        weir.wait_log("backend app/%s is down: health check: %s"
                      % (server.backend, why))


def test_what_is_asked(start, origin_factory):
    """The request as configured, without what only HTTP/1 has; each on a
    connection of its own; up and down and up again."""
    seen, well = [], threading.Event()
    well.set()

    def handler(peer, stream, fields):
        seen.append(peer.stream(stream))
        status(204 if well.is_set() else 500)(peer, stream, fields)
    server = origin_factory(handler, kind=h2.Server)
    weir = start(config(server, {
        "path": "/health?x=1", "host": "check.test", "method": "HEAD",
        "headers": {"X-Probe": "yes", "Connection": "close"}}))
    wait.until(lambda: len(seen) >= 2)
    assert seen[0].ended
    head = dict(seen[0].heads[0])
    assert head == {
        ":method": "HEAD", ":path": "/health?x=1", ":scheme": "http",
        ":authority": "check.test", "user-agent": "weir-health",
        "x-probe": "yes"}
    assert len(server.peers) >= 2
    well.clear()
    weir.wait_log("is down: health check: unexpected status: 500")
    well.set()
    weir.wait_log("is up: the health check passes")


@pytest.mark.parametrize("protocols", [["h2"], ["http/1.1"]])
def test_over_tls(start, origin_factory, protocols):
    """HTTP/2 is agreed on by ALPN, or the check fails."""
    certs = tls.Certs()
    root = certs.ca("root")
    server_pair = certs.signed("server", root, "a.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_pair)
    context.set_alpn_protocols(protocols)
    schemes = []

    def handler(peer, stream, fields):
        schemes.append(fields[":scheme"])
        ok(peer, stream, fields)
    server = origin_factory(handler, kind=h2.Server, tls=context)
    weir = start(config(server, {**BODY, "initial": "up"}, tls={
        "ca_file": root[0], "sni": "a.example"}))
    if protocols == ["h2"]:
        wait.until(lambda: len(schemes) >= 2)
        assert set(schemes) == {"https"} and "is down" not in weir.log
    else:
        weir.wait_log("is down: health check: the answer is not HTTP: "
                      "HTTP/2 was not agreed on")
    certs.remove()


def test_who_speaks_http1(start):
    """Somebody else listens there: it is said, and no check hangs."""
    server = Silent()
    server.is_silent = False
    weir = start(config(server, {}))
    weir.wait_log("is down: health check: the answer is not HTTP|"
                  "is down: health check: the connection was closed")
    server.close()


def test_another_port_speaks_http1(start, origin, origin_factory):
    """A port for checks alone is asked in HTTP/1.1."""
    server = origin_factory(ok, kind=h2.Server)
    weir = start(config(server, {
        "path": "/hello", "initial": "down",
        "port": int(origin.backend.rsplit(":", 1)[1])}))
    weir.wait_log("is up: the health check passes")
    assert weir.get("/").body == b"ok"
    assert len(server.peers) == 1
