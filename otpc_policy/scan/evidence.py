"""What one handshake proves, by the rules of evidence. Pure.

A ServerHello for something that was offered proves presence. A refusing alert or a close proves nothing alone: whether it
proves absence depends on the controls around it (see elimination). Everything else is unproven, always.
"""

from dataclasses import dataclass
from enum import Enum

from otpc_policy.facts import TlsVersion
from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from otpc_policy.tls.answer import Alert, Answer, Garbage, Incomplete, PlainHttp, ServerHello, Ssl2ServerHello, parse_answer
from otpc_policy.tls.suites import suite_by_code_point

# RFC 8446 6.2: handshake_failure, illegal_parameter, protocol_version, insufficient_security.
REFUSING_ALERTS = frozenset({40, 47, 70, 71})
# Stock OpenSSL 3 refuses TLS 1.0 and 1.1 with internal_error where its security level forbids them.
_INTERNAL_ERROR = 80


class Reaction(Enum):
    """What the server did with an offer. REFUSED and CLOSED count only between controls."""

    ACCEPTED = "ACCEPTED"
    LOWER_VERSION = "LOWER_VERSION"
    REFUSED = "REFUSED"
    CLOSED = "CLOSED"
    NOTHING_OFFERED = "NOTHING_OFFERED"
    UNPROVEN = "UNPROVEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One outcome, read. suites: chosen by the server; one, except in SSL 2. remark: for people, why nothing is proven."""

    reaction: Reaction
    version: TlsVersion | None = None
    suites: tuple[int, ...] = ()
    remark: str = ""


def observe(offer: HandshakeOffer, outcome: HandshakeOutcome) -> Observation:
    """Return what the outcome of an offer proves."""
    if outcome.ending is Ending.NOTHING_TO_OFFER:
        return Observation(reaction=Reaction.NOTHING_OFFERED)
    answer = parse_answer(outcome.first_bytes)
    if isinstance(answer, ServerHello):
        return _choice(offer, outcome, answer)
    if isinstance(answer, Ssl2ServerHello) and offer.version is TlsVersion.SSL_2_0:
        return Observation(
            reaction=Reaction.ACCEPTED, version=TlsVersion.SSL_2_0, suites=tuple(kind for kind in answer.cipher_kinds if kind in outcome.offered)
        )
    if isinstance(answer, Alert):
        return _refusal(answer)
    if not outcome.first_bytes and outcome.connected and outcome.offered and outcome.ending in (Ending.CLOSED, Ending.RESET):
        return Observation(reaction=Reaction.CLOSED)
    return Observation(reaction=Reaction.UNPROVEN, remark=_unproven(outcome, answer))


def _choice(offer: HandshakeOffer, outcome: HandshakeOutcome, hello: ServerHello) -> Observation:
    def violation(what: str) -> Observation:
        return Observation(reaction=Reaction.UNPROVEN, remark=f"protocol violation: the server chose {what}")

    offered = (TlsVersion.TLS_1_0, TlsVersion.TLS_1_3) if offer.version is None else (offer.version, offer.version)
    try:
        version = TlsVersion(hello.version)
    except ValueError:
        return violation(f"version 0x{hello.version:04X}, which was not offered")
    if version > offered[1] or TlsVersion.SSL_2_0 in (version, offer.version):
        return violation(f"{version.label}, which was not offered")
    if hello.cipher_suite not in outcome.offered:
        return violation(f"cipher suite {_name(hello.cipher_suite)}, which was not offered")
    if version < offered[0]:
        return Observation(reaction=Reaction.LOWER_VERSION, version=version)
    suite = suite_by_code_point(hello.cipher_suite)
    if suite is not None and suite.is_tls13 != (version is TlsVersion.TLS_1_3):
        return violation(f"cipher suite {_name(hello.cipher_suite)} for {version.label}")
    return Observation(reaction=Reaction.ACCEPTED, version=version, suites=(hello.cipher_suite,))


def _refusal(alert: Alert) -> Observation:
    if alert.description in REFUSING_ALERTS:
        return Observation(reaction=Reaction.REFUSED)
    if alert.description == _INTERNAL_ERROR:
        return Observation(reaction=Reaction.CLOSED)
    return Observation(reaction=Reaction.UNPROVEN, remark=f"the server answered with alert {alert.description}, which refuses nothing in particular")


def _unproven(outcome: HandshakeOutcome, answer: Answer) -> str:
    if isinstance(answer, Garbage):
        return f"the server answered with bytes that are no TLS: {answer.reason}"
    if isinstance(answer, PlainHttp):
        return "the server answered in plain-text HTTP"
    if isinstance(answer, Ssl2ServerHello):
        return "protocol violation: the server chose SSL 2.0, which was not offered"
    if isinstance(answer, Incomplete) and outcome.first_bytes:
        return f"the server stopped in the middle of its answer ({outcome.ending.value})"
    if outcome.ending is Ending.NOT_RUN:
        return "a handshake could not be carried out, for reasons of our own"
    if not outcome.connected:
        return f"no TCP connection ({outcome.ending.value})"
    return f"the server did not answer ({outcome.ending.value})"


def _name(code_point: int) -> str:
    suite = suite_by_code_point(code_point)
    return suite.iana_name if suite is not None else f"0x{code_point:04X}"
