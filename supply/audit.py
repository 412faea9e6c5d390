"""Check the pins without a network; `make audit-offline`.

Every package of every constraints file must be an exact version held to SHA-256 hashes, every
package of the Node lock file must have its integrity, and none may be on the list of denied
versions (supply/denied.toml). That list is written by hand: it knows what was known on its date
and to its authors. `make audit` asks a vulnerability service instead, and needs a network.
"""

import json
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from supply.pins import Pin, normalised, read_pins

ROOT = Path(__file__).parents[1]
DENIED = ROOT / "supply" / "denied.toml"
NODE_LOCKS = (ROOT / "tests" / "app" / "callers" / "node" / "package-lock.json",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Versions of a package that must not be pinned. below: the first version that is free of it.

    below "": no version is. source: the advisory. accepted_in: constraints files that may hold it,
    each with the reason.
    """

    package: str
    below: str
    source: str
    accepted_in: dict[str, str]


def read_denied(path: Path = DENIED) -> tuple[str, list[Denial]]:
    """Return the date of the list and its entries. Raises KeyError, ValueError if it is invalid."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    entries = [
        Denial(
            package=normalised(entry["package"]),
            below=entry["below"],
            source=entry["source"],
            accepted_in=entry.get("accepted_in", {}),
        )
        for entry in document["denied"]
    ]
    return document["as_of"].isoformat(), entries


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a release. Raises ValueError for a version that is none, 1.0rc1 say.

    Trailing zeros do not count (PEP 440), and neither does .post: that is never below its release.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)*)(?:\.post[0-9]+)?", version)
    if found is None:
        raise ValueError(f"{version} is not a release, and cannot be compared")
    numbers = [int(number) for number in found[1].split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def problems_of_pins(file: str, pins: Sequence[Pin], denied: Sequence[Denial]) -> list[str]:
    """Return what is wrong with pins by the list, for people."""
    problems = []
    for pin in pins:
        for denial in denied:
            if denial.package != pin.name or file in denial.accepted_in:
                continue
            try:
                is_denied = not denial.below or release(pin.version) < release(denial.below)
            except ValueError as error:
                problems.append(f"{file}: {pin.name}: {error}")
                continue
            if is_denied:
                problems.append(f"{file}: {pin.name} {pin.version} is denied: {denial.source}")
    return problems


def problems_of_node_lock(path: Path) -> list[str]:
    """Return which packages of a lock file are not held to a SHA-512 hash, for people."""
    packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
    return [
        f"{path.name}: {name} is not held to a hash"
        for name, package in packages.items()
        if name and not str(package.get("integrity", "")).startswith("sha512-")
    ]


def problems(root: Path = ROOT, *, denied: Sequence[Denial]) -> list[str]:
    """Return everything that is wrong, for people."""
    found: list[str] = []
    for path in sorted(root.glob("constraints*.txt")):
        try:
            found += problems_of_pins(path.name, read_pins(path), denied)
        except ValueError as error:
            found.append(str(error))
    for lock in NODE_LOCKS:
        found += problems_of_node_lock(lock)
    return found


def main() -> int:
    """Return 0 if nothing is wrong."""
    as_of, denied = read_denied()
    found = problems(denied=denied)
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{len(found)} problems; {len(denied)} entries of denied versions, as of {as_of}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
