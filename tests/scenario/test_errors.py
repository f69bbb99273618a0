"""A failed request says what failed: page, Proxy-Status, log, counter."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re

import pytest

from lib import conf, wait
from lib.client import Client
from lib.origin import Blackhole, Refused

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def backends():
    made = {"refused": Refused(), "hole": Blackhole()}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture(scope="module")
def weir(start_shared, origin, backends):
    def to(path, upstream="up", **more):
        return {"path": path, "upstream": upstream, **more}
    log = [{"path": "@DIR@/reasons.log",
            "format": "${request.path} ${response.status} ${error.reason} "
                      "${error.phase:--}"}]
    page = [
        {"status": 404, "body": "<h1>${response.status} ${request.host}</h1>"},
        {"status": [502, 504], "file": "@DIR@/gone.html"},
        {"status": 503, "body": "{\"status\": ${response.status}}",
         "content_type": "application/json"}]
    routes = [to("/refused", "refused"), to("/hole", "hole"),
              to("/name", "name"), to("/first", "first"),
              to("/up"), to("/between", "between"),
              to("/no-route", "no-route")]
    return start_shared(
        conf.config(
            [conf.service(*routes, name="plain", accesslog=log),
             conf.service(*routes, name="status", proxy_status=True),
             conf.service(*routes, name="pages", error_pages=page),
             conf.service(to("/", "refused", error_pages=[
                 {"status": 502, "body": "route's own"}]), name="own",
                 error_pages=[{"status": 502, "body": "service's"}])],
            [conf.upstream("up", origin, retries=0),
             conf.upstream("refused", backends["refused"], retries=0),
             conf.upstream("hole", backends["hole"], retries=0,
                           timeouts={"connect": "200ms"}),
             conf.upstream("name", "no-such-host.invalid:80", retries=0),
             conf.upstream("no-route", "[::3]:79", retries=0,
                           timeouts={"connect": "300ms"}),
             conf.upstream("first", origin, retries=0,
                           timeouts={"first_byte": "200ms"}),
             conf.upstream("between", origin, retries=0,
                           timeouts={"between_bytes": "200ms"})]),
        files={"gone.html": "<h1>Back soon ${response.status}</h1>"})


def answers(origin):
    """path, status, reason, Proxy-Status error (RFC 9209)."""
    reset = origin.script(lambda e: e.reset() or False)
    bad = origin.raw(b"nonsense\r\n\r\n", then="gone")
    large = origin.raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40000 + b"\r\n\r\n",
                       then="gone")
    silent = origin.raw(b"", then="gone")
    return [
        ("/refused", 502, "connect_refused", "connection_refused"),
        ("/hole", 504, "connect_timeout", "connection_timeout"),
        ("/name", 502, "no_backend", "destination_unavailable|dns_error"),
        ("/up" + reset.path, 502, "backend_reset", "connection_terminated"),
        ("/up" + bad.path, 502, "backend_bad_response",
         "http_protocol_error"),
        ("/up" + large.path, 502, "backend_header_too_large",
         "http_response_header_section_size"),
        ("/first" + silent.path, 504, "backend_first_byte_timeout",
         "http_response_timeout"),
        ("/none", 404, "no_route", "destination_not_found"),
    ]


def test_plain_answers(weir, origin):
    """A small page, no cached copy, no word about software or addresses."""
    for path, status, _, _ in answers(origin):
        response = weir.get(path)
        assert response.status == status, path
        assert response.framing == "length"
        assert str(status) in response.text
        assert len(response.fields.all("date")) == 1
        assert "content-type" in response.fields
        assert "proxy-status" not in response.fields
        assert origin.backend not in response.text


def test_log_names_the_reason(weir, origin):
    rows = answers(origin)
    for path, status, reason, _ in rows:
        weir.get(path)

    def line(path):
        return re.search(r"(?m)^%s (\d+) (\S+) (\S+)$" % re.escape(path),
                         weir.read("reasons.log"))
    for path, status, reason, _ in rows:
        match = wait.until(lambda: line(path), 5, what=path)
        assert (int(match[1]), match[2]) == (status, reason), path


def test_proxy_status(weir, origin):
    """RFC 9209: weir's name, then error=..."""
    with Client(weir.addresses[1]) as client:
        for path, status, _, error in answers(origin):
            response = client.get(path)
            assert response.status == status
            value = response.fields.one("proxy-status")
            assert re.match(r'("[^"]+"|[A-Za-z*][!#$%&\'*+.^_`|~:/0-9A-Za-z-]*)'
                            r"\s*;", value), value
            assert re.search(r"error=(%s)(;|$)" % error, value), (path, value)
            if "close" in response.fields.tokens("connection"):
                client.close()
                client.__init__(weir.addresses[1])
        script = origin.script(lambda e: e.reply(502, b"its own"))
        response = client.get("/up" + script.path)
        assert "proxy-status" not in response.fields


def test_error_pages(weir, origin):
    """Per status, from a template or a file; others keep the plain one."""
    address = weir.addresses[2]
    with Client(address) as client:
        response = client.get("/none", host="www.example.com")
        assert response.status == 404
        assert response.text == "<h1>404 www.example.com</h1>"
        assert response.fields.one("content-type") == (
            "text/html; charset=utf-8")
    with Client(address) as client:
        response = client.get("/refused")
        assert response.status == 502
        assert response.text == "<h1>Back soon ${response.status}</h1>"
    with Client(address) as client:
        head = client.request("HEAD", "/refused")
        assert head.status == 502 and head.body == b""
        assert head.fields.one("content-length") == str(
            len("<h1>Back soon ${response.status}</h1>"))
    script = origin.script(lambda e: e.reply(404, b"the backend's"))
    with Client(address) as client:
        response = client.get("/up" + script.path)
        assert response.text == "the backend's"


def test_most_specific_page_wins(weir):
    with Client(weir.addresses[3]) as client:
        assert client.get("/").text == "route's own"


def test_pages_escape_what_clients_send(weir):
    """A Host with markup never gets that far; the page has no script."""
    with Client(weir.addresses[2]) as client:
        response = client.get("/none", host="a.test'x")
        assert "<script" not in response.text


def test_backend_without_a_route(weir):
    """pingora 195: an address that nothing leads to."""
    assert weir.get("/no-route").status in (502, 504)


def test_keep_alive_survives_backend_errors(weir):
    with Client(weir.address) as client:
        response = client.get("/refused")
        if "close" not in response.fields.tokens("connection"):
            assert client.get("/none").status == 404
            assert client.get("/refused").status == 502


@pytest.mark.parametrize("how", ["1.0", "1.1", "HEAD"])
def test_errors_are_framed_for_their_reader(weir, how):
    with Client(weir.address) as client:
        response = client.request("HEAD" if how == "HEAD" else "GET",
                                  "/refused",
                                  version="1.0" if how == "1.0" else "1.1")
        assert response.status == 502
        if how == "1.0":
            assert client.closed()


def test_counted_by_reason(weir, origin):
    """The metric has the reason as a label."""
    before = weir.metrics()
    for _ in range(3):
        weir.get("/refused")
    after = weir.metrics()

    def count(metrics):
        return sum(value for name in metrics.samples
                   for labels, value in metrics.samples[name]
                   if "connect_refused" in labels.values())
    assert count(after) - count(before) == 3


def test_error_log_says_why(start, backends):
    """One line: which side, in which phase, why, after how long."""
    weir = start(conf.proxy(backends["refused"].backend,
                            up={"retries": 0}))
    weir.get("/x")
    line = weir.wait_log(r"(?m)^.*refused.*$")[0]
    assert backends["refused"].backend in line


def test_error_log_is_bounded(start, backends):
    """A thousand of one kind are some lines and a count of the rest."""
    weir = start(conf.proxy(backends["refused"].backend,
                            up={"retries": 0}))
    with Client(weir.address) as client:
        for _ in range(1500):
            client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            response = client.response()
            assert response.status == 502
            if "close" in response.fields.tokens("connection"):
                client.close()
                client.__init__(weir.address)

    def counted():
        weir.get("/x")
        return re.search("(?i)suppressed|not shown|more like", weir.log)
    wait.until(counted, step=0.05, what="a count of the rest")
    assert weir.log.count("refused") < 700, "no rate limit"


def test_error_log_for_journald(start, origin):
    """<N> before each line where stderr is the journal."""
    weir = start(conf.proxy(origin), "--log-level", "info", start=False,
                 files={"stderr": ""})
    found = os.stat(weir.path("stderr"))
    weir.env = {"JOURNAL_STREAM": "%d:%d" % (found.st_dev, found.st_ino)}
    weir.start()
    weir.stop()
    lines = weir.log.splitlines()
    assert lines
    assert all(re.match("<[0-7]>", line) for line in lines), weir.log


def test_peer_bytes_are_escaped_in_the_error_log(start, origin):
    """No client writes a line of its own."""
    weir = start(conf.proxy(origin), "--log-level", "debug")
    with Client(weir.address) as client:
        client.send(b"GET /\x1b[31m\xff HTTP/1.1\r\nHost: a\x07\r\n\r\n")
        assert client.response().status == 400
    weir.get("/hello")
    weir.stop()
    with open(weir.path("stderr"), "rb") as f:
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", f.read())
