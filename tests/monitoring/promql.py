"""Which metrics and labels a query reads, and what of it a service does not export.

Prometheus answers a query about a metric that does not exist with nothing, as it does one whose
alert is quiet: a misspelt name is an alert that never fires. Syntax is for Prometheus to check.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

# Labels that Prometheus gives to a target; namespace is there in Kubernetes.
TARGET_LABELS: Final = frozenset({"job", "instance", "namespace"})

_TOKEN: Final = re.compile(
    r"""\s+ | \#[^\n]* | (?P<range>\[[^]]*\]) | (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
    | (?P<number>[0-9][0-9a-zA-Z.]*) | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},@])""",
    re.VERBOSE,
)
_AGGREGATORS: Final = frozenset(
    [
        "sum",
        "min",
        "max",
        "avg",
        "group",
        "stddev",
        "stdvar",
        "count",
        "count_values",
        "bottomk",
        "topk",
        "quantile",
    ]
)
_LISTS: Final = frozenset(["by", "without", "on", "ignoring", "group_left", "group_right"])
_WORDS: Final = frozenset(["and", "or", "unless", "bool", "offset", "inf", "nan"])


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric in a query. matchers: label, operator, value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...] = ()


@dataclass(slots=True)
class Reads:
    """What a query reads. labels: of by, on and the like."""

    selectors: list[Selector] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)


def reads(query: str) -> Reads:
    """Return what a query reads. Raises ValueError for what is no query."""
    found, tokens = Reads(), list(_tokens(query))
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        at += 1
        if not re.match(r"[a-zA-Z_:{]", token):
            continue
        if token in _LISTS:
            end = tokens.index(")", at) if following == "(" else at
            found.labels |= {each for each in tokens[at:end] if each not in "(,"}
            at = end
        elif token == "{":
            raise ValueError(f"a selector without the name of a metric: {query}")
        elif token in _AGGREGATORS or token.lower() in _WORDS or following == "(":
            continue
        elif following == "{":
            end = tokens.index("}", at)
            parts = [each for each in tokens[at + 1 : end] if each != ","]
            triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
            matchers = tuple((label, sign, text[1:-1]) for label, sign, text in triples)
            found.selectors.append(Selector(token, matchers))
            at = end + 1
        else:
            found.selectors.append(Selector(token))
    return found


def _tokens(query: str) -> Iterator[str]:
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None:
            raise ValueError(f"no query, from {query[at : at + 20]!r} on: {query}")
        at = match.end()
        if match.lastgroup is not None:
            yield match.group()


# By the name of a series: its labels, and the values of each.
Exported = Mapping[str, Mapping[str, set[str]]]


def exported(*expositions: str) -> Exported:
    """Return what stands in texts of /metrics."""
    series: dict[str, dict[str, set[str]]] = {"up": {}}
    for text in expositions:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = series.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return series


def faults(query: str, there: Exported) -> list[str]:
    """Return what of a query does not exist: metrics, labels, values that are demanded."""
    found, read = [], reads(query)
    known = set(TARGET_LABELS)
    for selector in read.selectors:
        labels = there.get(selector.metric)
        if labels is None:
            found.append(f"no metric {selector.metric}")
            continue
        known |= labels.keys()
        found += _unmatched(selector, labels)
    return found + [f"no label {label}" for label in sorted(read.labels - known)]


def _unmatched(selector: Selector, labels: Mapping[str, set[str]]) -> Iterable[str]:
    for label, sign, wanted in selector.matchers:
        if label in TARGET_LABELS and label not in labels:
            continue
        if label not in labels:
            yield f"{selector.metric} has no label {label}"
        elif sign == "=" and wanted not in labels[label]:
            yield f'{selector.metric} has no {label}="{wanted}"'
        elif sign == "=~":
            # Each alternative on its own: one that is misspelt would hide among the others.
            for each in wanted.split("|"):
                if not any(re.fullmatch(each, value) for value in labels[label]):
                    yield f'{selector.metric} has no {label} like "{each}"'
