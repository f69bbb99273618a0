# SPDX-License-Identifier: BSD-2-Clause
"""A next hop that connects for CONNECT, or does what a test scripts."""
import os
import shutil
import socket
import tempfile
import threading

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Hop:
    """At a Unix socket, or at 127.0.0.1.

    answer: bytes sent instead of OK (after which nothing is passed on unless
    they are a 2xx and `passes`), or None to say nothing.  `to`: connect there,
    whatever was asked for.  heads: the requests, as they came.
    """

    def __init__(self, unix=True, answer=OK, passes=True, to=None,
                 then_close=False):
        self.answer, self.passes, self.to = answer, passes, to
        self.then_close = then_close
        self.heads, self.kept = [], []
        self.folder = None
        if unix:
            self.folder = tempfile.mkdtemp(prefix="weir-hop-")
            os.chmod(self.folder, 0o755)
            path = os.path.join(self.folder, "sock")
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(path)
            os.chmod(path, 0o666)
            self.address = "unix:" + path
        else:
            self.sock = socket.socket()
            self.sock.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.sock.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.kept.append(sock)
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = sock.recv(1)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            if self.answer is not None:
                self._answer(sock, head)
            if self.then_close:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _answer(self, sock, head):
        if not self.passes:
            sock.sendall(self.answer)
            return
        host, _, port = (self.to or head.split()[1].decode()).rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as back:
            sock.sendall(self.answer)
            there = threading.Thread(target=pump, args=(sock, back),
                                     daemon=True)
            there.start()
            pump(back, sock)
            there.join()

    def close(self):
        self.sock.close()
        for sock in self.kept:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def pump(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
