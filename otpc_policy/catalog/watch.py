"""Whether files have changed since they were last looked at."""

import os
from collections.abc import Iterable
from pathlib import Path

# Path, device, inode, size, and times of modification and change in nanoseconds, of each file.
Stamp = tuple[tuple[str, int, int, int, int, int], ...]

# Documents with their signatures, and what policy tests name: saved facts and anchors. Logs may
# change in between.
_WATCHED = (".toml", ".sig", ".json", ".pem")


def stamp_of(paths: Iterable[Path]) -> Stamp:
    """Return a value that differs as soon as one of these files does.

    A folder stands for all documents in it. A missing file has a stamp too. Links are followed, so
    swapping the link by which Kubernetes shows a mounted ConfigMap changes every stamp in it.
    """
    stamps = []
    for path in paths:
        try:
            if path.is_dir():
                with os.scandir(path) as entries:
                    stamps += [
                        _stamp(entry.path)
                        for entry in entries
                        if entry.name.endswith(_WATCHED) and not entry.name.startswith(".")
                    ]
            else:
                stamps.append(_stamp(str(path)))
        except OSError:
            stamps.append((str(path), 0, 0, 0, 0, 0))
    return tuple(sorted(stamps))


def _stamp(path: str) -> tuple[str, int, int, int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return path, 0, 0, 0, 0, 0
    return (
        path,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
