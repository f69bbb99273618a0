"""Fields that belong to one connection end there; weir writes its own."""
# SPDX-License-Identifier: BSD-2-Clause
import re

import pytest

from lib import conf
from lib.client import Client
from lib.origin import Echo

pytestmark = pytest.mark.short

SERVICES = {
    "plain": {},
    "trusting": {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8",
                                     "2001:db8::/32"]},
    "one": {"trusted_proxies": "127.0.0.1"},
    "forwarded": {"forwarded": "forwarded"},
    "both": {"forwarded": "both"},
    "off": {"forwarded": "off", "via": False},
    "by-forwarded": {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"],
                     "client_ip_from": "Forwarded"},
    "by-real-ip": {"trusted_proxies": ["127.0.0.0/8"],
                   "client_ip_from": "X-Real-IP"},
    "by-own": {"trusted_proxies": ["127.0.0.0/8"],
               "client_ip_from": "CF-Connecting-IP"},
    "pass": {"underscore_fields": "pass"},
    "refuse": {"underscore_fields": "refuse"},
}


@pytest.fixture(scope="module")
def weirs(start_shared, origin):
    weir = start_shared(conf.config(
        [conf.service({"path": "/ip",
                       "respond": {"body": "${client.ip}"}},
                      {"path": "/", "upstream": "up"},
                      {"path": "/named", "upstream": "named"},
                      name=name, **options)
         for name, options in SERVICES.items()],
        [conf.upstream("up", origin),
         conf.upstream("named", origin, host="backend.internal:99")]))
    return dict(zip(SERVICES, weir.addresses))


@pytest.fixture
def ask(weirs):
    """ask(service, fields) gives what the backend saw."""
    clients = []

    def go(service="plain", fields=(), target="/echo", **kw):
        client = Client(weirs[service])
        clients.append(client)
        return Echo(client.get(target, fields, **kw))
    yield go
    for client in clients:
        client.close()


def ip(weirs, service, fields=(), source=None):
    with Client(weirs[service], source=source) as client:
        return client.get("/ip", fields).text


# -- requests --------------------------------------------------------------

DROPPED = [
    ("nominated (pingora 237)", [("Connection", "X-Secret"),
                                 ("X-Secret", "v")], ["X-Secret"]),
    ("nominated, odd case", [("connection", "x-SECRET"),
                             ("X-secret", "v")], ["X-Secret"]),
    ("nominated twice", [("Connection", "keep-alive, A"), ("A", "1"),
                         ("Connection", "B"), ("B", "2")], ["A", "B"]),
    ("nominated, repeated field", [("Connection", "A"), ("A", "1"),
                                   ("A", "2")], ["A"]),
    ("Keep-Alive (pingora 238)", [("Keep-Alive", "timeout=5")],
     ["Keep-Alive"]),
    ("Proxy-Connection (pingora 238)", [("Proxy-Connection", "close")],
     ["Proxy-Connection"]),
    ("Proxy-Authorization (pingora 238)",
     [("Proxy-Authorization", "Basic eDp5")], ["Proxy-Authorization"]),
    ("Upgrade foo (pingora 238)", [("Upgrade", "foo"),
                                   ("Connection", "upgrade")], ["Upgrade"]),
    ("Upgrade h2c (promise 3)",
     [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"),
      ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
     ["Upgrade", "HTTP2-Settings"]),
    ("HTTP2-Settings alone (pingora 238)", [("HTTP2-Settings", "AAMAAABk")],
     ["HTTP2-Settings"]),
    ("TE gzip (pingora 238)", [("TE", "gzip;q=1"), ("Connection", "TE")],
     []),
    ("Proxy", [("Proxy", "http://evil/")], ["Proxy"]),
    ("underscore", [("X_Forwarded_For", "1.2.3.4"), ("content_length", "1"),
                    ("a_b", "c")],
     ["X_Forwarded_For", "content_length", "a_b"]),
]


@pytest.mark.parametrize("name,fields,gone", DROPPED,
                         ids=[d[0] for d in DROPPED])
def test_dropped_from_requests(ask, name, fields, gone):
    echo = ask(fields=fields + [("X-Stays", "yes")])
    for field in gone:
        assert field not in echo.fields
    assert echo.fields.one("x-stays") == "yes"
    assert echo.fields.get("te", "trailers") == "trailers"
    assert "upgrade" not in echo.fields.tokens("connection")
    left = set(echo.fields.tokens("connection"))
    assert left <= {"keep-alive", "close", "te"}


def test_upgrade_of_1_0_is_dropped(ask):
    """pingora 148, 238."""
    echo = ask(fields=[("Upgrade", "websocket"), ("Connection", "upgrade")],
               version="1.0")
    assert "upgrade" not in echo.fields


def test_tchar_quotes_name_no_real_field(ask):
    """pingora 237: 'X-Forwarded-For' in tchar quotes is another name."""
    echo = ask(fields=[("Connection", "'X-Forwarded-For'")])
    assert echo.fields.one("x-forwarded-for") == "127.0.0.1"


def test_underscores_pass(ask):
    echo = ask("pass", [("a_b", "c")])
    assert echo.fields.one("a_b") == "c"


def test_underscores_are_refused(weirs, origin):
    before = len(origin.exchanges)
    with Client(weirs["refuse"]) as client:
        assert client.get("/echo", [("a_b", "c")]).status == 400
        assert client.closed()
    assert len(origin.exchanges) == before
    with Client(weirs["refuse"]) as client:
        assert client.get("/echo", [("a-b", "c")]).status == 200


# -- answers ---------------------------------------------------------------

def test_dropped_from_answers(weirs, origin):
    """Promise 4: in both directions."""
    script = origin.raw(
        b"HTTP/1.1 200 OK\r\nConnection: X-Secret, keep-alive\r\n"
        b"X-Secret: v\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n"
        b"Upgrade: h2c\r\nX-Stays: yes\r\nContent-Length: 2\r\n\r\nok")
    with Client(weirs["plain"]) as client:
        response = client.get(script.path)
        assert response.body == b"ok"
        for name in ("X-Secret", "Keep-Alive", "Proxy-Connection",
                     "Upgrade"):
            assert name not in response.fields
        assert response.fields.one("x-stays") == "yes"
        assert "x-secret" not in response.fields.tokens("connection")
        assert client.get("/hello").status == 200


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding"])
def test_answer_cannot_list_its_framing_away(weirs, origin, name):
    """Promise 4: framing fields cannot be listed away."""
    framing = (b"Content-Length: 2\r\n\r\nok" if name == "Content-Length"
               else b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    script = origin.raw(b"HTTP/1.1 200 OK\r\nConnection: %s\r\n"
                        % name.encode() + framing)
    with Client(weirs["plain"]) as client:
        response = client.get(script.path)
        assert (response.status, response.body) in (
            (200, b"ok"), (502, response.body))
        if "close" not in response.fields.tokens("connection"):
            assert client.get("/hello").status == 200


def test_backend_close_is_not_the_clients(weirs, origin):
    """The backend's Connection: close ends its connection, not ours."""
    script = origin.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
                        b"Content-Length: 2\r\n\r\nok", then="close")
    with Client(weirs["plain"]) as client:
        response = client.get(script.path)
        assert "close" not in response.fields.tokens("connection")
        assert client.get("/hello").status == 200


# -- Via -------------------------------------------------------------------

def test_via_is_added(ask):
    via = ask().fields.one("via")
    assert re.fullmatch(r"1\.1 [!-~]+( \([^)]*\))?", via)
    assert ask(version="1.0").fields.one("via").startswith("1.0 ")


def test_via_is_appended(ask):
    via = ask(fields=[("Via", "1.0 fred, 1.1 p.example.net")]).fields
    members = [m.strip() for m in via.get("via").split(",")]
    assert members[:2] == ["1.0 fred", "1.1 p.example.net"]
    assert len(members) == 3 and members[2].startswith("1.1 ")


def test_via_off(ask):
    assert "via" not in ask("off").fields
    assert ask("off", [("Via", "1.0 a")]).fields.get("via") == "1.0 a"


# -- X-Forwarded-*, Forwarded ----------------------------------------------

def test_forwarded_for_is_written(ask):
    """Each once, of what weir itself knows."""
    echo = ask(host="www.example.com:81")
    assert echo.fields.one("x-forwarded-for") == "127.0.0.1"
    assert echo.fields.one("x-forwarded-proto") == "http"
    assert echo.fields.one("x-forwarded-host") == "www.example.com:81"
    assert "forwarded" not in echo.fields


def test_untrusted_ones_are_replaced(ask):
    echo = ask(fields=[("X-Forwarded-For", "9.9.9.9"),
                       ("x-forwarded-for", "8.8.8.8"),
                       ("X-Forwarded-Proto", "https"),
                       ("X-Forwarded-Host", "evil.example"),
                       ("Forwarded", "for=9.9.9.9;proto=https"),
                       ("X-Real-IP", "9.9.9.9")])
    assert echo.fields.one("x-forwarded-for") == "127.0.0.1"
    assert echo.fields.one("x-forwarded-proto") == "http"
    assert echo.fields.one("x-forwarded-host") == "test.example"
    assert "9.9.9.9" not in echo.fields.get("forwarded", "")


def test_trusted_ones_are_extended(ask):
    echo = ask("trusting", [("X-Forwarded-For", "9.9.9.9, 10.1.1.1"),
                            ("X-Forwarded-Proto", "https"),
                            ("X-Forwarded-Host", "outer.example")])
    assert re.sub(r"\s", "", echo.fields.get("x-forwarded-for")) == (
        "9.9.9.9,10.1.1.1,127.0.0.1")
    assert echo.fields.one("x-forwarded-proto") == "https"
    assert echo.fields.one("x-forwarded-host") == "outer.example"


def test_forwarded_option(ask):
    """RFC 7239."""
    echo = ask("forwarded", host="www.example.com:81")
    value = echo.fields.one("forwarded").lower()
    assert re.search(r'for="?127\.0\.0\.1"?(;|$)', value)
    assert re.search(r"proto=\"?http\"?(;|$)", value)
    assert 'host="www.example.com:81"' in value
    assert "x-forwarded-for" not in echo.fields


def test_both_options(ask):
    echo = ask("both")
    assert echo.fields.one("x-forwarded-for") == "127.0.0.1"
    assert "for=127.0.0.1" in echo.fields.one("forwarded").lower()


def test_neither_option(ask):
    """forwarded = off: nothing is written."""
    echo = ask("off")
    for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                 "forwarded"):
        assert name not in echo.fields


# -- who the client is -----------------------------------------------------

IPS = [
    ("plain", [], "127.0.0.1"),
    ("plain", [("X-Forwarded-For", "9.9.9.9")], "127.0.0.1"),
    ("trusting", [], "127.0.0.1"),
    ("trusting", [("X-Forwarded-For", "9.9.9.9")], "9.9.9.9"),
    ("trusting", [("X-Forwarded-For", "8.8.8.8, 9.9.9.9")], "9.9.9.9"),
    ("trusting", [("X-Forwarded-For", "8.8.8.8, 9.9.9.9, 10.2.3.4")],
     "9.9.9.9"),
    ("trusting", [("X-Forwarded-For", "8.8.8.8"),
                  ("X-Forwarded-For", "9.9.9.9,10.2.3.4")], "9.9.9.9"),
    ("trusting", [("X-Forwarded-For", "10.9.9.9, 10.2.3.4")], "10.9.9.9"),
    ("trusting", [("X-Forwarded-For", "2001:db8::1, 2001:db9::7")],
     "2001:db9::7"),
    ("trusting", [("X-Forwarded-For", "2001:db9::7, 2001:db8::1")],
     "2001:db9::7"),
    ("trusting", [("X-Forwarded-For", "garbage")], "127.0.0.1"),
    ("trusting", [("X-Forwarded-For", "9.9.9.9, garbage, 10.1.1.1")],
     "10.1.1.1"),
    ("trusting", [("Forwarded", "for=9.9.9.9")], "127.0.0.1"),
    ("one", [("X-Forwarded-For", "9.9.9.9")], "9.9.9.9"),
    ("by-forwarded", [("Forwarded", "for=9.9.9.9")], "9.9.9.9"),
    ("by-forwarded", [("Forwarded", "for=8.8.8.8, for=9.9.9.9;proto=http, "
                       "by=1.1.1.1;For=10.0.0.7")], "9.9.9.9"),
    ("by-forwarded", [("Forwarded", 'for="9.9.9.9:4711"')], "9.9.9.9"),
    ("by-forwarded", [("Forwarded", 'for="[2001:db9::7]:4711"')],
     "2001:db9::7"),
    ("by-forwarded", [("Forwarded", 'for="a,for=8.8.8.8", for=9.9.9.9')],
     "9.9.9.9"),
    ("by-forwarded", [("Forwarded", "for=unknown")], "127.0.0.1"),
    ("by-forwarded", [("X-Forwarded-For", "9.9.9.9")], "127.0.0.1"),
    ("by-real-ip", [("X-Real-IP", "9.9.9.9")], "9.9.9.9"),
    ("by-real-ip", [("X-Forwarded-For", "9.9.9.9")], "127.0.0.1"),
    ("by-own", [("CF-Connecting-IP", "9.9.9.9")], "9.9.9.9"),
]


@pytest.mark.parametrize("service,fields,want", IPS)
def test_client_ip(weirs, service, fields, want):
    """From the right, past each trusted one, to the first that is not."""
    assert ip(weirs, service, fields) == want


def test_peer_that_is_not_trusted(weirs):
    """`one` trusts 127.0.0.1 alone."""
    assert ip(weirs, "one", [("X-Forwarded-For", "9.9.9.9")],
              source=("127.0.0.2", 0)) == "127.0.0.2"


# -- Host ------------------------------------------------------------------

@pytest.mark.parametrize("host", ["test.example", "TEST.example:81",
                                  "127.0.0.1", "[::1]:80"])
def test_host_goes_through(ask, host):
    assert ask(host=host).fields.one("host") == host


def test_host_of_an_absolute_target(ask):
    echo = ask(target="http://test.example:81/echo", host="test.example:81")
    assert echo.fields.one("host") == "test.example:81"
    assert echo.target == "/echo"


def test_host_of_the_upstream(ask):
    """host replaces the client's, which X-Forwarded-Host keeps."""
    echo = ask(target="/named/echo")
    assert echo.fields.one("host") == "backend.internal:99"
    assert echo.fields.one("x-forwarded-host") == "test.example"


def test_1_0_without_host(ask):
    """The backend gets a valid 1.1 request all the same."""
    echo = ask(version="1.0", host=None)
    assert len(echo.fields.all("host")) == 1
