# SPDX-License-Identifier: BSD-2-Clause
"""A client that sends exactly the bytes it is told and reads strictly."""
import socket
import struct
import time

from .wire import Cut, Reader

LINGER_RESET = struct.pack("ii", 1, 0)


class Client:
    """One connection: (host, port) or the path of a Unix socket."""

    def __init__(self, address, timeout=8.0, source=None, rcvbuf=None):
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind(source)
        self.sock.connect(address)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock, timeout)
        self.timeout = timeout

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    @property
    def name(self):
        return self.sock.getsockname()

    def window_scale(self):
        """What the size of the server's receive buffer made it offer."""
        return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO,
                                    8)[6] & 15

    def send(self, data, may_fail=False):
        """Send all; with may_fail a peer that closed early is no error."""
        try:
            self.sock.sendall(data)
        except OSError:
            if not may_fail:
                raise
            return False
        return True

    def send_bytewise(self, data, may_fail=True):
        """Send one byte per system call, without coalescing."""
        for i in range(len(data)):
            if not self.send(data[i:i + 1], may_fail):
                return False
        return True

    def send_pieces(self, pieces, pause=0.0):
        for piece in pieces:
            self.send(piece)
            if pause:
                time.sleep(pause)

    def response(self, method="GET", timeout=None, **kw):
        return self.reader.response(method, timeout, **kw)

    def request(self, method="GET", target="/", fields=(), body=None,
                version="1.1", host="test.example", timeout=None):
        """Send a well-formed request and read its response."""
        self.send(compose(method, target, fields, body, version, host))
        return self.response(method, timeout)

    def get(self, target="/", fields=(), **kw):
        return self.request("GET", target, fields, **kw)

    def closed(self, timeout=None):
        return self.reader.closed(timeout)

    def silent(self, seconds):
        return self.reader.silent(seconds)

    def finish(self):
        """Half-close: nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             LINGER_RESET)
        self.sock.close()

    def close(self):
        self.sock.close()


def compose(method="GET", target="/", fields=(), body=None, version="1.1",
            host="test.example"):
    """The bytes of a request; a body brings its Content-Length."""
    if isinstance(fields, dict):
        fields = fields.items()
    fields = list(fields)
    if isinstance(body, str):
        body = body.encode()
    lines = ["%s %s HTTP/%s" % (method, target, version)]
    names = [name.lower() for name, _ in fields]
    if host is not None and "host" not in names:
        lines.append("Host: %s" % host)
    lines += ["%s: %s" % field for field in fields]
    if (body is not None and "content-length" not in names
            and "transfer-encoding" not in names):
        lines.append("Content-Length: %d" % len(body))
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1") + (body or b"")


def chunked(*pieces, trailers=()):
    """The bytes of a chunked body."""
    out = b""
    for piece in pieces:
        if piece:
            out += b"%x\r\n%s\r\n" % (len(piece), piece)
    out += b"0\r\n"
    for name, value in trailers:
        out += ("%s: %s\r\n" % (name, value)).encode("latin-1")
    return out + b"\r\n"


def once(address, method="GET", target="/", fields=(), body=None, **kw):
    """One request on a connection of its own."""
    timeout = kw.pop("timeout", 8.0)
    with Client(address, timeout) as client:
        fields = list(fields.items() if isinstance(fields, dict) else fields)
        if "connection" not in [name.lower() for name, _ in fields]:
            fields.append(("Connection", "close"))
        return client.request(method, target, fields, body, **kw)


def outcome(client, method="GET", timeout=None):
    """How a response ended: ("complete" or "cut" or "none", message)."""
    try:
        return "complete", client.response(method, timeout)
    except Cut as cut:
        if cut.message is None:
            return "none", None
        return "cut", cut.message
