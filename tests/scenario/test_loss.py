"""Reloads and upgrades under load lose nothing; the counting clients count."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import os
import shutil
import subprocess
import sys

import pytest

from lib import weir as runner

pytestmark = pytest.mark.process

LOSS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "loss")
WRONG = ["refused", "reset", "lost", "unanswered", "truncated", "corrupt",
         "status", "timeout"]


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """The program of tests/loss, compiled for this run."""
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        pytest.skip("no C compiler")
    path = str(tmp_path_factory.mktemp("loss") / "loss")
    sources = [os.path.join(LOSS, name) for name in
               ("loss.c", "crowd.c", "origin.c", "pattern.c", "ws.c",
                "../../bench/tally.c")]
    subprocess.run(compiler + ["-std=c11", "-D_GNU_SOURCE", "-O2", "-o", path]
                   + sources, check=True, timeout=60)
    return path


def run(clients, tmp_path, *args):
    """What tests/loss/run printed, and its figures."""
    out = str(tmp_path / "loss.json")
    done = subprocess.run(
        [sys.executable, "-B", os.path.join(LOSS, "run"), "--loss", clients,
         "--weir", runner.binary(), "--json", out, "--limit", "150", *args],
        timeout=180, text=True, errors="replace", env=runner.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with open(out, encoding="ascii") as file:
        return done.returncode, done.stdout, json.load(file).get("weir", {})


def wrong(part):
    return sum(part["all"][name] for name in WRONG)


def test_steady_load_loses_nothing(clients, tmp_path):
    """Without any change every client of every kind gets all it asked for."""
    status, text, figures = run(clients, tmp_path, "--reloads", "0",
                                "--upgrades", "0", "--quiet", "4")
    assert status == 0, text
    for kind in ("kept", "oneshot", "sparse", "download", "upload",
                 "websocket"):
        counts = figures["quiet"][kind]
        assert counts["answers"] > 0 and counts["requests"] > 0, (kind, text)


def test_killed_worker_is_counted(clients, tmp_path):
    """The clients do notice what a killed worker had in its hands."""
    status, text, figures = run(clients, tmp_path, "--reloads", "0",
                                "--upgrades", "0", "--kills", "2",
                                "--quiet", "1")
    assert status == 1, text
    assert wrong(figures["kills"]) > 0, text
    assert figures["kills"]["all"]["answers"] > 0, text


def test_changes_lose_nothing(clients, tmp_path):
    """The short form of `make loss`: reloads, then upgrades, one after the
    other."""
    status, text, figures = run(clients, tmp_path, "--reloads", "8",
                                "--upgrades", "2", "--quiet", "1")
    assert status == 0, text
    for name, count in (("reloads", 8), ("upgrades", 2)):
        part = figures[name]
        assert part["count"] == count and part["all"]["answers"] > 0, text
        assert wrong(part) == 0, text
    assert wrong(figures["end"]) == 0, text
