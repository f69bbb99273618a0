#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The manual tells of every reason, refusal and phase what the code does."""
import re

from tap import SRCDIR, Report

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\w+|[(),]')


def rows(header, name):
    """The arguments of each X() of the list of that name, as text."""
    text = header.split(f"#define {name}(X)", 1)[1]
    lines = []
    for line in text.split("\n"):
        lines.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            break
    row = None
    for token in TOKEN.findall(" ".join(lines)):
        if token == "X":
            row = []
        elif token == "(":
            row.append("")
        elif token == ",":
            row.append("")
        elif token == ")":
            yield row
        elif token.startswith('"'):
            row[-1] += re.sub(r"\\(.)", r"\1", token[1:-1])
        else:
            row[-1] += token


def section(page, name):
    return (page.split(f"\n.Sh {name}\n", 1) + [""])[1].split("\n.Sh ", 1)[0]


def plain(lines):
    """What a reader sees of lines of mdoc, near enough to look for words."""
    words = " ".join(re.sub(r"^\.(br$|[A-Z][a-z] ?)", "", line)
                     for line in lines)
    words = words.replace("\\(dq", '"').replace("\\&", "")
    return " ".join(words.split())


def entries(text):
    """The items of the lists of a section: tag and text."""
    for item in re.split(r"^\.It Li ", text, flags=re.M)[1:]:
        tag, *lines = re.split(r"^\.El$", item, flags=re.M)[0].split("\n")
        yield plain([tag]), plain(lines)


def sentence(text):
    return text if text[-1] in ".?!" else text + "."


def wrong_reasons(header, page):
    told = dict(entries(section(page, "REASONS")))
    for row in rows(header, "REASON_LIST"):
        _, name, status, blame, proxy_status, cause, advice = row
        text = told.pop(name, None)
        if text is None:
            yield f"weir-errors(7) has no reason {name}"
            continue
        first = f"Status {status}, " if status != "0" else "No answer, "
        first += blame.lower()
        if proxy_status:
            first += f", {proxy_status}"
        if not text.startswith(first + "."):
            yield f'{name}: should begin "{first}."'
        for want in (f"Cause: {cause}", f"Advice: {advice}"):
            if sentence(want) not in text:
                yield f'{name}: lacks "{sentence(want)}"'
    for name in told:
        yield f"weir-errors(7) has a reason {name} that the code has not"


def wrong_list(what, known, told):
    for name in known:
        if name not in told:
            yield f"the manual has no {what} {name}"
    for name in told:
        if name not in known:
            yield f"the manual has a {what} {name} that the code has not"
    if sorted(known) == sorted(told) and known != told:
        yield f"the order of each {what} differs from the code's"


def wrong_refusals(header, page):
    known = [row[2] for row in rows(header, "H1_REFUSAL_LIST")
             if row[0] != "NONE"]
    told = [tag for tag, _ in entries(section(page, "DETAILS"))]
    return wrong_list("detail", sorted(known), sorted(told))


def wrong_phases(header, page):
    known = [row[1] for row in rows(header, "PHASE_LIST")]
    told = [tag for tag, _ in entries(section(page, "PHASES"))]
    return wrong_list("phase", known, told)


if __name__ == "__main__":
    def read(name):
        return (SRCDIR / name).read_text()

    errors = read("man/weir-errors.7.in")
    the_report = Report()
    the_report.check("weir-errors(7) has the reasons of the code",
                     wrong_reasons(read("src/proxy/reason.h"), errors))
    the_report.check("weir-errors(7) has the refusals of the code",
                     wrong_refusals(read("src/http/h1_parse.h"), errors))
    the_report.check("weir-modules(7) has the phases of the code",
                     wrong_phases(read("src/proxy/phase.h"),
                                  read("man/weir-modules.7.in")))
    the_report.finish()
