"""weir between programs that nobody here wrote."""
# SPDX-License-Identifier: BSD-2-Clause
import asyncio
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib

import pytest

from conftest import need
from lib import conf, proc, wait
from lib.client import Client, once
from lib.origin import big

pytestmark = pytest.mark.forwarding


class Program:
    """A server of somebody else's, ended by its id."""

    def __init__(self, args, port, cwd, **kw):
        self.backend = "127.0.0.1:%d" % port
        self.log = open(os.path.join(cwd, "program.log"), "wb")
        self.process = subprocess.Popen(args, cwd=cwd, stdout=self.log,
                                        stderr=self.log, **kw)

        def ready():
            assert self.process.poll() is None, "%s ended" % args[0]
            try:
                Client(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                return False
        wait.until(ready, 20, what="%s listens" % args[0])

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.log.close()


@pytest.fixture
def program(tmp_path):
    running = []

    def start(args, port, **kw):
        one = Program([str(a) for a in args], port, str(tmp_path), **kw)
        running.append(one)
        return one
    yield start
    for one in running:
        one.close()


@pytest.fixture
def site(tmp_path):
    """A folder with files of several sizes."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, size in (("empty.txt", 0), ("small.txt", 13),
                       ("page.html", 5000), ("large.bin", 3 << 20)):
        (folder / name).write_bytes(big(size))
    for folder_ in (tmp_path, folder):
        os.chmod(folder_, 0o755)
    return folder


def curl(*args, **kw):
    return subprocess.run([need("curl"), "-sS", "--max-time", "60",
                           *map(str, args)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **kw)


def url(weir, path="/"):
    return "http://127.0.0.1:%d%s" % (weir.address[1], path)


# -- servers ---------------------------------------------------------------

def check_files(weir, site):
    with Client(weir.address) as client:
        for _ in range(3):
            for name in sorted(os.listdir(site)):
                response = client.get("/" + name)
                assert response.status == 200
                assert response.body == (site / name).read_bytes()
        assert client.get("/none").status == 404
        head = client.request("HEAD", "/large.bin")
        assert head.fields.one("content-length") == str(3 << 20)
        assert client.get("/small.txt").status == 200


def test_python_http_server(start, program, site):
    """python3 -m http.server: HTTP/1.0, closes each connection."""
    port = conf.free_port()
    server = program([sys.executable, "-m", "http.server", port, "--bind",
                      "127.0.0.1", "-d", site], port)
    check_files(start(conf.proxy(server)), site)


NGINX = """
daemon off; master_process off; pid %(dir)s/nginx.pid; error_log stderr;
worker_rlimit_nofile 4096;
events { worker_connections 1024; }
http {
  access_log off; default_type text/plain; client_max_body_size 0;
  client_body_temp_path %(dir)s/b; proxy_temp_path %(dir)s/p;
  fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u;
  scgi_temp_path %(dir)s/s;
  gzip on; gzip_proxied any; gzip_types text/plain text/html; gzip_min_length 100;
  types { text/html html; image/png png; application/javascript js;
          text/css css; application/octet-stream bin; }
  server {
    listen 127.0.0.1:%(port)d; root %(site)s;
    location /up { dav_methods PUT; create_full_put_path on; }
    location /moved { return 301 /small.txt; }
  }
}
"""


@pytest.fixture
def nginx(program, site, tmp_path):
    """nginx over the site; it takes uploads with PUT where it can."""
    path = need("nginx")
    port = conf.free_port()
    text = NGINX % {"dir": tmp_path, "port": port, "site": site}
    config = tmp_path / "nginx.conf"
    config.write_text(text)
    test = [path, "-t", "-c", str(config), "-p", str(tmp_path)]
    if subprocess.run(test, stderr=subprocess.DEVNULL).returncode:
        config.write_text(re.sub(r"location /up \{.*\}\n", "", text))
    one = program([path, "-c", config, "-p", tmp_path], port)
    one.can_put = "location /up" in config.read_text()
    return one


def test_nginx(start, nginx, site):
    """Kept connections, compressed answers, ranges, conditions."""
    weir = start(conf.proxy(nginx))
    check_files(weir, site)
    with Client(weir.address) as client:
        plain = client.get("/page.html")
        packed = client.get("/page.html", [("Accept-Encoding", "gzip")])
        assert packed.fields.one("content-encoding") == "gzip"
        assert zlib.decompress(packed.body, 31) == plain.body
        part = client.get("/large.bin", [("Range", "bytes=100-199")])
        assert part.status == 206 and part.body == big(200)[100:]
        several = client.get("/large.bin",
                             [("Range", "bytes=0-9,100-109")])
        assert several.status == 206
        assert several.fields.one("content-type").startswith(
            "multipart/byteranges")
        tag = plain.fields.get("etag")
        again = client.get("/page.html", [("If-None-Match", tag)])
        assert again.status == 304 and again.body == b""
        moved = client.get("/moved")
        assert moved.status == 301
        assert client.get("/small.txt").status == 200


NODE = r"""
const http = require('http'), crypto = require('crypto');
const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://x');
  if (url.pathname === '/json') {
    res.setHeader('Content-Type', 'application/json');
    res.setHeader('Set-Cookie', ['a=1', 'b=2']);
    res.end(JSON.stringify({method: req.method, url: req.url,
                            headers: req.headers}));
  } else if (url.pathname === '/stream') {
    let n = 0;
    const timer = setInterval(() => {
      res.write('piece ' + n + '\n');
      if (++n === 5) { clearInterval(timer); res.end(); }
    }, 20);
  } else if (url.pathname === '/hash') {
    const hash = crypto.createHash('sha256');
    let size = 0;
    req.on('data', d => { size += d.length; hash.update(d); });
    req.on('end', () => res.end(size + ' ' + hash.digest('hex')));
  } else if (url.pathname === '/hints') {
    res.writeEarlyHints({link: '</a.css>; rel=preload'});
    res.end('hinted');
  } else if (url.pathname === '/trailers') {
    res.writeHead(200, {'Trailer': 'X-Sum'});
    res.write('body');
    res.addTrailers({'X-Sum': '4'});
    res.end();
  } else {
    res.statusCode = 404;
    res.end('none');
  }
});
server.on('upgrade', (req, socket) => {
  const key = crypto.createHash('sha1').update(
    req.headers['sec-websocket-key'] +
    '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
    'Connection: Upgrade\r\nSec-WebSocket-Accept: ' + key + '\r\n\r\n');
  socket.pipe(socket);
});
server.listen(+process.argv[2], '127.0.0.1');
"""


@pytest.fixture
def node(program, tmp_path):
    path = need("node")
    port = conf.free_port()
    (tmp_path / "app.js").write_text(NODE)
    return program([path, tmp_path / "app.js", port], port)


def test_node(start, node):
    """An application: cookies, streams, uploads, hints, trailers."""
    weir = start(conf.proxy(node))
    with Client(weir.address) as client:
        response = client.get("/json?a=b", [("Cookie", "x=y")])
        assert response.fields.all("set-cookie") == ["a=1", "b=2"]
        assert b'"url":"/json?a=b"' in response.body
        assert b'"x-forwarded-for":"127.0.0.1"' in response.body
        assert client.get("/stream").text == "".join(
            "piece %d\n" % i for i in range(5))
        body = big(5 << 20)
        want = "%d %s" % (len(body), hashlib.sha256(body).hexdigest())
        assert client.request("POST", "/hash", body=body).text == want
        hinted = client.get("/hints")
        assert [i.status for i in hinted.interims] == [103]
        assert hinted.text == "hinted"
        trailed = client.get("/trailers", [("TE", "trailers"),
                                           ("Connection", "TE")])
        assert trailed.trailers.one("x-sum") == "4"
        assert client.get("/none").status == 404


# -- curl ------------------------------------------------------------------

def test_curl(start, nginx, node, site, tmp_path):
    """Downloads, uploads by length and chunked, resumed and many."""
    weir = start(conf.proxy(nginx))
    done = curl("-i", url(weir, "/small.txt"))
    assert done.returncode == 0 and b"200 OK" in done.stdout
    assert done.stdout.endswith(big(13))
    target = tmp_path / "copy"
    (tmp_path / "copy").write_bytes(big(1000))
    done = curl("-C", "-", "-o", target, url(weir, "/large.bin"))
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == big(3 << 20)
    done = curl("--parallel", *[a for i in range(20) for a in (
        "-o", tmp_path / ("p%d" % i), url(weir, "/large.bin"))])
    assert done.returncode == 0, done.stderr
    for i in range(20):
        assert (tmp_path / ("p%d" % i)).stat().st_size == 3 << 20
    done = curl("--http1.0", url(weir, "/page.html"))
    assert done.stdout == big(5000)
    done = curl("-I", url(weir, "/page.html"))
    assert b"200 OK" in done.stdout
    other = start(conf.proxy(node))
    source = tmp_path / "upload"
    source.write_bytes(big(2 << 20))
    want = ("%d %s" % (2 << 20, hashlib.sha256(big(2 << 20)).hexdigest())
            ).encode()
    for extra in ([], ["-H", "Transfer-Encoding: chunked"],
                  ["-H", "Expect: 100-continue"]):
        done = curl("-X", "POST", *extra, "--data-binary",
                    "@%s" % source, url(other, "/hash"))
        assert done.stdout == want, done.stderr


def test_curl_sees_a_cut_answer(start, origin):
    """It exits with 18 (partial file) or 56 (reset), not 0."""
    script = origin.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
                        then="close")
    weir = start(conf.proxy(origin))
    done = curl(url(weir, script.path))
    assert done.returncode in (18, 56)


# -- WebSocket -------------------------------------------------------------

def test_websocket_client(start, node):
    """The websockets library against an echo in Node.js."""
    websockets = pytest.importorskip("websockets")
    weir = start(conf.proxy(node))

    async def talk():
        # The server echoes raw frames, which are masked as the client's;
        # so only the handshake and a ping of our own are of use here.
        connection = await websockets.connect(
            "ws://127.0.0.1:%d/" % weir.address[1], open_timeout=10)
        connection.transport.abort()
    asyncio.run(talk())


def test_websocket_both_sides(start):
    """Client and server of the websockets library, messages of all
    sizes, compression, ping, close."""
    websockets = pytest.importorskip("websockets")

    async def talk():
        async def echo(connection, path=None):
            async for message in connection:
                await connection.send(message)
        async with websockets.serve(echo, "127.0.0.1", 0,
                                    max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            weir = await asyncio.to_thread(
                start, conf.proxy("127.0.0.1:%d" % port))
            async with websockets.connect(
                    "ws://127.0.0.1:%d/chat" % weir.address[1],
                    max_size=None) as connection:
                for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
                    data = os.urandom(size)
                    await connection.send(data)
                    assert await connection.recv() == data
                await connection.send("\u00e9" * 1000)
                assert await connection.recv() == "\u00e9" * 1000
                await asyncio.wait_for(await connection.ping(), 5)
            assert connection.close_code == 1000
    asyncio.run(asyncio.wait_for(talk(), 60))


# -- a browser -------------------------------------------------------------

def png(red, green, blue, size=8):
    """A small picture of one colour."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(
            ">I", zlib.crc32(body))
    row = b"\0" + bytes((red, green, blue)) * size
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0,
                                         0, 0))
            + chunk(b"IDAT", zlib.compress(row * size))
            + chunk(b"IEND", b""))


def make_page(site, assets):
    """A page that counts what of its pictures and scripts was loaded."""
    (site / "style.css").write_text("body { color: rgb(1, 2, 3) }\n")
    parts = ["<!DOCTYPE html><title>t</title>",
             "<link rel=stylesheet href=style.css>"]
    for i in range(assets):
        (site / ("i%d.png" % i)).write_bytes(png(i, i, 255 - i))
        (site / ("s%d.js" % i)).write_text(
            "window.loaded = (window.loaded || 0) + 1;\n// "
            + "x" * (i * 500))
        parts.append("<img src=i%d.png><script src=s%d.js></script>"
                     % (i, i))
    parts.append(
        "<p id=out></p><script>addEventListener('load', () => {"
        "const ok = [...document.images].filter(i => i.naturalWidth === 8);"
        "out.textContent = 'images ' + ok.length + ' scripts ' + loaded"
        " + ' ' + getComputedStyle(document.body).color;"
        "})</script>")
    (site / "index.html").write_text("".join(parts))


def test_chromium(start, nginx, site, tmp_path):
    """A page with dozens of assets, loaded headless."""
    chromium = shutil.which("chromium") or need("chromium-browser")
    assets = 40
    make_page(site, assets)
    weir = start(conf.config(
        conf.service({"path": "/", "upstream": "up"},
                     accesslog=[{"path": "@DIR@/a.log",
                                 "format": "${response.status} "
                                           "${request.path}"}]),
        [conf.upstream("up", nginx)], workers=2))
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu",
         "--disable-dev-shm-usage", "--disable-background-networking",
         "--no-first-run", "--no-proxy-server",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
         "--user-data-dir=%s/profile" % tmp_path, "--timeout=30000",
         "--virtual-time-budget=20000", "--dump-dom",
         url(weir, "/index.html")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
        env={**os.environ, "HOME": str(tmp_path)})
    page = done.stdout.decode("utf-8", "replace")
    assert ("images %d scripts %d rgb(1, 2, 3)" % (assets, assets)
            in page), (page[-500:], done.stderr[-2000:])
    wanted = {"200 /i%d.png" % i for i in range(assets)} | {
        "200 /s%d.js" % i for i in range(assets)}
    wait.until(lambda: wanted <= set(weir.read("a.log").split("\n")))


# -- a gigabyte ------------------------------------------------------------

@pytest.mark.long
def test_upload_of_a_gigabyte(start, node, tmp_path):
    """curl -T 1 GB through weir to Node.js; memory stays flat."""
    size = 1 << 30
    weir = start(conf.proxy(node))
    source = tmp_path / "gigabyte"
    with open(source, "wb") as f:
        f.truncate(size)
    with Client(weir.address) as client:
        client.get("/none")
        worker = weir.worker_of(client)
    before = proc.memory(worker)
    try:
        done = subprocess.run(
            [need("curl"), "-sS", "--max-time", "300", "-T", str(source),
             url(weir, "/hash")], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
    finally:
        source.unlink()
    assert done.stdout.startswith(b"%d " % size), (done.stdout, done.stderr)
    assert proc.memory(worker) - before < 2 << 20
    assert once(weir.address, target="/none").status == 404
