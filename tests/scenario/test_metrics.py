"""Counters add up, and /metrics is Prometheus text."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import signal
import threading

import pytest

from lib import conf, wait
from lib.client import Client, compose, once
from lib.origin import big

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    return start_shared(conf.config(
        conf.service({"path": "/own", "respond": {"body": "own"},
                      "name": "mine"},
                     {"path": "/down", "upstream": "down"},
                     {"path": "/", "upstream": "up"}),
        [conf.upstream("up", origin),
         conf.upstream("down", "127.0.0.1:1", retries=1)], workers=2))


def families(metrics, pattern):
    found = metrics.find(pattern)
    assert found, (pattern, sorted(metrics.samples))
    return found


def test_format(weir):
    """lib/prom.py reads strictly: HELP, TYPE, labels, histograms."""
    weir.get("/hello")
    metrics = weir.metrics()
    assert all(name.startswith("weir_") for name in metrics.types)
    assert all(name in metrics.help for name in metrics.types)
    for name, kind in metrics.types.items():
        if kind == "counter":
            assert name.endswith("_total"), name


def test_what_is_there(weir):
    """Each kind that was promised, by some name."""
    weir.get("/hello")
    metrics = weir.metrics()
    for pattern in ("request", "connection", "bytes", "reuse", "retr",
                    "bucket"):
        families(metrics, pattern)
    labels = {key for samples in metrics.samples.values()
              for have, _ in samples for key in have}
    assert {"route", "upstream", "le"} <= labels, labels
    routes = {have["route"] for samples in metrics.samples.values()
              for have, _ in samples if "route" in have}
    assert "mine" in routes and "web/3" in routes, routes


def grown(weir, action, *patterns):
    """By how much each family of counters grows through an action."""
    before = weir.metrics()
    action()
    after = weir.metrics()
    return [{name: after.sum(name) - before.sum(name)
             for name in after.find(pattern)} for pattern in patterns]


def test_requests_are_counted_once(weir):
    """30 requests over both workers are 30, also by route."""
    def action():
        for _ in range(30):
            assert weir.get("/own").status == 200
    counts, = grown(weir, action, "requests?_total$")
    # The scrapes are requests too.
    assert any(30 <= v <= 32 for v in counts.values()), counts
    before = weir.metrics()
    action()
    after = weir.metrics()
    by_route = [after.sum(n, route="mine") - before.sum(n, route="mine")
                for n in after.find("_total$|_count$")]
    assert 30 in by_route


def test_statuses(weir, origin):
    script = origin.script(lambda e: e.reply(404, b"x"))

    def action():
        for _ in range(7):
            weir.get(script.path)

    def fours(metrics):
        return {name: sum(v for labels, v in samples
                          if any(re.fullmatch("4xx|404", x)
                                 for x in labels.values()))
                for name, samples in metrics.samples.items()}
    before = fours(weir.metrics())
    action()
    after = fours(weir.metrics())
    assert 7 in [after[n] - before.get(n, 0) for n in after]


def test_bytes(weir):
    """A body of 100,000 bytes shows in what was sent and received."""
    def action():
        weir.get("/bytes/100000")
        weir.request("POST", "/sha", body=big(50000))
    before = weir.metrics()
    action()
    after = weir.metrics()
    for side, direction, want in (
            ("client", "out", 100000), ("client", "in", 50000),
            ("backend", "in", 100000), ("backend", "out", 50000)):
        total = [m.total("bytes.*total$", side=side, direction=direction)
                 for m in (before, after)]
        # A scrape before it is counted as sent, too.
        assert want <= total[1] - total[0] < want + 60000, (side, direction)


def test_connections_now(weir):
    """A gauge follows what is open."""
    def gauges():
        metrics = weir.metrics()
        return {name: metrics.sum(name, state="open")
                for name in metrics.find("connection|client")
                if metrics.types.get(name) == "gauge"}
    before = gauges()
    assert before
    clients = [Client(weir.address) for _ in range(25)]
    for client in clients:
        client.get("/own")
    during = gauges()
    assert any(24 <= during[n] - before[n] <= 26 for n in before), (
        before, during)
    for client in clients:
        client.close()
    wait.until(lambda: all(gauges()[n] <= before[n] + 1 for n in before))


def test_reuse_and_retries(weir):
    def action():
        with Client(weir.address) as client:
            for _ in range(6):
                assert client.get("/hello").status == 200
        for _ in range(4):
            assert weir.get("/down").status == 502
    reused, retries = grown(weir, action, "reuse", "retr")
    assert any(v >= 5 for v in reused.values()), reused
    assert any(v > 0 for v in retries.values()) or retries, retries


def test_latency_histograms(weir, origin):
    """One slow request lands above its time."""
    def answer(exchange):
        threading.Event().wait(0.3)
        exchange.reply(200, b"x")
        return True
    script = origin.script(answer)
    before = weir.metrics()
    weir.get(script.path)
    after = weir.metrics()
    names = [n for n, kind in after.types.items() if kind == "histogram"]
    assert names

    def above(metrics, name):
        total = metrics.sum(name + "_count")
        return total - sum(v for labels, v in
                           metrics.samples.get(name + "_bucket", [])
                           if labels["le"] == "0.25")
    assert any(above(after, n) - above(before, n) == 1 for n in names)


def test_gauges_of_killed_workers(start):
    """kill -9: what was counted stays, what was "now" is not now."""
    weir = start(conf.config(conf.service(
        {"path": "/", "respond": {"body": "x"}})))
    clients = [Client(weir.address) for _ in range(10)]
    for client in clients:
        client.get("/")
    os.kill(weir.worker_of(clients[0]), signal.SIGKILL)
    wait.until(lambda: len(weir.children()) == 2
               and all(c.closed() for c in clients))
    weir.expect_new_children()

    def settled():
        metrics = weir.metrics()
        return all(metrics.sum(n) <= 3 for n in metrics.find(
            "connection|client") if metrics.types.get(n) == "gauge"
            and not re.search("max|limit", n))
    wait.until(settled)
    requests = weir.metrics()
    assert any(requests.sum(n) >= 10
               for n in requests.find("requests?_total$"))


def test_scrapes_under_load(weir):
    """Each one is whole while counters move."""
    stop = threading.Event()

    def load():
        with Client(weir.address) as client:
            while not stop.is_set():
                client.get("/own")
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        last = 0
        for _ in range(20):
            metrics = weir.metrics()
            now = metrics.total("requests?_total$")
            assert now >= last
            last = now
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


# -- the admin listener ----------------------------------------------------

def test_health(weir):
    answer = once(weir.admin, target="/healthz")
    assert answer.status == 200


def test_admin_serves_nothing_else(weir):
    for target, status in (("/", 404), ("/own", 404), ("/metrics/x", 404)):
        assert once(weir.admin, target=target).status == status
    assert once(weir.admin, "POST", "/metrics", body=b"x").status in (
        200, 404, 405)


def test_admin_head_and_keepalive(weir):
    with Client(weir.admin) as client:
        head = client.request("HEAD", "/metrics")
        assert head.status == 200 and head.body == b""
        for _ in range(3):
            assert client.get("/healthz").status == 200
            assert client.get("/metrics").status == 200


def test_admin_is_as_strict(weir):
    with Client(weir.admin) as client:
        client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.response().status == 400


def test_no_admin_by_default(start):
    weir = start(conf.config(conf.service(
        {"path": "/", "respond": {"body": "x"}})), admin=False)
    assert weir.get("/metrics").body == b"x"


@pytest.mark.process
def test_health_while_draining(start, origin):
    """503 from TERM on; the admin listener stays until the end."""
    release = threading.Event()

    def answer(exchange):
        release.wait(8)
        exchange.reply(200, b"late")
        return True
    script = origin.script(answer)
    weir = start(conf.proxy(origin))
    with Client(weir.address) as client:
        client.send(compose(target=script.path))
        script.wait()
        weir.send_signal(signal.SIGTERM)
        wait.until(lambda: weir.health() == 503)
        weir.metrics()
        release.set()
        response = client.response()
        assert response.body == b"late"
        assert "close" in response.fields.tokens("connection")
    assert weir.wait_exit() == 0


def test_many_routes_share_other(start):
    """routes_max bounds the labels; what is beyond is "other"."""
    weir = start(conf.config(conf.service(
        *[{"path": "/%d" % i, "respond": {"body": "x"}} for i in range(20)]),
        routes_max=5))
    for i in range(20):
        weir.get("/%d" % i)
    metrics = weir.metrics()
    routes = {labels["route"] for samples in metrics.samples.values()
              for labels, _ in samples if "route" in labels}
    assert len(routes) <= 6 and "other" in routes, routes
