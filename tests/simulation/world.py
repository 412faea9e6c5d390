"""What is true, whoever knows: endpoints, when they are bad, and every measurement of them.

Times are the world's, in seconds since the run began.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from otpc_policy.core.endpoint import Endpoint, parse_endpoint

BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
MOST_MEASURING_S: Final = 4.0
"""An engine takes no longer."""
ALLOW_S: Final = 80.0
DENY_S: Final = 40.0
UNKNOWN_S: Final = 15.0
"""Lifetimes of facts, shorter than a service's so that a run of minutes has many of each."""


@dataclass(slots=True)
class Measured:
    """A measurement. ended_s: None while it lasts. is_good: what it saw, as it began.

    dated_s: the world's time when its facts were dated. offset_s: by how much the clock that dated
    them was ahead.
    """

    number: int
    replica: str
    endpoint: Endpoint
    began_s: float
    is_good: bool
    ended_s: float | None = None
    dated_s: float = 0.0
    offset_s: float = 0.0


@dataclass(slots=True)
class Truth:
    """changes: by endpoint, when it turns from good to bad or back, beginning good."""

    changes: dict[Endpoint, Sequence[float]]
    measured: list[Measured] = field(default_factory=list)

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        return tuple(self.changes)

    def is_good(self, endpoint: Endpoint, at_s: float) -> bool:
        return sum(change <= at_s for change in self.changes[endpoint]) % 2 == 0

    def was_good_within(self, endpoint: Endpoint, since_s: float, until_s: float) -> bool:
        """Whether the endpoint was good at any instant from one time to another."""
        return self.is_good(endpoint, since_s) or any(
            since_s <= change <= until_s and self.is_good(endpoint, change)
            for change in self.changes[endpoint]
        )

    def begin(self, replica: str, endpoint: Endpoint, at_s: float) -> Measured:
        """Begin a measurement."""
        number = len(self.measured) + 1
        made = Measured(number, replica, endpoint, at_s, self.is_good(endpoint, at_s))
        self.measured.append(made)
        return made

    def of_seed(self, seed: str) -> Measured:
        """Return the measurement whose facts have this seed."""
        return self.measured[int(seed, 16) - 1]


def drawn_truth(draw: Random, horizon_s: float) -> Truth:
    """Return endpoints of two hosts that turn bad, and good again, now and then."""
    hosts = ("a.test", "b.test")
    count = draw.randint(2, 4)
    return Truth(
        {
            parse_endpoint(hosts[number % 2], 443 + number // 2): sorted(
                draw.uniform(0, horizon_s) for _ in range(draw.choice((0, 0, 1, 2, 3)))
            )
            for number in range(count)
        }
    )


def instant(at_s: float) -> datetime:
    """Return what a right clock shows."""
    return BEGIN + timedelta(seconds=at_s)
