"""Folders of documents as an operator keeps them, mounted ConfigMaps included: what belongs to one, and whether it has changed."""

import os
from collections.abc import Iterable
from pathlib import Path

from otpc_policy.errors import ConfigurationError

# Where a file is, and when and what it was: path, device, inode, size, modification and change in nanoseconds.
Stamp = tuple[tuple[str, int, int, int, int, int], ...]

# Documents, and what tests of policies name: saved facts and anchors. Logs and the like may change beside them as they will.
_WATCHED = (".toml", ".json", ".pem")


def documents_in(folder: Path, setting: str) -> tuple[Path, ...]:
    """Return the TOML documents of a folder by name; folders in it and hidden files (editors', and Kubernetes' ..data) are passed over.

    Raises ConfigurationError if it cannot be read, or holds none: what was mounted may be missing, and nobody means "no rules" by that.
    """
    return tuple(map(Path, places_in(folder, setting)))


def places_in(folder: Path, setting: str) -> list[str]:
    """Return documents_in as plain texts, and raise as it does: for thousands, making paths takes longer than looking into the folder."""
    try:
        with os.scandir(folder) as entries:
            places = sorted(
                one.path
                for one in entries
                if one.name.endswith(".toml") and not one.name.startswith(".") and one.is_file()
            )
    except OSError as error:
        raise ConfigurationError(
            [f"{setting}: {folder}: {error.strerror or 'cannot be read'}"]
        ) from None
    if not places:
        raise ConfigurationError(
            [f"{setting}: {folder}: holds no document (*.toml); to have none, leave {setting} out"]
        )
    return places


def stamp_of(paths: Iterable[Path]) -> Stamp:
    """Return what changes when any of these files does, and for a folder when any document in it does. What is not there has a stamp too.

    Links are followed, so swapping the link through which Kubernetes shows a mounted ConfigMap changes every stamp in it.
    """
    stamps = []
    for path in paths:
        try:
            if path.is_dir():
                with os.scandir(path) as entries:
                    stamps += [
                        _stamp(one.path)
                        for one in entries
                        if one.name.endswith(_WATCHED) and not one.name.startswith(".")
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
