# SPDX-License-Identifier: BSD-2-Clause
"""gRPC-Web of browsers, bridged to servers of gRPC."""
import base64
import re
import struct

import pytest

from lib import conf, wait
from lib import h2wire as h2
from lib.client import Client, chunked, compose
from lib.origin import big
from lib.weir import run

pytestmark = pytest.mark.short
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
OK = [(":status", "200"), ("content-type", "application/grpc+proto")]


@pytest.fixture(scope="module", autouse=True)
def built_with_it():
    status, out, err = run("-V")
    if "no HTTP/2" in out + err or "grpcweb" not in out + err:
        pytest.skip("this weir has no HTTP/2, or no module grpcweb")


def message(data, flags=0):
    return bytes([flags]) + struct.pack(">I", len(data)) + data


def untexted(data):
    """Encodings behind each other, each with its padding."""
    return b"".join(base64.b64decode(part, validate=True) for part in
                    re.findall(rb"[^=]+=*", data))


def frames(body):
    """[(flags, bytes)]; fails unless the last one is whole."""
    out = []
    while body:
        size = struct.unpack(">I", body[1:5])[0]
        assert len(body) >= 5 + size, body
        out.append((body[0], body[5:5 + size]))
        body = body[5 + size:]
    return out


def trailers(block):
    return dict(line.split(": ", 1)
                for line in block.decode().split("\r\n") if line)


class Backend:
    """A server of gRPC: /echo, /stream?n, /error, /trailersonly, /html."""

    def __init__(self):
        self.seen = []
        self.go = None

    def __call__(self, peer, stream, fields):
        self.seen.append(fields)
        path = fields[":path"]
        peer.until(lambda: peer.stream(stream).ended)
        body = bytes(peer.stream(stream).data)
        if path == "/silent":
            return
        if path == "/html":
            peer.head(stream, [(":status", "404"),
                               ("content-type", "text/html")])
            peer.data(stream, b"<p>none", True)
            return
        if path == "/trailersonly":
            peer.head(stream, OK + [("grpc-status", "5"),
                                    ("grpc-message", "none")], True)
            return
        peer.head(stream, OK)
        if path == "/echo":
            peer.data(stream, body)
        if path == "/stream":
            for i in range(3):
                if self.go:
                    self.go(i)
                peer.data(stream, message(b"part %d" % i))
        status = "3" if path == "/error" else "0"
        peer.head(stream, [("grpc-status", status), ("x-sum", "a: b"),
                           ("grpc-message", "")], True)


@pytest.fixture
def bridge(start, origin_factory):
    backend = Backend()
    server = origin_factory(backend, kind=h2.Server)
    weir = start(conf.proxy(
        server, up={"protocol": "h2"}, route={"grpcweb": {}},
        listen=[{"address": conf.address(), "h2c": True}]))
    weir.backend, weir.server = backend, server
    return weir


def call(weir, path, body, kind=BINARY, over="h1", **fields):
    """One call; (status, fields, body as bytes)."""
    fields = [("Content-Type", kind), ("X-Grpc-Web", "1")] + [
        (k.replace("_", "-"), v) for k, v in fields.items()]
    if over == "h1":
        response = weir.request("POST", path, fields, body)
        assert not response.trailers
        kept = {f.lower(): response.fields.get(f) for f in (
            "Content-Type", "Trailer", "grpc-status", "grpc-message")}
        return response.status, kept, response.body
    with h2.Client(weir.address) as client:
        stream = client.wait(client.request(
            path, "POST", [(n.lower(), v) for n, v in fields], body))
        assert not stream.trailers
        return stream.status, stream.final, bytes(stream.data)


@pytest.mark.parametrize("over", ["h1", "h2"])
@pytest.mark.parametrize("kind", [BINARY, TEXT])
def test_unary(bridge, kind, over):
    """The backend sees gRPC; the client gets the trailers as a frame."""
    is_text = kind == TEXT
    for size in (0, 1, 2, 3, 5000):
        sent = message(big(size))
        body = base64.b64encode(sent) if is_text else sent
        status, fields, data = call(bridge, "/echo", body, kind, over)
        assert status == 200
        assert fields["content-type"] == (
            "application/grpc-web-text+proto" if is_text else BINARY)
        first, last = frames(untexted(data) if is_text else data)
        assert first == (0, big(size)) and last[0] == 0x80
        assert trailers(last[1]) == {"grpc-status": "0", "x-sum": "a: b",
                                     "grpc-message": ""}
        seen = bridge.backend.seen[-1]
        assert seen["content-type"] == ("application/grpc" if is_text
                                        else "application/grpc+proto")
        assert seen["te"] == "trailers"
    form = "text" if is_text else "binary"
    assert bridge.metrics().sum("weir_grpcweb_calls_total", form=form) == 5


@pytest.mark.parametrize("kind", [BINARY, TEXT])
def test_streaming(bridge, kind):
    """Each message of a stream reaches the client before the next is made."""
    with h2.Client(bridge.address) as client:
        def go(i):
            def arrived():
                data = bytes(client.stream(1).data)
                return i == len(frames(untexted(data) if kind == TEXT
                                       else data))
            wait.until(arrived, what="message %d arrives" % i)
        bridge.backend.go = go
        body = message(b"")
        number = client.request(
            "/stream", "POST", [("content-type", kind)],
            base64.b64encode(body) if kind == TEXT else body)
        stream = client.wait(number, 30)
        data = bytes(stream.data)
    got = frames(untexted(data) if kind == TEXT else data)
    assert [f for f in got[:3]] == [(0, b"part %d" % i) for i in range(3)]
    assert got[3][0] == 0x80 and len(got) == 4


def test_text_in_pieces(bridge):
    """Base64 that comes byte by byte, with padding inside."""
    body = b"".join(base64.b64encode(message(b"x" * n)) for n in range(4))
    with Client(bridge.address) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: " +
                    TEXT.encode() + b"\r\nContent-Length: %d\r\n\r\n"
                    % len(body))
        for byte in body:
            client.send(bytes([byte]))
        got = frames(untexted(client.response().body))
    assert [f[1] for f in got[:-1]] == [b"x" * n for n in range(4)]


@pytest.mark.parametrize("body", [b"AAAA!", b"AAA", b"A", b"AA=A", b"AAAA\n"])
def test_no_base64(bridge, body):
    """Refused in the call's own words, and counted."""
    status, fields, data = call(bridge, "/echo", body, TEXT)
    assert status == 200 and fields["grpc-status"] == "13"
    assert fields["content-type"] == "application/grpc-web-text"
    assert data == b""
    assert bridge.metrics().sum("weir_grpcweb_broken_total") == 1


def test_errors(bridge):
    """Of the backend, as trailers or in the head, and weir's own."""
    status, fields, data = call(bridge, "/error", message(b""))
    assert [f[0] for f in frames(data)] == [0x80]
    assert trailers(frames(data)[0][1])["grpc-status"] == "3"
    status, fields, data = call(bridge, "/trailersonly", message(b""))
    assert status == 200 and data == b""
    assert fields["grpc-status"] == "5" and fields["content-type"] == BINARY
    status, fields, data = call(bridge, "/html", message(b""))
    assert status == 404 and data == b"<p>none"
    assert fields["content-type"] == "text/html"
    status, fields, data = call(bridge, "/silent", message(b""),
                                grpc_timeout="50m")
    assert fields["grpc-status"] == "4" and data == b""
    bridge.server.close()
    for peer in bridge.server.peers:
        peer.close()
    status, fields, data = call(bridge, "/echo", message(b""))
    assert status == 200 and data == b""
    assert fields["grpc-status"] == "14" and fields["content-type"] == BINARY


def test_other_requests(bridge):
    """What is no call of gRPC-Web goes as it came."""
    with h2.Client(bridge.address) as client:
        stream = client.wait(client.request(
            "/echo", "POST", [("content-type", "application/grpc"),
                              ("te", "trailers")], message(b"a")))
        assert dict(stream.trailers)["grpc-status"] == "0"
        assert bytes(stream.data) == message(b"a")
    for kind in ("application/grpc-websocket", "text/plain"):
        bridge.request("POST", "/echo", [("Content-Type", kind)], b"A")
        assert bridge.backend.seen[-1]["content-type"] == kind
    response = bridge.request("GET", "/echo", [("Content-Type", TEXT)])
    assert response.fields.get("content-type") == "application/grpc+proto"


def test_switched_off(start, origin_factory):
    """An inner level says no; and no coding is laid over a call."""
    backend = Backend()
    server = origin_factory(backend, kind=h2.Server)
    weir = start(conf.config(
        conf.service({"path": "/off", "upstream": "up",
                      "grpcweb": {"enabled": False}},
                     {"path": "/", "upstream": "up",
                      "compress": {"codings": ["gzip"], "length_min": 0,
                                   "types": ["application/*"]}},
                     grpcweb={}),
        [conf.upstream("up", server, protocol="h2")]))
    weir.request("POST", "/off", [("Content-Type", TEXT)], b"AAAA")
    assert backend.seen[-1]["content-type"] == TEXT
    response = weir.request("POST", "/echo", [
        ("Content-Type", BINARY), ("Accept-Encoding", "gzip")],
        message(b"a" * 1000))
    assert response.fields.get("content-encoding") is None
    assert frames(response.body)[0] == (0, b"a" * 1000)


@pytest.mark.parametrize("size", [8190, 8191, 8192, 8193])
def test_collected_up_to_the_limit(start, origin_factory, size):
    """Decoding stops at the limit, wherever a piece of it ends."""
    server = origin_factory(Backend(), kind=h2.Server)
    weir = start(conf.proxy(
        server, up={"protocol": "h2"}, buffer_request=True,
        route={"grpcweb": {}, "buffer_request_max": size}))
    with Client(weir.address) as client:
        client.send(compose("POST", "/echo", [
            ("Content-Type", TEXT), ("Transfer-Encoding", "chunked")])
            + chunked(base64.b64encode(bytes(11000))))
        # The status of gRPC is in front: there is no answer to follow it.
        assert client.response().fields.get("grpc-status") == "8"
    assert not server.peers
