"""Rules about key exchange: a required group is accepted, none outside a set, none that is weak.

At TLS 1.3 groups are asked about one by one. Below it a hello offers many, and the server's choice
is what is known; a DEEP measurement asks about single curves, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from otpc_policy.core.facts import AddressFacts, Depth, Support, TlsVersion
from otpc_policy.core.registries.groups import (
    CLIENT_CURVES,
    CLIENT_FINITE_FIELDS,
    CLIENT_GROUPS,
    GroupKind,
    group_bits,
    group_by_name,
    group_kind,
    group_name,
    named_groups,
)
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.policy.finding import Effect, FindingEvidence
from otpc_policy.policy.parameters import (
    Parameter,
    Permitted,
    groups,
    measured_groups,
    one_of,
    permitted,
    positive_integer,
)
from otpc_policy.policy.rule import Report, Rule, Subject, comma_join, unknown
from otpc_policy.policy.rules.certificate_text import instant

_REQUIRED_GROUPS = Parameter("groups", measured_groups)
_LISTED_GROUPS = Parameter("groups", permitted(groups))
_DH_MINIMUM = Parameter("dh_minimum_bits", positive_integer)
_EC_MINIMUM = Parameter("ec_minimum_bits", positive_integer)
# From which depth on a rule is judged. At DEEP, groups are measured whatever the policies say, so a
# policy that is judged there only costs other measurements nothing.
_DEPTH = Parameter("depth", one_of("standard", "deep"), default="standard")
_OLDER_VERSIONS = tuple(version for version in TlsVersion if version < TlsVersion.TLS_1_3)
# Below TLS 1.3, by kind: what the names of suites have that exchange ephemeral keys so.
_EPHEMERAL: Mapping[GroupKind, tuple[str, ...]] = {
    GroupKind.CURVE: ("_ECDHE_", "_ECDH_anon_"),
    GroupKind.FINITE_FIELD: ("_DHE_", "_DH_anon_"),
}


def judge_required(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """One of the groups is accepted, over TLS 1.3 if that is offered.

    Source: RFC 8446 4.2.7, RFC 8422 5.1.1.
    """
    if not _is_judged(subject, parameters):
        return
    names = _REQUIRED_GROUPS.of(parameters)
    required = f"one of {comma_join(names)} required"
    for address in subject.addresses:
        support = address.version(TlsVersion.TLS_1_3).support
        if support is Support.UNKNOWN:
            yield unknown(
                f"could not determine whether TLS 1.3 is offered; {required}", address.address
            )
            continue
        known = _tls13_groups(address) if support is Support.YES else _groups_before_tls13(address)
        supports = {name: known.get(name, Support.UNKNOWN) for name in names}
        if Support.YES in supports.values():
            continue
        if open_ := [name for name, found in supports.items() if found is Support.UNKNOWN]:
            yield unknown(
                f"could not determine whether the server accepts {comma_join(open_)}; {required}",
                address.address,
            )
        else:
            yield _none_required(address, known, names, required)


def _none_required(
    address: AddressFacts, known: Mapping[str, Support], names: tuple[str, ...], required: str
) -> Report:
    accepted = comma_join(name for name, found in known.items() if found is Support.YES)
    return Report(
        code="GROUP_NONE_REQUIRED",
        message=f"the server accepts {accepted or 'none of the groups that were offered'};"
        f" {required}",
        addresses=(address.address,),
        evidence=(FindingEvidence("group", accepted or "none", comma_join(names)),),
    )


def judge_outside_set(
    subject: Subject, parameters: Mapping[str, object], now: datetime
) -> Iterator[Report]:
    """No group outside the set is accepted, of those that clients offer.

    A group that is in the set until an instant is advised against before it. Below TLS 1.3 what
    the server chose is judged; a finite field has no name there.
    """
    if not _is_judged(subject, parameters):
        return
    listed = _LISTED_GROUPS.of(parameters)
    names = listed.at(now)
    for address in subject.addresses:
        tls13 = address.version(TlsVersion.TLS_1_3).support
        known = (*_groups_before_tls13(address).items(), *_tls13_groups(address).items())
        exchanged = list(dict.fromkeys(name for name, found in known if _is_yes(found)))
        accepted = [name for name in exchanged if name not in names]
        yield from _ending(address, exchanged, listed, now)
        if accepted:
            yield Report(
                code="GROUP_NOT_LISTED",
                message=f"the server exchanges keys over {comma_join(accepted)};"
                f" only {comma_join(names)} should be accepted",
                addresses=(address.address,),
                evidence=tuple(FindingEvidence("group", name, "refused") for name in accepted),
            )
        if tls13 is Support.UNKNOWN:
            yield unknown(
                "could not determine whether TLS 1.3 is offered, and so its groups",
                address.address,
            )
        elif tls13 is Support.YES:
            yield from _open_groups(address, names)
        yield from _unseen(address, (GroupKind.CURVE,))


def _ending(
    address: AddressFacts, exchanged: Iterable[str], listed: Permitted, now: datetime
) -> Iterator[Report]:
    """Report the accepted groups that are permitted for now only, together by their end."""
    ends: dict[datetime, list[str]] = {}
    for name in exchanged:
        if name in listed.until and not listed.has_ended(name, now):
            ends.setdefault(listed.until[name], []).append(name)
    for end, names in sorted(ends.items()):
        yield Report(
            code="GROUP_NOT_LISTED",
            message=f"the server exchanges keys over {comma_join(names)};"
            f" permitted until {instant(end)}, and no longer from then on",
            addresses=(address.address,),
            evidence=tuple(
                FindingEvidence("group", name, f"refused from {instant(end)}") for name in names
            ),
            effect=Effect.ADVISORY,
        )


def _open_groups(address: AddressFacts, permitted: Iterable[str]) -> Iterator[Report]:
    """Report the groups of TLS 1.3 that may be accepted although nothing permits them."""
    known = _tls13_groups(address)
    open_ = [
        name
        for name in map(group_name, CLIENT_GROUPS)
        if name not in permitted and known.get(name, Support.UNKNOWN) is Support.UNKNOWN
    ]
    if open_:
        yield unknown(
            f"could not determine whether the server accepts {comma_join(open_)}", address.address
        )


def judge_minimum(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """No key exchange is smaller than the minimum of its kind, as far as servers choose it.

    Post-quantum groups have no size to compare. Source: NIST SP 800-57 part 1, 5.6.1.
    """
    if not _is_judged(subject, parameters):
        return
    minimum = _minimum(parameters)
    for address in subject.addresses:
        weak = list(dict.fromkeys(_weak(address, minimum)))
        if weak:
            required = (
                f"{minimum[GroupKind.FINITE_FIELD]} bits required of a finite field,"
                f" {minimum[GroupKind.CURVE]} of a curve"
            )
            yield Report(
                code="KEY_EXCHANGE_WEAK",
                message=f"the server exchanges keys over {comma_join(weak)}; {required}",
                addresses=(address.address,),
                evidence=tuple(FindingEvidence("key_exchange", one, required) for one in weak),
            )
        yield from _unseen(address, (GroupKind.FINITE_FIELD, GroupKind.CURVE))
        tls13 = address.version(TlsVersion.TLS_1_3).support
        if tls13 is Support.NO or not needs_groups(parameters):
            continue
        if tls13 is Support.UNKNOWN:
            yield unknown(
                "could not determine whether TLS 1.3 is offered, and so its groups",
                address.address,
            )
        else:
            strong = [name for name in map(group_name, CLIENT_GROUPS) if _is_strong(name, minimum)]
            yield from _open_groups(address, strong)


def is_judged_deep_only(parameters: Mapping[str, object]) -> bool:
    """Tell whether a rule of this module is judged for DEEP measurements only."""
    return _DEPTH.of(parameters) == "deep"


def _is_judged(subject: Subject, parameters: Mapping[str, object]) -> bool:
    return subject.depth is Depth.DEEP or not is_judged_deep_only(parameters)


def needs_groups(parameters: Mapping[str, object]) -> bool:
    """Tell whether key_exchange.minimum forbids some group of TLS 1.3.

    parameters: of that rule. All groups of RFC 8446 have 2048 bits, or a curve 255, at least.
    """
    minimum = _minimum(parameters)
    return any(
        (group_bits(group) or 0) < minimum[group_kind(group)]
        for group in (*CLIENT_CURVES, *CLIENT_FINITE_FIELDS)
    )


def _minimum(parameters: Mapping[str, object]) -> Mapping[GroupKind, int]:
    return {
        GroupKind.FINITE_FIELD: _DH_MINIMUM.of(parameters),
        GroupKind.CURVE: _EC_MINIMUM.of(parameters),
    }


def _weak(address: AddressFacts, minimum: Mapping[GroupKind, int]) -> Iterator[str]:
    """Yield each key exchange that is too small, described for people."""
    for fact in address.key_exchanges:
        kind = GroupKind.FINITE_FIELD if fact.group is None else GroupKind.CURVE
        if fact.bits < minimum[kind]:
            name = "a finite field" if fact.group is None else group_name(fact.group)
            yield f"{name} of {fact.bits} bits ({fact.version.label})"
    accepted = [
        *((name, "TLS 1.3") for name, found in _tls13_groups(address).items() if _is_yes(found)),
        *((name, "DEEP") for name, found in _deep_curves(address).items() if _is_yes(found)),
    ]
    for name, place in accepted:
        if not _is_strong(name, minimum):
            yield f"{name} ({place})"


def _is_yes(support: Support) -> bool:
    return support is Support.YES


def _is_strong(name: str, minimum: Mapping[GroupKind, int]) -> bool:
    """The group is as large as required, or post-quantum. What is not registered has no size."""
    code_point = group_by_name(name)
    if code_point is None:
        return False
    bits, kind = group_bits(code_point), group_kind(code_point)
    return kind is GroupKind.POST_QUANTUM or (bits is not None and bits >= minimum[kind])


def _tls13_groups(address: AddressFacts) -> dict[str, Support]:
    return {group_name(fact.code_point): fact.support for fact in address.groups}


def _groups_before_tls13(address: AddressFacts) -> dict[str, Support]:
    """Return what is known of groups below TLS 1.3, by name; what is not in it is unknown.

    No version below TLS 1.3 has post-quantum groups.
    """
    absent = {
        group_name(group): Support.NO
        for group in CLIENT_GROUPS
        if group_kind(group) is GroupKind.POST_QUANTUM
    }
    chosen = {
        group_name(fact.group): Support.YES
        for fact in address.key_exchanges
        if fact.group is not None
    }
    return {**absent, **_deep_curves(address), **chosen}


def _deep_curves(address: AddressFacts) -> dict[str, Support]:
    """Return what DEEP knows of curves, by IANA's name; facts have all names in lower case."""
    curves = () if address.deep is None else address.deep.curves
    return {_registered_name(fact.curve): fact.support for fact in curves}


@lru_cache(maxsize=256)
def _registered_name(curve: str) -> str:
    return next((name for name in named_groups().values() if name.lower() == curve), curve)


def _unseen(address: AddressFacts, kinds: Iterable[GroupKind]) -> Iterator[Report]:
    """Report the versions below TLS 1.3 at which a key exchange may be used that was not seen."""
    for version in _OLDER_VERSIONS:
        support = address.version(version).support
        suites = [fact for fact in address.cipher_suites if fact.version is version]
        is_seen = any(fact.support is Support.YES for fact in suites)
        if support is Support.NO:
            continue
        if support is Support.UNKNOWN or not is_seen:
            yield unknown(
                f"could not determine the key exchange over {version.label}", address.address
            )
            continue
        seen = {
            GroupKind.FINITE_FIELD if fact.group is None else GroupKind.CURVE
            for fact in address.key_exchanges
            if fact.version is version
        }
        for kind in kinds:
            may_be_used = any(
                fact.support is not Support.NO and _exchanges(fact.code_point, kind)
                for fact in suites
            )
            if may_be_used and kind not in seen:
                yield unknown(
                    f"could not determine the {kind.value} that keys are exchanged over at"
                    f" {version.label}",
                    address.address,
                )


def _exchanges(code_point: int, kind: GroupKind) -> bool:
    """A suite exchanges ephemeral keys of a kind; one that is not known may."""
    suite = suite_by_code_point(code_point)
    return suite is None or any(part in suite.iana_name for part in _EPHEMERAL[kind])


GROUP_REQUIRED = Rule(
    id="group.required",
    codes=("GROUP_NONE_REQUIRED",),
    parameters=(_REQUIRED_GROUPS, _DEPTH),
    judge=judge_required,
)
GROUP_OUTSIDE_SET = Rule(
    id="group.outside_set",
    codes=("GROUP_NOT_LISTED",),
    parameters=(_LISTED_GROUPS, _DEPTH),
    judge=judge_outside_set,
)
KEY_EXCHANGE_MINIMUM = Rule(
    id="key_exchange.minimum",
    codes=("KEY_EXCHANGE_WEAK",),
    parameters=(_DH_MINIMUM, _EC_MINIMUM, _DEPTH),
    judge=judge_minimum,
)
