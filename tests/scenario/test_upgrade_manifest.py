"""Another version's manifest: what one does not know is passed over, and what
is not there is done without.

The manifest of a real predecessor is changed on its way to a real successor, as
a version of weir could have written it that was never built.
"""
# SPDX-License-Identifier: BSD-2-Clause
import os
import signal
import struct

import pytest

from lib import handover, wait
from lib.client import once
from lib.handover import Between, Record
from test_upgrade import Load, config, instance  # noqa: F401

pytestmark = pytest.mark.process


@pytest.fixture
def between():
    made = []

    def make(*args, **kw):
        made.append(Between(*args, **kw))
        return made[-1]
    yield make
    for one in made:
        one.close()
        assert one.error is None, one.error


class Pair:
    """A predecessor and the successor that waits, with one in between."""

    def __init__(self, one, between, change=None, say=None):
        self.one, self.log = one, lambda: one.weir.log
        for _ in range(3):
            assert once(one.address, target="/own").status == 200
        self.old = one.pid
        self.successor = one.successor("-u")
        path = one.path("run/up.sock")
        one.weir.wait_log("upgrade: waiting at")
        self.between = between(path, change, say)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.one.pid == self.successor.pid:
            self.one.send(signal.SIGINT)
        # Who was not invited goes on waiting for a better one.
        self.successor.terminate()
        assert self.successor.wait(15) in (0, 1)

    def count(self):
        return self.one.weir.metrics().sum("weir_route_requests_total",
                                           route="own")

    def upgrade(self):
        with Load(self.one.address):
            self.one.send(signal.SIGQUIT)
            self.one.wait_taken(self.old)
        self.one.wait_gone(self.old)
        assert self.one.pid == self.successor.pid

    def fail(self, why):
        """It does not come to pass, and nobody notices."""
        with Load(self.one.address):
            self.one.send(signal.SIGQUIT)
            self.one.weir.wait_log(why, 15)
            self.one.weir.wait_log("upgrade failed: .*; this instance serves "
                                   "on", 15)
        assert self.one.pid == self.old
        assert once(self.one.address, target="/own").status == 200


# A route that is counted by name, and a zone of a module.
ROUTE = {"path": "/own", "name": "own", "respond": {"body": "own\n"},
         "ratelimit": [{"rate": "100000/s", "burst": 100000}]}


@pytest.fixture
def pair(instance, between):  # noqa: F811
    def make(change=None, say=None):
        one = instance(config(ROUTE,
                              control={"path": "@DIR@/run/control.sock"}))
        return Pair(one, between, change, say)
    return make


EMPTY = ["start empty", "starts empty", "start at zero", "starts as new",
         "another layout", "not taken over", "will not be found"]


def assert_all_kept(log):
    assert not [text for text in EMPTY if text in log], log


# -- more than is known ----------------------------------------------------

def unknown_records(records):
    """At the begin, in between, and at the end; with descriptors."""
    def one(kind, size, fds):
        return Record(kind, 1, os.urandom(size),
                      [os.open("/dev/null", os.O_RDONLY) for _ in range(fds)])
    out = [one(900, 0, 0)]
    for r in records:
        out += [r, one(901, 20000, 0), one(65535, 3, 2)]
    return out + [one(902, 5, 70)]


def longer_records(records):
    """Fields that were put at the end."""
    for r in records:
        r.body += os.urandom(40)
    return records


def newer_program(records):
    """A version with a longer name, and words in the description of counters
    that nobody has today."""
    for r in records:
        if r.kind == handover.HEADER:
            size, = struct.unpack_from("<I", r.body)
            name = b"99.0.0-of-later"
            r.body = struct.pack("<I", len(name)) + name + r.body[4 + size:]
    return records


def doubled_by_a_newer(records):
    """Each once more in a version that is not known, with other contents."""
    return [twin for r in records for twin in (
        r, Record(r.kind, r.version + 1, os.urandom(len(r.body)),
                  [os.dup(fd) for fd in r.fds]))]


@pytest.mark.parametrize("change", [
    unknown_records, longer_records, newer_program, doubled_by_a_newer],
    ids=lambda f: f.__name__)
def test_more_than_is_known(pair, change):
    """Everything that is known is kept."""
    with pair(change) as it:
        counted = it.count()
        fds = len(os.listdir("/proc/%d/fd" % it.old))
        it.upgrade()
        wait.until(lambda: it.count() >= counted + 50)
        assert_all_kept(it.log())
        # What nobody understood was closed.
        assert len(os.listdir("/proc/%d/fd" % it.one.pid)) < fds + 20
        if change is newer_program:
            assert "(weir 99.0.0-of-later)" in it.log()


def test_messages_of_a_later_version(pair):
    """Unknown ones, on both sides, and words behind those that are known."""
    def say(kind, body):
        strange = handover.packet(77, os.urandom(100))
        if kind in (handover.COMMIT, handover.TAKEN, handover.ENDED):
            body += b"more"
        return [strange, handover.packet(kind, body), strange]
    with pair(say=say) as it:
        it.upgrade()
        assert {handover.HELLO, handover.READY, handover.COMMIT,
                handover.TAKEN} <= set(it.between.seen)
        it.one.weir.wait_log("the predecessor has ended")
        assert_all_kept(it.log())


def test_another_protocol(pair):
    """It is named, and nothing is guessed at."""
    def say(kind, body):
        return [handover.packet(kind, body, protocol=2)]
    with pair(say=say) as it:
        it.fail("upgrade failed: .*version 2 of the protocol is not known")


# -- something else than is known ------------------------------------------

def other_layout(name):
    def change(records):
        for r in records:
            if r.kind == handover.ZONE and r.zone()[0] == name:
                r.set_layout(r.zone()[1] + 1)
        return records
    return change


ZONES = [
    ("metrics", "counters have another layout: what was counted is taken over "
                "name by name"),
    ("backends", "the state of all backends starts as new: .*layout version "
                 "[0-9]+ was handed over, version [0-9]+ is known"),
    ("ratelimit", 'zone "ratelimit" starts empty: layout version [0-9]+ was '
                  "handed over, version [0-9]+ is known"),
]


@pytest.mark.parametrize("name, want", ZONES, ids=[row[0] for row in ZONES])
def test_zone_of_unknown_layout(pair, name, want):
    """It starts empty, all others are kept, and the log says so once."""
    with pair(other_layout(name)) as it:
        counted = it.count()
        it.upgrade()
        it.one.weir.wait_log(want)
        assert sum(it.log().count(text) for text in EMPTY) == 1, it.log()
        wait.until(lambda: it.count() >= counted + 50)


def test_counters_that_cannot_be_read(pair):
    """Another layout in other words."""
    def change(records):
        for r in other_layout("metrics")(records):
            if r.kind == handover.COUNTERS:
                r.body = struct.pack("<I", 8) + b"nonsense"
        return records
    with pair(change) as it:
        it.upgrade()
        it.one.weir.wait_log("all counters start at zero: ")


# -- less than is known ----------------------------------------------------

def without(*kinds):
    return lambda records: [r for r in records if r.kind not in kinds]


def without_zone(name):
    return lambda records: [r for r in records if r.kind != handover.ZONE or
                            r.zone()[0] != name]


OPTIONAL = [
    ("counters", without(handover.COUNTERS), None),
    ("backends", without(handover.BACKENDS),
     "the state of all backends starts as new"),
    ("lanes", without(handover.LANES), None),
    ("logs", without(handover.LOG, handover.RINGS), None),
    ("orphans", without(handover.ORPHANS), None),
    ("control", without(handover.CONTROL), None),
    ("processes", without(handover.PROCESS),
     "it was not said which processes the predecessor has"),
    ("zone metrics", without_zone("metrics"),
     "all counters start at zero: none were handed over"),
    ("zone backends", without_zone("backends"),
     "the state of all backends starts as new: none was handed over"),
    ("all of that", without(
        handover.COUNTERS, handover.BACKENDS, handover.LANES, handover.LOG,
        handover.RINGS, handover.ORPHANS, handover.CONTROL, handover.PROCESS,
        handover.ZONE), "all counters start at zero"),
]


@pytest.mark.parametrize("change, want", [row[1:] for row in OPTIONAL],
                         ids=[row[0].replace(" ", "_") for row in OPTIONAL])
def test_less_than_is_known(pair, change, want):
    """What can be done without is done without."""
    with pair(change) as it:
        it.upgrade()
        if want:
            it.one.weir.wait_log(want)
        # It can be followed, reloaded and asked as any other.
        it.one.weir.wait_log("the predecessor has ended")
        seen = it.log().count("notice: reloaded")
        it.one.send(signal.SIGHUP)
        wait.until(lambda: it.log().count("notice: reloaded") > seen, 15,
                   what=it.log)
        before = it.one.pid
        it.one.send(signal.SIGUSR2)
        pid = it.one.wait_taken(before)
        assert it.successor.wait(15) == 0
        assert it.count() >= 0
        it.one.send(signal.SIGINT, pid)


@pytest.mark.parametrize("kind, why", [
    (handover.HEADER, "the manifest has no header"),
    (handover.LISTENER, "Address already in use|address .* in use"),
    (handover.PID_FILE, "another instance is running"),
], ids=["header", "listeners", "pid_file"])
def test_less_than_is_needed(pair, kind, why):
    """The successor says what it lacks, and the old one serves on."""
    with pair(without(kind)) as it:
        it.fail(why)
