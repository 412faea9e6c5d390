"""Every finding code: its meaning, its severity, its remedies, and what a waiver of it must list.

The codes are data (findings.toml). A code is never renamed and never reused for something else.
What it does to a decision is set by policies, except for the codes whose effect is in the data.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.policy.finding import Effect, Severity


class WaiverCoverage(Enum):
    """What a waiver of a code must list, if there may be one."""

    NEVER = "never"
    CODE = "code"
    SUITES = "suites"
    VERSIONS = "versions"
    SUITES_OR_VERSIONS = "suites or versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCode:
    """One finding code.

    rule_id: the rule that reports it; empty where no single rule does.
    effect: the effect that no policy can change; None where policies set it.
    coverage: what a waiver must list.
    remediation: what to change. remedies: the lines to write, by server, in reading order.
    offered_suites: IANA names of the suites that the remedies' lines allow over TLS 1.2; empty if
        the lines name no suites. offered_versions: labels of the versions that they allow.
    offered_groups: IANA names of the groups that they allow.
    hints: what to say first under a policy that lists others, by what differs: "suites",
        "tls13_suites", "versions", "groups".
    citation: the technical source. causes: what to change instead where the cause is known.
    """

    code: str
    rule_id: str
    severity: Severity
    effect: Effect | None
    coverage: WaiverCoverage
    meaning: str
    remediation: str
    remedies: Mapping[str, str]
    offered_suites: frozenset[str] = field(default=frozenset(), repr=False)
    offered_versions: tuple[str, ...] = field(default=(), repr=False)
    offered_groups: frozenset[str] = field(default=frozenset(), repr=False)
    hints: Mapping[str, str] = field(default_factory=dict, repr=False)
    citation: str
    causes: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def remedy_text(self) -> str:
        """Remediation and remedies as one text."""
        return self.remedy_after()

    def remedy_after(self, *hints: str) -> str:
        """Return remediation and remedies as one text, with these lines in between."""
        lines = map(_lines, self.remedies, self.remedies.values())
        return "\n".join((self.remediation, *hints, *lines))


@cache
def finding_codes() -> Mapping[str, FindingCode]:
    """Return every finding code by its name."""
    text = (resources.files("otpc_policy.policy") / "findings.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return MappingProxyType({code: _finding_code(code, document) for code in document})


@lru_cache(maxsize=256)
def remedy_under(
    code: str,
    listed_suites: tuple[str, ...] = (),
    permitted_versions: tuple[str, ...] = (),
    listed_groups: tuple[str, ...] = (),
) -> str:
    """Return the remedy of a code as one text, under a policy that lists these items.

    listed_suites, listed_groups: IANA names; empty where the rule of the code lists none.
    permitted_versions: labels; empty where they make no difference. If the remedies' lines offer
    others, the text says so first.
    """
    entry = finding_codes()[code]
    known = [suite for suite in map(suite_by_name, listed_suites) if suite is not None]
    listed = [suite for suite in known if not suite.is_tls13]
    tls13 = [suite.iana_name for suite in known if suite.is_tls13]
    offered = entry.offered_suites
    hints: list[str] = []
    if permitted_versions and set(entry.offered_versions) not in (set(), set(permitted_versions)):
        hints.append(entry.hints["versions"].format(versions=", ".join(permitted_versions)))
    if listed and offered and offered != {suite.iana_name for suite in listed}:
        names = ":".join(suite.openssl_name or suite.iana_name for suite in listed)
        hints.append(entry.hints["suites"].format(suites=names))
    if tls13 and offered:
        hints.append(entry.hints["tls13_suites"].format(suites=":".join(tls13)))
    if listed_groups and entry.offered_groups and entry.offered_groups != set(listed_groups):
        hints.append(entry.hints["groups"].format(groups=", ".join(listed_groups)))
    return entry.remedy_after(*hints)


def _finding_code(code: str, document: Mapping[str, Mapping[str, Any]]) -> FindingCode:
    table = document[code]
    # The remedies of another code may serve here too, with the suites that they offer.
    remedies = table.get("remedies", {})
    owner = document[remedies] if isinstance(remedies, str) else table
    lines_by_server = {server: lines.strip() for server, lines in owner.get("remedies", {}).items()}
    return FindingCode(
        code=code,
        rule_id=table["rule"],
        severity=Severity[table["severity"].upper()],
        effect=Effect(table["effect"]) if "effect" in table else None,
        coverage=WaiverCoverage(table.get("waiver", "code")),
        meaning=table["meaning"],
        remediation=table["remediation"],
        remedies=MappingProxyType(lines_by_server),
        offered_suites=frozenset(owner.get("offered_suites", ())),
        offered_versions=tuple(owner.get("offered_versions", ())),
        offered_groups=frozenset(owner.get("offered_groups", ())),
        hints=MappingProxyType(owner.get("hints", {})),
        citation=table["citation"],
        causes=MappingProxyType(table.get("causes", {})),
    )


def _lines(server: str, lines: str) -> str:
    return f"{server}:\n    " + lines.replace("\n", "\n    ")
