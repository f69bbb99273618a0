"""What routes do by themselves: respond, redirect, rewrite."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf
from lib.client import Client
from lib.origin import Echo, big

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    routes = [
        {"path": "/plain", "respond": {"body": "ok\n"}},
        {"path": "/status", "respond": {"status": 418, "body": "teapot"}},
        {"path": "/empty", "respond": {"status": 200}},
        {"path": "/204", "respond": {"status": 204}},
        {"path": "/304", "respond": {"status": 304}},
        {"path": "/json", "respond": {
            "body": "{}", "content_type": "application/json",
            "headers": {"X-Method": "${request.method}",
                        "Cache-Control": "no-store"}}},
        {"path": "/template", "respond": {
            "body": "${request.method} ${request.path} ${request.query} "
                    "${request.arg.a} ${request.header.X-Q:-none} $$"}},
        {"path": "/file", "respond": {"file": "@DIR@/page.html",
                                      "content_type": "text/html"}},
        {"path": "/big", "respond": {"file": "@DIR@/big.bin",
                                     "content_type": "image/png"}},
        {"path": "/go", "redirect": {
            "location": "https://${request.host}${request.target}"}},
        {"path_regex": "^/old/(.*)$", "redirect": {
            "location": "/new/${route.match.1}", "status": 308}},
    ]
    for status in (301, 302, 303, 307, 308):
        routes.append({"path": "/r%d" % status, "redirect": {
            "location": "/x", "status": status}})
    routes += [
        {"path": "/strip", "upstream": "up", "rewrite_path": "/echo"},
        {"path_regex": "^/api/v([0-9])/(.*)$", "upstream": "up",
         "rewrite_path": "/echo/${route.match.2}/v${route.match.1}"},
        {"path": "/query", "upstream": "up",
         "rewrite_path": "/echo?only=${request.arg.a}"},
        {"path": "/", "upstream": "up"},
    ]
    return start_shared(
        conf.config(conf.service(*routes), [conf.upstream("up", origin)]),
        files={"page.html": "<p>${request.path}\n", "big.bin": big(300000)})


@pytest.fixture
def client(weir):
    with Client(weir.address) as one:
        yield one


# -- respond ---------------------------------------------------------------

def test_respond_defaults(client):
    response = client.get("/plain")
    assert response.status == 200 and response.reason == "OK"
    assert response.body == b"ok\n" and response.framing == "length"
    assert response.fields.one("content-type") == (
        "text/plain; charset=utf-8")
    assert len(response.fields.all("date")) == 1


def test_respond_status(client):
    response = client.get("/status")
    assert response.status == 418 and response.text == "teapot"


def test_respond_empty(client):
    response = client.get("/empty")
    assert response.status == 200 and response.body == b""
    assert response.fields.one("content-length") == "0"


@pytest.mark.parametrize("status", [204, 304])
def test_respond_without_body(client, status):
    response = client.get("/%d" % status)
    assert response.status == status and response.body == b""
    assert client.get("/plain").body == b"ok\n"


def test_respond_fields(client):
    response = client.get("/json")
    assert response.fields.one("content-type") == "application/json"
    assert response.fields.one("x-method") == "GET"
    assert response.fields.one("cache-control") == "no-store"


def test_respond_template(client):
    response = client.get("/template/b?a=1&b=2", [("X-Q", "q")])
    assert response.text == "GET /template/b a=1&b=2 1 q $"
    assert client.get("/template").text.split()[-2:] == ["none", "$"]


def test_respond_head(client):
    response = client.request("HEAD", "/plain")
    assert response.status == 200 and response.body == b""
    assert response.fields.one("content-length") == "3"
    assert client.get("/plain").body == b"ok\n"


def test_respond_to_1_0(client):
    response = client.get("/plain", version="1.0")
    assert response.body == b"ok\n" and response.framing == "length"
    assert client.closed()


def test_respond_file(client):
    """A file is bytes, not a template; HEAD has its length."""
    for _ in range(2):
        response = client.get("/file")
        assert response.body == b"<p>${request.path}\n"
        assert response.fields.one("content-type") == "text/html"
    assert client.get("/big").body == big(300000)
    head = client.request("HEAD", "/big")
    assert head.fields.one("content-length") == "300000"


def test_respond_to_every_method(client):
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        response = client.request(method, "/plain",
                                  body=b"x" if method == "POST" else None)
        assert response.status == 200 and response.body == b"ok\n"
        if "close" in response.fields.tokens("connection"):
            break


# -- redirect --------------------------------------------------------------

@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_status(client, status):
    response = client.get("/r%d" % status)
    assert response.status == status
    assert response.fields.one("location") == "/x"
    assert client.get("/plain").status == 200


def test_redirect_template(client):
    response = client.get("/go/a%20b?c=d&e", host="www.example.com:81")
    assert response.status == 302
    assert response.fields.one("location") in (
        "https://www.example.com:81/go/a%20b?c=d&e",
        "https://www.example.com/go/a%20b?c=d&e")


def test_redirect_captures(client):
    response = client.get("/old/a/b")
    assert response.status == 308
    assert response.fields.one("location") == "/new/a/b"


@pytest.mark.parametrize("path", ["/old/%0d%0aX-Evil:%20y", "/old/a%0ab"])
def test_redirect_cannot_be_split(client, path):
    """No decoded line end reaches a field."""
    response = client.get(path)
    assert "x-evil" not in response.fields
    if response.status == 308:
        assert response.fields.one("location") == "/new/" + path[5:]
    else:
        assert response.status == 400


# -- rewrite ---------------------------------------------------------------

REWRITES = [
    ("/strip", "/echo"), ("/strip?a=b", "/echo?a=b"),
    ("/strip/x?a=b", "/echo?a=b"), ("/strip?", "/echo?"),
    ("/api/v2/users/7", "/echo/users/7/v2"),
    ("/api/v2/a%2Fb?q=%2F", "/echo/a%2Fb/v2?q=%2F"),
    ("/query?a=1&b=2", "/echo?only=1"), ("/query?b=2", "/echo?only="),
    ("/other?x", "/other?x"),
]


@pytest.mark.parametrize("target,want", REWRITES)
def test_rewrite(client, target, want):
    """The query is kept unless the template has its own."""
    got = Echo(client.get(target)).target
    assert got == want or (want == "/echo?" and got == "/echo")


@pytest.mark.parametrize("target", [
    "/api/v1/a%0d%0ab", "/api/v1/a%20HTTP/1.1", "/api/v1/%3fx"])
def test_rewrite_cannot_break_the_line(client, target):
    response = client.get(target)
    if response.status == 200:
        assert Echo(response).target == "/echo/" + target[8:] + "/v1"
    else:
        assert response.status == 400


def test_rewritten_to_nonsense(start, origin):
    """A rewrite that gives no path is an error, not a request."""
    weir = start(conf.config(conf.service(
        {"path": "/", "upstream": "up",
         "rewrite_path": "${request.header.X-To:-/echo}"}),
        [conf.upstream("up", origin)]))
    before = len(origin.exchanges)
    for value in ("no-slash", "/a b", "/a#b", "//x/../y", "/\xff"):
        response = weir.get("/", [("X-To", value)])
        if response.status == 200:
            assert Echo(response).target == value and "#" not in value
        else:
            assert response.status in (400, 500)
    assert weir.get("/").status == 200
    assert len(origin.exchanges) > before
