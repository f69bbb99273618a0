"""A failed attempt is repeated where that is safe, and nowhere else."""
# SPDX-License-Identifier: BSD-2-Clause
import collections

import pytest

from lib import conf, wait
from lib.client import Client, chunked, compose
from lib.origin import Blackhole, Origin, Refused

pytestmark = pytest.mark.short

UNLIMITED = {"percent": 100, "min_per_second": 1000}


@pytest.fixture(scope="module")
def bad():
    """A backend whose behaviour each test sets."""
    one = Origin()
    yield one
    one.close()


@pytest.fixture(scope="module")
def refused():
    three = [Refused() for _ in range(3)]
    yield three
    for one in three:
        one.close()


@pytest.fixture(scope="module")
def weir(start_shared, origin, bad, refused):
    """Upstreams by path: what is said of each is in its name."""
    def up(name, *backends, **options):
        return conf.upstream(name, *backends, **{
            "retry_budget": UNLIMITED, "max_fails": 0, **options})
    ups = [
        up("one", origin),
        up("refused", refused[0], origin),
        up("all-refused", *refused),
        up("never", refused[0], origin, retries=0),
        # The heavy one comes first in each round.
        up("bad-first", {"address": bad.backend, "weight": 100}, origin),
        up("bad-small", {"address": bad.backend, "weight": 100}, origin),
        up("no-budget", refused[0], origin,
           retry_budget={"percent": 0, "min_per_second": 0}),
        up("unresolvable", "no-such-host.invalid:80"),
        up("half-resolvable", "no-such-host.invalid:80", origin),
    ]
    routes = [{"path": "/" + u["name"], "upstream": u["name"],
               "headers": {"response": {"set": {
                   "X-Tries": "${upstream.tries}",
                   "X-Reused": "${upstream.reused}",
                   "X-Backend": "${upstream.address}"}}}}
              for u in ups]
    routes[5]["retry_buffer"] = 100
    return start_shared(conf.config(conf.service(*routes), ups))


# -- a kept connection that dies when it is used again ---------------------

def bad_lb(exchange):
    """Close any request that is not the first on its connection."""
    if exchange.nth > 0:
        exchange.body()
        return False
    exchange.reply(200, b"dog!\n")
    return True


def warm(client, script):
    """A connection in the pool that has served one request."""
    assert client.get("/one" + script.path).body == b"dog!\n"


@pytest.mark.parametrize("method,body", [
    ("GET", None), ("HEAD", None), ("PUT", b"cat!"), ("DELETE", None),
    ("OPTIONS", None), ("GET", b"cat!")])
def test_idempotent_is_repeated(weir, origin, method, body):
    """pingora 22: on a fresh connection, and the client never knows."""
    script = origin.script(bad_lb)
    origin.drop_idle()
    with Client(weir.address) as client:
        warm(client, script)
        response = client.request(method, "/one" + script.path, body=body)
        assert response.status == 200
        assert method == "HEAD" or response.body == b"dog!\n"
    assert len(script.exchanges) == 3
    assert [e.method for e in script.exchanges] == ["GET", method, method]
    if body:
        assert script.exchanges[2].head.body == body


@pytest.mark.parametrize("method", ["POST", "PATCH", "BREW"])
@pytest.mark.parametrize("body", [None, b"cat!", b"c" * 65537],
                         ids=["none", "short", "long"])
def test_others_are_not_repeated(weir, origin, method, body):
    """pingora 23, 24, 25: the backend may have acted; 502."""
    script = origin.script(bad_lb)
    origin.drop_idle()
    with Client(weir.address) as client:
        warm(client, script)
        response = client.request(method, "/one" + script.path, body=body)
        assert response.status == 502
    assert len(script.exchanges) == 2


def test_body_beyond_the_retry_buffer(weir, origin):
    """A PUT of more than is kept cannot be repeated."""
    script = origin.script(bad_lb)
    origin.drop_idle()
    with Client(weir.address) as client:
        warm(client, script)
        response = client.request("PUT", "/one" + script.path,
                                  body=b"c" * 300000)
        assert response.status == 502
    assert len(script.exchanges) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_connection_that_ended_while_idle(weir, origin, method):
    """Nothing was sent on it: any method goes to a fresh one."""
    with Client(weir.address) as client:
        for _ in range(5):
            assert client.get("/one/hello").status == 200
            origin.drop_idle()
            response = client.request(
                method, "/one/echo", body=b"x" if method == "POST" else None)
            assert response.status == 200


# -- the next backend ------------------------------------------------------

@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("size", [0, 10, 200000])
def test_refused_goes_to_the_next(weir, method, size):
    """Nothing was sent: any method, any body."""
    with Client(weir.address) as client:
        for _ in range(4):
            response = client.request(method, "/refused/sha",
                                      body=b"a" * size or None)
            assert response.status == 200
            assert response.text.startswith("%d " % size)
            assert response.fields.one("x-tries") in ("1", "2")


def test_all_refused(weir):
    response = weir.get("/all-refused/x")
    assert response.status == 502
    assert response.fields.one("x-tries") == "3"


def test_retries_0(weir):
    """Half of the requests meet the one that refuses."""
    got = [weir.get("/never/hello").status for _ in range(8)]
    assert 502 in got and 200 in got, got


def test_no_budget(weir):
    got = [weir.get("/no-budget/hello").status for _ in range(8)]
    assert 502 in got and 200 in got, got


FAILURES = {
    "reset": lambda e: e.body() and None or e.reset() or False,
    "close": lambda e: e.body() and None or False,
    "nonsense": lambda e: e.body() and None or e.send(b"what?\r\n\r\n")
    or False,
    "half a head": lambda e: e.body() and None
    or e.send(b"HTTP/1.1 200 OK\r\nConte") or False,
}


def to_the_bad(weir, bad, behaviour, path, **request):
    """Send until the bad one was asked; give the answer and the count."""
    before = len(bad.exchanges)
    bad.default = behaviour
    for _ in range(6):
        response = weir.request(target=path, **request)
        count = len(bad.exchanges) - before
        if count:
            return response, count
    raise AssertionError("the bad backend was never asked")


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_failed_goes_to_the_next(weir, bad, name, method):
    """Idempotent ones only: the request was sent."""
    body = None if method == "GET" else b"body"
    response, count = to_the_bad(weir, bad, FAILURES[name],
                                 "/bad-first/echo", method=method, body=body)
    if method == "POST":
        assert response.status == 502 and count == 1
    else:
        assert response.status == 200
        if body:
            assert b'"body": "body"' in response.body


def test_chunked_body_is_repeated_whole(weir, bad):
    bad.default = FAILURES["close"]
    before = len(bad.exchanges)
    with Client(weir.address) as client:
        for _ in range(6):
            client.send(compose("PUT", "/bad-first/echo", [
                ("Transfer-Encoding", "chunked")])
                + chunked(b"ab", b"c", trailers=[("T", "u")]))
            response = client.response()
            assert response.status == 200
            assert b'"body": "abc"' in response.body
            if len(bad.exchanges) > before:
                break
        assert len(bad.exchanges) > before


def test_retry_buffer_bounds_what_is_repeated(weir, bad):
    """retry_buffer = 100: 101 bytes are not kept."""
    for size, status in ((100, 200), (101, 502)):
        response, _ = to_the_bad(weir, bad, FAILURES["close"],
                                 "/bad-small/sha", method="PUT",
                                 body=b"a" * size)
        assert response.status == status, size


def test_nothing_is_repeated_after_the_head(weir, bad):
    """Even a GET: the client has seen a part."""
    def half(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        return False
    bad.default = half
    before = len(bad.exchanges)
    with Client(weir.address) as client:
        client.send(compose(target="/bad-first/x"))
        head = client.reader.response_head()
        if len(bad.exchanges) > before:
            assert head.status == 200
            client.reader.rest()
            assert bytes(client.reader.received).endswith(b"half")
            assert len(bad.exchanges) == before + 1


def test_503_is_an_answer(weir, bad):
    """A status is no failure: it passes."""
    response, count = to_the_bad(weir, bad, lambda e: e.reply(503, b"busy"),
                                 "/bad-first/x")
    assert response.status == 503 and response.body == b"busy"
    assert count == 1


# -- names -----------------------------------------------------------------

def test_unresolvable_name_is_a_backend_that_is_down(weir):
    """weir started; the answer is 502, and soon."""
    assert weir.get("/unresolvable/x").status == 502


def test_unresolvable_next_to_a_good_one(weir):
    for _ in range(6):
        assert weir.get("/half-resolvable/hello").status == 200


def test_localhost_resolves(start, origin):
    """A name whose first address may be the wrong family's."""
    port = origin.address[1]
    weir = start(conf.proxy("localhost:%d" % port))
    wait.until(lambda: weir.get("/hello").status == 200)


# -- weights ---------------------------------------------------------------

@pytest.mark.parametrize("weights", [(1, 1), (2, 1), (5, 1, 1), (3, 2)])
def test_weights(start, origin_factory, weights):
    """Exact over each whole round, and spread within it."""
    origins = [origin_factory() for _ in weights]
    weir = start(conf.config(
        conf.service({"path": "/", "upstream": "up"}),
        [conf.upstream("up", *[{"address": o.backend, "weight": w}
                               for o, w in zip(origins, weights)])]))
    rounds = sum(weights)
    order = []
    with Client(weir.address) as client:
        for _ in range(rounds * 4):
            before = [len(o.exchanges) for o in origins]
            assert client.get("/hello").status == 200
            order += [i for i, o in enumerate(origins)
                      if len(o.exchanges) > before[i]]
    for i in range(0, len(order), rounds):
        counts = collections.Counter(order[i:i + rounds])
        assert tuple(counts[n] for n in range(len(weights))) == weights
    if weights == (5, 1, 1):
        assert "0, 0, 0, 0, 0" not in str(order[:rounds]), "in one block"


def test_backends_of_all_kinds(start, origin_factory, tmp_path):
    """host:port, [v6]:port and unix:/path (pingora 11)."""
    weir = start(start=False, admin=False)
    unix = Origin(unix=weir.path("back.sock"))
    six = origin_factory(host="::1")
    four = origin_factory()
    other = start(conf.config(
        conf.service({"path": "/", "upstream": "up"}),
        [conf.upstream("up", four, six, unix)]))
    try:
        with Client(other.address) as client:
            for _ in range(6):
                assert client.get("/hello").body == b"Hello World!\n"
        assert [len(o.exchanges) for o in (four, six, unix)] == [2, 2, 2]
    finally:
        unix.close()
        weir.remove()


# -- time ------------------------------------------------------------------

def test_connect_timeout_goes_to_the_next(start, origin, origin_factory):
    hole = origin_factory(kind=Blackhole)
    weir = start(conf.proxy(origin, up={
        "backends": [{"address": hole.backend}, {"address": origin.backend}],
        "timeouts": {"connect": "200ms"}, "retry_budget": UNLIMITED}))
    for _ in range(3):
        assert weir.request("POST", "/hello", body=b"x").status == 200


def test_first_byte_timeout_goes_to_the_next(start, origin_factory):
    """GET again elsewhere, POST 504."""
    slow, good = origin_factory(), origin_factory()
    slow.default = lambda e: e.gone() and False
    weir = start(conf.proxy(good, up={
        "backends": [{"address": slow.backend, "weight": 1000},
                     {"address": good.backend}],
        "timeouts": {"first_byte": "200ms"}, "retry_budget": UNLIMITED}))
    assert weir.get("/hello").status == 200
    assert weir.request("POST", "/hello", body=b"x").status == 504
