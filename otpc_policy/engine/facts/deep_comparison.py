"""Merges two measurements of the same cipher suites: ours and sslyze's. Pure.

If one proves that a suite is offered and the other proves that it is not, neither is believed: the
fact becomes UNKNOWN. sslyze alone turns an UNKNOWN into YES if it completed a handshake, and never
into NO.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from otpc_policy.core.facts import (
    AddressFacts,
    CipherSuiteFact,
    Evidence,
    Support,
    TlsVersion,
    VersionFact,
)
from otpc_policy.core.registries.suites import suite_by_code_point

YES, NO, UNKNOWN = Support.YES, Support.NO, Support.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteClaim:
    """What sslyze proves about one suite over one version; never UNKNOWN.

    handshake_completed: only together with YES.
    """

    version: TlsVersion
    code_point: int
    support: Support
    handshake_completed: bool = False


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The two measurements disagree. subject: "version" or "cipher_suite". text: for people."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The facts that both measurements leave, and where they disagreed."""

    facts: AddressFacts
    contradictions: tuple[Contradiction, ...]


def compare(standard: AddressFacts, claims: Iterable[SuiteClaim]) -> Comparison:
    """Return the STANDARD facts as the claims leave them."""
    suites = {(fact.version, fact.code_point): fact for fact in standard.cipher_suites}
    versions = {fact.version: fact for fact in standard.versions}
    found: list[Contradiction] = []
    disputed: set[TlsVersion] = set()
    for claim in claims:
        if claim.version in disputed:
            continue
        key, version = (claim.version, claim.code_point), versions.get(claim.version)
        fact = suites.get(key)
        if claim.support is YES and version is not None and version.support is NO:
            found.append(
                Contradiction(
                    "version",
                    f"{claim.version.label}: refused by proof, "
                    f"yet sslyze had it accepted with {_name(claim)}",
                )
            )
            versions[claim.version] = VersionFact(claim.version, UNKNOWN, Evidence.NONE)
            disputed.add(claim.version)
        elif fact is not None and {fact.support, claim.support} == {YES, NO}:
            ours, theirs = (
                ("accepted", "refused") if fact.support is YES else ("refused", "accepted")
            )
            found.append(
                Contradiction(
                    "cipher_suite",
                    f"{_name(claim)} over {claim.version.label}: "
                    f"{ours} by proof, yet {theirs} when sslyze offered it",
                )
            )
            suites[key] = replace(
                fact, support=UNKNOWN, evidence=Evidence.NONE, handshake_completed=False
            )
        elif (
            claim.support is YES
            and claim.handshake_completed
            and (fact is None or fact.support is UNKNOWN)
        ):
            suites[key] = CipherSuiteFact(
                version=claim.version,
                code_point=claim.code_point,
                support=YES,
                evidence=Evidence.SERVER_HELLO,
                handshake_completed=True,
            )
            if version is not None and version.support is UNKNOWN:
                versions[claim.version] = VersionFact(claim.version, YES, Evidence.SERVER_HELLO)
    for before in standard.versions:
        if before.support is YES and _nothing_left(before.version, standard, suites.values()):
            text = (
                f"{before.version.label}: accepted by proof, "
                "yet every suite of it was refused when sslyze offered it"
            )
            found.append(Contradiction("version", text))
            versions[before.version] = VersionFact(before.version, UNKNOWN, Evidence.NONE)
    facts = replace(
        standard, versions=tuple(versions.values()), cipher_suites=tuple(suites.values())
    )
    return Comparison(facts, tuple(found))


def _nothing_left(
    version: TlsVersion, standard: AddressFacts, suites: Iterable[CipherSuiteFact]
) -> bool:
    """The version had suites, and the comparison has left it none."""
    had = any(fact.version is version and fact.support is YES for fact in standard.cipher_suites)
    return had and not any(fact.version is version and fact.support is YES for fact in suites)


def _name(claim: SuiteClaim) -> str:
    suite = suite_by_code_point(claim.code_point)
    return suite.iana_name if suite is not None else f"0x{claim.code_point:04X}"
