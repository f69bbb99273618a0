"""README's tour does what README says."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import subprocess

import pytest

from conftest import need
from lib import conf
from lib.weir import Weir, run
from test_examples import TOP, mapped

pytestmark = pytest.mark.short

BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")


@pytest.fixture(scope="module", name="tour")
def tour_of_readme():
    """The configuration, and steps of a command and what it prints."""
    path = os.path.join(TOP, "README.md")
    if not os.path.exists(path):
        pytest.skip("not in this tree")
    with open(path) as f:
        text, _ = mapped(f.read())
    blocks = BLOCK.findall(text)
    configurations = [body for kind, body in blocks if kind == "conf"]
    assert len(configurations) == 1
    begin = blocks.index(("conf", configurations[0]))
    steps = []
    for kind, body in blocks[begin + 1:]:
        if kind != "console":
            continue
        if body.startswith("$ cd etc"):
            break  # test_complete.py, and the installation: tests/install.sh
        for line in body.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return configurations[0], steps


def test_tour(tour):
    need("curl")
    text, steps = tour
    weir = Weir(text, admin=False, start=False)
    weir.addresses = [conf.split(a) for a in re.findall(
        r'listen = \( \{ address = "([^"]+)"', text)]
    count = 0
    try:
        weir.start()
        for command, wanted in steps:
            if not command.startswith("curl "):
                continue
            done = subprocess.run(
                command.replace("curl ", "curl -sS --max-time 10 ", 1),
                shell=True, capture_output=True, text=True, timeout=30)
            assert wanted, command
            printed = done.stdout if "/metrics" in command \
                else done.stdout.splitlines()
            for line in wanted:
                assert line in printed, (command, line, printed)
            count += 1
        weir.stop()
        assert '"GET /health HTTP/1.1" 200 3 "-" "curl/' in weir.log
    finally:
        if weir.process and weir.process.poll() is None:
            weir.kill()
        weir.remove()
    assert count >= 8


def test_checks(tour, tmp_path):
    """weir -t says it is valid, and then what the mistakes are."""
    text, steps = tour
    wanted = [lines for command, lines in steps
              if command.startswith("weir -t ")]
    assert len(wanted) == 2
    bad = text.replace('upstream = "api"; timeouts = ',
                       'upstream = "apis"; timeout = ')
    assert bad != text
    for body, lines, want in (text, wanted[0], 0), (bad, wanted[1], 2):
        (tmp_path / "tour.conf").write_text(body)
        status, _, err = run("-t", "-c", "tour.conf", cwd=tmp_path)
        assert status == want, err
        assert err.splitlines() == lines
