"""Explanations of differences, read from explanations.toml and matched with the differences found.

Each difference needs an explanation, and each explanation a difference.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import suite_name
from tests.differential.comparison import OURS, Difference, Kind

PATH = Path(__file__).with_name("explanations.toml")
# Wrong claims of ours, which cannot be excused.
_NEVER = frozenset({Kind.MISSING, Kind.EXTRA, Kind.DENIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a tool differs.

    servers, suites: patterns as in file names, suites by IANA name; "version" stands for a
    statement about the version itself. versions: empty for all. source: where the reason can be
    checked.
    """

    number: str
    servers: tuple[str, ...]
    tool: str
    kind: Kind
    versions: tuple[TlsVersion, ...] = ()
    suites: tuple[str, ...] = ("*",)
    reason: str
    source: str

    def covers(self, difference: Difference) -> bool:
        """Return whether it covers this difference."""
        name = "version" if difference.suite is None else suite_name(difference.suite)
        return (
            difference.tool == self.tool
            and difference.kind is self.kind
            and (not self.versions or difference.version in self.versions)
            and any(fnmatchcase(difference.server, pattern) for pattern in self.servers)
            and any(fnmatchcase(name, pattern) for pattern in self.suites)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounted:
    """Explained differences, unexplained differences, and explanations without a difference."""

    explained: tuple[tuple[Difference, Explanation], ...]
    unexplained: tuple[Difference, ...]
    stale: tuple[Explanation, ...]


def load(path: Path = PATH) -> tuple[Explanation, ...]:
    """Read the table.

    Raises ValueError if an entry excuses a wrong claim of ours, or if two have the same number.
    """
    entries = tuple(
        Explanation(
            number=entry["number"],
            servers=tuple(entry["servers"]),
            tool=entry["tool"],
            kind=Kind(entry["kind"]),
            versions=tuple(TlsVersion[name] for name in entry.get("versions", ())),
            suites=tuple(entry.get("suites", ("*",))),
            reason=entry["reason"],
            source=entry["source"],
        )
        for entry in tomllib.loads(path.read_text())["explanation"]
    )
    if len({entry.number for entry in entries}) != len(entries):
        raise ValueError("two explanations have the same number")
    for entry in entries:
        if entry.tool == OURS and entry.kind in _NEVER:
            raise ValueError(f"{entry.number}: a wrong claim of ours cannot be explained away")
    return entries


def account(
    differences: Iterable[Difference],
    explanations: Sequence[Explanation],
    looked_at: frozenset[str],
) -> Accounted:
    """Match differences with explanations.

    looked_at: servers and tools of this run as "server tool"; explanations of others are not stale.
    """
    explained, unexplained = [], []
    used = set()
    for difference in differences:
        fitting = next((each for each in explanations if each.covers(difference)), None)
        if fitting is None:
            unexplained.append(difference)
        else:
            explained.append((difference, fitting))
            used.add(fitting.number)
    stale = [
        each for each in explanations if each.number not in used and _was_looked_at(each, looked_at)
    ]
    return Accounted(explained=tuple(explained), unexplained=tuple(unexplained), stale=tuple(stale))


def _was_looked_at(explanation: Explanation, looked_at: frozenset[str]) -> bool:
    return any(
        fnmatchcase(pair, f"{server} {explanation.tool}")
        for server in explanation.servers
        for pair in looked_at
    )
