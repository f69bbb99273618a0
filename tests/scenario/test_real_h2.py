# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/2, gRPC and WebSocket with programs that nobody here wrote."""
import asyncio
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest

from conftest import need
from lib import conf, tls, wait
from lib import h2wire as h2
from lib.client import Client
from lib.origin import big
from lib.weir import run
from test_real import make_page, nginx, program, site  # noqa: F401

pytestmark = pytest.mark.forwarding


@pytest.fixture(scope="module", autouse=True)
def built_with_it():
    status, out, err = run("-V")
    if "no HTTP/2" in out + err:
        pytest.skip("this weir has no HTTP/2")


@pytest.fixture(scope="module")
def certs():
    """An authority, and a server of its own called localhost."""
    folder = tls.Certs()
    folder.root = folder.ca("ca")
    folder.server = folder.signed("localhost", folder.root, "localhost",
                                  "127.0.0.1")
    os.chmod(folder.server[1], 0o644)
    yield folder
    folder.remove()


def listeners(certs):
    """In clear text, and over TLS."""
    return [{"address": conf.address(), "h2c": True},
            {"address": conf.address(), "http2": True,
             "tls": {"cert": certs.server[0], "key": certs.server[1]}}]


# -- packages of npm -------------------------------------------------------

def installed(*packages):
    """A folder with packages of npm; skips where they cannot be had."""
    npm, folder = need("npm"), tempfile.mkdtemp(prefix="weir-npm-")
    try:
        done = subprocess.run(
            [npm, "install", "--prefer-offline", "--ignore-scripts",
             "--no-audit", "--no-fund", "--no-save", "--silent",
             "--fetch-retries=0", "--fetch-timeout=20000", *packages],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=90)
        if done.returncode != 0:
            pytest.skip("npm cannot install %s: %s" % (
                packages, done.stdout.decode("utf-8", "replace")[-200:]))
        yield folder
    except subprocess.TimeoutExpired:
        pytest.skip("npm cannot install %s in time" % (packages,))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def modules():
    yield from installed("@grpc/grpc-js@1", "ws@8")


@pytest.fixture(scope="module")
def web_modules():
    yield from installed("@grpc/grpc-js@1", "@connectrpc/connect@1",
                         "@connectrpc/connect-node@1", "@bufbuild/protobuf@1")


class Script:
    """A program for Node.js; its first line of output is a port."""

    def __init__(self, text, folder, *args):
        self.process = subprocess.Popen(
            [need("node"), "-e", text, "--", *map(str, args)], cwd=folder,
            stdout=subprocess.PIPE, text=True)
        self.backend = "127.0.0.1:%d" % int(self.line())

    def line(self):
        return self.process.stdout.readline()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def script():
    running = []

    def start(*args):
        running.append(Script(*args))
        return running[-1]
    yield start
    for one in running:
        one.close()


def node(text, folder, *args):
    """What a program that ends by itself has printed, as JSON."""
    done = subprocess.run([need("node"), "-e", text, "--", *map(str, args)],
                          cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=90)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads(done.stdout)


# -- gRPC ------------------------------------------------------------------

GRPC = r"""
const grpc = require('@grpc/grpc-js'), fs = require('fs');
const same = (x) => x;
const method = (name, asks, tells) => ({
  path: '/t.T/' + name, requestStream: asks, responseStream: tells,
  requestSerialize: same, requestDeserialize: same,
  responseSerialize: same, responseDeserialize: same,
});
const methods = {
  unary: method('Unary', false, false),
  down: method('Down', false, true),
  up: method('Up', true, false),
  both: method('Both', true, true),
  fail: method('Fail', false, false),
  wait: method('Wait', false, false),
};
"""

GRPC_SERVER = GRPC + r"""
let cancelled = 0;
const server = new grpc.Server();
server.addService(methods, {
  unary: (call, done) => {
    const trailer = new grpc.Metadata();
    trailer.set('x-trailer', 'last');
    const head = new grpc.Metadata();
    head.set('x-head', String(call.metadata.get('x-asked')[0] || ''));
    call.sendMetadata(head);
    if (call.request.toString() === 'cancelled?')
      done(null, Buffer.from(String(cancelled)), trailer);
    else
      done(null, call.request, trailer);
  },
  down: (call) => {
    const n = +call.request.toString();
    for (let i = 0; i < n; i++) call.write(Buffer.from('message ' + i));
    call.end();
  },
  up: (call, done) => {
    let sum = 0;
    call.on('data', (d) => { sum += d.length; });
    call.on('end', () => done(null, Buffer.from(String(sum))));
  },
  both: (call) => {
    call.on('data', (d) => call.write(d));
    call.on('end', () => call.end());
    call.once('cancelled', () => { cancelled++; });
  },
  fail: (call, done) => done({
    code: grpc.status.NOT_FOUND, details: 'nothing here: \u00e9%\n' }),
  wait: (call) => { call.once('cancelled', () => { cancelled++; }); },
});
const credentials = process.argv[1] === 'tls'
  ? grpc.ServerCredentials.createSsl(null, [{
      cert_chain: fs.readFileSync(process.argv[2]),
      private_key: fs.readFileSync(process.argv[3]) }])
  : grpc.ServerCredentials.createInsecure();
server.bindAsync('127.0.0.1:0', credentials, (wrong, port) => {
  if (wrong) throw wrong;
  console.log(port);
});
"""

GRPC_CLIENT = GRPC + r"""
const [target, ca] = process.argv.slice(1);
const Service = grpc.makeGenericClientConstructor(methods, 'T');
const client = new Service(target, ca
  ? grpc.credentials.createSsl(fs.readFileSync(ca))
  : grpc.credentials.createInsecure());
const out = {};
const soon = () => ({ deadline: Date.now() + 30000 });
const unary = (name, data, options, metadata) => new Promise((resolve) => {
  const got = {};
  const call = client[name](data, metadata || new grpc.Metadata(),
    options || soon(), (wrong, answer) => {
      got.code = wrong ? wrong.code : 0;
      got.details = wrong ? wrong.details : '';
      got.size = answer ? answer.length : -1;
      got.text = answer && answer.length < 100 ? answer.toString() : '';
    });
  call.on('metadata', (m) => { got.head = m.get('x-head')[0]; });
  call.on('status', (s) => {
    got.trailer = s.metadata.get('x-trailer')[0];
    setImmediate(() => resolve(got));
  });
});
const ended = (call) => new Promise((resolve) => {
  call.on('error', () => {});
  call.on('status', (s) => resolve(s.code));
});
(async () => {
  const metadata = new grpc.Metadata();
  metadata.set('x-asked', 'this');
  out.unary = await unary('unary', Buffer.from('hello'), soon(), metadata);
  out.large = await unary('unary', Buffer.alloc(3 << 20, 7));

  const down = client.down(Buffer.from('50'), soon());
  let n = 0;
  down.on('data', (d) => { n += d.toString() === 'message ' + n; });
  out.down = [await ended(down), n];

  out.up = await new Promise((resolve) => {
    const up = client.up(soon(), (wrong, answer) =>
      resolve(wrong ? wrong.code : answer.toString()));
    for (let i = 0; i < 30; i++) up.write(Buffer.alloc(i * 1000));
    up.end();
  });

  // Each message waits for the one before it to come back.
  const both = client.both(soon());
  let turns = 0;
  both.on('data', (d) => {
    turns += d.toString() === 'turn ' + turns;
    if (turns < 20) both.write(Buffer.from('turn ' + turns));
    else both.end();
  });
  both.write(Buffer.from('turn 0'));
  out.both = [await ended(both), turns];

  out.fail = await unary('fail', Buffer.alloc(0));
  out.deadline = await unary('wait', Buffer.alloc(0),
    { deadline: Date.now() + 300 });

  const cancel = client.both(soon());
  const over = ended(cancel);
  cancel.on('data', () => cancel.cancel());
  cancel.write(Buffer.from('once'));
  out.cancel = await over;
  for (let i = 0; i < 200; i++) {
    out.cancelled = (await unary('unary', Buffer.from('cancelled?'))).text;
    if (out.cancelled === '2') break;
    await new Promise((r) => setTimeout(r, 50));
  }
  client.close();
  console.log(JSON.stringify(out));
})();
"""


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_grpc(start, script, modules, certs, secure):
    """@grpc/grpc-js on both sides: unary, streams, errors, deadline,
    cancellation."""
    server = script(GRPC_SERVER, modules, *(
        ["tls", *certs.server] if secure else []))
    up = {"protocol": "h2"}
    if secure:
        up["tls"] = {"sni": "localhost", "ca_file": certs.root[0]}
    weir = start(conf.proxy(server, up=up, listen=listeners(certs)))
    got = node(GRPC_CLIENT, modules, *(
        ["localhost:%d" % weir.addresses[1][1], certs.root[0]] if secure
        else ["127.0.0.1:%d" % weir.address[1]]))
    assert got["unary"] == {"code": 0, "details": "", "size": 5,
                            "text": "hello", "head": "this",
                            "trailer": "last"}
    assert got["large"]["code"] == 0 and got["large"]["size"] == 3 << 20
    assert got["down"] == [0, 50]
    assert got["up"] == str(sum(i * 1000 for i in range(30)))
    assert got["both"] == [0, 20]
    assert got["fail"]["code"] == 5
    assert got["fail"]["details"] == "nothing here: \u00e9%\n"
    assert got["deadline"]["code"] == 4
    assert got["cancel"] == 1
    # The server heard of the deadline and of the cancellation.
    assert got["cancelled"] == "2"


GRPC_WEB_CLIENT = r"""
const { createPromiseClient, Code } = require('@connectrpc/connect');
const { createGrpcWebTransport } = require('@connectrpc/connect-node');
const { StringValue, MethodKind } = require('@bufbuild/protobuf');
const kind = (name, k) => ({ name, I: StringValue, O: StringValue, kind: k });
const service = { typeName: 't.T', methods: {
  unary: kind('Unary', MethodKind.Unary),
  both: kind('Both', MethodKind.ServerStreaming),
  fail: kind('Fail', MethodKind.Unary),
  wait: kind('Wait', MethodKind.Unary),
} };
const [url, version] = process.argv.slice(1);
const client = createPromiseClient(service, createGrpcWebTransport({
  baseUrl: url, httpVersion: version,
  nodeOptions: { rejectUnauthorized: false } }));
const code = async (call) => {
  try { await call; return 0; } catch (e) { return [e.code, e.rawMessage]; }
};
(async () => {
  const out = {};
  let head, trailer;
  const large = 'x'.repeat(1 << 20);
  out.unary = (await client.unary({ value: 'hello' }, {
    headers: { 'x-asked': 'this' },
    onHeader: (h) => { head = h.get('x-head'); },
    onTrailer: (t) => { trailer = t.get('x-trailer'); } })).value;
  out.head = head;
  out.trailer = trailer;
  out.large = (await client.unary({ value: large })).value === large;
  out.both = [];
  for await (const m of client.both({ value: 'streamed' }))
    out.both.push(m.value);
  out.fail = await code(client.fail({ value: '' }));
  out.deadline = (await code(client.wait({ value: '' },
    { timeoutMs: 300 })))[0];
  console.log(JSON.stringify(out));
  process.exit(0);
})();
"""


@pytest.mark.long
@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_grpc_web(start, script, web_modules, certs, version, secure):
    """A gRPC-Web client of others, through the module, to @grpc/grpc-js."""
    if "grpcweb" not in run("-V")[1]:
        pytest.skip("no module grpcweb")
    server = script(GRPC_SERVER, web_modules)
    weir = start(conf.proxy(server, up={"protocol": "h2"},
                            listen=listeners(certs), route={"grpcweb": {}}))
    url = ("https://localhost:%d" % weir.addresses[1][1] if secure
           else "http://127.0.0.1:%d" % weir.address[1])
    got = node(GRPC_WEB_CLIENT, web_modules, url, version)
    assert got == {
        "unary": "hello", "head": "this", "trailer": "last", "large": True,
        "both": ["streamed"], "fail": [5, "nothing here: \u00e9%\n"],
        "deadline": 4}


GRPC_REFUSED = GRPC + r"""
const Service = grpc.makeGenericClientConstructor(methods, 'T');
const client = new Service(process.argv[1],
  grpc.credentials.createInsecure());
const call = client.unary(Buffer.from('a'), { deadline: Date.now() + 20000 },
  (wrong) => {
    console.log(JSON.stringify([wrong.code, wrong.details]));
    client.close();
  });
"""


def test_grpc_error_of_weir(start, modules, certs):
    """A backend that is not there is UNAVAILABLE to @grpc/grpc-js."""
    weir = start(conf.proxy("127.0.0.1:%d" % conf.free_port(),
                            up={"protocol": "h2"}, listen=listeners(certs)))
    code, details = node(GRPC_REFUSED, modules,
                         "127.0.0.1:%d" % weir.address[1])
    assert code == 14 and details


# -- HTTP/2 servers --------------------------------------------------------

NODE_SERVER = r"""
const http2 = require('http2'), fs = require('fs');
const server = http2.createSecureServer({ allowHTTP1: process.argv[3] === '1',
  cert: fs.readFileSync(process.argv[1]),
  key: fs.readFileSync(process.argv[2]) }, (req, res) => {
  let n = 0;
  req.on('data', (d) => { n += d.length; });
  req.on('end', () => {
    res.setHeader('x-version', req.httpVersion);
    res.setHeader('set-cookie', ['a=1', 'b=2']);
    res.end(req.url.startsWith('/bytes/')
      ? Buffer.alloc(+req.url.slice(7), 'x') : 'got ' + n);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""


def test_node_over_tls(start, script, certs, tmp_path):
    """Node's http2 server with TLS, found by ALPN with protocol auto."""
    server = script(NODE_SERVER, tmp_path, *certs.server, 1)
    weir = start(conf.proxy(
        server, listen=listeners(certs),
        up={"protocol": "auto", "tls": {"sni": "localhost",
                                        "ca_file": certs.root[0]}}))
    for _ in range(3):
        answer = weir.request("POST", "/n", [], big(300000))
        assert answer.body == b"got 300000"
        assert answer.fields.one("x-version") == "2.0"
        assert answer.fields.all("set-cookie") == ["a=1", "b=2"]
    with h2.Client(weir.address) as client:
        numbers = [client.request("/bytes/%d" % (i * 1000))
                   for i in range(30)]
        for i, number in enumerate(numbers):
            assert len(client.wait(number).data) == i * 1000


def test_auto_falls_back(start, certs, origin_factory):
    """protocol auto with a server that knows HTTP/1.1 only, or no ALPN."""
    for alpn in (["http/1.1"], None):
        server = origin_factory(certs.server, kind=tls.TlsOrigin, alpn=alpn)
        weir = start(conf.proxy(
            server, up={"protocol": "auto", "tls": {
                "sni": "localhost", "ca_file": certs.root[0]}},
            listen=listeners(certs)))
        for _ in range(2):
            assert weir.get("/hello").status == 200
        with h2.Client(weir.address) as client:
            numbers = [client.request("/hello") for _ in range(10)]
            assert {client.wait(n).status for n in numbers} == {200}


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_nghttpd(start, program, site, certs, secure):
    """nghttpd as a backend: files of all sizes, to both kinds of client."""
    port = conf.free_port()
    server = program(
        [need("nghttpd"), "-a", "127.0.0.1", "-d", site] +
        ([port, certs.server[1], certs.server[0]] if secure
         else ["--no-tls", port]), port)
    up = {"protocol": "h2"}
    if secure:
        up = {"protocol": "auto", "tls": {"sni": "localhost",
                                          "ca_file": certs.root[0]}}
    weir = start(conf.proxy(server, up=up, listen=listeners(certs)))
    with Client(weir.address) as client, h2.Client(weir.address) as other:
        for name in sorted(os.listdir(site)):
            want = (site / name).read_bytes()
            assert client.get("/" + name).body == want
            stream = other.wait(other.request("/" + name))
            assert stream.status == 200 and bytes(stream.data) == want
        assert client.get("/none").status == 404
        again = client.get("/page.html", [(
            "If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")])
        assert again.status == 304 and again.body == b""


# -- TLS clients -----------------------------------------------------------

VERSIONS = ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"]


@pytest.mark.parametrize("profile,first", [
    ("old", 0), ("intermediate", 2), ("modern", 3)])
def test_s_client(start, origin, certs, profile, first):
    """openssl s_client with every version, against every profile."""
    rsa = certs.signed("rsa", certs.root, "localhost", kind=tls.RSA)
    weir = start(conf.proxy(origin, listen=[{
        "address": conf.address(), "tls": {
            "profile": profile, "certificates": [
                {"cert": c, "key": k} for c, k in (certs.server, rsa)]}}]))
    for at, version in enumerate(VERSIONS):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", "%s:%d" % weir.address,
             version, "-cipher", "DEFAULT:@SECLEVEL=0", "-CAfile",
             certs.root[0], "-servername", "localhost",
             "-verify_return_error", "-quiet"],
            input=b"GET /hello HTTP/1.1\r\nHost: localhost\r\n"
                  b"Connection: close\r\n\r\n",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        if at >= first:
            assert b"HTTP/1.1 200 " in done.stdout, done.stderr
        else:
            assert done.returncode != 0
            assert b"HTTP/1.1" not in done.stdout


# -- WebSocket -------------------------------------------------------------

WS_SERVER = r"""
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1',
                                     perMessageDeflate: true });
server.on('connection', (ws) => ws.on('message', (data, isBinary) =>
  ws.send(data, { binary: isBinary })));
server.on('listening', () => console.log(server.address().port));
"""

WS_CLIENT = r"""
const WebSocket = require('ws'), http2 = require('http2'), fs = require('fs');
const [kind, port, file] = process.argv.slice(1);
const ca = fs.readFileSync(file);
const sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20];
let right = 0, after = () => {};
const talk = (ws) => {
  const send = () => ws.send(Buffer.alloc(sizes[right], right));
  ws.on('message', (data) => {
    if (!Buffer.alloc(sizes[right], right).equals(data)) throw 'wrong';
    if (++right < sizes.length) send(); else ws.close(1000, 'done');
  });
  ws.on('close', (code) => {
    console.log(JSON.stringify([right, code]));
    after();
  });
  send();
};
if (kind === 'wss') {
  const ws = new WebSocket('wss://localhost:' + port + '/chat', { ca });
  ws.on('open', () => talk(ws));
} else {
  // RFC 8441: the same over a stream of HTTP/2.
  const session = http2.connect('https://localhost:' + port, { ca });
  after = () => session.close();
  session.on('remoteSettings', (settings) => {
    if (!settings.enableConnectProtocol) throw 'no RFC 8441';
    const stream = session.request({ ':method': 'CONNECT',
      ':protocol': 'websocket', ':path': '/chat',
      'sec-websocket-version': '13' });
    stream.on('response', (headers) => {
      if (headers[':status'] !== 200) throw headers[':status'];
      const ws = new WebSocket(null, undefined, {});
      ws._isServer = false;
      stream.setNoDelay = () => {};
      ws.setSocket(stream, Buffer.alloc(0),
                   { maxPayload: 1 << 24, skipUTF8Validation: false });
      talk(ws);
    });
  });
}
"""


@pytest.mark.parametrize("kind", ["wss", "h2"])
def test_ws(start, script, modules, certs, kind):
    """The package ws on both sides, over TLS, in HTTP/1.1 and in HTTP/2."""
    server = script(WS_SERVER, modules)
    weir = start(conf.proxy(server, listen=listeners(certs)))
    echoed, code = node(WS_CLIENT, modules, kind, weir.addresses[1][1],
                        certs.root[0])
    assert echoed == 7
    # On a stream that others made, ws does not tell the code of the end.
    assert code == 1000 or kind == "h2"


# -- a browser -------------------------------------------------------------

class Echo:
    """A WebSocket server in a thread of its own."""

    def __init__(self, websockets):
        self.loop = asyncio.new_event_loop()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.backend = "127.0.0.1:%d" % self.sock.getsockname()[1]

        async def echo(connection, path=None):
            async for message in connection:
                await connection.send(message)

        async def serve():
            self.stop = asyncio.Event()
            async with websockets.serve(echo, sock=self.sock):
                await self.stop.wait()
        self.thread = threading.Thread(
            target=self.loop.run_until_complete, args=(serve(),))
        self.thread.start()

    def close(self):
        self.loop.call_soon_threadsafe(lambda: self.stop.set())
        self.thread.join(20)
        self.loop.close()


class Hold:
    """/hold is answered once /done was asked for: the page is not loaded,
    and the browser's own time stands, until the page says so."""

    def __init__(self):
        done = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/done":
                    done.set()
                else:
                    done.wait(40)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.backend = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


SOCKET = """
<p id=echo></p><img src=/hold><script>
const s = new WebSocket('wss://' + location.host + '/chat');
s.onopen = () => s.send('hello over a stream');
s.onmessage = (m) => {
  echo.textContent = 'echo: ' + m.data;
  s.close();
  fetch('/done');
};
</script>"""


def test_chromium_over_h2(start, nginx, site, certs, tmp_path):  # noqa: F811
    """A page with dozens of assets over TLS and HTTP/2, all on a few
    connections, and a WebSocket beside them."""
    chromium = shutil.which("chromium") or need("chromium-browser")
    websockets = pytest.importorskip("websockets")
    assets = 40
    make_page(site, assets)
    with open(site / "index.html", "a") as page:
        page.write(SOCKET)
    echo, hold = Echo(websockets), Hold()
    try:
        weir = start(conf.config(
            conf.service({"path": "/chat", "upstream": "ws"},
                         {"path": "/hold", "upstream": "hold"},
                         {"path": "/done", "upstream": "hold"},
                         {"path": "/", "upstream": "up"},
                         listen=listeners(certs),
                         accesslog=[{"path": "@DIR@/a.log",
                                     "format": "${response.status} "
                                               "${tls.alpn} ${request.path} "
                                               "c${connection.id}"}]),
            [conf.upstream("up", nginx), conf.upstream("ws", echo),
             conf.upstream("hold", hold)]))
        done = subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--disable-background-networking",
             "--no-first-run", "--no-proxy-server",
             "--ignore-certificate-errors",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
             "--user-data-dir=%s/profile" % tmp_path, "--timeout=30000",
             "--virtual-time-budget=20000", "--dump-dom",
             "https://localhost:%d/index.html" % weir.addresses[1][1]],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
            env={**os.environ, "HOME": str(tmp_path)})
        page = done.stdout.decode("utf-8", "replace")
        assert ("images %d scripts %d rgb(1, 2, 3)" % (assets, assets)
                in page), (page[-500:], done.stderr[-2000:])
        assert "echo: hello over a stream" in page
        wanted = {"200 h2 /i%d.png" % i for i in range(assets)} | {
            "200 h2 /s%d.js" % i for i in range(assets)}

        def lines():
            return [line.rpartition(" ")
                    for line in weir.read("a.log").split("\n")]
        wait.until(lambda: wanted <= {line[0] for line in lines()})
        wait.until(lambda: {"101 h2 /chat", "200 h2 /chat"} & {
            line[0] for line in lines()})
        used = {line[2] for line in lines() if line[0] in wanted}
        assert len(used) <= 3, used
    finally:
        echo.close()
        hold.close()
