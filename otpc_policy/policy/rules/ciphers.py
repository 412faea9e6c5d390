"""Rules about cipher suites: a required one works, no unlisted and no insecure one is accepted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from otpc_policy.core.facts import AddressFacts, CipherSuiteFact, Support, TlsVersion
from otpc_policy.core.registries.suites import CipherSuite, suite_by_code_point, suite_by_name
from otpc_policy.policy.finding import Effect, FindingEvidence
from otpc_policy.policy.parameters import (
    Parameter,
    Permitted,
    one_of,
    permitted,
    some_of,
    suites,
    suites_before_tls13,
)
from otpc_policy.policy.rule import Report, Rule, Subject, comma_join, unknown
from otpc_policy.policy.rules.certificate_text import instant

_REQUIRED_SUITES = Parameter("suites", suites_before_tls13)
_LISTED_SUITES = Parameter("suites", permitted(suites))
# For standard TLS 1.3 suites that are not listed.
_TLS13_SUITES = Parameter("tls13_suites", one_of("permit", "advise", "deny"))
_KINDS = Parameter("kinds", some_of("null", "anonymous", "export", "integrity_only"))
# TLS_AES_128_GCM_SHA256 to TLS_AES_128_CCM_8_SHA256: the suites of RFC 8446 B.4. Other suites of
# TLS 1.3 (SM4, integrity only) are not among them.
TLS13_STANDARD = range(0x1301, 0x1306)
_TLS13_EFFECTS: Mapping[str, Effect] = {
    "permit": Effect.OFF,
    "advise": Effect.ADVISORY,
    "deny": Effect.DENY,
}
# What a suite of the kind lacks.
_LACKS: Mapping[str, str] = {
    "null": "no encryption",
    "anonymous": "no authentication",
    "export": "export-grade keys",
    "integrity_only": "no encryption",
}


def judge_required(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """A handshake with one of the suites was completed over TLS 1.2.

    No other version has them. Source: RFC 5289, RFC 7905.
    """
    names = _REQUIRED_SUITES.of(parameters)
    code_points = _code_points(names)
    required = f"one of {comma_join(names)} required over TLS 1.2"
    for address in subject.addresses:
        support = address.version(TlsVersion.TLS_1_2).support
        facts = [fact for fact in address.cipher_suites if fact.version is TlsVersion.TLS_1_2]
        wanted = [fact for fact in facts if fact.code_point in code_points]
        if support is Support.NO:
            yield _none_required(address, _without_tls12(address), (), required, names)
        elif support is not Support.YES:
            yield unknown(
                f"could not determine whether TLS 1.2 is offered; {required}", address.address
            )
        elif any(fact.support is Support.YES and fact.handshake_completed for fact in wanted):
            continue
        elif chosen := [fact for fact in wanted if fact.support is Support.YES]:
            message = f"could not determine whether a handshake with {_named(chosen)} succeeds"
            yield unknown(
                f"{message}: the server chose it, and none was completed; {required}",
                address.address,
            )
        elif open_ := [fact for fact in wanted if fact.support is Support.UNKNOWN]:
            yield unknown(
                f"could not determine whether the server accepts {_named(open_)}; {required}",
                address.address,
            )
        elif not any(fact.support is Support.YES for fact in facts):
            yield unknown(
                f"could not determine the cipher suites accepted over TLS 1.2; {required}",
                address.address,
            )
        else:
            accepted = _names(fact for fact in facts if fact.support is Support.YES)
            yield _none_required(
                address,
                f"over TLS 1.2 the server accepts only {comma_join(accepted)}",
                accepted,
                required,
                names,
            )


def judge_outside_set(
    subject: Subject, parameters: Mapping[str, object], now: datetime
) -> Iterator[Report]:
    """No suite outside the set is accepted, over any version.

    A suite that is in the set until an instant is advised against before it. Any suite that could
    not be determined makes the rule unknown.
    """
    listed = _LISTED_SUITES.of(parameters)
    names = listed.at(now)
    code_points = _code_points(names)
    tls13_effect = _TLS13_EFFECTS[_TLS13_SUITES.of(parameters)]
    for address in subject.addresses:
        accepted = [
            fact
            for fact in address.cipher_suites
            if fact.support is Support.YES and fact.code_point not in code_points
        ]
        of_tls13 = [
            fact
            for fact in accepted
            # A suite whose end has come is refused like any other, whatever tls13_suites says.
            if fact.code_point in TLS13_STANDARD
            and not listed.has_ended(_name(fact.code_point), now)
        ]
        if others := [fact for fact in accepted if fact not in of_tls13]:
            yield _not_listed(address, others, names, None)
        if of_tls13 and tls13_effect is not Effect.OFF:
            yield _not_listed(address, of_tls13, names, tls13_effect)
        yield from _ending(address, listed, now)
        yield from _unseen(address)
        if open_ := [fact for fact in address.cipher_suites if fact.support is Support.UNKNOWN]:
            yield unknown(
                f"could not determine whether the server accepts {_shortened(open_)}",
                address.address,
            )


def judge_insecure(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """No suite without transport security is accepted, over any version."""
    kinds = _KINDS.of(parameters)
    for address in subject.addresses:
        insecure: dict[int, str] = {}
        open_: list[CipherSuiteFact] = []
        for fact in address.cipher_suites:
            if fact.support is Support.NO:
                continue
            suite = suite_by_code_point(fact.code_point)
            lacks = "" if suite is None else _lacks(suite, kinds)
            if fact.support is Support.YES and lacks:
                insecure[fact.code_point] = f"{_name(fact.code_point)} ({lacks})"
            elif (fact.support is Support.UNKNOWN and lacks) or suite is None:
                open_.append(fact)
        if insecure:
            ordered = sorted(insecure)
            described = [insecure[code_point] for code_point in ordered]
            yield Report(
                code="CIPHER_SUITE_INSECURE",
                message=f"the server accepts {comma_join(described)};"
                " suites with encryption and authentication required",
                addresses=(address.address,),
                evidence=tuple(
                    FindingEvidence("cipher_suite", suite, "refused") for suite in described
                ),
                about=tuple(map(_name, ordered)),
            )
        yield from _unseen(address)
        if open_:
            yield unknown(
                f"could not determine whether an insecure suite is accepted: {_shortened(open_)}",
                address.address,
            )


def _unseen(address: AddressFacts) -> Iterator[Report]:
    """Report versions that are unknown, or offered without any suite known to be accepted."""
    accepting = {fact.version for fact in address.cipher_suites if fact.support is Support.YES}
    unseen = [
        version.label
        for version in TlsVersion
        if (support := address.version(version).support) is Support.UNKNOWN
        or (support is Support.YES and version not in accepting)
    ]
    if unseen:
        yield unknown(
            f"could not determine the cipher suites accepted over {comma_join(unseen)}",
            address.address,
        )


def _without_tls12(address: AddressFacts) -> str:
    if address.version(TlsVersion.TLS_1_3).support is Support.YES:
        return (
            "the server offers TLS 1.3 without TLS 1.2, and TLS 1.3 has none of the required suites"
        )
    return "TLS 1.2 is not offered"


def _none_required(
    address: AddressFacts,
    observed: str,
    accepted: tuple[str, ...],
    required: str,
    names: tuple[str, ...],
) -> Report:
    """Return the report that no required suite works.

    accepted: what the server accepts instead; empty if TLS 1.2 is not offered. A waiver must then
    list the versions that are.
    """
    others = tuple(
        version.label for version in TlsVersion if address.version(version).support is Support.YES
    )
    return Report(
        code="CIPHER_SUITE_NONE_REQUIRED",
        message=f"{observed}; {required}",
        addresses=(address.address,),
        evidence=(
            FindingEvidence(
                "cipher_suite", comma_join(accepted) or "TLS 1.2 not offered", comma_join(names)
            ),
        ),
        about=accepted or others or ("no version",),
    )


def _not_listed(
    address: AddressFacts,
    facts: Sequence[CipherSuiteFact],
    names: tuple[str, ...],
    effect: Effect | None,
) -> Report:
    described = _described(facts)
    return Report(
        code="CIPHER_SUITE_NOT_LISTED",
        message=f"the server accepts {comma_join(described)};"
        f" only {comma_join(names)} should be accepted",
        addresses=(address.address,),
        evidence=tuple(FindingEvidence("cipher_suite", suite, "refused") for suite in described),
        effect=effect,
        about=_names(facts),
    )


def _ending(address: AddressFacts, listed: Permitted, now: datetime) -> Iterator[Report]:
    """Report the accepted suites that are permitted for now only, together by their end."""
    ends: dict[datetime, list[CipherSuiteFact]] = {}
    for fact in address.cipher_suites:
        end = listed.until.get(_name(fact.code_point))
        if fact.support is Support.YES and end is not None and now < end:
            ends.setdefault(end, []).append(fact)
    for end, facts in sorted(ends.items()):
        described = _described(facts)
        yield Report(
            code="CIPHER_SUITE_NOT_LISTED",
            message=f"the server accepts {comma_join(described)};"
            f" permitted until {instant(end)}, and no longer from then on",
            addresses=(address.address,),
            evidence=tuple(
                FindingEvidence("cipher_suite", suite, f"refused from {instant(end)}")
                for suite in described
            ),
            effect=Effect.ADVISORY,
            about=_names(facts),
        )


def _described(facts: Iterable[CipherSuiteFact]) -> list[str]:
    """Describe each suite once, with the versions it was seen in."""
    versions: dict[int, list[TlsVersion]] = {}
    for fact in facts:
        versions.setdefault(fact.code_point, []).append(fact.version)
    labels = {
        code_point: comma_join(version.label for version in sorted(seen))
        for code_point, seen in versions.items()
    }
    return [f"{_name(code_point)} ({labels[code_point]})" for code_point in sorted(labels)]


def _shortened(facts: Iterable[CipherSuiteFact]) -> str:
    """Join the first six: often every suite that was offered is unknown."""
    described = _described(facts)
    return comma_join(described[:6]) + (
        f" and {len(described) - 6} more" if len(described) > 6 else ""
    )


def _named(facts: Iterable[CipherSuiteFact]) -> str:
    return comma_join(_names(facts))


def _names(facts: Iterable[CipherSuiteFact]) -> tuple[str, ...]:
    return tuple(_name(code_point) for code_point in sorted({fact.code_point for fact in facts}))


def _name(code_point: int) -> str:
    suite = suite_by_code_point(code_point)
    return suite.iana_name if suite else f"0x{code_point:04X}"


def _lacks(suite: CipherSuite, kinds: Iterable[str]) -> str:
    return comma_join(dict.fromkeys(_LACKS[kind] for kind in kinds if is_of_kind(suite, kind)))


def is_of_kind(suite: CipherSuite, kind: str) -> bool:
    """Whether a suite is of a kind that cipher.insecure names."""
    return {
        "null": suite.is_null,
        "anonymous": suite.is_anonymous,
        "export": suite.is_export,
        "integrity_only": suite.is_integrity_only,
    }[kind]


@lru_cache(maxsize=64)
def _code_points(names: tuple[str, ...]) -> frozenset[int]:
    return frozenset(suite.code_point for suite in map(suite_by_name, names) if suite)


CIPHER_REQUIRED = Rule(
    id="cipher.required",
    codes=("CIPHER_SUITE_NONE_REQUIRED",),
    parameters=(_REQUIRED_SUITES,),
    judge=judge_required,
)
CIPHER_OUTSIDE_SET = Rule(
    id="cipher.outside_set",
    codes=("CIPHER_SUITE_NOT_LISTED",),
    parameters=(_LISTED_SUITES, _TLS13_SUITES),
    judge=judge_outside_set,
)
CIPHER_INSECURE = Rule(
    id="cipher.insecure",
    codes=("CIPHER_SUITE_INSECURE",),
    parameters=(_KINDS,),
    judge=judge_insecure,
)
