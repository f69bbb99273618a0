# SPDX-License-Identifier: BSD-2-Clause
"""What /proc tells about processes and their sockets."""
import os
import re
import socket
import struct


def _stat(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            after = f.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return {"state": after[0], "ppid": int(after[1]),
            "session": int(after[3]),
            "ticks": int(after[11]) + int(after[12])}


def _all():
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _stat(int(name))
            if stat and stat["state"] not in "ZX":
                yield int(name), stat


def of_session(session):
    return [pid for pid, stat in _all() if stat["session"] == session]


def children(parent):
    return [pid for pid, stat in _all() if stat["ppid"] == parent]


def parent(pid):
    return _stat(pid)["ppid"]


def descendants(pid):
    """Children, their children, and so on."""
    below, found = {}, [pid]
    for child, stat in _all():
        below.setdefault(stat["ppid"], []).append(child)
    for each in found:
        found += below.get(each, [])
    return found[1:]


def alive(pid):
    stat = _stat(pid)
    return stat is not None and stat["state"] not in "ZX"


def state(pid):
    """"T": halted by a signal; None: it has gone."""
    stat = _stat(pid)
    return stat and stat["state"]


def cpu_seconds(pid):
    return _stat(pid)["ticks"] / os.sysconf("SC_CLK_TCK")


def title(pid):
    out = ""
    for name in ("comm", "cmdline"):
        try:
            with open("/proc/%d/%s" % (pid, name), "rb") as f:
                out += f.read().replace(b"\0", b" ").decode(
                    "utf-8", "replace") + " "
        except OSError:
            pass
    return out


def status(pid, key):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(key + ":"):
                return line.split(":", 1)[1].split()
    return None


def memory(pid):
    """Private memory in use, in bytes."""
    return int(status(pid, "RssAnon")[0]) * 1024


def fds(pid):
    try:
        return os.listdir("/proc/%d/fd" % pid)
    except OSError:
        return []


def inodes(pid):
    found = set()
    for fd in fds(pid):
        try:
            link = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue
        match = re.match(r"socket:\[(\d+)\]", link)
        if match:
            found.add(int(match[1]))
    return found


def _hex(address):
    host, port = address[:2]
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host)
        words = struct.unpack("<4I", packed)
        return "%s:%04X" % ("".join("%08X" % w for w in words), port)
    word, = struct.unpack("<I", socket.inet_aton(host))
    return "%08X:%04X" % (word, port)


def inode_of(local, remote):
    """The inode of the TCP socket with these two ends, if accepted."""
    name = "/proc/net/tcp6" if ":" in local[0] else "/proc/net/tcp"
    want = (_hex(local), _hex(remote))
    with open(name) as f:
        next(f)
        for line in f:
            cells = line.split()
            if (cells[1], cells[2]) == want:
                return int(cells[9])
    return None
