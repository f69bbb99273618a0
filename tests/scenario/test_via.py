# SPDX-License-Identifier: BSD-2-Clause
"""Backends behind a next hop, which is asked by CONNECT (pingora 196)."""
import re
import signal

import pytest

from conftest import need
from lib import conf, wait
from lib import h2wire as h2
from lib.client import once
from lib.hop import OK, Hop
from lib.origin import Echo
from lib.tls import Certs, TlsOrigin
from lib.weir import run

pytestmark = pytest.mark.short


@pytest.fixture
def hop():
    made = []

    def make(*args, **options):
        made.append(Hop(*args, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


def head_for(address, *fields):
    return ("CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (
        address, address, "".join(x + "\r\n" for x in fields))).encode()


@pytest.mark.parametrize("unix", [True, False])
def test_through_a_hop(start, origin_factory, hop, unix):
    """It is asked once for a connection, which then carries requests."""
    origin, one = origin_factory(), hop(unix=unix)
    weir = start(conf.proxy(origin, up={"via": {
        "address": one.address, "headers": {"X-From": "weir"}}}))
    for i in range(3):
        assert Echo(weir.request("POST", "/x", body=b"abc")).body == b"abc", i
    assert one.heads == [head_for(origin.backend, "X-From: weir")]
    assert len(origin.connections) == 1


def test_workers_do_not_share(start, origin_factory, hop):
    """Where others look there are none: without a hop after a reload, and
    with another one, connections are made anew."""
    origin, one, two = origin_factory(), hop(), hop()
    made = conf.proxy(origin, up={"pool_share_after": "0"},
                      top={"workers": 2})
    now = made["upstreams"][0]
    weir = start(made)
    for _ in range(4):
        assert weir.get("/hello").status == 200
    for other in (one, two):
        now["via"] = {"address": other.address}
        weir.write("weir.conf", conf.document(made).replace(
            "@DIR@", weir.dir))
        weir.send_signal(signal.SIGHUP)
        wait.until(lambda: weir.get("/hello").status == 200 and other.heads)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 299 So\r\nContent-Length: 0\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"])
def test_answers_that_allow(start, origin, hop, answer):
    weir = start(conf.proxy(origin, up={"via": {
        "address": hop(answer=answer).address}}))
    assert weir.get("/hello").status == 200


REFUSALS = {
    "forbidden": (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
                  "it answered 403 Forbidden"),
    "auth": (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n",
             "it answered 407 Proxy Authentication Required"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "it answered 200 with a body"),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
               "it answered 200 with a body"),
    "behind": (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
               "38 bytes follow its answer"),
    "garbage": (b"SSH-2.0-x\r\n\r\n", "its answer is no HTTP: invalid status"),
    "upgrade": (b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: "
                b"websocket\r\n\r\n", "its answer is no HTTP: 101"),
    "long": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
             "its answer is no HTTP: header block too large"),
    "eof": (b"", "it closed the connection"),
    "part": (b"HTTP/1.1 200 OK\r\n", "it closed the connection"),
    "gone": (OK, "it closed the connection|"),
}


def test_answers_that_do_not(start, origin_factory, hop):
    """502, and the log says what the hop did; nothing reaches anybody."""
    origin = origin_factory()
    weir = start(conf.config(
        conf.service(*({"path": "/" + name, "upstream": name}
                       for name in REFUSALS)),
        [conf.upstream(name, origin, retries=0, via={"address": hop(
            answer=answer, passes=False,
            then_close=name in ("eof", "part")).address})
         for name, (answer, _) in REFUSALS.items() if name != "gone"] +
        [conf.upstream("gone", origin, retries=0, via={
            "address": "unix:/nonexistent/hop.sock"})]))
    for count, (name, (_, what)) in enumerate(REFUSALS.items(), 1):
        before = len(weir.log)
        assert once(weir.address, target="/" + name).status == 502, name
        wait.until(lambda: re.search(
            "next hop did not connect to the backend.*(%s)" % (
                what if name != "gone" else "No such file"),
            weir.log[before:]), what=name + weir.log[before:])
        assert weir.metrics().sum("weir_proxy_errors_total",
                                  reason="via_failed") == count
    assert not origin.connections


def test_hop_that_is_silent(start, origin, hop):
    """504; and the total bounds hop and handshake together."""
    def up(name, one, **times):
        return conf.upstream(name, origin, retries=0, timeouts=times,
                             via={"address": one.address},
                             tls={"verify": False})
    hole = hop(answer=OK, passes=False)
    weir = start(conf.config(
        conf.service({"path": "/a", "upstream": "a"},
                     {"path": "/b", "upstream": "b"}),
        [up("a", hop(answer=None), connect="300ms"),
         up("b", hole, connect="60s", connect_total="300ms")]))
    assert once(weir.address, target="/a").status == 504
    assert once(weir.address, target="/b").status == 504
    weir.wait_log("TLS handshake.*connect_total")
    assert hole.heads
    errors = weir.metrics()
    assert errors.sum("weir_proxy_errors_total", reason="via_timeout") == 1
    assert errors.sum("weir_proxy_errors_total",
                      reason="backend_tls_timeout") == 1


def test_next_backend(start, origin_factory, hop):
    """A refusal is a failed connect: a POST may go to the next backend."""
    origin, one = origin_factory(), hop()
    weir = start(conf.config(
        conf.service({"path": "/", "upstream": "up"}),
        [conf.upstream("up", "127.0.0.1:1", origin,
                       via={"address": one.address})]))
    for _ in range(2):
        assert Echo(weir.request("POST", "/x", body=b"1")).body == b"1"
    assert head_for("127.0.0.1:1") in one.heads


def test_ipv6_in_brackets(start, origin, hop):
    one = hop(to=origin.backend)
    weir = start(conf.proxy("[::1]:123", up={"via": {
        "address": one.address}}))
    assert weir.get("/hello").status == 200
    assert one.heads == [head_for("[::1]:123")]


def test_what_goes_through(start, origin_factory, hop):
    """TLS, HTTP/2, and the PROXY protocol before them: to the backend."""
    need("openssl")
    certs = Certs()
    secure = None
    try:
        ca = certs.ca("root")
        secure = TlsOrigin(certs.signed("server", ca, "localhost"))
        one = hop()
        weir = start(conf.proxy(
            "localhost:" + secure.backend.rpartition(":")[2],
            up={"via": {"address": one.address},
                "tls": {"ca_file": ca[0]}}))
        for _ in range(2):
            assert weir.get("/hello").status == 200
        assert one.heads == [head_for(secure.backend)]
    finally:
        certs.remove()
        if secure:
            secure.close()


def test_proxy_protocol_goes_through(start, hop):
    """The hop gets CONNECT, the backend the PROXY line."""
    one = hop(passes=False, answer=OK)
    weir = start(conf.proxy("127.0.0.1:9", up={
        "via": {"address": one.address}, "proxy_protocol": "v1"}))
    with weir.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait.until(lambda: one.heads)
        sock = one.kept[0]
        sock.settimeout(8)
        assert sock.recv(4096).startswith(b"PROXY TCP4 127.0.0.1 ")
    assert one.heads == [head_for("127.0.0.1:9")]


def test_http2_goes_through(start, origin_factory, hop):
    status, out, err = run("-V")
    if "no HTTP/2" in out + err:
        pytest.skip("this weir has no HTTP/2")

    def handler(peer, stream, fields):
        peer.until(lambda: peer.stream(stream).ended)
        peer.head(stream, [(":status", "200")])
        peer.data(stream, b"hello", True)
    server, one = origin_factory(handler, kind=h2.Server), hop()
    weir = start(conf.proxy(server, up={
        "protocol": "h2", "via": {"address": one.address}}))
    for _ in range(3):
        assert weir.get("/x").body == b"hello"
    assert one.heads == [head_for(server.backend)]


def test_health_checks(start, origin_factory, hop):
    """They go the same way, and say what the hop says."""
    origin, one = origin_factory(), hop()
    weir = start(conf.proxy(origin, up={
        "via": {"address": one.address},
        "health_check": {"path": "/hello", "interval": "100ms"}}))
    wait.until(lambda: len(one.heads) >= 2)
    assert set(one.heads) == {head_for(origin.backend)}
    one.answer, one.passes = b"HTTP/1.1 403 No\r\n\r\n", False
    weir.wait_log("next hop: it answered 403 Forbidden")
    one.answer, one.passes = OK, True
    wait.until(lambda: weir.get("/hello").status == 200)


ERRORS = {
    "names of hops are not resolved": ("127.0.0.1:1", {
        "address": "hop.test:3128"}),
    "at a Unix socket": ("unix:/run/x", {"address": "127.0.0.1:1"}),
    "weir's own": ("127.0.0.1:1", {"address": "127.0.0.1:1",
                                   "headers": {"Host": "a"}}),
    "a plain value is expected": ("127.0.0.1:1", {
        "address": "127.0.0.1:1", "headers": {"X": "${client.ip}"}}),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors(tmp_path, what):
    path = tmp_path / "weir.conf"
    backend, via = ERRORS[what]
    path.write_text(conf.document(conf.proxy(backend, up={"via": via})))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and what in err, err
