"""OCSP responses that weir fetches and staples, and responders that lie."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import need
from lib import conf, wait
from lib.tls import Certs, RSA, openssl
from lib.weir import run
from test_upgrade import Instance

pytestmark = pytest.mark.short


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Authority:
    """A CA with the index that its responder reads."""

    def __init__(self, certs, name):
        self.certs, self.name = certs, name
        self.pair = certs.ca(name, kind=RSA)
        self.index = certs.path(name + ".index")

    def issue(self, file, url, state="V"):
        """(certificate with its issuer, key); known to the index."""
        pair = self.certs.signed(
            file, self.pair, file + ".example",
            extra="authorityInfoAccess=OCSP;URI:%s\n" % url if url else "")
        serial = openssl("x509", "-in", pair[0], "-noout",
                         "-serial").decode().strip().partition("=")[2]
        with open(self.index, "a") as f:
            f.write("%s\t350101000000Z\t%s\t%s\tunknown\t/CN=%s\n" % (
                state, "250101000000Z" if state == "R" else "", serial,
                file))
        return self.certs.joined(file + "-chain.pem", pair[0],
                                 self.pair[0]), pair[1]

    def answer(self, pair, signer=None):
        """The DER of a response about that certificate."""
        request, out = (self.certs.path("q.der"), self.certs.path("a.der"))
        openssl("ocsp", "-issuer", self.pair[0], "-cert", pair[0],
                "-reqout", request, "-no_nonce")
        signer = signer or self.pair
        openssl("ocsp", "-index", self.index, "-rsigner", signer[0],
                "-rkey", signer[1], "-CA", self.pair[0], "-reqin", request,
                "-respout", out, "-ndays", 1)
        with open(out, "rb") as f:
            return f.read()

    def old_answer(self, pair):
        """The same with dates of last year, signed anew: RSA signatures are
        all of one size, so that nothing else moves."""
        der = bytearray(self.answer(pair))

        def inside(at):
            """(begin, end) of the value of the element there."""
            size, begin = der[at + 1], at + 2
            if size & 0x80:
                count = size & 0x7f
                size = int.from_bytes(der[begin:begin + count], "big")
                begin += count
            return begin, begin + size
        # OCSPResponse: status, [0] { SEQUENCE { OID, OCTET STRING { basic
        at = inside(0)[0]
        at = inside(inside(inside(inside(at)[1])[0])[0])
        basic = inside(inside(at[1])[0])[0]
        begin, end = inside(basic)
        tbs = slice(basic, end)
        year = b"%04d" % time.gmtime().tm_year
        der[tbs] = re.sub(br"(\x18\x0f)\d{4}(\d{10}Z)", br"\g<1>2020\2",
                          bytes(der[tbs]))
        assert year + b"0" not in der[tbs]
        algorithm_end = inside(end)[1]
        sign_begin, sign_end = inside(algorithm_end)
        name = self.certs.path("tbs.der")
        with open(name, "wb") as f:
            f.write(der[tbs])
        signed = openssl("dgst", "-sha256", "-sign", self.pair[1], name)
        assert len(signed) == sign_end - sign_begin - 1
        der[sign_begin + 1:sign_end] = signed
        return bytes(der)


class Responder:
    """openssl ocsp -port: a real one."""

    def __init__(self, authority, port):
        log = authority.certs.path("responder-%d.log" % port)
        self.process = subprocess.Popen(
            ["openssl", "ocsp", "-index", authority.index, "-port", str(port),
             "-rsigner", authority.pair[0], "-rkey", authority.pair[1],
             "-CA", authority.pair[0], "-ndays", "1"],
            stdout=open(log, "w"), stderr=subprocess.STDOUT)

        def is_ready():
            with open(log) as f:
                return "waiting" in f.read()
        # Not by a connection: one without a request confuses it.
        wait.until(is_ready, 20)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Liars(ThreadingHTTPServer):
    """By path: bytes of an answer, or a function that handles it."""

    daemon_threads = True

    def __init__(self):
        self.answers, self.asked = {}, []
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Liar)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.server_port, path)


class Liar(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.asked.append((self.path, self.rfile.read(length)))
        answer = self.server.answers[self.path]
        if callable(answer):
            answer(self)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *unused):
        pass


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = Certs()
    yield made
    made.remove()


@pytest.fixture()
def liars():
    made = Liars()
    yield made
    made.closing.set()
    made.shutdown()
    made.server_close()


def stapled(weir, name):
    """What s_client says of the response for that server name."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % weir.address[:2],
         "-status", "-servername", name], input=b"", timeout=20,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode(errors="replace")
    if "OCSP Response Status: successful" in text:
        return "good" if "Cert Status: good" in text else "bad"
    assert "OCSP response: no response sent" in text, text[:2000]
    return None


def listing(weir):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(weir.path("control.sock"))
        s.sendall(b"certs\n")
        with s.makefile() as answer:
            rows = json.loads(answer.readline())["result"]["certs"]
    return {row["name"]: row for row in rows}


def fetches(weir, outcome):
    return weir.metrics().sum("weir_proxy_ocsp_fetches_total",
                              outcome=outcome)


def start_with(start, origin, pairs, workers=1, **options):
    rows = [{"cert": pair[0], "key": pair[1], "ocsp_fetch": True, **options}
            for pair in pairs]
    return start(conf.proxy(origin, listen=[{
        "address": conf.address(),
        "tls": {"certificates": rows}}],
        top={"workers": workers, "control": {"path": "@DIR@/control.sock"}}))


def test_fetched_and_stapled(start, certs, origin):
    """By all workers, those of a reload and those forked later, too."""
    port = free_port()
    authority = Authority(certs, "real")
    pair = authority.issue("fetched", "http://127.0.0.1:%d/" % port)
    responder = Responder(authority, port)
    try:
        weir = start_with(start, origin, [pair], workers=2)
        wait.until(lambda: all(stapled(weir, "fetched.example") == "good"
                               for _ in range(4)), 20)
        row = listing(weir)["fetched.example"]
        assert row["ocsp"] == "stapled" and row["ocsp_until"].endswith("Z")
        assert fetches(weir, "good") >= 1
        assert fetches(weir, "failed") == 0
    finally:
        responder.stop()
    victim = weir.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait.until(lambda: len(weir.workers()) == 2
               and victim not in weir.workers())
    weir.expect_new_children()
    wait.until(lambda: all(stapled(weir, "fetched.example") == "good"
                           for _ in range(4)))
    before = weir.workers()
    weir.send_signal(signal.SIGHUP)
    wait.until(lambda: len(weir.workers()) == 2 and
               not set(weir.workers()) & set(before), 20)
    weir.expect_new_children()
    assert all(stapled(weir, "fetched.example") == "good" for _ in range(4))


def test_after_an_upgrade(start, certs, origin):
    """The successor fetches at once; a reload of it, with the responder gone,
    begins with what it has."""
    port = free_port()
    authority = Authority(certs, "upgraded")
    pair = authority.issue("moved", "http://127.0.0.1:%d/" % port)
    responder = Responder(authority, port)
    weir = None
    try:
        weir = Instance(start, conf.proxy(origin, listen=[{
            "address": conf.address(), "tls": {"certificates": [
                {"cert": pair[0], "key": pair[1], "ocsp_fetch": True}]}}],
            top={"workers": 2, "upgrade_sock": "@DIR@/run/up.sock",
                 "pid_file": "@DIR@/run/weir.pid"}))
        wait.until(lambda: stapled(weir, "moved.example") == "good", 20)
        weir.send(signal.SIGUSR2)
        weir.wait_taken()
        weir.wait_gone(weir.first, 20)
        wait.until(lambda: all(stapled(weir, "moved.example") == "good"
                               for _ in range(4)), 20)
        responder.stop()
        weir.send(signal.SIGHUP)
        weir.wait_log("reloaded: generation 2 serves", 20)
        assert all(stapled(weir, "moved.example") == "good"
                   for _ in range(8))
    finally:
        responder.stop()
        if weir:
            weir.finish()


@pytest.mark.long
def test_lost_on_its_way(start, certs, origin):
    """A response that the master could not take is fetched once more."""
    port = free_port()
    authority = Authority(certs, "losing")
    pair = authority.issue("lost", "http://127.0.0.1:%d/" % port)
    weir = start_with(start, origin, [pair])
    weir.wait_log("it is tried again")
    before = resource.prlimit(weir.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (4, before[1]))
    responder = Responder(authority, port)
    try:
        wait.until(lambda: fetches(weir, "good") == 1, 30)
        weir.wait_log("receiving a message between processes: Too many open")
        resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, before)
        assert stapled(weir, "lost.example") is None
        wait.until(lambda: stapled(weir, "lost.example") == "good", 60)
        assert fetches(weir, "good") == 2
    finally:
        responder.stop()


def test_responder_comes_later(start, certs, origin):
    """Asked again after some seconds; a failure is one line."""
    port = free_port()
    authority = Authority(certs, "later")
    pair = authority.issue("late", "http://127.0.0.1:1/")
    weir = start_with(start, origin, [pair],
                      ocsp_responder="http://localhost:%d/x" % port)
    weir.wait_log(r"error: OCSP response for .*late-chain.pem from "
                  r"localhost:%d: Connection refused; it is tried again"
                  % port)
    assert stapled(weir, "late.example") is None
    row = listing(weir)["late.example"]
    assert row["ocsp"] == "missing"
    assert row["ocsp_why"] == "Connection refused"
    responder = Responder(authority, port)
    try:
        weir.wait_log("OCSP response for .*: there is one again", 30)
        wait.until(lambda: stapled(weir, "late.example") == "good")
    finally:
        responder.stop()
    assert "ocsp_why" not in listing(weir)["late.example"]


def silent(liar):
    liar.server.closing.wait(60)


def endless(liar):
    liar.send_response(200)
    liar.end_headers()
    try:
        for _ in range(64):
            liar.wfile.write(b"x" * 4096)
    except OSError:
        pass


def broken(liar):
    liar.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


def no_http(liar):
    liar.wfile.write(b"hello\r\n\r\n")


def test_liars_change_nothing(start, certs, origin, liars):
    """Each says something else; weir says one line of each, and staples
    nothing but what is true."""
    authority = Authority(certs, "true")
    other = Authority(certs, "false")
    names = {
        "garbage": "it is no OCSP response",
        "empty": "it is no OCSP response",
        "trailing": "it is no OCSP response",
        "stranger": "it is about another certificate",
        "forged": "it is not signed by the certificate's issuer",
        "expired": "it has expired",
        "revoked": "it says that the certificate is revoked",
        "later": "the responder says: trylater",
        "missing": "it answers with status 404",
        "endless": "the answer is too large",
        "broken": "it closed before it had answered",
        "nohttp": "the answer is no HTTP",
        "silent": "it does not answer",
    }
    pairs = {name: authority.issue(name, liars.url("/" + name),
                                   "R" if name == "revoked" else "V")
             for name in list(names) + ["honest"]}
    good = authority.answer(pairs["honest"])
    answers = {
        "garbage": b"\x30\x82nothing", "empty": b"",
        "trailing": authority.answer(pairs["trailing"]) + b"x",
        "stranger": good, "honest": good,
        "forged": authority.answer(pairs["forged"], signer=other.pair),
        "expired": authority.old_answer(pairs["expired"]),
        "revoked": authority.answer(pairs["revoked"]),
        "later": b"\x30\x03\x0a\x01\x03",
        "missing": lambda liar: liar.send_error(404),
        "endless": endless, "broken": broken, "nohttp": no_http,
        "silent": silent,
    }
    liars.answers = {"/" + name: answer for name, answer in answers.items()}
    weir = start_with(start, origin, pairs.values())
    for name, why in names.items():
        weir.wait_log(r"OCSP response for \S*/%s-chain.pem from "
                      r"127.0.0.1:\d+: %s" % (name, re.escape(why)), 30)
    wait.until(lambda: stapled(weir, "honest.example") == "good")
    # Asked again meanwhile, and not said again.
    wait.until(lambda: [path for path, _ in liars.asked].count(
        "/garbage") >= 2, 20)
    for name in names:
        assert stapled(weir, name + ".example") is None, name
        assert len(re.findall("for \\S*/%s-chain.pem from" % name,
                              weir.log)) == 1, name
    assert stapled(weir, "honest.example") == "good"
    assert fetches(weir, "failed") >= len(names)


def test_what_cannot_be_fetched_is_said(certs, tmp_path):
    """The configuration holds; a warning names what is missing."""
    authority = Authority(certs, "warn")
    pair = authority.issue("nowhere", None)
    alone = certs.signed("alone", authority.pair, "alone.example")

    def test(pair, **options):
        path = tmp_path / "weir.conf"
        path.write_text(conf.document(conf.config([conf.service(
            {"path": "/", "respond": {"body": "x"}}, listen=[{
                "address": conf.address(),
                "tls": {"cert": pair[0], "key": pair[1], **options}}])])))
        status, _, err = run("-t", "-c", path)
        return status, err
    status, err = test(pair, ocsp_fetch=True)
    assert status == 0 and "names no OCSP responder" in err
    status, err = test(alone, ocsp_fetch=True)
    assert status == 0 and "needs the issuer's certificate" in err
    status, err = test(pair, ocsp_fetch=True,
                       ocsp_responder="https://ocsp.example/")
    assert status == 0 and "only http is spoken" in err
    status, err = test(pair, ocsp_fetch=True, ocsp_file="x.der")
    assert status == 2 and "not both" in err
    status, err = test(pair, ocsp_responder="http://ocsp.example/")
    assert status == 2 and "needs ocsp_fetch" in err


def put(weir, name, content):
    weir.write(name + ".new", content)
    os.rename(weir.path(name + ".new"), weir.path(name))


def test_file_is_checked_and_watched(start, certs, origin):
    """A response in a file: for another certificate, or old: not stapled."""
    authority = Authority(certs, "filed")
    pair = authority.issue("filed1", None)
    second = authority.issue("filed2", None)
    weir = start(conf.proxy(origin, listen=[{
        "address": conf.address(), "tls": {
            "cert": pair[0], "key": pair[1], "ocsp_file": "r.der"}}]),
        files={"r.der": authority.answer(second)})
    assert re.search("warning: .*r.der: nothing is stapled: it is about "
                     "another certificate", weir.log)
    assert stapled(weir, "filed1.example") is None
    put(weir, "r.der", authority.answer(pair))
    wait.until(lambda: stapled(weir, "filed1.example") == "good", 20)
    for content, why in ((authority.old_answer(pair),
                          "it has expired"),
                         (b"x", "it is no OCSP response")):
        put(weir, "r.der", content)
        weir.wait_log("is not used; the old one stays: .*r.der: " + why, 20)
        assert stapled(weir, "filed1.example") == "good"
