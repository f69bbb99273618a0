# SPDX-License-Identifier: BSD-2-Clause
"""Read HTTP/1 messages from a socket as strictly as the RFCs word them.

Both sides of every scenario use it, so that nothing weir emits passes
unless each byte of it is right.  What is wrong raises Malformed; a message
that ends too early raises Cut and keeps what had come.
"""
import re
import select
import time

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
REQUEST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) "
    rb"HTTP/(1\.[01])\Z")
STATUS_LINE = re.compile(
    rb"HTTP/(1\.[01]) ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;.*)?)\Z")


class Malformed(AssertionError):
    """The peer sent what no message may contain."""


class Cut(Exception):
    """The peer ended the connection inside a message."""

    def __init__(self, what, message=None):
        super().__init__(what)
        self.message = message


class Timeout(AssertionError):
    """The peer sent nothing for longer than a test waits."""


class Fields(list):
    """Field lines in order: (name, value) as text, names as received."""

    def all(self, name):
        return [v for n, v in self if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def one(self, name):
        values = self.all(name)
        assert len(values) == 1, (name, values)
        return values[0]

    def tokens(self, name):
        value = self.get(name, "")
        return [t.strip().lower() for t in value.split(",") if t.strip()]

    def __contains__(self, name):
        return bool(self.all(name))


class Message:
    """A head, and after its body was read also body, framing, trailers."""

    def __init__(self):
        self.raw = b""
        self.version = ""
        self.fields = Fields()
        self.body = b""
        self.framing = "none"
        self.trailers = Fields()
        self.chunks = []
        self.complete = False
        self.method = self.target = None
        self.status = self.reason = None
        self.interims = []

    @property
    def text(self):
        return self.body.decode("utf-8", "surrogateescape")

    def __repr__(self):
        first = self.raw.split(b"\r\n", 1)[0].decode("latin-1")
        return "<%s | %s %d bytes%s>" % (
            first, self.framing, len(self.body),
            "" if self.complete else ", incomplete")


class Reader:
    """A buffer over a socket with deadlines, and the strict parser."""

    def __init__(self, sock, timeout=8.0):
        self.sock = sock
        self.timeout = timeout
        self.buf = bytearray()
        self.eof = False
        self.reset = False
        self.received = bytearray()
        self.keep = True

    def _fill(self, deadline, size=65536):
        if self.eof:
            return False
        left = deadline - time.monotonic()
        left = max(left, 0)
        # Not with settimeout(): another thread may be sending.
        poll = select.poll()
        if self.sock.fileno() < 0:
            self.eof = True
            return False
        poll.register(self.sock, select.POLLIN)
        if not poll.poll(left * 1000):
            raise Timeout("nothing came; so far: %r" % bytes(self.buf[:400]))
        try:
            data = self.sock.recv(size)
        except (ConnectionResetError, BrokenPipeError):
            self.reset = self.eof = True
            return False
        except OSError:
            self.eof = True
            return False
        if not data:
            self.eof = True
            return False
        self.buf += data
        if self.keep:
            self.received += data
        return True

    def deadline(self, timeout=None):
        return time.monotonic() + (self.timeout if timeout is None
                                   else timeout)

    def until(self, mark, timeout=None, limit=1 << 22):
        """Take the bytes up to and including mark."""
        deadline = self.deadline(timeout)
        start = 0
        while True:
            at = self.buf.find(mark, start)
            if at >= 0:
                return self._take(at + len(mark))
            if len(self.buf) > limit:
                raise Malformed("no end of line or head")
            start = max(0, len(self.buf) - len(mark) + 1)
            if not self._fill(deadline):
                raise Cut("ended before %r: %r"
                          % (mark, bytes(self.buf[:400])))

    def _take(self, n):
        data = bytes(self.buf[:n])
        del self.buf[:n]
        return data

    def exactly(self, n, timeout=None):
        deadline = self.deadline(timeout)
        while len(self.buf) < n:
            if not self._fill(deadline, max(65536, n - len(self.buf))):
                raise Cut("ended after %d of %d bytes" % (len(self.buf), n))
        return self._take(n)

    def some(self, timeout=None):
        """Whatever comes next; b"" at the end of the stream."""
        if not self.buf:
            self._fill(self.deadline(timeout))
        return self._take(len(self.buf))

    def rest(self, timeout=None, limit=None):
        """Everything up to the end of the stream."""
        deadline = self.deadline(timeout)
        while self._fill(deadline):
            if limit is not None and len(self.buf) > limit:
                break
        return self._take(len(self.buf))

    def silent(self, seconds):
        """True if the peer sends nothing and stays for so long."""
        if self.buf:
            return False
        try:
            self._fill(self.deadline(seconds))
        except Timeout:
            return True
        return False

    def closed(self, timeout=None):
        """Wait for the end of the stream; False if bytes come instead."""
        if self.buf:
            return False
        return not self._fill(self.deadline(timeout))

    # -- messages ---------------------------------------------------------

    def _head(self, timeout):
        raw = self.until(b"\r\n\r\n", timeout)
        message = Message()
        message.raw = raw
        lines = raw[:-4].split(b"\r\n")
        return message, lines

    def request_head(self, timeout=None):
        message, lines = self._head(timeout)
        match = REQUEST_LINE.match(lines[0])
        if not match:
            raise Malformed("request line %r" % lines[0])
        message.method = match[1].decode()
        message.target = match[2].decode("latin-1")
        message.version = match[3].decode()
        message.fields = parse_fields(lines[1:])
        message.framing, message.length = request_framing(message)
        return message

    def request_body(self, message, timeout=None):
        self._body(message, timeout)
        return message

    def response_head(self, timeout=None):
        message, lines = self._head(timeout)
        match = STATUS_LINE.match(lines[0])
        if not match:
            raise Malformed("status line %r" % lines[0])
        message.version = match[1].decode()
        message.status = int(match[2])
        message.reason = match[3].decode("latin-1")
        message.fields = parse_fields(lines[1:])
        return message

    def response(self, method="GET", timeout=None, interims=True,
                 upgrade=False):
        """One final response with its body; interim ones are collected."""
        seen = []
        while True:
            head = self.response_head(timeout)
            if head.status >= 200 or (head.status == 101 and upgrade):
                break
            if head.status == 101:
                raise Malformed("101 that nobody asked for")
            for name in ("content-length", "transfer-encoding"):
                if name in head.fields:
                    raise Malformed("%s in a %d" % (name, head.status))
            head.complete = True
            if not interims:
                return head
            seen.append(head)
        head.interims = seen
        head.framing, head.length = response_framing(head, method)
        self._body(head, timeout)
        return head

    def _body(self, message, timeout):
        try:
            if message.framing == "length":
                if len(self.buf) + 1024 < message.length > 1 << 20:
                    message.body = self._long(message, timeout)
                else:
                    message.body = self.exactly(message.length, timeout)
            elif message.framing == "chunked":
                self._chunked(message, timeout)
            elif message.framing == "close":
                message.body = self.rest(timeout)
                if self.reset:
                    raise Cut("reset inside a body that ends by closing")
        except Cut as cut:
            if message.framing == "length":
                message.body = self._take(len(self.buf))
            raise Cut("%s: %s" % (message, cut), message) from None
        message.complete = True

    def _long(self, message, timeout):
        body = bytearray()
        while len(body) < message.length:
            data = self.some(timeout)
            if not data:
                message.body = bytes(body)
                raise Cut("ended after %d of %d bytes"
                          % (len(body), message.length))
            body += data
        if len(body) > message.length:
            self.buf[:0] = body[message.length:]
            del body[message.length:]
        return bytes(body)

    def chunk(self, message, timeout=None):
        """One chunk of a chunked body; None after the last."""
        line = self.until(b"\r\n", timeout)[:-2]
        match = CHUNK_LINE.match(line)
        if not match:
            raise Malformed("chunk size %r" % line)
        size = int(match[1], 16)
        if size:
            data = self.exactly(size, timeout)
            if self.exactly(2, timeout) != b"\r\n":
                raise Malformed("no CRLF after a chunk")
            message.chunks.append(data)
            return data
        lines = []
        while True:
            line = self.until(b"\r\n", timeout)[:-2]
            if not line:
                break
            lines.append(line)
        message.trailers = parse_fields(lines)
        for name in ("content-length", "transfer-encoding", "host"):
            if name in message.trailers:
                raise Malformed("%s in trailers" % name)
        return None

    def _chunked(self, message, timeout):
        try:
            while self.chunk(message, timeout) is not None:
                pass
        finally:
            message.body = b"".join(message.chunks)


def parse_fields(lines):
    fields = Fields()
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed("field %r" % line)
        value = value.strip(b" \t")
        if not VALUE.match(value):
            raise Malformed("field value %r" % line)
        fields.append((name.decode(), value.decode("latin-1")))
    return fields


def framing_fields(message):
    """The declared framing; a pair of declarations is malformed."""
    te = message.fields.all("transfer-encoding")
    cl = message.fields.all("content-length")
    if te and cl:
        raise Malformed("both framings in %r" % message.raw)
    if te:
        if [t.lower() for t in te] != ["chunked"]:
            raise Malformed("Transfer-Encoding %r" % te)
        if message.version == "1.0":
            raise Malformed("Transfer-Encoding in HTTP/1.0")
        return "chunked", 0
    if cl:
        if len(cl) != 1 or not re.fullmatch(r"[0-9]{1,19}", cl[0]):
            raise Malformed("Content-Length %r" % cl)
        return "length", int(cl[0])
    return None, 0


def request_framing(message):
    framing, length = framing_fields(message)
    hosts = message.fields.all("host")
    if len(hosts) > 1 or (message.version == "1.1" and not hosts):
        raise Malformed("Host fields: %r" % hosts)
    return framing or "none", length


def response_framing(message, method):
    framing, length = framing_fields(message)
    if message.status == 204 and framing:
        raise Malformed("%s framing in a 204" % framing)
    if method == "HEAD" or message.status in (204, 304):
        return "none", 0
    if message.status < 200:
        return "none", 0
    return framing or "close", length
