"""Changes of the verdicts about watched endpoints, and the port by which others follow them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from otpc_policy.core.endpoint import Endpoint
from otpc_policy.policy.finding import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChange:
    """A watched endpoint has another verdict than before, or is no longer watched.

    decision: None for an endpoint that is no longer watched. previous: None for one that had no
    verdict. codes: of the verdict's findings. observed_at: of the oldest facts; None without any.
    expires_at: of an ALLOW or DENY; what has lapsed without a new result is a change of its own.
    changed_at: when it was published. revision: of the catalog that was judged under.
    """

    endpoint: Endpoint
    partner_id: str
    decision: Decision | None
    changed_at: datetime
    previous: Decision | None = None
    codes: tuple[str, ...] = ()
    observed_at: datetime | None = None
    expires_at: datetime | None = None
    revision: str = ""

    @property
    def name(self) -> str:
        """The endpoint as "host:port"."""
        return str(self.endpoint)


@dataclass(frozen=True, slots=True)
class Changed:
    """Changes in the order of each endpoint, and the cursor after them."""

    changes: Sequence[VerdictChange]
    cursor: str


class FollowedChanges(Protocol):
    """One who follows. next: what has changed since, or nothing after a time, or sooner.

    next raises CursorTooOld where changes may have been missed, ReaderTooSlow for one that does
    not ask often enough, StoreUnavailable where it has not been known for a while what has changed.
    """

    async def next(self, within_s: float) -> Changed: ...


class ChangeFeed(Protocol):
    """What this process knows of the changes.

    is_current: false while it is not known what has changed last. published: the last change of an
    endpoint, up to the cursor; None for one without a verdict. cursor: scope is what the reader may
    see, as a text; to another scope the cursor is too old. follow: from a cursor on, or from now on
    for "". Raises InvalidRequest for what is no cursor, CursorTooOld, and StoreUnavailable where
    now is not known.
    """

    @property
    def is_current(self) -> bool: ...
    def published(self, name: str) -> VerdictChange | None: ...
    def cursor(self, scope: str) -> str: ...
    def follow(self, cursor: str, scope: str) -> AbstractAsyncContextManager[FollowedChanges]: ...
