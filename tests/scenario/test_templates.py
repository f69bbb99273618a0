"""Every variable of the templates says what it names."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import socket
import time

import pytest

from lib import conf, wait
from lib.client import Client

pytestmark = pytest.mark.short

DURATION = r"\d+(\.\d+)?(ms|s)?"
# variable, what it must be (a regular expression) for the request below
VARIABLES = [
    ("client.ip", r"127\.0\.0\.1"), ("client.port", r"%(client_port)s"),
    ("server.ip", r"127\.0\.0\.1"), ("server.port", r"%(server_port)s"),
    ("service.name", "web"), ("route.name", "logged"),
    ("route.match.1", "x"), ("connection.id", r".+"),
    ("connection.requests", "1"), ("request.method", "POST"),
    ("request.scheme", "http"), ("request.host", r"test\.example(:8)?"),
    ("request.path", "/v/x/echo"), ("request.query", r"a=1&b"),
    ("request.target", r"/v/x/echo\?a=1&b"), ("request.version", r".*1\.1"),
    ("request.line", r"POST /v/x/echo\?a=1&b HTTP/1\.1"),
    ("request.bytes", r"\d{2,}"), ("request.body_bytes", "4"),
    ("request.header.x-one", "header"), ("request.header.X-ONE", "header"),
    ("request.header.x-none", ""), ("request.arg.a", "1"),
    ("request.arg.none", ""), ("request.cookie.c", "cookie"),
    ("request.cookie.none", ""), ("response.status", "200"),
    ("response.bytes", r"\d{3,}"), ("response.body_bytes", r"\d{3,}"),
    ("response.header.content-type", "application/json"),
    ("response.header.none", ""), ("upstream.name", "up"),
    ("upstream.address", r"%(backend)s"), ("upstream.status", "200"),
    ("upstream.tries", "1"), ("upstream.reused", "(0|false|no)"),
    ("upstream.connect_time", DURATION),
    ("upstream.first_byte_time", DURATION), ("upstream.time", DURATION),
    ("upstream.header.content-type", "application/json"),
    ("time.iso8601", r"%(year)s-\d\d-\d\dT\d\d:\d\d:\d\d.*"),
    ("time.common", r"\d\d/[A-Z][a-z]{2}/%(year)s:\d\d:\d\d:\d\d [+-]\d{4}"),
    ("time.epoch", r"\d{10}"), ("time.msec", r"\d{10}\.?\d{3}"),
    ("duration", DURATION), ("error.reason", ""), ("error.phase", ""),
    ("custom.word", "mine"), ("custom.number", "42"), ("custom.yes", "true"),
    ("hostname", r"%(hostname)s"), ("pid", r"%(pid)s"),
]


@pytest.fixture(scope="module")
def seen(start_shared, origin):
    """The values of one request, and what they must be made of."""
    fmt = "\t".join("%s=${%s}" % (name, name) for name, _ in VARIABLES)
    weir = start_shared(conf.config(
        conf.service({"name": "logged", "path_regex": "^/v/([a-z])/",
                      "upstream": "up",
                      "accesslog": [{"path": "@DIR@/v.log",
                                     "format": fmt}]}),
        [conf.upstream("up", origin)],
        custom={"word": "mine", "number": 42, "yes": True}))
    with Client(weir.address) as client:
        response = client.request(
            "POST", "/v/x/echo?a=1&b", [("X-One", "header"),
                                        ("Cookie", "b=1; c=cookie")],
            b"body")
        assert response.status == 200
        facts = {"client_port": client.name[1], "pid": weir.worker_of(client),
                 "server_port": weir.address[1],
                 "backend": re.escape(origin.backend),
                 "hostname": re.escape(socket.gethostname()),
                 "year": time.strftime("%Y")}
    line = wait.until(lambda: os.path.exists(weir.path("v.log"))
                      and weir.read("v.log").partition("\n")[0])
    cells = re.split(r"\t|\\t|\\x09", line)
    return dict(cell.partition("=")[::2] for cell in cells), facts


@pytest.mark.parametrize("name,want", VARIABLES,
                         ids=[name for name, _ in VARIABLES])
def test_variable(seen, name, want):
    values, facts = seen
    got = values[name]
    if got == "-":
        got = ""
    assert re.fullmatch(want % facts, got), (name, got)


def test_defaults_and_dollars(start):
    weir = start(conf.config(conf.service({"respond": {
        "body": "${request.arg.a:-none}|${request.arg.b:-}|$$|"
                "${request.header.x:-a:-b}|${request.arg.c}"}})))
    assert weir.get("/?a=").text in ("none||$|a:-b|", "||$|a:-b|")
    assert weir.get("/?a=1&b=2&c=3", [("X", "y")]).text == "1|2|$|y|3"
