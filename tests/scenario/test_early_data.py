"""Early data (0-RTT): what is taken, what waits, and what is no replay."""
# SPDX-License-Identifier: BSD-2-Clause
import signal
import socket
import subprocess
import threading

import pytest

from conftest import need
from lib import conf, wait
from lib.tls import Certs, TlsClient
from lib.weir import run
from test_upgrade import Instance

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = Certs()
    made.a = made.own("a", "a.example")
    yield made
    made.remove()


def has_h2():
    return "nghttp2: no HTTP/2" not in run("-V")[1]


def config(certs, origin, early=True, **top):
    tls = {"cert": certs.a[0], "key": certs.a[1]}
    if early:
        tls["early_data"] = True
    return conf.config([conf.service(
        {"path": "/early", "respond": {"body": "early=${tls.early}\n"}},
        {"path": "/", "upstream": "up"},
        listen=[{"address": conf.address(), "tls": tls, "http2": has_h2()}])],
        [conf.upstream("up", origin)], workers=2, **top)


@pytest.fixture(scope="module")
def weir(start_shared, certs, origin):
    return start_shared(config(certs, origin))


class Gate:
    """Between client and weir: passes on the client's first flight, records
    it, and holds what follows until it is opened."""

    def __init__(self, target):
        self.first = b""
        self.answer = b""
        self.opened = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.server = socket.create_connection(target, 8)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            client, _ = self.listener.accept()
            threading.Thread(target=self._down, args=(client,),
                             daemon=True).start()
            while not self.answer:
                client.settimeout(0.05)
                try:
                    data = client.recv(65536)
                except socket.timeout:
                    continue
                if self.answer:
                    self.opened.wait(20)
                    self.server.sendall(data)
                    break
                self.first += data
                self.server.sendall(data)
            self.opened.wait(20)
            client.settimeout(20)
            while data := client.recv(65536):
                self.server.sendall(data)
            self.server.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _down(self, client):
        try:
            while data := self.server.recv(65536):
                self.answer += data
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.opened.set()
        self.listener.close()
        self.server.close()


class Bundle(Gate):
    """Passes on the ClientHello alone, and all behind it in one piece: as a
    worker sees it that was busy in between."""

    def _run(self):
        try:
            client, _ = self.listener.accept()
            threading.Thread(target=self._down, args=(client,),
                             daemon=True).start()
            data = b""
            while len(data) < 5 or len(data) < 5 + data[3] * 256 + data[4]:
                data += client.recv(65536)
            hello = 5 + data[3] * 256 + data[4]
            self.server.sendall(data[:hello])
            wait.until(lambda: self.answer, 15)
            client.settimeout(0.5)
            try:
                # Early data, its end and Finished: until it falls silent.
                while more := client.recv(65536):
                    data += more
            except socket.timeout:
                pass
            self.server.sendall(data[hello:])
            client.settimeout(20)
            while more := client.recv(65536):
                self.server.sendall(more)
        except OSError:
            pass


class Peer:
    """openssl s_client, of which we read what it says."""

    def __init__(self, address, *args):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", "%s:%d" % address,
             "-servername", "a.example", "-tls1_3", *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.said = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while data := self.process.stdout.read1(65536):
            self.said += data

    def wait(self, text):
        wait.until(lambda: text in self.said, 15,
                   what="%r in %r" % (text, self.said))

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


def request(target, method="GET", fields="", body=""):
    return ("%s %s HTTP/1.1\r\nHost: a.example\r\n%s\r\n%s" % (
        method, target, fields, body)).encode()


@pytest.fixture
def session(weir, tmp_path):
    return make_session(weir, tmp_path)


def make_session(weir, tmp_path, *args):
    path = str(tmp_path / "session")
    with Peer(weir.address, "-sess_out", path, "-ign_eof", *args) as peer:
        if not args:
            peer.send(request("/early", fields="Connection: close\r\n"))
            peer.wait(b"early=0")
            peer.process.wait(10)
        else:
            wait.until(lambda: openable(path))
    return path


def openable(path):
    return subprocess.run(
        ["openssl", "sess_id", "-in", path, "-noout"], timeout=10,
        stderr=subprocess.DEVNULL, check=False).returncode == 0


def early(address, session, data, tmp_path, *args):
    path = tmp_path / "early"
    path.write_bytes(data)
    return Peer(address, "-sess_in", session, "-early_data", str(path), *args)


def early_fields(exchange):
    return [v for n, v in exchange.fields if n.lower() == "early-data"]


def test_safe_request_is_served_early(weir, origin, session, tmp_path):
    """Before the client's second flight; what follows is not early."""
    script = origin.script(lambda exchange: exchange.reply(200, "served"))
    gate = Gate(weir.address)
    with early(gate.address, session, request(script.path), tmp_path) as peer:
        assert early_fields(script.wait()) == ["1"]
        wait.until(lambda: len(gate.answer) > 100)
        gate.opened.set()
        peer.wait(b"served")
        peer.wait(b"Early data was accepted")
        peer.send(request(script.path))
        assert early_fields(script.wait(2)) == []
        peer.send(request("/early"))
        peer.wait(b"early=0")
    gate.close()


def test_answer_comes_early(weir, session, tmp_path):
    """The whole answer is sent while the handshake is not over."""
    gate = Gate(weir.address)
    with early(gate.address, session, request("/early"), tmp_path) as peer:
        # The client shows it as soon as its own handshake is over.
        peer.wait(b"early=1")
        gate.opened.set()
    gate.close()


def test_early_data_with_all_that_follows(weir, origin, session, tmp_path):
    """The handshake may be over before its early data is looked at."""
    script = origin.script(lambda exchange: exchange.reply(200, "served"))
    gate = Bundle(weir.address)
    with early(gate.address, session, request(script.path), tmp_path) as peer:
        script.wait()
        peer.wait(b"served")
        peer.send(request("/early"))
        peer.wait(b"early=0")
    gate.close()


@pytest.mark.parametrize("method,fields,body", [
    ("POST", "Content-Length: 2\r\n", "hi"), ("DELETE", "", ""),
    ("GET", "Content-Length: 2\r\n", "hi"),
    ("GET", "Upgrade: websocket\r\nConnection: upgrade\r\n"
     "Sec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "")])
def test_others_are_too_early(weir, origin, session, tmp_path, method,
                              fields, body):
    script = origin.script(lambda exchange: exchange.reply(200, "done"))
    data = request(script.path, method, fields, body)
    with early(weir.address, session, data, tmp_path) as peer:
        peer.wait(b"HTTP/1.1 425 Too Early")
    with TlsClient(weir.address) as client:
        assert client.get(script.path).status == 200
    assert script.wait().method == "GET"


def test_replay_is_not_served(weir, origin, session, tmp_path):
    """The recorded first flight, sent again to every worker."""
    script = origin.script(lambda exchange: exchange.reply(200, "served"))
    gate = Gate(weir.address)
    with early(gate.address, session, request(script.path), tmp_path) as peer:
        script.wait()
        gate.opened.set()
        peer.wait(b"served")
    for _ in range(8):
        with socket.create_connection(weir.address, 8) as sock:
            sock.sendall(gate.first)
            assert sock.recv(65536)[0] == 22  # its own handshake goes on
    gate.close()
    wait.until(lambda: refused(weir, "used", "stale") == 8)
    # A ticket that was used once is good for a late request only.
    with early(weir.address, session, request(script.path), tmp_path) as peer:
        peer.wait(b"Early data was rejected")
    wait.until(lambda: refused(weir, "used", "stale") == 9)
    # A request that was early would have come before this one.
    with TlsClient(weir.address) as client:
        client.get(script.path)
    assert len(script.exchanges) == 2


def refused(weir, *reasons):
    metrics = weir.metrics()
    return sum(metrics.sum("weir_early_data_refused_total", reason=reason)
               for reason in reasons)


def test_replay_after_reload_and_upgrade(start, certs, origin, tmp_path):
    """All workers of the next configuration, and of the successor, know what
    was used before."""
    weir = Instance(start, config(certs, origin,
                                  upgrade_sock="@DIR@/run/up.sock",
                                  pid_file="@DIR@/run/weir.pid"))
    try:
        session = make_session(weir, tmp_path)
        script = origin.script(lambda exchange: exchange.reply(200, "served"))
        gate = Gate(weir.address)
        with early(gate.address, session, request(script.path),
                   tmp_path) as peer:
            script.wait()
            gate.opened.set()
            peer.wait(b"served")
        gate.close()
        assert weir.metrics().sum("weir_early_data_taken_total") == 1

        def replay(count):
            for _ in range(8):
                with socket.create_connection(weir.address, 8) as sock:
                    sock.sendall(gate.first)
                    assert sock.recv(65536)[0] == 22
            with TlsClient(weir.address) as client:
                client.get(script.path)
            assert len(script.exchanges) == 1 + count
            # On a slow machine OpenSSL may say no before the table does.
            wait.until(lambda: refused(weir, "used", "stale") == 8 * count)
        before = weir.workers()
        weir.send(signal.SIGHUP)
        wait.until(lambda: len(weir.workers()) == 2 and
                   not set(weir.workers()) & set(before), 20)
        replay(1)
        weir.send(signal.SIGUSR2)
        weir.wait_taken()
        weir.wait_gone(weir.first, 20)
        replay(2)
        assert weir.metrics().sum("weir_early_data_taken_total") == 1
    finally:
        weir.finish()


def test_425_and_early_data_of_others_pass(weir, origin):
    script = origin.script(lambda exchange: exchange.reply(425, "later"))
    with TlsClient(weir.address) as client:
        answer = client.get(script.path, fields=[("Early-Data", "1")])
    assert (answer.status, answer.body) == (425, b"later")
    assert early_fields(script.wait()) == ["1"]
    assert len(script.exchanges) == 1


def test_http2(weir, origin, tmp_path):
    h2wire = pytest.importorskip("lib.h2wire")
    if not has_h2():
        pytest.skip("this weir has no HTTP/2")
    session = make_session(weir, tmp_path, "-alpn", "h2")
    script = origin.script(lambda exchange: exchange.reply(200, "served"))

    def head(stream, method, end):
        block = h2wire.hpack.Encoder().encode([
            (":method", method), (":scheme", "https"),
            (":authority", "a.example"), (":path", script.path)],
            huffman=False)
        return h2wire.frame(h2wire.HEADERS, h2wire.END_HEADERS |
                            (h2wire.END_STREAM if end else 0), stream, block)
    data = (h2wire.PREFACE + h2wire.settings() + head(1, "GET", True) +
            head(3, "POST", False) +
            h2wire.frame(h2wire.DATA, h2wire.END_STREAM, 3, b"hi"))
    with early(weir.address, session, data, tmp_path, "-alpn",
               "h2") as peer:
        peer.wait(b"served")
        peer.wait(b"Early data was accepted")
        peer.wait(b"425")
    assert early_fields(script.wait()) == ["1"]
    assert script.wait().method == "GET"


def test_large_answer(weir, origin, session, tmp_path):
    """More than sockets hold, all of it before the handshake's end."""
    body = b"0123456789abcdef" * 65536
    script = origin.script(lambda exchange: exchange.reply(200, body))
    gate = Gate(weir.address)
    with early(gate.address, session, request(
            script.path, fields="Connection: close\r\n"), tmp_path,
            "-quiet") as peer:
        wait.until(lambda: len(gate.answer) > len(body), 20)
        gate.opened.set()
        wait.until(lambda: body in peer.said, 15)
    gate.close()


def test_off_by_default(start, certs, origin, tmp_path):
    weir = start(config(certs, origin, early=False))
    session = make_session(weir, tmp_path)
    with early(weir.address, session, request("/early"), tmp_path) as peer:
        peer.wait(b"Reused, TLSv1.3")
        assert b"Early data was accepted" not in peer.said


def test_with_isolated_keys(start, certs, origin, tmp_path):
    weir = start(config(certs, origin, key_isolation=True))
    session = make_session(weir, tmp_path)
    with early(weir.address, session, request("/early"), tmp_path) as peer:
        peer.wait(b"early=1")


def test_needs_tickets(certs, origin, tmp_path):
    settings = config(certs, origin)
    settings["services"][0]["listen"][0]["tls"]["tickets"] = False
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(settings))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and "early_data needs tickets" in err
