"""Every example in etc/ does what its own curl lines say."""
# SPDX-License-Identifier: BSD-2-Clause
import glob
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from conftest import need
from lib import conf
from lib.origin import Origin
from lib.weir import Weir, run

pytestmark = pytest.mark.short

TOP = os.environ.get("WEIR_SRCDIR") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLES = sorted(glob.glob(os.path.join(TOP, "etc", "examples", "*.conf")))
EXAMPLES += glob.glob(os.path.join(TOP, "etc", "weir.conf"))
PORT = re.compile(r"(?<=:)(8\d\d\d|9\d\d\d|3\d\d\d)\b")
MAKER = "contrib/selfsigned.sh"
LINE = re.compile(r"^\s*#\s+([$>]) (.*)$", re.M)


def ids(path):
    return os.path.basename(path)


def test_there_are_some():
    if not os.path.isdir(os.path.join(TOP, "etc", "examples")):
        pytest.skip("not in this tree")
    assert EXAMPLES


def need_parts(text):
    """Skip an example of something that this weir was built without."""
    if "h2c = true" in text and "no HTTP/2" in "".join(run("-V")[1:]):
        pytest.skip("this weir has no HTTP/2")


def make_certificates(text, folder):
    """Run the lines that make certificates; False if there are none."""
    found = [rest for kind, rest in LINE.findall(text)
             if rest.startswith(MAKER)]
    for command in found:
        need("openssl")
        subprocess.run(os.path.join(TOP, command), shell=True, cwd=folder,
                       check=True, timeout=30, stdout=subprocess.DEVNULL)
    return bool(found)


@pytest.mark.parametrize("path", EXAMPLES, ids=ids)
def test_example_is_valid(path):
    with tempfile.TemporaryDirectory() as folder:
        with open(path) as f:
            text = f.read()
        need_parts(text)
        if make_certificates(text, folder):
            path = shutil.copy(path, folder)
        status, _, err = run("-t", "-c", path, cwd=os.path.dirname(path))
    assert status == 0, err
    assert ": warning: " not in err


def mapped(text):
    """The text with every port exchanged for a free one."""
    ports = {}

    def free(match):
        return ports.setdefault(match[1], str(conf.free_port()))
    return PORT.sub(free, text), ports


@pytest.mark.parametrize("path", EXAMPLES, ids=ids)
def test_example_works(path):
    """Its comments have lines `$ curl ...` and `> what it prints`."""
    need("curl")
    with open(path) as f:
        text, ports = mapped(f.read())
    need_parts(text)
    # Root's instances would meet at the default one.
    text += '\npid_file = "@DIR@/weir.pid";\n'
    steps = []
    for kind, rest in LINE.findall(text):
        if kind == "$" and rest.startswith(MAKER):
            continue
        if kind == "$":
            steps.append((rest, []))
        else:
            steps[-1][1].append(rest.strip())
    assert steps, "no curl line in " + path
    origins = [Origin(port=int(ports[old])) for old in sorted(ports)
               if old.startswith("3")]
    weir = Weir(text, admin=False, start=False)
    weir.addresses = [
        conf.split(a) for a in re.findall(
            r'(?m)^[^#\n]*listen[^#\n]*address\s*=\s*"([^"]+)"', text)]
    try:
        made = make_certificates(text, weir.dir)
        for name in re.findall(r'file = "([^"/]+\.(?:keys|users))"', text):
            shutil.copy(os.path.join(os.path.dirname(path), name), weir.dir)
        weir.start()
        with tempfile.TemporaryDirectory() as folder:
            if made:
                folder = weir.dir
            for command, wanted in steps:
                assert command.startswith("curl "), command
                assert wanted, "nothing to compare with: " + command
                done = subprocess.run(
                    command.replace("curl ", "curl -sS --max-time 10 ", 1),
                    shell=True, cwd=folder, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True, timeout=30)
                for part in wanted:
                    assert part in done.stdout, (command, part, done.stdout)
        weir.stop()
    finally:
        for one in origins:
            one.close()
        if weir.process and weir.process.poll() is None:
            weir.kill()
        weir.remove()
