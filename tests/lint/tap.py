# SPDX-License-Identifier: BSD-2-Clause
"""What the checks of this folder share: the tree and a report in TAP."""
import os
import sys
from pathlib import Path

SRCDIR = Path(os.environ.get("WEIR_SRCDIR", "."))
BUILDDIR = Path(os.environ.get("WEIR_BUILDDIR", "."))


class Report:
    """One TAP line a check, with what is wrong as comments before it."""

    def __init__(self):
        self.lines = []
        self.failed = 0

    def check(self, name, problems):
        problems = sorted(problems)
        self.lines += [f"# {problem}" for problem in problems]
        self.failed += bool(problems)
        number = 1 + sum(not line.startswith("#") for line in self.lines)
        verdict = "not ok" if problems else "ok"
        self.lines.append(f"{verdict} {number} - {name}")
        if problems and len(problems) > 1:
            self.lines[-1] += f" ({len(problems)} problems)"

    def finish(self):
        checks = sum(not line.startswith("#") for line in self.lines)
        print(f"1..{checks}", *self.lines, sep="\n")
        sys.exit(1 if self.failed else 0)


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def sources(root, folders=("src", "modules"), suffixes=(".c", ".h")):
    """Every source file below these folders, as paths relative to root."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path.relative_to(root)
