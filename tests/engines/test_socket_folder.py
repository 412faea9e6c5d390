"""Folders for sockets: removed once their front is gone, and never while it is there."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otpc_policy.engines import socket_folder
from otpc_policy.engines.socket_folder import SocketFolder, remove_abandoned


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where folders are made."""
    # pytest's own folders may be too deep for Unix sockets below them.
    with tempfile.TemporaryDirectory(prefix="otpc-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def abandoned(place: Path, name: str = "otpc-policy-engine-abandoned") -> Path:
    folder = place / name
    folder.mkdir()
    (folder / "engine").touch()
    return folder


def test_a_folder_is_for_this_user_alone_until_it_is_removed(place: Path) -> None:
    folder = SocketFolder()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "engine").touch()
    for _ in range(2):
        folder.remove()
        assert list(place.iterdir()) == []


def test_a_folder_that_is_in_use_stays(place: Path) -> None:
    folder = SocketFolder()
    remove_abandoned()
    assert list(place.iterdir()) == [folder.path]
    folder.remove()


def test_a_folder_whose_front_has_ended_goes(place: Path) -> None:
    abandoned(place)
    remove_abandoned()
    assert list(place.iterdir()) == []


def test_what_is_not_a_folder_of_a_front_stays(place: Path) -> None:
    elsewhere = abandoned(place, "elsewhere")
    earlier = abandoned(place, "otpc-policy-engines-of-an-earlier-release")
    link, file = place / "otpc-policy-engine-link", place / "otpc-policy-engine-file"
    link.symlink_to(elsewhere)
    file.touch()
    remove_abandoned()
    assert set(place.iterdir()) == {elsewhere, earlier, link, file}
    assert (elsewhere / "engine").exists()


def test_a_folder_of_another_user_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = abandoned(place)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    remove_abandoned()
    assert list(place.iterdir()) == [folder]


def test_without_locks_folders_are_made_and_none_is_taken_for_abandoned(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = SocketFolder()
    remove_abandoned()
    assert list(place.iterdir()) == [folder.path]
    folder.remove()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("is_held", [True, False])
def test_a_folder_that_another_front_removes_before_it_is_locked_is_made_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    locked: Callable[[Path], int | None] = socket_folder._locked
    taken: list[Path] = []

    def late(folder: Path) -> int | None:
        if taken:
            return locked(folder)
        taken.append(folder)
        if is_held:
            raise BlockingIOError
        lock = locked(folder)
        folder.rmdir()
        return lock

    monkeypatch.setattr(socket_folder, "_locked", late)
    folder = SocketFolder()
    assert folder.path not in taken
    assert folder.path.exists()
    folder.remove()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without a folder that can be written."""

    def fail() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", fail)


@pytest.mark.usefixtures("nowhere")
def test_where_every_file_system_is_read_only_shared_memory_serves(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_folder, "_SHARED_MEMORY", str(place))
    left = abandoned(place)
    remove_abandoned()
    assert not left.exists()
    folder = SocketFolder()
    assert folder.path.parent == place
    folder.remove()


@pytest.mark.usefixtures("nowhere")
def test_no_place_for_temporary_files_is_reported_where_one_is_needed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_folder, "_SHARED_MEMORY", str(place / "missing"))
    remove_abandoned()
    with pytest.raises(FileNotFoundError, match="missing is not writable; set TMPDIR"):
        SocketFolder()


def test_a_place_whose_sockets_nobody_could_connect_to_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Unix socket's path has 107 bytes at most."""
    folder = SocketFolder()
    below = len(str(folder.socket)) - len(str(place))
    folder.remove()
    for place_bytes, why in ((107 - below, "No such file"), (108 - below, "TMPDIR")):
        monkeypatch.setattr(tempfile, "tempdir", "/" + (place_bytes - 1) * "x")
        with pytest.raises(OSError, match=why):
            SocketFolder()
