"""Module access: by address, method and path, and before TLS."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import signal
import threading

import pytest

from lib import conf, wait
from lib.client import Client, once
from lib.tls import Certs
from lib.weir import run

pytestmark = pytest.mark.short

OK = {"body": "ok\n"}


def guarded(*rules, routes=None, **more):
    return conf.service(*(routes or [{"path": "/", "respond": OK}]),
                        access=list(rules), **more)


@pytest.fixture(scope="module")
def weir(start_shared):
    behind = {"trusted_proxies": ["127.0.0.1"]}
    return start_shared(conf.config([
        guarded({"action": "allow", "from": ["10.0.0.0/8", "2001:db8::/32"]},
                {"action": "allow", "path": "/public",
                 "methods": ["GET", "HEAD"]},
                {"action": "deny", "name": "rest"},
                name="list", **behind),
        guarded({"path_regex": r"\.(bak|old)$", "status": 404},
                {"path": "/drop", "drop": True},
                {"path": "/shadow", "mode": "shadow"},
                {"path": "/shadow/too", "status": 418},
                routes=[{"path": "/", "respond": OK},
                        {"path": "/own", "respond": OK, "access": [{}]},
                        {"path": "/free", "respond": OK,
                         "access": conf.Raw("( )")}],
                name="paths"),
        guarded({"file": "@DIR@/list"}, name="file", **behind),
        guarded({"action": "allow", "unix": True}, {}, name="unix",
                listen=[{"address": conf.address()},
                        {"address": "unix:@DIR@/sock"}])],
        error_log={"level": "info"}),
        files={"list": "# not these\n192.0.2.0/24 ; net\n\n2001:db8::1\n"})


def ask(weir, number, ip, target="/", method="GET"):
    return once(weir.addresses[number], method, target,
                [("X-Forwarded-For", ip)]).status


@pytest.mark.parametrize("ip,target,method,want", [
    ("10.1.2.3", "/", "GET", 200), ("10.1.2.3", "/", "POST", 200),
    ("11.1.2.3", "/", "GET", 403), ("2001:db8::1", "/x", "GET", 200),
    ("2001:db9::1", "/x", "GET", 403),
    ("11.1.2.3", "/public", "GET", 200),
    ("11.1.2.3", "/public/x", "GET", 200),
    ("11.1.2.3", "/pu%62lic/x", "GET", 200),
    ("11.1.2.3", "/publican", "GET", 403),
    ("11.1.2.3", "/public", "POST", 403),
])
def test_first_rule_that_holds_decides(weir, ip, target, method, want):
    assert ask(weir, 0, ip, target, method) == want


@pytest.mark.parametrize("target,want", [
    ("/", 200), ("/a.bak", 404), ("/a.bak/b", 200), ("/shadow", 200),
    ("/shadow/too", 418), ("/own/x", 403), ("/free/a.bak", 200)])
def test_paths_and_levels(weir, target, want):
    assert once(weir.addresses[1], target=target).status == want


def test_drop(weir):
    """No answer, and the connection ends."""
    with Client(weir.addresses[1]) as client:
        client.send(b"GET /drop HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.closed()
        assert client.reader.rest() == b""


def test_logs_and_counters(weir):
    before = weir.metrics()
    assert ask(weir, 0, "11.1.2.3") == 403
    assert once(weir.addresses[1], target="/shadow").status == 200
    after = weir.metrics()
    for name, more in (("checked", 2), ("denied", 1), ("shadow", 1),
                       ("connections_denied", 0)):
        name = "weir_access_%s_total" % name
        assert after.sum(name) - before.sum(name) == more
    assert (after.sum("weir_proxy_errors_total", reason="denied")
            > before.sum("weir_proxy_errors_total", reason="denied"))
    weir.wait_log("answering 403: refused by a rule: rest")
    weir.wait_log("access would deny: access rule 3")


def test_unix_clients(weir):
    """No range has them; a rule can."""
    assert once(weir.addresses[3]).status == 403
    assert once(weir.path("sock")).status == 200


def test_file(weir):
    assert ask(weir, 2, "192.0.2.77") == 403
    assert ask(weir, 2, "192.0.3.77") == 200
    assert ask(weir, 2, "2001:db8::1") == 403
    assert ask(weir, 2, "2001:db8::2") == 200


def test_file_is_read_again_at_hup(start):
    """A file with an error leaves the former one in use."""
    weir = start(conf.config(guarded({"file": "@DIR@/list"})),
                 files={"list": "192.0.2.0/24\n"})

    def status():
        try:
            return once(weir.address).status
        except (OSError, AssertionError):
            return None
    assert status() == 200
    weir.write("list", "127.0.0.0/8\n")
    os.kill(weir.pid, signal.SIGHUP)
    wait.until(lambda: status() == 403)
    weir.write("list", "\n  127.0.0\n")
    os.kill(weir.pid, signal.SIGHUP)
    weir.wait_log(r'list:2:3: error: "127.0.0" is no address range')
    assert status() == 403
    weir.write("list", "")
    os.kill(weir.pid, signal.SIGHUP)
    wait.until(lambda: status() == 200)
    weir.expect_new_children()


def test_file_changes_under_traffic(start, workers=3):
    """No reload: a new file holds in all workers, a broken one in none."""
    weir = start(conf.config(guarded({"name": "list", "file": "@DIR@/list"},
                                     trusted_proxies=["127.0.0.1"]),
                             workers=workers),
                 files={"list": "192.0.2.0/24\n"})
    before = weir.children()
    stop = threading.Event()
    seen = []

    def traffic():
        while not stop.is_set():
            seen.append(ask(weir, 0, "192.0.2.7"))

    def new(text):
        weir.write("list.new", text)
        os.rename(weir.path("list.new"), weir.path("list"))

    def everywhere(ip, want):
        """Each on a connection of its own, so that all workers are asked."""
        return all(ask(weir, 0, ip) == want for _ in range(8 * workers))

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        new("198.51.100.0/24\n2001:db8::/32\n")
        weir.wait_log(r"list: .*/list has changed and is used")
        wait.until(lambda: everywhere("198.51.100.1", 403))
        assert everywhere("192.0.2.7", 200) and everywhere("2001:db8::1", 403)
        new("192.0.2.0/24\n\n 127.0.0\nx\n")
        weir.wait_log(r'list: .*/list has changed and is not used; the old '
                      r'one stays: line 3, column 2: "127.0.0" is no '
                      r'address range.*, and 1 more')
        assert everywhere("198.51.100.1", 403)
        assert everywhere("192.0.2.7", 200)
        new("# nobody\n")
        wait.until(lambda: everywhere("198.51.100.1", 200))
    finally:
        stop.set()
        thread.join()
    # One line for all processes.
    assert len(re.findall("has changed and is used", weir.log)) == 2
    assert seen[0] == 403 and set(seen) <= {200, 403}
    assert weir.children() == before
    assert weir.metrics().sum("weir_proxy_files_changed_total", used="yes") == 2
    assert weir.metrics().sum("weir_proxy_files_changed_total", used="no") == 1


@pytest.mark.process
def test_changed_file_and_new_processes(start):
    """Whoever is forked after a change has it, too."""
    weir = start(conf.config(guarded({"file": "@DIR@/list"}), workers=2),
                 files={"list": "192.0.2.0/24\n"})
    weir.write("list", "127.0.0.0/8\n")
    weir.wait_log("list has changed and is used")
    wait.until(lambda: all(once(weir.address).status == 403
                           for _ in range(16)))
    for worker in weir.workers():
        os.kill(worker, signal.SIGKILL)
        wait.until(lambda pid=worker: pid not in weir.workers() and
                   len(weir.workers()) == 2)
    assert all(once(weir.address).status == 403 for _ in range(16))
    # The background process is asked first: its successor, too.
    os.kill(weir.background(), signal.SIGKILL)
    weir.write("list", "198.51.100.0/24\n")
    wait.until(lambda: all(once(weir.address).status == 200
                           for _ in range(16)), timeout=40)
    weir.expect_new_children()


def test_connections(start):
    """Closed when they come, whatever a route or a proxy says."""
    service = guarded({"from": ["127.0.0.2"], "connection": True},
                      {"action": "allow", "path": "/"},
                      routes=[{"path": "/", "respond": OK,
                               "access": conf.Raw("( )")}])
    weir = start(conf.config(service))
    assert once(weir.address).status == 200
    with Client(weir.address, source=("127.0.0.2", 0)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", may_fail=True)
        assert client.closed()
    assert weir.metrics().sum("weir_access_connections_denied_total") == 1
    assert once(weir.address).status == 200


@pytest.mark.parametrize("kind", ["plain", "tls", "proxy"])
def test_connections_before_a_byte(start, kind):
    """pingora 199: a filter that blocks all: closed at once, with nothing
    read, before TLS and the PROXY protocol; counted, and logged at info."""
    listen = {"address": conf.address(), "defer_accept": False}
    certs = Certs()
    if kind == "tls":
        cert, key = certs.own("a", "a.test")
        listen["tls"] = {"cert": cert, "key": key}
    if kind == "proxy":
        listen["proxy_protocol"] = True
    weir = start(conf.config(guarded(
        {"name": "nobody", "from": ["0.0.0.0/0", "::/0"],
         "connection": True}, listen=[listen]),
        error_log={"level": "info"}))
    for _ in range(3):
        with Client(weir.address) as client:
            assert client.closed()
    weir.wait_log("info.*127.0.0.1: connection denied: nobody")
    metrics = weir.metrics()
    assert metrics.sum("weir_access_connections_denied_total") >= 3
    assert metrics.sum("weir_proxy_tls_handshakes_total") == 0
    assert metrics.sum("weir_proxy_proxy_protocol_total") == 0
    certs.remove()


def test_many_ranges(start):
    """100,000 ranges load in no time and are found."""
    lines = "".join("%d.%d.%d.0/26\n" % (i >> 16 & 255 or 200, i >> 8 & 255,
                                         i & 255) for i in range(100000))
    weir = start(conf.config(guarded({"file": "@DIR@/list"},
                                     trusted_proxies=["127.0.0.1"])),
                 files={"list": lines})
    for ip, want in (("1.134.159.5", 403), ("1.134.159.65", 200),
                     ("1.134.160.5", 200), ("200.0.0.63", 403)):
        assert ask(weir, 0, ip) == want, ip


@pytest.mark.parametrize("rule,error", [
    ({"path": "x"}, "path must begin with /"),
    ({"path": "/x", "path_regex": "y"}, "not both"),
    ({"path": "/x", "connection": True}, "only addresses can decide"),
    ({"action": "allow", "drop": True}, "of rules that deny"),
    ({"action": "permit"}, "allow"),
    ({"methods": ["G T"]}, "no method"),
    ({"from": ["10.0.0.1/8"]}, "10.0.0.0/8"),
    ({"file": "/does/not/exist"}, "cannot read /does/not/exist"),
    ({"file": "LIST"}, "LIST:3:1: error: \"x\" is no address range"),
])
def test_bad_rules(tmp_path, rule, error):
    (tmp_path / "LIST").write_text("10.0.0.0/8\n\nx\n")
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(guarded(rule))))
    status, _, err = run("-t", "-c", path, cwd=tmp_path)
    assert status == 2 and error in err


def test_no_connection_rules_in_routes(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        {"path": "/", "respond": OK, "access": [{"connection": True}]}))))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and re.search("connection", err)
