# SPDX-License-Identifier: BSD-2-Clause
"""The conversation of two masters in an upgrade, and the manifest in it.

Written down a second time, so that the program's own reading is not believed:
what comes from a weir can be looked at, and changed as another version of weir
would have said it.
"""
import array
import os
import select
import socket
import struct
import threading

from . import wait

HELLO, PIECE, END, READY, COMMIT, TAKEN, FAILED, SUCCESSOR, ENDED = range(1, 10)
(HEADER, LISTENER, ZONE, BACKENDS, LANES, LOG, RINGS, PID_FILE, ORPHANS,
 PROCESS, TICKET_KEYS, CONTROL, INIT, COUNTERS) = range(1, 15)

MAGIC = b"weir up\n"
HEAD = struct.Struct("<8sHHI")     # magic, protocol, type, bytes of the body
RECORD = struct.Struct("<HHII")    # type, version, bytes, descriptors
ZONE_VERSION_AT = 12               # behind magic, bytes of the head
FDS_MAX = 64
PIECE_MAX = 16384


def packet(kind, body=b"", protocol=1):
    return HEAD.pack(MAGIC, protocol, kind, len(body)) + body


def receive(sock):
    """(type, body, descriptors), or None at the end."""
    fds = array.array("i")
    try:
        data, extra, _, _ = sock.recvmsg(65536, FDS_MAX * 4 + 64)
    except ConnectionResetError:
        return None
    for level, kind, value in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(value[:len(value) - len(value) % 4])
    if not data:
        return None
    _, _, kind, length = HEAD.unpack_from(data)
    assert length == len(data) - HEAD.size, data[:64]
    return kind, data[HEAD.size:], list(fds)


def send(sock, data, fds=()):
    """False if the other side has gone."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
               array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([data], rights)
        return True
    except OSError:
        return False


class Record:
    def __init__(self, kind, version, body, fds=()):
        self.kind, self.version = kind, version
        self.body, self.fds = body, list(fds)

    def text(self):
        """The one that it begins with."""
        size, = struct.unpack_from("<I", self.body)
        return self.body[4:4 + size].decode()

    def zone(self):
        """Of a ZONE: its name, version of the layout, and bytes."""
        name = self.text()
        return (name,) + struct.unpack_from("<IQ", self.body, 4 + len(name))

    def set_layout(self, version):
        """Of a ZONE: in the record and in the memory itself, whose head only
        those read who come."""
        at = 4 + len(self.text())
        self.body = (self.body[:at] + struct.pack("<I", version) +
                     self.body[at + 4:])
        os.pwrite(self.fds[0], struct.pack("<I", version), ZONE_VERSION_AT)


def decode(data, fds):
    records, at, fds = [], 0, list(fds)
    while at < len(data):
        kind, version, size, count = RECORD.unpack_from(data, at)
        at += RECORD.size
        assert at + size <= len(data) and count <= len(fds)
        records.append(Record(kind, version, data[at:at + size], fds[:count]))
        at, fds = at + size, fds[count:]
    assert not fds
    return records


def encode(records):
    data, fds = b"", []
    for r in records:
        data += RECORD.pack(r.kind, r.version, len(r.body), len(r.fds))
        data += r.body
        fds += r.fds
    return data, fds


def send_manifest(sock, records):
    data, fds = encode(records)
    while data or fds:
        if not send(sock, packet(PIECE, data[:PIECE_MAX]), fds[:FDS_MAX]):
            return False
        data, fds = data[PIECE_MAX:], fds[FDS_MAX:]
    return send(sock, packet(END))


def close(records):
    for r in records:
        for fd in r.fds:
            os.close(fd)
        r.fds = []


def manifest_of(path, ask):
    """What a weir hands over at its upgrade_sock once ask() was called, to one
    who then withdraws: it serves on."""
    data, fds = b"", []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(path)
        os.chmod(path, 0o600)
        door.listen(1)
        door.settimeout(20)
        try:
            ask()
            sock, _ = door.accept()
        finally:
            os.unlink(path)
    with sock:
        sock.settimeout(20)
        send(sock, packet(HELLO, b"of a test"))
        while True:
            got = receive(sock)
            assert got, "it closed within its manifest"
            kind, body, more = got
            data, fds = data + body, fds + more
            if kind != PIECE:
                assert kind == END, got
                break
        records = decode(data, fds)
        send(sock, packet(FAILED, b"only a look"))
        return records


class Between:
    """At upgrade_sock, before the successor that waits there: the manifest
    goes over as change() makes it, messages as say() does.

    change(records) returns other records; say(type, body) returns the packets
    that go over in its place, None for what came.
    """

    def __init__(self, path, change=None, say=None):
        self.change = change or (lambda records: records)
        self.say = say or (lambda kind, body: None)
        self.seen = []
        self.error = None
        self.real = path + ".real"
        os.rename(path, self.real)
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind(path)
        self.door.listen(1)
        self.data, self.fds = b"", []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.door.close()

    def _run(self):
        old, _ = self.door.accept()
        new = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Its path is there a moment before it listens.
        wait.until(lambda: new.connect_ex(self.real) == 0)
        try:
            other = {old.fileno(): (old, new), new.fileno(): (new, old)}
            ready = select.poll()  # numbers may be high
            ready.register(old, select.POLLIN)
            ready.register(new, select.POLLIN)
            while all(self._pass(*other[fd]) for fd, _ in ready.poll()):
                pass
        except Exception as wrong:  # told by whoever asks
            self.error = wrong
        old.close()
        new.close()

    def _pass(self, source, target):
        got = receive(source)
        if not got:
            return False
        kind, body, fds = got
        self.seen.append(kind)
        if kind == PIECE:
            self.data, self.fds = self.data + body, self.fds + fds
            return True
        if kind == END:
            self._manifest(target)
            return True
        packets = self.say(kind, body)
        for data in packets if packets is not None else [packet(kind, body)]:
            send(target, data)
        return True

    def _manifest(self, target):
        records = decode(self.data, self.fds)
        changed = self.change(list(records))
        # It may have closed meanwhile, which is no fault of ours.
        send_manifest(target, changed)
        close(records)
        close(changed)
