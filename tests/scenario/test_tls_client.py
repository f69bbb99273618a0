"""TLS towards clients: certificates by name, versions, mTLS, ends."""
# SPDX-License-Identifier: BSD-2-Clause
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from conftest import need
from lib import conf, wait
from lib.client import Client, compose
from lib.origin import big
from lib.tls import RSA, Certs, TlsClient, client_context, openssl
from lib.weir import run

pytestmark = pytest.mark.short
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
FACTS = "|".join("${tls.%s:-}" % name for name in (
    "version", "sni", "alpn", "resumed", "client.subject", "client.sans",
    "client.verify")) + "|${request.scheme}"


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = Certs()
    made.a = made.own("a", "a.example", "*.w.example")
    made.a_rsa = made.own("a-rsa", "a.example", kind=RSA)
    made.b = made.own("b", "b.example", kind=RSA)
    made.clients = made.ca("clients")
    made.others = made.ca("others")
    made.alice = made.signed("alice", made.clients, "alice.example",
                             "192.0.2.7")
    made.mallory = made.signed("mallory", made.others, "mallory")
    yield made
    made.remove()


def tls(pair, **options):
    return {"cert": pair[0], "key": pair[1], **options}


def listen(tls_options):
    return [{"address": conf.address(), "tls": tls_options}]


@pytest.fixture(scope="module")
def weir(start_shared, certs, origin):
    several = tls(certs.a, certificates=[
        tls(certs.a_rsa), tls(certs.b),
        tls(certs.b, names=["listed.example"])])
    routes = ({"path": "/facts", "respond": {"body": FACTS}},
              {"path": "/", "upstream": "up"})
    return start_shared(conf.config(
        [conf.service(*routes, listen=listen(several)),
         conf.service(*routes, name="require", listen=listen(tls(
             certs.a, verify="require", ca_file=certs.clients[0]))),
         conf.service(*routes, name="optional", listen=listen(tls(
             certs.a, verify="optional", ca_file=certs.clients[0]))),
         conf.service(*routes, name="modern",
                      listen=listen(tls(certs.a, profile="modern"))),
         conf.service(*routes, name="impatient", listen=listen(tls(
             certs.a, handshake_timeout="300ms")))],
        [conf.upstream("up", origin)], workers=2,
        error_log={"level": "info"}))


def facts(client, host="a.example"):
    return client.get("/facts", host=host).body.decode().split("|")


@pytest.mark.parametrize("name,want", [
    ("a.example", "a.example"), ("A.Example", "a.example"),
    ("x.w.example", "a.example"), ("b.example", "b.example"),
    ("listed.example", "b.example"), ("x.y.w.example", "a.example"),
    ("unknown.example", "a.example"), (None, "a.example")])
def test_certificate_by_name(weir, name, want):
    with TlsClient(weir.address, name=name) as client:
        assert client.peer == want
        assert client.get("/hello").status == 200


@pytest.mark.parametrize("algorithms,kind", [
    ("ECDSA+SHA256", "id-ecPublicKey"), ("RSA-PSS+SHA256", "rsaEncryption")])
def test_kind_of_key_is_the_clients_choice(weir, algorithms, kind):
    out = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % weir.address,
         "-servername", "a.example", "-sigalgs", algorithms],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, timeout=20).stdout
    assert kind in openssl("x509", "-noout", "-text", stdin=out).decode()


@pytest.mark.parametrize("version,want", [(V12, "TLSv1.2"),
                                          (V13, "TLSv1.3")])
def test_facts(weir, version, want):
    context = client_context(version=version, alpn=["http/1.1"])
    with TlsClient(weir.address, context, "a.example") as client:
        assert facts(client) == [want, "a.example", "http/1.1", "0", "", "",
                                 "none", "https"]


def test_profile_and_alpn_refuse(weir):
    with pytest.raises(ssl.SSLError):
        TlsClient(weir.addresses[3], client_context(version=V12))
    with pytest.raises(ssl.SSLError):
        TlsClient(weir.address, client_context(alpn=["spdy/1"]))
    with TlsClient(weir.addresses[3]) as client:
        assert facts(client)[0] == "TLSv1.3"


def test_scheme_reaches_the_backend(weir, origin):
    script = origin.script(lambda exchange: exchange.reply(200, "x"))
    with TlsClient(weir.address) as client:
        client.get(script.path)
    fields = script.wait().fields
    assert fields.one("x-forwarded-proto") == "https"


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 300000, 3000000])
def test_bodies_both_ways(weir, size):
    body = big(size)
    with TlsClient(weir.address) as client:
        for _ in range(2):
            response = client.request("POST", "/sha", body=body)
            assert response.body.decode() == "%d %s" % (
                size, hashlib.sha256(body).hexdigest())
            for path in ("/bytes/%d", "/chunked/%d"):
                assert client.get(path % size).body == body


def test_requests_in_pieces_and_behind_each_other(weir):
    request = compose("GET", "/hello")
    with TlsClient(weir.address) as client:
        for byte in request:
            client.send(bytes([byte]))
        assert client.response().status == 200
        client.send(request * 20)
        for _ in range(20):
            assert client.response().status == 200


def test_close_is_told(weir):
    """An answer that ends with the connection ends with close_notify."""
    with TlsClient(weir.address) as client:
        response = client.get("/hello", [("Connection", "close")])
        assert response.status == 200
        assert client.closed()
        assert not client.reader.truncated and not client.reader.reset


@pytest.mark.parametrize("version", [V12, V13])
def test_resumption(weir, version):
    context = client_context(version=version)
    with TlsClient(weir.address, context, "a.example") as client:
        facts(client)
        session = client.sock.session
    resumed = []
    # Two workers: each understands the other's tickets.
    for _ in range(8):
        with TlsClient(weir.address, context, "a.example",
                       session) as client:
            resumed.append(facts(client)[3])
    assert resumed == ["1"] * 8
    with TlsClient(weir.address, context, "b.example", session) as client:
        assert facts(client, "b.example")[3] == "0"
    other = weir.addresses[2]
    with TlsClient(other, context, "a.example", session) as client:
        assert facts(client)[3] == "0"


def test_a_new_ticket_with_each_resumption(weir):
    """RFC 8446, appendix C.4: no client has to use one twice."""
    context = client_context(version=V13)
    session, seen = None, []
    for _ in range(4):
        with TlsClient(weir.address, context, "a.example",
                       session) as client:
            seen.append(facts(client)[3])
            before, session = session, client.sock.session
            assert before is None or session.id != before.id
    assert seen == ["0", "1", "1", "1"]


@pytest.mark.parametrize("wanted,got", [
    ("AES256-GCM-SHA384 AES128-GCM-SHA256", "AES128-GCM-SHA256"),
    ("CHACHA20-POLY1305 AES128-GCM-SHA256", "CHACHA20-POLY1305"),
    ("AES256-GCM-SHA384 CHACHA20-POLY1305", "AES256-GCM-SHA384"),
])
def test_order_of_ciphers(weir, wanted, got):
    """The server's, but ChaCha20 for those who put it first."""
    context = client_context(version=V12)
    context.set_ciphers(":".join("ECDHE-ECDSA-" + name
                                 for name in wanted.split()))
    with TlsClient(weir.address, context, "a.example") as client:
        assert client.sock.cipher()[0] == "ECDHE-ECDSA-" + got


KNOBS = {
    # option, s_client's arguments that get this, and some that get nothing
    "min_version": ({"min_version": "TLSv1.3"}, ["-tls1_3"], "TLSv1.3",
                    ["-tls1_2"]),
    "max_version": ({"max_version": "TLSv1.2"}, [], "TLSv1.2", ["-tls1_3"]),
    "ciphers": ({"ciphers": "ECDHE-RSA-CHACHA20-POLY1305"}, ["-tls1_2"],
                "Cipher is ECDHE-RSA-CHACHA20-POLY1305",
                ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    "suites": ({"suites": "TLS_CHACHA20_POLY1305_SHA256"}, [],
               "Cipher is TLS_CHACHA20_POLY1305_SHA256",
               ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "groups": ({"groups": "P-384"}, [], "secp384r1", ["-groups", "X25519"]),
    "signature_algorithms": (
        {"signature_algorithms": "RSA-PSS+SHA384"}, [],
        "Peer signing digest: SHA384", ["-sigalgs", "RSA-PSS+SHA256"]),
    "prefer": ({"prefer": "client"}, [
        "-tls1_2", "-cipher",
        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"],
        "Cipher is ECDHE-RSA-AES256-GCM-SHA384", None),
    "tickets": ({"tickets": False}, ["-tls1_2"], "New, ", None),
}


@pytest.fixture(scope="module")
def knobs(start_shared, certs):
    return start_shared(conf.config([conf.service(
        {"path": "/", "respond": {"body": "x"}}, name=name,
        listen=listen(tls(certs.b, **row[0])))
        for name, row in KNOBS.items()]))


def shake(address, arguments):
    """What s_client says of a handshake; None if there was none."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % address, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, timeout=20)
    return done.stdout.decode() if done.returncode == 0 else None


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob(knobs, name):
    """Each option does what it says, and a client that has nothing in common
    with it gets no connection."""
    address = knobs.addresses[list(KNOBS).index(name)]
    options, good, want, bad = KNOBS[name]
    assert want in shake(address, good)
    if bad is not None:
        assert shake(address, bad) is None
    if name == "tickets":
        assert "TLS session ticket:" not in shake(address, good)


def test_client_certificate_as_headers(start, certs, origin):
    """Subject, names, serial, fingerprint, issuer and result reach the
    backend, in place of what the client says of itself."""
    names = ("subject", "sans", "serial", "fingerprint", "issuer", "verify")
    script = origin.script(lambda exchange: exchange.reply(200, "x"))
    weir = start(conf.proxy(
        origin, listen=listen(tls(certs.a, verify="optional",
                                  ca_file=certs.clients[0])),
        headers={"request": {"set": {
            "X-" + name: "${tls.client.%s:-}" % name for name in names}}}))

    def told(pair):
        with TlsClient(weir.address, client_context(pair=pair),
                       "a.example") as client:
            client.get(script.path, [("X-Issuer", "CN=liar"),
                                     ("X-Verify", "ok")], host="a.example")
        fields = script.exchanges[-1].fields
        return [fields.get("x-" + name) or "" for name in names]

    def of(what):
        out = openssl("x509", "-in", certs.alice[0], "-noout", *what)
        return out.decode().strip().partition("=")[2]
    assert told(certs.alice) == [
        "CN=alice.example", "DNS:alice.example,IP:192.0.2.7",
        of(["-serial"]),
        of(["-fingerprint", "-sha256"]).replace(":", "").lower(),
        "CN=clients", "ok"]
    assert told(None) == ["", "", "", "", "", "none"]


@pytest.mark.parametrize("depth", [0, 1])
def test_verify_depth(start, certs, origin, depth):
    """So many certificates may stand between."""
    middle = certs.signed("middle%d" % depth, certs.clients, "middle",
                          is_ca=True)
    leaf = certs.signed("leaf%d" % depth, middle, "leaf")
    chain = (certs.joined("chain%d.pem" % depth, leaf[0], middle[0]),
             leaf[1])
    weir = start(conf.proxy(origin, listen=listen(tls(
        certs.a, verify="require", ca_file=certs.clients[0],
        verify_depth=depth)), top={"error_log": {"level": "info"}}))
    context = client_context(pair=chain, version=V12)
    if depth == 1:
        with TlsClient(weir.address, context) as client:
            assert client.get("/hello").status == 200
    else:
        with pytest.raises(ssl.SSLError):
            TlsClient(weir.address, context)
        weir.wait_log("TLS handshake: .*chain too long")


def test_misdirected_over_h2(start, certs, origin):
    """421 on the one stream; the others of the connection are served."""
    if "no HTTP/2" in run("-V")[1]:
        pytest.skip("this weir has no HTTP/2")
    from lib import h2wire as h2
    weir = start(conf.proxy(origin, listen=[{
        "address": conf.address(), "http2": True, "tls": tls(
            certs.a, verify="require", ca_file=certs.clients[0])}]))
    context = client_context(pair=certs.alice, alpn=["h2"])
    with h2.Client(weir.address, tls=context, name="a.example") as client:
        other = client.request("/hello", authority="b.example")
        right = client.request("/hello", authority="a.example")
        assert client.wait(other).status == 421
        assert client.wait(right).status == 200


def test_client_certificate(weir, certs):
    good = client_context(pair=certs.alice, version=V12)
    with TlsClient(weir.addresses[1], good, "a.example") as client:
        assert facts(client)[4:7] == [
            "CN=alice.example", "DNS:alice.example,IP:192.0.2.7", "ok"]
        assert client.get("/facts", host="other.example").status == 421
        assert client.closed()
    for pair in (None, certs.mallory):
        with pytest.raises(ssl.SSLError):
            TlsClient(weir.addresses[1], client_context(pair=pair,
                                                        version=V12))
    weir.wait_log("TLS handshake: .*CN=mallory")


def test_optional_client_certificate(weir, certs):
    for pair, want in ((None, ["", "none"]), (certs.alice, [
            "CN=alice.example", "ok"])):
        context = client_context(pair=pair)
        with TlsClient(weir.addresses[2], context) as client:
            found = facts(client)
            assert [found[4], found[6]] == want
    bad = client_context(pair=certs.mallory)
    with TlsClient(weir.addresses[2], bad) as client:
        found = facts(client)
        assert found[4:6] == ["", ""]
        assert "certificate" in found[6]


def timeouts(weir):
    return weir.metrics().total("tls_handshakes_total$", outcome="timeout")


def test_slow_handshake_is_cut(weir):
    before = timeouts(weir)
    with Client(weir.addresses[4]) as client:
        client.send(b"\x16\x03\x01")
        assert client.closed()
    assert timeouts(weir) == before + 1


@pytest.mark.parametrize("hello", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_end_in_the_handshake(weir, hello):
    """Who leaves in it is let go at once, not after its time."""
    with socket.create_connection(weir.addresses[0], timeout=5) as s:
        s.sendall(hello)
        s.shutdown(socket.SHUT_WR)
        assert s.recv(100) == b""


def test_clear_text_on_a_tls_port(weir):
    with Client(weir.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.reader.rest()
    weir.wait_log("TLS handshake: http request")


def test_drain_ends_tls_connections(start, certs, origin):
    weir = start(conf.proxy(origin, listen=listen(tls(certs.a))))
    with TlsClient(weir.address) as client:
        assert client.get("/hello").status == 200
        weir.send_signal(signal.SIGTERM)
        wait.until(lambda: "draining" in weir.log or
                   weir.process.poll() is not None, what="a drain")
        assert "close" in client.get("/hello").fields.tokens("connection")
        assert client.closed()
    weir.wait_exit()


REFUSED = [
    # options, what the message says
    (lambda c: {"cert": c.a[0]}, "cert needs its key"),
    (lambda c: {}, "tls needs a certificate"),
    (lambda c: {"cert": c.a[0], "key": c.b[1]}, "not the certificate's"),
    (lambda c: {"cert": "/nowhere.pem", "key": c.b[1]}, "/nowhere.pem"),
    (lambda c: {"cert": c.a[1], "key": c.a[1]}, "no certificate"),
    (lambda c: {"cert": c.a[0], "key": c.a[0]}, "no private key"),
    (lambda c: tls(c.a, ciphers="NOPE"), 'ciphers "NOPE"'),
    (lambda c: tls(c.a, groups="nope"), 'groups "nope"'),
    (lambda c: tls(c.a, verify="require"), "ca_file"),
    (lambda c: tls(c.a, min_version="TLSv1.3", max_version="TLSv1.2"),
     "newer than max_version"),
    (lambda c: tls(c.a, ticket_key_files=[c.a[0]]), "a key has 80"),
]


@pytest.mark.parametrize("options,want", REFUSED)
def test_what_is_wrong_is_said(certs, tmp_path, origin, options, want):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.proxy(
        origin, listen=listen(options(certs)))).replace("@DIR@", "/tmp"))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and want in err
    assert "weir.conf:" in err


def test_warnings(certs, tmp_path, origin):
    pair = certs.own("open", "open.example")
    os.chmod(pair[1], 0o644)
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.proxy(
        origin, listen=listen(tls(pair)))).replace("@DIR@", "/tmp"))
    status, _, err = run("-t", "-c", path)
    assert status == 0 and "others can read this key" in err


@pytest.mark.root
def test_what_a_user_may_not_read(certs, origin):
    """-t loads every pair that it may read, and says which it may not."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = certs.path("weir.conf")
    bad = certs.own("bad", "bad.example")
    os.chmod(bad[1], 0o644)
    os.chmod(certs.b[1], 0o640)
    for pairs, status, words in (
            ([certs.b], 0, "b.key: not tested: this user may not read it"),
            ([certs.b, (certs.a[0], bad[1])], 2, "not the certificate's")):
        with open(path, "w") as f:
            f.write(conf.document(conf.proxy(origin, listen=listen(
                {"certificates": [tls(pair) for pair in pairs]}),
                top={"pid_file": "/nowhere/pid"})))
        os.chmod(path, 0o644)
        got, _, err = run("-t", "-c", path, user=65534, group=65534,
                          extra_groups=[])
        assert got == status and words in err, err


def test_passphrase_and_relative_paths(start, certs, origin):
    cert, key = certs.own("locked", "locked.example")
    openssl("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out",
            certs.path("locked.enc"))
    with open(cert) as f, open(certs.path("locked.enc")) as g:
        files = {"c.pem": f.read(), "k.pem": g.read(), "pass": "secret\n"}
    for how in ({"passphrase_file": "pass"},
                {"passphrase_command": "echo secret"}):
        weir = start(conf.proxy(origin, listen=listen(
            {"cert": "c.pem", "key": "k.pem", **how})), files=files)
        with TlsClient(weir.address) as client:
            assert client.peer == "locked.example"


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("command,want", [
    ("echo secret; exit 3", "it ended with status 3"),
    ("nonexistent-command", r"status 127 \(not found\)"),
    ("kill -9 $$", "it was ended by SIGKILL"),
    ("head -c 5000 /dev/zero | tr '\\0' x", "its line has more than 1022"),
    ("echo wrong", "wrong passphrase"),
    pytest.param("sleep 600", "it was killed: it took more than 10000 ms",
                 marks=pytest.mark.long)])
def test_passphrase_command_that_fails(certs, origin, tmp_path, command, want,
                                       isolated):
    """Refused with its place, and nothing of it stays."""
    pair = certs.own("shut", "shut.example")
    openssl("ec", "-in", pair[1], "-aes256", "-passout", "pass:secret",
            "-out", certs.path("shut.enc"))
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.proxy(origin, listen=listen(
        {"cert": pair[0], "key": certs.path("shut.enc"),
         "passphrase_command": command}), top={"key_isolation": isolated}))
        .replace("@DIR@", "/tmp"))
    status, _, err = run("-t", "-c", path, timeout=60)
    assert status == 2 and re.search(
        r"weir.conf:\d+:.*error:.*%s" % want, err), err


def test_slow_reader_over_tls(weir):
    """What the kernel refuses waits as records, in order."""
    with TlsClient(weir.address, rcvbuf=4096) as client:
        client.send(compose("GET", "/bytes/2000000"))
        assert client.response(timeout=20).body == big(2000000)
        assert client.get("/hello").status == 200


# -- while it serves ------------------------------------------------------


def put(weir, pair, name="c"):
    """Replace a pair, the certificate first: for a moment they differ."""
    for source, suffix in zip(pair, (".pem", ".key")):
        with open(source) as f:
            path = weir.write(name + suffix + ".new", f.read())
        os.rename(path, weir.path(name + suffix))


def peers(weir, address=None, count=8):
    """Which certificate each of some connections got."""
    found = set()
    for _ in range(count):
        with TlsClient(address or weir.address) as client:
            found.add(client.sock.getpeercert(True))
    return found


def der(pair):
    return openssl("x509", "-in", pair[0], "-outform", "DER")


def watched(start, origin, pair, **top):
    with open(pair[0]) as f, open(pair[1]) as g:
        files = {"c.pem": f.read(), "c.key": g.read()}
    return start(conf.proxy(origin, listen=listen(
        {"cert": "c.pem", "key": "c.key"}), top={"workers": 2, **top}),
        files=files)


def test_replaced_certificate_is_used(start, certs, origin):
    old = certs.own("old", "watched.example")
    new = certs.own("new", "watched.example", "more.example")
    weir = watched(start, origin, old)
    with TlsClient(weir.address) as kept:
        assert peers(weir) == {der(old)}
        put(weir, new)
        wait.until(lambda: peers(weir) == {der(new)}, 20)
        assert kept.get("/hello").status == 200
    assert "has changed and is used" in weir.log
    # One that is forked later has it as well.
    victim = weir.workers()[0]
    weir.expect_new_children()
    os.kill(victim, signal.SIGKILL)
    wait.until(lambda: len(weir.workers()) == 2
               and victim not in weir.workers(), 10)
    wait.until(lambda: peers(weir) == {der(new)}, 10)


def chained(certs, name, ca, days=30):
    """A pair with an intermediate behind it."""
    middle = certs.signed(name + "-middle", ca, "middle", is_ca=True,
                          days=days)
    leaf = certs.signed(name, middle, "watched.example")
    return certs.joined(name + "-all.pem", leaf[0], middle[0]), leaf[1]


@pytest.mark.parametrize("how,why", [
    ("key", "the key is not the certificate's"),
    ("names", "it is not for watched.example any more"),
    ("expired", "it has expired"), ("kind", "the key is of another kind"),
    ("broken", "no certificate"), ("gone", "reading .*c.pem"),
    ("chain", "none of the certificates behind it has signed it"),
    ("no chain", "the chain behind it is missing"),
    ("old chain", "a certificate behind it has expired")])
def test_bad_replacement_is_not_used(start, certs, origin, how, why):
    old = certs.own("old-" + how, "watched.example")
    if "chain" in how:
        old = chained(certs, "chain-" + how, certs.others)
    weir = watched(start, origin, old)
    if how == "key":
        put(weir, (old[0], certs.b[1]))
    elif how == "names":
        put(weir, certs.a)
    elif how == "expired":
        ca = certs.ca("ca-expired")
        put(weir, certs.signed("was", ca, "watched.example", days=-1))
    elif how == "kind":
        put(weir, certs.own("rsa-" + how, "watched.example", kind=RSA))
    elif how == "chain":
        new = certs.signed("new-" + how, certs.clients, "watched.example")
        put(weir, (certs.joined("wrong.pem", new[0], certs.others[0]),
                   new[1]))
    elif how == "no chain":
        put(weir, certs.signed("new-" + how, certs.others,
                               "watched.example"))
    elif how == "old chain":
        put(weir, chained(certs, "new-" + how, certs.others, days=-1))
    elif how == "broken":
        weir.write("c.pem", "nothing\n")
    else:
        os.unlink(weir.path("c.pem"))
    weir.wait_log("is not used; the old one stays: .*" + why, 20)
    assert peers(weir) == {der(old)}
    assert weir.log.count("is not used") == 1


def test_days_to_expiry(start, certs, origin):
    weir = watched(start, origin, certs.own("ten", "ten.example", days=10),
                   control={"path": "@DIR@/control.sock"})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(8)
        sock.connect(weir.path("control.sock"))
        sock.sendall(b"certs\n")
        answer = json.loads(sock.makefile().readline())
    assert answer["ok"], answer
    found, = answer["result"]["certs"]
    assert (found["name"], found["key"]) == ("ten.example", "ECDSA")
    # A second less than ten days, unless all was done in the same one.
    assert found["days"] in (9, 10)
    wait.until(lambda: weir.metrics().total("tls_certificate_days$")
               in (9, 10), 8)


def test_resumption_after_a_reload(start, certs, origin):
    weir = watched(start, origin, certs.own("again", "again.example"))
    context = client_context(version=V12)
    with TlsClient(weir.address, context) as client:
        session = client.sock.session
        client.get("/hello")
    before = weir.workers()
    weir.expect_new_children()
    weir.send_signal(signal.SIGHUP)
    wait.until(lambda: len(set(weir.workers()) - set(before)) == 2, 20)
    for _ in range(6):
        with TlsClient(weir.address, context, None, session) as client:
            assert client.sock.session_reused


def test_ticket_key_files(start, certs, origin):
    """Two weirs with one key understand each other's tickets."""
    key = os.urandom(80)
    pair = certs.own("shared", "shared.example")
    address = conf.address()
    context = client_context(version=V12)
    session = None
    for _ in range(2):
        weir = start(conf.proxy(origin, listen=[{
            "address": address,
            "tls": tls(pair, ticket_key_files=["ticket.key"])}]),
            files={"ticket.key": key})
        with TlsClient(weir.address, context, None, session) as client:
            assert client.sock.session_reused == (session is not None)
            session = client.sock.session
        weir.stop()


def test_ocsp_response_is_stapled(start, certs, origin):
    ca = certs.ca("ocsp-ca")
    pair = certs.signed("stapled", ca, "stapled.example")
    serial = openssl("x509", "-in", pair[0], "-noout",
                     "-serial").decode().strip().partition("=")[2]
    index = certs.path("index.txt")
    with open(index, "w") as f:
        f.write("V\t350101000000Z\t\t%s\tunknown\t/CN=stapled.example\n"
                % serial)
    openssl("ocsp", "-issuer", ca[0], "-cert", pair[0], "-reqout",
            certs.path("req.der"))
    openssl("ocsp", "-index", index, "-rsigner", ca[0], "-rkey", ca[1],
            "-CA", ca[0], "-reqin", certs.path("req.der"), "-respout",
            certs.path("resp.der"), "-ndays", "7")
    weir = start(conf.proxy(origin, listen=listen(tls(
        pair, ocsp_file=certs.path("resp.der")))))
    out = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % weir.address,
         "-status"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, timeout=20).stdout.decode()
    assert "OCSP Response Status: successful" in out
    assert "Cert Status: good" in out


@pytest.mark.long
def test_thousands_of_certificates(certs, tmp_path):
    """5,000 pairs in files of their own: loaded in less than five seconds of
    one CPU, and none is too many to be chosen by its name."""
    for i in range(5000):
        for source, suffix in zip(certs.a, ("pem", "key")):
            shutil.copy(source, tmp_path / ("%d.%s" % (i, suffix)))
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        {"path": "/", "respond": {"body": "x"}},
        listen=listen({"certificates": [
            {"cert": "%d.pem" % i, "key": "%d.key" % i,
             "names": ["n%d.example" % i]} for i in range(5000)]})))))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, _, err = run("-t", "-c", path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert status == 0, err[-1000:]
    assert (after.ru_utime + after.ru_stime
            - before.ru_utime - before.ru_stime) < 5
