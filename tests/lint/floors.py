#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who may include whom: the order is src/FLOORS, lowest floor first."""
import re
from pathlib import Path

from tap import SRCDIR, Report, sources

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
# What runs as root has no business with what a peer sent.
MASTER_NEVER = {"http", "upstream", "proxy"}
GENERATED = {"site/modules.def"}


def read_floors(root):
    """Folder -> number of its floor."""
    lines = (root / "src/FLOORS").read_text().splitlines()
    floors = {}
    for number, line in enumerate(lines):
        for folder in line.split("#")[0].split():
            floors[folder] = number
    return floors


def read_includes(root):
    """Path -> the quoted names that the file includes, in order."""
    return {path: INCLUDE.findall((root / path).read_text())
            for path in sources(root)}


def folder_of(path):
    return path.parts[1] if len(path.parts) > 2 else None


def check_order(root, floors, includes):
    """A file of src includes its own folder and lower floors."""
    for path, names in includes.items():
        own = folder_of(path)
        if path.parts[0] != "src" or own is None:
            continue
        if own not in floors:
            yield f"{path}: the folder {own} is not in src/FLOORS"
            continue
        for name in names:
            other = name.split("/")[0]
            if name == "module.h" or other == own:
                continue
            if "/" not in name or other not in floors:
                yield f'{path}: "{name}" names no folder of src/FLOORS'
            elif floors[other] >= floors[own]:
                yield f'{path}: "{name}" is not on a lower floor'


def check_exists(root, includes):
    """What is included is there, under the name of its folder."""
    for path, names in includes.items():
        if path.parts[0] != "src":
            continue
        for name in names:
            if name not in GENERATED and not (root / "src" / name).is_file():
                yield f'{path}: there is no "{name}" in src'


def check_modules(root, includes):
    """A module includes module.h and files of its own folder."""
    for path, names in includes.items():
        if path.parts[0] != "modules":
            continue
        for name in names:
            own = "/" not in name and (root / path.parent / name).is_file()
            if name != "module.h" and not own:
                yield f'{path}: "{name}" is neither module.h nor its own'


def check_umbrella(root, includes):
    """Nothing in src includes module.h but the list of modules."""
    for path, names in includes.items():
        if path.parts[0] == "src" and "module.h" in names and \
                path != Path("src/site/modules.c"):
            yield f"{path}: includes module.h"


def check_module_h(root, floors, includes):
    """module.h shows modules the floors below them, nothing above."""
    for name in includes.get(Path("src/module.h"), []):
        floor = floors.get(name.split("/")[0], 99)
        if floor >= floors["modules"]:
            yield f'src/module.h: "{name}" is not below the modules'


def check_master(root, includes):
    """master includes nothing of http, upstream, proxy."""
    for path, names in includes.items():
        if folder_of(path) != "master":
            continue
        for name in names:
            if name.split("/")[0] in MASTER_NEVER:
                yield f'{path}: "{name}" in what runs as root'


def check_own_first(root, includes):
    """foo.c includes its foo.h first."""
    for path, names in includes.items():
        own = path.with_suffix(".h")
        if path.parts[0] != "src" or path.suffix != ".c":
            continue
        if own in includes and names[:1] != ["/".join(own.parts[1:])]:
            yield f'{path}: does not include "{own.name}" first'


def check_private(root, includes):
    """foo_private.h stays inside its folder."""
    for path, names in includes.items():
        for name in names:
            if name.endswith("_private.h") and \
                    name.split("/")[0] != folder_of(path):
                yield f'{path}: "{name}" is private to its folder'


def check_circles(root, includes):
    """No header includes itself by way of others."""
    graph = {"/".join(path.parts[1:]): names
             for path, names in includes.items()
             if path.parts[0] == "src" and path.suffix == ".h"}
    done = set()

    def visit(name, trail):
        if name in trail:
            yield " -> ".join(trail[trail.index(name):] + [name])
        elif name not in done:
            for other in graph.get(name, []):
                yield from visit(other, trail + [name])
            done.add(name)

    for name in graph:
        yield from visit(name, [])


def check_tree(root, report):
    floors = read_floors(root)
    includes = read_includes(root)
    report.check("files include their folder and lower floors",
                 check_order(root, floors, includes))
    report.check("included files exist", check_exists(root, includes))
    report.check("modules include module.h and their own files",
                 check_modules(root, includes))
    report.check("only site/modules.c includes module.h",
                 check_umbrella(root, includes))
    report.check("module.h includes nothing above the modules",
                 check_module_h(root, floors, includes))
    report.check("master includes nothing of http, upstream, proxy",
                 check_master(root, includes))
    report.check("each file includes its own header first",
                 check_own_first(root, includes))
    report.check("private headers stay in their folder",
                 check_private(root, includes))
    report.check("no header includes itself", check_circles(root, includes))


if __name__ == "__main__":
    the_report = Report()
    check_tree(SRCDIR, the_report)
    the_report.finish()
