"""The rule about what a handshake of TLS 1.2 has: extensions that protect it, no compression."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from otpc_policy.core.facts import AddressFacts, HandshakeFacts, Support, TlsVersion
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.parameters import Parameter, some_of
from otpc_policy.policy.rule import Report, Rule, Subject, comma_join, unknown

_NO_COMPRESSION = "no_compression"
# By what a policy calls it: for people, and the fact.
_EXTENSIONS: Mapping[str, tuple[str, Callable[[HandshakeFacts], Support]]] = {
    "extended_master_secret": (
        "the extended master secret (RFC 7627)",
        lambda facts: facts.extended_master_secret,
    ),
    "secure_renegotiation": (
        "secure renegotiation (RFC 5746)",
        lambda facts: facts.secure_renegotiation,
    ),
}
_PROPERTIES = Parameter("required", some_of(*_EXTENSIONS, _NO_COMPRESSION))


def judge_extension(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """Handshakes below TLS 1.3 have what is required. TLS 1.3 has all of it by itself.

    Source: RFC 8446 4.1.2, D.5, E.1.
    """
    required = _PROPERTIES.of(parameters)
    for address in subject.addresses:
        older = [version for version in TlsVersion if version < TlsVersion.TLS_1_3]
        if all(address.version(version).support is Support.NO for version in older):
            continue
        # Their ServerHellos prove nothing: the signatures behind them are not verified.
        unproven = [
            version.label
            for version in older
            if version < TlsVersion.TLS_1_2 and address.version(version).support is not Support.NO
        ]
        if unproven:
            yield unknown(
                f"could not determine the extensions of handshakes over {comma_join(unproven)}",
                address.address,
            )
        for name, (words, fact) in _EXTENSIONS.items():
            if name in required:
                yield from _missing(address, words, fact(address.handshake))
        if _NO_COMPRESSION in required:
            yield from _compressing(address)


def _missing(address: AddressFacts, words: str, support: Support) -> Iterator[Report]:
    if support is Support.NO:
        yield Report(
            code="HANDSHAKE_EXTENSION_MISSING",
            message=f"the server does not use {words} although it was offered; required",
            addresses=(address.address,),
            evidence=(FindingEvidence("extension", "not in the ServerHello", words),),
        )
    elif support is Support.UNKNOWN:
        yield unknown(f"could not determine whether the server uses {words}", address.address)


def _compressing(address: AddressFacts) -> Iterator[Report]:
    support = address.handshake.compression
    if support is Support.YES:
        yield Report(
            code="HANDSHAKE_COMPRESSION_ACCEPTED",
            message="the server compresses what it encrypts (CRIME); no compression required",
            addresses=(address.address,),
            evidence=(FindingEvidence("compression", "DEFLATE", "none"),),
        )
    elif support is Support.UNKNOWN:
        yield unknown(
            "could not determine whether the server accepts TLS compression", address.address
        )


HANDSHAKE_EXTENSION = Rule(
    id="handshake.extension",
    codes=("HANDSHAKE_EXTENSION_MISSING", "HANDSHAKE_COMPRESSION_ACCEPTED"),
    parameters=(_PROPERTIES,),
    judge=judge_extension,
)
