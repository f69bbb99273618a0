# SPDX-License-Identifier: BSD-2-Clause
"""Write weir.conf from Python dicts, and pick addresses to listen on."""
import collections
import os
import random
import socket


class Raw(str):
    """Text that goes into the configuration as it is."""


def text(value, depth=0):
    """One value in libconfig's syntax."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "%dL" % value if abs(value) > 0x7fffffff else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        pad = "  " * (depth + 1)
        inner = "".join("%s%s = %s;\n" % (pad, k, text(v, depth + 1))
                        for k, v in value.items() if v is not None)
        return "{\n%s%s}" % (inner, "  " * depth)
    if isinstance(value, (list, tuple)):
        items = [text(v, depth + 1) for v in value]
        if (len({type(v) for v in value}) == 1
                and not isinstance(value[0], (dict, list, tuple))):
            return "[ %s ]" % ", ".join(items)
        return "( %s )" % ", ".join(items)
    raise TypeError(type(value))


def quoted(value):
    out = ""
    for char in value:
        if char in '"\\':
            out += "\\" + char
        elif char == "\n":
            out += "\\n"
        elif char == "\r":
            out += "\\r"
        elif char == "\t":
            out += "\\t"
        elif ord(char) < 32:
            out += "\\x%02x" % ord(char)
        else:
            out += char
    return '"%s"' % out


def document(config):
    """A whole file."""
    return "".join("%s = %s;\n" % (k, text(v))
                   for k, v in config.items() if v is not None)


# Below the range from which the kernel takes ports for connects, so that
# nobody gets one by accident between our look and weir's bind.
picker = random.Random(os.urandom(8))
# Processes of one run pick from ports of their own, and none of late again.
RUNS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
RUN = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
given = collections.deque(maxlen=512)


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        port = picker.randrange(10240 + RUN, 32000, RUNS)
        if port in given:
            continue
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
            given.append(port)
            return port
    raise AssertionError("no free port")


def address(host="127.0.0.1"):
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, free_port(host))


def split(text_address):
    """("127.0.0.1", 80) for sockets of IP, a path for Unix sockets."""
    if text_address.startswith("unix:"):
        return text_address[5:]
    host, _, port = text_address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    return ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port))


def upstream(name, *backends, **options):
    """An upstream over origins, addresses or ready-made groups."""
    rows = []
    for backend in backends:
        if isinstance(backend, dict):
            rows.append(backend)
        else:
            rows.append({"address": getattr(backend, "backend", backend)})
    return {"name": name, "backends": rows, **options}


def service(*routes, name="web", listen=None, **options):
    """A service on a fresh port of 127.0.0.1."""
    if listen is None:
        listen = [{"address": address()}]
    return {"name": name, "listen": listen, **options,
            "routes": list(routes)}


def config(services, upstreams=(), **top):
    """A configuration of one worker unless the test says otherwise."""
    out = {"version": 1, "workers": top.pop("workers", 1)}
    if os.environ.get("WEIR_TEST_EVENT_LOOP"):
        out["event_loop"] = os.environ["WEIR_TEST_EVENT_LOOP"]
    # Root's instances would meet at the default one.
    out["pid_file"] = "@DIR@/weir.pid"
    out.update(top)
    if upstreams:
        out["upstreams"] = list(upstreams)
    if isinstance(services, dict):
        services = [services]
    out["services"] = list(services)
    if os.environ.get("WEIR_TEST_KTLS", "0") != "0":
        add_ktls(out)
    return out


def add_ktls(config):
    """All that has TLS has kTLS (tests/vm/run)."""
    for upstream in config.get("upstreams", ()):
        for one in [upstream, *upstream.get("backends", ())]:
            if isinstance(one.get("tls"), dict):
                one["tls"] = {"ktls": True, **one["tls"]}
    for service in config["services"]:
        for one in service.get("listen", ()):
            if isinstance(one.get("tls"), dict):
                one["tls"] = {"ktls": True, **one["tls"]}


def proxy(origin, route=None, up=None, top=None, listen=None, **options):
    """The plain case: everything of one service goes to one origin."""
    return config(
        service({"path": "/", "upstream": "up", **(route or {})},
                listen=listen, **options),
        [upstream("up", origin, **(up or {}))], **(top or {}))
