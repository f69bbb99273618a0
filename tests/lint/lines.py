#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints the aims of the house style that are missed; never fails."""
import re

from tap import SRCDIR, sources

FUNCTION_MAX = 70
C_FILE_MAX = 700
HEADER_MAX = 120


def long_functions(lines):
    """(name, length) of each function that takes more than a screen."""
    start, name = None, ""
    for number, line in enumerate(lines):
        if line == "{":
            start = number
            match = re.match(r"\**(\w+)\(", lines[number - 1])
            back = number
            while match is None and back > 0 and lines[back].strip():
                back -= 1
                match = re.match(r"\**(\w+)\(", lines[back])
            name = match.group(1) if match else "?"
        elif line == "}" and start is not None:
            if number - start + 1 > FUNCTION_MAX:
                yield name, number - start + 1
            start = None


def remarks(path, lines):
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > 80:
            yield f"{path}:{number}: over 80 columns"
        if re.match(r"\t* {8}", line):
            yield f"{path}:{number}: spaces where a tab belongs"
        if line != line.rstrip():
            yield f"{path}:{number}: space at the end of the line"
    for name, length in long_functions(lines):
        yield f"{path}: {name} has {length} lines"
    limit = C_FILE_MAX if path.suffix == ".c" else HEADER_MAX
    if len(lines) > limit:
        yield f"{path}: {len(lines)} lines"


if __name__ == "__main__":
    for the_path in sources(SRCDIR, ("src", "modules", "tests", "bench")):
        text = (SRCDIR / the_path).read_text(errors="replace")
        for remark in remarks(the_path, text.splitlines()):
            print(remark)
