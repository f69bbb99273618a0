#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""options.py finds what a manual says wrong."""
import json

import options
from tap import Report

ROWS = [
    {"path": "", "name": "size", "type": "size", "default": "64KB",
     "range": "4KB to 16MB", "values": [], "flags": ["not_in_route"]},
    {"path": "", "name": "list", "type": "list", "default": None,
     "range": None, "values": [], "flags": []},
    {"path": "list", "name": "word", "type": "word", "default": "a",
     "range": None, "values": ["a", "b"], "flags": []},
    {"path": "list", "name": "name", "type": "string", "default": None,
     "range": None, "values": [], "flags": ["required"]},
    {"path": "list", "name": "own", "type": "custom", "default": None,
     "range": "1 to 2", "values": [], "flags": []},
    {"path": "http", "name": "test", "type": "group", "default": None,
     "range": None, "values": [], "flags": []},
    {"variable": "client.ip"},
    {"variable": "custom."},
]

PAGE = r"""
.\" options of ""
.It Ic size Pq size, default 64KB, 4KB to 16MB, not in routes
.Bd -literal -offset indent -compact
size = 1;
.Ed
.It Ic list Pq list
.Bd -literal -offset indent -compact
list = ( );
.Ed
.\" options of "list"
.It Ic word Pq a | b, default a
.Bd -literal -offset indent -compact
word = "b";
.Ed
.It Ic name Pq string, required
.Bd -literal -offset indent -compact
name = "x";
.Ed
.It Ic own Pq words of its own, 1 to 2
.Bd -literal -offset indent -compact
own = 1;
.Ed
.\" options of "http"
.It Ic away Pq group
.Bd -literal -offset indent -compact
away = { };
.Ed
.It Li ${client.ip}
.It Li ${custom.\& Ns Ar NAME Ns Li }
.It size Ta 64KB Ta 4KB to 16MB
.It list.word Ta a Ta a | b
"""

# what to replace in the page, by what, and a word of each complaint
CASES = [
    ("", "", []),
    ("default 64KB", "default 65KB", ["size: says"]),
    (", not in routes", "", ["size: says"]),
    ("a | b, default", "a | c, default", ["list.word: says"]),
    ("string, required", "string, unset", ["list.name: says"]),
    ("own, 1 to 2", "own, 1 to 3", ["list.own: says"]),
    ("Ic name Pq", "Ic nam Pq", ["list.name: not in", "no such option",
                                 "list.nam: no example"]),
    ("word = ", "wood = ", ["list.word: no example"]),
    ("Ic away Pq", "Ic astray Pq", ["no such option",
                                    "http.astray: no example"]),
    ("${client.ip}", "${client.iq}", ["only in the manual",
                                      "only in the code"]),
    ("custom.\\&", "custom\\&", ["only in the manual", "only in the code"]),
    ("Ta 64KB", "Ta 63KB", ["size: the table of defaults"]),
    ("It list.word Ta a Ta a | b", "It x Ta a Ta b",
     ["list.word: the table", "x: has no default"]),
]


def complaints(page):
    rows, variables = options.read_tables(map(json.dumps, ROWS))
    report = Report()
    options.check_page(rows, variables, options.Page(page.split("\n")),
                       {"http.away"}, report)
    return [line for line in report.lines if line.startswith("# ")]


def wrong_cases():
    for old, new, words in CASES:
        found = complaints(PAGE.replace(old, new) if old else PAGE)
        if len(found) != len(words) or not all(
                any(word in line for line in found) for word in words):
            yield f"{old!r} -> {new!r}: {found}"


if __name__ == "__main__":
    the_report = Report()
    the_report.check("options.py", wrong_cases())
    the_report.finish()
