"""Explained differences: read from explanations.toml, matched against what was found. Each difference needs one, each one needs a difference."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import suite_name
from tests.differential.comparison import OURS, Difference, Kind

PATH = Path(__file__).with_name("explanations.toml")
# What nothing excuses: a claim of ours that is wrong.
_NEVER = frozenset({Kind.MISSING, Kind.EXTRA, Kind.DENIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a tool differs.

    servers, suites: patterns as in file names, suites by IANA name; "version" stands for a statement about the version itself. versions: empty for all.
    source: where the reason can be checked.
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
        """Say whether it is about this difference."""
        name = "version" if difference.suite is None else suite_name(difference.suite)
        return (
            difference.tool == self.tool
            and difference.kind is self.kind
            and (not self.versions or difference.version in self.versions)
            and any(fnmatchcase(difference.server, one) for one in self.servers)
            and any(fnmatchcase(name, one) for one in self.suites)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounted:
    """Differences with what explains each, differences that nothing explains, and explanations of nothing."""

    explained: tuple[tuple[Difference, Explanation], ...]
    unexplained: tuple[Difference, ...]
    stale: tuple[Explanation, ...]


def load(path: Path = PATH) -> tuple[Explanation, ...]:
    """Read the table. Raises ValueError if an entry excuses a wrong claim of ours, or if two have the same number."""
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
    if len({one.number for one in entries}) != len(entries):
        raise ValueError("two explanations have the same number")
    for one in entries:
        if one.tool == OURS and one.kind in _NEVER:
            raise ValueError(f"{one.number}: a wrong claim of ours cannot be explained away")
    return entries


def account(differences: Iterable[Difference], explanations: Sequence[Explanation], looked_at: frozenset[str]) -> Accounted:
    """Match. looked_at: servers and tools of this run as "server tool"; an explanation of others is not stale."""
    explained, unexplained = [], []
    used = set()
    for difference in differences:
        fitting = next((one for one in explanations if one.covers(difference)), None)
        if fitting is None:
            unexplained.append(difference)
        else:
            explained.append((difference, fitting))
            used.add(fitting.number)
    stale = [one for one in explanations if one.number not in used and _was_looked_at(one, looked_at)]
    return Accounted(explained=tuple(explained), unexplained=tuple(unexplained), stale=tuple(stale))


def _was_looked_at(explanation: Explanation, looked_at: frozenset[str]) -> bool:
    return any(fnmatchcase(pair, f"{server} {explanation.tool}") for server in explanation.servers for pair in looked_at)
