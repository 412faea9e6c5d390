"""Processes that nobody waits for any more, where this process has to.

An engine that is killed leaves its workers to process 1 of the container. That is often this very
service, which would keep each of them as a zombie for as long as it runs.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_INIT = 1


def reap_orphans(own: Collection[int], *, pid: int | None = None) -> None:
    """Take the ends of children that were none of ours. own: children that others wait for.

    Does nothing unless this is process 1. pid: of this process, for tests.
    """
    pid = os.getpid() if pid is None else pid
    if pid != _INIT:
        return
    for child in _children():
        if child not in own:
            with suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)


def _children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found
