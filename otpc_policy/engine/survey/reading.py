"""What one answer to a hello proves, by the rules of evidence. Pure.

A ServerHello for something that was offered proves presence. A refusing alert or a close proves
nothing alone: whether it proves absence depends on the controls around it (see inference).
Everything else is unproven, always.
"""

from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.alerts import alert_name
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.tls.answer import (
    Alert,
    Answer,
    Garbage,
    Incomplete,
    PlainHttp,
    ServerHello,
    Ssl2ServerHello,
)

# RFC 8446 6.2: handshake_failure, illegal_parameter, protocol_version, insufficient_security.
REFUSING_ALERTS = frozenset({40, 47, 70, 71})
PROTOCOL_VERSION = 70
# Stock OpenSSL 3 refuses TLS 1.0 and 1.1 with internal_error where its security level forbids them.
_INTERNAL_ERROR = 80


class Reaction(Enum):
    """What the server did with an offer. REFUSED and CLOSED count only between controls."""

    CHOSE = "CHOSE"
    REFUSED = "REFUSED"
    CLOSED = "CLOSED"
    UNPROVEN = "UNPROVEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One answer, interpreted.

    version, suites: what the server chose; exactly one suite, except in SSL 2.
    alert: its number, if the server refused with an alert.
    remark: for people, why nothing is proven. is_violation: because the server broke the protocol.
    """

    reaction: Reaction
    version: TlsVersion | None = None
    suites: tuple[int, ...] = ()
    alert: int | None = None
    remark: str = ""
    is_violation: bool = False


def read_answer(
    answer: Answer, *, highest: TlsVersion, offered: Container[int], closed: bool, otherwise: str
) -> Reading:
    """Return what an answer proves about an offer.

    highest: the highest version offered; lower versions are offered by the protocol's own rule.
    offered: suites that were really sent; empty if none was. closed: the connection was closed or
    reset. otherwise: for people, how the connection ended, in case no answer came.
    """
    if isinstance(answer, ServerHello):
        return _choice(answer, highest, offered)
    if isinstance(answer, Ssl2ServerHello) and highest is TlsVersion.SSL_2_0:
        return Reading(
            reaction=Reaction.CHOSE,
            version=TlsVersion.SSL_2_0,
            suites=tuple(kind for kind in answer.cipher_kinds if kind in offered),
        )
    if isinstance(answer, Alert):
        return _refusal(answer, is_ssl2=highest is TlsVersion.SSL_2_0)
    if isinstance(answer, Incomplete) and closed:
        return Reading(reaction=Reaction.CLOSED)
    if isinstance(answer, PlainHttp) and highest <= TlsVersion.TLS_1_1:
        # Some servers of current versions take an old hello for a request of HTTP.
        return Reading(reaction=Reaction.CLOSED)
    if isinstance(answer, Ssl2ServerHello):
        return _violation(f"{TlsVersion.SSL_2_0.label}, which was not offered")
    return Reading(reaction=Reaction.UNPROVEN, remark=_unproven(answer, otherwise))


def _choice(hello: ServerHello, highest: TlsVersion, offered: Container[int]) -> Reading:
    try:
        version = TlsVersion(hello.version)
    except ValueError:
        return _violation(f"version 0x{hello.version:04X}, which was not offered")
    if version > highest or TlsVersion.SSL_2_0 in (version, highest):
        return _violation(f"{version.label}, which was not offered")
    if hello.cipher_suite not in offered:
        return _violation(f"cipher suite {suite_name(hello.cipher_suite)}, which was not offered")
    suite = suite_by_code_point(hello.cipher_suite)
    if suite is not None and suite.is_tls13 != (version is TlsVersion.TLS_1_3):
        return _violation(f"cipher suite {suite_name(hello.cipher_suite)} for {version.label}")
    return Reading(reaction=Reaction.CHOSE, version=version, suites=(hello.cipher_suite,))


def _violation(what: str) -> Reading:
    return Reading(
        reaction=Reaction.UNPROVEN,
        remark=f"protocol violation: the server chose {what}",
        is_violation=True,
    )


def _refusal(alert: Alert, *, is_ssl2: bool) -> Reading:
    if alert.level not in (1, 2):
        return Reading(
            reaction=Reaction.UNPROVEN,
            remark=f"protocol violation: the server sent an alert of level {alert.level}",
            is_violation=True,
        )
    if alert.level == 1:
        return Reading(
            reaction=Reaction.UNPROVEN,
            remark=f"the server sent the warning {alert_name(alert.description)}, and nothing else",
        )
    if alert.description == _INTERNAL_ERROR:
        return Reading(reaction=Reaction.CLOSED, alert=alert.description)
    # Alerts belong to SSL 3 and later: a server that answers a hello of SSL 2 with an alert has not
    # understood it, whatever the alert is about.
    if alert.description in REFUSING_ALERTS or is_ssl2:
        return Reading(reaction=Reaction.REFUSED, alert=alert.description)
    return Reading(
        reaction=Reaction.UNPROVEN,
        alert=alert.description,
        remark=f"the server answered with the alert {alert_name(alert.description)},"
        " which refuses nothing in particular",
    )


def _unproven(answer: Answer, otherwise: str) -> str:
    if isinstance(answer, Garbage):
        return f"the server answered with bytes that are no TLS: {answer.reason}"
    if isinstance(answer, PlainHttp):
        return "the server answered in plain-text HTTP"
    return otherwise


def suite_name(code_point: int) -> str:
    """Return the IANA name of a suite, or its number."""
    suite = suite_by_code_point(code_point)
    return suite.iana_name if suite is not None else f"0x{code_point:04X}"
