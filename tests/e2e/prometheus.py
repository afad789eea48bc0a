"""A strict reader of the Prometheus text format, version 0.0.4: what it cannot read is a fault."""

import collections
import math
import re

SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
TYPES = ("counter", "gauge", "histogram")


class Metrics:
    def __init__(self):
        self.types = {}
        self.help = {}
        self.samples = collections.defaultdict(dict)  # name -> {labels: value}

    def value(self, name, **labels):
        """The sum over all samples that have these labels."""
        wanted = set(labels.items())
        return sum(v for k, v in self.samples[name].items() if wanted <= set(k))

    def histograms(self):
        """Yields (name, labels without le, [(bound, cumulative count)], sum, count)."""
        for name, kind in self.types.items():
            if kind != "histogram":
                continue
            series = collections.defaultdict(list)
            for labels, value in self.samples[name + "_bucket"].items():
                bound = dict(labels)["le"]
                rest = tuple(pair for pair in labels if pair[0] != "le")
                series[rest].append((math.inf if bound == "+Inf" else float(bound), value))
            assert series, f"histogram {name} has no buckets"
            for rest, buckets in series.items():
                yield (name, rest, sorted(buckets), self.samples[name + "_sum"][rest],
                       self.samples[name + "_count"][rest])


def parse_labels(text, line):
    labels, end = [], 0
    for match in LABEL.finditer(text):
        assert match.start() == end, f"bad labels: {line}"
        labels.append(match.groups())
        end = match.end()
    assert end == len(text), f"bad labels: {line}"
    return tuple(labels)


def family(name, types):
    for suffix in ("", "_bucket", "_sum", "_count"):
        if name.endswith(suffix):
            base = name[:len(name) - len(suffix)]
            if base in types and (suffix == "") == (types[base] != "histogram"):
                return base
    return None


def parse(text):
    metrics = Metrics()
    assert text.endswith("\n"), "the last line has no end"
    for line in text.splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            assert words[2] not in metrics.help, f"second HELP: {line}"
            metrics.help[words[2]] = words[3]
        elif words[:2] == ["#", "TYPE"]:
            assert words[2] not in metrics.types, f"second TYPE: {line}"
            assert words[3] in TYPES, f"unknown type: {line}"
            metrics.types[words[2]] = words[3]
        else:
            match = SAMPLE.match(line)
            assert match, f"not a sample: {line!r}"
            name, labels = match.group(1), parse_labels(match.group(2) or "", line)
            assert family(name, metrics.types), f"no TYPE before: {line}"
            assert labels not in metrics.samples[name], f"given twice: {line}"
            metrics.samples[name][labels] = float(match.group(3))
    return metrics
