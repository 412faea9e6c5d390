"""Folders for the sockets of engines that start, and the removal of those that nobody uses.

Only this user may enter one: whoever can connect to an engine may have it measure. A front removes
the folder once it is connected. A front that is killed before that leaves it behind, and the next
one that starts removes it. Who uses a folder holds a lock on it, which ends with the process, so
that the folder of a front that starts at the same time is kept.
"""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "otpc-policy-engine-"
_SOCKET: Final = "engine"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class SocketFolder:
    """A new folder for one socket, locked until it is removed. Raises OSError."""

    def __init__(self) -> None:
        self._path, self._lock = _locked()

    @property
    def socket(self) -> Path:
        """Where the engine listens."""
        return self._path / _SOCKET

    def remove(self) -> None:
        """Remove folder and socket, if that has not been done."""
        if self._lock is None:
            return
        _remove(self._path)
        os.close(self._lock)
        self._lock = None


def remove_abandoned() -> None:
    """Remove this user's folders that no process holds."""
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with suppress(OSError):  # another user's, in use, or gone meanwhile
            lock = os.open(path, _FOLDER)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(path)
            finally:
                os.close(lock)


def _locked() -> tuple[Path, int | None]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(path, _FOLDER)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)
        # It was taken for abandoned before it was locked.


def _remove(path: Path) -> None:
    """Remove the folder if there is nothing in it but the socket."""
    with suppress(OSError):
        (path / _SOCKET).unlink(missing_ok=True)
        path.rmdir()
