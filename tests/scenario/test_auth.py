"""Module auth: API keys, passwords, who may pass, and what is not told."""
# SPDX-License-Identifier: BSD-2-Clause
import base64
import hashlib
import json
import re
import subprocess

import pytest

from conftest import need
from lib import conf, wait
from lib import h2wire as h2
from lib.client import Client, once
from lib.weir import run

pytestmark = pytest.mark.short

OK = {"body": "${auth.identity}|${auth.scopes}|${auth.method}"}
KEYS = {"alice": "weir_alice", "bob": "weir_bob", "old": "weir_old"}
# Of "secret": bcrypt of the lowest cost, SHA-crypt, yescrypt, apr1.
BCRYPT = "$2y$04$PvOopN4n/Il9FbkIn76RP.4p2tmw1zKJsD3gKAhHo6STjVuXX1/Xa"
SHA256 = ("$5$FlFxpMK4zrGIzpia$"
          "sCaWBm5D21Xl5hrM2Wqs7tIdmrBCAgO1LzuEMYL2Xi1")
SHA512 = ("$6$785TgjBQFT11P60X$u2luzr7tHzRYUKhU2b/s1.yPH50772JdCLPudNLXuouO"
          "iQ.Xg./Cc/RKIpQv.YO.TmGxbBlT1WG25AX.6Ngj6.")
YESCRYPT = ("$y$j75$i.GuOn89CPNw9ORfQuJDa1$"
            "gnxWNQ7bX6WlO25kNE7hlhg392RqYCEn1vFnGI4DxE6")
APR1 = "$apr1$ql7E8ZUg$.qSoFjCR32NzYeacz2QLk."
HASHES = {"alice": BCRYPT, "sha2": SHA256, "sha5": SHA512, "yes": YESCRYPT,
          "carol": APR1, "zo\u00eb": APR1}


def has_libcrypt():
    _, out, err = run("-V")
    return "libcrypt:" not in out + err


def line_of(identity, key, more=""):
    return "%s sha256:%s %s\n" % (
        identity, hashlib.sha256(key.encode()).hexdigest(), more)


KEY_FILE = "# keys\n\n" + "".join((
    line_of("alice", "weir_alice", "scopes=read,write"),
    line_of("bob", "weir_bob", "scopes=read expires=2999-01-01 # ever"),
    line_of("old", "weir_old", "expires=2001-01-01T00:00:00Z"),
    line_of("odd", "a b&c=d+%")))


def user_file():
    hashes = HASHES if has_libcrypt() else {
        name: APR1 for name in HASHES}
    return "# users\n" + "".join(
        "%s:%s\n" % pair for pair in hashes.items())


def basic(user, password="secret"):
    pair = ("%s:%s" % (user, password)).encode()
    return ("Authorization", "Basic " + base64.b64encode(pair).decode())


def key_group(**more):
    return {"file": "@DIR@/keys", **(more or {"header": "X-API-Key"})}


def basic_group(**more):
    return {"file": "@DIR@/users", **more}


def route(path, auth=None, respond=OK):
    out = {"path": path, "respond": respond}
    if auth is not None:
        out["auth"] = auth
    return out


FILES = {"keys": KEY_FILE}


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    key, both = key_group(), {"api_key": key_group(), "basic": basic_group()}
    routes = [
        route("/key"), route("/off", {"mode": "off"}),
        route("/bob", {"require": {"identities": ["bob", "eve"]}}),
        route("/write", {"require": {"scopes": ["read", "write"]}}),
        route("/both", {"require": {"identities": ["alice"],
                                    "scopes": ["write"]}}),
        route("/shadow", {"mode": "shadow",
                          "require": {"scopes": ["write"]}}),
    ]
    places = [
        route("/query", {"api_key": key_group(query="key")}),
        route("/cookie", {"api_key": key_group(cookie="key")}),
        route("/bearer", {"api_key": key_group(
            header="Authorization", scheme="Bearer")}),
        route("/all", {"api_key": key_group(
            header="X-API-Key", query="key", cookie="key")})]
    ways = [
        route("/basic", {"basic": basic_group(), "realm": "area 51"}),
        route("/any", both), route("/all", {**both, "satisfy": "all"}),
        route("/mine", {"basic": basic_group(),
                        "require": {"identities": ["alice"]}})]
    hidden = [{"path": path, "upstream": "up", "auth": {
        "api_key": {**key_group(header="X-API-Key", query="key",
                                cookie="key"), "forward": forward},
        "basic": basic_group(forward=forward)}}
        for path, forward in (("/kept", True), ("/dropped", False))]
    log = {"accesslog": [
        {"path": "@DIR@/json", "format": "json"},
        {"path": "@DIR@/combined", "format": "combined"}]}
    return start_shared(conf.config(
        [conf.service(*routes, name="keys", auth={"api_key": key}, **log),
         conf.service(*places, name="places",
                      auth={"api_key": key_group(query="key")}, **log),
         conf.service(*ways, name="ways", **log),
         conf.service(*hidden, name="hidden", **log)],
        [conf.upstream("up", origin)], error_log={"level": "info"}),
        files={"keys": KEY_FILE, "users": user_file()})


def ask(weir, number, target, *fields, **kw):
    answer = once(weir.addresses[number], "GET", target, list(fields), **kw)
    return answer.status, answer.body.decode()


def api(key):
    return ("X-API-Key", key)


# -- API keys -------------------------------------------------------------

@pytest.mark.parametrize("target,fields,want", [
    ("/key", [], 401), ("/key", [api("")], 401),
    ("/key", [api("weir_alice")], 200), ("/key", [api("weir_bob")], 200),
    ("/key", [api("weir_alicf")], 401), ("/key", [api("Weir_alice")], 401),
    ("/key", [api("weir_old")], 401), ("/key", [api("x" * 600)], 401),
    ("/key", [api("weir_alice")] * 2, 401),
    ("/key", [api("weir_alice"), api("weir_bob")], 401),
    ("/key", [api("weir_alice, weir_alice")], 401),
    ("/key", [("x-api-key", "  weir_alice  ")], 200),
    ("/key", [basic("alice")], 401),
    ("/off", [], 200),
    ("/bob", [api("weir_bob")], 200), ("/bob", [api("weir_alice")], 403),
    ("/bob", [], 401),
    ("/write", [api("weir_alice")], 200), ("/write", [api("weir_bob")], 403),
    ("/both", [api("weir_alice")], 200), ("/both", [api("weir_bob")], 403),
    ("/shadow", [], 200), ("/shadow", [api("weir_bob")], 200),
])
def test_keys(weir, target, fields, want):
    assert ask(weir, 0, target, *fields)[0] == want


def test_identity(weir):
    """Who it is can be used in templates, and is of no other request."""
    with Client(weir.addresses[0]) as client:
        for key, want in (("weir_alice", "alice|read,write|api_key"),
                          ("weir_bob", "bob|read|api_key")):
            answer = client.get("/key", [api(key)])
            assert answer.body.decode() == want
        assert client.get("/off", [api("weir_alice")]).body == b"||"
        assert client.get("/shadow").body == b"||"


def test_challenge(weir):
    """A 401 says what is asked for; a 403 does not."""
    def challenges(number, target, *fields):
        answer = once(weir.addresses[number], target=target, fields=fields)
        return [v for n, v in answer.fields
                if n.lower() == "www-authenticate"]
    assert challenges(0, "/key") == ['ApiKey realm="weir"']
    assert challenges(0, "/bob", api("weir_alice")) == []
    assert challenges(1, "/bearer") == ['Bearer realm="weir"']
    assert challenges(2, "/basic") == [
        'Basic realm="area 51", charset="UTF-8"']
    assert challenges(2, "/any") == [
        'Basic realm="weir", charset="UTF-8", ApiKey realm="weir"']


@pytest.mark.parametrize("target,fields,want", [
    ("/query", [], 401), ("/query?key=weir_alice", [], 200),
    ("/query?a=b&key=weir_alice&c", [], 200),
    ("/query?%6bey=weir%5falice", [], 200), ("/query?key", [], 401),
    ("/query?key=", [], 401), ("/query?keys=weir_alice", [], 401),
    ("/query?key=weir_alice&key=weir_alice", [], 401),
    ("/query?key=weir_alice&k%65y=weir_bob", [], 401),
    ("/query?key=a+b%26c%3Dd%2b%25", [], 200),
    ("/query?key=a+b%26c%3Dd%2b%", [], 200),
    ("/cookie", [("Cookie", "key=weir_alice")], 200),
    ("/cookie", [("Cookie", 'a=b; key="weir_alice"; c')], 200),
    ("/cookie", [("Cookie", "a=b;key=weir_alice")], 200),
    ("/cookie", [("Cookie", "keys=weir_alice")], 401),
    ("/cookie", [("Cookie", "Key=weir_alice")], 401),
    ("/cookie", [("Cookie", "key=weir_alice; key=weir_bob")], 401),
    ("/cookie", [("Cookie", "key=")], 401),
    ("/bearer", [("Authorization", "Bearer weir_alice")], 200),
    ("/bearer", [("Authorization", "bearer  weir_alice")], 200),
    ("/bearer", [("Authorization", "weir_alice")], 401),
    ("/bearer", [("Authorization", "Bearerweir_alice")], 401),
    ("/bearer", [("Authorization", "Bearer")], 401),
    ("/bearer", [basic("alice")], 401),
    ("/all?key=weir_alice", [], 200),
    ("/all?key=weir_alice", [api("weir_alice")], 401),
    ("/all", [api("weir_alice"), ("Cookie", "key=weir_alice")], 401),
])
def test_places(weir, target, fields, want):
    """In a query and in a cookie; what can be read two ways is none."""
    assert ask(weir, 1, target, *fields)[0] == want


def test_over_http2(start):
    """The same over HTTP/2, where cookies come in pieces."""
    if "no HTTP/2" in "".join(run("-V")[1:]):
        pytest.skip("this weir has no HTTP/2")
    one = start(conf.config(conf.service(
        route("/", {"api_key": key_group(header="X-API-Key", cookie="key"),
                    "basic": basic_group()}),
        listen=[{"address": conf.address(), "h2c": True}])),
        files={"keys": KEY_FILE, "users": user_file()})
    with h2.Client(one.address) as client:
        for fields, want in (
                ([], 401), ([("x-api-key", "weir_alice")], 200),
                ([("cookie", "a=b"), ("cookie", "key=weir_bob")], 200),
                ([("cookie", "key=weir_bob"), ("cookie", "key=weir_bob")],
                 401),
                ([("authorization", basic("alice")[1])], 200),
                ([("authorization", basic("alice", "x")[1])], 401)):
            stream = client.get("/", fields=fields)
            assert stream.status == want, fields
        assert stream.final["www-authenticate"].startswith("Basic realm")


# -- basic ----------------------------------------------------------------

@pytest.mark.parametrize("user", list(HASHES))
def test_passwords(weir, user):
    """Every kind of hash, right and wrong; and once more, remembered."""
    for _ in range(2):
        status, body = ask(weir, 2, "/basic", basic(user))
        assert (status, body) == (200, user + "||basic")
        assert ask(weir, 2, "/basic", basic(user, "Secret"))[0] == 401


def raw(text):
    if isinstance(text, str):
        text = text.encode()
    return ("Authorization", "Basic " + base64.b64encode(text).decode())


@pytest.mark.parametrize("field", [
    raw("alice"), raw(":secret"), raw(""), raw(":"), raw("alice:"),
    raw("alice:secret\0"), raw("alice\0:secret"), raw("alice:sec\nret"),
    raw("alice:secret:"), raw("alice:" + "x" * 512), raw("x" * 256 + ":y"),
    raw("x" * 2000), raw("nobody:secret"), raw("Alice:secret"),
    raw(b"\xff\xfe:secret"),
    ("Authorization", "Basic"), ("Authorization", "Basic "),
    ("Authorization", "Basic ===="), ("Authorization", "Basic YWxpY2U"),
    ("Authorization", basic("alice")[1].rstrip("=") + "!"),
    ("Authorization", basic("alice")[1] + "="),
    ("Authorization", basic("alice")[1].replace("Basic ", "Basic\t")),
    ("Authorization", basic("alice")[1] + " x"),
    ("Authorization", "Bearer weir_alice"),
    ("Authorization", basic("alice")[1].replace("Basic", "Basicc")),
])
def test_what_is_no_login(weir, field):
    status, _ = ask(weir, 2, "/basic", field)
    assert status == 401


def test_what_is_a_login(weir):
    """The scheme in any case; one Authorization, not two."""
    good = basic("alice")[1]
    for value in (good.replace("Basic", "bAsIc"),
                  good.replace("Basic ", "Basic   ")):
        assert ask(weir, 2, "/basic", ("Authorization", value))[0] == 200
    assert ask(weir, 2, "/basic", basic("alice"), basic("alice"))[0] == 401
    assert ask(weir, 2, "/mine", basic("alice"))[0] == 200
    assert ask(weir, 2, "/mine", basic("carol"))[0] == 403


@pytest.mark.parametrize("target,fields,want", [
    ("/any", [], 401), ("/any", [api("weir_bob")], "bob|read|api_key"),
    ("/any", [basic("alice")], "alice||basic"),
    ("/any", [api("weir_bob"), basic("carol")], "bob|read|api_key"),
    ("/any", [api("x"), basic("carol")], "carol||basic"),
    ("/any", [api("weir_old"), basic("carol")], "carol||basic"),
    ("/any", [api("x"), basic("carol", "x")], 401),
    ("/all", [], 401), ("/all", [api("weir_bob")], 401),
    ("/all", [basic("alice")], 401),
    ("/all", [api("weir_bob"), basic("alice")], "alice|read|api_key+basic"),
    ("/all", [api("weir_bob"), basic("alice", "x")], 401),
    ("/all", [api("weir_old"), basic("alice")], 401),
])
def test_any_and_all(weir, target, fields, want):
    status, body = ask(weir, 2, target, *fields)
    assert (status if isinstance(want, int) else body) == want


# -- what others see ------------------------------------------------------

def seen_by_origin(weir, target, *fields):
    answer = once(weir.addresses[3], target=target, fields=list(fields))
    assert answer.status == 200
    seen = json.loads(answer.body)
    return seen["target"], {n.lower(): v for n, v in seen["fields"]}


def test_forwarded_or_not(weir):
    """By option the backend sees none of it, and all that is beside it."""
    target, seen = seen_by_origin(
        weir, "/kept?a=b&key=weir_bob", ("Cookie", "c=d"))
    assert target == "/kept?a=b&key=weir_bob"
    target, seen = seen_by_origin(weir, "/kept", api("weir_bob"))
    assert seen["x-api-key"] == "weir_bob"
    target, seen = seen_by_origin(weir, "/kept", basic("alice"))
    assert seen["authorization"] == basic("alice")[1]
    for asked, want in (("a=b&key=weir_bob&c=", "?a=b&c="),
                        ("key=weir_bob", ""), ("k%65y=weir_bob&d", "?d")):
        target, _ = seen_by_origin(weir, "/dropped?" + asked)
        assert target == "/dropped" + want
    target, seen = seen_by_origin(
        weir, "/dropped?x", api("weir_bob"), ("X-Other", "1"),
        ("Authorization", "Bearer mine"))
    assert "x-api-key" not in seen and seen["x-other"] == "1"
    assert target == "/dropped?x" and seen["authorization"] == "Bearer mine"
    _, seen = seen_by_origin(weir, "/dropped", basic("alice"))
    assert "authorization" not in seen
    for asked, want in (("a=b; key=weir_bob;c=d", "a=b; c=d"),
                        ("key=weir_bob", None)):
        _, seen = seen_by_origin(weir, "/dropped", ("Cookie", asked))
        assert seen.get("cookie") == want


def test_logs(weir):
    """Who it was is logged; what he showed is not, whatever comes of it."""
    secret = "weir_notold"
    for number, target in ((1, "/query?b=c&key=" + secret + "&d"),
                           (3, "/kept?k%65y=" + secret),
                           (1, "/nowhere?key=" + secret)):
        assert ask(weir, number, target, basic("zed", secret),
                   api(secret))[0] in (401, 404)
    assert ask(weir, 1, "/query?key=weir_bob&logged")[0] == 200
    assert ask(weir, 2, "/basic?logged", basic("carol"))[0] == 200
    wait.until(lambda: weir.read("json").count("logged") >= 2)
    lines = [json.loads(one) for one in weir.read("json").splitlines()]
    found = [one for one in lines if "logged" in one["request_target"]]
    assert [one["identity"] for one in found] == ["bob", "carol"]
    assert found[0]["request_target"] == "/query?key=***&logged"
    assert "identity" not in lines[0]
    assert re.search(r"^127\.0\.0\.1 - carol \[.*logged", weir.read(
        "combined"), re.M)
    for name in ("json", "combined"):
        assert "/query?b=c&key=***&d" in weir.read(name)
        assert "key=weir_" not in weir.read(name)
    for text in (weir.log, weir.read("json"), weir.read("combined")):
        assert basic("zed", secret)[1] not in text
        assert secret not in text


def test_reasons_and_counters(weir):
    before = weir.metrics()
    ask(weir, 0, "/key")
    ask(weir, 0, "/key", api("weir_no"))
    ask(weir, 0, "/key", api("weir_old"))
    ask(weir, 0, "/bob", api("weir_alice"))
    ask(weir, 0, "/shadow")
    ask(weir, 2, "/basic", basic("carol", "never seen"))
    ask(weir, 2, "/basic", basic("carol", "never seen"))
    after = weir.metrics()

    def more(name, **labels):
        return after.sum(name, **labels) - before.sum(name, **labels)
    for reason, count in (("missing", 1), ("invalid", 3), ("expired", 1),
                          ("forbidden", 1), ("busy", 0)):
        assert more("weir_auth_refused_total", reason=reason) == count
        if reason != "busy":
            assert more("weir_proxy_errors_total",
                        reason="auth_" + reason) == count
    assert more("weir_auth_checked_total") == 7
    assert more("weir_auth_granted_total", method="api_key") == 1
    assert more("weir_auth_shadow_total") == 1
    assert more("weir_auth_hashed_total") == 1
    assert more("weir_auth_cached_total") == 1
    weir.wait_log("auth would refuse: the request has no credentials: "
                  "no API key")
    weir.wait_log("answering 401: the API key has expired: "
                  "the API key of old")


# -- order ----------------------------------------------------------------

def test_order_of_modules(tmp_path):
    """Cheapest refusal first; a limit by identity behind, and -T says so."""
    (tmp_path / "keys").write_text(KEY_FILE)
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        route("/", {"api_key": {"file": str(tmp_path / "keys"),
                                "header": "X-API-Key"}}),
        access=[{"action": "deny", "from": ["192.0.2.0/24"]}],
        ratelimit=[{"rate": "1/s"},
                   {"key": "${auth.identity}", "rate": "1/s"}]))))
    status, out, err = run("-T", "-c", path)
    assert status == 0, err
    assert ("# phase request: access ratelimit auth ratelimit(late)\n"
            in out)


def test_limits_of_identities(start):
    """Each identity has its own; a bad key costs nobody's."""
    weir = start(conf.config(conf.service(
        route("/", {"api_key": key_group()}),
        ratelimit=[{"key": "${auth.identity}", "rate": "2/h"}])),
        files=FILES)

    def statuses(key, count):
        return [ask(weir, 0, "/", api(key))[0] for _ in range(count)]
    assert statuses("weir_alice", 3) == [200, 200, 429]
    assert statuses("weir_nobody", 4) == [401] * 4
    assert statuses("weir_bob", 3) == [200, 200, 429]


# -- files ----------------------------------------------------------------

def test_files_change(start):
    """A key that goes is refused at once; a broken file changes nothing."""
    weir = start(conf.config(conf.service(
        route("/", {"api_key": key_group(), "basic": basic_group()}))),
        files={"keys": KEY_FILE, "users": "carol:%s\n" % APR1})
    with Client(weir.address) as client:
        def status(*fields):
            return client.get("/", list(fields)).status
        assert status(api("weir_alice")) == 200
        assert status(api("weir_new")) == 401
        assert status(basic("carol")) == 200
        weir.write("keys", line_of("new", "weir_new"))
        wait.until(lambda: status(api("weir_new")) == 200)
        assert status(api("weir_alice")) == 401
        weir.write("keys", "new sha256:12\n")
        weir.wait_log(r"keys has changed and is not used; the old .*"
                      r"line 1, column 5: a key's hash is")
        assert status(api("weir_new")) == 200
        weir.write("users", "dora:%s\n" % APR1)
        wait.until(lambda: status(basic("dora")) == 200)
        assert status(basic("carol")) == 401
        weir.write("users", "dora:{SHA}" + "x" * 28 + "\n")
        weir.wait_log("users has changed and is not used.*SHA-1 without")
        assert status(basic("dora")) == 200
        assert "x" * 28 not in weir.log


@pytest.mark.parametrize("auth,error", [
    ({"require": {"identities": ["a"]}}, "give api_key or basic"),
    ({"api_key": {"header": "X-API-Key"}}, "api_key needs a file"),
    ({"api_key": {"file": "KEYS"}}, "say where the key is"),
    ({"api_key": {"file": "KEYS", "query": "k", "scheme": "Bearer"}},
     "scheme needs a header"),
    ({"api_key": {"file": "KEYS", "header": "a b"}}, "header"),
    ({"api_key": {"file": "/does/not/exist", "query": "k"}},
     "reading /does/not/exist: No such file"),
    ({"api_key": {"file": "BAD", "query": "k"}},
     "BAD: line 2, column 1: behind the identity the key's hash"),
    ({"basic": {}}, "basic needs a file"),
    ({"basic": {"file": "OTHER"}},
     "OTHER: line 1, column 4: this is none of the hashes"),
    ({"basic": {"file": "USERS"}, "realm": 'a"b'}, "a realm is made of"),
    ({"basic": {"file": "USERS"}, "require": {"scopes": ["a"]}},
     "only keys have scopes"),
    ({"api_key": {"file": "KEYS", "query": "k"},
      "require": {"scopes": ["a b"]}}, 'nobody has the name "a b"'),
    ({"api_key": {"file": "KEYS", "header": "authorization"},
      "basic": {"file": "USERS"}}, "needs a scheme"),
    ({"api_key": {"file": "KEYS", "query": "k"}, "satisfy": "both"}, "any"),
    ({"api_key": {"file": "KEYS", "query": "k"}, "mode": "on"}, "enforce"),
])
def test_bad_options(tmp_path, auth, error):
    (tmp_path / "KEYS").write_text(KEY_FILE)
    (tmp_path / "BAD").write_text("# a\nalice\n")
    (tmp_path / "USERS").write_text("a:%s\n" % APR1)
    (tmp_path / "OTHER").write_text("al:secret\n")
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(conf.service(
        route("/", auth)))))
    status, _, err = run("-t", "-c", path, cwd=tmp_path)
    assert status == 2 and error in err, err
    assert "secret" not in err


# -- helper threads -------------------------------------------------------

def slow_hash(cost="11"):
    """A hash that takes a good while, of "secret"."""
    done = subprocess.run(
        [need("htpasswd"), "-nbB", "-C", cost, "u", "secret"], check=True,
        stdout=subprocess.PIPE, text=True, timeout=60)
    return done.stdout.strip().split(":", 1)[1]


def needs_libcrypt():
    if not has_libcrypt():
        pytest.skip("this weir has no libcrypt")


def start_logins(start, clients):
    """So many logins at once, each with another password."""
    out = []
    for i in range(clients):
        client = Client(start, timeout=60.0)
        user, password = basic("u", "wrong %d" % i)
        client.send(("GET /login HTTP/1.1\r\nHost: a\r\n%s: %s\r\n\r\n" % (
            user, password)).encode())
        out.append(client)
    return out


def test_logins_stall_nobody(start):
    """While 200 logins wait, others of that worker are served."""
    needs_libcrypt()
    weir = start(conf.config(conf.service(
        route("/login", {"basic": basic_group()}), route("/free"))),
        files={"users": "u:%s\n" % slow_hash("8")})
    clients = start_logins(weir.address, 200)
    wait.until(lambda: weir.metrics().sum("weir_auth_hashed_total") == 200)

    def refused():
        return weir.metrics().sum("weir_auth_refused_total",
                                  reason="invalid")
    served = 0
    with Client(weir.address) as other:
        while refused() < 100:
            assert other.get("/free").status == 200
            served += 1
    # A loop that computed hashes would serve one between two of them.
    assert served >= 3
    for client in clients:
        assert client.response().status == 401
        client.close()
    assert refused() == 200


def test_full_queue(start):
    """A 503 with Retry-After, and none for those that are queued."""
    needs_libcrypt()
    weir = start(conf.config(conf.service(
        route("/login", {"basic": basic_group()})),
        helper_threads=1, helper_queue=2),
        files={"users": "u:%s\n" % slow_hash()})
    clients = start_logins(weir.address, 8)
    statuses = []
    for client in clients:
        answer = client.response(timeout=60)
        statuses.append(answer.status)
        if answer.status == 503:
            assert answer.fields.get("retry-after") == "1"
        client.close()
    assert statuses.count(401) >= 3 and statuses.count(503) >= 1
    assert set(statuses) == {401, 503}
    assert weir.metrics().sum("weir_auth_refused_total", reason="busy") == \
        statuses.count(503)


def test_clients_that_leave(start):
    """Their places in the queue are free again."""
    needs_libcrypt()
    weir = start(conf.config(conf.service(
        route("/login", {"basic": basic_group()})),
        helper_threads=1, helper_queue=4),
        files={"users": "u:%s\n" % slow_hash()})
    for client in start_logins(weir.address, 5):
        wait.until(lambda: weir.metrics().sum(
            "weir_auth_checked_total") >= 1)
        client.reset()
    wait.until(lambda: weir.metrics().sum(
        "weir_proxy_errors_total", reason="client_gone") == 5)
    # At most one of them is still being worked on.
    clients = start_logins(weir.address, 4)
    for client in clients:
        assert client.response(timeout=60).status == 401
        client.close()


def test_broken_request_while_waiting(start):
    """A body that breaks the rules ends the wait, and the worker goes on."""
    needs_libcrypt()
    weir = start(conf.config(conf.service(
        route("/login", {"basic": basic_group()}), route("/free")),
        helper_threads=1), files={"users": "u:%s\n" % slow_hash()})
    for i in range(4):
        with Client(weir.address) as client:
            client.send(("POST /login HTTP/1.1\r\nHost: a\r\n%s: %s\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n"
                         % basic("u", "no %d" % i)).encode())
            wait.until(lambda: weir.metrics().sum(
                "weir_auth_hashed_total") > i)
            client.send(b"ZZ\r\n")
            assert client.response().status in (400, 401)
    assert once(weir.address, target="/free").status == 200
    assert weir.metrics().sum("weir_proxy_errors_total",
                              reason="bad_body") >= 1


def test_same_password_is_hashed_once(start):
    """Those who ask the same wait for one answer."""
    needs_libcrypt()
    weir = start(conf.config(conf.service(
        route("/login", {"basic": basic_group()})),
        helper_threads=1, helper_queue=1),
        files={"users": "u:%s\n" % slow_hash()})
    clients = []
    for _ in range(10):
        client = Client(weir.address, timeout=60.0)
        client.send(("GET /login HTTP/1.1\r\nHost: a\r\n%s: %s\r\n\r\n"
                     % basic("u")).encode())
        clients.append(client)
    for client in clients:
        assert client.response().status == 200
        client.close()


def test_stop_while_hashing(start):
    """A worker ends in time, whatever is still computed."""
    needs_libcrypt()
    weir = start(conf.config(conf.service(
        route("/login", {"basic": basic_group()}))),
        files={"users": "u:%s\n" % slow_hash()})
    clients = start_logins(weir.address, 20)
    wait.until(lambda: weir.metrics().sum("weir_auth_hashed_total") == 20)
    weir.stop()
    for client in clients:
        client.close()


# -- what others write ----------------------------------------------------

def try_hash(start, line, good, bad):
    weir = start(conf.config(conf.service(
        route("/", {"basic": basic_group()}))), files={"users": line})
    assert ask(weir, 0, "/", good)[0] == 200
    assert ask(weir, 0, "/", bad)[0] == 401


@pytest.mark.parametrize("options", ["-m", "-B -C 4", "-2", "-5"])
def test_htpasswd(start, tmp_path, options):
    """Files that Apache's program makes and adds to."""
    if options != "-m":
        needs_libcrypt()
    program, path = need("htpasswd"), tmp_path / "users"
    for extra, user in (("-cb", "first user"), ("-b", "zo\u00eb")):
        subprocess.run([program, extra, *options.split(), path, user,
                        "pa ss:w\u00f6rd"], check=True, timeout=60,
                       stderr=subprocess.DEVNULL)
    text = path.read_text()
    good = raw("zo\u00eb:pa ss:w\u00f6rd")
    try_hash(start, text, good, raw("zo\u00eb:pa ss:word"))


@pytest.mark.parametrize("method", [
    "yescrypt", "gost-yescrypt", "scrypt", "bcrypt", "sha512crypt",
    "sha256crypt"])
def test_mkpasswd(start, method):
    """Hashes that Debian's mkpasswd makes."""
    needs_libcrypt()
    done = subprocess.run([need("mkpasswd"), "-m", method, "secret"],
                          check=True, stdout=subprocess.PIPE, text=True,
                          timeout=60)
    try_hash(start, "alice:" + done.stdout, basic("alice"),
             basic("alice", "secreT"))
