"""etc/weir-complete.conf runs as shipped, and does what README says of it."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import need
from lib import wait
from lib.weir import Weir, run
from test_examples import TOP, mapped

pytestmark = [pytest.mark.short, pytest.mark.process]

SHIPPED = os.path.join(TOP, "etc", "weir-complete.conf")
KEYS = os.path.join(TOP, "etc", "weir-complete.keys")
MAKER = os.path.join(TOP, "contrib", "selfsigned.sh")
KEY = "weir-demonstration-key"


@pytest.fixture(autouse=True)
def modules():
    if "auth" not in run("-V")[1].split("libraries")[0].split():
        pytest.skip("this weir has no module auth")


@pytest.fixture
def tree(tmp_path):
    """Of the source tree what matters here, without a pair."""
    for folder, paths in (("etc", [SHIPPED, KEYS]), ("contrib", [MAKER])):
        (tmp_path / folder).mkdir()
        for path in paths:
            shutil.copy(path, tmp_path / folder)
    return tmp_path


@pytest.mark.parametrize("option", ["-t", "-T"])
def test_passes_without_a_pair(tree, option):
    """In the source tree: valid, and the script is named that makes one."""
    status, _, err = run(option, "-c", "etc/weir-complete.conf", cwd=tree)
    assert status == 0, err
    assert re.search(r"warning: etc/localhost.pem is not there, and not "
                     r'tested: in its folder, "../contrib/selfsigned.sh '
                     r'localhost" makes a pair', err)
    assert KEY in err and "everybody knows" in err


def test_serves_nothing_without_a_pair(tree):
    """Only a test may do without."""
    status, _, err = run("-c", tree / "etc" / "weir-complete.conf")
    assert status == 2
    assert "error: reading %s/etc/localhost.pem: No such file" % tree in err


def test_elsewhere_a_pair_is_needed(tree):
    """An admin's test must not pass where a start would not."""
    shutil.rmtree(tree / "contrib")
    status, _, err = run("-t", "-c", tree / "etc" / "weir-complete.conf")
    assert status == 2 and "localhost.pem: No such file" in err


class Complete:
    """It runs, on ports of its own."""

    def __init__(self):
        need("openssl")
        need("curl")
        with open(SHIPPED, encoding="utf-8") as file:
            text, self.ports = mapped(file.read())
        self.weir = Weir(text, admin=False, start=False)
        self.weir.addresses = [("127.0.0.1", int(self.ports["8080"]))]
        self.weir.admin = ("127.0.0.1", int(self.ports["9180"]))
        shutil.copy(KEYS, self.weir.dir)
        subprocess.run([MAKER, "localhost"], cwd=self.weir.dir, check=True,
                       timeout=30, stdout=subprocess.DEVNULL)
        self.weir.start()
        self.weir.wait_log("127.0.0.1:%s is down" % self.ports["9003"])

    def curl(self, *args, path="/orders", key=KEY):
        """Status, and what was printed."""
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "10", "--cacert", "localhost.pem",
             "-w", "\\n%{http_code}", *args]
            + (["-H", "X-API-Key: " + key] if key else [])
            + ["https://localhost:%s%s" % (self.ports["8443"], path)],
            cwd=self.weir.dir, capture_output=True, text=True, timeout=60)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body + done.stderr

    def lines(self):
        """Of the access log, which is on stdout here."""
        return [json.loads(line) for line in self.weir.log.splitlines()
                if line.startswith('{"time"')]


@pytest.fixture
def complete():
    one = Complete()
    yield one
    try:
        one.weir.stop()
    finally:
        one.weir.remove()


def test_readme(complete):
    """Each curl line of README's walk prints what README says."""
    path = os.path.join(TOP, "README.md")
    if not os.path.exists(path):
        pytest.skip("not in this tree")
    with open(path, encoding="utf-8") as file:
        text = file.read().split("## The complete proxy")[1].split("\n## ")[0]
    text = re.sub(r"(?<=:)(\d{4})\b",
                  lambda m: complete.ports.get(m[1], m[1]), text)
    count = 0
    for block in re.findall(r"(?ms)^```console\n(.*?)^```$", text):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, *wanted = part.splitlines()
            if not command.startswith("curl "):
                continue
            done = subprocess.run(
                command.replace("curl ", "curl -sS --max-time 10 ", 1),
                shell=True, cwd=complete.weir.dir, capture_output=True,
                text=True, timeout=60)
            assert wanted, command
            for line in wanted:
                assert line in done.stdout.splitlines(), (
                    command, line, done.stdout, done.stderr)
            if "[1-60]" in command:  # until the burst is there again
                wait.until(lambda: 'r=39' in complete.curl(
                    "-i", path="/health", key=None)[1], 10)
            count += 1
    assert count >= 9


def test_all_of_it(complete):
    """What the sentence at its beginning promises, in this order."""
    status, text = complete.curl("-v", "--tlsv1.3")
    assert status == 200 and "SSL connection using TLSv1.3" in text
    assert text.startswith("for demonstration: /orders")
    # Headers cleaned, in both directions.
    assert "x-powered-by" not in text.lower()
    assert "< Server:" not in text
    # Authenticated; the key is not logged.
    assert complete.curl(key="wrong")[0] == 401
    assert complete.curl(path="/invoices")[0] == 403
    # Each worker has its own way to the log: they may overtake each other.
    lines = sorted(wait.until(lambda: len(complete.lines()) >= 3
                              and complete.lines()),
                   key=lambda line: line["response_status"])
    assert [line["response_status"] for line in lines] == [200, 401, 403]
    assert lines[0]["identity"] == "demonstration"
    assert lines[0]["upstream_tries"] == 1
    assert len({line["request_id"] for line in lines}) == 3
    assert KEY not in json.dumps(lines)
    # Balanced, and nobody meets the one that is not there.
    for _ in range(8):
        assert complete.curl()[0] == 200
    m = complete.weir.metrics()
    for name, least in ("9001", 1), ("9002", 1), ("9003", 0):
        requests = m.sum("weir_backend_requests_total",
                         backend="127.0.0.1:" + complete.ports[name])
        assert requests >= least if least else requests == 0
    assert m.sum("weir_proxy_errors_total", reason="auth_invalid") == 1
    assert m.sum("weir_proxy_errors_total", reason="auth_forbidden") == 1


def test_limited_over_a_change(complete):
    """Another configuration goes on counting where the one before was."""
    weir = complete.weir
    with open(weir.conf, encoding="utf-8") as file:
        text = file.read()
    # Slow enough that what time refills does not matter here.
    text = text.replace('rate = "20/s"; burst = 40', 'rate = "1/m"; burst = 40')
    with open(weir.conf, "w", encoding="utf-8") as file:
        file.write(text)
    weir.send_signal(signal.SIGHUP)
    weir.wait_log("reloaded: ")
    got = [complete.curl()[0] for _ in range(20)]
    assert got == [200] * 20
    weir.send_signal(signal.SIGHUP)
    wait.until(lambda: weir.log.count("reloaded: ") == 2, 15)
    got = [complete.curl()[0] for _ in range(25)]
    # One more where a minute has ended, or it was that much full before.
    assert got.count(200) in (19, 20, 21) and set(got) == {200, 429}
    assert got[-4:] == [429] * 4
    weir.expect_new_children()
