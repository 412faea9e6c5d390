"""What labels and names of all metrics have in common."""

from typing import Final

NAMESPACE: Final = "otpc_policy"
# The label for every value that was not known at start: callers cannot add series.
OTHER: Final = "unknown"
