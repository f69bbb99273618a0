"""Module accesslog: one whole line for each request, whatever the disk does."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from lib import conf, wait
from lib.client import Client, compose

pytestmark = pytest.mark.short

COMBINED = re.compile(
    r'(?P<ip>\S+) - (?P<user>\S+) \[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d '
    r'[+-]\d{4})\] "(?P<line>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) '
    r'(?P<bytes>\d+|-) "(?P<referer>(?:[^"\\]|\\.)*)" '
    r'"(?P<agent>(?:[^"\\]|\\.)*)"')


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    def at(path, *logs, **more):
        return {"path": path, "upstream": "up", "accesslog": list(logs),
                **more}

    def log(name, fmt=None, **more):
        return {"path": "@DIR@/" + name + ".log", "format": fmt, **more}
    weir = start_shared(conf.config(
        [conf.service(
            at("/combined", log("combined", "combined")),
            at("/json", log("json", "json")),
            at("/template", log("template", "T ${request.method} "
                                "${request.path} ${response.status} "
                                "${upstream.tries} ${client.ip} ${duration} "
                                "${response.body_bytes} ${error.reason:-ok} "
                                "${request.header.x-a:--}")),
            at("/two", log("one", "1 ${request.path}"),
               log("two", "2 ${request.path}")),
            at("/errors", log("errors", "${response.status}",
                              when={"status": ["5xx", 404]})),
            at("/slow", log("slow", "${request.path}",
                            when={"slower_than": "300ms"})),
            at("/down", log("down", "${response.status} ${error.reason} "
                            "${upstream.tries}"), upstream="down"),
            at("/inherited"),
            {"path": "/nested", "upstream": "up"},
            name="web",
            accesslog=[log("service", "${request.path}")]),
         conf.service({"host": "a.test", "respond": {"body": "x"}},
                      name="other",
                      accesslog=[log("other", "${response.status} "
                                     "${error.reason:--} "
                                     "${request.line}")])],
        [conf.upstream("up", origin),
         conf.upstream("down", "127.0.0.1:1", retries=0)]))
    return weir


def count(weir, name):
    """How many lines there are by now."""
    path = weir.path(name + ".log")
    return (weir.read(name + ".log").count("\n")
            if os.path.exists(path) else 0)


def lines(weir, name, at_least=1):
    """The log's lines, once there are so many."""
    path = weir.path(name + ".log")

    def enough():
        if not os.path.exists(path):
            return None
        text = weir.read(name + ".log")
        found = text.split("\n")[:-1]
        return found if len(found) >= at_least else None
    return wait.until(enough, 5, what="%d lines in %s" % (at_least, path))


# -- formats ---------------------------------------------------------------

def test_combined(weir):
    with Client(weir.address) as client:
        client.get("/combined/a?b", [("Referer", "http://r.test/"),
                                     ("User-Agent", 'an "agent" \\ x')])
    match = COMBINED.fullmatch(lines(weir, "combined")[-1])
    assert match, lines(weir, "combined")
    assert match["ip"] == "127.0.0.1" and match["user"] == "-"
    assert match["line"] == "GET /combined/a?b HTTP/1.1"
    assert match["status"] == "200" and int(match["bytes"]) > 0
    assert match["referer"] == "http://r.test/"
    assert '" ' not in match["agent"].replace('\\"', "")


def test_combined_without_fields(weir):
    have = count(weir, "combined")
    weir.get("/combined/none")
    match = COMBINED.fullmatch(lines(weir, "combined", have + 1)[-1])
    assert match and match["referer"] == "-" and match["agent"] == "-"


@pytest.mark.parametrize("value", [
    '"', "\\", '\\"', "a\tb", "\xe9", "\xff\xfe", "</script>", "{}", "%n"])
def test_json(weir, value):
    """Each line is a JSON object, whatever the client sent."""
    have = count(weir, "json")
    weir.get("/json/x?q=%22", [("User-Agent", value),
                               ("Referer", value)])
    row = json.loads(lines(weir, "json", have + 1)[-1])
    assert isinstance(row, dict)
    assert any(v == 200 or v == "200" for v in row.values())
    assert any("/json/x" in str(v) for v in row.values())
    assert "127.0.0.1" in row.values()


def test_template(weir):
    weir.get("/template/x?y", [("X-A", "b c")])
    cells = lines(weir, "template")[-1].split(" ")
    assert cells[:6] == ["T", "GET", "/template/x", "200", "1", "127.0.0.1"]
    assert re.fullmatch(r"[0-9.]+(ms|s)?", cells[6])
    assert int(cells[7]) > 0
    assert cells[8:] == ["ok", "b", "c"]


def test_several_logs(weir):
    weir.get("/two/x")
    assert lines(weir, "one")[-1] == "1 /two/x"
    assert lines(weir, "two")[-1] == "2 /two/x"


def test_levels(weir):
    """A route's own list replaces the service's."""
    weir.get("/nested/x")
    weir.get("/combined/y")
    weir.get("/nested/z")
    found = lines(weir, "service", 2)
    assert "/nested/x" in found and "/nested/z" in found
    assert not any("/combined" in line for line in found)


# -- conditions ------------------------------------------------------------

def test_status_condition(weir, origin):
    for status in (200, 404, 500, 301, 503, 403):
        script = origin.script(lambda e, s=status: e.reply(s, b"x"))
        weir.get("/errors" + script.path)
    assert lines(weir, "errors", 3) == ["404", "500", "503"]


def test_slower_than(weir, origin):
    release = threading.Event()

    def answer(exchange):
        release.wait(0.5)
        exchange.reply(200)
        return True
    script = origin.script(answer)
    weir.get("/slow/hello")
    weir.get("/slow" + script.path)
    assert lines(weir, "slow") == ["/slow" + script.path]


# -- every end of a request has its line -----------------------------------

def test_failed_requests(weir):
    assert weir.get("/down/x").status == 502
    assert lines(weir, "down")[-1] == "502 connect_refused 1"


def test_no_route_and_bad_requests(weir):
    weir_address = weir.addresses[1]
    with Client(weir_address) as client:
        assert client.get(host="b.test").status == 404
    with Client(weir_address) as client:
        client.send(b"GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.response().status == 400
    found = lines(weir, "other", 2)
    assert found[0].startswith("404 no_route GET / HTTP/1.1")
    assert found[1].startswith("400 bad_request")


def test_aborted_requests(weir, origin):
    """A client that goes away is logged, with 499."""
    script = origin.raw(b"", then="gone")
    have = count(weir, "template")
    client = Client(weir.address)
    client.send(compose(target="/template" + script.path))
    script.wait()
    client.close()
    line = lines(weir, "template", have + 1)[-1]
    assert script.path in line and "client_gone" in line


# -- nothing breaks a line -------------------------------------------------

@pytest.mark.parametrize("raw", [
    b"GET /template/%0a%0d HTTP/1.1\r\nHost: a\r\nX-A: %0a\r\n\r\n",
    b"GET /template/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /template/x HTTP/1.1\r\nHost: a\r\nX-A: \xff\xc2\x85\xe2\x80\xa8"
    b"\r\n\r\n",
    b"GET /template/x HTTP/1.1\r\nHost: a\r\nX-A: \t\r\n\r\n",
], ids=["encoded", "high path", "line separators", "tab"])
def test_one_line_each(weir, raw):
    have = count(weir, "template")
    with Client(weir.address) as client:
        client.send(raw)
        status = client.response().status
    weir.get("/template/fence")
    logged = lines(weir, "template", have + (2 if status == 200 else 1))
    assert logged[-1].startswith("T GET /template/fence")
    with open(weir.path("template.log"), "rb") as f:
        data = f.read()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", data)


# -- rotation --------------------------------------------------------------

def numbered(weir, count):
    """Requests /n/0, /n/1, ... over four connections."""
    def run(k):
        with Client(weir.address) as client:
            for i in range(k, count, 4):
                client.get("/n/%d" % i)
    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    return threads


def logged(config_format="${request.path}", **more):
    return conf.config(
        conf.service({"path": "/", "respond": {"body": "x"}},
                     accesslog=[{"path": "@DIR@/a.log",
                                 "format": config_format}]), **more)


@pytest.mark.process
def test_rotation_loses_no_line(start):
    """mv, USR1, under load, five times: each line once, each whole."""
    weir = start(logged(workers=2))
    stop, sent = threading.Event(), []

    def load(k):
        with Client(weir.address) as client:
            i = 0
            while not stop.is_set():
                client.get("/n/%d-%d" % (k, i))
                sent.append("/n/%d-%d" % (k, i))
                i += 1
    threads = [threading.Thread(target=load, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    names = []
    for i in range(5):
        wait.until(lambda: os.path.getsize(weir.path("a.log")) > 0)
        name = weir.path("a.log.%d" % i)
        os.rename(weir.path("a.log"), name)
        names.append(name)
        weir.send_signal(signal.SIGUSR1)
        wait.until(lambda: os.path.exists(weir.path("a.log")),
                   what="the new file")
    stop.set()
    for thread in threads:
        thread.join(20)
    names.append(weir.path("a.log"))

    def all_lines():
        found = []
        for name in names:
            with open(name) as f:
                text = f.read()
            found += text.split("\n")[:-1]
        return found if len(found) >= len(sent) else None
    found = wait.until(all_lines, 8, what="%d lines" % len(sent))
    assert sorted(found) == sorted(sent)


@pytest.mark.process
def test_stop_loses_no_line(start):
    """What was answered is in the log when weir has ended."""
    for number in (signal.SIGTERM, signal.SIGINT):
        weir = start(logged(workers=2))
        for thread in numbered(weir, 400):
            thread.join(20)
        weir.stop(number)
        found = weir.read("a.log").split("\n")[:-1]
        assert sorted(found) == sorted("/n/%d" % i for i in range(400))


@pytest.mark.process
def test_killed_worker_loses_no_line(start):
    """DESIGN 2: its ring is in shared memory and is still written out."""
    weir = start(logged(workers=1))
    with Client(weir.address) as client:
        for i in range(50):
            client.get("/n/%d" % i)
        os.kill(weir.worker_of(client), signal.SIGKILL)
        assert client.closed()
    found = wait.until(lambda: [x for x in [weir.read("a.log").split("\n")]
                                if len(x) >= 51])[0]
    assert found[:50] == ["/n/%d" % i for i in range(50)]
    wait.until(lambda: len(weir.children()) == 2)
    weir.expect_new_children()


# -- a disk that does not take it ------------------------------------------

def serve_many(weir, count=2000):
    for thread in numbered(weir, count):
        thread.join(30)


@pytest.mark.process
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk(start):
    """Promise 8: no client notices, and the lost lines are counted."""
    weir = start(conf.config(
        conf.service({"path": "/", "respond": {"body": "x"}},
                     accesslog=[{"path": "/dev/full",
                                 "format": "combined"}]),
        workers=1, log_ring="64KB"))
    with Client(weir.address) as client:
        for i in range(3000):
            assert client.get("/n/%d" % i).body == b"x"
    wait.until(lambda: weir.metrics().total("log.*(drop|lost)|drop.*log"),
               what="dropped lines are counted")


@pytest.mark.process
@pytest.mark.root
def test_full_tmpfs_recovers(start):
    """The disk fills, and has room again: whole lines, and new ones."""
    weir = start(start=False)
    mount = weir.path("disk")
    os.mkdir(mount)
    os.chmod(mount, 0o777)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777",
                       "tmpfs", mount], stderr=subprocess.DEVNULL
                      ).returncode != 0:
        pytest.skip("cannot mount here")
    try:
        other = start(conf.config(
            conf.service({"path": "/", "respond": {"body": "x"}},
                         accesslog=[{"path": mount + "/a.log",
                                     "format": "combined"}]),
            log_ring="64KB"))
        with Client(other.address) as client:
            for i in range(3000):
                assert client.get("/n/%d" % i).body == b"x"
            with open(mount + "/a.log") as f:
                text = f.read()
            assert all(COMBINED.fullmatch(line)
                       for line in text.split("\n")[:-1])
            os.truncate(mount + "/a.log", 0)

            def again():
                assert client.get("/again").body == b"x"
                with open(mount + "/a.log", errors="replace") as f:
                    return "/again" in f.read()
            wait.until(again, 8, what="new lines")
            with open(mount + "/a.log", errors="replace") as f:
                for line in f.read().lstrip("\0").split("\n")[:-1]:
                    assert COMBINED.fullmatch(line), line
        other.stop()
    finally:
        subprocess.run(["umount", "-l", mount], check=False)
        weir.remove()


@pytest.mark.process
def test_file_size_limit(start):
    """RLIMIT_FSIZE stands for every other reason that a write fails."""
    # Shared memory is files, too: the limit is far above it.
    limit = 1 << 30
    weir = start(logged("combined"), fsize=limit, start=False)
    weir.write("a.log", "")
    os.truncate(weir.path("a.log"), limit - 20000)
    weir.start()
    with Client(weir.address) as client:
        for i in range(1500):
            assert client.get("/n/%d" % i).body == b"x"


@pytest.mark.process
def test_stalled_reader(start):
    """A log that goes to a pipe which nobody reads blocks no worker."""
    weir = start(start=False)
    fifo = weir.path("pipe")
    os.mkfifo(fifo)
    os.chmod(fifo, 0o666)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        other = start(conf.config(
            conf.service({"path": "/", "respond": {"body": "x"}},
                         accesslog=[{"path": fifo, "format": "combined"}]),
            log_ring="64KB"))
        with Client(other.address) as client:
            for i in range(3000):
                assert client.get("/n/%d" % i).body == b"x"
        other.stop()
    finally:
        os.close(reader)
        weir.remove()


@pytest.mark.process
@pytest.mark.parametrize("target", ["stderr", "stdout"])
def test_standard_outputs(start, target):
    weir = start(conf.config(conf.service(
        {"path": "/", "respond": {"body": "x"}},
        accesslog=[{"path": target, "format": "LINE ${request.path}"}])))
    weir.get("/abc")
    weir.wait_log(r"(?m)^(<\d>)?LINE /abc$")
