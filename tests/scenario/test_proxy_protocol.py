# SPDX-License-Identifier: BSD-2-Clause
"""The PROXY protocol, in and out."""
import signal
import socket
import ssl
import struct
import threading

import pytest

from conftest import need
from lib import conf, wait
from lib.client import Client, compose
from lib.origin import Echo
from lib.tls import Certs, TlsOrigin, client_context

pytestmark = pytest.mark.short
V2 = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 80\r\n"


def v2(client="192.0.2.7", port=4321, extra=b""):
    body = (socket.inet_aton(client) + socket.inet_aton("192.0.2.8")
            + struct.pack(">HH", port, 80) + extra)
    return V2 + b"\x21\x11" + struct.pack(">H", len(body)) + body


def v6():
    body = (socket.inet_pton(socket.AF_INET6, "2001:db8::7")
            + socket.inet_pton(socket.AF_INET6, "::1")
            + struct.pack(">HH", 1, 2))
    return V2 + b"\x21\x21" + struct.pack(">H", len(body)) + body


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.proxy(
        origin, listen=[{"address": conf.address(), "proxy_protocol": True}],
        trusted_proxies=["127.0.0.0/8"], client_header_timeout="2s"))


def forwarded(weir, head, pieces=None):
    with Client(weir.address) as client:
        data = head + compose("GET", "/x")
        if pieces:
            client.send_bytewise(data)
        else:
            client.send(data)
        return Echo(client.response()).fields.one("x-forwarded-for")


@pytest.mark.parametrize("pieces", [False, True])
def test_heads(weir, pieces):
    """Version 1 and 2, IPv4 and IPv6, with extensions, LOCAL; in any
    pieces."""
    assert forwarded(weir, V1, pieces) == "192.0.2.7"
    assert forwarded(weir, v2(), pieces) == "192.0.2.7"
    assert forwarded(weir, v2(extra=b"\1\0\2h2"), pieces) == "192.0.2.7"
    assert forwarded(weir, v6(), pieces) == "2001:db8::7"
    assert forwarded(weir, V2 + b"\x20\0\0\0", pieces) == "127.0.0.1"
    assert forwarded(weir, b"PROXY UNKNOWN\r\n", pieces) == "127.0.0.1"


@pytest.mark.parametrize("over", ["h1", "h2"])
def test_what_else_is_said(start, origin, over):
    """Server name, ALPN and id are variables, of each request."""
    from lib import h2wire as h2
    from lib.weir import run
    if over == "h2" and "no HTTP/2" in "".join(map(str, run("-V"))):
        pytest.skip("this weir has no HTTP/2")
    weir = start(conf.proxy(
        origin, {"headers": {"response": {"set": {
            "X-Said": "${proxy_protocol.authority} ${proxy_protocol.alpn} "
                      "${proxy_protocol.unique_id}."}}}},
        listen=[{"address": conf.address(), "proxy_protocol": True,
                 "h2c": over == "h2"}],
        trusted_proxies=["127.0.0.0/8"]))

    def tlv(kind, value):
        return struct.pack(">BH", kind, len(value)) + value
    for extra, want in (
            (tlv(2, b"a.example") + tlv(1, b"h2") + tlv(5, b"id-1"),
             "a.example h2 id-1."),
            (tlv(5, b"\0\xff") + tlv(0xee, b"x"), "  00ff."),
            (b"", "  .")):
        if over == "h1":
            with Client(weir.address) as client:
                client.send(v2(extra=extra))
                for _ in range(2):
                    said = client.get("/hello").fields.get("x-said")
                    assert said.strip() == want.strip()
            continue
        client = h2.Client(weir.address, preface=False)
        with client:
            client.send(v2(extra=extra) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                        + h2.settings())
            for _ in range(2):
                stream = client.wait(client.request("/hello"))
                assert stream.final["x-said"].strip() == want.strip()


def test_kept_alive(weir):
    """The head is said once; the address holds for all requests."""
    with Client(weir.address) as client:
        client.send(V1)
        for _ in range(3):
            answer = Echo(client.get("/x"))
            assert answer.fields.one("x-forwarded-for") == "192.0.2.7"


@pytest.mark.parametrize("head", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 a b 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\n", V2 + b"\x31\x11\0\0",
    V2 + b"\x21\x11\xff\xff", b"\r\n\r\n\1", b"PROXY " + b"a" * 200,
    v2(extra=b"\2\0\3a\nb"), v2(extra=b"\1\0\1a\1\0\1a"),
    v2(extra=b"\5\0\x81" + b"a" * 129)])
def test_malformed(weir, head):
    """Closed without a word, and counted."""
    def count():
        return weir.metrics().sum("weir_proxy_proxy_protocol_total",
                                  outcome="refused")
    before = count()
    with Client(weir.address) as client:
        client.send(head)
        assert client.closed()
    wait.until(lambda: count() >= before + 1)


def test_slow_head(weir):
    """It has client_header_timeout."""
    with Client(weir.address) as client:
        client.send(b"PROXY ")
        assert client.closed()


def test_untrusted_peers(start, origin):
    """Who is none of trusted_proxies may say nothing."""
    weir = start(conf.proxy(origin, listen=[
        {"address": conf.address(), "proxy_protocol": True}]))
    with Client(weir.address) as client:
        client.send(V1 + compose("GET", "/x"), may_fail=True)
        assert client.closed()


def test_out_after_a_reload(start, origin_factory):
    """What others parked before does not know of the client."""
    from lib.wire import Reader
    origin = origin_factory()
    seen = []

    def on_connect(conn):
        is_told = conn.sock.recv(6, socket.MSG_PEEK) == b"PROXY "
        while is_told and conn.sock.recv(1) != b"\n":
            pass
        conn.reader = Reader(conn.sock, 8)
        while not conn.reader.closed(60):
            head = conn.reader.request_head()
            seen.append((head.fields.get("Host"), is_told))
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    origin.on_connect = on_connect
    made = conf.proxy(origin, up={"pool_share_after": "0"},
                      top={"workers": 2})
    weir = start(made)
    for _ in range(4):
        assert weir.get("/").body == b"ok"
    made["upstreams"][0].update(proxy_protocol="v1", host="new")
    weir.write("weir.conf", conf.document(made).replace("@DIR@", weir.dir))
    weir.send_signal(signal.SIGHUP)
    wait.until(lambda: weir.get("/").body == b"ok" and seen[-1][0] == "new")
    weir.expect_new_children()
    assert all(is_told for host, is_told in seen if host == "new")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_out(start, origin_factory, version):
    """The backend is told of the client, on a connection for it alone."""
    from lib.wire import Reader
    origin = origin_factory()
    heads = []

    def on_connect(conn):
        if version == "v1":
            head = b""
            while not head.endswith(b"\r\n"):
                head += conn.sock.recv(1)
        else:
            head = b""
            while len(head) < 28:
                head += conn.sock.recv(28 - len(head))
        heads.append(head)
        conn.reader = Reader(conn.sock, 8)
        request = conn.reader.request_head()
        assert request.method == "GET"
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        conn.reader.closed(8)
    origin.on_connect = on_connect
    weir = start(conf.proxy(origin, up={"proxy_protocol": version}))
    with weir.client() as client:
        mine = client.name[1]
        for _ in range(2):
            assert client.get("/").body == b"ok"
    assert len(heads) == 2
    if version == "v1":
        words = heads[0].decode().split()
        assert words[:4] == ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"]
        assert words[5] == str(weir.address[1])
    else:
        assert heads[0][:16] == V2 + b"\x21\x11\0\x0c"
        assert heads[0][16:20] == socket.inet_aton("127.0.0.1")
        assert struct.unpack(">H", heads[0][26:28])[0] == weir.address[1]
        assert struct.unpack(">H", heads[0][24:26])[0] in (0, mine)


def v1_head(sock):
    head = b""
    while not head.endswith(b"\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    return head


def test_both_families(start, origin_factory):
    """A client of IPv6 that came over IPv4 is told of, not left out; what a
    dual socket calls ::ffff:192.0.2.7 is understood."""
    origin = origin_factory()
    heads = []

    def on_connect(conn):
        heads.append(v1_head(conn.sock))
    origin.on_connect = on_connect
    weir = start(conf.proxy(
        origin, up={"proxy_protocol": "v1"}, trusted_proxies=["127.0.0.1"],
        listen=[{"address": conf.address(), "proxy_protocol": True}]))
    server = "127.0.0.1"
    for said, want in (
            (v6(), "PROXY TCP6 2001:db8::7 ::ffff:%s 1 %d" % (
                server, weir.address[1])),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.8 9 80\r\n",
             "PROXY TCP4 192.0.2.7 %s 9 %d" % (server, weir.address[1])),
            (b"PROXY UNKNOWN\r\n", None)):
        with Client(weir.address) as client:
            client.send(said)
            client.get("/hello")
            want = want or "PROXY TCP4 127.0.0.1 127.0.0.1 %d %d" % (
                client.name[1], weir.address[1])
        assert heads[-1] == want.encode() + b"\r\n"


@pytest.mark.parametrize("version,want", [
    ("v1", b"PROXY UNKNOWN\r\n"), ("v2", V2 + b"\x20\0\0\0")])
def test_health_checks_say_that_nobody_is_there(start, version, want):
    """A backend that waits for the PROXY protocol is not called ill."""
    seen = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            data = b""
            while not data.endswith(b"\r\n\r\n") or len(data) < 20:
                piece = sock.recv(4096)
                if not piece:
                    break
                data += piece
            if b"GET /healthz" in data:
                seen.append(data[:data.index(b"GET ")])
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            sock.close()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        start(conf.proxy(
            "127.0.0.1:%d" % listener.getsockname()[1],
            up={"proxy_protocol": version,
                "health_check": {"path": "/healthz", "interval": "100ms"}}))
        wait.until(lambda: len(seen) >= 2)
        assert set(seen) == {want}


def test_before_tls(start, origin_factory):
    """On both sides the PROXY protocol comes before TLS, in one segment with
    it or not."""
    need("openssl")
    certs, heads = Certs(), []
    try:
        root = certs.ca("root")
        pair = certs.signed("a", root, "a.example")
        origin = origin_factory(pair, kind=TlsOrigin)
        serve = origin._serve

        def read_head_first(conn):
            heads.append(v1_head(conn.sock))
            serve(conn)
        origin._serve = read_head_first
        weir = start(conf.proxy(
            origin, up={"proxy_protocol": "v1", "tls": {
                "sni": "a.example", "ca_file": root[0]}},
            trusted_proxies=["127.0.0.1"],
            listen=[{"address": conf.address(), "proxy_protocol": True,
                     "tls": {"cert": pair[0], "key": pair[1]}}]))
        for said in (v2(extra=b"\5\0\1i"), V1):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context().wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            with Client(weir.address) as client:
                client.send(said + outgoing.read())
                while True:
                    incoming.write(client.sock.recv(65536)
                                   or pytest.fail("closed"))
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        pass
                tls.write(compose("GET", "/x"))
                client.send(outgoing.read())
                answer = b""
                while b"192.0.2.7" not in answer:
                    incoming.write(client.sock.recv(65536)
                                   or pytest.fail("closed"))
                    try:
                        answer += tls.read(65536)
                    except ssl.SSLWantReadError:
                        pass
                assert answer.startswith(b"HTTP/1.1 200 ")
        assert [h.split()[2] for h in heads] == [b"192.0.2.7"] * 2
    finally:
        certs.remove()
