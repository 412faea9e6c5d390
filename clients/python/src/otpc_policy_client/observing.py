"""What the client tells whoever counts: events, without names of hosts. No dependency."""

import logging
from dataclasses import dataclass
from typing import Protocol

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished:
    """A call of a method has ended. code: a status of gRPC by name, OK among them.

    tries: how often the service was asked. seconds: for all of it, pauses included.
    """

    method: str
    code: str
    tries: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLookedUp:
    """A check was looked up. result: "kept", "asked" (the service) or "shared" (another's call)."""

    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictsDropped:
    """Changes that the service reported have dropped verdicts from the cache."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStateChanged:
    """The stream of changes is "following", "interrupted" or "ended".

    reason: a status of gRPC by name, where one ended it; else empty.
    """

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFinished:
    """Connecting has ended. result: "opened", "not permitted", "not as judged" or "failed"."""

    result: str


Event = CallFinished | CheckLookedUp | VerdictsDropped | WatchStateChanged | ConnectionFinished


class Observer(Protocol):
    """Is called with each event, in the thread or task where it happens. It must be quick.

    New kinds of events may come: leave out those that you do not know.
    """

    def __call__(self, event: Event, /) -> None: ...


def notify(observer: Observer | None, event: Event) -> None:
    """Tell the observer. What it raises is logged: who counts decides nothing."""
    if observer is None:
        return
    try:
        observer(event)
    except Exception:  # noqa: BLE001 - whoever counts decides nothing
        _LOG.exception("the observer of the policy client raised")
