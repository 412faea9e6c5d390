"""The stage of a measurement, for callers that must know how long it may still take."""

from collections.abc import Callable
from enum import Enum


class Stage(Enum):
    """What begins now. A measurement that begins at once does not say so.

    QUEUED, DEEP_QUEUED: it waits for its turn, and its time does not run. BEGUN: it has waited, and
    its deadline runs. DEEP_BEGUN: its DEEP part begins, whose deadline is another one.
    """

    QUEUED = "QUEUED"
    BEGUN = "BEGUN"
    DEEP_QUEUED = "DEEP_QUEUED"
    DEEP_BEGUN = "DEEP_BEGUN"


StageListener = Callable[[Stage], None]


def unheard(_stage: Stage) -> None:
    """Listen to nothing."""
