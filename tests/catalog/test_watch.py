"""No change of a watched file goes unseen."""

import os
from pathlib import Path

from otpc_policy.catalog.watch import stamp_of
from tests.catalog.reloading import MountedFolder


def test_every_change_changes_the_stamp(tmp_path: Path) -> None:
    one = tmp_path / "one.toml"
    stamps = [stamp_of([tmp_path])]

    def changed() -> bool:
        stamps.append(stamp_of([tmp_path]))
        return stamps[-1] != stamps[-2]

    one.write_text("a")
    assert changed()
    assert not changed()
    one.write_text("b")
    assert changed()
    os.utime(one, ns=(1, 1))
    assert changed()
    (tmp_path / "two.toml").write_text("a")
    os.replace(tmp_path / "two.toml", one)
    assert changed()
    one.unlink()
    assert changed()
    (tmp_path / "service.log").write_text("line")
    assert not changed()


def test_swapping_the_link_of_a_mounted_folder_changes_the_stamp(tmp_path: Path) -> None:
    mounted = MountedFolder(tmp_path / "mounted")
    mounted.swap(one="a")
    before = stamp_of([mounted.path])
    mounted.swap(one="a")
    assert stamp_of([mounted.path]) != before


def test_what_is_not_there_has_a_stamp_too(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    before = stamp_of([missing, tmp_path / "file.toml"])
    missing.mkdir()
    (missing / "one.toml").write_text("a")
    assert stamp_of([missing, tmp_path / "file.toml"]) != before
    (tmp_path / "dangling.toml").symlink_to("nowhere")
    assert stamp_of([tmp_path]) == stamp_of([tmp_path])
