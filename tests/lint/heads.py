#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every file names its licence and, if it is C, its purpose."""
from tap import SRCDIR, Report, sources

FOLDERS = ("src", "modules", "tests", "bench", "contrib", "m4", "man", "etc")
# What the file is for may stand above the licence.
HEAD = 8
SCRIPTS = (".py", ".sh", ".am", ".m4", ".js")


def unlicensed(root):
    """Files without the SPDX line among their first."""
    for path in sources(root, FOLDERS, (".c", ".h") + SCRIPTS):
        lines = (root / path).read_text(errors="replace").splitlines()
        if not any("SPDX-License-Identifier: BSD-2-Clause" in line
                   for line in lines[:HEAD]):
            yield f"{path}: no SPDX line at its head"


def purposeless(root):
    """C files whose second line begins no comment."""
    for path in sources(root):
        lines = (root / path).read_text(errors="replace").splitlines()
        if not lines[1:] or not lines[1].startswith("/*"):
            yield f"{path}: no comment says what the file is for"


if __name__ == "__main__":
    the_report = Report()
    the_report.check("files name their licence", unlicensed(SRCDIR))
    the_report.check("files say what they are for", purposeless(SRCDIR))
    the_report.finish()
