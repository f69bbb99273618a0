"""A module from outside the tree serves as those of the tree do."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf
from lib import weir as runner
from lib.client import once

pytestmark = pytest.mark.short


@pytest.fixture(scope="module", autouse=True)
def built_in():
    """Only a build with --with-module=contrib/example-module has it."""
    _, out, err = runner.run("-V")
    if "greeting" not in out + err:
        pytest.skip("built without contrib/example-module")


def test_field_of_the_module(start, origin):
    weir = start(conf.proxy(
        origin, greeting={"text": "hello ${request.method}"}))
    assert once(weir.address).fields.get("X-Greeting") == "hello GET"


def test_options_are_inherited_and_overridden(start, origin):
    respond = {"status": 200, "body": "ok"}
    weir = start(conf.config(conf.service(
        {"path": "/own", "respond": respond, "greeting": {"text": "own"}},
        {"path": "/", "respond": respond},
        greeting={"text": "outer"})))
    assert once(weir.address, target="/own").fields.get("X-Greeting") == "own"
    assert once(weir.address, target="/").fields.get("X-Greeting") == "outer"


def test_unknown_option_is_refused(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        {"path": "/", "respond": {"body": "ok"}}, greeting={"txet": "x"}))))
    status, _, err = runner.run("-t", "-c", path)
    assert status == 2
    assert "txet" in err and "text" in err
