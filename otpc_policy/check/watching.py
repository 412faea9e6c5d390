"""What is known of the endpoints on the watch list, and the port by which others ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from otpc_policy.core.endpoint import Endpoint
from otpc_policy.policy.finding import Decision

NO_RESULT = "NO_CACHED_RESULT"
"""The finding code of an endpoint that no measurement answers for."""


@dataclass(frozen=True, slots=True)
class WatchedState:
    """The verdict about a watched endpoint, as it was last looked at.

    codes: of its findings, each once, in their order, no more than MOST_CODES. observed_at: of the
    oldest facts; None without facts. expires_at: from then on it answers nothing.
    certificate_ends_at: the first notAfter of the leaves that were judged; None where none was, or
    where it cannot be read.
    """

    decision: Decision
    codes: tuple[str, ...]
    observed_at: datetime | None
    expires_at: datetime
    certificate_ends_at: datetime | None = None


MOST_CODES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedEndpoint:
    """A watched endpoint and what is known of it now.

    partner_id: whose entry names it; "" for none. decision and codes: those of state, or of an
    endpoint without a result where that has expired; nothing is made up for one that was never
    measured. state: None where it has not been looked at yet. next_check_at: when it will be
    measured; None where that is not known. waiver_ends_at, pin_ends_at: of the partner's waivers
    and pins, the next that ends. perspective: from where it is measured.
    """

    endpoint: Endpoint
    partner_id: str
    decision: Decision
    codes: tuple[str, ...]
    state: WatchedState | None
    next_check_at: datetime | None
    waiver_ends_at: datetime | None
    pin_ends_at: datetime | None
    perspective: str


class WatchedEndpoints(Protocol):
    """The watch list, to be asked.

    names: of the endpoints in order, those of one partner if its id is given. endpoint_of: an
    endpoint and the id of its partner. describe: what is known of an endpoint now. Both return None
    for a name that is no longer watched.
    """

    def names(self, partner_id: str = "") -> Sequence[str]: ...
    def endpoint_of(self, name: str) -> tuple[Endpoint, str] | None: ...
    def describe(self, name: str) -> WatchedEndpoint | None: ...
