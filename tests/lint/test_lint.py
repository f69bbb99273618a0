#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The checks of this folder find what they are meant to find."""
import tempfile
from pathlib import Path

import floors
import heads
import lines
import names
import pages
from tap import Report

FLOORS = "base\nos\nconf metrics\nhttp\nmodules\nsite\nworker master\n"

# name, files of a tree, the check, words of the only complaint (None: none)
FLOOR_CASES = [
    ("lower floor", {"src/os/a.c": '#include "base/b.h"',
                     "src/base/b.h": ""}, None),
    ("own folder", {"src/os/a.c": '#include "os/b.h"', "src/os/b.h": ""},
     None),
    ("higher floor", {"src/base/a.c": '#include "os/b.h"',
                      "src/os/b.h": ""}, "not on a lower floor"),
    ("same floor", {"src/conf/a.c": '#include "metrics/b.h"',
                    "src/metrics/b.h": ""}, "not on a lower floor"),
    ("no folder", {"src/os/a.c": '#include "b.h"', "src/b.h": ""},
     "names no folder"),
    ("unknown folder", {"src/new/a.c": ""}, "not in src/FLOORS"),
    ("missing file", {"src/os/a.c": '#include "base/b.h"'}, "there is no"),
    ("module's own", {"modules/m/m.c": '#include "module.h"\n'
                                       '#include "b.h"',
                      "modules/m/b.h": ""}, None),
    ("module and src", {"modules/m/m.c": '#include "base/b.h"',
                        "src/base/b.h": ""}, "neither module.h"),
    ("module and module", {"modules/m/m.c": '#include "../n/b.h"',
                           "modules/n/b.h": ""}, "neither module.h"),
    ("umbrella", {"src/site/a.c": '#include "module.h"',
                  "src/module.h": ""}, "includes module.h"),
    ("list of modules", {"src/site/modules.c": '#include "module.h"',
                         "src/module.h": ""}, None),
    ("module.h above", {"src/module.h": '#include "site/a.h"',
                        "src/site/a.h": ""}, "not below the modules"),
    ("master", {"src/master/a.c": '#include "http/b.h"',
                "src/http/b.h": ""}, "what runs as root"),
    ("own header later", {"src/os/a.c": '#include "base/b.h"\n'
                                        '#include "os/a.h"',
                          "src/os/a.h": "", "src/base/b.h": ""},
     "first"),
    ("private", {"src/os/a.c": '#include "base/b_private.h"',
                 "src/base/b_private.h": ""}, "private"),
    ("circle", {"src/os/a.h": '#include "os/b.h"',
                "src/os/b.h": '#include "os/a.h"'}, "->"),
]

NAME_CASES = [
    ("src/conf/tree.c", "conf_tree_load", True),
    ("src/base/tree.c", "conf_tree_load", False),
    ("src/base/arena.o", "arena_new", True),
    ("src/base/arena.o", "arena", True),
    ("src/base/arena.o", "arenas", False),
    ("src/base/arena.o", "area_new", False),
    ("src/main.o", "main", True),
    ("src/main.o", "main_run", False),
    ("modules/headers/headers.o", "mod_headers", True),
    ("modules/headers/headers.o", "headers_x", True),
    ("modules/headers/rules.o", "rules_x", True),
    ("modules/headers/rules.o", "mod_headers", False),
    ("modules/headers/headers.o", "mod_other", False),
]


REASON_HEADER = """
#define REASON_LIST(X)                                      \\
	X(NONE, "none", 0, NOBODY, "", "no error", "rest")  \\
	X(GONE, "gone", 410, CLIENT, "denied", "it was \\"here\\"", \\
	    "is it "                                        \\
	    "there?")

enum reason { };
"""
REASON_PAGE = r"""
.Sh REASONS
.Bl -tag
.It Li none
\&No answer, nobody.
Cause: no error.
Advice: rest.
.It Li gone
Status 410, client, denied.
.br
Cause: it was \(dqhere\(dq.
.Li More
text.
Advice: is it
there?
.El
.Sh SEE ALSO
"""

# what to replace in the page, by what, words of the only complaint
PAGE_CASES = [
    ("", "", None),
    ("Li gone", "Li gonee", "no reason gone"),
    ("Status 410", "Status 411", "should begin"),
    ("client, denied", "backend, denied", "should begin"),
    ("client, denied", "client", "should begin"),
    ("it was", "it is", "Cause"),
    ("there?", "here?", "Advice"),
    (".El", ".It Li old\nStatus 400, client.\n.El", "a reason old"),
]

# what the code has, what the manual has, how many complaints
LIST_CASES = [
    (["a", "b"], ["a", "b"], 0),
    (["a", "b"], ["b", "a"], 1),
    (["a", "b"], ["a"], 1),
    (["a"], ["a", "b"], 1),
]


def complaints(files):
    """What floors.py says about a tree of these files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in {"src/FLOORS": FLOORS, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")
        report = Report()
        floors.check_tree(root, report)
        return [line for line in report.lines if line.startswith("# ")]


def wrong_floor_cases():
    for name, files, words in FLOOR_CASES:
        found = complaints(files)
        fits = not found if words is None else \
            len(found) == 1 and words in found[0]
        if not fits:
            yield f"{name}: {found}"


def wrong_name_cases():
    for path, symbol, want in NAME_CASES:
        if names.is_allowed(Path(path), symbol) is not want:
            yield f"{path} {symbol}"


def wrong_head_cases():
    spdx = "/* SPDX-License-Identifier: BSD-2-Clause */\n"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "src").mkdir()
        (root / "src/good.c").write_text(spdx + "/* Does good. */\n")
        (root / "src/bad.c").write_text("int bad;\n")
        if len(list(heads.unlicensed(root))) != 1:
            yield "licence"
        if len(list(heads.purposeless(root))) != 1:
            yield "purpose"


def wrong_line_cases():
    text = ["static int", "f(void)", "{"] + ["\tx();"] * 80 + ["}"]
    if list(lines.long_functions(text)) != [("f", 82)]:
        yield "length of a function"
    if len(list(lines.remarks(Path("a.c"), ["x" * 81]))) != 1:
        yield "long line"


def wrong_page_cases():
    for old, new, words in PAGE_CASES:
        page = REASON_PAGE.replace(old, new) if old else REASON_PAGE
        found = [line for line in pages.wrong_reasons(REASON_HEADER, page)
                 if "a reason gonee" not in line]
        fits = not found if words is None else \
            len(found) == 1 and words in found[0]
        if not fits:
            yield f"{old} -> {new}: {found}"
    for known, told, count in LIST_CASES:
        if len(list(pages.wrong_list("phase", known, told))) != count:
            yield f"{known} against {told}"


if __name__ == "__main__":
    the_report = Report()
    the_report.check("floors.py", wrong_floor_cases())
    the_report.check("names.py", wrong_name_cases())
    the_report.check("heads.py", wrong_head_cases())
    the_report.check("lines.py", wrong_line_cases())
    the_report.check("pages.py", wrong_page_cases())
    the_report.finish()
