"""Files with private keys and passwords: who may read them, by their mode, and how they are read.

One that every user of the machine may read is refused. One that a group may read is reported and
used: that is how Kubernetes hands a secret to a process that is not root (fsGroup).
"""

import os
import stat
from pathlib import Path

import structlog

_log = structlog.get_logger("otpc_policy.secrets")


def problem_with_secret_file(path: Path, what: str = "private key") -> str:
    """Return why a file is not used, for people, or "". A missing file is no problem here.

    what: it holds. Logs a warning for a file that its group may read.
    """
    try:
        return _problem_with_mode(path, os.stat(path).st_mode, what)
    except OSError:
        return ""  # reading it tells why


def read_secret(path: Path, *, what: str, most_bytes: int) -> str:
    """Return the content, ASCII or UTF-8. what: it holds, for people.

    Logs a warning for a file that its group may read. Raises OSError, and ValueError where every
    user may, or the file is no text of this length.
    """
    with path.open("rb") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        content = opened.read(most_bytes + 1)
    if problem := _problem_with_mode(path, mode, what):
        raise ValueError(problem)
    if len(content) > most_bytes:
        raise ValueError(f"{path}: too long for a {what}")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not text") from None


def in_words(error: OSError | ValueError) -> str:
    """Return what was wrong with a file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _problem_with_mode(path: Path, mode: int, what: str) -> str:
    shown = f"{stat.S_IMODE(mode):04o}"
    if mode & stat.S_IRWXO:
        return (
            f"{path}: every user may read or change this {what} (mode {shown}); "
            f"chmod 600 {path}, or 0440 for a group of its own "
            "(Kubernetes: defaultMode: 0440, with fsGroup)"
        )
    if mode & stat.S_IRWXG:
        _log.warning("secret_file_open_to_group", file=str(path), what=what, mode=shown)
    return ""
