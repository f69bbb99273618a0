"""Matching and forwarding see the same path."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf
from lib.client import Client
from lib.origin import Echo

pytestmark = pytest.mark.short

ROUTES = [{"path": path, "upstream": "up",
           "headers": {"request": {"set": {"X-Route": path}}}}
          for path in ("/", "/api", "/a/b", "/~user", "/a%2Fb")]


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.config(
        [conf.service(*ROUTES, name="refuse"),
         conf.service(*ROUTES, name="resolve", dot_segments="resolve")],
        [conf.upstream("up", origin)]))


# target, route that matches; forwarded as received
SAME = [
    ("/", "/"), ("/api", "/api"), ("/api/", "/api"), ("/api/x", "/api"),
    ("/apix", "/"), ("/API", "/"), ("/api?x=/a/b", "/api"),
    ("/api/?", "/api"), ("/?", "/"), ("/?a=../..", "/"), ("/api?", "/api"),
    # Unreserved characters are decoded to match, never to forward.
    ("/%61pi", "/api"), ("/%61%70%69/x", "/api"), ("/ap%69", "/api"),
    ("/%7Euser", "/~user"), ("/~user", "/~user"), ("/%7euser/", "/~user"),
    # A slash stays encoded: /a%2fb is one segment.
    ("/a%2fb", ("/a%2Fb", "/")), ("/a%2Fb", "/a%2Fb"), ("/a/b", "/a/b"),
    ("/api%2fx", "/"), ("/api%2Fx", "/"), ("/x%2f..%2fapi", "/"),
    # What looks like dots and is not.
    ("/...", "/"), ("/.well-known/x", "/"), ("/a..b", "/"), ("/a./b", "/"),
    ("/..a", "/"), ("/a/.../b", "/"), ("/%2e%2e%2e", "/"), ("/x%2e", "/"),
    # Empty segments are segments.
    ("//", "/"), ("//api", "/"), ("/a//b", "/"), ("/api//x", "/api"),
    ("/a/b//", "/a/b"),
    # Characters that have their own meaning stay.
    ("/api;v=1", "/"), ("/api/x;v=1", "/api"), ("/api:x", "/"),
    ("/%3Fapi", "/"), ("/%23", "/"), ("/a%20b", "/"), ("/%c3%a9", "/"),
    ("/!$&'()*+,;=:@-._~", "/"), ("/a?b?c", "/"), ("/%25", "/"),
    ("/%2561pi", "/"), ("/a+b", "/"),
]


@pytest.mark.parametrize("service", [0, 1], ids=["refuse", "resolve"])
@pytest.mark.parametrize("target,route", SAME, ids=[s[0] for s in SAME])
def test_forwarded_as_received(weir, target, route, service):
    with Client(weir.addresses[service]) as client:
        echo = Echo(client.get(target))
        assert echo.target == target
        assert echo.fields.one("x-route") in (
            route if isinstance(route, tuple) else (route,))


# target, what both sides see
DOTS = [
    ("/x/../api", "/api", "/api"), ("/x/../api/y?z", "/api/y?z", "/api"),
    ("/./api", "/api", "/api"), ("/api/..", "/", "/"),
    ("/api/../", "/", "/"), ("/api/.", "/api/", "/api"),
    ("/api/./x", "/api/x", "/api"), ("/..", "/", "/"), ("/.", "/", "/"),
    ("/../../api", "/api", "/api"), ("/x/%2e%2e/api", "/api", "/api"),
    ("/x/.%2E/api", "/api", "/api"), ("/x/%2e./api", "/api", "/api"),
    ("/%2e/api", "/api", "/api"), ("/api/x/..?q=..", "/api/?q=..", "/api"),
    ("/a/x/../b", "/a/b", "/a/b"), ("/a//../b", "/a/b", "/a/b"),
    ("/api/%2e%2e/%2e%2e/a/b", "/a/b", "/a/b"),
]


@pytest.mark.parametrize("target,resolved,route", DOTS,
                         ids=[d[0] for d in DOTS])
def test_dot_segments(weir, origin, target, resolved, route):
    """Refused; or resolved for the route and the backend alike."""
    before = len(origin.exchanges)
    with Client(weir.addresses[0]) as client:
        assert client.get(target).status == 400
        assert client.closed()
    assert len(origin.exchanges) == before
    with Client(weir.addresses[1]) as client:
        echo = Echo(client.get(target))
        assert echo.target == resolved
        assert echo.fields.one("x-route") == route


def test_long_paths(weir):
    target = "/api/" + "a%20/" * 1500 + "?" + "q" * 200
    with Client(weir.address) as client:
        assert Echo(client.get(target)).target == target
