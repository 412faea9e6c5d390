"""Reads constraints files: which packages are installed, at which version, from which files.

Only the standard library: the image's build stage runs this before anything of ours is installed.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][0-9A-Za-z.!+_-]*)"
    r"(?:\s*;\s*(?P<marker>[^#]*?))?"
)
_HASH = re.compile(r"--hash=(?P<algorithm>[a-z0-9]+):(?P<digest>[0-9a-f]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A package at one version. sha256: of each file that may be installed, as hexadecimal.

    marker: when it is needed at all, as PEP 508 has it; empty for always.
    """

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]


def normalised(name: str) -> str:
    """Return a project's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path: Path) -> list[Pin]:
    """Return every pin of a constraints file.

    Raises ValueError for whatever else it holds: an option, an address, a range, a pin without a
    hash or with one that is not SHA-256, the same package twice.
    """
    pins: list[Pin] = []
    for line in _logical_lines(path.read_text(encoding="utf-8")):
        pin = _read(line, path.name)
        if pin.name in (known.name for known in pins):
            raise ValueError(f"{path.name}: {pin.name} is pinned twice")
        pins.append(pin)
    if not pins:
        raise ValueError(f"{path.name}: pins nothing")
    return pins


def _logical_lines(text: str) -> list[str]:
    without_comments = re.sub(r"(?m)(^|\s)#.*$", "", text)
    joined = re.sub(r"\\\n", " ", without_comments)
    return [line.strip() for line in joined.splitlines() if line.strip()]


def _read(line: str, file: str) -> Pin:
    requirement, *options = re.split(r"\s+(?=--)", line)
    found = _PIN.fullmatch(requirement)
    if found is None:
        raise ValueError(f"{file}: not an exact pin: {requirement}")
    hashes = [_HASH.fullmatch(option) for option in options]
    digests = [each["digest"] for each in hashes if each and each["algorithm"] == "sha256"]
    if not digests or len(digests) != len(options) or any(len(each) != 64 for each in digests):
        raise ValueError(f"{file}: {requirement} is not held to SHA-256 hashes alone")
    return Pin(
        name=normalised(found["name"]),
        version=found["version"],
        marker=found["marker"] or "",
        sha256=tuple(digests),
    )
