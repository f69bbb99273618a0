"""The command line: what each option does, and what exit says."""
# SPDX-License-Identifier: BSD-2-Clause
import os
import re
import signal
import socket
import subprocess

import pytest

from lib import conf, proc, wait
from lib.client import once
from lib.weir import binary, run

pytestmark = pytest.mark.short

GOOD = conf.document(conf.config(
    conf.service({"path": "/", "upstream": "up", "name": "all"},
                 keepalive_timeout="42s"),
    [conf.upstream("up", "127.0.0.1:9")]))


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text(GOOD)
    return str(path)


# -- options that only tell ------------------------------------------------

@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option):
    status, out, err = run(option)
    assert status == 0 and err == ""
    for name in ("-c", "--conf", "-t", "--test", "-T", "--dump", "-d",
                 "--daemon", "-u", "--upgrade", "-V", "--version", "-h",
                 "--help", "--workers", "--log-level", "--from", "--to"):
        assert re.search(r"(^|[\s,\[])%s\b" % re.escape(name), out), name


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option):
    """Version, modules, libraries with their versions."""
    status, out, err = run(option)
    assert status == 0 and err == ""
    assert re.match(r"weir \d+\.\d+", out)
    for word in ("headers", "accesslog"):
        assert word in out
    for library in ("openssl", "libconfig", "pcre2", "zlib"):
        assert re.search(r"(?i)%s\W*(version )?v?\d+\.\d+" % library, out), (
            library, out)


def test_ktls_is_told():
    """Usable where kernel and OpenSSL both have it."""
    try:
        with open("/proc/sys/net/ipv4/tcp_available_ulp") as f:
            has = "tls" in f.read().split()
    except OSError:
        has = None
    _, out, _ = run("-V")
    told = re.search(r"^kTLS: (not )?usable \(kernel: (yes|no), "
                     r"OpenSSL: (yes|no)\)$", out, re.M)
    assert told, out
    assert (told[1] is None) == (told[2] == told[3] == "yes"), told[0]
    # Asking may load the module: what is there is told, at least.
    assert has is not True or told[2] == "yes"


# -- wrong usage -----------------------------------------------------------

USAGE = [
    (["--nonsense"], "nonsense"), (["-x"], "x"), (["-c"], "c"),
    (["--conf"], "conf"), (["word"], "word"),
    (["--workers", "many"], "many"), (["--workers", "0"], "0"),
    (["--workers", "-1"], "-1"), (["--workers", "1000000"], "1000000"),
    (["--log-level", "loud"], "loud"),
    (["--from", ":8080"], "to"), (["--to", "http://127.0.0.1:1"], "from"),
    (["--from", "nonsense", "--to", "http://127.0.0.1:1"], "nonsense"),
    (["--from", ":99999", "--to", "http://127.0.0.1:1"], "99999"),
    (["--from", ":8080", "--to", "nonsense"], "nonsense"),
    (["--from", ":8080", "--to", "ftp://127.0.0.1:1"], "ftp"),
]


@pytest.mark.parametrize("args,part", USAGE,
                         ids=[" ".join(u[0]) for u in USAGE])
def test_usage(args, part, good):
    """2, a line on stderr that names what is wrong, nothing on stdout."""
    if "--workers" in args or "--log-level" in args:
        args = ["-c", good, "-t", *args]
    status, out, err = run(*args)
    assert status == 2 and out == ""
    assert part in err


def test_conf_and_from_together(good):
    status, _, err = run("-c", good, "--from", ":1", "--to",
                         "http://127.0.0.1:1", "-t")
    assert status == 2 and "--from" in err


def test_file_that_is_not_there(tmp_path):
    """2 (a supervisor need not retry), and its name."""
    path = tmp_path / "none.conf"
    for extra in ([], ["-t"], ["-T"]):
        status, _, err = run("-c", path, *extra)
        assert status == 2 and str(path) in err
        assert os.strerror(2) in err


def test_directory_as_file(tmp_path):
    status, _, err = run("-t", "-c", tmp_path)
    assert status == 2 and str(tmp_path) in err


@pytest.mark.skipif(os.geteuid() != 0, reason="sees what root can read")
def test_file_that_cannot_be_read(good):
    os.chmod(good, 0)
    status, _, err = run("-t", "-c", good)
    assert status in (0, 2)
    assert status == 0 or good in err


def test_default_file(tmp_path):
    """Without -c the configured path is read."""
    status, _, err = run("-t", cwd=tmp_path)
    path = re.search(r"/[^\s:]*/weir/weir\.conf", err)
    assert path, err
    assert status == (0 if os.path.exists(path[0]) else 2)


# -- -t --------------------------------------------------------------------

@pytest.mark.parametrize("option", ["-t", "--test"])
@pytest.mark.parametrize("conf_option", ["-c", "--conf"])
def test_test(good, option, conf_option):
    status, out, err = run(conf_option, good, option)
    assert (status, out) == (0, "")
    assert err == "%s: configuration is valid\n" % good


def test_test_equals_form(good):
    assert run("--conf=" + good, "-t")[0] == 0


def test_test_needs_no_network_and_writes_nothing(tmp_path):
    """The port is taken, the names do not resolve, the logs' folder is
    not there yet and stays so."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    path = tmp_path / "weir.conf"
    path.write_text(conf.document(conf.config(
        conf.service({"path": "/", "upstream": "up"},
                     listen=[{"address": "127.0.0.1:%d"
                              % taken.getsockname()[1]},
                             {"address": "unix:%s/a.sock" % tmp_path}],
                     accesslog=[{"path": str(tmp_path / "log/a.log")}]),
        [conf.upstream("up", "no-such-host.invalid:80")],
        pid_file=str(tmp_path / "weir.pid"),
        error_log={"path": str(tmp_path / "log/error.log")})))
    status, _, err = run("-t", "-c", path)
    assert status == 0, err
    assert os.listdir(tmp_path) == ["weir.conf"]
    taken.close()


@pytest.mark.root
def test_test_needs_no_root(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text(GOOD)
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder) not in ("/", "/tmp"):
            os.chmod(folder, 0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         binary(), "-t", "-c", str(path)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    assert "configuration is valid" in done.stderr


def test_test_finds_every_error(tmp_path):
    """Not just the first."""
    path = tmp_path / "weir.conf"
    path.write_text('version = 1;\nworkerz = 2;\n'
                    'services = ( { name = "a";\n'
                    '  listen = ( { address = "nonsense"; } );\n'
                    '  keepalive_timeout = "5 parsecs";\n'
                    '  routes = ( { path = "x"; upstream = "none"; } ); } );'
                    '\n')
    status, _, err = run("-t", "-c", path)
    assert status == 2
    found = re.findall(r"(?m)^%s:(\d+):\d+: error: " % re.escape(str(path)),
                       err)
    assert {"2", "4", "5", "6"} <= set(found), err
    assert found.count("6") >= 2, err
    assert "valid" not in err.replace("invalid", "")


def test_wrong_configuration_does_not_start(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text("version = 1;\nworkerz = 2;\n")
    status, _, err = run("-c", path)
    assert status == 2 and "%s:2:1: error: " % path in err
    status, _, err = run("-d", "-c", path)
    assert status == 2 and "%s:2:1: error: " % path in err


# -- -T --------------------------------------------------------------------

@pytest.mark.parametrize("option", ["-T", "--dump"])
def test_dump(good, option):
    """The effective configuration, the origin of each value, the phases."""
    status, out, err = run("-c", good, option)
    assert status == 0
    line = re.search(r"(?m)^.*\bkeepalive_timeout\b.*42s.*$", out)
    assert line and re.search(r"weir\.conf:\d+", line[0]), out[:3000]
    default = re.search(r"(?m)^.*\bclient_header_timeout\b.*10s.*$", out)
    assert default and "default" in default[0]
    phases = ["early_request", "route", "request", "request_body",
              "cache_lookup", "upstream_gate", "upstream_select",
              "upstream_connected", "upstream_connect_failed",
              "upstream_request", "upstream_response",
              "upstream_response_body", "upstream_response_trailers",
              "cache_store", "response", "response_body",
              "response_trailers", "upstream_failed", "fail", "log"]
    place = 0
    for phase in phases:
        match = re.compile(r"(?m)^\W*%s\b" % phase).search(out, place)
        assert match, "%s is not there, or out of order" % phase
        place = match.end()


def test_dump_covers_the_defaults(good):
    """Every timeout and limit is finite and shown."""
    _, out, _ = run("-c", good, "-T")
    for name, value in {
            "client_header_timeout": "10s", "client_body_timeout": "30s",
            "client_body_min_rate": "240", "header_size_max": "32KB",
            "fields_max": "100", "request_line_max": "8KB",
            "body_size_max": "1GB", "connect": "5s", "first_byte": "(60s|1m)",
            "between_bytes": "(60s|1m)", "connections_max": "65536",
            "stream_idle_timeout": "5m"}.items():
        assert re.search(r"(?m)^\s*%s\s*=\s*\"?%s\b" % (name, value), out), (
            name, value)


def test_dump_of_a_wrong_file(tmp_path):
    path = tmp_path / "weir.conf"
    path.write_text("version = 1;\nworkerz = 2;\n")
    status, _, err = run("-T", "-c", path)
    assert status == 2 and "%s:2:1: error: " % path in err


def test_options_override_the_file(good):
    _, out, _ = run("-c", good, "-T", "--workers", "7", "--log-level",
                    "debug")
    assert re.search(r"(?m)^\s*workers\s*=\s*7;?.*command line", out), out
    assert re.search(r"(?m)^\s*level\s*=\s*\"debug\"", out)


# -- running ---------------------------------------------------------------

@pytest.mark.process
def test_workers_option(start, origin):
    config = conf.proxy(origin)
    weir = start(config, "--workers", "3")
    wait.until(lambda: len(weir.children()) == 4)
    weir.expect_new_children()


@pytest.mark.process
@pytest.mark.parametrize("form", [":%d", "127.0.0.1:%d"])
def test_without_a_file(start, origin, form, tmp_path):
    """weir --from :8080 --to http://127.0.0.1:3000."""
    port = conf.free_port()
    weir = start(None, "--from", form % port, "--to",
                 "http://" + origin.backend, start=False)
    weir.addresses = [("127.0.0.1", port)]
    weir.start()
    assert weir.get("/hello").body == b"Hello World!\n"
    for name in ("/run/weir/weir.pid", "/var/run/weir/weir.pid"):
        if os.path.exists(name):
            with open(name) as f:
                assert f.read().strip() != str(weir.pid)
    assert set(os.listdir(weir.dir)) == {"stderr"}


@pytest.mark.process
def test_without_a_file_ipv6(start, origin):
    port = conf.free_port("::1")
    weir = start(None, "--from", "[::1]:%d" % port, "--to",
                 "http://" + origin.backend + "/", "--workers", "1",
                 start=False)
    weir.addresses = [("::1", port)]
    weir.start()
    assert weir.get("/hello").status == 200


def test_from_with_test_and_dump(origin):
    """The generated configuration can be tested and read."""
    args = ["--from", ":18080", "--to", "http://" + origin.backend]
    assert run(*args, "-t")[0] == 0
    status, out, _ = run(*args, "-T")
    assert status == 0 and origin.backend in out


@pytest.mark.process
def test_log_levels(start, origin):
    """debug says more than notice, error says nothing of a start."""
    sizes = {}
    for level in ("error", "notice", "debug"):
        weir = start(conf.proxy(origin), "--log-level", level)
        weir.get("/hello")
        weir.stop()
        sizes[level] = len(weir.log)
    assert sizes["error"] == 0 or sizes["error"] < sizes["notice"]
    assert sizes["notice"] < sizes["debug"]


@pytest.mark.process
def test_error_log_to_a_file(start, origin):
    """And reopened on USR1."""
    weir = start(conf.proxy(origin, top={
        "error_log": {"path": "@DIR@/error.log", "level": "info"}}))
    wait.until(lambda: weir.read("error.log"))
    os.rename(weir.path("error.log"), weir.path("old.log"))
    weir.send_signal(signal.SIGUSR1)
    wait.until(lambda: os.path.exists(weir.path("error.log")))
    victim = weir.children()[0]
    os.kill(victim, signal.SIGKILL)
    wait.until(lambda: str(victim) in weir.read("error.log"))
    wait.until(lambda: len(weir.children()) == 2
               and victim not in weir.children())
    weir.expect_new_children()
    assert all(proc.alive(pid) for pid in weir.children())


@pytest.mark.process
def test_first_connection_after_start(start, origin):
    """No request is lost between bind and the first worker."""
    weir = start(conf.proxy(origin), start=False)
    weir.start(ready=False)
    wait.until(lambda: weir._accepts(weir.address))
    assert once(weir.address, target="/hello", timeout=10).status == 200
    weir.wait_ready()
    weir.known_children = set(weir.children())
