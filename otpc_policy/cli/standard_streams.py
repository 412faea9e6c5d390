"""The three standard streams, made good where the parent process left some closed.

Whatever is opened next takes the lowest descriptor that is free. Without this it could be the
connection of a partner or a caller, and libraries that report trouble on descriptor 2 would write
into it. Python has no object for such a stream, so every use of it is an error.
"""

import os
import sys


def open_missing_streams() -> None:
    """Open /dev/null in the place of each standard stream that is closed."""
    for number in range(3):
        if not _is_open(number):
            # Takes the lowest free descriptor, which is this one. Engines inherit it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # for good
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # for good
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # for good


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
