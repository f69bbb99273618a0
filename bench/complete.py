# SPDX-License-Identifier: BSD-2-Clause
"""What modules cost: one by one, and all that a deployed proxy has.

The complete proxy is measured as the other scenarios are, with
configurations of its own (conf/complete-*).  Single modules are measured by
the instructions of one request, which are the same in each run: a share of
1 % of the time is below what a clock shows here.
"""

import os

import peers

KEYED = f"-H x-api-key:{peers.KEY}"

# What a configuration says to have the module at work for each request.
MODULES = {
    "access": """access = (
\t\t{ from = [ "192.0.2.0/24", "198.51.100.0/24" ]; },
\t\t{ methods = [ "TRACE" ]; } );""",
    "accesslog": 'accesslog = ( { path = "@DIR@/access.log"; '
                 'format = "combined"; } );',
    "auth": 'auth = { api_key = { header = "User-Agent"; '
            'file = "@DIR@/keys"; }; };',
    "compress": 'compress = { codings = [ "gzip" ]; '
                'types = [ "text/plain" ]; };',
    "headers": """headers = {
\t\trequest = { set = { X-Client = "${client.ip}"; }; };
\t\tresponse = { remove = [ "Server" ]; set = { X-A = "b"; }; }; };""",
    "ratelimit": 'ratelimit = ( { rate = "1000000/s"; burst = 1000; } );',
    "requestid": "requestid = { };",
    "rewrite": 'rewrite = ( { drop_args = [ "utm_*" ]; } );',
}


def titles():
    return [
        ("C1", "the complete proxy: TLS, 1 KB, 64 connections", 24000, 128,
         f"--h1 -c 64 {KEYED} /t/1024", 0.85),
        ("C1z", "the same, 8 KB, gzip", 12000, 128,
         f"--h1 -c 64 {KEYED} -H accept-encoding:gzip /t/8192", 0.85),
    ]


def is_complete(scenario):
    return scenario.name.startswith("C1")


def rows_of_modules(bare, has):
    """(title, program, configuration) of what is compared."""
    rows = [("no module compiled in", bare, "")] if bare else []
    rows.append(("all compiled in, none used", None, ""))
    for name, text in MODULES.items():
        if name in has:
            rows.append((name, None, text))
    return rows


def modules_of(path):
    for line in peers.run_text([path, "-V"]).splitlines():
        if line.startswith("modules:"):
            return line.split()[1:]
    return []



def table_text(table, figures):
    """figures: [(title, instructions or reason)], the bare one first."""
    rows, base = [], None
    for title, got in figures:
        if isinstance(got, str):
            rows.append([title, "invalid: " + got, ""])
            continue
        if base is None or title.startswith("all compiled in"):
            more = "" if base is None else f"{100 * (got / base - 1):+.2f} %"
        else:
            more = f"{got - unused:+,.0f}"
        if base is None:
            base = got
        if title.startswith("all compiled in"):
            unused = got
        rows.append([title, f"{got:,.0f}", more])
    return ("## Instructions per request with modules, 1 KB as in S1\n\n"
            "The first is a build without any; \"+\" behind a module is what "
            "it adds when it is used.\n\n" +
            table(["modules", "instructions", ""], rows))


