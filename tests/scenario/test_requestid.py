"""Module requestid: a name for each request, and its place in a trace."""
# SPDX-License-Identifier: BSD-2-Clause
import json
import re

import pytest

from lib import conf, wait
from lib.client import once
from lib.origin import Echo
from lib.weir import run

pytestmark = pytest.mark.short

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-"
                   r"[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
HEX = re.compile(r"[0-9a-f]{32}\Z")
TRACE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])\Z")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    def at(path, **requestid):
        return {"path": path, "upstream": "up", "requestid": requestid}
    return start_shared(conf.config(
        [conf.service(
            {"path": "/", "upstream": "up"},
            at("/hex", format="hex"),
            at("/any", accept="always", traceparent="always"),
            at("/quiet", response=False, traceparent="off"),
            at("/other", field="X-Correlation-Id", sampled=0),
            at("/none", enabled=False),
            {"path": "/own", "respond": {"body": "${request.id}"}},
            name="web", requestid={}),
         conf.service({"path": "/", "upstream": "up"}, name="behind",
                      requestid={}, trusted_proxies=["127.0.0.1"]),
         conf.service({"path": "/", "upstream": "up"},
                      {"path": "/route", "upstream": "up",
                       "requestid": {"accept": "always",
                                     "traceparent": "always"}},
                      name="routes")],
        [conf.upstream("up", origin)],
        error_log={"level": "info"},
        http={"accesslog": [
            {"path": "@DIR@/json", "format": "json"},
            {"path": "@DIR@/log", "format": "${request.id:-none} "
             "${trace.id:-none} ${response.status}"}]}))


def test_made_and_told(weir):
    """The backend, the client and the logs have the same name."""
    seen = set()
    for _ in range(3):
        response = weir.get("/")
        name = response.fields.one("x-request-id")
        assert UUID7.match(name)
        echo = Echo(response)
        assert echo.fields.all("x-request-id") == [name]
        trace = TRACE.match(echo.fields.one("traceparent"))
        assert trace and trace[3] == "01"
        wait.until(lambda: "%s %s 200\n" % (name, trace[1])
                   in weir.read("log"))
        line = wait.until(lambda: next(
            (l for l in weir.read("json").splitlines() if name in l), None))
        assert json.loads(line)["request_id"] == name
        assert json.loads(line)["trace_id"] == trace[1]
        seen.add(name)
        seen.add(trace[1])
    assert len(seen) == 6


def test_hex(weir):
    assert HEX.match(weir.get("/hex").fields.one("x-request-id"))


def test_clients_are_not_believed(weir):
    """What an untrusted peer sends is replaced, with its tracestate."""
    echo = Echo(weir.get("/", [("X-Request-Id", "mine"),
                               ("traceparent", PARENT),
                               ("tracestate", "a=b"),
                               ("Connection", "X-Request-Id")]))
    assert UUID7.match(echo.fields.one("x-request-id"))
    assert TRACE.match(echo.fields.one("traceparent"))[1] not in PARENT
    assert "tracestate" not in echo.fields


@pytest.mark.parametrize("where,target", [
    (0, "/any"), (1, "/"), (2, "/route")])
def test_peers_that_are_believed(weir, where, target):
    response = once(weir.addresses[where], target=target, fields=[
        ("X-Request-Id", "Their.name-1"), ("traceparent", PARENT),
        ("tracestate", "a=b")])
    echo = Echo(response)
    assert response.fields.one("x-request-id") == "Their.name-1"
    assert echo.fields.one("x-request-id") == "Their.name-1"
    trace = TRACE.match(echo.fields.one("traceparent"))
    assert trace[1] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert trace[2] != "00f067aa0ba902b7" and trace[3] == "01"
    assert echo.fields.one("tracestate") == "a=b"


@pytest.mark.parametrize("fields", [
    [("X-Request-Id", "a b")], [("X-Request-Id", 'a"b')],
    [("X-Request-Id", "x" * 129)], [("X-Request-Id", "")],
    [("X-Request-Id", "a"), ("X-Request-Id", "b")], []])
def test_what_is_no_name_is_replaced(weir, fields):
    """Even of a trusted peer."""
    response = once(weir.addresses[1], fields=fields)
    assert UUID7.match(response.fields.one("x-request-id"))
    assert len(Echo(response).fields.all("x-request-id")) == 1


def test_own_answers_and_failures(weir):
    """An error page, an unread request and an error line have it too."""
    response = weir.get("/own")
    assert response.text == response.fields.one("x-request-id")
    with weir.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n")
        response = client.response()
    assert response.status == 400
    name = response.fields.one("x-request-id")
    assert UUID7.match(name)
    weir.wait_log(" id %s: answering 400" % name)


def test_switches(weir):
    response = weir.get("/quiet", [("traceparent", "odd")])
    assert "x-request-id" not in response.fields
    assert UUID7.match(Echo(response).fields.one("x-request-id"))
    response = weir.get("/other")
    echo = Echo(response)
    assert UUID7.match(echo.fields.one("x-correlation-id"))
    assert "x-request-id" not in echo.fields
    response = weir.get("/none", [("X-Request-Id", "mine")])
    assert Echo(response).fields.all("x-request-id") == ["mine"]
    assert "x-request-id" not in response.fields


def test_in_one_route_only(weir):
    """Without it in the service, a route makes the name."""
    response = once(weir.addresses[2], target="/route")
    assert UUID7.match(response.fields.one("x-request-id"))
    assert "x-request-id" not in once(weir.addresses[2]).fields


def test_counters(weir):
    metrics = weir.metrics()
    assert metrics.sum("weir_requestid_made_total") > 5
    assert metrics.sum("weir_requestid_taken_total") >= 1
    assert metrics.sum("weir_requestid_refused_total") >= 3
    assert metrics.sum("weir_requestid_traces_total",
                       trace="continued") >= 1
    assert metrics.sum("weir_requestid_traces_total", trace="started") > 5


@pytest.mark.parametrize("requestid,error", [
    ({"field": "Host"}, "`Host` is no field for an id"),
    ({"field": "a b"}, "a b"),
    ({"format": "uuid4"}, "uuid7"),
    ({"sampled": 101}, "0 to 100"),
    ({"trust": "always"}, "unknown"),
])
def test_bad_options(tmp_path, requestid, error):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        {"path": "/", "respond": {"body": "ok"}}, requestid=requestid))))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and error in err
