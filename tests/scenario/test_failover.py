"""A backend dies and returns under load: clients notice nothing."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import os
import shutil
import socket
import subprocess

import pytest

from lib import conf, wait
from test_control import Control

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                     "bench")
PROGRAMS = {"load": ["load.c", "clients.c", "tally.c"],
            "origin": ["origin.c"]}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Those of bench/, compiled for this run: Python is too slow for this."""
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("bench")
    for name, sources in PROGRAMS.items():
        subprocess.run(
            compiler + ["-std=c11", "-D_GNU_SOURCE", "-O2", "-o",
                        str(folder / name)]
            + [os.path.join(BENCH, source) for source in sources],
            check=True, timeout=60)
    return str(folder)


class Backend:
    """An origin that is a process of its own, so that it can be killed."""

    def __init__(self, programs):
        self.program = os.path.join(programs, "origin")
        self.port = conf.free_port()
        self.backend = "127.0.0.1:%d" % self.port
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "-p", "%d-%d" % (self.port, self.port), "-T",
             "120"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def three(programs):
    backends = [Backend(programs) for _ in range(3)]
    yield backends
    for backend in backends:
        backend.kill()


def load(programs, weir, seconds, rate=2000):
    return subprocess.Popen(
        [os.path.join(programs, "load"), "-a", "%s:%d" % weir.address,
         "-p", "/b/64", "-b", "64", "-c", "32", "-r", str(rate), "-d",
         str(seconds), "-T", "60"], stdout=subprocess.PIPE, text=True)


def result(process):
    text = process.communicate(timeout=90)[0]
    return json.loads(text.strip().split("\n")[-1])


def config(backends, **up):
    return conf.config(
        conf.service({"path": "/", "upstream": "app"}),
        [conf.upstream("app", *backends, **up)], workers=2)


@pytest.mark.process
def test_one_of_three_dies(start, three, programs):
    """Active checks each second, 2,000 requests a second, retries: no client
    sees an error; the one that died comes back and has its share again."""
    weir = start(config(three, retries=2, health_check={
        "path": "/b/16", "interval": "1s"}))
    control = Control(weir)

    def requests():
        rows = control.ask("upstreams")["result"]["backends"]
        return [row["requests"] for row in rows]

    wait.until(lambda: control.ask("upstreams")["ok"])
    clients = load(programs, weir, 9)
    wait.until(lambda: sum(requests()) > 500)
    three[1].kill()
    weir.wait_log("backend app/%s is down: health check: connection refused"
                  % three[1].backend)
    before = requests()
    wait.until(lambda: sum(requests()) > sum(before) + 500)
    assert requests()[1] - before[1] <= 40  # of the failures before
    three[1].start()
    weir.wait_log("backend app/%s is up: the health check passes"
                  % three[1].backend)
    # Though it failed requests, too.
    wait.until(lambda: requests()[1] > before[1] + 60, 3)
    before = requests()
    wait.until(lambda: sum(requests()) > sum(before) + 1500)
    got = [after - then for after, then in zip(requests(), before)]
    assert 0.30 <= got[1] / sum(got) <= 0.37, got
    figures = result(clients)
    assert figures["errors"] == 0, figures
    assert weir.metrics().sum("weir_proxy_errors_total") == 0


@pytest.mark.process
def test_accepts_and_never_answers(start, three, programs):
    """Left within `fall` intervals; whoever met it before is retried."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(512)
    weir = start(config(
        three[:2] + ["%s:%d" % silent.getsockname()], retries=2,
        timeouts={"first_byte": "300ms"},
        health_check={"path": "/b/16", "interval": "200ms",
                      "timeout": "200ms", "fall": 2, "jitter": 0}))
    clients = load(programs, weir, 3, 500)
    weir.wait_log("is down: health check: no answer in time")
    figures = result(clients)
    silent.close()
    assert figures["errors"] == 0, figures
