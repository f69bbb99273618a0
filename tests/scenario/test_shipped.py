"""The shipped files: all options of weir.conf, and dumps that load again."""
# SPDX-License-Identifier: BSD-2-Clause
import glob
import os
import re
import shutil

import pytest

from lib.weir import run
from test_examples import make_certificates, need_parts

pytestmark = pytest.mark.short

TOP = os.environ.get("WEIR_SRCDIR") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..")
SHIPPED = os.path.join(TOP, "etc", "weir.conf")
FILES = [SHIPPED, *sorted(glob.glob(os.path.join(TOP, "etc", "examples",
                                                 "*.conf")))]


def test_every_option_may_be_taken_in(tmp_path):
    """A comment `#name` is an option; all of them are valid together."""
    with open(SHIPPED) as f:
        text = f.read()
    whole, count = re.subn(r"(?m)^( *)#(?=[^ \n]|  )", r"\1 ", text)
    assert count > 40
    path = tmp_path / "weir.conf"
    path.write_text(whole)
    status, _, err = run("-t", "-c", path)
    assert status == 0, err
    assert ": warning: " not in err


# Of these weir.conf shows an example, as they have no default.
EXAMPLES = {"error_log", "memory_max", "servers", "path", "admin", "address", "host", "pid_file",
            "working_directory", "chroot", "trusted_proxies", "group", "site",
            "status", "body", "remove", "Server", "format", "rate",
            "burst", "concurrent", "drop_args", "from",
            "action", "bind"}


def values(dump):
    """Lines above the services, and where they are from."""
    return {indent + name: (value, origin) for indent, name, value, origin
            in re.findall(r"(?m)^(\t{0,3})(\w+) = (.*); # (.*)$",
                          dump.split("\nservices = (")[0])}


def test_every_option_shows_its_default(tmp_path):
    """What a comment shows is what holds without it."""
    with open(SHIPPED) as f:
        text = f.read()
    path = tmp_path / "weir.conf"
    path.write_text(text)
    before = values(run("-T", "-c", path)[1])
    path.write_text(re.sub(r"(?m)^( *)#(?=[^ \n]|  )", r"\1 ", text))
    count = 0
    for name, (value, origin) in values(run("-T", "-c", path)[1]).items():
        if name.strip() in EXAMPLES or origin == "default":
            continue
        assert name in before, name
        assert before[name][0] == value, name
        count += 1
    assert count > 50


def plain(dump):
    return re.sub(r"(?m) #.*$", "", dump)


@pytest.mark.parametrize("path", FILES, ids=os.path.basename)
def test_dump_loads_again(tmp_path, path):
    """To the same, with another origin."""
    with open(path) as f:
        text = f.read()
        need_parts(text)
        if make_certificates(text, tmp_path):
            path = shutil.copy(path, tmp_path)
    status, first, err = run("-T", "-c", path)
    assert status == 0, err
    again = tmp_path / "again.conf"
    again.write_text(first)
    status, second, err = run("-T", "-c", again)
    assert status == 0, err
    assert plain(first) == plain(second)
