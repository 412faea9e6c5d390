"""The Dockerfile as stages of instructions, and its steps replayed without a container engine.

Each stage has a folder for its file system. Its steps run in a sandbox of bubblewrap that shows
this machine read-only, and over it the stage's own /opt, /source and /usr/local: whatever they do,
they can write nothing else. In /usr/local stands what base images have there: a copy of this
machine's interpreter and library, and pip. What is not shown like this: the packages of the base
image, and that a builder reads the file as we do.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.requirements import require

_STAGE: Final = re.compile(r"(?P<base>\S+)(?: AS (?P<name>\S+))?", re.IGNORECASE)
# Folders of the image that the steps and the programs see in place of this machine's.
_OWN: Final = ("opt", "source", "usr/local")
# What this machine lends, beside its interpreter: shell, C library, names and certificates.
_LENT: Final = ("usr", "bin", "lib", "lib64", "etc")
# How this machine reaches its package index.
_INDEX: Final = re.compile(r"PIP_\w+|(SSL_CERT|REQUESTS_CA)\w*|(?i:https?|no)_proxy", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    text: str

    @property
    def exec_form(self) -> list[str]:
        """The words of ["a", "b"]."""
        words: list[str] = json.loads(self.text[self.text.index("[") :])
        return words


@dataclass(slots=True)
class Stage:
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        return self.all(word)[-1]


def read(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile."""
    text = re.sub(r"(?m)^#.*\n", "", path.read_text(encoding="utf-8"))
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found = _STAGE.fullmatch(rest)
            assert found, line
            stages.append(Stage(found["base"], found["name"] or ""))
        else:
            stages[-1].instructions.append(Instruction(word, rest))
    return stages


class Replay:
    """Runs the steps of stages. context: what the build is given, after .dockerignore."""

    def __init__(self, folder: Path, context: Path) -> None:
        self._folder, self._context = folder, context

    def root(self, stage: str) -> Path:
        """Return the folder that stands for the root of a stage's file system."""
        return self._folder / (stage or "final")

    def run(self, stage: Stage) -> None:
        root = self.root(stage.name)
        for name in _OWN:
            (root / name).mkdir(parents=True)
        _base(root / "usr/local")
        work = "/"
        for step in stage.instructions:
            if step.word == "WORKDIR":
                work = step.text
                assert work.lstrip("/") in _OWN, f"{work} is not in the sandbox"
            elif step.word == "COPY":
                self._copy(shlex.split(step.text), root, work)
            elif step.word == "RUN":
                self._command(step.text, root, work)

    def _copy(self, words: list[str], root: Path, work: str) -> None:
        source_root = self._context
        if words[0].startswith("--from="):
            source_root = self.root(words.pop(0).removeprefix("--from="))
        *sources, target = words
        into = root / os.path.join(work, target).lstrip("/")
        for source in sources:
            found = source_root / source.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _command(self, text: str, root: Path, work: str) -> None:
        command = [*sandbox(root, writable=True), "--chdir", work, "/bin/sh", "-c", text]
        kept = {name: value for name, value in os.environ.items() if _INDEX.fullmatch(name)}
        environment = {**kept, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


def sandbox(root: Path, *, writable: bool = False, uid: int = 0) -> list[str]:
    """Return the command that runs another one in a stage's file system.

    writable: its own folders are; else nothing is but an empty /tmp. uid: by number, and whoever
    is not root has no capability.
    """
    words = [require("bwrap"), "--unshare-user", "--unshare-pid", "--die-with-parent"]
    words += ["--uid", str(uid), "--gid", str(uid), "--tmpfs", "/"]
    for name in (*_LENT, *_interpreter()):
        words += ["--ro-bind-try", f"/{name}", f"/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for name in _OWN:
        words += ["--bind" if writable else "--ro-bind", str(root / name), f"/{name}"]
    words += ["--remount-ro", "/"]
    return words if uid == 0 else [*words, "--cap-drop", "ALL"]


def _interpreter() -> Iterator[str]:
    """Yield where shared libraries of this machine's interpreter are, if not below /usr."""
    prefix = sys.base_prefix.lstrip("/")
    if not prefix.startswith("usr"):
        yield prefix


def _base(folder: Path) -> None:
    """Fill a folder with an interpreter, its library and pip, as base images have in /usr/local."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib"))
    left_out = shutil.ignore_patterns("test", "site-packages", "__pycache__", "config-*", "idlelib")
    shutil.copytree(library, folder / "lib" / version, ignore=left_out)
    (folder / "lib" / version / "site-packages").mkdir()
    (folder / "bin").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), folder / "bin" / version)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(version)
    root = folder.parents[1]
    command = [*sandbox(root, writable=True), f"/usr/local/bin/{version}", "-m", "ensurepip"]
    done = subprocess.run(
        [*command, "--default-pip"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
