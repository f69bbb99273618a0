"""The control socket and weirctl: what is asked, what comes back, who may."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from lib import conf, proc, wait
from lib.weir import Weir, binary

pytestmark = pytest.mark.process


def respond(**top):
    return conf.config(
        conf.service({"path": "/", "respond": {"status": 200,
                                               "body": "here"}}),
        [], workers=2, connections_max=100, **top)


def weirctl():
    path = os.path.join(os.path.dirname(binary()), "weirctl")
    if not os.access(path, os.X_OK):
        pytest.skip("there is no weirctl beside weir")
    return path


class Control:
    """What a test does with the control socket of one weir."""

    def __init__(self, weir):
        self.weir = weir
        self.path = weir.path("control.sock")

    def raw(self, data, timeout=20, end=False):
        """Bytes in, all bytes until the end out."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.path)
            s.sendall(data)
            if end:
                s.shutdown(socket.SHUT_WR)
            out = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return out
                out += piece

    def ask(self, line):
        answer = self.raw(line.encode() + b"\n")
        assert answer.endswith(b"\n") and answer.count(b"\n") == 1
        return json.loads(answer)

    def run(self, *args, timeout=30, **kw):
        done = subprocess.run(
            [weirctl(), "--socket", self.path, *args], text=True,
            timeout=timeout, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def shared():
    """One instance for all that changes nothing."""
    weir = Weir(respond())
    weir.wait_log("serves with")  # one worker serves before all do
    yield Control(weir)
    weir.stop()
    weir.remove()


@pytest.fixture
def control(start):
    weir = start(respond())
    weir.wait_log("serves with")
    return Control(weir)


def ask_status(control):
    status, out, err = control.run("status", "--json")
    assert (status, err) == (0, "")
    return json.loads(out)["result"]


# -- the protocol ----------------------------------------------------------

@pytest.mark.short
def test_status(shared):
    """All processes with their numbers; text and JSON tell the same."""
    result = ask_status(shared)
    weir = shared.weir
    assert result["pid"] == weir.pid and result["state"] == "serving"
    assert result["workers"] == 2
    assert result["program_changed"] is False
    by_name = {p["process"]: p for p in result["processes"]}
    assert set(by_name) == {"master", "background", "worker 0", "worker 1"}
    assert {p["pid"] for p in result["processes"]} == {
        weir.pid, *weir.children()}
    assert all(p["state"] == "serving" for p in result["processes"])
    status, out, err = shared.run("status")
    assert (status, err) == (0, "")
    for name, p in by_name.items():
        assert re.search(r"^ +%s +%d +serving " % (name, p["pid"]), out,
                         re.M), out
    assert re.search(r"^state: +serving$", out, re.M)


def test_status_counts_connections(shared):
    with shared.weir.client() as one, shared.weir.client() as two:
        assert one.get("/").body == b"here"
        assert two.get("/").body == b"here"
        result = ask_status(shared)
        assert result["connections"] >= 2
        assert sum(p["connections"] for p in result["processes"]) == \
            result["connections"]
    wait.until(lambda: ask_status(shared)["connections"] == 0)


GARBAGE = [
    (b"\n", "empty"), (b"   \n", "empty"), (b"\0\n", "control character"),
    (b"status\0\n", "control character"), (b"\xff\xfe\n", "no command"),
    (b"status \"x\n", "quote"), (b"status now\n", "too many arguments"),
    (b"x" * 5000, "longer"), (b"x" * 2049 + b"\n", "longer"),
    (b"a " * 100 + b"\n", "words"), (b"GET / HTTP/1.1\r\n\r\n", "no command"),
    (b"STATUS\n", "no command"), (b"{\"command\":1}\n", "no command"),
]


@pytest.mark.parametrize("data,part", GARBAGE,
                         ids=[repr(g[0][:20]) for g in GARBAGE])
def test_garbage(shared, data, part):
    """An error as the answer, and the next one is served as before."""
    answer = json.loads(shared.raw(data))
    assert answer["ok"] is False and part in answer["error"]
    assert shared.ask("status")["ok"] is True


@pytest.mark.parametrize("data", [b"status\n", b"status\r\n", b"  status \n",
                                  b"status\nstatus\n"])
def test_line_ends(shared, data):
    answer = shared.raw(data)
    assert answer.count(b"\n") == 1 and json.loads(answer)["ok"] is True


def test_line_without_an_end(shared):
    assert json.loads(shared.raw(b"loglevel", end=True))["ok"] is True


def test_line_in_pieces(shared):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(shared.path)
        for byte in b"loglevel\n":
            s.sendall(bytes([byte]))
        assert json.loads(s.recv(65536))["ok"] is True


def test_silent_connections(shared):
    """They are bounded in number and time, and hinder nobody."""
    idle = []
    try:
        for _ in range(40):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20)
            s.connect(shared.path)
            idle.append(s)
        refused = json.loads(idle[-1].recv(65536))
        assert refused["ok"] is False and "too many" in refused["error"]
        late = json.loads(idle[0].recv(65536))
        assert late["ok"] is False and "in time" in late["error"]
    finally:
        for s in idle:
            s.close()
    wait.until(lambda: shared.ask("loglevel")["ok"])
    assert shared.weir.get("/").body == b"here"


def test_reader_that_takes_nothing(control):
    """A large answer waits for its reader; the master does not."""
    with socket.socket(socket.AF_UNIX) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        s.connect(control.path)
        s.sendall(b"config\n")
        for _ in range(20):
            assert control.ask("status")["ok"] is True
        assert control.weir.get("/").body == b"here"


def test_passed_on_to_the_background_process(shared):
    """What the master does not know, the background process answers."""
    answer = shared.ask("background commands")
    assert answer["ok"] is True
    assert isinstance(answer["result"]["commands"], list)
    answer = shared.ask("no-such-command x")
    assert answer == {"ok": False, "result": {}, "error":
                      'there is no command "no-such-command"'}


def test_background_process_dead(control):
    """Its commands are refused or wait for the next one; others work."""
    os.kill(control.weir.background(), signal.SIGKILL)

    def works():
        # What the dead one was given is closed without an answer.
        answer = control.raw(b"background commands\n")
        return answer and json.loads(answer)["ok"]

    wait.until(works)
    assert control.ask("status")["ok"] is True
    control.weir.expect_new_children()


def test_who_asked_is_logged(control):
    control.ask("loglevel info")
    control.ask("status")
    control.weir.wait_log(r'notice: control: "loglevel info" from uid %d, '
                          r'process %d' % (os.getuid(), os.getpid()))
    control.weir.wait_log(r'info: control: "status" from uid %d, '
                          r'process %d' % (os.getuid(), os.getpid()))


# -- commands --------------------------------------------------------------

def test_loglevel(control):
    """In all processes, also in those that are forked later."""
    assert control.run("loglevel")[1] == "log_level: notice\n"
    assert control.run("loglevel", "debug")[0] == 0
    victim = control.weir.workers()[0]
    os.kill(victim, signal.SIGKILL)
    control.weir.wait_log(r"debug: worker \d serves")
    control.weir.expect_new_children()
    assert control.run("loglevel", "error")[0] == 0
    control.weir.get("/", fields=[("Content-Length", "x")])
    status, out, err = control.run("loglevel", "loud")
    assert status == 1 and "loud" in err and "notice" in err


def test_reopen(start):
    weir = start(respond(error_log={"path": "@DIR@/error.log"}))
    control = Control(weir)
    os.rename(weir.path("error.log"), weir.path("error.log.1"))
    assert control.run("reopen") == (0, "", "")
    wait.until(lambda: os.path.exists(weir.path("error.log")))


@pytest.mark.short
def test_config(shared):
    """As weir -T prints it."""
    status, out, err = shared.run("config")
    assert (status, err) == (0, "")
    dumped = subprocess.run([binary(), "-c", shared.weir.conf, "-T"],
                            text=True, check=True, timeout=20,
                            stdout=subprocess.PIPE).stdout
    assert out == dumped


def test_reload(control):
    """It waits for the outcome and prints what changed."""
    weir = control.weir
    before = ask_status(control)
    weir.write("weir.conf", weir.text.replace("here", "there"))
    status, out, err = control.run("reload")
    assert (status, err) == (0, "")
    assert re.search(r"^generation: +%d$" % (before["generation"] + 1), out,
                     re.M)
    assert re.search(r"^changes:", out, re.M), out
    weir.expect_new_children()
    assert weir.get("/").body == b"there"
    after = ask_status(control)
    assert after["pid"] == before["pid"]
    assert any(g["generation"] == after["generation"] and
               g["state"] == "serving" for g in after["generations"])
    weir.expect_new_children()


def test_reload_refused(control):
    """Status 1 with every error on stderr; what served serves on."""
    weir = control.weir
    before = ask_status(control)
    weir.write("weir.conf", weir.text.replace("respond", "rspond")
               + "\nwrokers = 2;\n")
    status, out, err = control.run("reload")
    assert status == 1 and out == ""
    assert "weirctl: reload: refused" in err
    assert "rspond" in err and "wrokers" in err and "weir.conf:" in err
    answer = json.loads(control.run("--json", "reload", "--config-only")[1])
    assert answer["ok"] is False
    assert any("wrokers" in line for line in answer["result"]["messages"])
    assert weir.get("/").body == b"here"
    assert ask_status(control)["generation"] == before["generation"]
    assert control.run("reload", "--nonsense")[0] == 1


def end_successor(control, pid):
    """It is no child of ours, but of this session."""
    assert control.run("stop", "--now")[0] == 0
    wait.until(lambda: not proc.alive(pid), 15)


def test_upgrade(control):
    """It returns when the successor serves; the socket is the same file."""
    weir = control.weir
    before = os.stat(control.path).st_ino
    status, out, err = control.run("--json", "upgrade")
    assert (status, err) == (0, ""), (out, err, weir.log)
    pid = json.loads(out)["result"]["pid"]
    assert pid != weir.pid
    assert weir.get("/").body == b"here"
    wait.until(lambda: ask_status(control)["pid"] == pid)
    assert os.stat(control.path).st_ino == before
    assert weir.wait_exit() == 0
    assert weir.get("/").body == b"here"
    end_successor(control, pid)
    assert not os.path.exists(control.path)


def test_reload_upgrades_when_the_program_changed(start):
    """Another file at the program's path; --config-only keeps the old."""
    weir = start(respond(), start=False)
    control = Control(weir)
    program = weir.path("weir-program")
    shutil.copy(binary(), program)
    weir.prefix = ["/usr/bin/python3", "-c",
                   "import os, sys; os.execv(%r, [%r] + sys.argv[2:])"
                   % (program, program)]
    weir.start()
    shutil.copy(binary(), program + ".new")
    os.rename(program + ".new", program)
    assert ask_status(control)["program_changed"] is True
    assert control.run("reload", "--config-only")[0] == 0
    assert ask_status(control)["pid"] == weir.pid
    weir.expect_new_children()
    status, out, err = control.run("reload")
    assert (status, err) == (0, "")
    pid = int(re.search(r"^pid: +(\d+)$", out, re.M)[1])
    wait.until(lambda: ask_status(control)["pid"] == pid)
    assert weir.wait_exit() == 0
    assert ask_status(control)["program_changed"] is False
    end_successor(control, pid)


def test_upgrade_that_fails(control):
    """The configuration on disk is wrong: status 1, the old one serves."""
    weir = control.weir
    weir.write("weir.conf", "nonsense")
    status, out, err = control.run("upgrade")
    assert status == 1 and err.startswith("weirctl: upgrade: ")
    assert weir.get("/").body == b"here"
    assert ask_status(control)["pid"] == weir.pid
    weir.write("weir.conf", weir.text)
    assert control.run("reload")[0] == 0
    weir.expect_new_children()


def test_workers(control):
    """In force at once and in later reloads, until told otherwise."""
    weir = control.weir

    def serving(count):
        names = {p["process"] for p in ask_status(control)["processes"]
                 if p["state"] == "serving" and "worker" in p["process"]}
        return names == {"worker %d" % i for i in range(count)}

    assert control.run("workers", "3")[0] == 0
    wait.until(lambda: serving(3), 15)
    assert control.run("reload")[0] == 0
    wait.until(lambda: serving(3), 15)
    weir.write("weir.conf", weir.text + "\nwrokers = 2;\n")
    assert control.run("workers", "1")[0] == 1
    weir.write("weir.conf", weir.text)
    assert control.run("reload")[0] == 0
    wait.until(lambda: serving(3), 15)
    assert control.run("workers", "default")[0] == 0
    wait.until(lambda: serving(2), 15)
    for bad in ("0", "257", "-1", "many"):
        status, out, err = control.run("workers", "--", bad)
        assert status == 1 and bad in err
    assert weir.get("/").body == b"here"
    weir.expect_new_children()


def test_stop(control):
    """weirctl returns when all have ended."""
    weir = control.weir
    assert control.run("stop") == (0, "state: stopped\n", "")
    weir.wait_exit()
    assert weir.status == 0 and not weir.processes()
    assert not os.path.exists(control.path)
    assert control.run("status")[0] == 3


def test_stop_now(control):
    with control.weir.client() as client:
        assert client.get("/").status == 200
        assert control.run("stop", "--now")[0] == 0
        control.weir.wait_exit()
    assert control.weir.status == 0


def test_drain_is_not_disturbed(control):
    """status, and a second drain, while a client still holds it."""
    weir = control.weir
    with weir.client() as client:
        assert client.get("/").status == 200
        results = []
        first = threading.Thread(
            target=lambda: results.append(control.run("drain")))
        first.start()
        wait.until(lambda: ask_status(control)["state"] == "draining")
        status, out, err = control.run("drain")
        assert (status, out) == (0, "state: draining\n")
        assert not results
        last = client.get("/")
        assert last.status == 200
    first.join(20)
    assert results == [(0, "state: stopped\n", "")]
    weir.wait_exit()


def test_second_stop_ends_at_once(control):
    with control.weir.client() as client:
        assert client.get("/").status == 200
        waiting = threading.Thread(target=lambda: control.run("stop"))
        waiting.start()
        wait.until(lambda: ask_status(control)["state"] == "draining")
        assert control.run("stop")[0] == 0
        waiting.join(20)
    control.weir.wait_exit()


# -- text and JSON of each ----------------------------------------------------

RELOADED = {"generation": int, "changes": list, "messages": list}
STATUS = {"version": str, "state": str, "pid": int, "started": str,
          "uptime_s": int, "configuration": str, "program": str,
          "program_changed": bool, "upgrade": (str, type(None)),
          "generation": int, "workers": int, "user": (str, type(None)),
          "sandbox": str, "ktls": str, "event_loop": str, "log_level": str,
          "generations": list, "processes": list, "connections": int,
          "exchanges": int}
LISTS = {"generations": {"generation": int, "state": str, "since_s": int,
                         "workers": int},
         "processes": {"process": str, "pid": int, "state": str,
                       "uptime_s": int, "connections": int,
                       "exchanges": int}}
# What is asked; members of the result; a line of the text; the same asked
# wrong, and what is said to that.  Without a text nothing is to be said.
COMMANDS = [
    (["status"], STATUS, r"sandbox: +\S", ["now"], "too many arguments"),
    (["config"], {"text": str}, r"workers = 2; # ", ["x"], "too many"),
    (["loglevel"], {"log_level": str}, r"log_level: notice$", ["loud"],
     "debug is expected"),
    (["reopen"], {}, None, ["x"], "too many"),
    (["workers", "2"], RELOADED, r"generation: +\d+$", ["0"],
     "from 1 to 256"),
    (["reload"], RELOADED, r"generation: +\d+$", ["--nonsense"],
     "--config-only is"),
    (["upgrade"], {"upgraded": bool, "pid": int}, r"pid: +\d+$", ["x"],
     "too many"),
    (["drain"], {"state": str}, r"state: stopped$", ["x"], "too many"),
    (["stop"], {"state": str}, r"state: stopped$", ["later"], "--now is"),
]


def check_members(result, want):
    assert set(result) == set(want), result
    for name, kind in want.items():
        assert isinstance(result[name], kind), (name, result[name])
        for row in result[name] if name in LISTS else []:
            # The master belongs to no generation.
            assert set(row) - {"generation"} == set(LISTS[name]) - {
                "generation"}, row
            for member, of in LISTS[name].items():
                assert isinstance(row[member], of), (member, row)


def failed(control, command, words, why):
    """Status 1; the reason on stderr, or in the one line of JSON."""
    status, out, err = control.run(*command, *words)
    assert (status, out) == (1, ""), out
    assert err.startswith("weirctl: %s: " % command[0]) and why in err, err
    status, out, err = control.run("--json", *command, *words)
    assert (status, err, out.count("\n")) == (1, "", 1)
    answer = json.loads(out)
    assert set(answer) == {"ok", "error", "result"} and not answer["ok"]
    assert why in answer["error"] and isinstance(answer["result"], dict)


@pytest.mark.parametrize("command, members, text, wrong, why", COMMANDS,
                         ids=[row[0][0] for row in COMMANDS])
def test_text_and_json(start, command, members, text, wrong, why):
    """Each command, as text and as JSON, when it is done and when not; the
    members are those of the manual."""
    weir = start(respond())
    weir.wait_log("serves with")
    control = Control(weir)
    failed(control, command[:1], wrong, why)
    ends = command[0] in ("upgrade", "drain", "stop")
    outputs = []
    for options in (["--json"], []):
        status, out, err = control.run(*options, *command)
        assert (status, err) == (0, ""), (out, err)
        outputs.append(out)
        if ends:
            assert weir.wait_exit() == 0
            if command[0] == "upgrade":
                end_successor(control, int(re.search(r"pid\W+(\d+)", out)[1]))
            # Nobody there: nothing but the reason, and a status of its own.
            for more in ([], ["--json"]):
                status, out, err = control.run(*more, *command)
                assert (status, out) == (3, "") and control.path in err
            if options:
                weir.start()
                wait.until(lambda: weir.log.count("serves with") > 1)
        weir.expect_new_children()
    assert outputs[0].count("\n") == 1
    answer = json.loads(outputs[0])
    assert set(answer) == {"ok", "result"} and answer["ok"] is True
    check_members(answer["result"], members)
    assert re.search("^" + text, outputs[1], re.M) if text else \
        outputs[1] == "", outputs[1]


@pytest.mark.short
def test_members_are_documented():
    """Who reads the JSON finds each member in the manual."""
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                        "..", "man", "weirctl.8.in")
    with open(page) as f:
        named = set(re.findall(r"\bLi (\w+)", f.read()))
    for members in [row[1] for row in COMMANDS] + list(LISTS.values()):
        assert not set(members) - named, set(members) - named


# -- the socket file -------------------------------------------------------

def test_stale_socket_is_replaced(start):
    weir = start(respond())
    control = Control(weir)
    weir.kill()
    assert os.path.exists(control.path)
    weir.start()
    assert ask_status(control)["pid"] == weir.pid


def test_live_socket_is_refused(control, start):
    """A second instance with its path does not start, the first goes on."""
    text = conf.document(respond(control={"path": control.path}))
    other = start(text, start=False)
    other.start(ready=False)
    assert other.wait_exit() == 1
    assert "another instance answers there" in other.log
    assert ask_status(control)["pid"] == control.weir.pid


def test_missing_folder(start):
    weir = start(conf.document(respond(control={
        "path": "@DIR@/none/control.sock"})), start=False)
    weir.start(ready=False)
    assert weir.wait_exit() == 1
    assert re.search(r"control socket .*/none/control.sock: .*No such file",
                     weir.log)


def test_none(start):
    weir = start(respond(control={"path": ""}))
    assert not os.path.exists(weir.path("control.sock"))
    assert weir.get("/").body == b"here"


@pytest.mark.root
def test_mode_and_owner(start):
    nobody = pwd.getpwnam("nobody")
    weir = start(respond(control={
        "path": "@DIR@/control.sock", "mode": 432, "owner": "nobody"}))
    st = os.stat(weir.path("control.sock"))
    assert (st.st_mode & 0o7777, st.st_uid) == (0o660, nobody.pw_uid)


@pytest.mark.root
def test_others_are_kept_out(control):
    """0600 by default: another user is refused by the kernel."""
    nobody = pwd.getpwnam("nobody")
    assert os.stat(control.path).st_mode & 0o7777 == 0o600
    with open(weirctl(), "rb") as f:
        program = control.weir.write("weirctl", f.read())
    os.chmod(program, 0o755)
    done = subprocess.run([program, "-s", control.path, "stop"],
                          user=nobody.pw_uid, group=nobody.pw_gid,
                          extra_groups=[], cwd="/", text=True, timeout=20,
                          stderr=subprocess.PIPE)
    assert done.returncode == 1 and "Permission denied" in done.stderr
    assert proc.alive(control.weir.pid)


# -- weirctl itself --------------------------------------------------------

USAGE = [([], "a command is expected"), (["--nonsense"], "--nonsense"),
         (["--timeout", "soon", "status"], "soon"),
         (["--timeout=-1", "status"], "-1"), (["--socket"], "--socket"),
         (["x" * 3000], "too long")]


@pytest.mark.short
@pytest.mark.parametrize("args,part", USAGE)
def test_usage(args, part):
    done = subprocess.run([weirctl(), *args], text=True, timeout=20,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr and "--help" in done.stderr


@pytest.mark.short
def test_help_and_version(shared):
    for option in ("--help", "-h"):
        status, out, err = shared.run(option)
        assert (status, err) == (0, "")
        for word in ("--json", "--socket", "--timeout", "--version"):
            assert word in out
    assert re.match(r"weirctl \d+\.\d+", shared.run("--version")[1])
    status, out, err = shared.run("help")
    assert (status, err) == (0, "")
    for word in ("status", "stop", "drain", "reopen", "config", "loglevel",
                 "reload", "workers", "upgrade"):
        assert re.search(r"^ +%s " % word, out, re.M), out


@pytest.mark.short
def test_nobody_there(tmp_path):
    for path in (tmp_path / "none", tmp_path / "none" / "deeper"):
        done = subprocess.run([weirctl(), "-s", path, "status"], text=True,
                              timeout=20, stderr=subprocess.PIPE)
        assert done.returncode == 3 and str(path) in done.stderr


def test_timeout(tmp_path):
    """Somebody who accepts and says nothing."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(1)
        done = subprocess.run([weirctl(), "-s", path, "-t", "1", "status"],
                              text=True, timeout=20, stderr=subprocess.PIPE)
    assert done.returncode == 1 and "in time" in done.stderr


@pytest.mark.parametrize("answer,part", [
    (b"", "ended before"), (b"{\"ok\":true", "cut off"),
    (b"nonsense\n", "no sense"), (b"{\"result\":{}}\n", "no sense")])
def test_bad_answers(tmp_path, answer, part):
    path = str(tmp_path / "s")

    def serve(listener):
        with listener.accept()[0] as c:
            with c.makefile("rb") as question:
                question.readline()
            c.sendall(answer)

    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(1)
        server = threading.Thread(target=serve, args=(s,))
        server.start()
        done = subprocess.run([weirctl(), "-s", path, "status"], text=True,
                              timeout=20, stderr=subprocess.PIPE)
        server.join(10)
    assert done.returncode == 1 and part in done.stderr, done.stderr


def test_words_arrive_as_they_were(shared):
    """Spaces, quotes and backslashes in an argument."""
    status, out, err = shared.run('a "b\\ c', "d")
    assert status == 1
    assert err == 'weirctl: a "b\\ c: there is no command "a "b\\ c"\n'
