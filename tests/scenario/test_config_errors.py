"""A wrong configuration is answered with file, line, key and what is right."""
# SPDX-License-Identifier: BSD-2-Clause
import re
import time

import pytest

from lib import conf
from lib.weir import run, sanitized

pytestmark = pytest.mark.short

# Where a case says {ROUTES} or {SERVICE}, a good piece stands in the text.
UP = ('upstreams = ( { name = "app"; '
      'backends = ( { address = "127.0.0.1:9"; } ); } );\n')
LISTEN = 'listen = ( { address = "127.0.0.1:8080"; } );'
ROUTES = 'routes = ( { path = "/"; upstream = "app"; } );'


def whole(top="", upstreams=UP, service="", routes=ROUTES, listen=LISTEN,
          version="version = 1;\n"):
    """A file in which one piece is wrong; each piece has its line."""
    return "%s%s%sservices = ( { name = \"web\";\n%s\n%s\n%s\n} );\n" % (
        version, top, upstreams, listen, service, routes)


def route(text):
    return whole(routes="routes = (\n%s\n);" % text)


def up(text):
    return whole(upstreams="upstreams = ( { name = \"app\";\n%s\n} );\n"
                 % text)


BACKENDS = ' backends = ( { address = "127.0.0.1:9"; } );'

# name, text, (the line, or a word in the right line), parts of the message
CASES = [
    # version
    ("no version", whole(version=""), None, ["version"]),
    ("version 2", whole(version="version = 2;\n"), "version = 2",
     ["version", "1"]),
    ("version of a string", whole(version='version = "1";\n'), "version",
     ["version"]),
    # keys that nobody knows
    ("key at the top", whole("worker = 2;\n"), "worker =",
     ["worker", "workers"]),
    ("key at the top, odd case", whole("Workers = 2;\n"), "Workers",
     ["Workers", "workers"]),
    ("key far from all", whole("zzzzzzzz = 2;\n"), "zzzz", ["zzzzzzzz"]),
    ("key of an upstream", up(BACKENDS + "\nbalanse = \"round_robin\";"),
     "balanse", ["balanse", "balance"]),
    ("key of timeouts", up(BACKENDS + "\ntimeouts = { conect = \"1s\"; };"),
     "conect", ["conect", "connect"]),
    ("key of a backend",
     up('backends = ( { address = "127.0.0.1:9"; wieght = 2; } );'),
     "wieght", ["wieght", "weight"]),
    ("key of a service", whole(service="keepalive_timeot = \"1s\";"),
     "keepalive_timeot", ["keepalive_timeot", "keepalive_timeout"]),
    ("key of listen", whole(
        listen='listen = ( { address = ":80"; reusport = true; } );'),
     "reusport", ["reusport", "reuseport"]),
    ("key of a route", route('{ path = "/"; upsteam = "app"; }'), "upsteam",
     ["upsteam", "upstream"]),
    ("key of respond", route('{ respond = { stauts = 200; }; }'), "stauts",
     ["stauts", "status"]),
    ("key of a module", whole(
        service='headers = { response = { sett = { A = "b"; }; }; };'),
     "sett", ["sett", "set"]),
    ("a module's name", whole(service='header = { };'), "header = ",
     ["header", "headers"]),
    ("key of accesslog", whole(
        service='accesslog = ( { path = "stderr"; fromat = "json"; } );'),
     "fromat", ["fromat", "format"]),
    ("service option at a route", route(
        '{ upstream = "app"; keepalive_timeout = "1s"; }'),
     "keepalive_timeout", ["keepalive_timeout"]),
    # libconfig's traps
    ("integer above 32 bits", whole("connections_max = 5000000000;\n"),
     "5000000000", ["5000000000", "L"]),
    ("hex integer above 32 bits", whole("connections_max = 0x1FFFFFFFF;\n"),
     "0x1FFFFFFFF", ["0x1FFFFFFFF"]),
    ("integer above 64 bits",
     whole("connections_max = 99999999999999999999L;\n"), "9999999",
     ["99999999999999999999"]),
    ("negative above 32 bits", whole("connections_max = -5000000000;\n"),
     "5000000000", ["5000000000"]),
    ("NUL in a string", whole('user = "we\\x00ir";\n'), "x00", ["x00"]),
    ("file that is not there", whole('@include "none.conf"\n'), "@include",
     ["none.conf", "No such file"]),
    ("upstreams as a group", whole(upstreams="upstreams = { };\n"),
     "upstreams", ["upstreams", "list"]),
    ("services as a group", "version = 1;\nservices = { };\n", "services",
     ["services", "list"]),
    ("routes as a group", whole(routes="routes = { };"), "routes",
     ["routes", "list"]),
    ("a setting twice", whole("workers = 1;\nworkers = 2;\n"),
     "workers = 2", ["workers"]),
    # syntax
    ("no semicolon, then a brace", whole("admin = { address = ; };\n"),
     "admin", [";"]),
    ("open string", whole('user = "weir;\n'), None, []),
    ("open list", "version = 1;\nservices = (\n", None, []),
    ("word for a value", whole("daemon = yes;\n"), "daemon", ["yes"]),
    ("stray brace", whole("};\n"), "};", ["}"]),
    ("mixed array", whole('custom = { a = [ 1, "b" ]; };\n'), "custom", []),
    ("control character", whole("workers = \x01;\n"), "workers", []),
    # types
    ("string for a number", whole('connections_max = "many";\n'),
     "connections_max", ["connections_max", "many"]),
    ("number for a string", whole("user = 5;\n"), "user",
     ["user", "string"]),
    ("number for a bool", whole("daemon = 1;\n"), "daemon", ["daemon"]),
    ("list for a group", whole("error_log = ( );\n"), "error_log",
     ["error_log", "group"]),
    ("fraction for a number", whole("connections_max = 1.5;\n"),
     "connections_max", ["connections_max"]),
    # ranges and units
    ("workers 0", whole("workers = 0;\n"), "workers", ["workers", "256"]),
    ("workers 257", whole("workers = 257;\n"), "workers",
     ["workers", "256"]),
    ("workers of a word", whole('workers = "some";\n'), "workers",
     ["some", "auto"]),
    ("negative size", whole(service="buffer = -1;"), "buffer", ["buffer"]),
    ("buffer too small", whole(service='buffer = "1KB";'), "buffer",
     ["buffer", "4KB"]),
    ("buffer too large", whole(service='buffer = "17MB";'), "buffer",
     ["buffer", "16MB"]),
    ("unknown duration unit", whole(service='keepalive_timeout = "5 pc";'),
     "keepalive_timeout", ["keepalive_timeout", "5 pc"]),
    ("negative duration", whole(service='keepalive_timeout = "-5s";'),
     "keepalive_timeout", ["-5s"]),
    ("empty duration", whole(service='keepalive_timeout = "";'),
     "keepalive_timeout", ["keepalive_timeout"]),
    ("duration of a size", whole(service='keepalive_timeout = "64KB";'),
     "keepalive_timeout", ["64KB"]),
    ("size of a duration", whole(service='buffer = "5m";'), "buffer",
     ["5m"]),
    ("size that overflows", whole(
        service='body_size_max = "99999999999999GB";'), "body_size_max",
     ["body_size_max"]),
    ("duration that overflows", whole(
        service='client_body_timeout = "99999999999999999d";'),
     "client_body_timeout", ["client_body_timeout"]),
    ("weight 0", up('backends = ( { address = "a:1"; weight = 0; } );'),
     "weight", ["weight", "1", "1000"]),
    ("retries 17", up(BACKENDS + "\nretries = 17;"), "retries",
     ["retries", "16"]),
    ("backlog 0", whole(
        listen='listen = ( { address = ":80"; backlog = 0; } );'),
     "backlog", ["backlog"]),
    # words
    ("event loop", whole('event_loop = "epol";\n'), "event_loop",
     ["epol", "epoll"]),
    ("level", whole('error_log = { level = "warning"; };\n'), "level",
     ["warning", "warn"]),
    ("balance", up(BACKENDS + '\nbalance = "random2";'), "balance",
     ["random2", "round_robin"]),
    ("dot_segments", whole(service='dot_segments = "allow";'),
     "dot_segments", ["allow", "refuse", "resolve"]),
    ("redirect status", route(
        '{ redirect = { location = "/"; status = 300; }; }'), "status",
     ["300"]),
    ("respond status", route('{ respond = { status = 99; }; }'), "status",
     ["99"]),
    ("method", route('{ upstream = "app"; methods = [ "G(T" ]; }'),
     "methods", ["G(T"]),
    # addresses
    ("listen without port", whole(
        listen='listen = ( { address = "127.0.0.1"; } );'), "listen",
     ["127.0.0.1"]),
    ("port too large", whole(
        listen='listen = ( { address = "127.0.0.1:65536"; } );'), "listen",
     ["65536"]),
    ("port of letters", whole(
        listen='listen = ( { address = "127.0.0.1:http"; } );'), "listen",
     ["127.0.0.1:http"]),
    ("open bracket", whole(
        listen='listen = ( { address = "[::1:80"; } );'), "listen",
     ["[::1:80"]),
    ("IPv6 without brackets", whole(
        listen='listen = ( { address = "::1:80"; } );'), "listen",
     ["::1:80"]),
    ("empty Unix path", whole(listen='listen = ( { address = "unix:"; } );'),
     "listen", ["unix:"]),
    ("Unix path too long", whole(
        listen='listen = ( { address = "unix:/%s"; } );' % ("a" * 120)),
     "listen", ["unix:"]),
    ("listen on a name", whole(
        listen='listen = ( { address = "no.such.name:80"; } );'), "listen",
     ["no.such.name"]),
    ("backend without port",
     up('backends = ( { address = "127.0.0.1"; } );'), "backends",
     ["127.0.0.1"]),
    ("backend of port 0",
     up('backends = ( { address = "127.0.0.1:0"; } );'), "backends", ["0"]),
    ("backend with a scheme",
     up('backends = ( { address = "http://127.0.0.1:80"; } );'), "backends",
     ["http://127.0.0.1:80"]),
    ("proxies of no CIDR", whole(
        service='trusted_proxies = [ "10.0.0.0/33" ];'), "trusted_proxies",
     ["10.0.0.0/33"]),
    ("proxies of a name", whole(service='trusted_proxies = [ "lan" ];'),
     "trusted_proxies", ["lan"]),
    # what belongs together
    ("unknown upstream", route('{ upstream = "ap"; }'), "upstream = \"ap\"",
     ["ap", "app"]),
    ("no action", route('{ path = "/"; }'), "path = \"/\"",
     ["upstream", "respond", "redirect"]),
    ("two actions", route('{ upstream = "app"; respond = { }; }'),
     "respond", ["upstream", "respond"]),
    ("two paths", route(
        '{ path = "/"; path_exact = "/x"; upstream = "app"; }'),
     "path_exact", ["path", "path_exact"]),
    ("path without slash", route('{ path = "api"; upstream = "app"; }'),
     "api", ["api", "/"]),
    ("exact path without slash", route(
        '{ path_exact = "api"; upstream = "app"; }'), "api", ["api", "/"]),
    ("regex", route('{ path_regex = "^/(a"; upstream = "app"; }'),
     "path_regex", ["path_regex"]),
    ("wildcard inside", route('{ host = "a.*.b"; upstream = "app"; }'),
     "host", ["a.*.b"]),
    ("host with a port", route('{ host = "a.b:80"; upstream = "app"; }'),
     "host", ["a.b:80"]),
    ("host with a slash", route('{ host = "a.b/c"; upstream = "app"; }'),
     "host", ["a.b/c"]),
    ("redirect without location", route('{ redirect = { }; }'), "redirect",
     ["location"]),
    ("service without name",
     'version = 1;\n%sservices = ( {\n%s\n%s } );\n' % (UP, LISTEN, ROUTES),
     None, ["name"]),
    ("service without listen",
     'version = 1;\n%sservices = ( { name = "a";\n%s } );\n' % (UP, ROUTES),
     None, ["listen"]),
    ("upstream without backends", up(""), None, ["backends"]),
    ("no backend in the list", up("backends = ( );"), "backends",
     ["backends"]),
    ("two services of a name",
     'version = 1;\n%sservices = ( { name = "web"; %s\n%s },\n'
     '{ name = "web"; listen = ( { address = ":81"; } ); %s } );\n'
     % (UP, LISTEN, ROUTES, ROUTES), "\":81\"", ["web"]),
    ("two upstreams of a name",
     whole(upstreams='upstreams = ( { name = "app";%s },\n'
           '{ name = "app"; %s } );\n' % (BACKENDS, BACKENDS)), None,
     ["app"]),
    ("two routes of a name", route(
        '{ name = "r"; path = "/a"; upstream = "app"; },\n'
        '{ name = "r"; path = "/b"; upstream = "app"; }'), "/b", ["r"]),
    ("file of respond", route(
        '{ respond = { file = "/nonexistent/page"; }; }'), "nonexistent",
     ["/nonexistent/page", "No such file"]),
    ("file of an error page", whole(
        service='error_pages = ( { status = 502; '
        'file = "/nonexistent/page"; } );'), "nonexistent",
     ["/nonexistent/page"]),
    ("error page of 200", whole(
        service='error_pages = ( { status = 200; body = "x"; } );'),
     "error_pages", ["200"]),
    # templates
    ("variable", route('{ respond = { body = "${client.iq}"; }; }'),
     "client.iq", ["client.iq", "client.ip"]),
    ("variable without a name", route('{ respond = { body = "${}"; }; }'),
     "${}", ["${}"]),
    ("open variable", route('{ respond = { body = "${client.ip"; }; }'),
     "client.ip", ["}"]),
    ("lone dollar", route('{ respond = { body = "5 $ each"; }; }'), "each",
     ["$$"]),
    ("custom that is not there", route(
        '{ respond = { body = "${custom.none}"; }; }'), "custom.none",
     ["none"]),
    ("capture without a regex", route(
        '{ path = "/a"; respond = { body = "${route.match.1}"; }; }'),
     "route.match.1", ["route.match.1"]),
    ("log format", whole(
        service='accesslog = ( { path = "stderr"; '
        'format = "${request.methd}"; } );'), "methd",
     ["request.methd", "request.method"]),
    ("field name of a rule", whole(
        service='headers = { request = { remove = [ "a b" ]; }; };'),
     "remove", ["a b"]),
    ("condition of a log", whole(
        service='accesslog = ( { path = "stderr"; '
        'when = { status = [ "6xx" ]; }; } );'), "6xx", ["6xx"]),
]


def check(tmp_path, text, *more):
    path = tmp_path / "weir.conf"
    path.write_text(text)
    return path, run("-t", "-c", path, *more)


@pytest.mark.parametrize("name,text,where,parts", CASES,
                         ids=[c[0] for c in CASES])
def test_error(tmp_path, name, text, where, parts):
    path, (status, out, err) = check(tmp_path, text)
    assert status == 2, err
    assert out == ""
    errors = re.findall(
        r"(?m)^%s:(\d+):(\d+): error: (.+)$" % re.escape(str(path)), err)
    assert errors, err
    lines = text.split("\n")
    for line, col, message in errors:
        assert 1 <= int(line) <= len(lines)
        assert 1 <= int(col) <= len(lines[int(line) - 1]) + 1
    if where is not None:
        wanted = [i + 1 for i, line in enumerate(lines) if where in line]
        assert [e for e in errors if int(e[0]) in wanted], (wanted, err)
        errors = [e for e in errors if int(e[0]) in wanted]
    joined = "\n".join(e[2] for e in errors)
    for part in parts:
        assert part in joined, (part, joined)


def test_the_good_one_is_good(tmp_path):
    """What the cases are made of has no error of its own."""
    path, (status, _, err) = check(tmp_path, whole())
    assert (status, err) == (0, "%s: configuration is valid\n" % path)


def test_form_of_a_message(tmp_path):
    """file:line:col: error: text, the source line, a caret under it."""
    path, (_, _, err) = check(
        tmp_path, "version = 1;\n   workerz = 2;\nservices = ( );\n")
    lines = err.split("\n")
    at = next(i for i, line in enumerate(lines)
              if line.startswith("%s:2:4: error: " % path))
    assert lines[at + 1].endswith("   workerz = 2;")
    assert lines[at + 2].index("^") == lines[at + 1].index("workerz")


def test_tabs_do_not_move_the_caret(tmp_path):
    path, (_, _, err) = check(tmp_path, "version = 1;\n\tworkerz = 2;\n")
    lines = err.split("\n")
    at = next(i for i, line in enumerate(lines) if ":2:" in line)
    source, caret = lines[at + 1], lines[at + 2]
    before = source[:source.index("workerz")]
    assert caret[:len(before)].replace("\t", "") .strip() == ""
    assert caret.expandtabs().index("^") == len(before.expandtabs())


def test_syntax_error_names_the_token(tmp_path):
    path, (status, _, err) = check(
        tmp_path, 'version = 1;\nworkers = = 2;\n')
    assert status == 2
    assert re.search(r"%s:2:11: error: .*=" % re.escape(str(path)), err), err


# -- where errors are ------------------------------------------------------

def test_error_in_an_included_file(tmp_path):
    """Its own name, line and column."""
    (tmp_path / "part.conf").write_text("\n\nworkerz = 2;\n")
    path, (status, _, err) = check(
        tmp_path, whole('@include "part.conf"\ndaemonn = true;\n'))
    assert status == 2
    assert "%s:3:1: error: " % (tmp_path / "part.conf") in err
    assert "%s:3:1: error: " % path in err


def test_include_that_includes_itself(tmp_path):
    path, (status, _, err) = check(
        tmp_path, whole('@include "weir.conf"\n'))
    assert status == 2 and "include" in err and "weir.conf" in err


def test_include(tmp_path):
    (tmp_path / "up.conf").write_text(UP)
    _, (status, _, err) = check(
        tmp_path, whole(upstreams='@include "up.conf"\n'))
    assert status == 0, err


def test_conf_d(tmp_path):
    """Files in byte order, each by itself; upstreams and services."""
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "10-up.conf").write_text(UP)
    (folder / "20-two.conf").write_text(
        'services = ( { name = "two"; listen = ( { address = ":81"; } );\n'
        + ROUTES + '} );\n')
    (folder / "ignored.txt").write_text("nonsense")
    path, (status, _, err) = check(tmp_path, whole(upstreams=""))
    assert status == 0, err
    _, out, _ = run("-T", "-c", path)
    assert "two" in out and "127.0.0.1:9" in out


def test_errors_in_conf_d(tmp_path):
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.conf").write_text("workers = 2;\n")
    (folder / "b.conf").write_text("services = ( { nam = 1; } );\n")
    (folder / "c.conf").write_text("services = (\n")
    path, (status, _, err) = check(tmp_path, whole())
    assert status == 2
    assert re.search(r"%s/a\.conf:1:1: error: .*workers" % folder, err)
    assert re.search(r"%s/b\.conf:1:\d+: error: .*nam" % folder, err)
    assert re.search(r"%s/c\.conf:\d:\d+: error: " % folder, err)


# -- softer words ----------------------------------------------------------

@pytest.mark.parametrize("word,status,kind", [
    ("error", 2, "error"), ("warn", 0, "warning"), ("ignore", 0, None)])
def test_unknown_settings(tmp_path, word, status, kind):
    """Decides about keys that nobody declared, wherever it stands."""
    text = whole('zebra = 1;\nunknown_settings = "%s";\n' % word,
                 service="horse = { a = 1; };")
    path, (got, _, err) = check(tmp_path, text)
    assert got == status, err
    for key, line in (("zebra", 2), ("horse", 7)):
        found = re.search(r"(?m)^%s:%d:1: (\w+): .*%s"
                          % (re.escape(str(path)), line, key), err)
        assert (found[1] if found else None) == kind, err


def test_custom_is_free(tmp_path):
    text = whole('custom = { anything = { goes = [ 1, 2 ]; }; s = "x";\n'
                 'n = 5; };\n', routes='routes = ( { respond = { '
                 'body = "${custom.s} ${custom.n}"; }; } );')
    _, (status, _, err) = check(tmp_path, text)
    assert status == 0, err


WARNINGS = [
    ("unreachable route", route(
        '{ path = "/a"; upstream = "app"; },\n'
        '{ path = "/a"; upstream = "app"; name = "second"; }'), "second",
     ["reach"]),
    ("duplicate listen", whole(
        listen='listen = ( { address = "127.0.0.1:8080"; },\n'
        '{ address = "127.0.0.1:8080"; backlog = 5; } );'), "backlog",
     ["127.0.0.1:8080"]),
]


@pytest.mark.parametrize("name,text,where,parts", WARNINGS,
                         ids=[w[0] for w in WARNINGS])
def test_warnings(tmp_path, name, text, where, parts):
    path, (status, _, err) = check(tmp_path, text)
    found = [line for line in err.split("\n")
             if re.match(r"%s:\d+:\d+: (warning|error): "
                         % re.escape(str(path)), line)]
    wanted = [i + 1 for i, line in enumerate(text.split("\n"))
              if where in line]
    right = [line for line in found
             if int(line[len(str(path)) + 1:].split(":")[0]) in wanted]
    assert right, err
    assert all(part in right[0] for part in parts)
    if name == "unreachable route":
        assert status == 0 and ": warning: " in right[0]


def test_two_services_on_one_address(tmp_path):
    text = ("version = 1;\n" + UP + "services = (\n"
            + ",\n".join('{ name = "%s"; %s\n%s }' % (name, LISTEN, ROUTES)
                         for name in ("one", "two")) + " );\n")
    path, (status, _, err) = check(tmp_path, text)
    assert re.search(r":\d+:\d+: (warning|error): .*127\.0\.0\.1:8080", err)


# -- spellings that are right ----------------------------------------------

GOOD = [
    ("integers with units", whole(
        service='keepalive_timeout = 75000; buffer = 65536;')),
    ("64-bit integer", whole(service="body_size_max = 5000000000L;")),
    ("units", whole(service='keepalive_timeout = "1h"; buffer = "1MB"; '
                    'client_body_timeout = "500ms"; '
                    'stream_idle_timeout = "1d"; '
                    'client_header_timeout = "1m";')),
    ("hex", whole("connections_max = 0x400;\n")),
    ("comments", whole("# a\n// b\n/* c\n d */\n")),
    ("colon for equals", whole("workers : 1;\n")),
    ("no semicolons", "version = 1\n" + whole(version="")),
    ("list for a string list", whole(
        service='trusted_proxies = ( "10.0.0.0/8", "::1" );')),
    ("string for a string list", whole(
        service='trusted_proxies = "10.0.0.0/8";')),
    ("string in pieces", whole('custom = { a = "b" "c"\n"d"; };\n')),
    ("no services", "version = 1;\n"),
    ("syslog", whole('error_log = { path = "syslog"; };\n')),
    ("zero turns off", up(BACKENDS + '\nkeepalive = { idle_timeout = "0"; };'
                          'timeouts = { total = "0"; };')),
]


@pytest.mark.parametrize("name,text", GOOD, ids=[g[0] for g in GOOD])
def test_good(tmp_path, name, text):
    _, (status, _, err) = check(tmp_path, text)
    if name == "no services":
        assert status in (0, 2)
        assert status == 0 or "services" in err
    else:
        assert status == 0, err


# -- size ------------------------------------------------------------------

def test_ten_thousand_routes(tmp_path):
    """In under half a second (the tests' own wall clock, less the start
    of a process that loads ten)."""
    def load(count):
        text = conf.document(conf.config(conf.service(*[
            {"host": "h%d.example.com" % i, "path": "/p%d" % (i % 100),
             "respond": {"body": "x"}} for i in range(count)])))
        best = 1e9
        for _ in range(3):
            began = time.monotonic()
            _, (status, _, err) = check(tmp_path, text)
            best = min(best, time.monotonic() - began)
            assert status == 0, err[:2000]
        return best
    small, large = load(10), load(10000)
    if not sanitized():
        assert large - small < 0.5, (small, large)


def test_many_errors(tmp_path):
    """A thousand of them are all said, in order."""
    text = "version = 1;\n" + "".join("zz%d = 1;\n" % i for i in range(1000))
    path, (status, _, err) = check(tmp_path, text)
    lines = [int(n) for n in re.findall(
        r"(?m)^%s:(\d+):1: error: .*zz" % re.escape(str(path)), err)]
    assert status == 2 and lines == sorted(lines)
    assert len(lines) == 1000


@pytest.mark.parametrize("data", [
    b"", b"\xff\xfe\x00", b"\x00" * 100, b"{" * 100000, b"(" * 100000,
    b"a = ( " * 5000, b'"' * 999, b"/*", b"@include", b"version = 1;" * 5000,
    b"a" * 100000, b"version = 1;\r\nworkers = 1;\r\n"],
    ids=lambda d: repr(d[:12]))
def test_rubbish_never_crashes(tmp_path, data):
    path = tmp_path / "weir.conf"
    path.write_bytes(data)
    status, _, err = run("-t", "-c", path)
    assert status in (0, 2), (status, err[:500])
    assert status == 0 or str(path) in err
