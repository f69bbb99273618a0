"""Backends that are names: each address is a backend, and they change."""
# SPDX-License-Identifier: BSD-2-Clause
import collections
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import need
from lib import conf, h2wire, weir as runner, wait
from lib.client import Client
from lib.origin import Origin
from test_control import Control

pytestmark = [pytest.mark.short, pytest.mark.process]


def has_cares():
    return re.search(r"(?m)^\s*c-ares \d", runner.run("-V")[1]) is not None


class Dns:
    """dnsmasq, which answers from a file of ours."""

    def __init__(self, folder, ttl=1):
        self.program = need("dnsmasq")
        self.hosts = os.path.join(folder, "hosts")
        self.log = os.path.join(folder, "dnsmasq.log")
        self.port = conf.free_port()
        self.ttl = ttl
        self.process = None

    def say(self, **names):
        """say(app=["127.0.0.2"]): that and nothing else, from now on."""
        with open(self.hosts, "w", encoding="ascii") as file:
            for name, addresses in names.items():
                for address in addresses:
                    file.write("%s %s.weir.example\n" % (address, name))
        if self.process is None:
            self.start()
        else:
            self.process.send_signal(signal.SIGHUP)

    def start(self):
        # In the background it would leave its signals to us.
        argv = [self.program, "--keep-in-foreground", "--conf-file=/dev/null",
                "--no-resolv", "--no-hosts", "--addn-hosts=" + self.hosts,
                "--port=%d" % self.port, "--listen-address=127.0.0.1",
                "--bind-interfaces", "--pid-file=", "--user=",
                "--log-queries", "--log-facility=" + self.log,
                "--local-ttl=%d" % self.ttl, "--local=/weir.example/"]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        wait.until(lambda: os.path.exists(self.log)
                   and "started" in self.read())

    def read(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()

    def queries(self, name="app"):
        return len(re.findall(r"query\[A\] %s\.weir\.example" % name,
                              self.read()))

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def dns(tmp_path):
    if not has_cares():
        pytest.skip("this weir has no c-ares")
    os.chmod(tmp_path, 0o755)
    server = Dns(str(tmp_path))
    yield server
    server.stop()


@pytest.fixture
def hosts():
    """hosts(n): origins at 127.0.0.2 and on, on one port; each answers with
    the last number of its address."""
    made = []

    def make(count):
        port = conf.free_port("127.0.0.2")
        for i in range(count):
            one = Origin(host="127.0.0.%d" % (2 + i), port=port)

            def answer(exchange, number=2 + i):
                exchange.reply(200, b"%d" % number)
                return True
            one.default = answer
            one.port = port
            made.append(one)
        return made
    yield make
    for one in made:
        one.close()


@pytest.fixture
def begin(start):
    """Start and wait for the first answer: at the very first start workers
    do not wait for it."""
    def run(config, *args):
        weir = start(config, *args)
        weir.wait_log("resolving backend name ")
        return weir
    return run


QUICK = {"ttl_min": "200ms", "ttl_max": "300ms"}


def config(dns, port, workers=1, name="app", **up):
    up.setdefault("resolve", QUICK)
    return conf.config(
        conf.service({"path": "/", "upstream": "app"}),
        [conf.upstream("app", "%s.weir.example:%d" % (name, port), **up)],
        workers=workers, resolver={"servers": ["127.0.0.1:%d" % dns.port],
                                   "timeout": "300ms", "tries": 1})


def served_by(weir, n=12, target="/"):
    seen = collections.Counter()
    with Client(weir.address) as client:
        for _ in range(n):
            seen[int(client.get(target).body)] += 1
    return dict(seen)


def reload(weir):
    before = weir.log.count("reloaded: ")
    weir.send_signal(signal.SIGHUP)
    wait.until(lambda: weir.log.count("reloaded: ") > before, 15)


def rows(control):
    return {row["backend"]: row
            for row in control.ask("upstreams")["result"]["backends"]}


@pytest.mark.parametrize("workers", [1, 3])
def test_each_address_is_a_backend(begin, dns, hosts, workers):
    """Two addresses: two rows, two sets of counters, an even share."""
    port = hosts(2)[0].port
    dns.say(app=["127.0.0.2", "127.0.0.3"])
    weir = begin(config(dns, port, workers))
    assert served_by(weir) == {2: 6, 3: 6}
    weir.wait_log(r"resolving backend name app.weir.example: 127.0.0.[23], "
                  r"127.0.0.[23] \(ttl 1 s\)")
    found = rows(Control(weir))
    assert sorted(found) == ["127.0.0.2:%d" % port, "127.0.0.3:%d" % port]
    for row in found.values():
        assert row["name"] == "app.weir.example:%d" % port
        assert (row["state"], row["requests"]) == ("up", 6)
    m = weir.metrics()
    for label in ("", "#2"):
        assert m.sum("weir_backend_requests_total",
                     backend="app.weir.example:%d%s" % (port, label)) == 6
    # Places where nobody is are not shown.
    assert m.sum("weir_backend_up", upstream="app") == 2
    assert not m.sum("weir_backend_weight", upstream="app") - 2


def test_one_goes_one_comes(begin, dns, hosts):
    """What stays keeps connections and state; what goes finishes what it
    does and is closed; what comes serves."""
    origins = hosts(3)
    port = origins[0].port
    release, held = threading.Event(), threading.Event()

    def hold(exchange):
        if exchange.target == "/hold":
            held.set()
            release.wait(20)
        exchange.reply(200, b"3")
        return True
    origins[1].default = hold
    dns.say(app=["127.0.0.2", "127.0.0.3"])
    weir = begin(config(dns, port, retries=0))
    control = Control(weir)
    assert set(served_by(weir)) == {2, 3}
    clients = []
    while not held.wait(0.1):
        clients.append(Client(weir.address))
        clients[-1].send(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
    assert control.ask("upstream weight app 127.0.0.2:%d 7" % port)["ok"]
    stays = len(origins[0].connections)
    dns.say(app=["127.0.0.2", "127.0.0.4"])
    weir.wait_log("app.weir.example: 127.0.0.[24], 127.0.0.[24] ")
    wait.until(lambda: set(served_by(weir, 20)) == {2, 4})
    found = rows(control)
    assert sorted(found) == ["127.0.0.2:%d" % port, "127.0.0.4:%d" % port]
    assert found["127.0.0.2:%d" % port]["weight"] == 7
    assert found["127.0.0.4:%d" % port]["weight"] == 1
    assert served_by(weir, 16) == {2: 14, 4: 2}
    assert len(origins[0].connections) <= stays + len(clients)
    # The one in flight ends as it should, then no connection is left.
    release.set()
    assert b"3" in {c.response().body for c in clients}
    wait.until(lambda: not any(c.is_open() for c in origins[1].connections))
    assert any(c.is_open() for c in origins[0].connections)


def test_parked_connections_of_gone(begin, dns, hosts):
    """Those in the lane, which no worker has, are closed as well."""
    origins = hosts(2)
    dns.say(app=["127.0.0.2", "127.0.0.3"])
    weir = begin(config(dns, origins[0].port, 2, pool_share_after="1ms"))
    assert set(served_by(weir)) == {2, 3}
    wait.until(lambda: not weir.metrics().sum(
        "weir_proxy_backend_connections"),
               what="a connection is parked")
    dns.say(app=["127.0.0.2"])
    weir.wait_log("app.weir.example: 127.0.0.2 ")
    wait.until(lambda: not any(c.is_open() for c in origins[1].connections))
    assert set(served_by(weir)) == {2}


def test_shared_connections_of_gone(begin, dns, origin_factory):
    """HTTP/2: no new streams for an address that is gone, those that it has
    finish, and the connection ends."""
    if "no HTTP/2" in runner.run("-V")[1]:
        pytest.skip("this weir has no HTTP/2")
    release, held = threading.Event(), threading.Event()
    port = conf.free_port("127.0.0.2")

    def answering(number):
        def handler(peer, stream, fields):
            peer.until(lambda: peer.stream(stream).ended)
            if fields[":path"] == "/hold" and number == 3:
                held.set()
                release.wait(20)
            peer.head(stream, [(":status", "200")])
            peer.data(stream, b"%d" % number, True)
        return origin_factory(handler, kind=h2wire.Server, port=port,
                              host="127.0.0.%d" % number)
    two, three = answering(2), answering(3)
    dns.say(app=["127.0.0.2", "127.0.0.3"])
    weir = begin(config(dns, port, protocol="h2"))
    assert set(served_by(weir)) == {2, 3}
    clients = []
    while not held.wait(0.1):
        clients.append(Client(weir.address))
        clients[-1].send(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
    dns.say(app=["127.0.0.2"])
    weir.wait_log("app.weir.example: 127.0.0.2 ")
    assert set(served_by(weir)) == {2}
    assert not any(peer.closed for peer in three.peers)
    release.set()
    assert b"3" in {c.response().body for c in clients}
    wait.until(lambda: all(peer.closed for peer in three.peers))
    assert not any(peer.closed for peer in two.peers)


@pytest.mark.parametrize("ttl,resolve,least", [
    (0, {"ttl_min": "1500ms"}, 1.5),          # the floor
    (1, {"ttl_min": "100ms"}, 1.0),           # the TTL itself
    (3600, {"ttl_max": "500ms", "ttl_min": "100ms"}, 0.5),  # the ceiling
])
def test_ttl(begin, dns, hosts, ttl, resolve, least):
    """Asked again when the TTL ends, and not before."""
    origins = hosts(2)
    dns.ttl = ttl
    dns.say(app=["127.0.0.2"])
    before = time.monotonic()
    weir = begin(config(dns, origins[0].port, resolve=resolve))
    assert set(served_by(weir)) == {2}
    assert dns.queries() == 1
    dns.say(app=["127.0.0.3"])
    wait.until(lambda: set(served_by(weir, 4)) == {3})
    assert time.monotonic() - before >= least
    # More than two questions: it was asked before its time.
    assert dns.queries() - (time.monotonic() - before) / least <= 2


def test_dead_server(begin, dns, hosts):
    """The last good answer is good while DNS fails, also for a successor."""
    origins = hosts(2)
    dns.say(app=["127.0.0.2", "127.0.0.3"])
    weir = begin(config(dns, origins[0].port))
    assert set(served_by(weir)) == {2, 3}
    dns.stop()
    weir.wait_log("app.weir.example: .*: the last good answer is kept")
    assert set(served_by(weir)) == {2, 3}
    reload(weir)
    assert set(served_by(weir)) == {2, 3}


def test_unknown_at_first(begin, dns, hosts):
    """NXDOMAIN at the start: down, and up once there is an answer."""
    origins = hosts(1)
    dns.say(other=["127.0.0.2"])
    weir = begin(config(dns, origins[0].port))
    weir.wait_log("app.weir.example: .*: the backend is down until it "
                  "resolves")
    assert weir.get("/").status == 502
    name = "app.weir.example:%d" % origins[0].port
    assert rows(Control(weir))[name]["state"] == "unresolved"
    assert weir.metrics().sum("weir_backend_up", backend=name) == 0
    dns.say(app=["127.0.0.2"])
    wait.until(lambda: weir.get("/").status == 200, 20)


def test_new_address_is_checked_at_once(begin, dns, hosts):
    """It serves when it has passed, long before the next interval."""
    origins = hosts(2)
    dns.say(app=["127.0.0.2"])
    weir = begin(config(dns, origins[0].port, health_check={
        "type": "tcp", "interval": "1h", "initial": "down"}))
    weir.wait_log(r"backend app/app.weir.example:\d+ \(127.0.0.2\) is up")
    dns.say(app=["127.0.0.2", "127.0.0.3", "127.0.0.9"])
    weir.wait_log(r"backend app/app.weir.example:\d+ \(127.0.0.3\) is up")
    wait.until(lambda: set(served_by(weir)) == {2, 3})
    found = rows(Control(weir))
    assert found["127.0.0.9:%d" % origins[0].port]["state"] == "down"


def test_hash_by_address(begin, dns, hosts):
    """Keys of an address that stays stay there, whatever comes or goes."""
    origins = hosts(4)
    dns.say(app=["127.0.0.2", "127.0.0.3", "127.0.0.4"])
    weir = begin(config(dns, origins[0].port, 2, balance="hash",
                        hash_key="${request.path}"))

    def where():
        with Client(weir.address) as client:
            return [int(client.get("/k%d" % i).body) for i in range(40)]
    before = where()
    assert set(before) == {2, 3, 4}
    dns.say(app=["127.0.0.2", "127.0.0.4", "127.0.0.5"])
    weir.wait_log(r"app.weir.example: .*127.0.0.5")
    after = where()
    assert 3 not in after
    # To the one that came, or from the one that went: nothing else moves.
    assert all(a == b or b == 3 or a == 5 for b, a in zip(before, after))


def test_drain_by_address_and_name(begin, dns, hosts):
    """One address, or the name with all it has and will have."""
    origins = hosts(3)
    port = origins[0].port
    dns.say(app=["127.0.0.2", "127.0.0.3"])
    weir = begin(config(dns, port))
    control = Control(weir)
    assert set(served_by(weir)) == {2, 3}
    answer = control.ask("upstream drain app 127.0.0.2:%d" % port)
    assert answer["result"] == {"changed": 1}
    assert set(served_by(weir)) == {3}
    answer = control.ask("upstream drain app app.weir.example:%d" % port)
    assert answer["result"] == {"changed": 1}
    assert weir.get("/").status == 502
    dns.say(app=["127.0.0.2", "127.0.0.4"])
    weir.wait_log("app.weir.example: .*127.0.0.4")
    assert weir.get("/").status == 502
    answer = control.ask("upstream enable app app.weir.example:%d" % port)
    assert answer["result"] == {"changed": 2}
    assert set(served_by(weir)) == {2, 4}


def test_addresses_max(begin, dns, hosts):
    """More addresses than are allowed: said once, and the rest serves."""
    origins = hosts(3)
    dns.say(app=["127.0.0.2", "127.0.0.3", "127.0.0.4"])
    weir = begin(config(dns, origins[0].port,
                        resolve={**QUICK, "addresses_max": 2}))
    weir.wait_log("app.weir.example of upstream app has 1 addresses more "
                  "than the 2 that resolve.addresses_max allows")
    assert len(served_by(weir)) == 2


def test_reload_keeps_addresses(begin, dns, hosts):
    """A new configuration of the same name: counts, drain mark, weight."""
    origins = hosts(2)
    port = origins[0].port
    dns.say(app=["127.0.0.2", "127.0.0.3"])
    weir = begin(config(dns, port))
    control = Control(weir)
    served_by(weir)
    control.ask("upstream drain app 127.0.0.2:%d" % port)
    control.ask("upstream weight app 127.0.0.3:%d 5" % port)
    before = rows(control)
    reload(weir)
    wait.until(lambda: rows(control) == before, what="all is as before")
    assert set(served_by(weir)) == {3}
    dns.say(app=["127.0.0.3"])
    wait.until(lambda: list(rows(control)) == ["127.0.0.3:%d" % port])


def test_etc_hosts(start, hosts):
    """Names of /etc/hosts need no server."""
    found = None
    with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split("#")[0].split()
            for name in words[1:]:
                if (words[0].startswith("127.") and found is None
                        and not name.startswith("localhost")):
                    found = words[0], name
    if found is None:
        pytest.skip("/etc/hosts names nothing but localhost")
    one = Origin(host=found[0])
    top = {"resolver": {"servers": ["127.0.0.1:%d" % conf.free_port()],
                        "timeout": "200ms", "tries": 1}} \
        if has_cares() else {}
    weir = start(conf.proxy("%s:%d" % (found[1], one.address[1]), top=top))
    assert weir.get("/status/200").status == 200
    one.close()


@pytest.mark.parametrize("servers,message", [
    (["dns.example"], "an IP address is expected"),
    (["127.0.0.1:99999"], "an IP address is expected"),
])
def test_wrong_servers(servers, message, tmp_path):
    """An address each: a name server has no name."""
    text = conf.document(conf.proxy("127.0.0.1:1", top={
        "resolver": {"servers": servers}}))
    path = tmp_path / "weir.conf"
    path.write_text(text)
    status, _, err = runner.run("-t", "-c", path)
    assert status == 2
    assert message in err or "c-ares" in err
