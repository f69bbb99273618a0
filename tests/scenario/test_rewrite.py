"""Module rewrite: what backends are asked for, and redirects."""
# SPDX-License-Identifier: BSD-2-Clause
import pytest

from lib import conf
from lib.origin import Echo
from lib.weir import run

pytestmark = pytest.mark.short

RULES = {
    "prefix": [{"prefix": "/prefix", "replace": "/new"}],
    "strip": [{"prefix": "/strip", "replace": ""}],
    "slash": [{"prefix": "/slash", "replace": "/"}],
    "regex": [{"regex": "^/regex/([a-z]+)/([0-9]+)$",
               "replace": "/${rewrite.2}/${rewrite.1}"}],
    "part": [{"regex": "-old-", "replace": "-new-"}],
    "q": [{"regex": "^/q/(.*)$", "replace": "/find?term=${rewrite.1}"}],
    "query": [{"query": "host=${request.host}"}],
    "noquery": [{"query": ""}],
    "drop": [{"drop_args": ["b", "utm_*"]}],
    "set": [{"set_args": {"a": "x y", "ip": "${client.ip}"}}],
    "chain": [{"prefix": "/chain", "replace": "/one"},
              {"prefix": "/one", "replace": "/two", "last": True},
              {"prefix": "/two", "replace": "/three"}],
    "moved": [{"prefix": "/moved", "replace": "",
               "redirect": {"status": 301}}],
    "away": [{"regex": "^/away/(.*)$", "redirect": {
        "location": "https://example.com/${rewrite.1}?${request.query}",
        "status": 308}}],
    "dots": [{"regex": "^/dots/(.*)$",
              "replace": "/${request.header.x-path}"}],
    "steps": [{"regex": "^/steps/(a+)+$", "replace": "/"}],
    "mine": [{"prefix": "/mine", "replace": "/yours"}],
}


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    routes = [{"path": "/" + name, "upstream": "up", "rewrite": rules}
              for name, rules in RULES.items()]
    routes.append({"path": "/own", "respond": {"body": "${request.path}"},
                   "rewrite": [{"prefix": "/own", "replace": "/theirs"}]})
    return start_shared(conf.config(
        conf.service(*routes, {"path": "/", "upstream": "up"}),
        [conf.upstream("up", origin)]))


@pytest.mark.parametrize("target,want", [
    ("/prefix", "/new"), ("/prefix/a/b?c=d", "/new/a/b?c=d"),
    ("/prefixes", "/prefixes"),
    ("/pref%69x/%41%2f", "/new/A%2f"),
    ("/strip", "/"), ("/strip/a", "/a"), ("/strip/", "/"),
    ("/slash", "/"), ("/slash/a?b", "/a?b"),
    ("/regex/abc/17?x", "/17/abc?x"), ("/regex/abc", "/regex/abc"),
    ("/part/a-old-b", "/part/a-new-b"),
    ("/q/shoes?old=1", "/find?term=shoes"),
    ("/query?a=b", "/query?host=www.test"),
    ("/noquery?a=b", "/noquery"),
    ("/drop?a=1&b=2&utm_x=3&%62=4&c", "/drop?a=1&c"),
    ("/drop?b=2", "/drop"), ("/drop?", "/drop?"), ("/drop", "/drop"),
    ("/set?a=1&b=2&a=3", "/set?b=2&a=x%20y&ip=127.0.0.1"),
    ("/set", "/set?a=x%20y&ip=127.0.0.1"),
    ("/chain/x", "/two/x"),
    ("/mine", "/yours"),
    ("/other?q", "/other?q"),
])
def test_backends_are_asked_for(weir, target, want):
    echo = Echo(weir.get(target, host="www.test"))
    assert echo.target == want


def test_own_answers(weir):
    assert weir.get("/own/a").text == "/theirs/a"


@pytest.mark.parametrize("target,status,location", [
    ("/moved/a?b=c", 301, "/a?b=c"),
    ("/moved", 301, "/"),
    ("/moved//evil.example/x", 301, "/evil.example/x"),
    ("/away/a/b?c", 308, "https://example.com/a/b?c"),
])
def test_redirects(weir, target, status, location):
    response = weir.get(target)
    assert response.status == status
    assert response.fields.one("location") == location


@pytest.mark.parametrize("path", [
    "../../etc/passwd", "a b", "a#b", "%zz", "%2e%2e/x", "a\tb"])
def test_what_is_no_path_is_refused(weir, path):
    """Nothing that a client may not send is made for a backend."""
    assert weir.get("/dots/x", [("X-Path", path)]).status == 400
    assert Echo(weir.get("/dots/x", [("X-Path", "fine")])).target == "/fine"


def test_match_limit(weir):
    """A pattern that runs away costs the request, and no more."""
    before = weir.metrics().sum("weir_rewrite_failed_total")
    assert weir.get("/steps/" + "a" * 40 + "!").status == 400
    assert weir.metrics().sum("weir_rewrite_failed_total") == before + 1


def test_counters(weir):
    def count(name):
        return weir.metrics().sum("weir_rewrite_%s_total" % name)
    before = count("rewritten"), count("redirected")
    weir.get("/mine")
    weir.get("/moved")
    weir.get("/other")
    assert (count("rewritten"), count("redirected")) == (
        before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("rule,error", [
    ({}, "the rule does nothing"),
    ({"prefix": "/a"}, "the rule does nothing"),
    ({"prefix": "a", "replace": "/b"}, "prefix must begin with /"),
    ({"prefix": "/a", "regex": "b", "replace": "/c"}, "not both"),
    ({"replace": "/b"}, "replace needs a prefix or a regex"),
    ({"regex": "(", "replace": "/b"}, "regex"),
    ({"regex": "(a)", "replace": "/${rewrite.2}"}, "${rewrite.2}"),
    ({"prefix": "/a", "replace": "/${rewrite.1}"}, "${rewrite.1}"),
    ({"prefix": "/a", "redirect": {"status": 304}}, "none of 301"),
])
def test_bad_rules(tmp_path, rule, error):
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        {"path": "/", "respond": {"body": "ok"}}, rewrite=[rule]))))
    status, _, err = run("-t", "-c", path)
    assert status == 2 and error in err
