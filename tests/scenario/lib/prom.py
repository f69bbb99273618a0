# SPDX-License-Identifier: BSD-2-Clause
"""Read Prometheus' text format strictly."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(r"(%s)(?:\{(.*)\})? ([^ ]+)(?: \d+)?\Z" % NAME)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
                   r"(?:,|\Z)")
KINDS = ("counter", "gauge", "histogram", "summary", "untyped")


class Metrics:
    """Samples by name: a list of (labels, value)."""

    def __init__(self, response):
        assert response.fields.one("content-type").startswith("text/plain")
        self.samples = {}
        self.types = {}
        self.help = {}
        seen = set()
        text = response.body.decode()
        assert text.endswith("\n")
        for line in text.split("\n")[:-1]:
            self._line(line, seen)
        self._histograms()

    def _line(self, line, seen):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert re.fullmatch(NAME, name) and kind in KINDS, line
            assert name not in self.types, "two types: " + line
            assert name not in self.samples, "type after sample: " + line
            self.types[name] = kind
        elif line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            assert name not in self.help and text, line
            self.help[name] = text
        elif line and not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, "not a sample: %r" % line
            labels = self._labels(match[2] or "")
            key = (match[1], tuple(sorted(labels.items())))
            assert key not in seen, "twice: " + line
            seen.add(key)
            value = float(match[3].replace("Inf", "inf"))
            self.samples.setdefault(match[1], []).append((labels, value))
            base = re.sub("_(bucket|sum|count)$", "", match[1])
            assert match[1] in self.types or base in self.types, (
                "no TYPE: " + line)

    @staticmethod
    def _labels(text):
        labels, at = {}, 0
        while at < len(text):
            match = LABEL.match(text, at)
            assert match, "labels %r" % text
            assert match[1] not in labels, text
            labels[match[1]] = match[2]
            at = match.end()
        return labels

    def _histograms(self):
        for name, kind in self.types.items():
            if kind != "histogram":
                continue
            series = {}
            for labels, value in self.samples.get(name + "_bucket", []):
                rest = dict(labels)
                bound = float(rest.pop("le").replace("Inf", "inf"))
                series.setdefault(tuple(sorted(rest.items())),
                                  []).append((bound, value))
            counts = {tuple(sorted(l.items())): v
                      for l, v in self.samples.get(name + "_count", [])}
            for key, buckets in series.items():
                values = [v for _, v in sorted(buckets)]
                assert values == sorted(values), (name, key, values)
                assert sorted(buckets)[-1][0] == float("inf"), (name, key)
                assert counts[key] == values[-1], (name, key)

    def sum(self, name, **labels):
        """The sum of a metric's samples that have these labels."""
        return sum(value for have, value in self.samples.get(name, [])
                   if all(have.get(k) == v for k, v in labels.items()))

    def find(self, pattern):
        """Names of metrics that match."""
        return sorted(n for n in self.samples if re.search(pattern, n))

    def total(self, pattern, **labels):
        """As sum, over all metrics whose names match."""
        return sum(self.sum(n, **labels) for n in self.find(pattern))
