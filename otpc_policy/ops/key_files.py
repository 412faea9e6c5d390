"""Who may read the file of a private key, by its mode.

A key that every user of the machine may read is refused. One that a group may read is reported and
used: that is how Kubernetes hands a secret to a process that is not root (fsGroup).
"""

import os
import stat
from pathlib import Path

import structlog

_log = structlog.get_logger("otpc_policy.tls")


def problem_with_key_file(path: Path) -> str:
    """Return why a key file is not used, for people, or "". A missing file is no problem here.

    Logs a warning for a key that the file's group may read.
    """
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return ""  # reading it tells why
    if mode & stat.S_IRWXO:
        return (
            f"{path}: every user may read or change this private key (mode {mode:04o}); "
            f"chmod 600 {path}, or 0440 for a group of its own "
            "(Kubernetes: defaultMode: 0440, with fsGroup)"
        )
    if mode & stat.S_IRWXG:
        _log.warning("key_file_open_to_group", key_file=str(path), mode=f"{mode:04o}")
    return ""
