# SPDX-License-Identifier: BSD-2-Clause
"""The programs that take part: the proxies, the origin, the load.

Each is started here, bounded in time, and ended by its own process id.
"""

import grp
import hashlib
import json
import os
import pwd
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import measure

HERE = os.path.dirname(os.path.realpath(__file__))
PROXY_CORE = 0
LOAD_CORE = 1
TLS_HOST = "127.0.0.2"  # the same port as in clear text
TOOLS = {  # what is built, of which sources, with which libraries
    "load": (["load.c", "clients.c", "tally.c"], []),
    "origin": (["origin.c"], []),
    "handshakes": (["handshakes.c"], ["-lssl", "-lcrypto", "-lpthread"]),
}
NICE = 0


# Of the one client of the profile "complete".
KEY = "5f0c1c3e8a7d49b2a6c40d7c1f3e9b58"
USER_AGENT = "load/1"  # of load.c: a key that it sends in any case


class PeerError(Exception):
    pass


def pinned(core, account=None):
    """What a child does before it becomes the program: stay on its core."""
    cores = os.sched_getaffinity(0)

    def pin():
        os.nice(NICE)
        if core in cores and len(cores) > 1:
            os.sched_setaffinity(0, {core})
        if account is not None:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
    return pin


def raise_file_limit(wanted):
    """Have as many descriptors as allowed; the proxies inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (max(hard, wanted), max(hard, wanted)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def autogroup_nice(value):
    """Set the niceness of our session, beside which that of one process does
    not count where sessions are scheduled as groups; return what it was."""
    path = "/proc/self/autogroup"
    try:
        before = int(measure.read(path).split()[-1])
        with open(path, "w", encoding="ascii") as file:
            file.write(str(value))
        return before
    except (OSError, IndexError, ValueError):
        return 0


def end(process, signals, patience=5.0):
    """End a child with the first signal that works, and at last with KILL."""
    for number in signals:
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            pass
    for pid in measure.tree(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()


class Origin:
    def __init__(self, tools, first, count, lifetime):
        self.ports = range(first, first + count)
        argv = [os.path.join(tools, "origin"), "-p",
                f"{first}-{first + count - 1}", "-T", str(lifetime)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=pinned(LOAD_CORE))
        if self.process.stdout.readline() != "ready\n":
            raise PeerError(f"the origin cannot listen on port {first}")

    def stats(self):
        _, body = fetch(self.ports[0], "/_stats")
        return json.loads(body)

    def stop(self):
        end(self.process, [signal.SIGTERM])
        self.process.stdout.close()


def fetch(port, path, timeout=5.0):
    """A GET with nothing but a socket: (status, body)."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench.example\r\n" \
              "Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout) as sock:
        sock.sendall(request.encode())
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return head[9:12].decode(), body


class Load:
    """One run of the load generator, which stops before and after the work."""

    program, host = "load", "127.0.0.1"

    def __init__(self, tools, port, arguments, limit=60):
        argv = [os.path.join(tools, self.program), "-g", "-T", str(limit),
                "-a", f"{self.host}:{port}"] + [str(word) for word in
                                                arguments]
        self.limit = limit
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=pinned(LOAD_CORE))
        self.line()

    def line(self):
        # A line is written at once, so there is never half of one to read.
        ready, _, _ = select.select([self.process.stdout], [], [],
                                    self.limit + 10)
        text = self.process.stdout.readline().decode() if ready else ""
        if not text:
            self.close()
            raise PeerError("the load generator gave no answer")
        return text

    def begin(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def result(self):
        """What came of the measured requests; raises if any went wrong."""
        result = json.loads(self.line())
        if result["errors"] != 0:
            self.close()
            raise PeerError(f"{result['errors']} errors, the first: "
                            f"{result.get('error')}")
        return result

    def go(self):
        self.begin()
        return self.result()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Handshakes(Load):
    """TLS connections, full or resumed: handshakes.c says how."""

    program, host = "handshakes", TLS_HOST


class H2load:
    """Requests over TLS by h2load, which opens its connections with them."""

    def __init__(self, _tools, port, arguments, limit=60):
        path = shutil.which("h2load")
        if path is None:
            raise PeerError("no program h2load (Debian: nghttp2-client)")
        *options, path_asked = [str(word) for word in arguments]
        self.count = int(options[options.index("-n") + 1])
        self.limit = limit
        self.argv = [path, "-t1", "--tls13-ciphers=TLS_AES_128_GCM_SHA256",
                     "--groups=X25519"] + options + [
                         f"https://{TLS_HOST}:{port}{path_asked}"]

    def go(self):
        try:
            done = subprocess.run(self.argv, capture_output=True, text=True,
                                  timeout=self.limit, check=False,
                                  preexec_fn=pinned(LOAD_CORE))
        except subprocess.TimeoutExpired as error:
            raise PeerError("h2load took too long") from error
        wanted = (f" {self.count} done, {self.count} succeeded, 0 failed, ",
                  f"status codes: {self.count} 2xx")
        if done.returncode != 0 or not all(w in done.stdout for w in wanted):
            raise PeerError("h2load: " + done.stdout[-400:] + done.stderr)
        return {"requests": self.count}

    def close(self):
        pass


def certificate(folder):
    """A pair for ECDSA P-256 in one file, which all proxies share."""
    pair = os.path.join(folder, "pair.pem")
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example",
         "-keyout", pair, "-out", pair + ".crt"],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerError("openssl req: " + done.stderr)
    with open(pair, "a", encoding="ascii") as file:
        file.write(measure.read(pair + ".crt"))
    if os.geteuid() == 0:
        shutil.chown(pair, "nobody")
    return pair


class Proxy:
    """A proxy server in the foreground, with its configuration."""

    name = ""
    template = ""
    stop_signals = [signal.SIGTERM]

    def __init__(self, path, folder, port, backends, workers=1, idle_s=60,
                 wrapper=(), connections=16384, profile="", modules="",
                 top=""):
        self.folder = tempfile.mkdtemp(prefix=self.name + "-", dir=folder)
        self.port = port
        self.path = path
        # valgrind writes its figures at the end, as whoever it is by then:
        # below it nothing may change its user.
        self.nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.switches = self.nobody is not None and not wrapper
        values = {
            "DIR": self.folder, "PORT": port, "WORKERS": workers,
            "PAIR": os.path.join(folder, "pair.pem"),
            "IDLE": idle_s, "CONNECTIONS": connections, "USER": self.user(),
            "FILES": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "MASTER": "off" if wrapper else "on",
            "KEY": KEY, "TOP": top, "MODULES": modules.replace("@DIR@", self.folder),
            "BACKENDS": self.separator.join(
                self.backend.format(port=number) for number in backends),
        }
        self.write_keys()
        template = profile + self.template
        self.conf = os.path.join(self.folder, template)
        with open(os.path.join(HERE, "conf", template),
                  encoding="ascii") as file:
            text = re.sub(r"@([A-Z]+)@", lambda m: str(values[m.group(1)]),
                          file.read())
        with open(self.conf, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(self.folder, 0o755)
        if self.nobody is not None:
            shutil.chown(self.folder, self.nobody.pw_uid)
        with open(os.path.join(self.folder, "output"), "wb") as output:
            self.process = subprocess.Popen(
                list(wrapper) + self.command(), stdout=output,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                preexec_fn=pinned(PROXY_CORE,
                                  self.nobody if wrapper else None))
        self.await_answer(60 if wrapper else 10)

    def write_keys(self):
        """For those that read them: hashed, as weir has them, and plain."""
        hashed = "".join(f"{who} sha256:" + hashlib.sha256(
            key.encode()).hexdigest() + "\n" for who, key in (
                ("bench", KEY), ("load", USER_AGENT)))
        for name, text in (("keys", hashed), ("keys.plain", KEY + "\n")):
            with open(os.path.join(self.folder, name), "w",
                      encoding="ascii") as file:
                file.write(text)

    def user(self):
        """The line that makes workers unprivileged; nothing without root."""
        if not self.switches:
            return ""
        group = grp.getgrgid(self.nobody.pw_gid).gr_name
        return self.user_line.format(user="nobody", group=group)

    def await_answer(self, patience):
        deadline = time.monotonic() + patience
        status = "no answer"
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                status, _ = fetch(self.port, "/b/16", patience)
                if status in ("200", "401"):
                    return
            except OSError as error:
                status = str(error)
            time.sleep(0.05)
        self.stop()
        with open(os.path.join(self.folder, "output"),
                  encoding="utf-8", errors="replace") as file:
            output = file.read()[-600:].strip()
        raise PeerError(f"{self.name} does not serve ({status}): {output}")

    def stop(self):
        end(self.process, self.stop_signals)

    @property
    def pid(self):
        return self.process.pid


class Nginx(Proxy):
    name = "nginx"
    template = "nginx.conf"
    user_line = "user {user} {group};"
    backend = "server 127.0.0.1:{port};"
    separator = "\n\t\t"

    def command(self):
        return [self.path, "-c", self.conf]

    @staticmethod
    def version(path):
        text = run_text([path, "-v"])
        return re.search(r"nginx/(\S+)", text).group(1)


class Haproxy(Proxy):
    name = "haproxy"
    template = "haproxy.cfg"
    user_line = "user {user}\n\tgroup {group}"
    backend = "server s{port} 127.0.0.1:{port}"
    separator = "\n\t"

    def command(self):
        return [self.path, "-db", "-q", "-f", self.conf]

    @staticmethod
    def version(path):
        return re.search(r"version (\S+)", run_text([path, "-v"])).group(1)


class Weir(Proxy):
    name = "weir"
    template = "weir.conf"
    user_line = 'user = "{user}"; group = "{group}";'
    backend = '{{ address = "127.0.0.1:{port}"; }}'
    separator = ",\n\t\t"
    stop_signals = [signal.SIGTERM, signal.SIGINT]

    def command(self):
        return [self.path, "-c", self.conf]

    @staticmethod
    def version(path):
        return (run_text([path, "-V"]).split("\n")[0] or "?").split()[-1]


PROXIES = {kind.name: kind for kind in (Weir, Nginx, Haproxy)}


def run_text(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10,
                              check=False)
    except OSError as error:
        raise PeerError(f"cannot run {argv[0]}: {error}") from error
    return done.stdout + done.stderr


def tools(given, folder):
    """The folder that holds our own programs; they are built if need be."""
    for place in [given] if given else [os.path.join(os.getcwd(), "bench")]:
        if all(os.access(os.path.join(place, name), os.X_OK)
               for name in TOOLS):
            return os.path.abspath(place)
    if given:
        raise PeerError(f"{given} has not all of {', '.join(TOOLS)}")
    compiler = os.environ.get("CC", "cc").split()
    for name, (sources, libraries) in TOOLS.items():
        subprocess.run(compiler + ["-std=c11", "-D_GNU_SOURCE", "-O2", "-o",
                                   os.path.join(folder, name)] +
                       [os.path.join(HERE, source) for source in sources] +
                       libraries, check=True)
    return folder
