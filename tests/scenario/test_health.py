"""Backends that are ill get no requests, and get them again when well."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import signal
import socket
import threading

import pytest

from conftest import need
from lib import conf, wait
from lib.client import Client
from lib.tls import Certs, TlsOrigin

pytestmark = [pytest.mark.short]

CHECK = {"interval": "200ms", "timeout": "150ms", "jitter": 0}


class Silent:
    """Accepts, reads and never answers, while `is_silent`."""

    def __init__(self, address=None):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(address or ("127.0.0.1", 0))
        self.sock.listen(64)
        self.backend = "%s:%d" % self.sock.getsockname()
        self.is_silent = True
        self.kept = []
        self.heads = []
        self.answer = (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                       b"Connection: close\r\n\r\nok")
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                piece = sock.recv(4096)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            if self.is_silent:
                self.kept.append(sock)
                return
            sock.sendall(self.answer)
            sock.close()
        except OSError:
            pass

    def close(self):
        self.sock.close()
        for sock in self.kept:
            sock.close()


@pytest.fixture
def silent():
    server = Silent()
    yield server
    server.close()


def served_by(weir, n=12):
    """The bodies of n answers."""
    return [weir.get("/").body for _ in range(n)]


def config(backends, workers=1, **up):
    return conf.config(conf.service({"path": "/", "upstream": "app"}),
                       [conf.upstream("app", *backends, **up)],
                       workers=workers)


def test_never_answers(start, silent, origin):
    """Out within a second of the start, back within an interval."""
    weir = start(config([origin, silent], health_check={
        "path": "/health", "host": "check.test", **CHECK,
        "headers": {"X-Probe": "yes"}}))
    weir.wait_log(r"backend app/%s is down: health check: no answer in time"
                  % silent.backend)
    assert b"ok" not in served_by(weir)
    head = silent.heads[0]
    assert head.startswith(b"GET /health HTTP/1.1\r\nHost: check.test\r\n")
    assert b"X-Probe: yes\r\n" in head
    silent.is_silent = False
    weir.wait_log(r"backend app/%s is up: the health check passes"
                  % silent.backend)
    wait.until(lambda: b"ok" in served_by(weir, 4))


@pytest.mark.parametrize("check,answer,why", [
    ({}, b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
     "unexpected status: 500"),
    ({"expect": ["204", "300-399"]}, None, "unexpected status: 200"),
    ({"expect": "200", "body_match": "^o[xy]$"}, None,
     "body_match does not match"),
    ({"body_match": "^ok$"},
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", None),
    ({"body_match": "^ok$", "reuse": True}, None, None),
    ({"method": "HEAD"}, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
     None),
    ({"expect": ["5xx"]}, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
     None),
    ({}, b"SSH-2.0-OpenSSH\r\n", "the answer is not HTTP"),
    ({}, b"", "the connection was closed"),
    ({"type": "tcp"}, b"", None),
], ids=str)
def test_judges(start, silent, origin, check, answer, why):
    """What an answer makes of a backend."""
    silent.is_silent = False
    if answer is not None:
        silent.answer = answer
    weir = start(config([origin, silent], health_check={
        **CHECK, "initial": "down" if why is None else "up", **check}))
    name = "backend app/%s is " % silent.backend
    if why is None:
        weir.wait_log(name + "up: the health check passes")
    else:
        weir.wait_log(name + "down: health check: " + why)


def test_rise_and_fall(start, silent, origin):
    """Three bad checks take it out, two good ones bring it back."""
    silent.is_silent = False
    weir = start(config([origin, silent], health_check={
        **CHECK, "rise": 2, "fall": 3}))
    wait.until(lambda: silent.heads)
    silent.answer = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
    before = len(silent.heads)
    weir.wait_log("is down: health check: unexpected status")
    assert len(silent.heads) - before >= 3
    silent.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    before = len(silent.heads)
    weir.wait_log("is up: the health check passes")
    assert len(silent.heads) - before >= 2


def test_tcp_and_port(start, origin):
    """A check of another port decides over the backend."""
    other = conf.free_port()
    weir = start(config([origin], health_check={
        **CHECK, "type": "tcp", "port": other}))
    weir.wait_log("is down: health check: connection refused")
    assert weir.get("/").status == 502
    listener = socket.socket()
    listener.bind(("127.0.0.1", other))
    listener.listen(8)
    weir.wait_log("is up: the health check passes")
    assert weir.get("/").status == 200
    listener.close()


@pytest.mark.process
def test_background_killed(start, silent, origin):
    """The state stays while nobody checks, and its successor goes on."""
    weir = start(config([origin, silent], health_check=CHECK))
    weir.wait_log("is down")
    old = weir.background()
    os.kill(old, signal.SIGKILL)
    assert b"ok" not in served_by(weir, 6)
    wait.until(lambda: weir.background() not in (None, old))
    weir.expect_new_children()
    silent.is_silent = False
    weir.wait_log("is up: the health check passes")


# -- passive ---------------------------------------------------------------

def test_dead_backend_under_load(start, origin_factory):
    """One of three dies: no client sees it; it comes back and is used."""
    origins = [origin_factory() for _ in range(3)]
    weir = start(config(origins, workers=2, retries=2,
                        fail_timeout="300ms"))
    counts, errors, stop = [0], [], threading.Event()

    def load():
        with Client(weir.address) as client:
            while not stop.is_set():
                answer = client.get("/status/200")
                counts[0] += 1
                if answer.status != 200:
                    errors.append(answer.status)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        wait.until(lambda: counts[0] > 100)
        dead = origins[1].address
        origins[1].close()
        weir.wait_log("is left out for 300 ms: 5 failures in a row, the "
                      "last one: connect_refused")
        before = counts[0]
        wait.until(lambda: counts[0] > before + 200)
        revived = Silent(dead)
        revived.is_silent = False
        weir.wait_log(r"is back: a request to it succeeded")
        before = len(revived.heads)
        wait.until(lambda: len(revived.heads) > before + 20)
    finally:
        stop.set()
        for t in threads:
            t.join()
    revived.close()
    assert not errors


def test_last_one_stays(start, silent):
    """However often it fails, a backend without others is asked."""
    silent.is_silent = False
    silent.answer = b"nonsense\r\n\r\n"
    weir = start(config([silent], max_fails=2, retries=0))
    assert {weir.get("/").status for _ in range(8)} == {502}
    assert len(silent.heads) == 8
    silent.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert weir.get("/").status == 200


# -- over TLS ----------------------------------------------------------------

@pytest.fixture
def certs():
    need("openssl")
    made = Certs()
    made.root = made.ca("root")
    made.good = made.signed("good", made.root, "app.test")
    yield made
    made.remove()


@pytest.mark.parametrize("check", [{"type": "tls"}, {"path": "/hello"},
                                   {"path": "/hello", "reuse": True}],
                         ids=str)
def test_over_tls(start, certs, check):
    """The check speaks TLS where the backend does, and trusts as it does."""
    server = TlsOrigin(certs.good)
    plain = Silent()
    plain.is_silent = False
    weir = start(config(
        [server, plain], tls={"ca_file": certs.root[0], "sni": "app.test"},
        health_check={**CHECK, "timeout": "2s", "initial": "down", **check}))
    weir.wait_log("backend app/%s is up" % server.backend)
    assert weir.get("/hello").status == 200
    assert plain.backend + " is up" not in weir.log
    server.close()
    plain.close()


def test_untrusted_over_tls(start, certs):
    """A certificate that requests would refuse is a backend that is down."""
    server = TlsOrigin(certs.good)
    weir = start(config(
        [server], tls={"ca_file": certs.root[0], "sni": "other.test"},
        health_check={**CHECK, "timeout": "2s", "type": "tls"}))
    weir.wait_log("is down: health check: the TLS handshake failed: ")
    server.close()
