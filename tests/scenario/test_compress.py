"""Module compress: what is encoded, for whom, and what becomes of the rest."""
# SPDX-License-Identifier: BSD-2-Clause
import gzip
import os
import shutil
import subprocess
import threading
import zlib

import pytest

from lib import conf, proc
from lib.client import Client
from lib.weir import run

pytestmark = pytest.mark.short

TEXT = ("In the beginning was the word, and it was repeated. " * 400).encode()
ALL = ["zstd", "br", "gzip"]


def built(coding):
    if coding == "gzip":
        return True
    libraries = run("-V")[1].split("left out")[0]
    return {"br": "  brotli ", "zstd": "  zstd "}[coding] in libraries


def codings():
    return [c for c in ALL if built(c)]


@pytest.fixture(scope="module")
def weir(start_shared, origin):
    def at(path, **options):
        return {"path": path, "upstream": "up", "compress": options}
    routes = [at("/gzip", codings="gzip"), at("/all", codings=codings()),
              at("/plain", decompress=True),
              at("/both", codings=codings(), decompress=True),
              at("/keep", codings="gzip", preserve_etag=True),
              at("/long", codings="gzip", length_min=1000),
              at("/types", codings="gzip", types=["image/*"]),
              at("/one", codings="gzip", streams_max=1),
              {"path": "/off", "upstream": "up"},
              {"path": "/own", "compress": {"codings": "gzip"},
               "respond": {"body": "own answer " * 20}}]
    return start_shared(conf.config([conf.service(*routes)],
                                    [conf.upstream("up", origin)]))


@pytest.fixture
def client(weir):
    with Client(weir.address) as one:
        yield one


def decode(coding, body):
    """By a program or library that is not weir's."""
    if coding is None:
        return body
    if coding == "gzip":
        return gzip.decompress(body)
    program = {"br": ["brotli", "-dc"], "zstd": ["zstd", "-dc"]}[coding]
    if shutil.which(program[0]) is None:
        pytest.skip("needs %s" % program[0])
    return subprocess.run(program, input=body, stdout=subprocess.PIPE,
                          check=True, timeout=20).stdout


def answer(origin, body=TEXT, kind="text/html", fields=(), **how):
    fields = list(fields) + ([("Content-Type", kind)] if kind else [])
    return origin.script(lambda e: e.reply(body=body, fields=fields, **how))


# -- encoding --------------------------------------------------------------

@pytest.mark.parametrize("coding", ALL)
@pytest.mark.parametrize("chunked", [False, True])
def test_encodes(client, origin, coding, chunked):
    """What real decoders make of it is what the backend sent."""
    if not built(coding):
        pytest.skip("built without it")
    script = answer(origin, chunked=chunked)
    response = client.get("/all" + script.path,
                          [("Accept-Encoding", coding)])
    assert response.fields.one("content-encoding") == coding
    assert response.fields.one("vary") == "Accept-Encoding"
    assert "content-length" not in response.fields
    assert len(response.body) < len(TEXT) / 10
    assert decode(coding, response.body) == TEXT


def test_small_body_of_a_stream_is_encoded(client, origin):
    """32 bytes are worth it; of chunked ones the length is not known."""
    script = answer(origin, b"B" * 32)
    response = client.get("/gzip" + script.path, [("Accept-Encoding", "gzip")])
    assert len(response.body) < 32
    assert gzip.decompress(response.body) == b"B" * 32


@pytest.mark.parametrize("accept,want", [
    (None, None), ("", None), ("gzip", "gzip"), ("GZip", "gzip"),
    ("x-gzip", "gzip"), ("deflate", None), ("gzip;q=0", None),
    ("*", "gzip"), ("*;q=0", None), ("identity;q=0, *", "gzip"),
    ("gzip;q=0.5, identity", None), ("gzip;q=0.5, identity;q=0.5", "gzip"),
    ("identity;q=0.4, gzip;q=0.5", "gzip"), ("br, gzip;q=0.001", "gzip"),
    ("gzip;q=2", None), ("gzip ; q=0.7", "gzip"), ("gzip;x=1", None),
    ("deflate, gzip", "gzip"), ("*;q=0, gzip", "gzip")])
def test_weights(client, origin, accept, want):
    fields = [] if accept is None else [("Accept-Encoding", accept)]
    script = answer(origin)
    response = client.get("/gzip" + script.path, fields)
    assert response.fields.get("content-encoding") == want
    assert response.fields.one("vary") == "Accept-Encoding"
    assert decode(want, response.body) == TEXT


@pytest.mark.parametrize("accept,want", [
    ("gzip, br, zstd", 0), ("gzip, br;q=0.9, zstd;q=0.9", "gzip"),
    ("*", 0), ("zstd;q=0.1, br;q=0.2, gzip;q=0.3", "gzip")])
def test_best_liked_coding_wins(client, origin, accept, want):
    """Of equals the one that the configuration names first."""
    script = answer(origin)
    response = client.get("/all" + script.path, [("Accept-Encoding", accept)])
    want = codings()[0] if want == 0 else want
    assert response.fields.one("content-encoding") == want


@pytest.mark.parametrize("kind,fields,size,status,want", [
    ("text/html; charset=utf-8", [], 20, 200, True),
    ("text/html", [], 19, 200, False),
    ("text/html+zip", [], 500, 200, False),
    ("image/jpg", [], 500, 200, False),
    (None, [], 500, 200, False),
    ("application/problem+json", [], 500, 404, True),
    ("text/html", [("Cache-Control", "public, no-transform")], 500, 200,
     False),
    ("text/html", [("Content-Range", "bytes 0-499/9999")], 500, 206, False),
    ("text/html", [("Content-Encoding", "identity")], 500, 200, True)])
def test_what_is_worth_it(client, origin, kind, fields, size, status, want):
    script = answer(origin, b"a" * size, kind, fields, status=status)
    response = client.get("/gzip" + script.path, [("Accept-Encoding", "gzip")])
    coding = response.fields.get("content-encoding")
    assert (coding == "gzip") == want
    if not want:
        assert response.fields.one("content-length") == str(size)
        assert response.body == b"a" * size


def test_options_of_a_route(client, origin):
    accept = [("Accept-Encoding", "gzip")]
    short, picture = answer(origin, b"a" * 999), answer(origin, kind="image/x")
    assert "content-encoding" not in client.get(
        "/long" + short.path, accept).fields
    assert client.get("/types" + picture.path, accept).fields.one(
        "content-encoding") == "gzip"
    assert "content-encoding" not in client.get(
        "/types" + answer(origin).path, accept).fields
    assert "vary" not in client.get("/off" + short.path, accept).fields


def test_own_answers_are_encoded(client):
    response = client.get("/own", [("Accept-Encoding", "gzip")])
    assert gzip.decompress(response.body) == b"own answer " * 20


def test_head_says_no_coding(client, origin):
    script = answer(origin)
    response = client.request("HEAD", "/gzip" + script.path,
                              [("Accept-Encoding", "gzip")])
    assert response.fields.one("vary") == "Accept-Encoding"
    assert "content-encoding" not in response.fields
    assert client.get("/gzip" + script.path).body == TEXT


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_no_coding(client, origin, status):
    script = origin.script(lambda e: e.reply(status, fields=[
        ("Content-Type", "text/html"), ("ETag", '"a"')]))
    response = client.get("/gzip" + script.path, [("Accept-Encoding", "gzip")])
    assert "content-encoding" not in response.fields
    assert response.fields.one("etag") == '"a"'


@pytest.mark.parametrize("vary,want", [
    ("Accept-Language", ["Accept-Language", "Accept-Encoding"]),
    ("Origin, accept-ENCODING", ["Origin, accept-ENCODING"]),
    ("*", ["*"])])
def test_vary(client, origin, vary, want):
    script = answer(origin, fields=[("Vary", vary)])
    response = client.get("/gzip" + script.path, [("Accept-Encoding", "gzip")])
    assert response.fields.all("vary") == want


@pytest.mark.parametrize("path,etag,want", [
    ("/gzip", '"abc123"', 'W/"abc123"'), ("/gzip", 'W/"x"', 'W/"x"'),
    ("/gzip", "abc", None), ("/keep", '"abc123"', '"abc123"')])
def test_etag(client, origin, path, etag, want):
    script = answer(origin, fields=[("ETag", etag), ("Accept-Ranges",
                                                     "bytes")])
    response = client.get(path + script.path, [("Accept-Encoding", "gzip")])
    assert response.fields.get("etag") == want
    assert "accept-ranges" not in response.fields
    assert client.get(path + script.path).fields.one("etag") == etag


def test_streams_flow(client, origin):
    """An event can be decoded before the next one is sent."""
    decoder = zlib.decompressobj(31)
    seen = threading.Semaphore(0)

    def events(exchange):
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream"
                      b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(3):
            exchange.send(b"8\r\ndata: %d\n\r\n" % i)
            assert seen.acquire(timeout=8)
        exchange.send(b"0\r\n\r\n")
    script = origin.script(events)
    client.send(("GET /gzip%s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip"
                 "\r\n\r\n" % script.path).encode())
    head = client.reader.response_head()
    for i in range(3):
        text = b""
        while text != b"data: %d\n" % i:
            text += decoder.decompress(client.reader.chunk(head))
        seen.release()
    while client.reader.chunk(head) is not None:
        pass


# -- already encoded -------------------------------------------------------

@pytest.mark.parametrize("encoding,accept", [
    ("GzIp", "gzip"), ("gzip", "br,gzip"), ("br", "br"), ("dcz", "gzip, dcz"),
    ("gzip, br", "identity"), ("compress", "")])
def test_leaves_what_is_encoded(client, origin, encoding, accept):
    """Accepted, unknown or several: no coding is touched."""
    script = answer(origin, b"coded, or so they say",
                    fields=[("Content-Encoding", encoding)])
    response = client.get("/both" + script.path, [("Accept-Encoding", accept)])
    assert response.fields.one("content-encoding") == encoding
    assert response.body == b"coded, or so they say"


@pytest.mark.parametrize("accept", [None, "br", "gzip;q=0", "identity"])
def test_decodes_gzip(client, origin, accept):
    script = answer(origin, gzip.compress(TEXT), fields=[
        ("Content-Encoding", "gzip"), ("ETag", '"a"')])
    fields = [] if accept is None else [("Accept-Encoding", accept)]
    response = client.get("/plain" + script.path, fields)
    assert "content-encoding" not in response.fields
    assert response.fields.one("vary") == "Accept-Encoding"
    assert response.fields.one("etag") == 'W/"a"'
    assert response.body == TEXT


def test_asks_backends_for_what_it_decodes(client, origin):
    script = answer(origin)
    client.get("/plain" + script.path)
    assert script.exchanges[0].fields.one("accept-encoding") == "gzip"
    client.get("/plain" + script.path, [("Accept-Encoding", "br")])
    assert script.exchanges[1].fields.one("accept-encoding") == "br"


@pytest.mark.parametrize("coding,program", [
    ("br", ["brotli", "-c"]), ("zstd", ["zstd", "-c"])])
def test_decodes_others(client, origin, coding, program):
    if not built(coding) or shutil.which(program[0]) is None:
        pytest.skip("needs %s" % program[0])
    body = subprocess.run(program, input=TEXT, stdout=subprocess.PIPE,
                          check=True, timeout=20).stdout
    script = answer(origin, body, fields=[("Content-Encoding", coding)])
    assert client.get("/plain" + script.path).body == TEXT


def test_decodes_members_in_a_row(client, origin):
    script = answer(origin, gzip.compress(b"one ") + gzip.compress(b"two"),
                    fields=[("Content-Encoding", "gzip")])
    assert client.get("/plain" + script.path).body == b"one two"


@pytest.mark.parametrize("body", [
    gzip.compress(TEXT)[:-9], b"no gzip at all", gzip.compress(TEXT)[:4]],
    ids=["cut", "none", "head"])
def test_broken_coding_is_no_clean_end(weir, origin, body):
    """What cannot be decoded ends visibly short, never as if whole."""
    script = answer(origin, body, fields=[("Content-Encoding", "gzip")])
    with Client(weir.address) as client:
        client.send(("GET /plain%s HTTP/1.1\r\nHost: a\r\n\r\n"
                     % script.path).encode())
        data = client.reader.rest()
    assert not data.endswith(b"0\r\n\r\n") or b"HTTP/1.1 502" in data
    with Client(weir.address) as client:
        assert client.get("/off" + answer(origin).path).body == TEXT


# -- bounds ----------------------------------------------------------------

def test_bomb_waits_for_its_reader(weir, origin):
    """200 MB out of 200 KB: as slow as the client, and no more memory."""
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(engine.compress(bytes(1 << 20)) for _ in range(200))
    bomb += engine.flush()
    script = answer(origin, bomb, fields=[("Content-Encoding", "gzip")])
    with Client(weir.address, rcvbuf=4096) as client:
        worker = weir.worker_of(client)
        before = proc.memory(worker)
        client.send(("GET /plain%s HTTP/1.1\r\nHost: a\r\n\r\n"
                     % script.path).encode())
        head = client.reader.response_head()
        assert client.reader.chunk(head)
        assert proc.memory(worker) - before < 8 << 20
        size = 0
        with Client(weir.address) as other:
            assert other.get("/off" + answer(origin).path).body == TEXT
        for _ in range(200):
            size += len(client.reader.chunk(head))
        assert proc.memory(worker) - before < 8 << 20
        assert size > 1 << 20


def test_more_bodies_than_coders(weir, origin):
    """Beyond streams_max a body goes as it is, and none is kept waiting."""
    go = threading.Event()

    def hold(exchange):
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n")
        go.wait(8)
        exchange.send(b"2\r\nok\r\n0\r\n\r\n")
    script = origin.script(hold)
    request = ("GET /one%s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n"
               "\r\n" % script.path).encode()
    clients = [Client(weir.address) for _ in range(8)]
    try:
        for client in clients:
            client.send(request)
        heads = [client.reader.response_head() for client in clients]
        coded = [h.fields.get("content-encoding") == "gzip" for h in heads]
        assert 1 <= sum(coded) <= len(weir.workers())
        go.set()
        for client, head in zip(clients, heads):
            while client.reader.chunk(head) is not None:
                pass
    finally:
        go.set()
        for client in clients:
            client.close()
    assert weir.metrics().total("weir_compress_refused_total") >= 1
    # All were given back.
    response = weir.get("/one" + answer(origin).path,
                        [("Accept-Encoding", "gzip")])
    assert response.fields.one("content-encoding") == "gzip"


@pytest.mark.parametrize("options,message", [
    ({"codings": ["gzip", "snappy"]}, "there is no \"snappy\""),
    ({"gzip_level": 10}, "gzip_level"),
    ({"codings": "gzip", "levels": 3}, "levels")])
def test_wrong_options(tmp_path, origin, options, message):
    path = os.path.join(str(tmp_path), "weir.conf")
    with open(path, "w") as f:
        f.write(conf.document(conf.config(
            [conf.service({"path": "/", "upstream": "up",
                           "compress": options})],
            [conf.upstream("up", origin)])))
    status, out, err = run("-t", "-c", path)
    assert status == 2
    assert message in out + err
