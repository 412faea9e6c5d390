"""Files with secrets: how they are read, and who else may read them."""

import os
import stat
from pathlib import Path

import structlog

_log = structlog.get_logger("otpc_policy.engine")


def read_secret(path: Path, *, most_bytes: int, setting: str) -> str:
    """Return the content, ASCII or UTF-8. setting: that names the file, for people.

    Warns where a group may read or write the file. Raises OSError, and ValueError where everybody
    may, or the file is no text of this length.
    """
    with path.open("rb") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        content = opened.read(most_bytes + 1)
    shown = f"{stat.S_IMODE(mode):04o}"
    if mode & stat.S_IRWXO:
        raise ValueError(
            f"{path}: everybody on this machine may use this secret (mode {shown}); chmod 0600"
        )
    if mode & stat.S_IRWXG:
        _log.warning("a group may use a secret", setting=setting, file=str(path), mode=shown)
    if len(content) > most_bytes:
        raise ValueError(f"{path}: too long for what it should hold")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not text") from None


def in_words(error: OSError | ValueError) -> str:
    """Return what was wrong with a file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
