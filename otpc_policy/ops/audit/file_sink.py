"""The sink for a file, whose lines may be chained by hash (see chain).

Beside the file stands "FILE.head" with the number and hash of its last line: the chain goes on
there after a restart or a rotation, and a file whose end was cut no longer reaches it. It is
locked, because two processes that write one file would break its chain.
"""

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otpc_policy.ops.audit.chain import FILE_ENDED, FILE_STARTED, START, Link, last_link
from otpc_policy.ops.audit.schema import each_line, line_of

HEAD_SUFFIX: Final = ".head"
# No line is longer than a few KiB; findings of a thousand addresses would be.
_TAIL_BYTES: Final = 4 * 2**20
# For the owner alone: lines name partners and callers.
_MODE: Final = 0o600
_ANCHOR_S: Final = 60.0

Anchored = Callable[[Path, Link], None]


class FileSink:
    """Appends lines to a file. open it first; whoever rotates it renames it.

    That the file was renamed is found before the next write, and so is that it was cut. anchored:
    is told once a minute, and when the file ends, how far the chain has got.
    """

    name = "file"

    def __init__(
        self,
        path: Path,
        *,
        is_chained: bool = True,
        anchored: Anchored = lambda _path, _link: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._is_chained = path, is_chained
        self._anchored, self._monotonic = anchored, monotonic
        self._file = self._head_file = -1
        self._size = 0
        self._link = START
        self._anchored_s, self._anchored_link = monotonic(), START

    def open(self) -> None:
        """Open the file and lock it. Raises OSError."""
        if self._file >= 0:
            return
        try:
            if self._is_chained and self._head_file < 0:
                self._head_file = _open_head(head_path(self._path))
            self._open_file()
        except OSError:
            self.close()
            raise

    def write(self, lines: str) -> int:
        """See AuditSink. Either all lines are in the file, or none is."""
        self.open()
        if self._was_renamed():
            self.reopen()
        found = os.fstat(self._file).st_size
        if found != self._size:
            # Nobody else writes here, so somebody cut it or added to it.
            self._append(
                [line_of("error", "audit_file_changed", {"expected": self._size, "found": found})],
                found,
            )
        self._append(each_line(lines), self._size)
        if self._monotonic() - self._anchored_s > _ANCHOR_S:
            self._anchor()
        return 0

    def reopen(self) -> None:
        """See AuditSink. Goes on in another file if this one was renamed or removed."""
        if self._file < 0 or not self._was_renamed():
            return
        self._append([line_of("info", FILE_ENDED, {"file": str(self._path)})], self._size)
        self._anchor()
        os.close(self._file)
        self._file = -1
        self._open_file()

    def close(self) -> None:
        """See AuditSink. The file goes on at the next start, so nothing ends it."""
        if self._file >= 0:
            self._anchor()
        for descriptor in (self._file, self._head_file):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._head_file = -1

    def _open_file(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._file = os.open(self._path, flags, _MODE)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(self._path))
        self._size = status.st_size
        if not self._is_chained:
            return
        tail = os.pread(self._file, _TAIL_BYTES, max(0, self._size - _TAIL_BYTES))
        written, known = last_link(tail), self._known()
        self._link = max(known, written or START, key=lambda link: link.seq)
        lines = []
        if tail and not tail.endswith(b"\n"):
            # Cut by a crash. What is there stays, and counts as what it is.
            os.write(self._file, b"\n")
            self._size += 1
            lines.append(line_of("error", "audit_line_torn", {}))
        if not self._size:
            fields = {"file": str(self._path), "previous": self._link.hash}
            lines.append(line_of("info", FILE_STARTED, fields))
        elif written is None or written.seq < known.seq:
            numbers = {"expected": known.seq, "found": 0 if written is None else written.seq}
            lines.append(line_of("error", "audit_file_cut", numbers))
        if lines:
            self._append(lines, self._size)

    def _append(self, lines: list[str], size: int) -> None:
        """Write lines to a file that has this size now. Raises OSError; then none is there."""
        link, chained = self._link, []
        for line in lines:
            if self._is_chained:
                link, text = link.next(line)
                chained.append(text)
            else:
                chained.append(f"{line.rstrip()}\n")
        rest = memoryview("".join(chained).encode("utf-8", "backslashreplace"))
        length = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, size)
            raise
        self._size, self._link = size + length, link
        self._write_head()

    def _known(self) -> Link:
        """Return how far the chain had got by the file beside."""
        if self._link.seq:
            return self._link
        return read_head(os.pread(self._head_file, 1024, 0)) or START

    def _write_head(self) -> None:
        if self._is_chained:
            # The same length each time, so no reader meets half of it.
            text = json.dumps({"seq": f"{self._link.seq:020d}", "chain": self._link.hash})
            os.pwrite(self._head_file, text.encode() + b"\n", 0)

    def _was_renamed(self) -> bool:
        mine = os.fstat(self._file)
        try:
            there = os.stat(self._path)
        except OSError:
            return True
        return (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino)

    def _anchor(self) -> None:
        self._anchored_s = self._monotonic()
        if self._is_chained and self._link != self._anchored_link:
            self._anchored_link = self._link
            self._anchored(self._path, self._link)


def head_path(path: Path) -> Path:
    """Return the file beside an audit file."""
    return path.with_name(path.name + HEAD_SUFFIX)


def read_head(text: bytes) -> Link | None:
    """Return what the file beside says; None if it is empty or cannot be read."""
    try:
        fields = json.loads(text)
        return Link(int(fields["seq"]), str(fields["chain"]))
    # Whoever may write it may write anything: a number without end, or brackets without end.
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _open_head(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(errno.EBUSY, "another process writes this file", str(path)) from None
    except OSError as error:
        os.close(descriptor)
        raise OSError(error.errno, f"cannot be locked: {error.strerror}", str(path)) from None
    return descriptor
