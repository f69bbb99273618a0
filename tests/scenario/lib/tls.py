# SPDX-License-Identifier: BSD-2-Clause
"""Certificates made with openssl(1), and both ends of TLS for the tests."""
import os
import select
import shutil
import ssl
import subprocess
import tempfile
import threading
import time

from .client import Client
from .origin import Origin
from .wire import Reader, Timeout

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
RSA = ["-newkey", "rsa:2048"]


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *map(str, args)], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Certs:
    """A folder of certificates; every maker returns (cert, key) paths."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-tls-")
        os.chmod(self.dir, 0o755)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def _finish(self, file):
        os.chmod(self.path(file + ".key"), 0o640)
        return self.path(file + ".pem"), self.path(file + ".key")

    def ca(self, file, subject=None, kind=EC):
        """An authority of its own."""
        openssl("req", "-x509", *kind, "-nodes", "-days", 30, "-subj",
                "/CN=" + (subject or file), "-keyout",
                self.path(file + ".key"), "-out", self.path(file + ".pem"))
        return self._finish(file)

    def own(self, file, *names, kind=EC, days=30):
        """A self-signed one."""
        openssl("req", "-x509", *kind, "-nodes", "-days", days, "-subj",
                "/CN=" + names[0], "-addext", "subjectAltName=" + sans(names),
                "-keyout", self.path(file + ".key"),
                "-out", self.path(file + ".pem"))
        return self._finish(file)

    def signed(self, file, ca, *names, kind=EC, days=30, is_ca=False,
               extra=""):
        """One that ca (a pair of paths) has signed."""
        request = openssl("req", "-new", *kind, "-nodes", "-subj",
                          "/CN=" + names[0], "-keyout",
                          self.path(file + ".key"))
        with open(self.path(file + ".ext"), "w") as f:
            f.write("subjectAltName=%s\n" % sans(names))
            f.write(extra)
            if is_ca:
                f.write("basicConstraints=critical,CA:TRUE\n")
        openssl("x509", "-req", "-days", days, "-CA", ca[0], "-CAkey", ca[1],
                "-CAcreateserial", "-extfile", self.path(file + ".ext"),
                "-out", self.path(file + ".pem"), stdin=request)
        return self._finish(file)

    def crl(self, file, ca, *revoked, days=30):
        """A list of ca's, by which these certificates are revoked; its path.

        days < 0: it has expired.
        """
        index, rules = self.path(file + ".index"), self.path(file + ".cnf")
        with open(index, "w") as f:
            for path in revoked:
                serial = openssl("x509", "-in", path, "-noout", "-serial")
                f.write("R\t350101000000Z\t250101000000Z\t%s\tunknown\t"
                        "/CN=x\n" % serial.decode().strip().partition(
                            "=")[2])
        with open(rules, "w") as f:
            f.write("[ca]\ndefault_ca = own\n[own]\ndatabase = %s\n"
                    "default_md = sha256\n" % index)

        def at(seconds):
            return time.strftime("%y%m%d%H%M%SZ",
                                 time.gmtime(time.time() + seconds))
        openssl("ca", "-gencrl", "-config", rules, "-cert", ca[0],
                "-keyfile", ca[1], "-out", self.path(file),
                "-crl_lastupdate", at(-86400 * 60),
                "-crl_nextupdate", at(86400 * days))
        return self.path(file)

    def joined(self, file, *paths):
        """Certificates behind each other: a chain."""
        with open(self.path(file), "w") as out:
            for path in paths:
                with open(path) as f:
                    out.write(f.read())
        return self.path(file)


def sans(names):
    return ",".join(("IP:" if name.replace(".", "").isdigit() else "DNS:")
                    + name for name in names)


def client_context(ca=None, pair=None, version=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if pair:
        context.load_cert_chain(*pair)
    if version:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class TlsReader(Reader):
    """Records that bring no bytes (tickets) are not mistaken for an end."""

    truncated = False

    def _fill(self, deadline, size=65536):
        if self.eof:
            return False
        while True:
            if self.sock.fileno() < 0:
                self.eof = True
                return False
            self.sock.setblocking(False)
            try:
                data = self.sock.recv(size)
                break
            except ssl.SSLWantReadError:
                self._wait(deadline)
            except ssl.SSLEOFError:
                self.truncated = self.eof = True
                return False
            except (ConnectionResetError, BrokenPipeError):
                self.reset = self.eof = True
                return False
            except OSError:
                self.eof = True
                return False
            finally:
                if self.sock.fileno() >= 0:
                    self.sock.settimeout(self.timeout)
        if not data:
            self.eof = True
            return False
        self.buf += data
        if self.keep:
            self.received += data
        return True

    def _wait(self, deadline):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise Timeout("nothing came; so far: %r" % bytes(self.buf[:400]))


class TlsClient(Client):
    """A client over TLS; session resumes an earlier one's."""

    def __init__(self, address, context=None, name=None, session=None,
                 timeout=8.0, **kw):
        super().__init__(address, timeout, **kw)
        context = context or client_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=name,
                                        session=session,
                                        suppress_ragged_eofs=False)
        self.reader = TlsReader(self.sock, timeout)

    @property
    def peer(self):
        """The common name of the server's certificate, by its bytes."""
        der = self.sock.getpeercert(True)
        text = openssl("x509", "-inform", "DER", "-noout", "-subject",
                       stdin=der).decode()
        return text.strip().rpartition("CN = ")[2]


class TlsOrigin(Origin):
    """An origin that speaks TLS."""

    def __init__(self, pair, ca=None, alpn=None, **kw):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*pair)
        self.names = []
        self.resumed = []
        self.failures = []
        self.context.sni_callback = self._on_name
        if alpn:
            self.context.set_alpn_protocols(alpn)
        if ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(ca)
        super().__init__(**kw)

    def _on_name(self, sock, name, context):
        self.names.append(name)

    def _serve(self, conn):
        try:
            conn.sock = self.context.wrap_socket(conn.sock, server_side=True)
        except OSError as wrong:
            self.failures.append(wrong)
            conn.ended.set()
            conn.sock.close()
            return
        self.resumed.append(conn.sock.session_reused)
        conn.reader = TlsReader(conn.sock, self.timeout)
        super()._serve(conn)


class TlsSocket:
    """TLS over a socket, for one thread that reads while others write."""

    def __init__(self, sock, context, is_server=False, name=None):
        self.sock = sock
        self.lock = threading.Lock()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, is_server,
                                    name)
        while not self._try(self.tls.do_handshake)[0]:
            self._fetch()

    def _try(self, call, *args):
        """(True, result), or (False, None) where it needs more bytes."""
        with self.lock:
            try:
                return True, call(*args)
            except ssl.SSLWantReadError:
                return False, None
            finally:
                out = self.outgoing.read()
                if out:
                    self.sock.sendall(out)

    def _fetch(self):
        data = self.sock.recv(65536)
        if not data:
            raise OSError("closed")
        with self.lock:
            self.incoming.write(data)

    def recv(self, n):
        while True:
            done, data = self._try(self.tls.read, n)
            if done:
                return data
            self._fetch()

    def sendall(self, data):
        self._try(self.tls.write, data)

    def shutdown(self, how):
        self.sock.shutdown(how)

    def close(self):
        self.sock.close()
