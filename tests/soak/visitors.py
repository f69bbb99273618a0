# SPDX-License-Identifier: BSD-2-Clause
"""What the clients of tests/loss do not do: TLS, HTTP/2 to clients and to
backends, and every module of weir.  With curl, over and over; connections may
break, for processes are killed meanwhile, but no answer may be wrong."""
import collections
import os
import shutil
import subprocess
import threading

BATCH = 6
LISTEN = ('listen = ( { address = "127.0.0.1:%d"; http2 = true;\n'
          '\t    tls = { cert = "@DIR@/soak.pem"; key = "@DIR@/soak.key"; }; '
          '} );')
# Over TLS, all in use; behind it another service of the same weir, over TLS
# and HTTP/2, which answers like a backend for gRPC and as text.
SERVICES = """,
	{ name = "secure";
	  %(secure)s
	  access = ( { from = [ "127.0.0.0/8" ]; action = "allow"; },
	             { action = "deny"; } );
	  accesslog = ( { path = "@DIR@/access.log";
	    format = "<${request.method} ${response.status} ${request.path}>";
	  } );
	  auth = { api_key = { header = "X-API-Key"; file = "@DIR@/keys"; }; };
	  compress = { codings = [ "gzip" ]; };
	  grpcweb = { };
	  headers = { response = { set = { X-Soak = "1"; }; }; };
	  ratelimit = ( { concurrent = %(places)d; },
	                { rate = "100000/s"; burst = 100000; } );
	  requestid = { };
	  rewrite = ( { prefix = "/old"; replace = "/b"; } );
	  # Those who hold a place read nothing.
	  client_write_timeout = "20m"; client_body_min_rate = 0;
	  routes = ( { path = "/inner"; upstream = "inner"; },
	             { path = "/"; upstream = "app"; } ); },
	{ name = "inner";
	  %(inner)s
	  routes = (
	    { path = "/inner/grpc";
	      respond = { content_type = "application/grpc";
	                  headers = { grpc-status = "0"; }; }; },
	    { path = "/inner/text";
	      respond = { content_type = "text/plain";
	                  body = "%(text)s"; }; } ); }
"""
UPSTREAMS = """,
	{ name = "inner"; protocol = "h2"; tls = { verify = false; };
	  max_fails = 0;
	  backends = ( { address = "127.0.0.1:%d"; max_connections = 40; } );
	  keepalive = { idle_timeout = "2s"; }; }
"""
TEXT = "all work and no play " * 400
MODULES = ["access", "accesslog", "auth", "compress", "grpcweb", "headers",
           "ratelimit", "requestid", "rewrite"]
# Counters that say that a thing was really in use.
USED = ['weir_proxy_backend_reuses_total{from="shared"}',
        "weir_access_checked_total", 'weir_auth_granted_total{'
        'method="api_key"}', 'weir_compress_bodies_total{way="encoded"}',
        'weir_grpcweb_calls_total{form="binary"}',
        "weir_ratelimit_checked_total", "weir_requestid_made_total",
        "weir_rewrite_rewritten_total", "weir_proxy_h2_connections_total",
        "weir_proxy_h2_backend_connections_total",
        'weir_proxy_tls_handshakes_total{outcome="full"}']


def missing(version):
    """Why they cannot be: what `weir -V` does not have; "" if they can."""
    words = version.split("libraries:")[0].split()
    lack = [name for name in MODULES if name not in words]
    if "no HTTP/2" in version:
        lack.append("HTTP/2")
    for program in ("curl", "openssl"):
        if not shutil.which(program):
            lack.append(program)
    return ", ".join(lack)


class Visitors:
    """Their part of the configuration, and their threads."""

    places = 30

    def __init__(self, folder, weirctl, secure, inner):
        self.folder, self.secure, self.inner = folder, secure, inner
        self.codes = collections.Counter()
        self.wrong = []
        self.is_over = threading.Event()
        self.threads = []
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
             "/CN=soak", "-keyout", os.path.join(folder, "soak.key"), "-out",
             os.path.join(folder, "soak.pem")], check=True,
            stderr=subprocess.DEVNULL)
        self.key = subprocess.run(
            [weirctl, "apikey", "add", "--file",
             os.path.join(folder, "keys"), "--identity", "soak"], text=True,
            check=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout.strip()

    def configuration(self, text):
        services = SERVICES % {
            "secure": LISTEN % self.secure, "inner": LISTEN % self.inner,
            "places": self.places, "text": TEXT}
        text = text.replace("; } ); }\n);\n\nadmin",
                            "; } ); }%s);\n\nadmin" % services)
        return text.replace("idle_max = 256; }; }\n",
                            "idle_max = 256; }; }%s" % (
                                UPSTREAMS % self.inner))

    def url(self, path):
        return "https://127.0.0.1:%d%s" % (self.secure, path)

    def curl(self, *args):
        return subprocess.run(
            ["curl", "-sk", "--max-time", "20", "-H", "X-API-Key: " +
             self.key, "-w", "%{http_code} %{size_download}\\n", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True).stdout.splitlines()

    def visit(self, kind, good, *args):
        """good: lines as they may be, beside those of a cut."""
        for line in self.curl(*args):
            code = line.split()[0]
            self.codes[kind, code] += 1
            # One behind the other: its worker may be the killed one.
            cut = code == "000" or (kind in ("text", "grpc") and
                                    code in ("502", "504"))
            # The head had come, and the end did not.
            cut = cut or (code == "200" and
                          int(line.split()[1]) < int(good.split()[1]))
            if line != good and not cut:
                self.wrong.append("%s: %s instead of %s" % (kind, line, good))

    def batch(self, *paths):
        args = []
        for path in paths:
            args += ["-o", "/dev/null", self.url(path)]
        return args

    def run(self, number):
        """One thread; each begins with another kind."""
        kinds = [
            lambda: self.visit("h1", "200 3000", "--http1.1", *self.batch(
                *["/b/3000/1"] * BATCH)),
            lambda: self.visit("h2", "200 3000", "--http2", "-Z", *self.batch(
                *["/old/3000/1"] * BATCH)),
            lambda: self.visit("text", "200 %d" % len(TEXT), "--http2",
                               "--compressed", *self.batch(
                                   *["/inner/text"] * BATCH)),
            lambda: self.visit("grpc", "200 20", "-H", "Content-Type: "
                               "application/grpc-web+proto", "--data-binary",
                               "\1", *self.batch("/inner/grpc")),
        ]
        while not self.is_over.is_set():
            kinds[number % len(kinds)]()
            number += 1

    def begin(self, count=3):
        for number in range(count):
            thread = threading.Thread(target=self.run, args=(number,),
                                      daemon=True)
            thread.start()
            self.threads.append(thread)

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(60)

    def had_all(self):
        return all(self.codes[kind, "200"] for kind in
                   ("h1", "h2", "text", "grpc"))

    def answers(self):
        return sum(n for (_, code), n in self.codes.items() if code == "200")
