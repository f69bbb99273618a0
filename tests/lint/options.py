#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The manual says of every option and variable what the code says."""
import json
import os
import re
import subprocess
from pathlib import Path

from tap import BUILDDIR, SRCDIR, Report, skip

PAGE = "man/weir.conf.5"
# Of modules whose options need room of their own.
MORE = "man/weir-*.5"
# Internal, for the tests alone.
HIDDEN = {"http.test"}

LEVEL = re.compile(r'^\.\\" options of "([a-z_.]*)"$')
OPTION = re.compile(r"^\.It Ic (\S+) Pq (.*)$")
VARIABLE = re.compile(r"^\.It Li \$\{([a-z0-9_.]+)(?:\\&)?(?:\}| Ns )")
DEFAULT = re.compile(r"^\.It ([a-z0-9_.]+) Ta (.*) Ta (.*)$")
NO_DEFAULT = {"group", "list", "map", "custom"}


def is_hidden(name):
    return any(name == h or name.startswith(h + ".") for h in HIDDEN)


def read_tables(lines):
    """The rows by full name, and the variables, of `weir --dump-options`."""
    rows, variables = {}, set()
    for line in lines:
        row = json.loads(line)
        if "variable" in row:
            variables.add(row["variable"])
            continue
        name = f"{row['path']}.{row['name']}".lstrip(".")
        if not is_hidden(name):
            rows[name] = row
    return rows, variables


def description(row):
    """What stands in brackets behind an option's name."""
    kind = row["type"]
    if kind == "word":
        kind = " | ".join(row["values"])
    elif row["values"]:
        kind = " | ".join([kind] + row["values"])
    parts = [kind]
    if "required" in row["flags"]:
        parts.append("required")
    elif row["default"] is not None:
        parts.append("default " + row["default"])
    elif row["type"] not in NO_DEFAULT:
        parts.append("unset")
    if row["range"]:
        parts.append(row["range"])
    if "not_in_route" in row["flags"]:
        parts.append("not in routes")
    return ", ".join(parts)


def span(row):
    """The last cell of a line in the table of defaults."""
    if row["range"]:
        return row["range"]
    if row["type"] == "boolean":
        return "true | false"
    return " | ".join(row["values"]) if row["type"] == "word" else "any"


class Page:
    """What the manual says: options, examples, variables, defaults."""

    def __init__(self, lines):
        self.options, self.defaults = {}, {}
        self.examples, self.variables = set(), set()
        level, name, literal = "", None, False
        for line in lines:
            if LEVEL.match(line):
                level = LEVEL.match(line)[1]
            elif OPTION.match(line):
                option, text = OPTION.match(line).groups()
                name = f"{level}.{option}".lstrip(".")
                self.options[name] = text
            elif VARIABLE.match(line):
                self.variables.add(VARIABLE.match(line)[1])
            elif DEFAULT.match(line):
                option, value, values = DEFAULT.match(line).groups()
                self.defaults[option] = (value, values)
            elif line.startswith((".Bd -literal", ".Ed")):
                literal = line.startswith(".Bd")
            elif literal and name is not None:
                option = name.rsplit(".", maxsplit=1)[-1]
                if re.match(rf"{re.escape(option)} =", line):
                    self.examples.add(name)


def fits(row, text):
    want = description(row)
    if row["type"] == "custom":
        # Its type is known to its owner alone.
        return re.fullmatch(r"[a-z ]+" + re.escape(want[len("custom"):]),
                            text) is not None
    return text == want


def missing(rows, page):
    for name in rows:
        if name not in page.options:
            yield f"{name}: not in the manual"


def is_of(name, modules):
    """An option NAME, or NAME_something beside it, of one of the modules."""
    owner = ".".join(name.split(".")[:2])
    return any(owner == m or owner.startswith(m + "_") for m in modules)


def invented(rows, page, absent):
    """absent: options of modules that this build leaves out."""
    for name in page.options:
        if name not in rows and not is_of(name, absent):
            yield f"{name}: no such option"


def wrong(rows, page):
    for name, row in rows.items():
        text = page.options.get(name)
        if text is not None and not fits(row, text):
            yield f"{name}: says ({text}), should say ({description(row)})"


def without_example(page):
    for name in page.options:
        if name not in page.examples:
            yield f"{name}: no example"


def wrong_defaults(rows, page, absent):
    for name, row in rows.items():
        want = (row["default"], span(row))
        found = page.defaults.get(name)
        if row["default"] is not None and found != want:
            yield f"{name}: the table of defaults says {found}, not {want}"
    for name in page.defaults:
        row = rows.get(name)
        if is_of(name, absent):
            continue
        if row is None or row["default"] is None:
            yield f"{name}: has no default"


def wrong_variables(variables, page):
    for name in sorted(variables ^ page.variables):
        where = "the manual" if name in page.variables else "the code"
        yield f"${{{name}}}: only in {where}"


def check_page(rows, variables, page, absent, report):
    report.check("every option is described", missing(rows, page))
    report.check("what is described exists", invented(rows, page, absent))
    report.check("types, defaults and ranges are right", wrong(rows, page))
    report.check("every option has an example", without_example(page))
    report.check("the table of defaults is right",
                 wrong_defaults(rows, page, absent))
    report.check("every variable is described",
                 wrong_variables(variables, page))


def absent_modules(srcdir, rows):
    return {f"http.{folder.name}"
            for folder in (srcdir / "modules").iterdir()
            if folder.is_dir() and f"http.{folder.name}" not in rows}


def without_guests(srcdir, builddir, rows):
    """Rows but those of modules from outside the tree: their own pages."""
    enabled = re.findall(r"MODULE\((\w+)\)",
                         (builddir / "src/site/modules.def").read_text())
    guests = {f"http.{name}" for name in enabled
              if not (srcdir / "modules" / name).is_dir()}
    return {name: row for name, row in rows.items()
            if not is_of(name, guests)}


if __name__ == "__main__":
    weir = Path(os.environ.get("WEIR") or BUILDDIR / "weir")
    if not weir.exists() or not (BUILDDIR / PAGE).exists():
        skip("weir and its manual are not built")
    out = subprocess.run([weir, "--dump-options"], check=True,
                         capture_output=True, text=True).stdout
    the_rows, the_variables = read_tables(out.splitlines())
    the_rows = without_guests(SRCDIR, BUILDDIR, the_rows)
    lines = []
    for page in [BUILDDIR / PAGE, *sorted(BUILDDIR.glob(MORE))]:
        lines += page.read_text().splitlines()
    the_report = Report()
    check_page(the_rows, the_variables, Page(lines),
               absent_modules(SRCDIR, the_rows), the_report)
    the_report.finish()
