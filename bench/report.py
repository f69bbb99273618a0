# SPDX-License-Identifier: BSD-2-Clause
"""The figures of one run as tables in Markdown."""

import os
import re
import shlex
import statistics
import sys

import complete
import peers

REFERENCE = "nginx"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |",
             "| " + " | ".join(["---"] * len(head)) + " |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def invalid(reason):
    return "invalid: " + reason.replace("|", "/").replace("\n", " ")[:100]


def cpu_cell(rounds):
    """Median of the rounds; any round that failed spoils the figure."""
    for got in rounds:
        if isinstance(got, str):
            return invalid(got)
    total = statistics.median(got[0] for got in rounds)
    user = statistics.median(got[1] for got in rounds)
    digits = 1 if total >= 100 else 2
    return f"{total:.{digits}f} ({user:.{digits}f} + {total - user:.{digits}f})"


def ratio_cell(rounds, reference):
    if any(isinstance(got, str) for got in rounds + reference):
        return ""
    ratios = [mine[0] / other[0] for mine, other in zip(rounds, reference)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to " \
           f"{max(ratios):.2f})"


class Results:
    def __init__(self, options, scenarios):
        self.options = options
        self.scenarios = scenarios
        self.names = options.proxies
        self.cpu, self.calls, self.instructions = {}, {}, {}
        self.idle, self.idle_tls = {}, {}
        self.latency, self.reuse = {}, {}
        self.modules = []
        self.keys = {}

    def text(self):
        parts = [self.introduction(), self.cpu_text(), self.calls_text(),
                 self.instructions_text(), self.modules_text(),
                 self.keys_text(),
                 self.idle_text("connection", self.idle),
                 self.idle_text("TLS connection", self.idle_tls),
                 self.latency_text(), self.reuse_text()]
        return "\n".join(part for part in parts if part)

    def introduction(self):
        words = ["bench/run"] + sys.argv[1:]
        versions = ", ".join(
            f"{name} " + peers.PROXIES[name].version(
                getattr(self.options, name)) for name in self.names)
        kernel = re.match(r"[\d.]+", os.uname().release).group(0)
        return (
            "# Results\n\n"
            f"    {shlex.join(words)}\n\n"
            f"{versions}; Linux {kernel}, {len(os.sched_getaffinity(0))} "
            f"cores ({processor()}); one worker each unless said, proxies on "
            "one core, origin and load on the other. README.md says what is "
            "measured and how.\n")

    def cpu_text(self):
        if not self.cpu:
            return ""
        others = [name for name in self.names if name != REFERENCE]
        if REFERENCE not in self.names:
            others = []
        head = ["scenario"] + self.names + \
            [f"{name} : {REFERENCE}" for name in others]
        pair = [name for name in ("weir", "haproxy") if name in self.names]
        if len(pair) == 2:
            head.append("weir : haproxy")
        head.append("aim")
        rows = []
        for scenario in self.scenarios:
            got = self.cpu[scenario.name]
            row = [f"{scenario.name} {scenario.title}"]
            row += [cpu_cell(got[name]) for name in self.names]
            row += [ratio_cell(got[name], got[REFERENCE]) for name in others]
            if len(pair) == 2:
                row.append(ratio_cell(got[pair[0]], got[pair[1]]))
            row.append(f"{scenario.aim:.2f}" if scenario.aim else "")
            rows.append(row)
        return ("## CPU time per request, µs: all (user + system)\n\n"
                f"Medians of {self.options.rounds} rounds; ratios of the same "
                "round, median (least to most). The aim is weir's.\n\n" +
                table(head, rows))

    def calls_text(self):
        if not self.calls:
            return ""
        rows, details = [], []
        for name, by_proxy in self.calls.items():
            row = [name]
            for proxy in self.names:
                got = by_proxy[proxy]
                if isinstance(got, str):
                    row.append(invalid(got))
                    continue
                row.append(f"{got.get('total', 0):.2f}")
                parts = sorted(((count, call) for call, count in got.items()
                                if call != "total" and count >= 0.005),
                               reverse=True)
                details.append(f"- {name} {proxy}: " + ", ".join(
                    f"{call} {count:.2f}" for count, call in parts))
            rows.append(row)
        return ("## System calls per request\n\n" +
                table(["scenario"] + self.names, rows) + "\n" +
                "\n".join(details) + "\n")

    def instructions_text(self):
        if not self.instructions:
            return ""
        rows, details = [], []
        for name, by_proxy in self.instructions.items():
            row = [name]
            for proxy in self.names:
                got = by_proxy[proxy]
                if isinstance(got, str):
                    row.append(invalid(got))
                    continue
                row.append(f"{sum(got.values()):,.0f}")
                dearest = sorted(got.items(), key=lambda item: -item[1])
                for function, cost in dearest[:self.options.functions]:
                    details.append(f"    {name} {proxy:8} {cost:10,.1f} "
                                   f"{function}")
            rows.append(row)
        return ("## User-space instructions per request\n\n" +
                table(["scenario"] + self.names, rows) +
                ("\n" + "\n".join(details) + "\n" if details else ""))

    def modules_text(self):
        return self.modules and complete.table_text(table, self.modules)

    def keys_text(self):
        return self.keys and self.simple(
            "Full TLS handshake of weir, ECDSA P-256, 8 at once, CPU µs",
            ["median", "lowest", "highest"], self.keys,
            lambda got: [f"{of(got):,.0f}"
                         for of in (statistics.median, min, max)])

    def simple(self, title, head, figures, cells):
        empty = [""] * (len(head) - 1)
        rows = [[name] + ([invalid(got)] + empty if isinstance(got, str)
                          else cells(got)) for name, got in figures.items()]
        return f"## {title}\n\n" + table(["proxy"] + head, rows)

    def idle_text(self, what, figures):
        return figures and self.simple(
            f"Memory per idle kept-alive {what}",
            ["connections", "bytes for each"], figures,
            lambda got: [f"{got[0]:,}", f"{got[1]:,.0f}"])

    def latency_text(self):
        keys = ("p50_us", "p99_us", "p999_us", "max_us", "cpu_us")
        return self.latency and self.simple(
            "Latency at 10,000 requests/s, 64 connections, µs",
            ["p50", "p99", "p99.9", "max", "CPU per request"], self.latency,
            lambda got: [f"{got[key]:,.0f}" for key in keys])

    def reuse_text(self):
        return self.reuse and self.simple(
            "Reused backend connections: 16 workers, 50 backends, idle 2 s, "
            "100 requests/s, each on a new connection",
            ["requests", "connections", "reused after the first to each"],
            self.reuse,
            lambda got: [str(got["requests"]), str(got["connections"]),
                         f"{100 * got['share']:.1f} %"])


def processor():
    try:
        text = peers.measure.read("/proc/cpuinfo")
        return re.search(r"model name\s*:\s*(.*)", text).group(1).strip()
    except (OSError, AttributeError):
        return os.uname().machine
