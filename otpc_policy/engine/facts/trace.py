"""The trace of a measurement: each connection, its offer, its answer and what that proves.

For people; nothing is decided by it.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from otpc_policy.core.facts import Evidence, TlsVersion, TraceStep
from otpc_policy.core.registries.alerts import alert_name
from otpc_policy.core.registries.groups import group_name
from otpc_policy.core.remarks import NO_SERVER_NAME
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.probes.handshakes import HandshakeAttempt
from otpc_policy.engine.probes.http_probe import HttpAnswer, is_http1
from otpc_policy.engine.probes.http_question import HttpAttempt
from otpc_policy.engine.survey.client_survey import ClientRecord
from otpc_policy.engine.survey.group_survey import GroupRecord
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import AnyHello, Ending, Purpose, Record
from otpc_policy.engine.survey.reading import Reaction, suite_name
from otpc_policy.tls.answer import Alert, ServerHello
from otpc_policy.tls.client_hello import ClientHello

_NOTHING = "nothing by itself"


def trace(
    measured: Measured,
    handshakes: Iterable[HandshakeAttempt],
    http: Iterable[HttpAttempt],
    http_controls: Journal,
) -> tuple[TraceStep, ...]:
    """Return every connection of a measurement, in order of their beginning."""
    logs = (*measured.surveys, http_controls)
    clients = filter(_is_begun, measured.clients.records)
    steps = [
        *(step for log in logs for step in _survey_steps(measured, log)),
        *(_client_step(measured, record) for record in clients),
        *_group_steps(measured),
        *(_handshake_step(measured, attempt) for attempt in handshakes),
        *map(_http_step, http),
    ]
    return tuple(sorted(steps, key=lambda step: step.started_s))


def _survey_steps(measured: Measured, log: Journal) -> Iterator[TraceStep]:
    absences = {version: measured.absences(version) for version in TlsVersion}
    for record in filter(_is_begun, log.records):
        yield TraceStep(
            purpose=record.probe.purpose.value,
            offered=_offered(_described(record.probe.hello)),
            answer=_answered(record),
            proves=_proves(measured, record, absences[record.probe.hello.version]),
            started_s=record.outcome.started_s,
            duration_s=record.outcome.duration_s,
        )


def _client_step(measured: Measured, record: ClientRecord) -> TraceStep:
    hello, outcome = record.hello, record.outcome
    return TraceStep(
        purpose=record.probe.purpose.value,
        offered=hello.profile.name + ("" if hello.server_name is not None else NO_SERVER_NAME),
        answer=_answered(record),
        proves=_client_proves(measured, record),
        started_s=outcome.started_s,
        duration_s=outcome.duration_s,
    )


def _group_steps(measured: Measured) -> Iterator[TraceStep]:
    if measured.groups is None:
        return
    absences = measured.groups.absences() if measured.is_steady else {}
    for record in measured.groups.records:
        if not _is_begun(record.record):
            continue
        outcome = record.record.outcome
        yield TraceStep(
            purpose=record.record.probe.purpose.value,
            offered=f"TLS 1.3: {record.record.hello.profile.name}",
            answer=f"asks for {group_name(record.chosen)}"
            if record.chosen is not None
            else _answered(record.record),
            proves=_group_proves(record, absences),
            started_s=outcome.started_s,
            duration_s=outcome.duration_s,
        )


def _group_proves(record: GroupRecord, absences: Mapping[int, Evidence]) -> str:
    if record.chosen is not None:
        return f"{group_name(record.chosen)} is accepted"
    if record.remark:
        return f"nothing: {record.remark}"
    is_proven = record.is_refused and absences.keys() >= set(record.groups)
    return "none of these groups is accepted" if is_proven else _NOTHING


def _client_proves(measured: Measured, record: ClientRecord) -> str:
    flight, version = record.outcome.flight, record.reading.version
    if flight is not None and record.outcome.key_proven:
        key_type = measured.leaf_key_type(flight.chain[0], None)
        return f"the server has the key of its {key_type.value} certificate"
    if version is None:
        return (
            "such a client is refused"
            if record.refused and record.probe.purpose is not Purpose.REVEAL
            else _NOTHING
        )
    return "both are accepted"


class _Offer(NamedTuple):
    """The properties by which a hello is described."""

    lowest: TlsVersion
    highest: TlsVersion
    length: int
    last: int
    has_name: bool
    variant: str


def _described(hello: ClientHello) -> _Offer:
    suites = hello.cipher_suites
    return _Offer(
        hello.lowest,
        hello.version,
        len(suites),
        suites[-1],
        hello.server_name is not None,
        hello.variant.name,
    )


# Hellos differ between servers in their bytes, and seldom in what is said of them here, so stored
# facts share descriptions.
@lru_cache(maxsize=1024)
def _offered(offer: _Offer) -> str:
    suites = (
        f"{offer.length} suites, the last {suite_name(offer.last)}"
        if offer.length > 1
        else suite_name(offer.last)
    )
    versions = (
        offer.highest.label
        if offer.lowest is offer.highest
        else f"{offer.lowest.label} to {offer.highest.label}"
    )
    variant = f", {offer.variant}" if offer.variant else ""
    return f"{versions}: {suites}{variant}{'' if offer.has_name else NO_SERVER_NAME}"


def _answered(record: Record[AnyHello]) -> str:
    answer = record.outcome.answer
    if record.reading.version is not None:
        return _choice(record.reading.version, record.reading.suites)
    if isinstance(answer, Alert):
        return f"alert {alert_name(answer.description)}"
    return (
        record.outcome.ending.value
        if record.outcome.ending is not Ending.ANSWERED
        else "no answer of TLS"
    )


@lru_cache(maxsize=1024)
def _choice(version: TlsVersion, suites: tuple[int, ...]) -> str:
    return f"{version.label}, {', '.join(map(suite_name, suites)) or 'no suite'}"


def _proves(
    measured: Measured, record: Record[ClientHello], absences: Mapping[int, Evidence]
) -> str:
    hello, reading = record.probe.hello, record.reading
    if reading.version is not None:
        if record.probe.purpose is Purpose.CLOSING_CONTROL:
            return "the server still accepts what it accepted: the refusals before count"
        if reading.version < hello.lowest or (
            reading.version < hello.version and hello.version not in measured.accepted
        ):
            return f"{hello.version.label} is not offered"
        return "both are accepted"
    if reading.reaction is Reaction.UNPROVEN:
        return f"nothing: {reading.remark}"
    if not absences.keys() >= record.offered:
        return _NOTHING
    return (
        "none of these suites is accepted"
        if hello.version in measured.accepted
        else f"{hello.version.label} is not offered"
    )


def _handshake_step(measured: Measured, attempt: HandshakeAttempt) -> TraceStep:
    handshake, outcome, answer = attempt.handshake, attempt.outcome, attempt.answer
    chosen = (
        _choice(handshake.version, (answer.cipher_suite,))
        if isinstance(answer, ServerHello)
        else ""
    )
    if outcome.key_proven:
        key_type = measured.leaf_key_type(outcome.chain[0], None)
        served = "; HTTPS is served" if is_http1(outcome.reply) else ""
        proves = f"the server has the key of its {key_type.value} certificate{served}"
    else:
        proves = _NOTHING
    return TraceStep(
        purpose="handshake of a payment client, for the certificates",
        offered=_handshake_offer(handshake.version, handshake.cipher_suites),
        answer=", ".join(
            part
            for part in (
                chosen,
                outcome.ending.value.lower().replace("_", " "),
                "HTTP" if is_http1(outcome.reply) else "",
            )
            if part
        ),
        proves=proves,
        started_s=attempt.started_s,
        duration_s=outcome.duration_s,
    )


@lru_cache(maxsize=1024)
def _handshake_offer(version: TlsVersion, suites: tuple[int, ...]) -> str:
    names = (
        f"{len(suites)} suites, the first {suite_name(suites[0])}"
        if len(suites) > 1
        else suite_name(suites[0])
    )
    return f"{version.label}: {names}"


def _is_begun(record: Record[AnyHello]) -> bool:
    """There was time to connect."""
    return record.outcome.ending is not Ending.NOT_RUN or record.outcome.connected


def _http_step(attempt: HttpAttempt) -> TraceStep:
    return TraceStep(
        purpose="does HTTP answer inside TLS",
        offered=f"any version; {'h2 and http/1.1' if attempt.has_alpn else 'no ALPN'}"
        + ("; our client certificate" if attempt.has_certificate else ""),
        answer=attempt.answer.value.lower().replace("_", " "),
        proves={
            HttpAnswer.HTTP: "HTTPS is served",
            HttpAnswer.NOT_HTTP: "something else than HTTPS is served",
        }.get(attempt.answer, _NOTHING),
        started_s=attempt.started_s,
        duration_s=attempt.duration_s,
    )
