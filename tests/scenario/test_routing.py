"""The strongest route answers: host, then path, then method and the rest."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf, proc
from lib.client import Client
from lib.weir import sanitized

pytestmark = pytest.mark.short


def says(text, **match):
    return {**match, "respond": {"body": text}}


ROUTES = [
    says("default"),
    says("exact host", host="www.example.com"),
    says("exact host /x", host="www.example.com", path="/x"),
    says("wild", host="*.example.com"),
    says("wild /x", host="*.example.com", path="/x"),
    says("longer wild", host="*.deep.example.com"),
    says("either", host=["one.example.org", "*.two.example.org"]),
    # Paths, on a host of their own.
    says("root", host="paths.test", path="/"),
    says("regex word", host="paths.test", path_regex="^/re/([a-z]+)$"),
    says("regex any", host="paths.test", path_regex="^/re/.*"),
    says("regex under a prefix", host="paths.test", path_regex="/long/er"),
    says("short", host="paths.test", path="/long"),
    says("long", host="paths.test", path="/long/er"),
    says("slash", host="paths.test", path="/slash/"),
    says("exact", host="paths.test", path_exact="/long/er/still"),
    says("match ${route.match.1}-${route.match.2}", host="paths.test",
         path_regex="^/cap/([0-9]+)/(.*)$"),
    # Query.
    says("query", host="cond.test", path="/q",
         match_query=[{"name": "v", "value": "1"}]),
    says("query two", host="cond.test", path="/q",
         match_query=[{"name": "a", "present": True},
                      {"name": "b", "regex": "^x+$"}]),
    says("query none", host="cond.test", path="/q"),
    says("passed over", host="cond.test", path="/deep"),
    says("only posts", host="cond.test", path="/deep/er",
         methods=["POST"]),
]

# A service where nothing takes what these leave.
CONDITIONS = [
    says("get", path="/m", methods=["GET", "HEAD"]),
    says("put", path="/m", methods=["PUT"]),
    says("posts", path="/m/post", methods=["POST"]),
    says("header one", path="/h",
         match_headers=[{"name": "X-Ver", "value": "1"}]),
    says("header regex", path="/h",
         match_headers=[{"name": "X-Ver", "regex": "^2\\.[0-9]+$"}]),
    says("header present", path="/h",
         match_headers=[{"name": "X-Any", "present": True}]),
    says("header absent", path="/h",
         match_headers=[{"name": "X-None", "present": False}]),
]

# host, target, body
TABLE = [
    ("other.test", "/", "default"),
    ("www.example.com", "/", "exact host"),
    ("WWW.Example.COM", "/", "exact host"),
    ("www.example.com:8080", "/", "exact host"),
    ("www.example.com", "/x", "exact host /x"),
    ("www.example.com", "/x/y", "exact host /x"),
    ("www.example.com", "/xy", "exact host"),
    ("a.example.com", "/", "wild"), ("a.b.example.com", "/", "wild"),
    ("A.EXAMPLE.com:1", "/x", "wild /x"),
    ("example.com", "/", "default"), ("xexample.com", "/", "default"),
    ("www.example.com.evil.test", "/", "default"),
    ("a.deep.example.com", "/", "longer wild"),
    ("deep.example.com", "/", "wild"),
    ("one.example.org", "/", "either"),
    ("x.two.example.org", "/", "either"),
    ("two.example.org", "/", "default"),
    ("[::1]", "/", "default"), ("127.0.0.1:80", "/", "default"),
    ("paths.test", "/", "root"), ("paths.test", "/none", "root"),
    ("paths.test", "/re/abc", "regex word"),
    ("paths.test", "/re/ABC", "regex any"),
    ("paths.test", "/long", "short"), ("paths.test", "/long/x", "short"),
    ("paths.test", "/longer", "root"), ("paths.test", "/long/er", "long"),
    ("paths.test", "/long/er/", "long"),
    ("paths.test", "/long/erx", "short"),
    ("paths.test", "/long/er/still", "exact"),
    ("paths.test", "/long/er/still?q", "exact"),
    ("paths.test", "/long/er/still/", "long"),
    ("paths.test", "/x/long/er", "regex under a prefix"),
    ("paths.test", "/slash/", "slash"), ("paths.test", "/slash/x", "slash"),
    ("paths.test", "/slashx", "root"),
    ("paths.test", "/cap/12/a/b", "match 12-a/b"),
    ("paths.test", "/cap/x/a", "root"),
    ("cond.test", "/q?v=1", "query"), ("cond.test", "/q?v=2", "query none"),
    ("cond.test", "/q?w=2&v=1", "query"), ("cond.test", "/q", "query none"),
    ("cond.test", "/q?xv=1", "query none"),
    ("cond.test", "/q?b=xx&a", "query two"),
    ("cond.test", "/q?b=xy&a", "query none"),
    ("cond.test", "/deep/er", "passed over"),
]


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.config(
        [conf.service(*ROUTES, name="web", listen=[
            {"address": conf.address()}, {"address": conf.address()},
            {"address": "unix:@DIR@/web.sock"}]),
         conf.service(says("only a", host="a.test"), name="strict"),
         conf.service(says("second service"), name="second"),
         conf.service(*CONDITIONS, name="conditions")],
        [conf.upstream("up", origin)]))


@pytest.fixture(scope="module")
def client(weir):
    with Client(weir.address) as one:
        yield one


@pytest.mark.parametrize("host,target,want", TABLE)
def test_route(client, host, target, want):
    response = client.get(target, host=host)
    assert (response.status, response.text) == (200, want)


METHODS = [
    ("GET", "/m", 200, "get"), ("PUT", "/m", 200, "put"),
    ("HEAD", "/m", 200, ""), ("POST", "/m/post", 200, "posts"),
    ("GET", "/m/post", 200, "get"), ("get", "/m", 405, None),
    ("POST", "/other", 404, None),
]


@pytest.mark.parametrize("method,target,status,body", METHODS)
def test_method(weir, method, target, status, body):
    with Client(weir.addresses[5]) as client:
        response = client.request(method, target)
        assert response.status == status
        if body is not None:
            assert response.text == body


def test_weaker_route_for_another_method(client):
    """A route whose methods do not match is passed over."""
    assert client.request("POST", "/deep/er", host="cond.test"
                          ).text == "only posts"
    assert client.get("/deep/er", host="cond.test").text == "passed over"


def test_405_names_the_methods(weir):
    """Nothing matched only because of the method."""
    with Client(weir.addresses[5]) as client:
        for method in ("DELETE", "POST"):
            response = client.request(method, "/m")
            assert response.status == 405
            allowed = {m.upper() for m in response.fields.tokens("allow")}
            assert allowed == {"GET", "HEAD", "PUT"}


HEADERS = [
    ([("X-Ver", "1")], "header one"), ([("x-ver", "1")], "header one"),
    ([("X-Ver", "2.10")], "header regex"),
    ([("X-Ver", "2."), ("X-None", "a")], None),
    ([("X-Ver", "11"), ("X-None", "a")], None),
    ([("X-Any", "")], "header present"), ([], "header absent"),
    ([("X-None", "a"), ("X-Any", "b")], "header present"),
]


@pytest.mark.parametrize("fields,want", HEADERS)
def test_header(weir, fields, want):
    with Client(weir.addresses[5]) as client:
        response = client.get("/h", fields)
        if want is None:
            assert response.status == 404
        else:
            assert response.text == want


def test_no_route_is_404(weir):
    with Client(weir.addresses[3]) as client:
        assert client.get(host="a.test").text == "only a"
        response = client.get(host="b.test")
        assert response.status == 404
        assert client.get(host="a.test").text == "only a"


def test_1_0_without_host_takes_the_route_without(weir):
    with Client(weir.address) as client:
        assert client.get(version="1.0", host=None).text == "default"


def test_service_with_several_listeners(weir):
    """Two TCP ones and a Unix socket (pingora 10)."""
    for address in weir.addresses[:3]:
        with Client(address) as client:
            assert client.get(host="www.example.com").text == "exact host"
    with Client(weir.addresses[4]) as client:
        assert client.get(host="www.example.com").text == "second service"


def many(hosts):
    return conf.config(conf.service(
        *[says("h%d" % i, host="h%d.example.com" % i) for i in range(hosts)],
        says("wild", host="*.w.example.com"), says("default")))


def cpu(weir):
    return sum(proc.cpu_seconds(pid) for pid in weir.processes())


def lookups(weir, host, count=3000):
    """CPU seconds of so many requests, the best of three."""
    raw = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode()
    best = 1e9
    with Client(weir.address) as client:
        for _ in range(3):
            before = cpu(weir)
            for _ in range(count // 100):
                client.send(raw * 100)
                for _ in range(100):
                    client.response()
            best = min(best, cpu(weir) - before)
    return best


def test_ten_thousand_hosts(start):
    """Each finds its own, and a lookup costs no more than with ten."""
    spent = {}
    for hosts in (10, 10000):
        weir = start(many(hosts))
        with Client(weir.address) as client:
            for i in (0, 1, hosts // 2, hosts - 1):
                assert client.get(host="h%d.example.com" % i).text == (
                    "h%d" % i)
            assert client.get(host="a.w.example.com").text == "wild"
            assert client.get(host="h%d.example.com" % hosts).text == (
                "default")
        if not sanitized():
            spent[hosts] = lookups(weir, "h%d.example.com" % (hosts - 1))
    if spent:
        # A tick of the clock is 10 ms; a linear search costs far more.
        assert spent[10000] <= spent[10] * 1.5 + 0.03, spent
