"""What the fleet asks of a store, whichever servers it consists of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from otpc_policy.fleet.scripts import Script

# A round trip in one data centre takes a hundredth of this. Callers wait for it.
DEADLINE_S: Final = 0.25


class StoreObserver(Protocol):
    """Learns how the store does, for metrics.

    store_asked: result is "ok" or "unavailable"; operation is the name of a script, or "poll".
    """

    def store_asked(self, operation: str, result: str, seconds: float) -> None: ...
    def store_available(self, is_available: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought. times: answers to TIME, unread, one from each server that answered.

    answers: in the order of the calls; None for those whose server did not answer.
    """

    times: Sequence[Any]
    answers: Sequence[Any]


class Store(Protocol):
    """Runs scripts on the servers that have their keys, within DEADLINE_S. close() it in the end.

    failure: why it is not used, for people; "" if it is, or has not been asked yet.
    run: what a script returns. keys: all of one shard. Raises StoreUnavailable.
    poll: what a script returns for each call (a key and its arguments), and the time; of all
    servers where there are no calls. One round trip, whether or not other scripts may run. Raises
    StoreUnavailable if no server answers.
    use_not: has scripts fail from now on, for a reason; "" lets them run again.
    """

    @property
    def failure(self) -> str: ...
    async def run(
        self, script: Script, keys: Sequence[str], *arguments: str | bytes | int
    ) -> Any: ...
    async def poll(self, script: Script, calls: Sequence[tuple[str, ...]]) -> Polled: ...
    def use_not(self, why: str) -> None: ...
    async def close(self) -> None: ...
