"""Folders for the sockets of child engines, each there only until its engine is connected.

A front that is killed while an engine starts cannot remove the folder, nor can the engine: the
kernel kills it with the front. So a front locks each folder for as long as it needs it (flock(2)),
and the kernel releases the lock when the front ends, however that happens. The next front removes
the folders that nobody has locked.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

# Earlier releases did not lock theirs, under "otpc-policy-engines-": those are left alone.
_PREFIX: Final = "otpc-policy-engine-"
_SOCKET: Final = "engine"
# Writable in containers whose file systems are read-only, and on machines whose disks are full.
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108  # every folder made there is private
# A socket's path has 107 bytes at most (unix(7)); tempfile adds eight characters to the prefix.
_LONGEST_PLACE_BYTES: Final = 107 - len(f"/{_PREFIX}12345678/{_SOCKET}")


class SocketFolder:
    """A folder that only this user may enter, locked until it is removed.

    socket: the path for the engine's socket. Raises OSError, also where that would be too long.
    """

    def __init__(self) -> None:
        place = _place()
        if len(os.fsencode(place)) > _LONGEST_PLACE_BYTES:
            text = f"{place} is too long for Unix sockets below it; set TMPDIR to a shorter path"
            raise OSError(errno.ENAMETOOLONG, text)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            # Another front that starts may remove it before it is locked.
            with suppress(BlockingIOError):
                self._lock = _locked(self.path)
                if self.path.exists():
                    return
                self._unlock()

    @property
    def socket(self) -> Path:
        """Where the engine listens."""
        return self.path / _SOCKET

    def remove(self) -> None:
        """Remove it with all that is in it. Does nothing the second time."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def remove_abandoned() -> None:
    """Remove the folders of fronts of this user that have ended without doing so."""
    # Where there is no place for temporary files, SocketFolder reports it.
    with suppress(FileNotFoundError):
        for path in Path(_place()).glob(f"{_PREFIX}*"):
            with suppress(BlockingIOError):
                lock = _locked(path)
                if lock is not None:
                    shutil.rmtree(path, ignore_errors=True)
                    os.close(lock)


def _place() -> str:
    """Return where temporary files go. Raises FileNotFoundError where nothing can be written."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
            return _SHARED_MEMORY
        text = f"{error.strerror}, and {_SHARED_MEMORY} is not writable; set TMPDIR"
        raise FileNotFoundError(errno.ENOENT, text) from None


def _locked(folder: Path) -> int | None:
    """Lock a folder; return a descriptor that holds the lock until it is closed.

    None where it is gone or another user's, or the file system has no such locks: then nobody
    removes it but the front that has made it. Raises BlockingIOError where it is locked.
    """
    try:
        # Not inherited by the engine, which would hold the lock as well.
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:
        pass
    os.close(lock)
    return None
