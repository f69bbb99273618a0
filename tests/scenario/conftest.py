# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of all scenarios, and what must hold after each of them."""
import os
import shutil
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import origin as origins                     # noqa: E402
from lib import weir as runner                        # noqa: E402
from lib.origin import Origin                         # noqa: E402


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Two files at a time where pytest-xdist is there and nobody chose."""
    jobs = int(os.environ.get("WEIR_TEST_JOBS", "2"))
    options = config.option
    if (jobs > 1 and not hasattr(config, "workerinput")
            and config.pluginmanager.hasplugin("xdist")
            and not getattr(options, "numprocesses", None)
            and getattr(options, "dist", "no") == "no"
            and not options.collectonly and not options.usepdb):
        options.numprocesses = jobs
        options.tx = ["popen"] * jobs
        options.dist = "loadfile"


def pytest_configure(config):
    if (runner.binary() is None and not config.option.collectonly
            and not hasattr(config, "workerinput")
            and not os.environ.get("WEIR_TEST_SELF")):
        pytest.exit("no weir to test: build it, or set WEIR", 2)


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for weir in runner.recent:
            try:
                report.sections.append(
                    ("weir's log, %s" % weir.dir, weir.log[-4000:]))
            except OSError:
                pass


def need(program):
    """Skip where a program that a scenario drives is not installed."""
    path = shutil.which(program)
    if not path:
        pytest.skip(program + " is not installed")
    return path


@pytest.fixture(autouse=True)
def after_each():
    """No scenario may leave a crash, an assertion or a malformed byte."""
    yield
    wrong = []
    for origin in origins.live:
        wrong += origin.errors
        origin.errors = []
    assert not wrong, wrong
    for weir in list(runner.live):
        weir.check_children()
        weir.check_log()


def make_weirs():
    started = []

    def start(*args, **kw):
        weir = runner.Weir(*args, **kw)
        started.append(weir)
        return weir
    return started, start


def end_weirs(started):
    problems = []
    for weir in reversed(started):
        try:
            weir.stop()
        except AssertionError as wrong:
            problems.append(str(wrong))
        if not os.environ.get("WEIR_TEST_KEEP"):
            weir.remove()
    assert not problems, "\n".join(problems)


@pytest.fixture
def start():
    """start(config, ...) runs a weir for this test alone."""
    started, factory = make_weirs()
    yield factory
    end_weirs(started)


@pytest.fixture(scope="module")
def start_shared():
    """start_shared(config, ...) runs a weir for the file's tests."""
    started, factory = make_weirs()
    yield factory
    end_weirs(started)


@pytest.fixture(scope="module")
def origin():
    """An origin for the file's tests."""
    one = Origin()
    yield one
    one.close()


@pytest.fixture
def origin_factory():
    made = []

    def make(*args, kind=Origin, **kw):
        one = kind(*args, **kw)
        made.append(one)
        return one
    yield make
    for one in made:
        one.close()
