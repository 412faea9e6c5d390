"""Facts on key exchange: the groups of TLS 1.3, and what was chosen at TLS 1.2. Nothing beyond
the evidence.
"""

from collections.abc import Iterator, Sequence

from otpc_policy.core.facts import Evidence, GroupFact, KeyExchangeFact, Support, TlsVersion
from otpc_policy.core.registries.groups import (
    CLIENT_GROUPS,
    GroupKind,
    group_bits,
    group_kind,
    group_name,
)
from otpc_policy.core.remarks import RemarkKind
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.profiles.clients import ProfileHello
from otpc_policy.engine.survey.probe import AnyHello, Record
from otpc_policy.engine.transport.key_shares import can_generate
from otpc_policy.tls.answer import ServerHello
from otpc_policy.tls.client_hello import HelloStyle
from otpc_policy.tls.hello_extensions import offered_groups


def used_groups(measured: Measured) -> frozenset[int]:
    """Return the groups of TLS 1.3 that proven flights used, or that the server asked for."""
    return frozenset(
        group
        for record in measured.records
        if (group := _group_at_tls13(record)) is not None
        and (record.outcome.key_proven or _asks_for_share(record))
    )


def group_facts(measured: Measured) -> tuple[GroupFact, ...]:
    """Return one fact for each group that was asked about, in order of numbers."""
    survey = measured.groups
    if survey is None:
        return ()
    absences = survey.absences() if measured.is_steady else {}
    return tuple(
        _group_fact(group, absences.get(group, Evidence.NONE))
        if group not in survey.accepted
        else GroupFact(code_point=group, support=Support.YES, evidence=Evidence.SERVER_HELLO)
        for group in sorted({*CLIENT_GROUPS, *survey.accepted})
    )


def _group_fact(group: int, evidence: Evidence) -> GroupFact:
    support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
    return GroupFact(code_point=group, support=support, evidence=evidence)


def key_exchange_facts(measured: Measured) -> tuple[KeyExchangeFact, ...]:
    """Return each curve that was chosen at TLS 1.2, and the smallest finite field.

    Only flights count whose signature was verified: it covers the parameters. At older versions it
    is not verified.
    """
    primes: dict[TlsVersion, int] = {}
    curves: dict[tuple[TlsVersion, int], int] = {}
    for record in measured.records:
        flight, version = record.outcome.flight, record.reading.version
        exchange = flight.key_exchange if flight is not None else None
        if exchange is None or version is None or not record.outcome.key_proven:
            continue
        if exchange.group is None:
            primes[version] = min(exchange.prime_bits, primes.get(version, exchange.prime_bits))
        elif (
            group_kind(exchange.group) is GroupKind.CURVE
            and _may_choose(record.hello, exchange.group)
            and (bits := group_bits(exchange.group)) is not None
        ):
            curves[version, exchange.group] = bits
    return (
        *(
            KeyExchangeFact(version=version, group=group, bits=bits)
            for (version, group), bits in sorted(curves.items())
        ),
        *(
            KeyExchangeFact(version=version, group=None, bits=bits)
            for version, bits in sorted(primes.items())
        ),
    )


def group_remarks(measured: Measured) -> Iterator[str]:
    """Yield what kept groups, or handshakes because of their group, from being known."""
    survey = measured.groups
    if survey is not None:
        yield from (record.remark for record in survey.records if record.remark)
        if not survey.is_steady:
            yield (
                "the server refused a group that it had asked for: none of its refusals of groups"
                " counts"
            )
    if any(presented.version is TlsVersion.TLS_1_3 for presented in measured.presented):
        return
    demanded = {
        group
        for record in measured.records
        if _asks_for_share(record) and (group := _group_at_tls13(record)) is not None
    }
    for group in sorted(demanded):
        if not can_generate(group):
            yield (
                f"over TLS 1.3 the server {RemarkKind.GROUP_UNKNOWN.phrase} {group_name(group)},"
                " which is not supported here; no handshake can be completed"
            )


def _asks_for_share(record: Record[AnyHello]) -> bool:
    answer = record.outcome.answer
    return isinstance(answer, ServerHello) and answer.is_retry_request


def _group_at_tls13(record: Record[AnyHello]) -> int | None:
    """Return the group that the server named, if the hello offered it."""
    answer = record.outcome.answer
    if (
        record.reading.version is not TlsVersion.TLS_1_3
        or not isinstance(answer, ServerHello)
        or answer.selected_group is None
        or not _may_choose(record.hello, answer.selected_group)
    ):
        return None
    return answer.selected_group


def _may_choose(hello: AnyHello, group: int) -> bool:
    """The hello offers the group, or has no extension that names groups (RFC 8422 4)."""
    if isinstance(hello, ProfileHello):
        groups: Sequence[int] = hello.profile.groups
    elif hello.style is HelloStyle.BARE:
        groups = ()
    else:
        groups = offered_groups(hello.version, hello.lowest, hello.style, hello.groups)
    return not groups or group in groups
