# SPDX-License-Identifier: BSD-2-Clause
"""The little of RFC 6455 that the scenarios need, for both ends."""
import base64
import hashlib
import os
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept_key(key):
    digest = hashlib.sha1(key.encode() + GUID).digest()
    return base64.b64encode(digest).decode()


def handshake_fields(key="dGhlIHNhbXBsZSBub25jZQ=="):
    return [("Upgrade", "websocket"), ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key)]


def switching(exchange):
    """The backend's 101 to a handshake."""
    key = exchange.fields.one("sec-websocket-key")
    return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
            % accept_key(key)).encode()


def frame(opcode, payload=b"", mask=False):
    head = bytes([0x80 | opcode])
    flag = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 65536:
        head += bytes([flag | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", len(payload))
    if mask:
        key = os.urandom(4)
        return head + key + bytes(b ^ key[i % 4]
                                  for i, b in enumerate(payload))
    return head + payload


def read_frame(reader):
    first, second = reader.exactly(2)
    size = second & 0x7f
    if size == 126:
        size, = struct.unpack(">H", reader.exactly(2))
    elif size == 127:
        size, = struct.unpack(">Q", reader.exactly(8))
    key = reader.exactly(4) if second & 0x80 else None
    payload = reader.exactly(size)
    if key:
        payload = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
    return first & 0x0f, payload


def serve_echo(exchange):
    """An origin's script: echo frames until a Close, then echo that."""
    exchange.send(switching(exchange))
    while True:
        opcode, payload = read_frame(exchange.conn.reader)
        exchange.send(frame(opcode, payload))
        if opcode == CLOSE:
            return False
