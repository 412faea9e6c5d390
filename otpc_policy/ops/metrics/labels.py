"""What labels and names of all metrics have in common."""

from collections.abc import Mapping
from typing import Final, TypeAlias

NAMESPACE: Final = "otpc_policy"
# The label for every value that was not known at start: callers cannot add series.
OTHER: Final = "unknown"

# What the labels of a metric mean, by its name and theirs. Each module of metrics has one, LABELS,
# from which docs/metrics.md is written. OTHER is explained there once for all.
LabelMeanings: TypeAlias = Mapping[str, Mapping[str, str]]
