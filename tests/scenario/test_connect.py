# SPDX-License-Identifier: BSD-2-Clause
"""How backends are connected to: from where, and what if that fails."""
import os
import re
import socket
import tempfile

import pytest

from lib import conf, wait
from lib.client import once
from lib.origin import Blackhole, Echo
from lib.weir import run

pytestmark = pytest.mark.short


def from_where(origin, count=1):
    return {conn.peer[0] for conn in origin.connections[-count:]}


def test_bind(start, origin_factory):
    """Requests and health checks come from the address that is told (pingora
    1), or from one of several."""
    origin = origin_factory()
    weir = start(conf.config(
        conf.service({"path": "/one", "upstream": "one"},
                     {"path": "/some", "upstream": "some"}),
        [conf.upstream("one", origin, bind="127.0.0.2",
                       keepalive={"idle_max": 0}),
         conf.upstream("some", origin, bind=["::1", "127.0.0.3",
                                             "127.0.0.4"],
                       keepalive={"idle_max": 0})]))
    for _ in range(3):
        Echo(weir.get("/one/x"))
        assert from_where(origin) == {"127.0.0.2"}
    wait.until(lambda: weir.get("/some/x").status == 200 and from_where(
        origin, len(origin.connections)) == {
            "127.0.0.2", "127.0.0.3", "127.0.0.4"})


def test_bind_of_checks(start, origin_factory):
    origin = origin_factory()
    start(conf.proxy(origin, up={"bind": "127.0.0.5", "health_check": {
        "path": "/hello", "interval": "100ms"}}))
    wait.until(lambda: len(origin.connections) >= 2)
    assert from_where(origin, 2) == {"127.0.0.5"}


def test_bind_to_an_address_of_others(start, origin):
    """502, and the log says why; what is no address is refused at load."""
    weir = start(conf.proxy(origin, up={"bind": "192.0.2.1"}))
    assert once(weir.address).status == 502
    weir.wait_log("Cannot assign requested address")


@pytest.mark.parametrize("what", [
    "here", "127.0.0.1:", "127.0.0.1:5", "127.0.0.1:9-8", "127.0.0.1:0-8",
    "127.0.0.1:1-65536", "::1:5-6x", "[::1]", "[::1:5-6"])
def test_bind_to_nonsense(tmp_path, what):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.proxy(
        "127.0.0.1:1", up={"bind": ["127.0.0.1", what]})))
    status, _, err = run("-t", "-c", path)
    if what == "127.0.0.1:5":
        assert status == 0, err
    else:
        assert status == 2 and '"%s" is no address' % what in err, err


@pytest.mark.parametrize("low", [20100, 40100])
def test_bind_to_ports(start, origin_factory, low):
    """From these alone; when none is free, 502, or any (pingora 197)."""
    origin = origin_factory()
    ports, host = 2, "127.%d.%d.%d" % (os.getpid() >> 16 & 63 | 64,
                                       os.getpid() >> 8 & 255,
                                       os.getpid() & 255 or 1)
    script = origin.script(lambda ex: ex.gone())

    def up(name, **more):
        return conf.upstream(name, origin, retries=0, bind="%s:%d-%d" % (
            host, low, low + ports - 1), **more)
    weir = start(conf.config(
        conf.service({"path": "/any", "upstream": "any"},
                     {"path": "/", "upstream": "alone"}),
        [up("alone"), up("any", bind_fallback=True)]))
    held = [weir.client() for _ in range(ports)]
    try:
        for client in held:
            client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" %
                        script.path.encode())
        script.wait(ports)
        assert {c.peer for c in origin.connections} == {
            (host, low + i) for i in range(ports)}
        assert once(weir.address, target="/x").status == 502
        weir.wait_log("Cannot assign requested address")
        assert weir.get("/any").status == 200
        assert origin.connections[-1].peer[0] == host
        assert origin.connections[-1].peer[1] not in range(low, low + ports)
    finally:
        for client in held:
            client.close()
    wait.until(lambda: weir.get("/hello").status == 200)


def test_who_cannot_be_reached(start):
    """Refused, and without a route (pingora 195)."""
    weir = start(conf.config(
        conf.service({"path": "/a", "upstream": "a"},
                     {"path": "/b", "upstream": "b"}),
        [conf.upstream("a", "127.0.0.1:%d" % conf.free_port()),
         conf.upstream("b", "[::3]:79", timeouts={"connect": "300ms"})]))
    assert once(weir.address, target="/a").status == 502
    assert weir.metrics().sum("weir_proxy_errors_total",
                              reason="connect_refused") == 1
    # Where there is a way out the packets are lost on it.
    assert once(weir.address, target="/b").status in (502, 504)


@pytest.fixture
def silent():
    """It takes connections, and that is all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield "127.0.0.1:%d" % listener.getsockname()[1]


def test_total_of_connecting(start, silent):
    """It bounds the connect and the handshake; the shorter time holds
    (pingora 195).  Each is a 504 that says what took too long."""
    hole = Blackhole()
    short, long = "300ms", "60s"
    rows = {
        # of the upstream, of the route, backend, reason, by the total?
        "tcp": ({"connect": long, "connect_total": short}, {}, hole,
                "connect_timeout", True),
        "tls": ({"connect": long, "connect_total": short}, {}, silent,
                "backend_tls_timeout", True),
        "one": ({"connect": short, "connect_total": long}, {}, silent,
                "backend_tls_timeout", False),
        "route": ({"connect": long}, {"connect_total": short}, silent,
                  "backend_tls_timeout", True),
        "off": ({"connect": short, "connect_total": short},
                {"connect_total": 0}, silent, "backend_tls_timeout", False),
    }
    weir = start(conf.config(
        conf.service(*({"path": "/" + name, "upstream": name,
                        "timeouts": row[1]} for name, row in rows.items())),
        [conf.upstream(name, row[2], timeouts=row[0], retries=0,
                       **({} if name == "tcp" else
                          {"tls": {"verify": False}}))
         for name, row in rows.items()]))
    try:
        for name, row in rows.items():
            before = len(weir.log)
            assert once(weir.address, target="/" + name).status == 504, name
            line = wait.until(lambda: re.search(
                "the backend did not take.*|the TLS handshake.*too long.*",
                weir.log[before:]))
            assert ("connect_total" in line[0]) == row[4], (name, line)
            assert weir.metrics().sum("weir_proxy_errors_total",
                                      reason=row[3]) > 0
    finally:
        hole.close()


def test_total_that_is_over_tries_the_next(start, silent, origin):
    weir = start(conf.config(
        conf.service({"path": "/", "upstream": "up"}),
        [conf.upstream(
            "up", {"address": silent, "tls": {"verify": False}},
            {"address": origin.backend, "backup": True},
            timeouts={"connect": "60s", "connect_total": "300ms"})]))
    assert weir.get("/hello").status == 200
    assert weir.metrics().sum("weir_proxy_retries_total") == 1


def test_unix_backend(start):
    """bind says nothing to a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="weir-") as folder, \
            socket.socket(socket.AF_UNIX) as listener:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "sock")
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen()
        listener.settimeout(8)
        weir = start(conf.proxy("unix:" + path, up={"bind": "127.0.0.2"}))
        with weir.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            sock, _ = listener.accept()
            with sock:
                assert b"GET / HTTP/1.1\r\n" in sock.recv(4096)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                             b"\r\nx")
                assert client.response().body == b"x"
