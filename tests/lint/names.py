#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""foo.c exports foo_* (or foo) alone; the symbol tells the file."""
import os
import re
import subprocess

from tap import BUILDDIR, SRCDIR, Report, skip

# What sanitizers and coverage add to an object.
TOOL = re.compile(r"^(__|_GLOBAL_|asan\.|llvm_)")


def exported(nm, path):
    """The names that an object defines for others."""
    out = subprocess.run([nm, "-g", "-P", "--defined-only", path],
                         check=True, capture_output=True, text=True).stdout
    return [line.split()[0] for line in out.splitlines()
            if line and not TOOL.match(line)]


def is_allowed(path, symbol):
    """path is relative to the tree, with any suffix."""
    # foo_none.c stands for foo.c in a build that leaves a library out.
    stem = path.stem.removesuffix("_none")
    if str(path.with_suffix("")) in ("src/main", "src/ctl/weirctl"):
        return symbol == "main"
    if path.parts[0] == "modules" and symbol == f"mod_{path.parts[1]}":
        return stem == path.parts[1]
    # The names that the rest of the tree uses of this folder tell it.
    if path.parts[:2] == ("src", "conf") and symbol.startswith("conf_"):
        return True
    return symbol == stem or symbol.startswith(f"{stem}_")


def misnamed(nm, builddir, srcdir):
    """A line for every symbol that does not tell its file."""
    for folder in ("src", "modules"):
        for obj in sorted((builddir / folder).rglob("*.o")):
            path = obj.relative_to(builddir)
            if not (srcdir / path.with_suffix(".c")).is_file():
                continue
            for symbol in exported(nm, obj):
                if not is_allowed(path, symbol):
                    yield f"{path.with_suffix('.c')}: exports {symbol}"


if __name__ == "__main__":
    the_nm = os.environ.get("NM") or "nm"
    if not any((BUILDDIR / "src").rglob("*.o")):
        skip("nothing is built")
    the_report = Report()
    the_report.check("foo.c exports foo_* alone",
                     misnamed(the_nm, BUILDDIR, SRCDIR))
    the_report.finish()
