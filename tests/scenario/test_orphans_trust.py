"""What workers without a master say is believed as far as it goes."""
# SPDX-License-Identifier: BSD-2-Clause
import ctypes
import os
import select
import signal
import socket
import struct
import threading

import pytest

from lib import handover, proc, wait
from lib.client import once
from test_orphans import Orphans, orphans  # noqa: F401
from test_upgrade import config

pytestmark = [pytest.mark.process, pytest.mark.root]

PIDFD_GETFD = 438
SO_BINDTOIFINDEX = 62


def sockets_of(pid):
    """Copies of all sockets that a process has."""
    libc, pidfd = ctypes.CDLL(None, use_errno=True), os.pidfd_open(pid)
    try:
        for number in os.listdir("/proc/%d/fd" % pid):
            try:
                link = os.readlink("/proc/%d/fd/%s" % (pid, number))
            except OSError:
                continue
            if not link.startswith("socket:"):
                continue
            fd = libc.syscall(PIDFD_GETFD, pidfd, int(number), 0)
            if fd < 0:
                pytest.skip("no descriptor can be had of another process")
            yield socket.socket(fileno=fd)
    finally:
        os.close(pidfd)


def door_of(pid, path):
    for sock in sockets_of(pid):
        if sock.family == socket.AF_UNIX and sock.getsockname() == path:
            return sock
        sock.close()
    raise AssertionError("process %d has no door" % pid)


class Impostor:
    """A worker that answers at the orphans' door, with words of its own."""

    def __init__(self, door, records):
        self.door, self.records = door, records
        self.taken, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        # Never blocking: that would be so for all who have this door.
        self.door.setblocking(False)
        ready = select.poll()  # numbers may be high
        ready.register(self.door, select.POLLIN)
        while True:
            ready.poll()
            try:
                sock, _ = self.door.accept()
                break
            except BlockingIOError:
                continue
        with sock:
            sock.setblocking(True)
            while True:
                got = handover.receive(sock)
                if not got:
                    break
                if got[0] == handover.HELLO:
                    handover.send_manifest(sock, self.records)
                elif got[0] == handover.READY:
                    handover.send(sock, handover.packet(handover.COMMIT))
                elif got[0] == handover.TAKEN:
                    self.taken.set()
                    self.over.wait(60)
                    break

    def close(self):
        self.over.set()
        handover.close(self.records)
        self.door.close()


def estate_of(one):
    """All that it has, with the descriptors themselves."""
    one.weir.wait_log("serves with")
    return handover.manifest_of(one.path("run/up.sock"),
                                lambda: one.send(signal.SIGQUIT))


def drop(records, kind):
    """As a worker has it, who has none."""
    handover.close([r for r in records if r.kind == kind])
    return [r for r in records if r.kind != kind]


def workers_of(pid):
    return [child for child in proc.children(pid)
            if "worker" in proc.title(child)]


def test_while_the_master_lives(orphans):  # noqa: F811
    """Nobody is believed, not even with the lock on the pid file in hand."""
    one = orphans(config())
    records = estate_of(one)
    assert handover.PID_FILE in [r.kind for r in records]
    worker = workers_of(one.first)[0]
    impostor = Impostor(door_of(worker, one.path("run/up.sock.orphans")),
                        records)
    os.kill(one.first, signal.SIGSTOP)  # it would be as quick
    try:
        second = one.successor()
        assert second.wait(20) == 1
    finally:
        os.kill(one.first, signal.SIGCONT)
        impostor.close()
    assert "another instance is running (pid %d)" % one.first in one.weir.log
    assert not impostor.taken.is_set() and one.pid == one.first
    assert once(one.address, target="/own").status == 200


def test_pid_file_is_the_masters(orphans):  # noqa: F811
    """No other process has it open, nor its lock."""
    one = orphans(config())
    for child in proc.children(one.first):
        for number in os.listdir("/proc/%d/fd" % child):
            assert "weir.pid" not in os.readlink(
                "/proc/%d/fd/%s" % (child, number)), proc.title(child)


def test_one_that_never_ends(orphans):  # noqa: F811
    """It neither counts as thousands that drain, nor holds up for ever what
    waits for it."""
    one = orphans(config(shutdown_timeout="300ms",
                         max_draining_generations=1))
    records = drop(estate_of(one), handover.PID_FILE)
    for r in records:
        if r.kind == handover.HEADER:
            r.body = r.body[:-4] + struct.pack("<I", 0xffffffff)
    worker = workers_of(one.first)[0]
    left = proc.children(one.first)
    door = door_of(worker, one.path("run/up.sock.orphans"))
    one.kill_master()
    for pid in left:
        os.kill(pid, signal.SIGSTOP)
    impostor = Impostor(door, records)
    successor = one.plain_start()
    assert impostor.taken.wait(15)
    for pid in left:
        os.kill(pid, signal.SIGCONT)
    one.send(signal.SIGHUP)
    one.weir.wait_log("does not end: it is no longer waited for", 15)
    one.weir.wait_log("notice: reloaded", 15)
    # Nor those who come after.
    assert successor.pid == one.pid
    one.send(signal.SIGUSR2)
    one.wait_taken(successor.pid)
    assert successor.wait(15) == 0
    one.send(signal.SIGHUP)
    one.weir.wait_log("(?s)(notice: reloaded.*){2}", 15)
    # What it has is the sockets that the others have as well.
    impostor.close()
    for pid in left:
        wait.until(lambda: not proc.alive(pid), 20)
    assert once(one.address, target="/own").status == 200
    pid = one.pid
    one.send(signal.SIGINT)
    wait.until(lambda: not proc.alive(pid), 15)


def test_one_was_going_already(orphans):  # noqa: F811
    """It has shut the sockets that another one hands over: they are opened
    again."""
    one = orphans(config())
    left = one.kill_master()
    worker = [pid for pid in left if "worker" in proc.title(pid)][0]
    shut = 0
    for sock in sockets_of(worker):
        if sock.family == socket.AF_INET and sock.getsockname() == \
                one.address and sock.getsockopt(socket.SOL_SOCKET,
                                                socket.SO_ACCEPTCONN):
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, 2 ** 31 - 1)
            shut += 1
        sock.close()
    assert shut >= 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(one.address, 5)
    one.plain_start()
    for _ in range(20):
        assert once(one.address, target="/own").status == 200
