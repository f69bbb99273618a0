"""Module headers: set, add, remove and rename, on requests and answers."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf
from lib.client import Client
from lib.origin import Echo
from lib.weir import run

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    def at(path, request=None, response=None, **more):
        headers = {}
        if request is not None:
            headers["request"] = request
        if response is not None:
            headers["response"] = response
        return {"path": path, "upstream": "up", "headers": headers, **more}
    return start_shared(conf.config(
        [conf.service(
            at("/set", {"set": {"X-One": "1", "Accept": "text/plain"}}),
            at("/add", {"add": {"X-One": "2", "Via-Test": "v"}}),
            at("/remove", {"remove": ["Cookie", "X-One"]}),
            at("/rename", {"rename": {"X-Old": "X-New"}}),
            at("/host", {"set": {"Host": "other.example:81"}}),
            at("/templates", {"set": {
                "X-Ip": "${client.ip}", "X-Port": "${client.port}",
                "X-Line": "${request.line}", "X-Path": "${request.path}",
                "X-Query": "${request.query}", "X-Host": "${request.host}",
                "X-Method": "${request.method}",
                "X-Scheme": "${request.scheme}",
                "X-Cookie": "${request.cookie.b}",
                "X-Arg": "${request.arg.x:-none}",
                "X-Agent": "<${request.header.user-agent:-nobody}>",
                "X-Route": "${service.name}/${route.name}",
                "X-Up": "${upstream.name}", "X-Custom": "${custom.site}",
                "X-Number": "${custom.number}", "X-Dollar": "$$5"}},
               name="named"),
            at("/response", None, {
                "set": {"Server": "Gateway", "X-Status": "${response.status}",
                        "X-Up": "${upstream.address}",
                        "X-Tries": "${upstream.tries}"},
                "add": {"Set-Cookie": "seen=1"},
                "remove": ["X-Powered-By"], "rename": {"X-From": "X-To"}}),
            at("/only", None, {"set": {"X-Seen": "yes"},
                               "status": [200, 404]}),
            at("/only-one", None, {"set": {"X-Seen": "yes"}, "status": 404}),
            {"path": "/own", "respond": {"body": "own"}},
            {"path": "/redirect", "redirect": {"location": "/x"}},
            {"path": "/down", "upstream": "down"},
            at("/override", {"set": {"X-Level": "route"}}),
            {"path": "/inherit", "upstream": "up"},
            name="web", headers={
                "request": {"set": {"X-Level": "service"}},
                "response": {"set": {"X-Frame-Options": "DENY"}}}),
         conf.service({"path": "/", "upstream": "up"}, name="plain")],
        [conf.upstream("up", origin),
         conf.upstream("down", "127.0.0.1:1", retries=0)],
        custom={"site": "blue", "number": 7},
        http={"headers": {"request": {"set": {"X-Level": "http"}}}}))


@pytest.fixture
def client(weir):
    with Client(weir.address) as one:
        yield one


# -- requests --------------------------------------------------------------

def test_set_replaces_all(client):
    echo = Echo(client.get("/set", [("X-One", "a"), ("x-one", "b"),
                                    ("Accept", "*/*")]))
    assert echo.fields.all("x-one") == ["1"]
    assert echo.fields.all("accept") == ["text/plain"]


def test_add_keeps_what_was_there(client):
    echo = Echo(client.get("/add", [("X-One", "1")]))
    assert echo.fields.all("x-one") == ["1", "2"]
    assert echo.fields.one("via-test") == "v"


def test_remove(client):
    echo = Echo(client.get("/remove", [
        ("cookie", "a=b"), ("Cookie", "c=d"), ("X-One", "1"),
        ("X-Stays", "yes")]))
    assert "cookie" not in echo.fields and "x-one" not in echo.fields
    assert echo.fields.one("x-stays") == "yes"


def test_rename(client):
    echo = Echo(client.get("/rename", [("x-old", "1"), ("X-Old", "2")]))
    assert echo.fields.all("x-new") == ["1", "2"]
    assert "x-old" not in echo.fields
    assert "x-new" not in Echo(client.get("/rename")).fields


def test_host(client):
    """A rule replaces the client's Host."""
    echo = Echo(client.get("/host"))
    assert echo.fields.all("host") == ["other.example:81"]


def test_templates(weir):
    with Client(weir.address) as client:
        echo = Echo(client.get("/templates/p?q=1&r", [
            ("Cookie", "a=1; b=two; c=3"), ("User-Agent", "test/1")],
            host="Www.Example.com:81"))
        want = {
            "x-ip": "127.0.0.1", "x-port": str(client.name[1]),
            "x-line": "GET /templates/p?q=1&r HTTP/1.1",
            "x-path": "/templates/p", "x-query": "q=1&r",
            "x-method": "GET", "x-scheme": "http", "x-cookie": "two",
            "x-arg": "none", "x-agent": "<test/1>",
            "x-route": "web/named", "x-up": "up", "x-custom": "blue",
            "x-number": "7", "x-dollar": "$5"}
        for name, value in want.items():
            assert echo.fields.get(name) == value, name
        assert echo.fields.one("x-host").lower().startswith(
            "www.example.com")
        echo = Echo(client.get("/templates?x=%41"))
        assert echo.fields.one("x-agent") == "<nobody>"
        assert echo.fields.one("x-arg") in ("%41", "A")


# -- answers ---------------------------------------------------------------

def test_response_rules(client, origin):
    script = origin.raw(
        b"HTTP/1.1 201 Made\r\nServer: backend/1.0\r\nX-Powered-By: PHP\r\n"
        b"X-From: here\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok")
    response = client.get("/response" + script.path)
    assert response.fields.all("server") == ["Gateway"]
    assert response.fields.one("x-status") == "201"
    assert response.fields.one("x-up") == origin.backend
    assert response.fields.one("x-tries") == "1"
    assert response.fields.all("set-cookie") == ["a=b", "seen=1"]
    assert "x-powered-by" not in response.fields
    assert response.fields.one("x-to") == "here"
    assert "x-from" not in response.fields


@pytest.mark.parametrize("path,status,seen", [
    ("/only", 200, True), ("/only", 404, True), ("/only", 500, False),
    ("/only-one", 200, False), ("/only-one", 404, True)])
def test_conditions_on_status(client, origin, path, status, seen):
    script = origin.script(lambda e: e.reply(status, b"x"))
    response = client.get(path + script.path)
    assert response.status == status
    assert ("x-seen" in response.fields) == seen


@pytest.mark.parametrize("path,status", [
    ("/own", 200), ("/redirect", 302), ("/down", 502)])
def test_own_answers_too(client, path, status):
    """respond, redirect, error pages."""
    response = client.get(path)
    assert response.status == status
    assert response.fields.one("x-frame-options") == "DENY"


def test_no_route_too(start):
    weir = start(conf.config(conf.service(
        {"host": "a.test", "respond": {}},
        headers={"response": {"set": {"X-Seen": "yes"}}})))
    response = weir.get(host="b.test")
    assert response.status == 404
    assert response.fields.get("x-seen") == "yes"


def test_interim_answers_are_left(client, origin):
    script = origin.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    response = client.get("/response" + script.path)
    assert response.interims[0].fields.one("link") == "</a>"
    assert response.fields.one("server") == "Gateway"


# -- levels ----------------------------------------------------------------

def test_inheritance(weir):
    """http, service, route: the most specific wins."""
    with Client(weir.address) as client:
        assert Echo(client.get("/inherit")).fields.one(
            "x-level") == "service"
        assert Echo(client.get("/override")).fields.one("x-level") == "route"
    with Client(weir.addresses[1]) as client:
        assert Echo(client.get("/x")).fields.one("x-level") == "http"


# -- nothing breaks a message ----------------------------------------------

@pytest.mark.parametrize("value", ["a%0d%0aX-Evil: 1", "%00", "%0a"])
def test_values_cannot_break_out(client, value):
    response = client.get("/templates?x=" + value.replace(" ", "%20"))
    if response.status == 200:
        assert "x-evil" not in Echo(response).fields
    else:
        assert response.status in (400, 500)


@pytest.mark.parametrize("where", ["request", "response"])
@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding",
                                  "Connection"])
def test_framing_is_out_of_reach(tmp_path, where, name):
    """A rule on a framing field is a configuration error."""
    config = conf.config(conf.service(
        {"path": "/", "respond": {"body": "own"},
         "headers": {where: {"set": {name: "7"}}}}))
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(config))
    status, _, err = run("-t", "-c", path)
    assert status == 2
    assert name.lower() in err.lower()
