"""A wheel that is built again from the same commit has the same bytes."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from supply.wheel import ROOT, build, commit_time, sha256

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        shutil.which("git") is None or not (ROOT / ".git").exists(),
        reason="needs git (Debian: git) and a checkout of it: a wheel is that of a commit",
    ),
]


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)
    return folder


def test_two_builds_from_different_folders_and_files_at_hand_are_the_same(tmp_path: Path) -> None:
    first = build(tmp_path / "first")
    other = clone(tmp_path / "other")
    # Neither what an earlier build left nor what is not committed has a part in it.
    stale = other / "build" / "lib" / "otpc_policy"
    stale.mkdir(parents=True)
    (stale / "stale.py").write_text("stale = True\n")
    (other / "otpc_policy" / "new.py").write_text("new = True\n")
    (other / "otpc_policy" / "__init__.py").chmod(0o600)
    second = build(tmp_path / "second", root=other)
    assert sha256(first) == sha256(second)


def test_the_wheel_has_the_package_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"otpc_policy"}


def test_times_are_those_of_the_commit() -> None:
    assert commit_time().isdigit()
