"""Trust, revocation, ticket keys and own certificates, replaced while weir
serves: used without a reload, or the old ones stay and one line says why."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import resource
import shutil
import signal
import ssl
import subprocess
from contextlib import closing

import pytest

from conftest import need
from lib import conf, proc, wait
from lib.client import once
from lib.tls import Certs, TlsClient, TlsOrigin, client_context
from lib.weir import run

pytestmark = pytest.mark.short

V12 = ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = Certs()
    made.own_pair = made.own("server", "a.example")
    made.first = made.ca("first")
    made.second = made.ca("second")
    made.alice = made.signed("alice", made.first, "alice.example")
    made.bob = made.signed("bob", made.first, "bob.example")
    made.carol = made.signed("carol", made.second, "carol.example")
    yield made
    made.remove()


def put(weir, name, path):
    """As an admin should: a new file in the place of the old one."""
    shutil.copy(path, weir.path(name + ".new"))
    os.chmod(weir.path(name + ".new"), 0o600)
    os.rename(weir.path(name + ".new"), weir.path(name))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def mutual(start, certs, origin, files, workers=2, **options):
    return start(conf.proxy(origin, listen=[{
        "address": conf.address(),
        "tls": {"cert": certs.own_pair[0], "key": certs.own_pair[1],
                "verify": "require", "ca_file": "ca.pem", **options}}],
        top={"workers": workers,
             "error_log": {"level": "info"}}),
        files={"ca.pem": read(certs.first[0]), **files})


def is_let_in(weir, pair, session=None):
    try:
        with TlsClient(weir.address, client_context(pair=pair, version=V12),
                       session=session) as client:
            return client.get("/hello").status == 200
    except (ssl.SSLError, ConnectionError):
        return False


def everywhere(weir, pair, want):
    return all(is_let_in(weir, pair) == want for _ in range(8))


def used(weir, name, count=1):
    wait.until(lambda: len(re.findall(
        r"\S*/%s has changed and is used" % name, weir.log)) == count, 20,
        what=weir.log)


def test_client_ca(start, certs, origin):
    weir = mutual(start, certs, origin, {})
    assert is_let_in(weir, certs.alice) and not is_let_in(weir, certs.carol)
    context = client_context(pair=certs.alice, version=V12)
    with TlsClient(weir.address, context) as kept:
        session = kept.sock.session
        put(weir, "ca.pem", certs.second[0])
        used(weir, "ca.pem")
        wait.until(lambda: everywhere(weir, certs.carol, True))
        assert everywhere(weir, certs.alice, False)
        # What was let in goes on; its session is worth nothing any more.
        assert kept.get("/hello").status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(weir.address, context, session=session)
    weir.write("ca.pem", b"-----BEGIN CERTIFICATE-----\nnothing\n")
    weir.wait_log("CA certificates of .*/ca.pem has changed and is not used; "
                  "the old one stays: certificate 1: ", 20)
    assert everywhere(weir, certs.carol, True)
    assert weir.log.count("is not used") == 1


def test_revoked_client(start, certs, origin):
    """Let in, then revoked, then let in again by the next list."""
    none = certs.crl("none.crl", certs.first)
    bobs = certs.crl("bob.crl", certs.first, certs.bob[0])
    weir = mutual(start, certs, origin, {"revoked.pem": read(none)},
                  crl_file="revoked.pem")
    assert is_let_in(weir, certs.alice) and is_let_in(weir, certs.bob)
    context = client_context(pair=certs.bob, version=V12)
    with TlsClient(weir.address, context) as client:
        session = client.sock.session
    put(weir, "revoked.pem", bobs)
    used(weir, "revoked.pem")
    wait.until(lambda: everywhere(weir, certs.bob, False))
    weir.wait_log("certificate revoked: CN=bob.example")
    assert everywhere(weir, certs.alice, True)
    # No way round it by a session of before.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(weir.address, context, session=session)
    put(weir, "revoked.pem", certs.crl("old.crl", certs.first, days=-1))
    weir.wait_log("revoked.pem has changed and is not used; the old one "
                  "stays: the list of revoked certificates of CN=first has "
                  "expired at 20", 20)
    assert everywhere(weir, certs.bob, False)
    assert everywhere(weir, certs.alice, True)
    put(weir, "revoked.pem", none)
    wait.until(lambda: everywhere(weir, certs.bob, True), 20)


def test_expired_list_at_the_start(start, certs, origin, tmp_path):
    """It is said, and nobody is let in by a list that may miss somebody."""
    old = certs.crl("start.crl", certs.first, days=-1)
    weir = mutual(start, certs, origin, {"revoked.pem": read(old)},
                  crl_file="revoked.pem", workers=1)
    assert not is_let_in(weir, certs.alice)
    weir.wait_log("CRL has expired: CN=alice.example")
    status, _, err = run("-t", "-c", weir.path("weir.conf"))
    assert status == 0 and re.search(
        r"warning: .*revoked.pem: the list of revoked certificates of "
        r"CN=first has expired", err), err
    put(weir, "revoked.pem", certs.crl("fresh.crl", certs.first))
    wait.until(lambda: is_let_in(weir, certs.alice), 20)


def test_ticket_keys(start, certs, origin):
    """Sessions under the old key end, unless it is the second one now."""
    first, second = os.urandom(80), os.urandom(80)
    weir = start(conf.proxy(origin, listen=[{
        "address": conf.address(),
        "tls": {"cert": certs.own_pair[0], "key": certs.own_pair[1],
                "ticket_key_files": ["new.key", "old.key"]}}],
        top={"workers": 2}),
        files={"new.key": first, "old.key": os.urandom(80)})
    context = client_context(version=V12)

    def resumes(session):
        with TlsClient(weir.address, context, session=session) as client:
            return client.sock.session_reused
    with TlsClient(weir.address, context) as client:
        session = client.sock.session
    assert all(resumes(session) for _ in range(8))
    weir.write("new.key", second)
    used(weir, "new.key")
    wait.until(lambda: not any(resumes(session) for _ in range(8)))
    weir.write("old.key", first)
    used(weir, "old.key")
    wait.until(lambda: all(resumes(session) for _ in range(8)))
    weir.write("old.key", first[:79])
    weir.wait_log("old.key has changed and is not used; the old one stays: "
                  "it has 79 bytes", 20)
    assert all(resumes(session) for _ in range(8))




def test_trust_in_backends(start, certs):
    """Changed trust: an idle connection of before is not used again."""
    server = certs.signed("b1", certs.first, "backend.example")
    with closing(TlsOrigin(server)) as origin:
        weir = start(conf.proxy(origin, up={"retries": 0, "tls": {
            "sni": "backend.example", "ca_file": "trust.pem"}}),
            files={"trust.pem": read(certs.first[0])})
        for _ in range(3):
            assert once(weir.address, target="/hello").status == 200
        assert len(origin.connections) == 1
        put(weir, "trust.pem", certs.second[0])
        used(weir, "trust.pem")
        wait.until(lambda: once(weir.address, target="/hello").status == 502)
        weir.write("trust.pem", "nothing\n")
        weir.wait_log("trust.pem has changed and is not used; the old one "
                      "stays: no certificate", 20)
        assert once(weir.address, target="/hello").status == 502
        put(weir, "trust.pem", certs.joined("both.pem", certs.first[0],
                                            certs.second[0]))
        wait.until(lambda: once(weir.address, target="/hello").status == 200,
                   20)


def test_trust_over_http2(start, certs, tmp_path):
    """A connection that carries many requests at once is left, too."""
    if "no HTTP/2" in run("-V")[1]:
        pytest.skip("this weir has no HTTP/2")
    server = certs.signed("b4", certs.first, "backend.example")
    (tmp_path / "page").write_text("hello\n")
    port = conf.free_port()
    process = subprocess.Popen(
        [need("nghttpd"), "-a", "127.0.0.1", "-d", str(tmp_path), str(port),
         server[1], server[0]],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def status(weir):
        return once(weir.address, target="/page").status
    try:
        weir = start(conf.proxy(
            "127.0.0.1:%d" % port, up={
                "retries": 0, "protocol": "h2", "tls": {
                    "sni": "backend.example", "ca_file": "trust.pem"}}),
            files={"trust.pem": read(certs.first[0])})
        wait.until(lambda: status(weir) == 200)
        put(weir, "trust.pem", certs.second[0])
        used(weir, "trust.pem")
        wait.until(lambda: status(weir) == 502)
        assert [status(weir) for _ in range(3)] == [502] * 3
    finally:
        process.kill()
        process.wait()


def test_revoked_backend(start, certs):
    server = certs.signed("b2", certs.first, "backend.example")
    with closing(TlsOrigin(server)) as origin:
        weir = start(conf.proxy(origin, up={"retries": 0, "tls": {
            "sni": "backend.example", "ca_file": certs.first[0],
            "crl_file": "revoked.pem"}}),
            files={"revoked.pem": read(certs.crl("b-none.crl",
                                                 certs.first))})
        assert once(weir.address, target="/hello").status == 200
        put(weir, "revoked.pem", certs.crl("b2.crl", certs.first, server[0]))
        wait.until(lambda: once(weir.address, target="/hello").status == 502,
                   20)
        weir.wait_log("certificate revoked: CN=backend.example")


def test_own_certificate_for_backends(start, certs):
    """Pair and key change together; connections of the old one are left."""
    server = certs.signed("b3", certs.first, "backend.example")
    with closing(TlsOrigin(server, ca=certs.first[0])) as origin:
        weir = start(conf.proxy(origin, up={"retries": 0, "tls": {
            "sni": "backend.example", "ca_file": certs.first[0],
            "cert": "own.pem", "key": "own.key"}}),
            files={"own.pem": read(certs.alice[0]),
                   "own.key": read(certs.alice[1])})
        for _ in range(3):
            assert once(weir.address, target="/hello").status == 200
        assert len(origin.connections) == 1
        # A pair that does not match.
        put(weir, "own.pem", certs.bob[0])
        weir.wait_log("certificate and key of .*own.pem has changed and is "
                      "not used; the old one stays: the key is not", 20)
        assert once(weir.address, target="/hello").status == 200
        assert len(origin.connections) == 1
        put(weir, "own.key", certs.bob[1])
        used(weir, "own.pem")
        wait.until(lambda: once(weir.address, target="/hello").status == 200
                   and len(origin.connections) == 2)
        subject = origin.connections[-1].sock.getpeercert()["subject"]
        assert (("commonName", "bob.example"),) in subject
        was = certs.signed("was", certs.first, "was.example", days=-1)
        shutil.copy(was[1], weir.path("own.key"))
        put(weir, "own.pem", was[0])
        weir.wait_log("not used; the old one stays: it has expired", 20)
        assert once(weir.address, target="/hello").status == 200


def test_process_without_descriptors(start, certs, origin):
    """A worker that has none left for what has changed gets it later, and its
    successor has it at once; meanwhile that is said and counted."""
    weir = mutual(start, certs, origin, dict(zip(
        ("own.pem", "own.key"), map(read, certs.own_pair))),
                  cert="own.pem", key="own.key")

    def old():
        return weir.metrics().sum("weir_process_files_old")

    def limit(pid, number):
        # Of a process, only its own user may change that.
        as_user = {"user": int(proc.status(pid, "Uid")[0]),
                   "group": int(proc.status(pid, "Gid")[0]),
                   "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run([need("prlimit"), "--pid", str(pid),
                        "--nofile=%d:" % number], check=True, **as_user)

    def change(name, path):
        put(weir, name, path)
        used(weir, name)
    first, second = weir.workers()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit(first, 4)
    limit(second, 4)
    fresh = certs.own("server2", "a.example")
    shutil.copy(fresh[1], weir.path("own.key"))
    change("own.pem", fresh[0])
    change("ca.pem", certs.second[0])
    for pid in first, second:
        weir.wait_log(r"worker \d \(pid %d\) has not got a file that has "
                      "changed: it has no descriptor left; it is sent "
                      "again" % pid)
    os.kill(second, signal.SIGKILL)
    wait.until(lambda: second not in weir.workers() and
               len(weir.workers()) == 2)
    weir.expect_new_children()
    limit(first, before)
    with open(fresh[0]) as f:
        want = ssl.PEM_cert_to_DER_cert(f.read())

    def is_new():
        with TlsClient(weir.address, client_context(
                pair=certs.carol, version=V12)) as client:
            return client.sock.getpeercert(True) == want
    wait.until(lambda: old() == 0, 30)
    assert all(is_new() for _ in range(8))
    assert everywhere(weir, certs.alice, False)
    assert weir.metrics().sum("weir_process_files_again_total") >= 2
