"""weirctl apikey: keys that are added, listed and removed."""
# SPDX-License-Identifier: BSD-2-Clause
import hashlib
import json
import os
import re
import subprocess
import time

import pytest

from lib import conf, wait
from lib.client import Client
from lib.weir import binary

pytestmark = pytest.mark.short


def start_apikey(*words):
    """Begin `weirctl apikey WORDS`."""
    program = os.path.join(os.path.dirname(binary()), "weirctl")
    return subprocess.Popen([program, "apikey", *map(str, words)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def apikey(*words, status=0):
    """What it prints, and what it says beside that."""
    process = start_apikey(*words)
    out, err = process.communicate(timeout=20)
    assert process.returncode == status, err
    return out, err


def add(path, identity, *more):
    return apikey("add", "--file", path, "--identity", identity,
                  *more)[0].strip()


def entries(path):
    out, _ = apikey("list", "--json", "--file", path)
    return json.loads(out)["result"]["keys"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys"


def test_add(path):
    """The key is printed, its hash is kept, for the owner alone."""
    out, err = apikey("add", "--file", path, "--identity", "al",
                      "--scopes", "a,b", "--expires=2027-01-31")
    assert re.fullmatch(r"weir_[A-Za-z0-9_-]{43}\n", out)
    assert "the only time" in err and out.strip() not in err
    key_hash = hashlib.sha256(out.strip().encode()).hexdigest()
    assert path.read_text() == (
        "al sha256:%s scopes=a,b expires=2027-01-31T00:00:00Z\n" % key_hash)
    assert path.stat().st_mode & 0o777 == 0o600
    assert out.strip() != add(path, "al")
    first, second = entries(path)
    assert first == {"identity": "al", "id": key_hash[:12], "scopes": "a,b",
                     "expires": "2027-01-31T00:00:00Z",
                     "expired": time.time() > 1801353600}
    assert second["expires"] == "never" and not second["expired"]
    assert os.listdir(path.parent) == ["keys"]


def test_times(path):
    for text, seconds in (("90d", 90 * 86400), ("1h", 3600)):
        before = int(time.time())
        add(path, "al", "--expires", text)
        stamp = re.findall(r"expires=(\S+)", path.read_text())[-1]
        found = time.mktime(time.strptime(
            stamp, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        assert before <= found - seconds <= time.time() + 1
    for text in ("soon", "2027-02-30", "0", "-1d", ""):
        _, err = apikey("add", "--file", path, "--identity", "al",
                        "--expires", text, status=1)
        assert "is no time" in err
    _, err = apikey("add", "--file", path, "--identity", "al",
                    "--expires", "3000000d", status=1)
    assert "is too late" in err
    assert len(entries(path)) == 2


def test_what_was_there_stays(path):
    """Comments, mode, and a last line without its end."""
    line = "old sha256:" + "0" * 64
    path.write_text("# mine\n\n" + line)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    add(path, "al")
    after = path.stat()
    assert path.read_text().startswith("# mine\n\n" + line + "\nal sha256:")
    assert after.st_ino != before.st_ino
    for what in ("st_mode", "st_uid", "st_gid"):
        assert getattr(after, what) == getattr(before, what)
    apikey("remove", "--file", path, "--identity", "al")
    assert path.read_text() == "# mine\n\n" + line + "\n"


@pytest.mark.parametrize("is_there", [True, False])
def test_link(path, tmp_path, is_there):
    """A symbolic link stays one."""
    path.symlink_to(tmp_path / "real")
    if is_there:
        (tmp_path / "real").write_text("")
    add(path, "al")
    assert path.is_symlink() and "al" in (tmp_path / "real").read_text()


def test_many_at_once(path):
    """No line is lost."""
    names = ["user%d" % i for i in range(30)]
    running = [start_apikey("add", "--file", path, "--identity", name)
               for name in names]
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert sorted(e["identity"] for e in entries(path)) == sorted(names)
    assert os.listdir(path.parent) == ["keys"]


def test_remove(path):
    keys = [add(path, name) for name in ("al", "bo", "al", "cy")]
    ids = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    assert apikey("remove", "--file", path, "--id",
                  ids[1][:12])[0] == "removed: 1\n"
    out, _ = apikey("remove", "--json", "--file", path, "--identity", "al")
    assert json.loads(out) == {"ok": True, "result": {"removed": 2}}
    assert [e["identity"] for e in entries(path)] == ["cy"]
    before = path.read_text()
    for words in (["--identity", "al"], ["--id", ids[1]],
                  ["--identity", "al", "--id", ids[3]]):
        _, err = apikey("remove", "--file", path, *words, status=1)
        assert "has no such key" in err
    assert path.read_text() == before


@pytest.mark.parametrize("words,status,error", [
    ([], 2, "add, list or remove is expected"),
    (["grant"], 2, 'expected, not "grant"'),
    (["add"], 2, "add needs --identity"),
    (["add", "--identity"], 2, 'missing behind "--identity"'),
    (["add", "--identity", "a", "b"], 2, 'what is "b"'),
    (["add", "--identity", "a", "--owner", "b"], 2, 'what is "--owner"'),
    (["add", "--identity", "a b"], 1, "--identity: a name"),
    (["add", "--identity", "#a"], 1, "--identity: a name"),
    (["add", "--identity", ""], 1, "--identity: a name"),
    (["add", "--identity", "a", "--scopes", "b,,c"], 1, "--scopes: names"),
    (["add", "--identity", "a", "--scopes", ""], 1, "--scopes: names"),
    (["remove"], 2, "remove needs --identity or --id"),
    (["remove", "--id", "0011223"], 1, "at least 8 digits"),
    (["remove", "--identity", "a"], 1, "opening "),
    (["list"], 1, "No such file"),
])
def test_mistakes(path, words, status, error):
    _, err = apikey("--file", path, *words, status=status)
    assert error in err
    assert not path.exists()


def test_broken_file(path):
    """Who adds to it would not be let in: so it says where."""
    path.write_text("# keys\nal sha256:12\n")
    _, err = apikey("add", "--file", path, "--identity", "al", status=1)
    assert "keys:2:4: a key's hash is sha256:" in err
    assert path.read_text() == "# keys\nal sha256:12\n"
    out, _ = apikey("add", "--json", "--file", path, "--identity", "al",
                    status=1)
    assert "keys:2:4" in json.loads(out)["error"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any folder")
def test_folder_that_cannot_be_synced(path):
    """The key is in force, and so it is shown."""
    path.parent.chmod(0o300)
    try:
        out, err = apikey("add", "--file", path, "--identity", "al")
    finally:
        path.parent.chmod(0o700)
    assert "warning: syncing the folder" in err
    assert entries(path)[0]["id"] == hashlib.sha256(
        out.strip().encode()).hexdigest()[:12]


def test_full_disk(path):
    """What cannot be written leaves the file as it was."""
    path.write_text("")
    program = os.path.join(os.path.dirname(binary()), "weirctl")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$0" apikey add '
         '--file "$1" --identity al', program, path], timeout=20,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "writing" in done.stderr
    assert done.stdout == ""
    assert path.read_text() == "" and os.listdir(path.parent) == ["keys"]


def test_running_instance(start):
    """A key is good soon after it was made, and refused after it went."""
    weir = start(conf.config(conf.service(
        {"path": "/", "respond": {"body": "${auth.identity}"},
         "auth": {"api_key": {"header": "X-API-Key",
                              "file": "@DIR@/keys"}}})),
        files={"keys": ""})
    path = weir.path("keys")
    key = add(path, "al", "--scopes", "a")
    with Client(weir.address) as client:
        def status():
            return client.get("/", [("X-API-Key", key)]).status
        wait.until(lambda: status() == 200)
        assert client.get("/", [("X-API-Key", key)]).body == b"al"
        apikey("remove", "--file", path, "--identity", "al")
        wait.until(lambda: status() == 401)
    assert key not in weir.log
