"""Which backend a request goes to, and what an admin changes about it."""
# SPDX-License-Identifier: BSD-2-Clause
import collections
import os
import signal
import threading

import pytest

from lib import conf, wait
from lib.client import Client
from test_control import Control

pytestmark = [pytest.mark.short, pytest.mark.process]


@pytest.fixture
def three(origin_factory):
    """Origins that answer with their number."""
    origins = [origin_factory() for _ in range(3)]
    for number, origin in enumerate(origins):
        def answer(exchange, number=number):
            exchange.reply(200, b"%d" % number)
            return True
        origin.default = answer
    return origins


def config(backends, workers=1, **up):
    return conf.config(conf.service({"path": "/", "upstream": "app"}),
                       [conf.upstream("app", *backends, **up)],
                       workers=workers)


def of(origins, **options):
    return [{"address": o.backend, **options} for o in origins]


def control_of(weir):
    """Once the background process answers."""
    control = Control(weir)
    wait.until(lambda: control.ask("upstreams")["ok"])
    return control


def counts(weir, n=60, target=None):
    """How often each number answered, on one connection."""
    seen = collections.Counter()
    with Client(weir.address) as client:
        for i in range(n):
            seen[int(client.get(target(i) if target else "/").body)] += 1
    return seen


@pytest.mark.parametrize("balance,least,most", [
    ("round_robin", 20, 20), ("random", 5, 40),
    ("least_connections", 20, 20), ("power_of_two", 5, 40)])
def test_all_are_used(start, three, balance, least, most):
    weir = start(config(three, balance=balance))
    seen = counts(weir)
    assert all(least <= seen[i] <= most for i in range(3)), seen


def test_hash(start, three):
    """A key stays where it is; a dead backend's keys go, and no other."""
    weir = start(config(three, balance="hash", workers=2,
                        hash_key="${request.path}"))

    def where():
        return [int(weir.get("/k%d" % i).body) for i in range(30)]
    before = where()
    assert set(before) == {0, 1, 2} and where() == before
    three[1].close()
    after = where()
    assert 1 not in after
    assert all(a == b for a, b in zip(after, before) if b != 1)


def test_least_connections_over_workers(start, three):
    """What one worker has in flight, the others know."""
    held = threading.Event()
    arrived = threading.Semaphore(0)

    def hold(exchange):
        if exchange.target == "/hold":
            arrived.release()
            held.wait(20)
        exchange.reply(200, b"0")
        return True
    three[0].default = hold
    weir = start(config(three[:2], balance="least_connections", workers=3))
    threads = []
    # Whoever gets "/hold" at backend 0 is kept: backend 1 does the rest.
    while not arrived.acquire(timeout=0.2):
        threads.append(threading.Thread(target=weir.get, args=("/hold",)))
        threads[-1].start()
    for _ in range(12):
        assert weir.get("/").body == b"1"
    held.set()
    for t in threads:
        t.join()
    seen = {weir.get("/").body for _ in range(12)}
    assert seen == {b"0", b"1"}


def test_killed_worker_gives_back(start, three):
    """kill -9 of a worker: what it held in flight counts no more."""
    held = threading.Event()
    arrived = threading.Semaphore(0)

    def hold(exchange):
        arrived.release()
        held.wait(20)
        return False
    for origin in three[:2]:
        origin.default = hold
    weir = start(config(three[:2], balance="least_connections", workers=2))
    control = control_of(weir)

    def in_flight():
        return sum(b["in_flight"] for b in backends(control))
    clients = []
    for n in range(4):
        client = Client(weir.address)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert arrived.acquire(timeout=10)
        clients.append(client)
    assert in_flight() == 4
    for pid in weir.workers():
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: in_flight() == 0)
    held.set()
    wait.until(lambda: len(weir.workers()) == 2)
    weir.expect_new_children()


def test_killed_with_background(start, three):
    """kill -9 of all that hold counts and of who mends them, at once."""
    held = threading.Event()
    arrived = threading.Semaphore(0)

    def hold(exchange):
        arrived.release()
        held.wait(20)
        return False
    three[0].default = hold
    weir = start(config(three[:1], workers=2, max_connections=4,
                        balance="least_connections"))
    control = control_of(weir)
    clients = []
    for n in range(4):
        clients.append(Client(weir.address))
        clients[-1].send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert arrived.acquire(timeout=10)
    for pid in weir.workers() + [weir.background()]:
        os.kill(pid, signal.SIGKILL)
    held.set()
    # The limit lets four more in only once those of the dead are given back.
    three[0].default = lambda exchange: exchange.reply(200, b"0") or True
    wait.until(lambda: len(weir.workers()) == 2 and weir.background())
    assert weir.get("/").status == 200
    wait.until(lambda: backends(control)[0]["in_flight"] == 0)
    weir.expect_new_children()


def test_backup(start, three):
    """Used while no other can be."""
    weir = start(config(of(three[:2]) + of(three[2:], backup=True),
                        retries=2))
    assert set(counts(weir, 20)) == {0, 1}
    three[0].close()
    three[1].close()
    assert set(counts(weir, 20)) == {2}


# -- weirctl ---------------------------------------------------------------

def backends(control):
    return control.ask("upstreams")["result"]["backends"]


def test_drain_and_enable(start, three):
    weir = start(config(three, workers=2))
    control = control_of(weir)
    address = three[1].backend
    assert set(counts(weir, 30)) == {0, 1, 2}
    status, out, err = control.run("upstream", "drain", "app", address)
    assert (status, err) == (0, "")
    weir.wait_log("backend app/%s drained by weirctl" % address)
    assert set(counts(weir, 30)) == {0, 2}
    row = next(b for b in backends(control) if b["backend"] == address)
    assert (row["state"], row["why"]) == ("drained", "drained")
    # It survives whoever told it.
    os.kill(weir.background(), signal.SIGKILL)
    wait.until(weir.background)
    weir.expect_new_children()
    assert set(counts(weir, 30)) == {0, 2}
    assert control.ask("upstream enable app")["result"] == {"changed": 1}
    assert set(counts(weir, 30)) == {0, 1, 2}


def test_weight(start, three):
    weir = start(config(three[:2], workers=2))
    control = control_of(weir)
    words = "upstream weight app %s " % three[0].backend
    assert control.ask(words + "9")["result"] == {"before": 1, "weight": 9}
    assert counts(weir, 100)[0] == 90
    assert control.ask(words + "configured")["result"]["weight"] == 1
    assert counts(weir, 100)[0] == 50
    for bad in ("0", "1001", "x"):
        answer = control.ask(words + bad)
        assert not answer["ok"] and "1 to 1000" in answer["error"]


def test_reload_keeps_state(start, three):
    """Drain mark, weight, failures, a failed check: what weirctl shows is
    the same after a reload, also of backends in another order."""
    three[2].close()
    fixed = {"listen": [{"address": conf.address()}]}
    admin = {"address": conf.address()}

    def site(backends, **up):
        return conf.config(
            conf.service({"path": "/", "upstream": "app"}, **fixed),
            [conf.upstream("app", *backends, max_fails=1, fail_timeout="1h",
                           **up)],
            workers=2, admin=admin, control={"path": "@DIR@/control.sock"})
    weir = start(site(three))
    control = control_of(weir)
    counts(weir, 12)
    assert control.ask("upstream drain app " + three[0].backend)["ok"]
    assert control.ask("upstream weight app %s 9" % three[1].backend)["ok"]

    def state():
        return {b["backend"]: [b[name] for name in (
            "state", "why", "since", "weight", "requests", "failures")]
                for b in backends(control)}
    before = state()
    assert [before[o.backend][0] for o in three] == [
        "drained", "up", "failed"]
    text = conf.document(site(three[::-1], retries=1))
    weir.write("weir.conf", text.replace("@DIR@", weir.dir))
    weir.send_signal(signal.SIGHUP)
    weir.wait_log("reloaded: ")
    wait.until(lambda: backends(control)[0]["backend"] == three[2].backend)
    assert state() == before
    assert set(counts(weir, 20)) == {1}
    weir.expect_new_children()


def test_refusals(start, three):
    control = control_of(start(config(three)))
    for line, text in [
            ("upstreams nope", 'there is no upstream "nope"'),
            ("upstream drain nope", 'there is no upstream "nope"'),
            ("upstream drain app 1.2.3.4:5",
             'upstream app has no backend "1.2.3.4:5"')]:
        answer = control.ask(line)
        assert not answer["ok"] and answer["error"] == text


def test_upstreams_table(start, three):
    """Text, JSON and metrics tell the same."""
    weir = start(config(three[:1] + [conf.address()], retries=1))
    control = control_of(weir)
    counts(weir, 30)
    first, second = backends(control)
    assert first["backend"] == three[0].backend
    assert (first["state"], first["requests"], first["failures"],
            first["weight"], first["in_flight"]) == ("up", 30, 0, 1, 0)
    assert int(first["reused"].rstrip("%")) >= 90
    assert first["p50_ms"].startswith("<")
    assert (second["state"], second["why"]) == ("failed", "failures")
    assert second["failures"] == second["requests"] == 5
    status, out, err = control.run("upstreams", "app")
    assert (status, err) == (0, "")
    assert first["backend"] in out and "failed" in out
    labels = {"upstream": "app", "backend": first["backend"]}

    def gauges():
        m = weir.metrics()
        return (m.sum("weir_backend_up", **labels),
                m.sum("weir_backend_weight", **labels),
                m.sum("weir_backend_up", backend=second["backend"]))
    wait.until(lambda: gauges() == (1, 1, 0))
    m = weir.metrics()
    assert m.sum("weir_backend_requests_total", **labels) == 30
    assert m.sum("weir_backend_first_byte_seconds_count", **labels) == 30
    assert m.sum("weir_backend_failures_total",
                 backend=second["backend"]) == 5


# -- mistakes --------------------------------------------------------------

@pytest.mark.parametrize("up,text", [
    ({"balance": "hash"}, "needs a hash_key"),
    ({"hash_key": "${client.ip}"}, 'belong to balance = "hash"'),
    ({"balance": "hash", "hash_key": "${client.ip}", "hash_load_max": 90},
     "more than 100 %"),
    ({"balance": "least_conn"}, "least_connections"),
    ({"health_check": {"expect": "2x"}}, "no status from 100 to 599"),
    ({"health_check": {"path": "health"}}, 'begins with "/"'),
    ({"health_check": {"headers": {"A": "${client.ip}"}}}, "plain value"),
    ({"health_check": {"body_match": "("}}, "body_match"),
], ids=str)
def test_refused_configurations(tmp_path, up, text):
    from lib.weir import run
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(config(["127.0.0.1:1"], **up)))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and text in err, err


def test_all_backups(tmp_path):
    from lib.weir import run
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(config(
        [{"address": "127.0.0.1:1", "backup": True}])))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and "all backends are backups" in err
