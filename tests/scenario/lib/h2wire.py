# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/2 frame by frame: a peer that sends what it is told, right or wrong."""
import socket
import struct
import threading
import time

import pytest

from .tls import TlsSocket

hpack = pytest.importorskip("hpack", reason="python3-hpack is not installed")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, \
    WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR = 0, 1, 2
REFUSED_STREAM, CANCEL, CALM, H1_REQUIRED = 7, 8, 11, 13


def frame(kind, flags=0, stream=0, payload=b""):
    return (struct.pack(">I", len(payload))[1:]
            + struct.pack(">BBI", kind, flags, stream) + payload)


def settings(**values):
    numbers = {"push": 2, "streams": 3, "window": 4, "frame": 5,
               "list": 6, "connect": 8}
    return frame(SETTINGS, payload=b"".join(
        struct.pack(">HI", numbers[k], v) for k, v in values.items()))


class Stream:
    """What the peer sent on one stream."""

    def __init__(self):
        self.heads = []      # lists of (name, value), in order
        self.data = b""
        self.ended = False
        self.reset = None

    @property
    def done(self):
        return self.ended or self.reset is not None

    @property
    def final(self):
        """The first head that is not interim, as a dict."""
        for head in self.heads:
            fields = dict(head)
            if not fields.get(":status", "200").startswith("1"):
                return fields
        return None

    @property
    def status(self):
        return int(self.final[":status"]) if self.final else None

    @property
    def trailers(self):
        at = [i for i, h in enumerate(self.heads)
              if dict(h).get(":status", "1")[0] != "1"
              or ":method" in dict(h)]
        return self.heads[at[0] + 1] if at and len(
            self.heads) > at[0] + 1 else None


class Peer:
    """One end of a connection; reads in a thread of its own."""

    def __init__(self, sock, window=True):
        self.sock = sock
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.streams = {}
        self.frames = []
        self.goaway = None
        self.settings = {}
        self.settings_acked = 0
        self.closed = False
        self.give_window = window
        self.auto_ack = True
        self.changed = threading.Condition()
        self.sending = threading.Lock()
        self.on_head = None
        self.block = None

    def begin(self):
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    # -- sending -----------------------------------------------------------

    def send(self, data):
        try:
            with self.sending:
                self.sock.sendall(data)
        except OSError:
            return False
        return True

    def head(self, stream, fields, end=False, flags=END_HEADERS):
        block = self.encoder.encode(fields)
        more = len(block) > 16384
        data = frame(HEADERS, (flags & ~END_HEADERS if more else flags)
                     | (END_STREAM if end else 0), stream, block[:16384])
        for at in range(16384, len(block), 16384):
            data += frame(CONTINUATION, flags if at + 16384 >= len(block)
                          else 0, stream, block[at:at + 16384])
        return self.send(data)

    def data(self, stream, data=b"", end=False):
        return self.send(frame(DATA, END_STREAM if end else 0, stream, data))

    def rst(self, stream, code=CANCEL):
        return self.send(frame(RST_STREAM, 0, stream,
                               struct.pack(">I", code)))

    def window(self, stream, n):
        return self.send(frame(WINDOW_UPDATE, 0, stream,
                               struct.pack(">I", n)))

    def say_goaway(self, last, code=NO_ERROR):
        return self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, code)))

    # -- receiving ---------------------------------------------------------

    def stream(self, number):
        return self.streams.setdefault(number, Stream())

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                raise OSError("closed")
            data += piece
        return data

    def _read(self):
        try:
            while True:
                head = self._exactly(9)
                size = struct.unpack(">I", b"\0" + head[:3])[0]
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                payload = self._exactly(size)
                with self.changed:
                    self.frames.append((kind, flags, stream, payload))
                    self._take(kind, flags, stream, payload)
                    self.changed.notify_all()
        except OSError:
            pass
        finally:
            with self.changed:
                self.closed = True
                self.changed.notify_all()

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and flags & ACK:
            self.settings_acked += 1
        elif kind == SETTINGS:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[at:at + 6])
                self.settings[key] = value
            if self.auto_ack:
                self.send(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK and self.auto_ack:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload[:8])
        elif kind == RST_STREAM:
            self.stream(stream).reset = struct.unpack(">I", payload)[0]
        elif kind in (HEADERS, CONTINUATION):
            self._head(kind, flags, stream, payload)
        elif kind == DATA:
            self.stream(stream).data += payload
            if self.give_window and payload:
                self.window(0, len(payload))
                if not flags & END_STREAM:
                    self.window(stream, len(payload))
            if flags & END_STREAM:
                self.stream(stream).ended = True

    def _head(self, kind, flags, stream, payload):
        if kind == HEADERS:
            self.block = (payload, flags)
        else:
            self.block = (self.block[0] + payload, self.block[1])
        if not flags & END_HEADERS:
            return
        fields = self.decoder.decode(self.block[0])
        one = self.stream(stream)
        one.heads.append(fields)
        if self.block[1] & END_STREAM:
            one.ended = True
        if self.on_head:
            self.on_head(stream, dict(fields))

    def until(self, condition, timeout=10.0, what=None):
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0 and (not self.closed or condition()), (
                    "did not happen: %s (closed %s, goaway %s, streams %s)"
                    % (what or condition, self.closed, self.goaway,
                       {n: (s.heads, len(s.data), s.ended, s.reset)
                        for n, s in self.streams.items()}))
                self.changed.wait(min(left, 0.5))
        return True

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class Client(Peer):
    """A client of weir: with prior knowledge, or over TLS."""

    def __init__(self, address, preface=True, rcvbuf=None, **values):
        window = values.pop("give_window", True)
        context, name = values.pop("tls", None), values.pop("name", None)
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            sock = TlsSocket(sock, context, name=name)
        super().__init__(sock, window)
        self.next = 1
        if preface:  # before anything is acknowledged
            self.send(PREFACE + settings(**values))
        self.begin()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def request(self, target="/", method="GET", fields=(), body=None,
                end=None, trailers=None, authority="test.example"):
        """Send one; its stream's number."""
        number = self.next
        self.next += 2
        head = [(":method", method), (":scheme", "http"),
                (":path", target), (":authority", authority)]
        head += [(n.lower(), v) for n, v in fields]
        if end is None:
            end = body is None and trailers is None
        self.head(number, head, end)
        if body is not None:
            for at in range(0, max(len(body), 1), 16384):
                piece = body[at:at + 16384]
                self.data(number, piece, trailers is None
                          and at + 16384 >= len(body))
        if trailers is not None:
            self.head(number, trailers, True)
        return number

    def wait(self, number, timeout=10.0):
        """The stream, once it has ended."""
        self.until(lambda: self.stream(number).done, timeout,
                   "stream %d ends" % number)
        return self.stream(number)

    def get(self, target="/", **kw):
        return self.wait(self.request(target, **kw))

    def wait_goaway(self, code=None, timeout=10.0):
        self.until(lambda: self.goaway is not None
                   and (code is None or self.goaway[1] == code), timeout,
                   "GOAWAY %s" % code)
        return self.goaway


class Server:
    """An HTTP/2 backend: handler(peer, stream, fields) for each head.

    tls: a context of ssl.
    """

    def __init__(self, handler, host="127.0.0.1", port=0, tls=None,
                 **values):
        self.handler = handler
        self.tls = tls
        self.values = values
        self.peers = []
        self.accepting = True
        self.sock = socket.socket()
        self.sock.bind((host, port))
        self.sock.listen(64)
        self.backend = "%s:%d" % self.sock.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(sock)
            peer.on_head = (lambda stream, fields, peer=peer:
                            self._on_head(peer, stream, fields))
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,),
                             daemon=True).start()

    def _serve(self, peer):
        try:
            if self.tls:
                peer.sock = TlsSocket(peer.sock, self.tls, True)
            if peer._exactly(24) != PREFACE:
                peer.close()
                return
        except OSError:
            peer.closed = True
            return
        peer.send(settings(**self.values))
        peer.begin()

    def _on_head(self, peer, stream, fields):
        if ":method" in fields:
            threading.Thread(target=self.handler,
                             args=(peer, stream, fields),
                             daemon=True).start()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for peer in self.peers:
            peer.close()
