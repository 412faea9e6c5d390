"""Facts on extensions and compression, from what ServerHellos of ordinary flights say."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from otpc_policy.core.facts import HandshakeFacts, Support, TlsVersion
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.profiles.clients import ProfileHello
from otpc_policy.engine.survey.probe import AnyHello, Record
from otpc_policy.tls.answer import ServerHello
from otpc_policy.tls.client_hello import HelloStyle

_EXTENDED_MASTER_SECRET, _RENEGOTIATION_INFO = 23, 0xFF01
# RFC 5746 3.3: stands in the list of suites instead of the extension.
_RENEGOTIATION_SIGNAL = 0x00FF
_DEFLATE = 1


class _Offered(NamedTuple):
    extended_master_secret: bool
    secure_renegotiation: bool
    compression: bool


def handshake_facts(measured: Measured) -> HandshakeFacts:
    """Return what the ServerHellos prove together. See HandshakeFacts."""
    proven = [
        (answer, offered)
        for record, answer, offered in _choices(measured)
        if record.reading.version is TlsVersion.TLS_1_2 and record.outcome.key_proven
    ]
    return HandshakeFacts(
        extended_master_secret=_always(
            [
                answer.extended_master_secret
                for answer, offered in proven
                if offered.extended_master_secret
            ]
        ),
        secure_renegotiation=_always(
            [
                answer.secure_renegotiation
                for answer, offered in proven
                if offered.secure_renegotiation
            ]
        ),
        compression=_compression(measured),
    )


def _choices(measured: Measured) -> Iterator[tuple[Record[AnyHello], ServerHello, _Offered]]:
    """Yield every ServerHello for something that was offered, with what its hello offered."""
    for record in measured.records:
        answer = record.outcome.answer
        if record.chose and isinstance(answer, ServerHello):
            yield record, answer, _offered(record.hello)


def _always(seen: Sequence[bool]) -> Support:
    if not seen:
        return Support.UNKNOWN
    return Support.YES if all(seen) else Support.NO


def _compression(measured: Measured) -> Support:
    """A choice of DEFLATE is proof, as every choice of something that was offered.

    A server that prefers static RSA signs nothing for clients that compress. So its refusal counts
    in a whole flight with a leaf whose key another flight or a handshake proved.
    """
    leaves = {presented.chain[0] for presented in measured.presented}
    found = Support.UNKNOWN
    for record, answer, offered in _choices(measured):
        if not offered.compression:
            continue
        if answer.compression_method == _DEFLATE:
            return Support.YES
        flight = record.outcome.flight
        is_shown = (
            flight is not None and flight.is_whole and not leaves.isdisjoint(flight.chain[:1])
        )
        if answer.compression_method == 0 and is_shown:
            found = Support.NO
    return found


def _offered(hello: AnyHello) -> _Offered:
    """Return which of the three a hello offers."""
    if isinstance(hello, ProfileHello):
        profile = hello.profile
        return _Offered(
            _EXTENDED_MASTER_SECRET in profile.extensions,
            _RENEGOTIATION_INFO in profile.extensions
            or _RENEGOTIATION_SIGNAL in profile.listed_suites,
            _DEFLATE in profile.compression,
        )
    return _Offered(
        _EXTENDED_MASTER_SECRET in hello.extensions,
        # See client_hello: a bare hello has the signal in place of the extension.
        _RENEGOTIATION_INFO in hello.extensions or hello.style is HelloStyle.BARE,
        hello.offers_compression,
    )
