# SPDX-License-Identifier: BSD-2-Clause
"""An origin that does what a test scripts, byte for byte.

Each connection has a thread that reads requests strictly and hands each to
a script.  A script is chosen by the request's path: origin.script(fn) gives
one a path of its own, so that left-over traffic of an earlier test cannot
be taken for this test's.  Paths that no script owns go to the app below, a
small HTTP/1 application.  All bytes and connections are recorded.
"""
import hashlib
import itertools
import json
import os
import re
import socket
import struct
import threading
import time

from . import wait
from .client import LINGER_RESET
from .wire import Cut, Fields, Malformed, Reader

SCRIPT = re.compile(r"/(s[0-9]+)(?=[/?]|\Z)")
numbers = itertools.count(1)
live = []


class Connection:
    """One accepted connection."""

    def __init__(self, origin, sock, peer):
        self.origin = origin
        self.sock = sock
        self.peer = peer
        self.reader = Reader(sock, origin.timeout)
        self.exchanges = []
        self.partial = b""
        self.ended = threading.Event()

    @property
    def received(self):
        return bytes(self.reader.received)

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 LINGER_RESET)
        except OSError:
            pass
        self.close()

    def finish(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def is_open(self):
        """True while weir has not closed this connection."""
        return not self.ended.is_set()


class Exchange:
    """One request as the origin sees it, and the means to answer it."""

    def __init__(self, conn, head):
        self.conn = conn
        self.head = head
        self.method, self.target = head.method, head.target
        self.fields = head.fields
        self.nth = len(conn.exchanges)
        self.done = threading.Event()
        self.failure = None
        self.body_read = head.framing == "none"

    def body(self, timeout=None):
        if not self.body_read:
            self.conn.reader.request_body(self.head, timeout)
            self.body_read = True
        return self.head.body

    def chunk(self, timeout=None):
        """The next chunk of a chunked request body; None after the last."""
        data = self.conn.reader.chunk(self.head, timeout)
        if data is None:
            self.body_read = True
        return data

    def send(self, data):
        self.conn.send(data)

    def reply(self, status=200, body=b"", fields=(), chunked=False,
              trailers=(), reason=None, version="1.1"):
        self.body()
        if isinstance(body, str):
            body = body.encode()
        lines = ["HTTP/%s %d %s" % (version, status,
                                    reason or "Reason")]
        lines += ["%s: %s" % field for field in fields]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif status not in (204, 304) and status >= 200:
            lines.append("Content-Length: %d" % len(body))
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if self.method != "HEAD":
            if chunked:
                if body:
                    data += b"%x\r\n%s\r\n" % (len(body), body)
                data += b"0\r\n" + b"".join(
                    ("%s: %s\r\n" % t).encode() for t in trailers) + b"\r\n"
            else:
                data += body
        self.send(data)

    def reset(self):
        self.conn.reset()

    def close(self):
        self.conn.close()

    def gone(self, timeout=8.0):
        """Wait until weir closes or resets the connection."""
        try:
            self.conn.reader.rest(timeout)
        except AssertionError:
            raise AssertionError("weir kept the connection") from None
        return True


class Script:
    """A handler with a path of its own, and what came for it."""

    def __init__(self, origin, fn):
        self.origin = origin
        self.fn = fn
        self.name = "s%d" % next(numbers)
        self.path = "/" + self.name
        self.exchanges = []

    def wait(self, count=1, timeout=8.0):
        """Wait until so many requests have come; return the last."""
        wait.until(lambda: len(self.exchanges) >= count, timeout,
                   what="%d requests at the origin" % count)
        return self.exchanges[count - 1]

    def wait_done(self, count=1, timeout=8.0):
        exchange = self.wait(count, timeout)
        assert exchange.done.wait(timeout), "the script did not end"
        return exchange

    @property
    def connections(self):
        found = []
        for exchange in self.exchanges:
            if exchange.conn not in found:
                found.append(exchange.conn)
        return found


class Origin:
    """A listener on 127.0.0.1 (or ::1, or a Unix socket)."""

    def __init__(self, unix=None, host="127.0.0.1", port=0, timeout=10.0,
                 backlog=512, rcvbuf=None):
        if unix:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind(unix)
            os.chmod(unix, 0o777)
            self.backend = "unix:" + unix
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_STREAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if rcvbuf:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                     rcvbuf)
            self.sock.bind((host, port))
            port = self.sock.getsockname()[1]
            self.backend = ("[%s]:%d" if ":" in host else "%s:%d") % (
                host, port)
        self.address = self.sock.getsockname()
        self.timeout = timeout
        self.scripts = {}
        self.connections = []
        self.exchanges = []
        self.errors = []
        self.default = app
        self.on_connect = None
        self.lock = threading.Lock()
        self.sock.listen(backlog)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        live.append(self)

    def script(self, fn):
        """Let fn(exchange) answer the requests for the script's path."""
        script = Script(self, fn)
        self.scripts[script.name] = script
        return script

    def raw(self, data, then="keep", read_body=True):
        """A script that answers exactly these bytes.

        then: keep (read on), close, reset, finish (half-close), gone (wait
        for weir to close).
        """
        def answer(exchange):
            if read_body:
                exchange.body()
            for piece in data if isinstance(data, (list, tuple)) else [data]:
                exchange.send(piece)
            if then == "gone":
                exchange.gone()
            elif then != "keep":
                getattr(exchange.conn if then == "finish" else exchange,
                        then)()
            return then == "keep"
        return self.script(answer)

    @property
    def bytes_received(self):
        return sum(len(c.reader.received) for c in self.connections)

    def drop_idle(self, hard=False):
        """Close the connections that no exchange uses, as servers do.

        Waits until weir has closed its side as well, unless hard.
        """
        idle = [c for c in list(self.connections) if c.is_open()
                and all(e.done.is_set() for e in c.exchanges)]
        for conn in idle:
            try:
                conn.sock.shutdown(socket.SHUT_RDWR if hard
                                   else socket.SHUT_WR)
            except OSError:
                pass
        wait.until(lambda: not any(c.is_open() for c in idle), 4,
                   what="weir closes what the backend closed")

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for conn in list(self.connections):
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self in live:
            live.remove(self)

    def _accept(self):
        while True:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                return
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self.timeout)
            conn = Connection(self, sock, peer)
            with self.lock:
                self.connections.append(conn)
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _serve(self, conn):
        try:
            if self.on_connect:
                self.on_connect(conn)
                return
            while self._one(conn):
                pass
        except (Cut, OSError):
            conn.partial = bytes(conn.reader.buf)
        except Malformed as wrong:
            self.errors.append("weir sent: %s" % wrong)
        except Exception as wrong:
            self.errors.append("%s: %s" % (type(wrong).__name__, wrong))
        finally:
            conn.ended.set()
            conn.sock.close()

    def _one(self, conn):
        reader = conn.reader
        if not reader.buf and reader.closed(timeout=600):
            return False
        head = reader.request_head()
        exchange = Exchange(conn, head)
        match = SCRIPT.search(head.target)
        script = self.scripts.get(match[1]) if match else None
        with self.lock:
            conn.exchanges.append(exchange)
            self.exchanges.append(exchange)
            if script:
                script.exchanges.append(exchange)
        try:
            keep = (script.fn if script else self.default)(exchange)
            if keep is False:
                return False
            exchange.body()
            return True
        except (Cut, OSError, ValueError) as wrong:
            exchange.failure = wrong
            raise OSError(str(wrong)) from None
        except BaseException as wrong:
            exchange.failure = wrong
            raise
        finally:
            exchange.done.set()


# -- a small application --------------------------------------------------

def pattern(size, seed=0):
    """size bytes that show any loss, repetition or exchange of order."""
    out = bytearray()
    block = 0
    while len(out) < size:
        out += hashlib.sha512(struct.pack(">QQ", seed, block)).digest()
        block += 1
    return bytes(out[:size])


def big(size):
    """Like pattern, but cheap for megabytes: a numbered line each 64."""
    count = size // 64 + 1
    return b"".join(b"%-63d\n" % i for i in range(count))[:size]


WORDS = ("echo", "bytes", "chunked", "close", "status", "sha", "hello")


def app(exchange):
    """/echo, /bytes/N, /chunked/N, /close/N, /status/N, /sha, /hello;
    segments before these words do not matter."""
    path = exchange.target.partition("?")[0]
    parts = path.strip("/").split("/")
    while parts[0] not in WORDS and len(parts) > 1:
        parts.pop(0)
    number = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
    if parts[0] == "bytes":
        exchange.reply(200, big(number))
    elif parts[0] == "chunked":
        exchange.reply(200, big(number), chunked=True)
    elif parts[0] == "close":
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
                      + big(number))
        return False
    elif parts[0] == "status":
        body = b"" if number in (204, 304) else b"status %d\n" % number
        exchange.reply(number, body)
    elif parts[0] == "sha":
        digest = hashlib.sha256(exchange.body()).hexdigest()
        exchange.reply(200, "%d %s" % (len(exchange.head.body), digest))
    elif parts[0] == "hello":
        exchange.reply(200, b"Hello World!\n",
                       [("Content-Type", "text/plain")])
    else:
        exchange.reply(200, describe(exchange),
                       [("Content-Type", "application/json")])
    return True


def describe(exchange):
    exchange.body()
    head = exchange.head
    return json.dumps({
        "method": head.method, "target": head.target,
        "version": head.version, "fields": list(head.fields),
        "framing": head.framing, "body": head.body.decode("latin-1"),
        "trailers": list(head.trailers),
        "connection": exchange.conn.origin.connections.index(exchange.conn),
        "nth": exchange.nth,
    })


class Echo:
    """What the app saw, read back from its answer."""

    def __init__(self, response):
        assert response.status == 200, (response, response.body[:300])
        seen = json.loads(response.body)
        self.method, self.target = seen["method"], seen["target"]
        self.version, self.framing = seen["version"], seen["framing"]
        self.fields = Fields(tuple(f) for f in seen["fields"])
        self.trailers = Fields(tuple(f) for f in seen["trailers"])
        self.body = seen["body"].encode("latin-1")
        self.connection, self.nth = seen["connection"], seen["nth"]


# -- backends that are not there ------------------------------------------

class Refused:
    """An address that refuses connections for as long as this lives."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.backend = "127.0.0.1:%d" % self.sock.getsockname()[1]

    def close(self):
        self.sock.close()


class Blackhole:
    """An address where a connect neither succeeds nor fails.

    The accept queue is full, so the kernel drops every further SYN.
    """

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(0)
        self.backend = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.held = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(self.sock.getsockname())
            self.held.append(sock)
        time.sleep(0.02)

    def close(self):
        for sock in self.held:
            sock.close()
        self.sock.close()
