"""What workers and background process may still do: nearly nothing."""
# SPDX-License-Identifier: BSD-2-Clause
import grp
import json
import os
import pwd
import re
import resource
import signal
import stat
import subprocess

import pytest

from lib import conf, proc, wait
from lib import weir as runner

pytestmark = pytest.mark.process

# Sanitizers make system calls of their own, and "auto" is "off" there.
real = pytest.mark.skipif(runner.binary() is not None and runner.sanitized(),
                          reason="a build with sanitizers")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

DEADLY = {"exec", "ptrace"}
FORBIDDEN = {"read": {"EACCES"}, "write": {"EACCES"}, "list": {"EACCES"},
             "fork": {"ENOSYS", "EPERM"}, "kill": {"ENOSYS", "EPERM"},
             "code": {"ENOSYS", "EPERM", "EACCES"},
             "namespace": {"ENOSYS", "EPERM"},
             # The background process may: it hands files on (test_access).
             "memfd": {"ENOSYS", "EPERM"}}


def has_seccomp():
    return "no filter of system calls" not in runner.run("-V")[1]


def attempting(**top):
    """A configuration whose /?NAME tries NAME in the worker."""
    return conf.config(
        conf.service({"path": "/", "test": {"attempts": True},
                      "respond": {"status": 204}}), **top)


@pytest.fixture(autouse=True)
def module_test():
    if "test" not in runner.run("-V")[1].split():
        pytest.skip("built without the module test")


def attempt(weir, name):
    return weir.get("/?" + name).body.decode().strip()


def processes(weir):
    return weir.workers() + [weir.background()]


@real
def test_status_of_processes(start):
    """No capabilities, no new privileges, a filter; nobody is root."""
    weir = start(attempting(workers=2))
    assert len(processes(weir)) == 3
    for pid in processes(weir):
        assert proc.status(pid, "NoNewPrivs") == ["1"]
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(proc.status(pid, name)[0], 16) == 0, name
        assert "0" not in proc.status(pid, "Uid")
        assert "0" not in proc.status(pid, "Gid")
        if has_seccomp():
            assert proc.status(pid, "Seccomp") == ["2"]
        if os.geteuid() == 0:
            assert int(proc.status(pid, "CapBnd")[0], 16) == 0
    weir.wait_log(r"notice: sandbox strict: ")


@real
def test_strict_refuses(start):
    """Files, processes, code: each attempt fails and the worker serves on."""
    weir = start(attempting(sandbox="strict" if has_seccomp() else "auto"))
    if "Landlock" not in weir.log and not has_seccomp():
        pytest.skip("neither Landlock nor seccomp")
    for name, answers in FORBIDDEN.items():
        if has_seccomp() or name in ("read", "write", "list"):
            assert attempt(weir, name) in answers, name
    assert not os.path.exists("/tmp/weir-test-attempt")
    for name in ("thread", "time"):
        assert attempt(weir, name) == "ok", name


@real
def test_unknown_calls_are_not_there(start):
    """ENOSYS, so that libraries fall back, for what is on no list, whether
    the kernel knows it or not."""
    if not has_seccomp():
        pytest.skip("built without libseccomp")
    weir = start(attempting())
    for name in ("unknown", "personality"):
        assert attempt(weir, name) == "ENOSYS", name
    weir.stop()
    weir = start(attempting(sandbox="off"))
    assert attempt(weir, "personality") == "ok"


@pytest.mark.parametrize("level", ["auto", "basic", "off"])
def test_status_shows_the_sandbox(start, level):
    """What weirctl says is in force is what the log said at the start."""
    if level == "basic" and not has_seccomp():
        pytest.skip("built without libseccomp")
    weir = start(attempting(sandbox=level,
                            control={"path": "@DIR@/control.sock"}))
    logged = weir.wait_log(r"notice: sandbox (.*)").group(1)
    shown = json.loads(subprocess.run(
        [os.path.join(os.path.dirname(runner.binary()), "weirctl"), "-s",
         weir.path("control.sock"), "--json", "status"], check=True,
        text=True, stdout=subprocess.PIPE).stdout)["result"]["sandbox"]
    assert shown == logged
    if level != "auto":
        assert shown.startswith(level)
    elif runner.sanitized():
        assert shown.startswith("off")
    elif has_seccomp():
        assert shown.startswith("strict")


def test_auto_is_off_for_instruments(start):
    """Valgrind's tools make calls of their own; told to be strict it is."""
    config = attempting()
    for level, want in (("auto", "off"), ("basic", "basic")):
        if level == "basic" and not has_seccomp():
            continue
        config["sandbox"] = level
        # The loader passes over what is not there.
        weir = start(config, env={
            "LD_PRELOAD": "/usr/libexec/valgrind/vgpreload_core-none.so"})
        weir.wait_log("notice: sandbox %s: " % want)
        weir.stop()


@real
@pytest.mark.parametrize("name", sorted(DEADLY))
@pytest.mark.parametrize("level", ["strict", "basic"])
def test_deadly_attempts(start, level, name):
    """A worker that executes or traces ends at once, and another serves."""
    if not has_seccomp():
        pytest.skip("built without libseccomp")
    weir = start(attempting(sandbox=level))
    before = weir.workers()
    with weir.client() as client:
        client.send(b"GET /?%s HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode())
        weir.wait_log(r"killed by (signal 31 \()?SIGSYS")
    wait.until(lambda: weir.workers() and weir.workers() != before,
               what="a successor")
    assert attempt(weir, "time") == "ok"
    weir.expect_new_children()


@real
def test_basic_filters_less(start):
    """Files are left to permissions; administration is refused."""
    if not has_seccomp():
        pytest.skip("built without libseccomp")
    weir = start(attempting(sandbox="basic"))
    assert attempt(weir, "read") == "ok"
    assert attempt(weir, "namespace") == "EPERM"
    assert attempt(weir, "thread") == "ok"
    weir.wait_log(r"sandbox basic: .*system calls filtered")


def test_off_filters_nothing(start):
    """Account and capabilities go all the same."""
    weir = start(attempting(sandbox="off"))
    assert attempt(weir, "read") == "ok"
    for pid in processes(weir):
        assert proc.status(pid, "Seccomp") == ["0"]
        assert proc.status(pid, "NoNewPrivs") == ["1"]
        assert int(proc.status(pid, "CapEff")[0], 16) == 0
    weir.wait_log(r"sandbox off: .*not filtered")


def limits(pid, name):
    with open("/proc/%d/limits" % pid, encoding="ascii") as file:
        for line in file:
            if line.startswith(name):
                return line[len(name):].split()[:2]
    return None


@real
def test_core_dumps(start):
    """None by default, and the process may not be looked into."""
    weir = start(attempting(core_dumps=False))
    for pid in processes(weir):
        assert limits(pid, "Max core file size") == ["0", "0"]
        # Who may not be dumped has its /proc files owned by root.
        assert os.stat("/proc/%d/stat" % pid).st_uid == 0
    if os.geteuid() == 0:
        assert limits(weir.pid, "Max core file size")[0] == "0"
    weir.stop()
    weir = start(attempting(core_dumps=True))
    for pid in processes(weir):
        soft, hard = limits(pid, "Max core file size")
        assert soft == hard
        assert os.stat("/proc/%d/stat" % pid).st_uid != 0
    weir.wait_log("core dumps allowed")


@real
def test_core_dump_is_written(start):
    """Where the kernel writes cores to files, one lands in the working
    directory, with the sandbox on."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        pattern = file.read().strip()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if "/" in pattern or "|" in pattern or hard not in (
            resource.RLIM_INFINITY,):
        pytest.skip("cores go elsewhere")
    weir = start(conf.config(
        conf.service({"path": "/", "test": {"crash_in": "request"},
                      "respond": {"status": 204}}), core_dumps=True,
        working_directory="@DIR@"))
    with weir.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        weir.wait_log(r"killed by signal 11 \(SIGSEGV\) \(core dumped\)")
    assert any("core" in name for name in os.listdir(weir.dir))
    wait.until(lambda: len(weir.workers()) == 1, what="a successor")
    weir.expect_new_children()


def test_open_files_max(start):
    """A limit of their own, and connections_max follows it."""
    weir = start(attempting(open_files_max=500, connections_max=400))
    for pid in processes(weir):
        assert limits(pid, "Max open files") == ["500", "500"]
    weir.wait_log("connections_max is 400, but the limit of 500 descriptors")


@pytest.mark.short
def test_resources(start):
    """Nothing is left of what serving has no use for; threads, files and
    stacks are as they were."""
    weir = start(attempting(workers=2))
    names = ["Max processes", "Max file size", "Max stack size",
             "Max open files"]
    for pid in processes(weir):
        for name in ("Max locked memory", "Max msgqueue size",
                     "Max nice priority", "Max realtime priority"):
            assert limits(pid, name) == ["0", "0"], name
        assert limits(pid, "Max data size") == limits(
            weir.pid, "Max data size")
        for name in names:
            assert limits(pid, name) == limits(weir.pid, name), name
    assert attempt(weir, "thread") == "ok"


@real
def test_memory_max(start):
    """A limit of its own, said in the log, changed by a reload."""
    weir = start(attempting(memory_max="512MB", body_memory="64MB"))
    for pid in processes(weir):
        assert limits(pid, "Max data size") == [str(512 << 20)] * 2
    weir.wait_log("sandbox .*at most 512 MB")
    assert attempt(weir, "thread") == "ok"
    weir.write("weir.conf", weir.text.replace("512MB", "1GB"))
    weir.send_signal(signal.SIGHUP)
    weir.wait_log("sandbox .*at most 1024 MB")
    wait.until(lambda: len(processes(weir)) == 2 and all(
        limits(pid, "Max data size") == [str(1 << 30)] * 2
        for pid in processes(weir)))
    # It is not said again where nothing of it changes.
    weir.send_signal(signal.SIGHUP)
    weir.wait_log("generation 3 serves")
    assert len(re.findall("notice: sandbox ", weir.log)) == 2, weir.log
    weir.expect_new_children()


def test_memory_max_too_small(start):
    weir = start(attempting(memory_max="100MB", body_memory="64MB"),
                 start=False)
    status, _, err = runner.run("-t", "-c", weir.conf)
    assert status == 2 and re.search(
        r"weir.conf:\d+:\d+: error: memory_max must exceed body_memory "
        r"\(64 MB\) by 64MB", err), err


@root
def test_chroot(start):
    """The worker sees a part of the tree; names are still resolved."""
    weir = start(attempting(chroot="@DIR@", sandbox="off",
                            working_directory="/"))
    worker = weir.workers()[0]
    assert os.readlink("/proc/%d/root" % worker) == weir.dir
    assert os.readlink("/proc/%d/cwd" % worker) == weir.dir
    assert os.readlink("/proc/%d/root" % weir.background()) == "/"
    assert attempt(weir, "read") == "ENOENT"
    weir.wait_log(r"chroot " + re.escape(weir.dir))


@root
def test_chroot_missing(start):
    """A directory that is not there refuses the start, and says which."""
    weir = start(attempting(chroot="@DIR@/none"), start=False)
    weir.start(ready=False)
    assert weir.wait_exit() == 1
    assert re.search(r"chroot .*/none: No such file", weir.log), weir.log


def test_unprivileged_start_says_so(start):
    """Not root: no other user, no chroot, and one line says it."""
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid=65534", "--regid=65534",
                  "--clear-groups"]
    else:
        prefix = []
    weir = start(attempting(chroot="@DIR@"), prefix=prefix)
    weir.wait_log("not started by root, so no change of user, no chroot")
    assert attempt(weir, "time") == "ok"


@root
def test_key_file_stays_roots(start):
    """What root alone may read, a worker may not even without a sandbox."""
    weir = start(attempting(sandbox="off"))
    path = weir.write("secret.key", "secret\n")
    os.chmod(path, 0o600)
    done = subprocess.run(
        ["setpriv", "--reuid=%s" % proc.status(
            weir.workers()[0], "Uid")[0], "--clear-groups",
         "cat", path], stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0 and "Permission denied" in done.stderr


# -- listening sockets ------------------------------------------------------

def unix_service(**listen):
    return conf.config(conf.service(
        {"path": "/", "respond": {"body": "own\n"}},
        listen=[{"address": "unix:@DIR@/sock", **listen}]))


@root
@pytest.mark.parametrize("as_number", [False, True])
def test_owner_of_unix_socket(start, as_number):
    """The file is given away before anybody can connect."""
    user, group = pwd.getpwnam("daemon"), grp.getgrnam("games")
    weir = start(unix_service(
        owner=str(user.pw_uid) if as_number else user.pw_name,
        group=str(group.gr_gid) if as_number else group.gr_name, mode=432))
    st = os.stat(weir.path("sock"))
    assert (st.st_uid, st.st_gid) == (user.pw_uid, group.gr_gid)
    assert stat.S_IMODE(st.st_mode) == 0o660
    assert weir.get("/").body == b"own\n"


@pytest.mark.parametrize("listen, message", [
    ({"owner": "no-such-user"}, 'there is no user "no-such-user"'),
    ({"group": "no-such-group"}, 'there is no group "no-such-group"'),
])
def test_unknown_owner(start, listen, message):
    """A name that nobody has is refused at load, with its place."""
    weir = start(unix_service(**listen), start=False)
    status, _, err = runner.run("-t", "-c", weir.conf)
    assert status == 2 and message in err, err
    assert re.search(r"weir\.conf:\d+:\d+: error: listen", err), err


def test_owner_of_tcp(start):
    """A TCP address has no file that could be given to anybody."""
    config = conf.config(conf.service({"path": "/", "respond": {}}))
    config["services"][0]["listen"][0]["owner"] = "root"
    weir = start(config, start=False)
    status, _, err = runner.run("-t", "-c", weir.conf)
    assert status == 2 and "owner and group are for Unix sockets" in err


def test_keepalive(start):
    """Accepted connections probe a silent client after the given time."""
    ss = "/usr/bin/ss" if os.path.exists("/usr/bin/ss") else "/bin/ss"
    if not os.path.exists(ss):
        pytest.skip("ss is not installed")
    config = conf.config(conf.service(
        {"path": "/", "respond": {"body": "own\n"}}))
    config["services"][0]["listen"][0]["keepalive"] = "90s"
    weir = start(config)
    with weir.client() as client:
        client.get("/")
        port = client.sock.getsockname()[1]
        text = subprocess.run(
            [ss, "-Htno", "dst", "127.0.0.1:%d" % port],
            stdout=subprocess.PIPE, text=True, timeout=10).stdout
    found = re.search(r"timer:\(keepalive,(?:(\d+)min)?(\d+)sec", text)
    assert found, text
    seconds = 60 * int(found.group(1) or 0) + int(found.group(2))
    assert 30 < seconds <= 90, text
