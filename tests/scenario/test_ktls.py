"""Records made by the kernel (kTLS): that it does, and that nobody can tell.

Needs a kernel that has it: tests/vm/run where this one has not.
"""
# SPDX-License-Identifier: BSD-2-Clause
import hashlib
import ssl
import subprocess
import threading

import pytest

from conftest import need
from lib import conf, wait
from lib.client import compose
from lib.origin import big
from lib.tls import Certs, TlsClient, TlsOrigin, client_context
from lib.weir import run

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
MEGABYTES = 10 << 20


def is_usable():
    return "\nkTLS: usable" in run("-V")[1]


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = Certs()
    made.a = made.own("a", "a.example")
    yield made
    made.remove()


@pytest.fixture
def usable():
    """Without the kernel's part there is nothing to prove."""
    if not is_usable():
        pytest.skip("kernel or OpenSSL without kTLS")


def tls(certs, **options):
    return {"cert": certs.a[0], "key": certs.a[1], **options}


def listen(certs, **options):
    return [{"address": conf.address(),
             "tls": tls(certs, **{"ktls": True, **options})}]


@pytest.fixture
def weir(usable, start, certs, origin):
    return start(conf.proxy(origin, listen=listen(certs)))


def stat(name):
    """What the kernel has counted (its statistics of TLS)."""
    with open("/proc/net/tls_stat", encoding="ascii") as f:
        for line in f:
            key, value = line.split()
            if key == name:
                return int(value)
    return 0


def counted(weir, row="connections_total"):
    return weir.metrics().total("^weir_ktls_%s$" % row)


def read_slowly(client, size, step=65536):
    """The body behind a head that has come, in small receives."""
    digest, left = hashlib.sha256(), size
    while left > 0:
        data = client.sock.recv(min(step, left))
        assert data, "%d bytes are missing" % left
        digest.update(data)
        left -= len(data)
    return digest.digest()


# -- without it ------------------------------------------------------------

def test_does_without(start, certs, origin):
    """A kernel that has it not: told at load, and OpenSSL does it."""
    if is_usable():
        pytest.skip("this kernel has kTLS")
    weir = start(conf.proxy(origin, listen=listen(certs)))
    with TlsClient(weir.address) as client:
        assert client.get("/bytes/100000").body == big(100000)
    assert counted(weir) == 0
    assert weir.log.count("ktls: this ") == 1, weir.log


def test_other_ciphers(usable, start, certs, origin):
    """What the kernel does not know, OpenSSL encrypts; nothing is lost."""
    weir = start(conf.proxy(origin, listen=listen(
        certs, max_version="TLSv1.2",
        ciphers="ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")))
    with TlsClient(weir.address) as client:
        assert client.sock.cipher()[0] == "ECDHE-ECDSA-AES128-SHA256"
        assert client.get("/bytes/100000").body == big(100000)
    assert counted(weir) == 0


def test_off(usable, start, certs, origin):
    weir = start(conf.proxy(origin, listen=listen(certs, ktls=False)))
    with TlsClient(weir.address) as client:
        assert client.get("/bytes/1000").body == big(1000)
    assert counted(weir) == 0


# -- bodies ----------------------------------------------------------------

@pytest.mark.parametrize("version,cipher", [
    (V13, "TLS_AES_128_GCM_SHA256"), (V13, "TLS_AES_256_GCM_SHA384"),
    (V13, "TLS_CHACHA20_POLY1305_SHA256"),
    (V12, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (V12, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (V12, "ECDHE-ECDSA-CHACHA20-POLY1305")])
def test_the_kernel_encrypts(usable, start, certs, origin, version, cipher):
    """Each cipher that it knows: counted there, and right here."""
    options = {"suites": cipher} if version == V13 else {"ciphers": cipher}
    weir = start(conf.proxy(origin, listen=listen(certs, **options)))
    made = stat("TlsTxSw")
    with TlsClient(weir.address, client_context(version=version)) as client:
        assert client.sock.cipher()[0] == cipher
        for size in (0, 1, 1000, 16384, 16385, 300000):
            assert client.get("/bytes/%d" % size).body == big(size)
        assert client.get("/chunked/70000").body == big(70000)
        # Of all that run, at the same time too.
        assert stat("TlsTxSw") > made and stat("TlsCurrTxSw") > 0
        assert stat("TlsRxSw") == 0
        assert counted(weir) == 1


@pytest.mark.parametrize("version", [V13, V12])
def test_megabytes_to_a_slow_reader(weir, version):
    """More than any buffer on the way holds, received little by little."""
    client = TlsClient(weir.address, client_context(version=version),
                       rcvbuf=16384, timeout=60)
    with client:
        client.send(compose("GET", "/bytes/%d" % MEGABYTES))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.sock.recv(1)
        assert read_slowly(client, MEGABYTES) == hashlib.sha256(
            big(MEGABYTES)).digest()
        assert client.get("/hello").status == 200
    assert counted(weir) == 1


@pytest.mark.parametrize("size", [1000, 150000, 400000, 1 << 20])
def test_the_last_record_is_not_lost(weir, origin, size):
    """A close behind records for which TCP has no room yet."""
    clients = [TlsClient(weir.address, rcvbuf=4096 + 1024 * i, timeout=60)
               for i in range(6)]
    before = origin.bytes_received
    for client in clients:
        client.send(compose("GET", "/close/%d" % size,
                            [("Connection", "close")]))
    wait.until(lambda: origin.bytes_received > before)
    for client in clients:
        with client:
            assert client.response().body == big(size)
            assert client.closed() and not client.reader.truncated


def test_uploads(weir):
    """What is received is OpenSSL's, as ever."""
    body = big(3000000)
    want = "%d %s" % (len(body), hashlib.sha256(body).hexdigest())
    with TlsClient(weir.address, timeout=60) as client:
        assert client.request("POST", "/sha", body=body).body == want.encode()


def output(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, timeout=90,
                          check=False).stdout.decode()


def test_http2(usable, start, certs, origin, tmp_path):
    """Frames of several streams, which end when the connection does."""
    curl = need("curl")
    if "HTTP2" not in output(curl, "-V"):
        pytest.skip("curl without HTTP/2")
    weir = start(conf.proxy(origin, listen=[
        {**listen(certs)[0], "http2": True}]))
    sizes = [0, 1, 1000, 70000, 1000000, 1000001]
    words = []
    for size in sizes:
        words += ["-o", str(tmp_path / str(size)),
                  "https://%s:%d/bytes/%d" % (*weir.address, size)]
    told = output(curl, "-sSk", "--http2", "-Z", "-m", "60", "-w",
                        "%{http_version} %{http_code}\n", *words)
    assert told.splitlines() == ["2 200"] * len(sizes)
    for size in sizes:
        assert (tmp_path / str(size)).read_bytes() == big(size)
    assert counted(weir) >= 1


def test_towards_backends(usable, start, certs, origin_factory):
    """The same of what a backend is sent."""
    origin = origin_factory(certs.a, kind=TlsOrigin)
    weir = start(conf.config(
        conf.service({"path": "/", "upstream": "up"}),
        [conf.upstream("up", origin,
                       tls={"verify": False, "ktls": True})]))
    made = stat("TlsTxSw")
    body = big(1000000)
    want = "%d %s" % (len(body), hashlib.sha256(body).hexdigest())
    with weir.client(timeout=60) as client:
        assert client.request("POST", "/sha", body=body).body == want.encode()
        assert client.get("/bytes/100000").body == big(100000)
    assert counted(weir) == 1 and stat("TlsTxSw") > made


# -- what is no data -------------------------------------------------------

@pytest.mark.parametrize("version", [V13, V12])
def test_close_notify(weir, version):
    with TlsClient(weir.address, client_context(version=version)) as client:
        assert client.get("/hello", [("Connection", "close")]).status == 200
        assert client.closed() and not client.reader.truncated


@pytest.mark.parametrize("version", [V13, V12])
def test_tickets(weir, version):
    """A ticket is a record of its own kind, and good afterwards."""
    context = client_context(version=version)
    with TlsClient(weir.address, context) as client:
        assert client.get("/hello").status == 200
        session = client.sock.session
        assert not client.sock.session_reused
    for _ in range(3):
        with TlsClient(weir.address, context, session=session) as client:
            assert client.get("/bytes/70000").body == big(70000)
            assert client.sock.session_reused
            session = client.sock.session
    assert counted(weir) == 4


def test_an_alert(weir):
    """Refused renegotiation is told with a record of its own kind."""
    with Peer(weir, "-tls1_2") as peer:
        peer.send(b"R\n")
        peer.wait(b"no renegotiation")
    assert counted(weir) == 1


class Peer:
    """openssl s_client, of which we read what it says."""

    def __init__(self, weir, *args):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", "%s:%d" % weir.address,
             *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.said = b""
        self.reading = threading.Thread(target=self._read, daemon=True)
        self.reading.start()
        self.wait(b"Verify return code")

    def _read(self):
        while data := self.process.stdout.read1(65536):
            self.said += data

    def wait(self, text):
        wait.until(lambda: text in self.said, 20, what=text)

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.reading.join()
        self.process.stdin.close()
        self.process.stdout.close()


REQUEST = b"GET /echo/%s HTTP/1.1\r\nHost: a.example\r\n\r\n"


def test_new_keys_of_the_client(weir):
    """It may change its own as it likes."""
    with Peer(weir, "-tls1_3") as peer:
        for word in (b"first", b"second", b"third"):
            peer.said = b""
            peer.send(b"k\n")
            peer.wait(b"KEYUPDATE")
            peer.send(REQUEST % word)
            peer.wait(b'"/echo/%s"' % word)
    assert (counted(weir), counted(weir, "key_updates_total")) == (1, 0)


def test_new_keys_demanded_of_us(weir):
    """Which the kernel cannot have: an end, told as one."""
    with Peer(weir, "-tls1_3") as peer:
        peer.send(REQUEST % b"before")
        peer.wait(b'"/echo/before"')
        peer.send(b"K\n")
        peer.wait(b"KEYUPDATE")
        peer.process.wait(20)
        peer.reading.join()
        assert b"closed" in peer.said, peer.said
        assert b":error:" not in peer.said, peer.said
    wait.until(lambda: counted(weir, "key_updates_total") == 1)
