"""What tests of reloading share.

A folder as Kubernetes mounts it, good and bad entries, and an observer of loads.
"""

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

GOOD = 'id = "bank"\nowner = "onboarding@example.com"\nendpoints = ["api.bank.example"]\n'
BAD = 'id = "bank"\n\nowner = 7\nendpoints = ["api.bank.example"]\n'


@dataclass
class Observer:
    """Remembers loads."""

    loads: list[bool] = field(default_factory=list)
    reloads: list[str] = field(default_factory=list)

    def config_loaded(self, successful: bool, at: datetime) -> None:
        assert at.tzinfo is not None
        self.loads.append(successful)

    def config_reload(self, result: str) -> None:
        self.reloads.append(result)


class MountedFolder:
    """A folder that shows files through a link named ..data.

    The link is swapped in one step when any of them changes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._versions = 0
        path.mkdir()

    def swap(self, **contents: str) -> None:
        """Replace all files. contents: text by name without its suffix."""
        self._versions += 1
        version = self.path / f"..version{self._versions}"
        version.mkdir()
        for name, text in contents.items():
            (version / f"{name}.toml").write_text(text, encoding="utf-8")
        fresh = self.path / "..data_tmp"
        fresh.symlink_to(version.name)
        os.replace(fresh, self.path / "..data")
        for name in contents:
            link = self.path / f"{name}.toml"
            if not link.is_symlink():
                link.symlink_to(Path("..data") / link.name)
        for link in self.path.glob("*.toml"):
            if link.stem not in contents:
                link.unlink()
