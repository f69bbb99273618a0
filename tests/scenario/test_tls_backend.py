"""TLS towards backends: who is trusted, under which name, and for how long."""
# SPDX-License-Identifier: BSD-2-Clause
import socket
import threading

import pytest

from conftest import need
from lib import conf, wait
from lib.client import Client, once, outcome
from lib.origin import Echo, big
from lib.tls import Certs, TlsOrigin
from lib.weir import run

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def certs():
    need("openssl")
    made = Certs()
    made.root = made.ca("root")
    made.other = made.ca("other")
    made.server = made.signed("server", made.root, "openrusty.org",
                              "*.openrusty.org")
    made.expired = made.signed("expired", made.root, "openrusty.org", days=-1)
    made.foreign = made.signed("foreign", made.other, "openrusty.org")
    made.middle = made.signed("middle", made.root, "middle", is_ca=True)
    made.leaf = made.signed("leaf", made.middle, "client")
    made.chained = (made.joined("chained.pem", made.leaf[0], made.middle[0]),
                    made.leaf[1])
    made.second = made.signed("second", made.root, "second")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def servers(certs):
    made = {
        "good": TlsOrigin(certs.server),
        "expired": TlsOrigin(certs.expired),
        "foreign": TlsOrigin(certs.foreign),
        "mutual": TlsOrigin(certs.server, ca=certs.root[0]),
    }
    yield made
    for server in made.values():
        server.close()


def tls(certs, **options):
    return {"ca_file": certs.root[0], **options}


@pytest.fixture(scope="module")
def weir(start_shared, certs, servers):
    """An upstream for each row of TERMS, by /NAME."""
    ups = [conf.upstream(name, servers[server], tls=tls(certs, **options),
                         retries=0)
           for name, (server, options, *_) in TERMS.items()]
    ups.append(conf.upstream("template", servers["good"], tls=tls(
        certs, sni="${request.header.x-name}"), retries=0))
    for name, pair in (("bare", None), ("leaf", "leaf"),
                       ("chained", "chained"), ("second", "second")):
        extra = {}
        if pair:
            cert, key = getattr(certs, pair)
            extra = {"cert": cert, "key": key}
        ups.append(conf.upstream("mutual-" + name, servers["mutual"],
                                 tls=tls(certs, sni="openrusty.org",
                                         **extra), retries=0))
    routes = [{"path": "/" + up["name"], "upstream": up["name"]}
              for up in ups]
    return start_shared(conf.config([conf.service(*routes)], ups,
                                    error_log={"level": "info"}))


OK, NO = 200, 502
TERMS = {
    # server, options, status, what the log says
    "off": ("good", {"verify": False}, OK),
    "off-foreign": ("foreign", {"verify": False}, OK),
    "cert-only": ("good", {"sni": "other.example",
                           "verify_hostname": False}, OK),
    "no-sni": ("good", {}, OK),
    "sni": ("good", {"sni": "openrusty.org"}, OK),
    "wild": ("good", {"sni": "a.openrusty.org"}, OK),
    "underscore": ("good", {"sni": "d_g.openrusty.org"}, OK),
    "underscore-no": ("good", {"sni": "open_rusty.org"}, NO,
                      "hostname mismatch"),
    "alternative": ("good", {"sni": "open_rusty.org",
                             "alternative_cn": "openrusty.org"}, OK),
    "alternative-2": ("good", {"sni": "x.example",
                               "alternative_cn": "d_g.openrusty.org"}, OK),
    "alternative-no": ("good", {"sni": "x.example",
                                "alternative_cn": "open_rusty.org"}, NO,
                       "hostname mismatch: CN=openrusty.org"),
    "wrong-name": ("good", {"sni": "a.b.openrusty.org"}, NO,
                   "hostname mismatch"),
    "expired": ("expired", {"sni": "openrusty.org"}, NO,
                "certificate has expired: CN=openrusty.org, "
                "issued by CN=root"),
    "foreign": ("foreign", {"sni": "openrusty.org"}, NO,
                "unable to get local issuer certificate"),
    "versions": ("good", {"sni": "openrusty.org",
                          "max_version": "TLSv1.2"}, OK),
}


@pytest.mark.parametrize("name", TERMS)
def test_verification(weir, servers, name):
    """pingora 26 to 34."""
    server, options, status, *said = TERMS[name]
    target = "/%s/hello" % name
    with weir.client() as client:
        response = client.get(target)
        assert response.status == status
        if status == NO:
            assert "close" in response.fields.tokens("connection")
    if said:
        weir.wait_log('"GET %s".*%s' % (target, said[0]))
        assert weir.metrics().total(
            "errors_total$", reason="backend_certificate") > 0
    if "sni" in options and status == OK:
        assert options["sni"] in servers[server].names


def test_body_both_ways(weir):
    with weir.client() as client:
        for size in (0, 1, 16384, 1000000):
            assert client.get("/sni/bytes/%d" % size).body == big(size)
            assert client.get("/sni/chunked/%d" % size).body == big(size)
            answer = client.request("POST", "/sni/sha", body=big(size))
            assert answer.body.startswith(b"%d " % size)


def seen(weir, target, fields=()):
    """Which connection of the origin carried a request."""
    return Echo(once(weir.address, target=target, fields=fields)).connection


def test_kept_and_never_under_other_terms(weir):
    """pingora 38 to 41: other terms, another connection."""
    names = ["sni", "cert-only", "no-sni", "alternative", "off", "versions"]
    first = [seen(weir, "/" + name) for name in names]
    assert len(set(first)) == len(names)
    assert [seen(weir, "/" + name) for name in names] == first


def test_name_from_the_request(weir, servers):
    def asks(name):
        return seen(weir, "/template", [("X-Name", name)])
    a = asks("a.openrusty.org")
    b = asks("b.openrusty.org")
    assert a != b
    assert (asks("a.openrusty.org"), asks("b.openrusty.org")) == (a, b)
    assert "b.openrusty.org" in servers["good"].names
    assert once(weir.address, target="/template",
                fields=[("X-Name", "other.example")]).status == 502
    # No name to verify by: any certificate would do, by the client's choice.
    for name in ("127.0.0.1", "", "x" * 300):
        assert once(weir.address, target="/template",
                    fields=[("X-Name", name)]).status == 421


def test_client_certificate(weir, servers):
    """pingora 35 to 38."""
    assert once(weir.address, target="/mutual-bare").status == 502
    assert once(weir.address, target="/mutual-leaf").status == 502
    first = seen(weir, "/mutual-chained")
    assert seen(weir, "/mutual-chained") == first
    assert seen(weir, "/mutual-second") != first


def test_sessions_are_resumed(weir, servers):
    server = servers["good"]
    once(weir.address, target="/sni/hello")
    server.drop_idle()
    before = len(server.resumed)

    def resumed():
        assert once(weir.address, target="/sni/hello").status == 200
        server.drop_idle()
        return any(server.resumed[before:])

    # A connection that was not idle yet serves twice; one that was closed
    # before its ticket came leaves none.
    wait.until(resumed)


def test_sessions_are_shared_by_workers(start, certs):
    server = TlsOrigin(certs.server)
    try:
        weir = start(conf.proxy(server, up={"tls": tls(
            certs, sni="openrusty.org"), "keepalive": {"idle_max": 0}},
            top={"workers": 4}))
        for _ in range(24):
            assert once(weir.address, target="/hello").status == 200
        assert server.resumed.count(False) <= 4
    finally:
        server.close()


def test_truncation_is_seen(weir, servers):
    """Without close_notify an answer that ends with its connection is cut."""
    def rude(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        raw = socket.socket(fileno=exchange.conn.sock.detach())
        raw.shutdown(socket.SHUT_WR)
        raw.close()
        return False

    def polite(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        exchange.conn.sock.unwrap()
        return False
    good = servers["good"].script(polite)
    bad = servers["good"].script(rude)
    assert weir.get("/sni" + good.path).body == b"all of it"
    with weir.client() as client:
        client.send(b"GET /sni%s HTTP/1.1\r\nHost: x\r\n\r\n"
                    % bad.path.encode())
        assert outcome(client)[0] == "cut"
    assert weir.metrics().total("errors_total$",
                                reason="backend_truncated") == 1


def test_backend_that_speaks_no_tls(start, certs, origin_factory):
    origin = origin_factory()
    origin.on_connect = lambda conn: conn.send(b"HTTP/1.1 400 Bad\r\n\r\n")
    weir = start(conf.proxy(origin, up={"tls": tls(certs), "retries": 0}))
    assert weir.get("/hello").status == 502
    weir.wait_log("handshake with the backend failed: wrong version number")


def test_backend_that_is_silent(start, certs):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        weir = start(conf.proxy("127.0.0.1:%d" % listener.getsockname()[1],
                                up={"tls": tls(certs), "retries": 0,
                                    "timeouts": {"connect": "300ms"}}))
        assert weir.get("/hello").status == 504


def test_one_backend_is_refused_the_next_serves(start, certs, servers):
    weir = start(conf.config(
        [conf.service({"path": "/", "upstream": "up"})],
        [conf.upstream("up", servers["expired"], servers["good"],
                       tls=tls(certs, sni="openrusty.org"))]))
    for _ in range(4):
        assert weir.get("/hello").status == 200


def test_backend_of_its_own_terms(start, certs, servers, origin):
    weir = start(conf.config(
        [conf.service({"path": "/", "upstream": "up"})],
        [conf.upstream("up", origin, {
            "address": servers["good"].backend,
            "tls": tls(certs, sni="openrusty.org")})]))
    before = len(servers["good"].exchanges)
    for _ in range(6):
        assert weir.get("/hello").status == 200
    assert len(servers["good"].exchanges) == before + 3


KNOBS = {
    # options, what the backend sees; None = there is no connection
    "min_version": ({"min_version": "TLSv1.3"}, lambda s: s.version(),
                    "TLSv1.3"),
    "max_version": ({"max_version": "TLSv1.2"}, lambda s: s.version(),
                    "TLSv1.2"),
    "ciphers": ({"max_version": "TLSv1.2",
                 "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"},
                lambda s: s.cipher()[0], "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "suites": ({"suites": "TLS_CHACHA20_POLY1305_SHA256"},
               lambda s: s.cipher()[0], "TLS_CHACHA20_POLY1305_SHA256"),
    "alpn": ({"alpn": ["x/1", "http/1.1"]},
             lambda s: s.selected_alpn_protocol(), "http/1.1"),
    "resume": ({"resume": False}, lambda s: s.session_reused, False),
    "depth-1": ({"verify_depth": 1}, lambda s: s.version(), "TLSv1.3"),
    "depth-0": ({"verify_depth": 0}, "certificate chain too long", None),
    "groups": ({"groups": "P-521"}, "handshake with the backend failed", None),
    "signatures": ({"signature_algorithms": "RSA-PSS+SHA256"},
                   "handshake with the backend failed", None),
    "nobody": ({"ca_file": None, "use_system_certs": True},
               "unable to get local issuer certificate", None),
}


@pytest.fixture(scope="module")
def knobs(start_shared, certs):
    """A backend that speaks P-256 alone, behind an intermediate."""
    leaf = certs.signed("knob", certs.middle, "localhost")
    server = TlsOrigin((certs.joined("knob-chain.pem", leaf[0],
                                     certs.middle[0]), leaf[1]),
                       alpn=["http/1.1"])
    server.context.set_ecdh_curve("prime256v1")
    ups = [conf.upstream(
        name, "localhost:" + server.backend.rpartition(":")[2],
        tls=tls(certs, **row[0]), retries=0, keepalive={"idle_max": 0})
        for name, row in KNOBS.items()]
    weir = start_shared(conf.config(
        [conf.service(*[{"path": "/" + up["name"], "upstream": up["name"]}
                        for up in ups])], ups,
        error_log={"level": "info"}))
    weir.server = server
    yield weir
    server.close()


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob(knobs, name):
    """Each option reaches the handshake; the name of a backend is asked for
    and verified without being told."""
    options, look, want = KNOBS[name]
    found = []
    script = knobs.server.script(lambda exchange: (
        found.append(look(exchange.conn.sock)), exchange.reply(200, "x")))
    wait.until(lambda: once(knobs.address, target="/%s%s" % (
        name, script.path)).status == (502 if want is None else 200))
    if want is None:
        knobs.wait_log('"GET /%s.*%s' % (name, look))
        assert not found
        return
    for _ in range(2):
        once(knobs.address, target="/%s%s" % (name, script.path))
    assert set(found) == {want} and "localhost" in knobs.server.names


def test_nobody_to_trust(certs, tmp_path):
    """use_system_certs = false needs a ca_file."""
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.proxy("127.0.0.1:1", up={
        "tls": {"sni": "a", "use_system_certs": False}})))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and "ca_file" in err


def test_slow_handshakes_do_not_stop_others(weir):
    threads = [threading.Thread(target=lambda: once(
        weir.address, target="/sni/hello")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    with Client(weir.address) as client:
        assert client.get("/sni/hello").status == 200


def test_warnings(certs, tmp_path):
    path = tmp_path / "weir.conf"
    for options, want in (
            ({"verify": False}, "verify is off"),
            ({}, "is an address")):
        path.write_text(conf.document(conf.proxy(
            "127.0.0.1:1", up={"tls": tls(certs, **options)})))
        status, _, err = run("-t", "-c", path)
        assert status == 0 and want in err
    path.write_text(conf.document(conf.proxy("127.0.0.1:1", up={
        "tls": {"ca_file": "missing.pem"}})))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and "missing.pem" in err


def test_checks_ask_in_what_they_speak(start, certs, origin_factory):
    """Where requests may go over HTTP/2, a check offers HTTP/1.1 alone."""
    if "no HTTP/2" in run("-V")[1]:
        pytest.skip("this weir has no HTTP/2")
    server = origin_factory(certs.server, kind=TlsOrigin,
                            alpn=["h2", "http/1.1"])
    spoken = []
    script = server.script(lambda exchange: (
        spoken.append(exchange.conn.sock.selected_alpn_protocol()),
        exchange.reply(200, "x")))
    start(conf.proxy(server, up={
        "protocol": "auto", "tls": tls(certs, sni="openrusty.org"),
        "health_check": {"path": script.path, "interval": "100ms"}}))
    wait.until(lambda: len(spoken) >= 2)
    assert set(spoken) == {"http/1.1"}
