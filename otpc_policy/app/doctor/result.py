"""What a check of the doctor comes to."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """How a check ended. SKIPPED: it was not made, and the message says why."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILED = "failed"


_ORDER: Final = tuple(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line. message: what was found. remedy: what to do about it; "" where nothing is to be."""

    check: str
    status: Status
    message: str
    remedy: str = ""


def ok(check: str, message: str) -> Result:
    """Return that all is well."""
    return Result(check=check, status=Status.OK, message=message)


def skipped(check: str, message: str) -> Result:
    """Return that the check was not made."""
    return Result(check=check, status=Status.SKIPPED, message=message)


def warning(check: str, message: str, remedy: str) -> Result:
    """Return what somebody should look at, though the service works."""
    return Result(check=check, status=Status.WARNING, message=message, remedy=remedy)


def failed(check: str, message: str, remedy: str) -> Result:
    """Return what keeps the service, or a part of it, from working."""
    return Result(check=check, status=Status.FAILED, message=message, remedy=remedy)


def reason(error: Exception) -> str:
    """Return why a connection failed, in the system's words where there are some."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def worst(results: Iterable[Result]) -> Status:
    """Return the worst status; OK without results."""
    return max((result.status for result in results), key=_ORDER.index, default=Status.OK)
