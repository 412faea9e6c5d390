"""Every finding code there is, read from findings.toml: what it means, how bad it is, what to do about it.

No code is ever renamed or used again for something else. What a code does to a decision is said in policies,
except for those whose effect stands here.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from otpc_policy.policy.finding import Effect, Severity
from otpc_policy.tls.suites import suite_by_name


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCode:
    """One finding code.

    rule_id: the rule that reports it; empty where no single rule does. effect: the effect that no policy can change;
    None where policies set it. remediation: what to change. remedies: the lines to write, by server, in reading order.
    citation: where the technical ground is written. remedy_text: remediation and remedies as one text.
    causes: what to change instead where the cause is known, by its name.
    """

    code: str
    rule_id: str
    severity: Severity
    effect: Effect | None
    meaning: str
    remediation: str
    remedies: Mapping[str, str]
    citation: str
    remedy_text: str
    causes: Mapping[str, str]


def _finding_code(code: str, document: Mapping[str, Mapping[str, Any]]) -> FindingCode:
    table = document[code]
    own = table.get("remedies", {})
    lines_by_server = document[own]["remedies"] if isinstance(own, str) else own
    remedies = {server: lines.strip() for server, lines in lines_by_server.items()}
    return FindingCode(
        code=code,
        rule_id=table["rule"],
        severity=Severity[table["severity"].upper()],
        effect=Effect(table["effect"]) if "effect" in table else None,
        meaning=table["meaning"],
        remediation=table["remediation"],
        remedies=MappingProxyType(remedies),
        citation=table["citation"],
        remedy_text="\n".join((table["remediation"], *map(_lines_of, remedies, remedies.values()))),
        causes=MappingProxyType(table.get("causes", {})),
    )


def _lines_of(server: str, lines: str) -> str:
    return f"{server}:\n    " + lines.replace("\n", "\n    ")


def _read() -> Mapping[str, FindingCode]:
    text = (resources.files("otpc_policy.policy") / "findings.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return MappingProxyType({code: _finding_code(code, document) for code in document})


FINDING_CODES: Mapping[str, FindingCode] = _read()


@lru_cache(maxsize=256)
def remedy_under(code: str, listed_suites: tuple[str, ...]) -> str:
    """Return the remedy of a code as one text, under a policy whose rule lists these suites (IANA names; none where it lists none).

    The lines of the registry offer the suites of otpc-2024-12; under another list the text says so, and which ones belong there.
    """
    entry = FINDING_CODES[code]
    suites = [suite for suite in map(suite_by_name, listed_suites) if suite is not None and not suite.is_tls13]
    own = ":".join(suite.openssl_name or suite.iana_name for suite in suites)
    if not suites or "ssl_ciphers" not in entry.remedy_text or f"ssl_ciphers {own};" in entry.remedy_text:
        return entry.remedy_text
    hint = f"This policy lists other suites for TLS 1.2 than the lines below offer; write in their place, in the words of OpenSSL: {own}"
    return entry.remedy_text.replace(entry.remediation, f"{entry.remediation}\n{hint}", 1)
