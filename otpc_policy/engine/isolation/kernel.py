"""What every module here needs of the C library, and how it says that the kernel lacks a means."""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Literal

Isolation = Literal["prefer", "require", "off"]


class IsolationUnavailable(Exception):
    """The kernel, or this architecture, lacks a means of isolation.

    The text names it, for the operator.
    """


def attempt(isolation: Isolation, *steps: Callable[[], None]) -> tuple[str, ...]:
    """Take each step unless isolation is off; return what the kernel lacks for those that failed.

    The program that started this process decides what follows.
    """
    missing = []
    for step in steps if isolation != "off" else ():
        try:
            step()
        except IsolationUnavailable as lacking:
            missing.append(str(lacking))
    return tuple(missing)


def checked(result: int, name: str) -> int:
    if result < 0:
        raise IsolationUnavailable(failure(name))
    return result


def failure(name: str) -> str:
    return f"{name}: {os.strerror(ctypes.get_errno())}"


@cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
