"""key_isolation: private keys in a process of their own."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import os
import re
import shutil
import signal
import socket
import ssl
import threading

import pytest

from conftest import need
from lib import conf, proc, wait
from lib.tls import RSA, Certs, TlsClient, TlsOrigin, client_context, \
    openssl
from lib.weir import run, sanitized
from test_upgrade import Instance

pytestmark = pytest.mark.short
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
ED25519 = ["-newkey", "ed25519"]


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = Certs()
    made.ec = made.own("ec", "a.example")
    made.rsa = made.own("rsa", "a.example", kind=RSA)
    made.b = made.own("b", "b.example", kind=RSA)
    made.p384 = made.own("p384", "c.example", kind=[
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"])
    made.ed = made.own("ed", "d.example", kind=ED25519)
    made.ca = made.ca("ca")
    made.origin = made.signed("origin", made.ca, "origin.example")
    made.me = made.signed("me", made.ca, "me.example")
    yield made
    made.remove()


def tls(pair, **options):
    return {"cert": pair[0], "key": pair[1], **options}


def config(pair, more=(), isolated=True, upstreams=(), routes=None, **top):
    return conf.config(
        [conf.service(*(routes or ({"path": "/",
                                    "respond": {"body": "hello\n"}},)),
                      listen=[{"address": conf.address(), "tls": tls(
                          pair, certificates=[tls(p) for p in more])}])],
        list(upstreams), key_isolation=isolated,
        **{"workers": 2, "error_log": {"level": "info"}, **top})


@pytest.fixture(scope="module")
def weir(start_shared, certs):
    return start_shared(config(certs.ec, [certs.rsa, certs.b, certs.p384,
                                          certs.ed]))


def signers(weir):
    return [pid for pid in weir.children() if "signer" in proc.title(pid)]


def greet(weir, **kw):
    with TlsClient(weir.address, **kw) as client:
        assert client.get("/").body == b"hello\n"
        return client.peer


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("name,sigalgs", [
    ("a.example", "ECDSA+SHA256"), ("a.example", "RSA+SHA256"),
    ("b.example", None), ("c.example", None), ("d.example", None)])
def test_handshakes(weir, version, name, sigalgs):
    """Each kind of key signs, in each version, chosen by name."""
    context = client_context(version=version)
    if sigalgs and version == V12:
        context.set_ciphers("ECDHE-%s-AES128-GCM-SHA256" %
                            sigalgs.partition("+")[0])
    assert greet(weir, context=context, name=name) == name


def test_schemes_of_rsa(weir):
    for scheme in ("RSA+SHA256", "RSA+SHA512", "rsa_pss_rsae_sha256",
                   "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"):
        out = openssl("s_client", "-connect", "%s:%d" % weir.address,
                      "-servername", "b.example", "-tls1_2", "-sigalgs",
                      scheme, stdin=b"").decode()
        want = "RSA-PSS" if "pss" in scheme else "RSA"
        assert "Peer signature type: %s\n" % want in out


def test_many_handshakes_at_once(weir):
    """More than are on their way to the signer at any time."""
    failures = []

    def some():
        for _ in range(4):
            try:
                greet(weir, name="b.example")
            except Exception as wrong:  # noqa: BLE001
                failures.append(wrong)
    threads = [threading.Thread(target=some) for _ in range(25)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_clients_that_leave(weir):
    """Handshakes that wait for the signer end with their connections; those
    of others go on."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context(version=V12).wrap_bio(
            incoming, outgoing, server_hostname="b.example").do_handshake()
    hello = outgoing.read()

    def act(done):
        for i in range(250):
            with socket.create_connection(weir.address, 8) as sock:
                sock.sendall(hello)
                if i % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                    b"\1\0\0\0\0\0\0\0")
        seen = done()
        wait.until(lambda: done() > seen + 5, 20)
    under_load(weir, act)
    wait.until(lambda: weir.metrics().total("keys_waiting$") == 0)
    assert weir.metrics().total("keys_failed_total$") == 0


def ask(weir, command):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(8)
        sock.connect(weir.path("control.sock"))
        sock.sendall(command.encode() + b"\n")
        return json.loads(sock.makefile().readline())["result"]


def under_load(weir, act, **kw):
    """Handshakes go on while act(count) does; none of them may fail."""
    failures, done, over = [], [0], threading.Event()

    def load():
        while not over.is_set():
            try:
                greet(weir, **kw)
                done[0] += 1
            except Exception as wrong:  # noqa: BLE001
                failures.append(wrong)
                return
    threads = [threading.Thread(target=load) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        act(lambda: done[0])
    finally:
        over.set()
        for t in threads:
            t.join()
    assert not failures, failures[0]


def test_status_and_counters(start, certs):
    weir = start(config(certs.ec, control={"path": "@DIR@/control.sock"}))
    greet(weir)
    wait.until(lambda: weir.metrics().total("keys_signed_total$") == 1)
    status = ask(weir, "status")
    assert re.match("(not )?usable .kernel: ", status["ktls"])
    rows = status["processes"]
    assert [r["pid"] for r in rows if r["process"] == "signer"] == \
        signers(weir)


def test_signer_is_replaced(start, certs):
    """kill -9 under load: no handshake is lost."""
    weir = start(config(certs.rsa))

    def act(done):
        for _ in range(3):
            before = wait.until(lambda: signers(weir))
            assert len(before) == 1
            seen = done()
            os.kill(before[0], signal.SIGKILL)
            wait.until(lambda: len(signers(weir)) == 1 and
                       signers(weir) != before and done() > seen + 10, 20)
    under_load(weir, act)
    assert "signer (pid" in weir.log and "killed by signal 9" in weir.log
    weir.expect_new_children()


def test_reload_under_load(start, certs):
    """The new generation has a signer of its own, the old one keeps its."""
    weir = start(config(certs.rsa))
    before = signers(weir)

    def act(done):
        weir.send_signal(signal.SIGHUP)
        weir.wait_log("reloaded: generation 2", 20)
        assert set(signers(weir)) - set(before)
        seen = done()
        wait.until(lambda: done() > seen + 10, 20)
    under_load(weir, act)
    weir.expect_new_children()


def test_isolation_goes_with_a_reload_and_does_not_come(start, certs):
    """New processes would be forks of a master that has had the keys."""
    settings = config(certs.ec)
    weir = start(settings)
    text = weir.read("weir.conf")
    known = set(wait.until(lambda: signers(weir)))
    for isolated, said in ((False, "reloaded: generation 2"),
                           (True, "key_isolation: the keys are in")):
        weir.write("weir.conf", re.sub(
            r"key_isolation = \w+;", "key_isolation = %s;" %
            str(isolated).lower(), text))
        weir.send_signal(signal.SIGHUP)
        weir.wait_log(said, 20)
        assert not set(signers(weir)) - known
        greet(weir)
    weir.expect_new_children()


def put(weir, pair):
    for source, name in zip(pair, ("c.pem", "c.key")):
        shutil.copy(source, weir.path(name + ".new"))
        os.rename(weir.path(name + ".new"), weir.path(name))


def der(pair):
    return openssl("x509", "-in", pair[0], "-outform", "DER")


def test_replaced_certificate(start, certs):
    """A changed pair goes to the signer first; also one that died since."""
    old = certs.own("old", "watched.example")
    new = certs.own("new", "watched.example")
    files = {name: open(path).read() for name, path in
             zip(("c.pem", "c.key"), old)}
    weir = start(config(("c.pem", "c.key")), files=files)

    def act(done):
        put(weir, (new[0], certs.ec[1]))
        weir.wait_log("old one stays: .*the key is not the cert", 20)
        put(weir, new)
        weir.wait_log("has changed and is used", 20)
        os.kill(signers(weir)[0], signal.SIGKILL)
        seen = done()
        wait.until(lambda: done() > seen + 10, 20)
    under_load(weir, act)

    def shown():
        with TlsClient(weir.address) as client:
            return client.sock.getpeercert(True)
    wait.until(lambda: shown() == der(new), 8)
    weir.expect_new_children()


def vault_bytes(weir):
    """Of the file in memory that the master holds, which nobody can read."""
    folder = "/proc/%d/fd" % weir.pid
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if "memfd:weir-keys" in os.readlink(path):
            return os.stat(path).st_size
    raise AssertionError("no vault")


def test_renewed_with_the_same_key(start, certs):
    """The vault does not grow by it, and all sign with it."""
    old = certs.own("renewed", "watched.example")
    files = {name: open(path).read() for name, path in
             zip(("c.pem", "c.key"), old)}
    weir = start(config(("c.pem", "c.key")), files=files)
    before = vault_bytes(weir)
    for i in range(1, 3):
        fresh = certs.path("renewed%d.pem" % i)
        openssl("req", "-x509", "-key", old[1], "-days", 30 + i, "-subj",
                "/CN=watched.example", "-addext",
                "subjectAltName=DNS:watched.example", "-out", fresh)
        put(weir, (fresh, old[1]))

        def shown():
            with TlsClient(weir.address) as client:
                return client.sock.getpeercert(True)
        wait.until(lambda: all(shown() == der((fresh, old[1]))
                               for _ in range(4)), 20)
    assert vault_bytes(weir) == before


@pytest.mark.parametrize("how,want", [
    ("other", "the key is not the certificate's"),
    ("other kind", "the key is not the certificate's"),
    ("none", "no private key, or one that needs a passphrase"),
    ("gone", "reading .*: No such file"),
    ("ciphers", "ciphers .*no cipher match")])
def test_wrong_key_is_refused(certs, tmp_path, how, want):
    pair, more = certs.ec, {}
    if how == "other":
        pair = (certs.ec[0], certs.me[1])
    elif how == "other kind":
        pair = (certs.ec[0], certs.rsa[1])
    elif how == "none":
        pair = (certs.ec[0], certs.ec[0])
    elif how == "gone":
        pair = (certs.ec[0], str(tmp_path / "none.key"))
    else:
        more = {"max_version": "TLSv1.2", "ciphers": "AES128-SHA"}
    settings = config(pair)
    settings["services"][0]["listen"][0]["tls"].update(more)
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(settings))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and re.search("weir.conf:.*error:.*" + want, err), err


@pytest.mark.parametrize("how", ["file", "command"])
def test_passphrase(start, certs, how):
    key = certs.path("locked.key")
    openssl("pkey", "-in", certs.ec[1], "-aes128", "-passout", "pass:sesame",
            "-out", key)
    settings = config((certs.ec[0], key))
    settings["services"][0]["listen"][0]["tls"].update(
        {"passphrase_file": "phrase"} if how == "file" else
        {"passphrase_command": "echo sesame"})
    weir = start(settings, files={"phrase": "sesame\n"})
    assert greet(weir) == "a.example"


def test_client_certificate_for_a_backend(start, certs, origin_factory):
    """The key that weir shows to backends is isolated as well."""
    origin = origin_factory(certs.origin, ca=certs.ca[0], kind=TlsOrigin)
    up = conf.upstream("up", origin, tls={
        "cert": certs.me[0], "key": certs.me[1], "ca_file": certs.ca[0],
        "sni": "origin.example"}, health_check={
            "type": "http", "path": "/hello", "interval": "100ms"})
    weir = start(config(certs.ec, upstreams=[up],
                        routes=({"path": "/", "upstream": "up"},)))
    with TlsClient(weir.address) as client:
        assert client.get("/hello").status == 200
    assert not origin.failures
    assert signers(weir)


def test_no_key_exchange_by_encryption(start, certs):
    """The profile "old" has suites that need the key to decrypt."""
    need("openssl")
    for isolated in (False, True):
        settings = config(certs.rsa, isolated=isolated)
        settings["services"][0]["listen"][0]["tls"]["profile"] = "old"
        weir = start(settings)
        context = client_context(version=V12)
        context.set_ciphers("AES128-GCM-SHA256")
        if isolated:
            with pytest.raises(ssl.SSLError):
                greet(weir, context=context)
            # What is left of it, with the digests of old versions.
            context = client_context()
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1
            greet(weir, context=context)
        else:
            greet(weir, context=context)
        weir.stop()


def test_signer_goes_on_without_a_master(start, certs):
    """Orphans go on serving, and the signer ends with the last of them."""
    weir = start(config(certs.ec, control={"path": ""}))
    wait.until(lambda: signers(weir) and len(weir.workers()) == 2)
    greet(weir)
    signer, workers = signers(weir), weir.workers()
    os.kill(weir.pid, signal.SIGKILL)
    weir.process.wait(8)
    weir.status = -signal.SIGKILL
    wait.until(lambda: proc.status(signer[0], "PPid") != [str(weir.pid)])
    greet(weir)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: not proc.alive(signer[0]), 15)


def test_upgrade_under_load(start, certs):
    """The new instance reads the keys itself, into a signer of its own."""
    one = Instance(start, config(
        certs.rsa, upgrade_sock="@DIR@/run/up.sock",
        pid_file="@DIR@/run/weir.pid", control={"path": ""}))

    def act(done):
        one.send(signal.SIGUSR2)
        pid = one.wait_taken()
        seen = done()
        wait.until(lambda: done() > seen + 10, 20)
        assert [p for p in proc.children(pid) if "signer" in proc.title(p)]
    try:
        under_load(one.weir, act)
    finally:
        one.finish()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_rights_of_the_signer(start, certs):
    """No network, no files; nobody else holds the vault."""
    weir = start(config(certs.ec))
    signer, = signers(weir)
    assert proc.status(signer, "Uid")[0] != "0"
    assert proc.status(signer, "NoNewPrivs") == ["1"]
    if not sanitized() and "no filter of system calls" not in run("-V")[1]:
        assert proc.status(signer, "Seccomp") == ["2"]

    def target(pid, fd):
        try:
            return os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            return ""  # closed meanwhile

    def holds(pid):
        return any("weir-keys" in target(pid, fd) for fd in proc.fds(pid))
    assert holds(signer)
    for pid in [*weir.workers(), weir.background()]:
        assert not holds(pid)


# ---- what a process's memory holds ----

def numbers(der_bytes):
    """The contents of integers and octet strings of one DER sequence."""
    def length(at):
        first = der_bytes[at]
        if first < 128:
            return first, at + 1
        count = first & 127
        return int.from_bytes(der_bytes[at + 1:at + 1 + count], "big"), \
            at + 1 + count
    _, at = length(1)
    found = []
    while at < len(der_bytes):
        tag = der_bytes[at]
        size, at = length(at + 1)
        if tag in (2, 4):
            found.append(der_bytes[at:at + size].lstrip(b"\0"))
        at += size
    return found


def secrets(certs):
    """What must not be found: name -> bytes."""
    _, _, _, d, p, q, *_ = numbers(openssl(
        "rsa", "-in", certs.rsa[1], "-outform", "DER", "-traditional"))
    scalar = numbers(openssl("ec", "-in", certs.ec[1], "-outform", "DER"))[1]
    found = {"d": d, "p": p, "q": q, "scalar": scalar}
    assert [len(v) for v in found.values()] > [200, 100, 100, 30]
    found.update({name + " reversed": value[::-1]
                  for name, value in found.items()})
    for kind in ("rsa", "ec"):
        with open(getattr(certs, kind)[1], "rb") as f:
            found[kind + " text"] = f.read().split(b"\n")[1]
    return found


def dump(pid):
    """All that the process could read of itself."""
    out = []
    with open("/proc/%d/maps" % pid) as maps, \
            open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            first, last = (int(x, 16) for x in span.split("-"))
            # Zones that all share are large, and made by no key.
            if rights[0] != "r" or rights[3] == "s" or "[v" in line:
                continue
            try:
                mem.seek(first)
                while first < last:
                    piece = mem.read(min(last - first, 1 << 22))
                    if not piece:
                        break
                    first += len(piece)
                    out.append(piece)
            except (OSError, ValueError):
                pass
    return b"".join(out)


def leaked(pid, wanted):
    memory = dump(pid)
    return {name for name, value in wanted.items() if value in memory}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_memory_holds_no_key(start, certs):
    """Under load, in all processes but the signer; and else it is found."""
    if sanitized():
        pytest.skip("its shadow is too much memory")
    wanted = secrets(certs)
    for isolated in (False, True):
        weir = start(config(certs.ec, [certs.rsa], isolated=isolated))
        context = client_context(version=V12)
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")

        def act(done):
            wait.until(lambda: done() > 20, 20)
            greet(weir)
            everybody = [weir.pid, weir.background(), weir.workers()[0]]
            found = {pid: leaked(pid, wanted) for pid in everybody}
            if isolated:
                assert found == {pid: set() for pid in everybody}
                there = leaked(signers(weir)[0], wanted)
            else:
                there = found[everybody[2]]
            assert {"d reversed", "p reversed", "q reversed",
                    "scalar reversed"} <= there
        under_load(weir, act, context=context)
        weir.stop()
