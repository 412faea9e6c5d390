"""Remarks for people on a measurement: what could not be proven, and what the server dislikes."""

from collections.abc import Iterable, Iterator, Sequence

from otpc_policy.core.facts import CipherSuiteFact, Support, TlsVersion, VersionFact
from otpc_policy.core.registries.alerts import alert_name
from otpc_policy.core.remarks import RemarkKind
from otpc_policy.engine.facts.groups import group_remarks
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.survey.journal import LONG_LIST
from otpc_policy.engine.survey.probe import Ending, Record
from otpc_policy.tls.answer import Alert, Incomplete
from otpc_policy.tls.client_hello import ClientHello, HelloStyle

_UNSTEADY = f"the server refused a hello {RemarkKind.UNSTEADY.phrase}: none of its refusals counts"
_UNCONTROLLED = (
    f"{RemarkKind.UNCONTROLLED.phrase}, because the server did not accept good hellos "
    "both before and after them"
)
# Of a server that has not begun to speak TLS.
_SAYS_LITTLE = (Alert, Incomplete)
# RFC 6066 3.
_UNRECOGNIZED_NAME = 112


def remarks(
    measured: Measured, versions: Iterable[VersionFact], suites: Iterable[CipherSuiteFact]
) -> tuple[str, ...]:
    """Return, without repetition, what kept something from being proven and protocol violations.

    What was overcome is not a remark: a server that answers short hellos alone is still known.
    """
    if not measured.accepted and (whole := _every_connection(measured)):
        return (whole,)
    supports = {*(fact.support for fact in versions), *(fact.support for fact in suites)}
    is_complete = bool(measured.accepted) and Support.UNKNOWN not in supports
    records = [record for log in measured.surveys for record in log.records]
    found = [
        record.reading.remark
        for record in records
        if record.reading.is_violation or (not is_complete and not _lacks_only_a_name(record))
    ]
    if not measured.is_steady:
        found.append(_UNSTEADY)
    if not is_complete and any(record.refused for record in records):
        found.append(_UNCONTROLLED)
    if measured.accepted:
        found += measured.unread.values()
        found += _unanswered([client.name for client in measured.clients.unheard])
    found += group_remarks(measured)
    return tuple(dict.fromkeys(remark for remark in found if remark))


def _every_connection(measured: Measured) -> str:
    """Return what every connection met, if that was the same, and nothing was accepted."""
    outcomes = [record.outcome for record in measured.records if record.outcome.connected]
    endings = {outcome.ending for outcome in outcomes}
    answers = {outcome.answer for outcome in outcomes if isinstance(outcome.answer, Alert)}
    count = f" ({len(outcomes)} connection{'s' if len(outcomes) > 1 else ''})"
    if not outcomes or any(not isinstance(outcome.answer, _SAYS_LITTLE) for outcome in outcomes):
        return ""
    if len(answers) == 1 and endings == {Ending.ANSWERED}:
        (alert,) = answers
        return f"{RemarkKind.EVERY_REFUSED.phrase} {alert_name(alert.description)}{count}"
    if answers:
        return ""
    if endings == {Ending.RESET}:
        return RemarkKind.EVERY_RESET.phrase + count
    if endings <= {Ending.CLOSED, Ending.RESET}:
        return RemarkKind.EVERY_CLOSED.phrase + count
    return RemarkKind.EVERY_SILENT.phrase + count if endings == {Ending.TIMED_OUT} else ""


def _unanswered(clients: Sequence[str]) -> Iterator[str]:
    """Name the clients of which it is not known whether they are accepted."""
    *others, last = clients or ("",)
    if others:
        names = f"{', '.join(others)} and {last}"
        yield f"whether {names} are accepted is not known: their hellos were not answered"
    elif last:
        yield f"whether {last} is accepted is not known: its {RemarkKind.CLIENT_UNANSWERED.phrase}"


def intolerances(measured: Measured) -> tuple[str, ...]:
    """Return what the server dislikes in a client, and how it was measured regardless."""
    return tuple(dict.fromkeys(_intolerances(measured)))


def _intolerances(measured: Measured) -> Iterator[str]:
    for log in measured.surveys:
        accepted = [record for record in log.records if record.chose]
        styles = {record.probe.hello.style for record in accepted}
        if HelloStyle.SHORT in styles and HelloStyle.FULL not in styles:
            yield (
                "accepts no hello with the extensions and suites of current clients, "
                "only one below 256 bytes; short ones were sent"
            )
        elif (
            accepted
            and _was_split(log.records)
            and not any(record.hello.listed_count > LONG_LIST for record in accepted)
        ):
            yield (
                f"accepts no hello with more than {LONG_LIST} cipher suites; "
                "shorter lists were sent"
            )
        if any(
            isinstance(answer := record.outcome.answer, Alert)
            and answer.description == _UNRECOGNIZED_NAME
            for record in log.records
        ):
            yield "refuses hellos without a server name it knows (alert 112)"
    if len(measured.surveys) > 1:
        yield (
            "fails when several connections are opened at once; "
            "everything was asked again, one after the other"
        )


def _was_split(records: Iterable[Record[ClientHello]]) -> bool:
    return any(LONG_LIST // 2 < len(record.offered) <= LONG_LIST for record in records)


def _lacks_only_a_name(record: Record[ClientHello]) -> bool:
    """The server answered a nameless hello of SSL 3 with an alert.

    The alert alone shows what the server does; only routing proxies differ.
    """
    hello = record.probe.hello
    return (
        hello.version is TlsVersion.SSL_3_0
        and hello.server_name is None
        and isinstance(record.outcome.answer, Alert)
    )
