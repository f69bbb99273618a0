"""Listeners of all kinds, each with its options."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import signal
import socket
import stat
import time

import pytest

from lib import conf, proc, wait
from lib.client import Client
from lib.weir import run

pytestmark = [pytest.mark.short, pytest.mark.process]

OK = {"path": "/", "respond": {"body": "${server.ip} ${server.port}"}}


def listening(start, *listens, **top):
    return start(conf.config(conf.service(OK, listen=list(listens)), **top))


def body(address, **kw):
    with Client(address, **kw) as client:
        return client.get("/").text


def test_ipv4(start):
    """pingora 1: the listener's own address."""
    weir = listening(start, {"address": conf.address()})
    assert body(weir.address) == "127.0.0.1 %d" % weir.address[1]


def test_ipv6(start):
    weir = listening(start, {"address": conf.address("::1")})
    assert body(weir.address) == "::1 %d" % weir.address[1]


@pytest.mark.parametrize("v6only", [False, True])
def test_dual(start, v6only):
    """pingora 199: [::] takes both; ipv6_only blocks IPv4."""
    port = conf.free_port("::")
    weir = listening(start, {"address": "[::]:%d" % port,
                             "ipv6_only": v6only})
    assert body(("::1", port)).startswith("::1 ")
    if v6only:
        with pytest.raises(ConnectionRefusedError):
            Client(("127.0.0.1", port))
    else:
        assert "127.0.0.1" in body(("127.0.0.1", port))
    del weir


def test_dual_shows_ipv4_clients_as_such(start):
    """No ::ffff: in what backends and logs see."""
    port = conf.free_port("::")
    start(conf.config(conf.service(
        {"path": "/", "respond": {"body": "${client.ip}"}},
        listen=[{"address": "[::]:%d" % port}])))
    assert body(("127.0.0.1", port)) == "127.0.0.1"


@pytest.mark.parametrize("form", ["0.0.0.0:%d", ":%d"])
def test_any_address(start, form):
    port = conf.free_port("0.0.0.0")
    weir = listening(start, {"address": form % port})
    assert weir.get("/", timeout=5).text.endswith(str(port))
    assert body(("127.0.0.3", port)) == "127.0.0.3 %d" % port


@pytest.mark.parametrize("mode,want", [(None, 0o666), (0o600, 0o600),
                                       (0o660, 0o660)])
def test_unix(start, mode, want):
    """pingora 10, 199: path, mode; stale sockets are replaced."""
    weir = listening(start, {"address": "unix:@DIR@/web.sock", "mode": mode})
    path = weir.addresses[0]
    found = os.stat(path)
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == want
    with Client(path) as client:
        assert client.get("/").status == 200


def test_unix_client_address(start, origin):
    """A client without an address is no reason to fail."""
    weir = start(conf.config(
        conf.service({"path": "/ip", "respond": {"body": "<${client.ip}>"}},
                     {"path": "/", "upstream": "up"},
                     listen=[{"address": "unix:@DIR@/web.sock"}]),
        [conf.upstream("up", origin)]))
    with Client(weir.address) as client:
        assert re.fullmatch(r"<(unix:?|unknown|-)?>", client.get("/ip").text)
        assert client.get("/hello").body == b"Hello World!\n"


def test_stale_unix_socket(start):
    weir = start(start=False)
    path = weir.path("web.sock")
    old = socket.socket(socket.AF_UNIX)
    old.bind(path)
    old.close()
    other = listening(start, {"address": "unix:" + path})
    assert body(other.address)
    other.stop()
    weir.remove()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_address_in_use(start, kind, tmp_path):
    """An error that names it, exit 1, and the other is not disturbed."""
    listen = ({"address": conf.address()} if kind == "tcp"
              else {"address": "unix:%s/web.sock" % tmp_path})
    os.chmod(tmp_path, 0o777)
    weir = listening(start, listen)
    config = conf.document(conf.config(conf.service(OK, listen=[listen])))
    path = tmp_path / "weir.conf"
    path.write_text(config.replace("@DIR@", str(tmp_path)))
    status, _, err = run("-c", path)
    assert status == 1
    assert listen["address"].split("unix:")[-1] in err
    assert weir.get("/").status == 200
    if kind == "unix":
        assert os.path.exists(weir.address)


def test_unbindable_address(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        OK, listen=[{"address": "192.0.2.1:18080"}]))).replace(
            "@DIR@", str(tmp_path)))
    status, _, err = run("-c", path)
    assert status == 1 and "192.0.2.1:18080" in err


def test_two_services_two_listeners(start):
    weir = start(conf.config([
        conf.service({"path": "/", "respond": {"body": "one"}}, name="one",
                     listen=[{"address": conf.address()},
                             {"address": conf.address()}]),
        conf.service({"path": "/", "respond": {"body": "two"}},
                     name="two")]))
    assert [body(a) for a in weir.addresses] == ["one", "one", "two"]


@pytest.mark.parametrize("options", [
    {"reuseport": False}, {"reuseport": True}, {"backlog": 16},
    {"defer_accept": False}, {"defer_accept": True}])
def test_options(start, options):
    """Each serves, with several workers."""
    weir = listening(start, {"address": conf.address(), **options},
                     workers=3)
    for _ in range(20):
        assert weir.get("/").status == 200


def window_scale(address):
    with Client(address) as client:
        assert client.get("/").status == 200
        return client.window_scale()


def test_buffers_from_listen_to_connection(start):
    """pingora 199, 200: a listener's buffer is that of its connections, of
    all workers, from the start, with a reload, and until one takes it back."""
    small = {"receive_buffer": "4KB", "keepalive": "1m",
             "keepalive_interval": "5s", "keepalive_count": 2,
             "user_timeout": "30s", "fast_open": 16, "dscp": 10}
    address = conf.address()

    def config(**options):
        return conf.config(conf.service(
            OK, listen=[{"address": address, **options}]), workers=3)

    def reload(**options):
        weir.write("weir.conf", conf.document(config(**options)))
        weir.send_signal(signal.SIGHUP)

    def all_scales():
        return {window_scale(weir.address) for _ in range(8)}
    weir = start(config(**small))
    assert all_scales() == {0}
    reload(dscp=10)
    wait.until(lambda: 0 not in all_scales() or
               "its receive_buffer stays 4096" in weir.log)
    reload(**small)
    wait.until(lambda: all_scales() == {0})


def test_buffer_beyond_the_kernels_limit(start):
    """It serves, and a line says how much it is."""
    with open("/proc/sys/net/core/wmem_max") as f:
        limit = int(f.read())
    if limit >= 512 << 20:
        pytest.skip("the kernel has no limit below that of weir")
    weir = listening(start, {"address": conf.address(),
                             "send_buffer": "512MB"})
    assert weir.get("/").status == 200
    weir.wait_log("warn.*send_buffer is %d bytes, not 536870912: "
                  "the limit is net.core.wmem_max" % limit)


@pytest.mark.parametrize("listen,error", [
    ({"address": "unix:@DIR@/s", "dscp": 10}, "is no TCP: it has no dscp"),
    ({"address": ":80", "keepalive_count": 3}, "of use with keepalive alone"),
    ({"address": ":80", "dscp": 64}, "0 to 63"),
    ({"address": ":80", "receive_buffer": "1GB"}, "512MB"),
])
def test_options_that_cannot_be(tmp_path, listen, error):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        OK, listen=[listen]))).replace("@DIR@", str(tmp_path)))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and error in err


def test_latency_of_small_answers(start, origin):
    """NODELAY both ways: no 40 ms between head and a small body."""
    def answer(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        exchange.send(b"o")
        exchange.send(b"k")
        return True
    script = origin.script(answer)
    weir = start(conf.proxy(origin))
    with Client(weir.address) as client:
        best = 1
        for _ in range(30):
            began = time.monotonic()
            assert client.get(script.path).body == b"ok"
            best = min(best, time.monotonic() - began)
    assert best < 0.03


def test_workers_hold_no_more_than_they_need(start):
    """No descriptor of the test or of the shell leaks into a worker."""
    weir = listening(start, {"address": conf.address()}, workers=2)
    weir.get("/")
    for pid in weir.children():
        names = []
        for fd in proc.fds(pid):
            try:
                names.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
            except OSError:
                pass
        assert not any(name.endswith("weir.conf") for name in names), names
