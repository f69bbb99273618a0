"""Bodies stream both ways, bounded, and an end is what it says it is."""
# SPDX-License-Identifier: BSD-2-Clause
import socket
import threading
import time

import pytest

from lib import conf, proc, wait
from lib.client import Client, chunked, compose, outcome
from lib.origin import big
from lib.weir import sanitized

pytestmark = [pytest.mark.forwarding]

MB = 1 << 20


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.config(
        [conf.service({"path": "/", "upstream": "up"}, name="web"),
         conf.service({"path": "/", "upstream": "up"}, name="abort",
                      finish_on_abort=True),
         conf.service({"path": "/", "upstream": "up"}, name="small",
                      buffer="4KB"),
         conf.service({"path": "/", "upstream": "up"}, name="streaming",
                      streaming=True)],
        [conf.upstream("up", origin)]))


def step():
    """An event, and a wait for it that a test can read."""
    event = threading.Event()

    def happened():
        assert event.wait(8), "the other side did not get this far"
    return event.set, happened


# -- streaming -------------------------------------------------------------

@pytest.mark.short
@pytest.mark.parametrize("service", [0, 3])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_each_byte_leaves_when_it_comes(weir, origin, framing, service):
    """The head before the body, and each piece before the next."""
    pieces = [b"a", b"bc", b"d" * 100, b"e"]
    got = [threading.Event() for _ in range(len(pieces) + 1)]

    def answer(exchange):
        total = sum(map(len, pieces))
        exchange.send(b"HTTP/1.1 200 OK\r\n" + {
            "length": b"Content-Length: %d\r\n\r\n" % total,
            "chunked": b"Transfer-Encoding: chunked\r\n\r\n",
            "close": b"\r\n"}[framing])
        assert got[0].wait(8), "the head was held back"
        for piece, event in zip(pieces, got[1:]):
            exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece)
                          if framing == "chunked" else piece)
            assert event.wait(8), "a piece was held back"
        if framing == "chunked":
            exchange.send(b"0\r\n\r\n")
        return framing != "close"
    script = origin.script(answer)
    with Client(weir.addresses[service]) as client:
        client.send(compose(target=script.path))
        head = client.reader.response_head()
        assert head.status == 200
        got[0].set()
        for piece, event in zip(pieces, got[1:]):
            if framing == "length":
                assert client.reader.exactly(len(piece)) == piece
            else:
                data = b""
                while len(data) < len(piece):
                    data += client.reader.chunk(head)
                assert data == piece
            event.set()
        if framing != "length":
            assert client.reader.chunk(head) is None
    script.wait_done()


@pytest.mark.short
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_uploads_stream(weir, origin, framing):
    """The backend has the head and each piece before the next is sent."""
    got = [threading.Event() for _ in range(4)]

    def answer(exchange):
        got[0].set()
        for event in got[1:]:
            if framing == "length":
                assert exchange.conn.reader.exactly(3) == b"abc"
            else:
                assert exchange.chunk() == b"abc"
            event.set()
        if framing == "chunked":
            assert exchange.chunk() is None
        exchange.body_read = True
        exchange.reply(200, b"done")
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose("POST", script.path, [
            ("Content-Length", "9") if framing == "length"
            else ("Transfer-Encoding", "chunked")]))
        for event in got[:3]:
            assert event.wait(8), "held back"
            client.send(b"abc" if framing == "length"
                        else b"3\r\nabc\r\n")
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert client.response().body == b"done"


@pytest.mark.short
def test_server_sent_events(weir, origin):
    """Each event within moments, over seconds of silence in between."""
    sent, received = threading.Semaphore(0), []

    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream"
                      b"\r\nCache-Control: no-store\r\n\r\n")
        for i in range(5):
            assert sent.acquire(timeout=8)
            received.append(time.monotonic())
            exchange.send(b"data: %d\n\n" % i)
        exchange.gone()
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose(target=script.path,
                            fields=[("Accept", "text/event-stream")]))
        head = client.reader.response_head()
        assert head.fields.one("content-type") == "text/event-stream"
        for i in range(5):
            sent.release()
            assert client.reader.chunk(head) == b"data: %d\n\n" % i
            assert time.monotonic() - received[i] < 1
    assert script.wait_done().failure is None


@pytest.mark.short
def test_long_poll(weir, origin):
    """A late answer is an answer."""
    go, happened = step()

    def answer(exchange):
        happened()
        exchange.reply(200, b"news")
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        assert client.silent(0.2)
        go()
        assert client.response().body == b"news"


@pytest.mark.short
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_full_duplex(weir, origin, framing):
    """Each piece of the request is answered before the next is sent."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                      b"\r\n")
        for _ in range(20):
            data = (exchange.chunk() if framing == "chunked"
                    else exchange.conn.reader.exactly(3))
            exchange.send(b"%x\r\n%s\r\n" % (len(data), data.upper()))
        if framing == "chunked":
            assert exchange.chunk() is None
        exchange.body_read = True
        exchange.send(b"0\r\n\r\n")
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose("POST", script.path, [
            ("Transfer-Encoding", "chunked") if framing == "chunked"
            else ("Content-Length", "60")]))
        head = client.reader.response_head()
        for i in range(20):
            data = b"x%02d" % i
            client.send(b"3\r\n%s\r\n" % data if framing == "chunked"
                        else data)
            assert client.reader.chunk(head) == data.upper()
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        assert client.reader.chunk(head) is None
        if "close" in head.fields.tokens("connection"):
            assert client.closed()
        else:
            assert client.get("/hello").status == 200


@pytest.mark.short
def test_answer_ends_before_the_upload(weir, origin):
    """pingora 62, 67: the answer is whole; the connection is not reused
    unless the rest of the body was read."""
    script = origin.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"
                        b"early words", read_body=False, then="gone")
    with Client(weir.address) as client:
        client.send(compose("POST", script.path,
                            [("Content-Length", "1000000")]) + b"a" * 1000)
        response = client.response()
        assert response.status == 200 and response.body == b"early words"
        client.send(b"a" * 999000 + compose(target="/hello"), may_fail=True)
        kind, after = outcome(client)
        if kind == "complete":
            assert after.body == b"Hello World!\n"
        else:
            assert kind == "none"


@pytest.mark.parametrize("size", [MB, 15 * MB])
def test_upload_to_a_backend_that_answers_first(weir, origin, size):
    """pingora 62, 67: it answers at once, then drains."""
    body = big(size)

    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 320\r\n\r\n")
        for _ in range(5):
            exchange.send(b"x" * 64)
        assert exchange.body() == body
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        sender = threading.Thread(
            target=client.send, args=(compose("POST", script.path,
                                              body=body), True))
        sender.start()
        response = client.response()
        assert response.status == 200 and response.body == b"x" * 320
        sender.join(10)
        assert not sender.is_alive()
        # The exchange has ended: the connection goes on, or is closed.
        if "close" in response.fields.tokens("connection"):
            assert client.closed()
        else:
            assert client.get("/hello").status == 200


# -- back-pressure ---------------------------------------------------------

def sent_until_stuck(send, piece, limit):
    """How many bytes go out before nothing moves for a while."""
    total, last = [0], [time.monotonic()]

    def run():
        try:
            while total[0] < limit:
                send(piece)
                total[0] += len(piece)
                last[0] = time.monotonic()
        except OSError:
            pass
    threading.Thread(target=run, daemon=True).start()
    wait.until(lambda: time.monotonic() - last[0] > 0.4
               or total[0] >= limit, 60, what="a standstill")
    return total[0]


def test_slow_client_holds_the_backend(weir, origin):
    """A client that does not read stops its backend; weir's memory does
    not grow by more than the pipe."""
    stuck = []

    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                      % (1 << 40))
        exchange.conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF,
                                      65536)
        stuck.append(sent_until_stuck(exchange.conn.sock.sendall,
                                      b"x" * 65536, 256 * MB))
        exchange.gone()
        return False
    script = origin.script(answer)
    with Client(weir.address, rcvbuf=65536) as client:
        worker = weir.worker_of(client)
        before = proc.memory(worker)
        client.send(compose(target=script.path))
        assert client.reader.response_head().status == 200
        wait.until(lambda: stuck, 60)
        assert stuck[0] < 64 * MB, "%d MB taken" % (stuck[0] // MB)
        if not sanitized():
            assert proc.memory(worker) - before < 2 * MB
    script.wait_done()


def test_slow_backend_holds_the_client(weir, origin_factory, start):
    """The same for an upload."""
    slow = origin_factory(rcvbuf=65536)
    go, happened = step()

    def answer(exchange):
        happened()
        exchange.reset()
        return False
    slow.default = answer
    other = start(conf.proxy(slow))
    with Client(other.address) as client:
        worker = other.worker_of(client)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        client.send(compose("POST", "/", [("Content-Length",
                                           str(1000 * MB))]))
        wait.until(lambda: slow.exchanges)
        before = proc.memory(worker)
        total = sent_until_stuck(client.sock.sendall, b"x" * 65536,
                                 256 * MB)
        assert total < 64 * MB, "%d MB taken" % (total // MB)
        if not sanitized():
            assert proc.memory(worker) - before < 2 * MB
        go()


def test_slow_client_gets_everything(weir, origin):
    """A reader that stops and goes on loses nothing."""
    body = big(20 * MB)
    script = origin.script(lambda e: e.reply(200, body))
    with Client(weir.addresses[2], rcvbuf=8192) as client:
        client.send(compose(target=script.path))
        head = client.reader.response_head()
        client.reader.exactly(100000)
        assert not client.silent(0.01)
        rest = client.reader.exactly(len(body) - 100000, 30)
        assert rest == body[100000:] and head.status == 200


@pytest.mark.parametrize("service", [0, 2], ids=["64KB", "4KB"])
@pytest.mark.parametrize("framing", ["bytes", "chunked", "close"])
def test_many_sizes(weir, framing, service):
    with Client(weir.addresses[service]) as client:
        for size in (4095, 4096, 4097, 65535, 65536, 65537, 262143, 262144,
                     262145, 3 * MB + 1):
            assert client.get("/%s/%d" % (framing, size)).body == big(size)


@pytest.mark.short
@pytest.mark.parametrize("way", ["down", "up"])
def test_body_memory_comes_back(start, origin, way):
    """While a slow reader has all of it others pause; then they go on."""
    weir = start(conf.proxy(origin, buffer="4MB",
                            top={"body_memory": "1MB"}))
    body = big(3 * MB)
    script = origin.script(lambda e: e.reply(200, big(16 * MB)))
    with Client(weir.address, rcvbuf=4096) as slow, \
            Client(weir.address, timeout=20) as other:
        slow.send(compose(target=script.path))
        slow.reader.response_head()

        def paused():
            return weir.metrics().sum("weir_proxy_body_paused_total")
        wait.until(lambda: paused() >= 1, what="memory is used up")
        data = compose(target="/bytes/%d" % len(body)) if way == "down" \
            else compose("POST", "/sha", body=body)
        sender = threading.Thread(target=other.send, args=(data, True))
        sender.start()
        wait.until(lambda: paused() >= 2, what="the other one pauses")
        slow.close()
        response = other.response()
        sender.join()
        assert response.status == 200
        assert response.text.startswith("%d " % len(body)) \
            if way == "up" else response.body == body


def test_many_transfers_at_once(weir, origin):
    """Thirty downloads and uploads interleave without mixing."""
    problems = []

    def down(n):
        with Client(weir.address) as client:
            if client.get("/chunked/%d" % (500000 + n)).body != big(
                    500000 + n):
                problems.append("down %d" % n)

    def up(n):
        body = bytes([n]) * (400000 + n)
        with Client(weir.address) as client:
            script = origin.script(lambda e: e.reply(200, e.body()))
            if client.request("POST", script.path, body=body).body != body:
                problems.append("up %d" % n)
    threads = [threading.Thread(target=fn, args=(n,))
               for n in range(15) for fn in (down, up)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not problems


# -- clients that go away --------------------------------------------------

@pytest.mark.short
@pytest.mark.parametrize("how", ["reset", "close", "finish"])
@pytest.mark.parametrize("when", ["before the head", "inside the body",
                                  "inside the upload"])
def test_gone_client_cancels_the_backend(weir, origin, how, when):
    """The backend's connection is closed, and soon."""
    def answer(exchange):
        if when == "inside the body":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
                          b"part")
        exchange.gone(8)
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        if when == "inside the upload":
            client.send(compose("POST", script.path,
                                [("Content-Length", "100")]) + b"part")
        else:
            client.send(compose(target=script.path))
        script.wait()
        if when == "inside the body":
            client.reader.response_head()
            client.reader.exactly(4)
        getattr(client, how)()
        assert script.wait_done().failure is None


@pytest.mark.parametrize("when", ["before the head", "inside the body"])
def test_finish_on_abort(weir, origin, when):
    """finish_on_abort: the backend can finish what it began."""
    go, happened = step()
    body = big(3 * MB)

    def answer(exchange):
        if when == "inside the body":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                          % len(body))
            exchange.send(body[:1000])
            happened()
            exchange.send(body[1000:])
        else:
            happened()
            exchange.reply(200, body)
        # What weir did not read it would answer with a reset.
        exchange.conn.silent = exchange.conn.reader.silent(0.3)
        return not exchange.conn.reader.reset
    script = origin.script(answer)
    client = Client(weir.addresses[1])
    client.send(compose(target=script.path))
    script.wait()
    if when == "inside the body":
        client.reader.response_head()
    client.reset()
    go()
    done = script.wait_done()
    assert done.failure is None and not done.conn.reader.reset


@pytest.mark.short
def test_gone_clients_leave_nothing(weir, origin):
    """A hundred aborts cost no descriptor."""
    script = origin.script(lambda e: e.gone() and False)
    with Client(weir.address) as one:
        one.get("/hello")
        worker = weir.worker_of(one)
        before = len(proc.fds(worker))
        for _ in range(100):
            client = Client(weir.address)
            client.send(compose(target=script.path))
            client.reset()
        assert one.get("/hello").status == 200
        wait.until(lambda: len(proc.fds(worker)) <= before + 3,
                   what="descriptors come back")


# -- answers that break off ------------------------------------------------

@pytest.mark.short
@pytest.mark.parametrize("target", ["length", "chunked"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("size", [0, 5, 500000])
def test_cut_answer_is_cut(weir, origin, target, how, size):
    """pingora 63: the client sees the break, and all that came before."""
    go, happened = step()

    def answer(exchange):
        if target == "length":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n"
                          b"\r\n" + b"A" * size)
        else:
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
                          b"\r\n\r\n")
            if size:
                exchange.send(b"%x\r\n%s\r\n" % (size, b"A" * size))
        happened()
        getattr(exchange, how)()
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        if size:
            wait.until(lambda: client.reader._fill(
                client.reader.deadline()))
        go()
        kind, response = outcome(client)
        assert kind != "complete" or response.status == 502
        if kind == "cut" and how == "close":
            assert response.body == b"A" * size


@pytest.mark.short
def test_backend_dies_during_an_upload(weir, origin):
    """pingora 68: after its head the client sees 200, then the break."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                      b"\r\n3\r\nabc\r\n")
        exchange.conn.reader.exactly(10)
        exchange.reset()
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose("POST", script.path,
                            [("Content-Length", "1000")]))
        assert client.reader.response_head().status == 200
        client.send(b"a" * 10)
        client.reader.rest()
        assert b"\r\n0\r\n" not in bytes(client.reader.received)


@pytest.mark.short
def test_backend_that_resets_an_unread_upload(weir, origin):
    """A whole answer, then a reset because the upload was not read."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 413 Too much\r\nContent-Length: 3\r\n"
                      b"Connection: close\r\n\r\nbig")
        exchange.reset()
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        client.send(compose("PUT", script.path,
                            [("Content-Length", "100")]) + b"a" * 10)
        kind, response = outcome(client)
        assert kind == "complete" and response.status in (413, 502)


def test_one_worker_serves_others_during_a_transfer(weir, origin):
    """A bulk transfer takes turns with small requests."""
    stop = threading.Event()

    def bulk():
        with Client(weir.address) as client:
            while not stop.is_set():
                client.get("/bytes/%d" % (4 * MB))
    thread = threading.Thread(target=bulk)
    thread.start()
    try:
        with Client(weir.address) as client:
            for _ in range(100):
                assert client.get("/hello", timeout=3).status == 200
    finally:
        stop.set()
        thread.join(20)


def test_chunked_pieces_of_one_byte(weir):
    """5,000 tiny chunks each way."""
    pieces = [bytes([65 + i % 26]) for i in range(5000)]
    with Client(weir.address) as client:
        sender = threading.Thread(target=client.send, args=(
            compose("POST", "/echo", [("Transfer-Encoding", "chunked")])
            + chunked(*pieces),))
        sender.start()
        response = client.response()
        sender.join(8)
        assert b'"body": "' + b"".join(pieces) in response.body


# -- a gigabyte ------------------------------------------------------------

@pytest.mark.long
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_gigabyte(start, origin_factory, direction):
    """1 GB through a worker whose memory does not grow."""
    size = 1 << 30
    piece = big(MB)
    origin = origin_factory(timeout=120)

    def answer(exchange):
        reader = exchange.conn.reader
        reader.keep = False
        if direction == "down":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                          % size)
            for _ in range(size // MB):
                exchange.send(piece)
        else:
            for _ in range(size // MB):
                assert reader.exactly(MB) == piece
            exchange.body_read = True
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
                          b"read")
        return True
    script = origin.script(answer)
    weir = start(conf.proxy(origin))
    with Client(weir.address, timeout=120) as client:
        client.reader.keep = False
        client.get("/bytes/%d" % (3 * MB))
        worker = weir.worker_of(client)
        before = proc.memory(worker)
        if direction == "down":
            client.send(compose(target=script.path))
            assert client.reader.response_head().status == 200
            for i in range(size // MB):
                assert client.reader.exactly(MB) == piece
        else:
            client.send(compose("PUT", script.path,
                                [("Content-Length", str(size))]))
            for i in range(size // MB):
                client.send(piece)
            assert client.response().body == b"read"
        assert proc.memory(worker) - before < 2 * MB
        assert client.get("/hello").status == 200
