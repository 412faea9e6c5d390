"""Why a measurement is incomplete: the kinds of remarks that an engine writes on facts.

Remarks are sentences for people, and nothing is decided by them. The kind of one, which only
chooses what people are told to do, is recognised by a phrase that every remark of it contains, so
that facts saved by another version, or without remarks, are read like any others.
"""

from collections.abc import Iterable
from enum import Enum

# What a step of a trace appends to its offer if the hello named no server.
NO_SERVER_NAME = ", no server name"


class RemarkKind(Enum):
    """Kinds of remarks, with their phrases; the first that is met explains those after it."""

    OWN_FAULT = ("by a fault of this service",)
    EVERY_CLOSED = ("every connection was closed without an answer",)
    EVERY_RESET = ("every connection was reset",)
    EVERY_SILENT = ("no connection was answered in time",)
    EVERY_REFUSED = ("every hello was refused with the alert",)
    NOT_TLS = ("bytes that are no TLS", "in plain-text HTTP")
    TOO_LARGE = (
        "of more than 128 KiB",
        "handshake messages",
        "presented too much to keep",
        "sent too much",
    )
    GROUP_UNKNOWN = ("demands key exchange over",)
    VIOLATION = ("protocol violation",)
    DEADLINE = ("reached its deadline", "ended before it was done", "there was no time")
    UNSTEADY = ("that it had accepted before", "that it had asked for")
    ALERT = ("answered with the alert", "sent the warning")
    SILENT = ("did not answer",)
    CLIENT_UNANSWERED = ("hello was not answered", "hellos were not answered")
    UNCONTROLLED = ("some refusals prove nothing",)
    CERTIFICATE_UNSEEN = (
        "which certificate is given to",
        "before its certificate",
        "could not be read",
    )

    @property
    def phrase(self) -> str:
        """The phrase that new remarks of the kind are written with."""
        first: str = self.value[0]
        return first


def kind_of_remark(remark: str) -> RemarkKind | None:
    """Return the kind of a remark; None for one of another kind."""
    for kind in RemarkKind:
        if any(phrase in remark for phrase in kind.value):
            return kind
    return None


def root_causes(remarks: Iterable[str]) -> tuple[RemarkKind | None, tuple[str, ...]]:
    """Return the kind that explains the others, and the remarks of it; (None, ()) without any."""
    by_kind: dict[RemarkKind | None, list[str]] = {}
    for remark in dict.fromkeys(remarks):
        by_kind.setdefault(kind_of_remark(remark), []).append(remark)
    order = (*RemarkKind, None)
    first = next((kind for kind in order if kind in by_kind), None)
    return first, tuple(by_kind.get(first, ()))
