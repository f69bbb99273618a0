"""An upgrade begins with the backend's 101, and not a byte before it."""
# SPDX-License-Identifier: BSD-2-Clause
import threading

import pytest

from lib import conf, wait, ws
from lib.client import Client, chunked, compose, outcome
from lib.origin import Echo, big

pytestmark = [pytest.mark.short, pytest.mark.forwarding]

UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade")]


@pytest.fixture(scope="module")
def weirs(start_shared, origin):
    weir = start_shared(conf.config(
        [conf.service({"path": "/", "upstream": "up"}, name="web"),
         conf.service({"path": "/", "upstream": "up"}, name="off",
                      websocket=False),
         conf.service({"path": "/", "upstream": "up"}, name="brief",
                      tunnel_idle_timeout="300ms"),
         conf.service({"path": "/own", "respond": {"body": "own"}},
                      name="own")],
        [conf.upstream("up", origin,
                       timeouts={"between_bytes": "500ms",
                                 "first_byte": "5s"})]))
    return dict(zip(("web", "off", "brief", "own"), weir.addresses))


@pytest.fixture
def connect(weirs):
    made = []

    def go(name="web"):
        client = Client(weirs[name])
        made.append(client)
        return client
    yield go
    for client in made:
        client.close()


def switched(client, script, fields=None, method="GET", body=None):
    client.send(compose(method, script.path,
                        fields or ws.handshake_fields(), body))
    head = client.response(upgrade=True)
    assert head.status == 101
    return head


# -- a tunnel --------------------------------------------------------------

def test_echo_and_the_servers_close(connect, origin):
    """pingora 73: frames both ways, the server's Close, then the end."""
    def serve(exchange):
        exchange.send(ws.switching(exchange))
        for _ in range(3):
            opcode, payload = ws.read_frame(exchange.conn.reader)
            exchange.send(ws.frame(opcode, payload))
        exchange.send(ws.frame(ws.CLOSE, b"\x03\xe8"))
        return False
    script = origin.script(serve)
    client = connect()
    head = switched(client, script)
    assert head.fields.one("upgrade").lower() == "websocket"
    assert head.fields.tokens("connection") == ["upgrade"]
    assert head.fields.one("sec-websocket-accept") == ws.accept_key(
        "dGhlIHNhbXBsZSBub25jZQ==")
    for size in (1, 200, 100000):
        client.send(ws.frame(ws.BINARY, big(size), mask=True))
        assert ws.read_frame(client.reader) == (ws.BINARY, big(size))
    assert ws.read_frame(client.reader) == (ws.CLOSE, b"\x03\xe8")
    assert client.closed()
    seen = script.exchanges[0].fields
    assert seen.one("upgrade").lower() == "websocket"
    assert seen.tokens("connection") == ["upgrade"]
    assert seen.one("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ=="


def test_server_aborts(connect, origin):
    """pingora 74: the client sees the end, and soon."""
    def serve(exchange):
        exchange.send(ws.switching(exchange))
        exchange.conn.reader.exactly(1)
        exchange.reset()
        return False
    script = origin.script(serve)
    client = connect()
    switched(client, script)
    client.send(b"x")
    client.reader.rest(3)
    assert client.reader.eof


def test_client_closes(connect, origin):
    """pingora 75: its Close is echoed, then the end."""
    script = origin.script(ws.serve_echo)
    client = connect()
    switched(client, script)
    client.send(ws.frame(ws.TEXT, b"hi", mask=True))
    assert ws.read_frame(client.reader) == (ws.TEXT, b"hi")
    client.send(ws.frame(ws.CLOSE, b"\x03\xe8", mask=True))
    assert ws.read_frame(client.reader) == (ws.CLOSE, b"\x03\xe8")
    assert client.closed()


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_aborts(connect, origin, how):
    def serve(exchange):
        exchange.send(ws.switching(exchange))
        exchange.gone()
        return False
    script = origin.script(serve)
    client = connect()
    switched(client, script)
    getattr(client, how)()
    assert script.wait_done().failure is None


def test_bytes_before_the_clients_end(connect, origin):
    """What the client sent before it closed arrives, then the end."""
    def serve(exchange):
        exchange.send(ws.switching(exchange))
        exchange.conn.data = exchange.conn.reader.rest()
        return False
    script = origin.script(serve)
    client = connect()
    switched(client, script)
    client.send(b"x" * 300000)
    client.finish()
    assert script.wait_done().conn.data == b"x" * 300000


def test_bytes_with_the_101(connect, origin):
    """pingora 76, 178: a payload in the packet of the 101."""
    script = origin.raw(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: upgrade\r\n\r\nhello\n", then="close")
    client = connect()
    head = switched(client, script, UPGRADE)
    assert head.fields.one("upgrade").lower() == "websocket"
    assert "upgrade" in head.fields.tokens("connection")
    assert client.reader.rest() == b"hello\n"


def test_101_in_single_bytes(connect, origin):
    raw = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
           b"Connection: upgrade\r\n\r\nhello\n")
    script = origin.raw([raw[i:i + 1] for i in range(len(raw))],
                        then="close")
    client = connect()
    switched(client, script, UPGRADE)
    assert client.reader.rest() == b"hello\n"


def test_interim_before_the_101(connect, origin):
    """pingora 149: 100, then 101."""
    script = origin.raw(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: upgrade\r\n\r\nhello\n", then="close")
    client = connect()
    switched(client, script, UPGRADE)
    assert client.reader.rest() == b"hello\n"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("early", [False, True], ids=["after", "at once"])
def test_upgrade_with_a_body(connect, origin, framing, early):
    """pingora 77, 78, 149: the body first, raw bytes after the 101."""
    body = big(5120)

    def serve(exchange):
        switching = (b"HTTP/1.1 101 Switching Protocols\r\n"
                     b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        if early:
            exchange.send(switching)
        data = exchange.body()
        if not early:
            exchange.send(switching)
        data += exchange.conn.reader.exactly(5)
        exchange.send(data)
        return False
    script = origin.script(serve)
    client = connect()
    if framing == "length":
        client.send(compose("POST", script.path, UPGRADE, body))
    else:
        client.send(compose("POST", script.path, UPGRADE + [
            ("Transfer-Encoding", "chunked")]) + chunked(body))
    assert client.response(upgrade=True).status == 101
    client.send(b"after")
    assert client.reader.rest() == body + b"after"


# -- what reaches the backend, and when ------------------------------------

def test_nothing_follows_the_request_before_the_101(connect, origin):
    """pingora 79: not one byte."""
    seen = []

    def serve(exchange):
        seen.append(exchange.conn.reader.silent(0.3))
        exchange.send(ws.switching(exchange))
        seen.append(exchange.conn.reader.exactly(9))
        return False
    script = origin.script(serve)
    client = connect()
    client.send(compose(target=script.path, fields=ws.handshake_fields())
                + b"raw bytes")
    assert client.response(upgrade=True).status == 101
    assert client.closed()
    assert seen == [True, b"raw bytes"]


@pytest.mark.parametrize("status", [200, 400, 403, 426])
def test_refused_upgrade_with_a_request_behind_it(connect, origin, status):
    """pingora 79 (CVE-2026-2833): the second request is never part of
    the first; it is answered by itself or the connection is closed."""
    before = len(origin.exchanges)

    def serve(exchange):
        early = not exchange.conn.reader.silent(0.1)
        exchange.reply(status, b"early" if early else b"no")
        return True
    script = origin.script(serve)
    client = connect()
    client.send(compose(target=script.path, fields=ws.handshake_fields())
                + compose(target="/echo/second"))
    response = client.response()
    assert response.status == status and response.body == b"no"
    kind, second = outcome(client)
    if kind == "complete":
        assert Echo(second).target == "/echo/second"
    else:
        assert kind == "none"
        assert len(origin.exchanges) == before + 1


def test_refused_upgrade_keeps_the_connection(connect, origin):
    script = origin.script(lambda e: e.reply(403, b"no"))
    client = connect()
    client.send(compose(target=script.path, fields=ws.handshake_fields()))
    response = client.response()
    assert response.status == 403
    assert "upgrade" not in response.fields
    if "close" not in response.fields.tokens("connection"):
        assert client.get("/hello").status == 200


# -- who may upgrade -------------------------------------------------------

@pytest.mark.parametrize("value", ["websocket", "WebSocket", "WEBSOCKET"])
@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, upgrade",
                                        "UPGRADE , foo"])
def test_forms_of_the_request(connect, origin, value, connection):
    """pingora 148, 238: any case; what arrives is in its usual form."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    client = connect()
    client.send(compose(target=script.path, fields=[
        ("Upgrade", value), ("Connection", connection)]))
    assert client.response().body == b"ok"
    seen = script.exchanges[0].fields
    assert seen.one("upgrade").lower() == "websocket"
    assert seen.tokens("connection") == ["upgrade"]


NOT_ASKED = [
    ("h2c", [("Upgrade", "h2c"), ("Connection", "Upgrade")], "1.1"),
    ("foo (pingora 238)", [("Upgrade", "foo"), ("Connection", "Upgrade")],
     "1.1"),
    ("TLS", [("Upgrade", "TLS/1.0"), ("Connection", "Upgrade")], "1.1"),
    ("1.0 (pingora 148, 238)", UPGRADE, "1.0"),
    ("no Upgrade (pingora 148)", [("Connection", "Upgrade")], "1.1"),
    ("websocket/13", [("Upgrade", "websocket/13"),
                      ("Connection", "Upgrade")], "1.1"),
]


@pytest.mark.parametrize("name,fields,version", NOT_ASKED,
                         ids=[n[0] for n in NOT_ASKED])
@pytest.mark.parametrize("answer", [101, 200])
def test_not_asked_for(connect, origin, name, fields, version, answer):
    """No Upgrade goes upstream, and a 101 that comes anyway is a 502."""
    def serve(exchange):
        if answer == 200:
            exchange.reply(200, b"ok")
            return True
        exchange.send(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n"
                      b"Connection: upgrade\r\n\r\nhello")
        exchange.gone()
        return False
    script = origin.script(serve)
    client = connect()
    client.send(compose(target=script.path, fields=fields, version=version))
    response = client.response()
    assert response.status == (200 if answer == 200 else 502)
    assert "upgrade" not in script.exchanges[0].fields
    assert "upgrade" not in script.exchanges[0].fields.tokens("connection")


def test_switched_off(connect, origin):
    """websocket = false."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    client = connect("off")
    client.send(compose(target=script.path, fields=ws.handshake_fields()))
    response = client.response()
    if response.status == 200:
        assert "upgrade" not in script.exchanges[0].fields
    else:
        assert response.status in (400, 403, 426) and not script.exchanges


@pytest.mark.parametrize("upgrade", ["h2c", "foo", None, "websocket, foo"])
def test_101_to_something_else(connect, origin, upgrade):
    """The backend switches to what was not asked for: 502."""
    field = b"Upgrade: %s\r\n" % upgrade.encode() if upgrade else b""
    script = origin.raw(b"HTTP/1.1 101 Switching Protocols\r\n" + field
                        + b"Connection: upgrade\r\n\r\nhello", then="gone")
    client = connect()
    client.send(compose(target=script.path, fields=ws.handshake_fields()))
    assert client.response(upgrade=True).status == 502


def test_own_answers_do_not_switch(connect):
    client = connect("own")
    client.send(compose(target="/own", fields=ws.handshake_fields()))
    assert client.response().body == b"own"


# -- time ------------------------------------------------------------------

def test_silence_in_a_tunnel(connect, origin):
    """Only tunnel_idle_timeout counts there, not between_bytes."""
    script = origin.script(ws.serve_echo)
    client = connect()
    switched(client, script)
    assert client.silent(0.8)
    client.send(ws.frame(ws.TEXT, b"hi", mask=True))
    assert ws.read_frame(client.reader) == (ws.TEXT, b"hi")


def test_tunnel_idle_timeout(connect, origin):
    """300 ms; either side's bytes restart it."""
    script = origin.script(ws.serve_echo)
    client = connect("brief")
    switched(client, script)
    for _ in range(5):
        assert client.silent(0.12)
        client.send(ws.frame(ws.TEXT, b"hi", mask=True))
        assert ws.read_frame(client.reader) == (ws.TEXT, b"hi")
    assert client.closed(timeout=4)
    wait.until(lambda: script.exchanges[0].done.is_set())


# -- bytes -----------------------------------------------------------------

def test_a_tunnel_streams_both_ways_at_once(connect, origin):
    """Megabytes each way, none waits for the other."""
    size = 6 << 20
    down, up = big(size), big(size)[::-1]

    def serve(exchange):
        exchange.send(ws.switching(exchange))
        sender = threading.Thread(target=exchange.send, args=(down,))
        sender.start()
        got = exchange.conn.reader.exactly(size)
        sender.join(10)
        exchange.conn.ok = got == up
        return False
    script = origin.script(serve)
    client = connect()
    switched(client, script)
    sender = threading.Thread(target=client.send, args=(up,))
    sender.start()
    assert client.reader.exactly(size, 20) == down
    sender.join(10)
    done = script.wait_done()
    assert done.failure is None and done.conn.ok, done.failure


def test_many_tunnels(connect, origin):
    script = origin.script(ws.serve_echo)
    clients = [connect() for _ in range(50)]
    for client in clients:
        switched(client, script)
    for i, client in enumerate(clients):
        client.send(ws.frame(ws.TEXT, b"%d" % i, mask=True))
    for i, client in enumerate(clients):
        assert ws.read_frame(client.reader) == (ws.TEXT, b"%d" % i)
