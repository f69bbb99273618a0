"""What stays warm over reloads and upgrades: counters, the state of backends,
limits, sessions; also when the shared memory has another size afterwards."""
# SPDX-License-Identifier: BSD-2-Clause
import signal
import ssl
import threading

import pytest

from lib import conf, wait
from lib.client import Client, once
from lib.tls import Certs, TlsClient, client_context
from test_balance import control_of
from test_upgrade import Instance, config, instance  # noqa: F401

pytestmark = pytest.mark.process

SAME = {}
# Each default is 512; so many workers have another number of process slots.
LARGER = {"backends_max": 600, "routes_max": 700, "workers": 12}
SMALLER = {"backends_max": 8, "routes_max": 8,
           "max_draining_generations": 2}
UPGRADES = [("same", SAME), ("larger", LARGER), ("smaller", SMALLER)]


def services(*service, up=(), **top):
    top = {"workers": 2, "upgrade_sock": "@DIR@/run/up.sock",
           "pid_file": "@DIR@/run/weir.pid", **top}
    return conf.config(list(service), list(up), **top)


class Changing:
    """An instance whose configuration may get other options at the top."""

    def __init__(self, instance, make, **top):
        self.make = lambda **more: make(**{**top, **more})
        self.one = instance(self.make())
        self.weir = self.one.weir
        self.admin = self.one.weir.admin

    def rewrite(self, **top):
        text = self.make(**top)
        text.setdefault("admin", {"address": "%s:%d" % self.admin})
        text.setdefault("control", {"path": "@DIR@/control.sock"})
        self.weir.write("weir.conf", conf.document(text).replace(
            "@DIR@", self.weir.dir))

    def reload(self, **top):
        seen = self.weir.log.count("notice: reloaded")
        self.rewrite(**top)
        self.one.send(signal.SIGHUP)
        wait.until(lambda: self.weir.log.count("notice: reloaded") > seen,
                   15, what=self.weir.log)
        self.weir.expect_new_children()

    def upgrade(self, **top):
        before = self.one.pid
        self.rewrite(**top)
        self.one.send(signal.SIGUSR2)
        return self.one.wait_taken(before)

    def change(self, how, top):
        if how == "reload":
            self.reload(**top)
        else:
            self.upgrade(**top)


HOW = [("reload", SAME), *UPGRADES]
IDS = [how for how, _ in HOW]


@pytest.fixture
def changing(instance):  # noqa: F811
    return lambda make, **top: Changing(instance, make, **top)


# -- counters --------------------------------------------------------------

ADDRESS = {"address": None}


def two_routes(**top):
    return services(conf.service(
        {"path": "/a", "name": "a", "respond": {"body": "a\n"}},
        {"path": "/b", "name": "b", "respond": {"body": "b\n"}},
        listen=[ADDRESS]), **top)


def total(weir, **labels):
    return weir.metrics().sum("weir_route_requests_total", **labels)


@pytest.mark.parametrize("how, top", UPGRADES, ids=IDS[1:])
def test_counters(changing, how, top):
    """By name, also what the predecessor counts while it drains."""
    ADDRESS["address"] = conf.address()
    it = changing(two_routes)
    weir = it.weir
    kept = Client(weir.address)
    for _ in range(5):
        assert kept.get("/a").status == 200
    for _ in range(3):
        assert once(weir.address, target="/b").status == 200
    assert total(weir, route="a") == 5
    seen = weir.metrics().sum("weir_process_starts_total")
    it.upgrade(**top)
    wait.until(lambda: total(weir, route="a") == 5)
    assert total(weir, route="b") == 3
    assert once(weir.address, target="/b").status == 200
    wait.until(lambda: total(weir, route="b") == 4)
    # The last request of one whom the predecessor has.
    assert kept.get("/a").status == 200
    kept.close()
    wait.until(lambda: total(weir, route="a") == 6)
    it.one.wait_gone(it.one.first)
    weir.wait_log("the predecessor has ended")
    assert total(weir, route="a") == 6 and total(weir, route="b") == 4
    assert weir.metrics().sum("weir_process_starts_total") > seen
    assert ("counters have another layout" in weir.log) == (top is not SAME)
    # And once more, from there.
    it.upgrade(**SAME)
    wait.until(lambda: total(weir, route="a") == 6)
    assert total(weir, route="b") == 4


# -- backends --------------------------------------------------------------

@pytest.fixture
def three(origin_factory):
    origins = [origin_factory() for _ in range(3)]
    for number, origin in enumerate(origins):
        def answer(exchange, number=number):
            exchange.reply(200, b"%d" % number)
            return True
        origin.default = answer
    return origins


def balanced(backends, **options):
    return lambda **top: services(
        conf.service({"path": "/", "upstream": "app"}, listen=[ADDRESS]),
        up=[conf.upstream("app", *backends, **options)], **top)


def rows(control):
    return {b["backend"]: b
            for b in control.ask("upstreams")["result"]["backends"]}


def answers(weir, n=30):
    with Client(weir.address) as client:
        return [int(client.get("/").body) for _ in range(n)]


@pytest.mark.parametrize("how, top", HOW, ids=IDS)
def test_backends(changing, three, how, top):
    """Health, drain marks and weights of weirctl are as they were."""
    ADDRESS["address"] = conf.address()
    dead = conf.address()
    it = changing(balanced(
        [o.backend for o in three] + [dead], retries=1,
        health_check={"type": "tcp", "interval": "100ms", "fall": 1}))
    weir = it.weir
    control = control_of(weir)
    assert control.ask("upstream drain app " + three[1].backend)["ok"]
    assert control.ask("upstream weight app %s 9" % three[0].backend)["ok"]
    wait.until(lambda: rows(control)[dead]["state"] == "down")
    before = rows(control)
    it.change(how, top)
    wait.until(lambda: control.ask("upstreams")["ok"])
    wait.until(lambda: control.ask("status")["result"]["pid"] ==
               it.one.pid)
    after = rows(control)
    for address, row in before.items():
        for key in ("state", "why", "since", "weight"):
            assert after[address][key] == row[key], (address, key)
    seen = answers(weir)
    assert set(seen) == {0, 2} and seen.count(0) == 27
    weir.wait_log("drained by weirctl")
    log = weir.log[weir.log.index("drained by weirctl"):]
    assert log.count("backend app/%s" % dead) <= 1


def held(origin):
    release = threading.Event()

    def answer(exchange):
        release.wait(20)
        exchange.reply(200, b"late")
        return True
    return origin.script(answer), release


@pytest.mark.parametrize("how, top", UPGRADES, ids=IDS[1:])
def test_requests_in_flight(changing, origin, how, top):
    """Those of the predecessor count at the successor's, until they end."""
    ADDRESS["address"] = conf.address()
    it = changing(balanced([origin.backend], balance="least_connections",
                           max_connections=2))
    weir = it.weir
    control = control_of(weir)
    script, release = held(origin)

    def in_flight():
        answer = control.ask("upstreams")
        return answer["ok"] and \
            answer["result"]["backends"][0]["in_flight"]

    with Client(weir.address) as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
                    % script.path.encode())
        script.wait()
        wait.until(lambda: in_flight() == 1)
        it.upgrade(**top)
        wait.until(lambda: control.ask("status")["result"]["pid"] ==
                   it.one.pid)
        wait.until(lambda: in_flight() == 1)
        release.set()
        assert client.response().body == b"late"
    wait.until(lambda: in_flight() == 0)
    it.one.wait_gone(it.one.first)
    weir.wait_log("the predecessor has ended")
    assert in_flight() == 0


# -- limits ----------------------------------------------------------------

@pytest.mark.parametrize("how, zone", [
    ("reload", "1MB"), ("reload", "2MB"), ("upgrade", "1MB"),
    ("upgrade", "2MB"), ("upgrade", "512KB")])
def test_limits(changing, how, zone):
    """What was used of a rate stays used, in a zone of another size too."""
    ADDRESS["address"] = conf.address()

    def make(zone="1MB", **top):
        return services(conf.service(
            {"path": "/", "respond": {"body": "ok\n"},
             "ratelimit": [{"rate": "10/h", "burst": 10}],
             "ratelimit_zone": zone}, listen=[ADDRESS]), **top)

    it = changing(make)
    address = it.weir.address
    assert [once(address, target="/").status for _ in range(6)] == [200] * 6
    it.change(how, {"zone": zone})
    assert [once(address, target="/").status
            for _ in range(6)] == [200] * 4 + [429] * 2


# -- TLS -------------------------------------------------------------------

@pytest.mark.parametrize("how, top", HOW, ids=IDS)
def test_sessions(changing, how, top):
    """A client's ticket is understood by whoever serves."""
    ADDRESS["address"] = conf.address()
    certs = Certs()
    cert, key = certs.own("again", "again.example")
    it = changing(lambda **more: services(conf.service(
        {"path": "/", "respond": {"body": "ok\n"}},
        listen=[{**ADDRESS, "tls": {
            "cert": cert, "key": key, "handshake_timeout": "300ms"}}]),
        **more))
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    with TlsClient(it.weir.address, context) as client:
        session = client.sock.session
        assert client.get("/").status == 200
    it.change(how, top)
    wait.until(lambda: it.one.pid is not None)
    for _ in range(6):
        with TlsClient(it.weir.address, context, None, session) as client:
            assert client.sock.session_reused
    certs.remove()
