"""Backend connections are kept, shared by all workers, and never doubted."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import signal
import threading
import time

import pytest

from lib import conf, wait
from lib.client import Client, compose
from lib.origin import Echo

pytestmark = [pytest.mark.short, pytest.mark.process]


def pooled(origin, workers=1, **up):
    keepalive = up.pop("keepalive", {})
    return conf.proxy(origin, up={"keepalive": keepalive, **up},
                      top={"workers": workers})


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    """One worker, upstreams by path."""
    ups = {
        "plain": {}, "off": {"keepalive": {"idle_timeout": "0"}},
        "brief": {"keepalive": {"idle_timeout": "300ms"}},
        "two": {"keepalive": {"idle_max": 2}},
        "three": {"keepalive": {"requests_max": 3}},
    }
    return start_shared(conf.config(
        conf.service(*[{"path": "/" + name, "upstream": name}
                       for name in ups]),
        [conf.upstream(name, origin, **options)
         for name, options in ups.items()]))


@pytest.fixture(autouse=True)
def fresh(origin):
    """Each test begins without a kept connection."""
    origin.drop_idle()


# -- one worker ------------------------------------------------------------

def test_kept_over_client_connections(weir, origin):
    """Twenty clients one after the other, one backend connection."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    for _ in range(20):
        assert weir.get("/plain" + script.path).body == b"ok"
    assert len(script.connections) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_kept_after_each_kind_of_answer(weir, origin, method):
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        + (b"" if method == "HEAD" else b"ok"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"" if method == "HEAD" else b"2\r\nok\r\n0\r\nT: u\r\n\r\n"),
        b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 304 Not\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\n"
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
        b"Content-Length: 0\r\n\r\n",
    ]

    def answer(exchange):
        exchange.body()
        exchange.send(answers[len(script.exchanges) - 1])
        return True
    script = origin.script(answer)
    with Client(weir.address) as client:
        for _ in answers:
            client.request(method, "/plain" + script.path,
                           body=b"x" if method == "POST" else None)
    assert len(script.connections) == 1


NOT_KEPT = [
    ("close (pingora 179)", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
     b"Content-Length: 2\r\n\r\nok"),
    ("Close, foo (pingora 179)", b"HTTP/1.1 200 OK\r\n"
     b"Connection: foo ,\tClOsE\r\nContent-Length: 2\r\n\r\nok"),
    ("two fields (pingora 179)", b"HTTP/1.1 200 OK\r\nConnection: a\r\n"
     b"Connection: close\r\nContent-Length: 2\r\n\r\nok"),
    ("1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("1.0 until close (pingora 171)", b"HTTP/1.0 200 OK\r\n\r\nok"),
    ("surplus (pingora 172, 198)",
     b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!"),
    ("surplus line end",
     b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n"),
]


@pytest.mark.parametrize("name,raw", NOT_KEPT, ids=[n[0] for n in NOT_KEPT])
def test_not_kept(weir, origin, name, raw):
    """weir closes it; the next request has a connection of its own."""
    def answer(exchange):
        exchange.send(raw)
        if b"1.0 200 OK\r\n\r\n" in raw:
            return False
        exchange.gone()
        return False
    script = origin.script(answer)
    with Client(weir.address) as client:
        for _ in range(2):
            assert client.get("/plain" + script.path).body == b"ok"
    wait.until(lambda: all(e.done.is_set() for e in script.exchanges))
    assert [e.failure for e in script.exchanges] == [None, None]
    assert len(script.connections) == 2


@pytest.mark.parametrize("connection", ["keep-alive", "foo", "closed"])
def test_kept_whatever_else_connection_says(weir, origin, connection):
    """pingora 179."""
    script = origin.raw(b"HTTP/1.1 200 OK\r\nConnection: %s\r\n"
                        b"Content-Length: 2\r\n\r\nok" % connection.encode())
    with Client(weir.address) as client:
        for _ in range(2):
            assert client.get("/plain" + script.path).body == b"ok"
    assert len(script.connections) == 1


def test_keepalive_off(weir, origin):
    """idle_timeout = 0: a connection for each request, and it is said."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    with Client(weir.address) as client:
        for _ in range(3):
            assert client.get("/off" + script.path).body == b"ok"
    assert len(script.connections) == 3
    assert all("close" in e.fields.tokens("connection")
               for e in script.exchanges)
    wait.until(lambda: not any(c.is_open() for c in script.connections))


def test_idle_timeout(weir, origin):
    """300 ms of idleness, then weir closes it."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    with Client(weir.address) as client:
        client.get("/brief" + script.path)
        client.get("/brief" + script.path)
        began = time.monotonic()
        assert len(script.connections) == 1
        assert script.connections[0].ended.wait(5)
        assert 0.15 < time.monotonic() - began < 2.5
        client.get("/brief" + script.path)
        assert len(script.connections) == 2


@pytest.mark.parametrize("field", [
    "timeout=1", "timeout=1, max=1000", "max=9,timeout=1"])
def test_keep_alive_of_the_backend(weir, origin, field):
    """pingora 180: weir closes before the backend says it will."""
    script = origin.script(lambda e: e.reply(200, b"ok", [
        ("Keep-Alive", field)]))
    with Client(weir.address) as client:
        client.get("/plain" + script.path)
        began = time.monotonic()
        assert script.connections[0].ended.wait(4), "kept over its time"
        assert time.monotonic() - began < 2.0


def test_requests_max(weir, origin):
    script = origin.script(lambda e: e.reply(200, b"ok"))
    with Client(weir.address) as client:
        for _ in range(7):
            assert client.get("/three" + script.path).body == b"ok"
    assert [e.nth for e in script.exchanges] == [0, 1, 2, 0, 1, 2, 0]


def test_idle_max(weir, origin):
    """Ten at a time, two are kept."""
    barrier = threading.Barrier(10)

    def answer(exchange):
        barrier.wait(8)
        exchange.reply(200, b"ok")
        return True
    script = origin.script(answer)
    clients = [Client(weir.address) for _ in range(10)]
    for client in clients:
        client.send(compose(target="/two" + script.path))
    for client in clients:
        assert client.response().body == b"ok"
        client.close()
    wait.until(lambda: sum(c.is_open() for c in script.connections) == 2,
               what="two are left")


def test_pool_size_in_all(start, origin_factory):
    """upstream_keepalive_pool_size bounds all backends together."""
    origins = [origin_factory() for _ in range(6)]
    weir = start(conf.config(
        conf.service(*[{"path": "/%d" % i, "upstream": "u%d" % i}
                       for i in range(6)]),
        [conf.upstream("u%d" % i, o) for i, o in enumerate(origins)],
        upstream_keepalive_pool_size=3))
    with Client(weir.address) as client:
        for i in range(6):
            assert client.get("/%d/hello" % i).status == 200
    wait.until(lambda: sum(c.is_open() for o in origins
                           for c in o.connections) == 3)
    assert [any(c.is_open() for c in o.connections)
            for o in origins] == [False] * 3 + [True] * 3, "not the oldest"


@pytest.mark.parametrize("what", [
    b"x", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"],
    ids=["x", "408", "200"])
def test_bytes_on_an_idle_connection(weir, origin, what):
    """pingora 198: dropped; nobody's answer."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    with Client(weir.address) as client:
        assert client.get("/plain" + script.path).body == b"ok"
        conn = script.connections[0]
        conn.send(what)
        assert conn.ended.wait(5), "weir kept it"
        assert client.get("/plain" + script.path).body == b"ok"
    assert len(script.connections) == 2


def test_newest_first(weir, origin):
    """The last one put is the first one taken, so the rest can expire."""
    release = threading.Event()

    def answer(exchange):
        if len(script.exchanges) <= 4:
            release.wait(8)
        exchange.reply(200, b"ok")
        return True
    script = origin.script(answer)
    clients = [Client(weir.address) for _ in range(4)]
    for client in clients:
        client.send(compose(target="/plain" + script.path))
    script.wait(4)
    release.set()
    for client in clients:
        client.response()
    for _ in range(6):
        assert clients[0].get("/plain" + script.path).body == b"ok"
    assert len({id(e.conn) for e in script.exchanges[4:]}) == 1
    for client in clients:
        client.close()


# -- several workers -------------------------------------------------------

def connections_for(weir, script, requests, pause):
    """Requests on new client connections, each after a pause."""
    for _ in range(requests):
        assert weir.get(script.path).body == b"ok"
        time.sleep(pause)
    return len(script.connections)


@pytest.mark.parametrize("workers", [4])
@pytest.mark.parametrize("reuseport", [True, False])
def test_shared_by_all_workers(start, origin, workers, reuseport):
    """A connection idle longer than pool_share_after serves any worker."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    weir = start(conf.proxy(
        origin, up={"pool_share_after": "20ms"}, top={"workers": workers},
        listen=[{"address": conf.address(), "reuseport": reuseport}]))
    made = connections_for(weir, script, 30, 0.08)
    assert made <= 2, "%d connections for 30 requests" % made


def test_a_parked_one_is_checked(start, origin):
    """It died or spoke while it was parked: nobody gets it."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    weir = start(pooled(origin, workers=4, pool_share_after="20ms"))
    for _ in range(6):
        assert weir.request("POST", script.path, body=b"x").body == b"ok"
        time.sleep(0.1)
        for conn in script.connections:
            if conn.is_open():
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        assert weir.request("POST", script.path, body=b"x").body == b"ok"
        time.sleep(0.1)
        origin.drop_idle(hard=True)


def test_parked_ones_expire(start, origin):
    """The background process reaps what nobody takes."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    weir = start(pooled(origin, workers=2, pool_share_after="20ms",
                        keepalive={"idle_timeout": "400ms"}))
    clients = [Client(weir.address) for _ in range(8)]
    for client in clients:
        client.send(compose(target=script.path))
    for client in clients:
        assert client.response().body == b"ok"
        client.close()
    wait.until(lambda: not any(c.is_open() for c in script.connections),
               timeout=5, what="all expire")


def test_a_dead_worker_gives_nothing_broken(start, origin):
    """kill -9 of a worker: what it had parked still serves."""
    script = origin.script(lambda e: e.reply(200, b"ok"))
    weir = start(pooled(origin, workers=2, pool_share_after="20ms"))
    with Client(weir.address) as client:
        assert client.get(script.path).body == b"ok"
        victim = weir.worker_of(client)
        time.sleep(0.15)
        os.kill(victim, signal.SIGKILL)
        assert client.closed()
    wait.until(lambda: len(weir.children()) == 3
               and victim not in weir.children(), what="a successor")
    weir.expect_new_children()
    for _ in range(10):
        assert weir.get(script.path).body == b"ok"
        time.sleep(0.03)
    assert len(script.connections) <= 3


def test_reuse_is_counted(start, origin):
    weir = start(pooled(origin))
    with Client(weir.address) as client:
        for _ in range(5):
            assert Echo(client.get("/echo")).method == "GET"
    metrics = weir.metrics()
    assert metrics.total("reuse") >= 4, metrics.find(".")
