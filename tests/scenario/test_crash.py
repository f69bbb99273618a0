"""A worker that crashes: the log says exactly what it was serving."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from lib import conf, wait
from lib import weir as runner
from lib.client import Client, compose

pytestmark = pytest.mark.process

WALK = ["early_request", "route", "request", "cache_lookup", "upstream_gate",
        "upstream_select", "upstream_connected", "upstream_request",
        "upstream_response", "cache_store", "response", "log"]
BODIES = ["request_body", "upstream_response_body", "response_body"]


@pytest.fixture(autouse=True)
def module_test():
    if "test" not in runner.run("-V")[1].split():
        pytest.skip("built without the module test")
    if runner.binary() and runner.sanitized():
        pytest.skip("sanitizers turn a signal into an exit")


def crashing(origin, phase):
    """A route on which a request dies in this phase, and one that lives."""
    crash = {"test": {"crash_in": phase}}
    on_service = crash if phase == "early_request" else {}
    return conf.config(
        [conf.service({"name": "deadly", "path": "/", "upstream": "up",
                       **({} if on_service else crash)}, **on_service),
         conf.service({"path": "/", "respond": {"body": "alive\n"}},
                      name="other")],
        [conf.upstream("up", origin)], core_dumps=False)


def crash(weir, request, phase):
    """The line that tells of the death."""
    before = weir.workers()
    with Client(weir.address) as client:
        client.send(request)
        found = weir.wait_log(r"error: worker 0 \(pid \d+\) was killed .*")
    wait.until(lambda: weir.workers() and weir.workers() != before,
               what="a successor")
    weir.expect_new_children()
    with Client(weir.addresses[1]) as client:
        assert client.get("/").body == b"alive\n", phase
    return found.group(0)


@pytest.mark.parametrize("phase", WALK + BODIES)
def test_phase_is_named(start, origin, phase):
    """Signal, request line, client, phase, module and route, in one line."""
    weir = start(crashing(origin, phase))
    line = crash(weir, b"POST /some/path?q=1 HTTP/1.1\r\nHost: x\r\n"
                 b"Content-Length: 5\r\n\r\nhello", phase)
    route = "" if phase == "early_request" else ", route deadly"
    assert re.search(
        r"was killed by signal 11 \(SIGSEGV\)(?: \(core dumped\))? while "
        r"serving POST /some/path\?q=1 for 127\.0\.0\.1 in phase %s, "
        r"module test%s; 1 connection and 1 exchange were lost"
        % (phase, route), line), line


def held(origin):
    """A script whose answer waits until the test lets it go."""
    release = threading.Event()

    def answer(exchange):
        release.wait(20)
        exchange.reply(200, b"late")
        return True
    return origin.script(answer), release


def test_one_on_the_processor_is_named(start, origin):
    """Of several open exchanges it is not the one that came last."""
    weir = start(crashing(origin, "upstream_response"))
    (first, go_first), (second, go_second) = held(origin), held(origin)
    with Client(weir.address) as one, Client(weir.address) as two:
        for client, script in ((one, first), (two, second)):
            client.send(compose(target=script.path))
            script.wait()
        go_first.set()
        found = weir.wait_log(r"was killed by .* while serving GET (\S+) .*"
                              r"2 connections and 2 exchanges were lost")
        go_second.set()
    assert found.group(1) == first.path
    wait.until(lambda: len(weir.workers()) == 1, what="a successor")
    weir.expect_new_children()


def test_long_and_strange_targets(start, origin):
    """Cut at 128 bytes and escaped: one line, whatever the client sent."""
    weir = start(crashing(origin, "request"))
    line = crash(weir, b"GET /" + b"a%22\\" * 60 + b" HTTP/1.1\r\n"
                 b"Host: x\r\n\r\n", "request")
    target = re.search(r"serving GET (\S+) for", line).group(1)
    plain = re.sub(r"\\x[0-9a-f]{2}", "?", target)
    assert len(plain) == 128 and target.startswith("/a%22\\x5c"), line


def test_stream_of_http2(start, origin):
    """One of several on a connection, with the request as it was asked."""
    h2 = pytest.importorskip("lib.h2wire")
    settings = crashing(origin, "upstream_response")
    settings["services"][0]["listen"][0]["h2c"] = True
    if runner.run("-V")[1].count("nghttp2") == 0:
        pytest.skip("built without HTTP/2")
    weir = start(settings)
    (first, go_first), (second, go_second) = held(origin), held(origin)
    with h2.Client(weir.address) as client:
        for script in (first, second):
            client.request(script.path)
            script.wait()
        go_second.set()
        found = weir.wait_log(
            r"was killed by signal 11 .* while serving GET (\S+) for "
            r"127\.0\.0\.1 in phase upstream_response, module test, route "
            r"deadly; 1 connection and 2 exchanges were lost")
        go_first.set()
    assert found.group(1) == second.path
    wait.until(lambda: len(weir.workers()) == 1, what="a successor")
    weir.expect_new_children()


def is_asleep(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def test_idle_worker_is_not_said_to_serve(start):
    """Killed between requests it served nothing; connections are counted."""
    weir = start(conf.config(conf.service(
        {"path": "/", "respond": {"body": "own\n"}})))
    with Client(weir.address) as client:
        client.get("/")
        worker = weir.workers()[0]
        # The answer is here before the worker has done with the request.
        wait.until(lambda: is_asleep(worker), what="the worker waits")
        os.kill(worker, signal.SIGKILL)
        found = weir.wait_log(r"worker 0 .*was killed by signal 9 .*")
        assert "while serving" not in found.group(0)
        assert "1 connection and 0 exchanges were lost" in found.group(0)
    wait.until(lambda: len(weir.workers()) == 1, what="a successor")
    weir.expect_new_children()


def test_kills_at_random_moments(tmp_path):
    """The short form of tests/soak/crash: after kills of workers, background
    process and master under load, all that is shared adds up."""
    crash = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                         "soak", "crash")
    if not shutil.which(os.environ.get("CC", "cc").split()[0]):
        pytest.skip("no C compiler")
    done = subprocess.run(
        [sys.executable, "-B", crash, "--weir", runner.binary(), "--weirctl",
         os.path.join(os.path.dirname(runner.binary()), "weirctl"),
         "--kills", "30", "--round", "30", "--workers", "3"],
        timeout=240, text=True, errors="replace", env=runner.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "all adds up" in done.stdout
