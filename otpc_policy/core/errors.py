"""Exceptions for calls that cannot be answered, named by whose fault it is.

A partner that cannot be judged is no exception: it is an INDETERMINATE answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A fault in a request. field: path in the message, such as "freshness.max_age"."""

    field: str
    description: str


class OtpcPolicyError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidRequest(OtpcPolicyError):
    """The caller sent something that cannot be answered. violations: all of them, not empty."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__(
            "; ".join(
                f"{violation.field}: {violation.description}" for violation in self.violations
            )
        )


class UnknownPolicy(OtpcPolicyError):
    """The caller named a policy that is not loaded."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no policy is named {name!r}")


class UnknownPerspective(OtpcPolicyError):
    """The caller named a place that nothing is measured from. known: those there are, in order."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"no perspective is named {name!r}; there are {', '.join(known)}")


class Budget(StrEnum):
    """What is shared out among callers."""

    SCANS = "scans"
    """Measurements that wait or are under way."""
    TARGETS = "targets"
    """Different endpoints that are no partner's, in an hour."""
    NAMES = "names"
    """Names that are being looked up."""
    BYTES = "bytes"
    """Answers that are on their way."""
    CALLS = "calls"
    """Calls that are being answered."""
    STREAMS = "streams"
    """Streams of changes that are open."""


class Overloaded(OtpcPolicyError):
    """The service has no room for this now. budget: of what there is too little."""

    def __init__(self, retry_after: timedelta, budget: Budget = Budget.SCANS) -> None:
        self.retry_after, self.budget = retry_after, budget
        super().__init__(f"the service has no room for more {budget.value} now")


class CallerBudgetUsed(Overloaded):
    """The caller has used up its share; others are still served."""


class PortNotAllowed(OtpcPolicyError):
    """The caller asked for a port at a public address that this service does not measure."""

    def __init__(self, port: int, allowed: Sequence[int]) -> None:
        self.port, self.allowed = port, tuple(allowed)
        super().__init__(f"port {port} is not measured here")


class ServiceUnavailable(OtpcPolicyError):
    """The service is draining or not ready. Another replica may answer.

    retry_after: short, as another replica answers at once.
    """

    retry_after: ClassVar = timedelta(milliseconds=100)


class CursorTooOld(OtpcPolicyError):
    """What has changed since a cursor is no longer known, or not for its reader: list again."""


class ReaderTooSlow(OtpcPolicyError):
    """The caller has not read a stream as fast as it grew. It may go on from its cursor.

    retry_after: to read what has piled up takes less.
    """

    retry_after: ClassVar = timedelta(seconds=1)


class TargetForbidden(OtpcPolicyError):
    """The address may not be dialled by whoever would have to. Judged like any forbidden address.

    reason: for people; holds no address.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the address may not be dialled: {reason}")


class EgressUnavailable(OtpcPolicyError):
    """Nothing can be reached from here, by a fault of this service. The text is for its operator
    and shown to callers.
    """


class ConfigurationError(OtpcPolicyError):
    """The operator's configuration cannot be used. problems: all of them, each with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class StartRefused(ConfigurationError):
    """The configuration cannot be used, and the audit trail of the service has it already."""


class MalformedCertificate(OtpcPolicyError):
    """Bytes that should be a certificate cannot be decoded."""


class MalformedFacts(OtpcPolicyError):
    """A document that should hold facts cannot be decoded, or is of another version."""
