"""What a chain case is, and the authorities that most cases share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from otpc_policy.pki.roots import RootLimit
from tests.support.forging import AT, Made, authority

HOST = "partner.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCase:
    """A chain, what is to be said of it, and the clause that says so.

    chain: as served, leaf first. roots: stand in for Mozilla's. anchors, pins: the operator's, for
    this case's server_name alone; a case with either has a name of its own. request_anchors: sent
    along. codes: exactly these, advisory ones included. openssl: why `openssl verify` says
    otherwise than the decision; empty where it agrees. has_second_opinion: it can be asked at all.
    """

    name: str
    clause: str
    chain: Sequence[bytes]
    codes: frozenset[str]
    decision: str
    server_name: str
    roots: Sequence[Made]
    anchors: Sequence[Made]
    pins: Sequence[Made]
    spki_pins: Sequence[Made]
    request_anchors: Sequence[Made]
    limits: Sequence[RootLimit]
    at: datetime
    openssl: str
    has_second_opinion: bool


ROOT = authority("Root")
ISSUING = authority("Issuing", by=ROOT)
UNKNOWN_ROOT = authority("Unknown Root")
# What each code does to the decision under otpc-2024-12.
_ADVISORY = frozenset(
    {
        "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR",
        "CERTIFICATE_CHAIN_MISORDERED",
        "CERTIFICATE_CHAIN_INCOMPLETE",
        "CERTIFICATE_EXPIRES_SOON",
        "CERTIFICATE_NAME_FROM_COMMON_NAME",
    }
)
DECIDING_NOT = frozenset(
    {"MEASUREMENT_INCOMPLETE", "CERTIFICATE_NAME_NOT_CHECKED", "CERTIFICATE_CHAIN_TOO_COMPLEX"}
)


def case(
    name: str,
    clause: str,
    chain: Sequence[Made | bytes],
    *codes: str,
    server_name: str = HOST,
    roots: Sequence[Made] = (ROOT,),
    anchors: Sequence[Made] = (),
    pins: Sequence[Made] = (),
    spki_pins: Sequence[Made] = (),
    request_anchors: Sequence[Made] = (),
    limits: Sequence[RootLimit] = (),
    at: datetime = AT,
    openssl: str = "",
    has_second_opinion: bool = True,
) -> ChainCase:
    """Return a case; its decision follows from the codes."""
    denying = set(codes) - _ADVISORY
    decision = "DENY" if denying - DECIDING_NOT else "INDETERMINATE" if denying else "ALLOW"
    return ChainCase(
        name=name,
        clause=clause,
        chain=tuple(
            certificate.der if isinstance(certificate, Made) else certificate
            for certificate in chain
        ),
        codes=frozenset(codes),
        decision=decision,
        server_name=server_name,
        roots=roots,
        anchors=anchors,
        pins=pins,
        spki_pins=spki_pins,
        request_anchors=request_anchors,
        limits=limits,
        at=at,
        openssl=openssl,
        has_second_opinion=has_second_opinion and not (pins or spki_pins),
    )


UNTRUSTED = "CERTIFICATE_UNTRUSTED"
MISORDERED = "CERTIFICATE_CHAIN_MISORDERED"
INCOMPLETE = "CERTIFICATE_CHAIN_INCOMPLETE"
EXPIRED = "CERTIFICATE_EXPIRED"
NOT_YET = "CERTIFICATE_NOT_YET_VALID"
SOON = "CERTIFICATE_EXPIRES_SOON"
MISMATCH = "CERTIFICATE_NAME_MISMATCH"
FROM_COMMON_NAME = "CERTIFICATE_NAME_FROM_COMMON_NAME"
KEY_WEAK = "CERTIFICATE_KEY_WEAK"
SIGNATURE_WEAK = "CERTIFICATE_SIGNATURE_WEAK"
MALFORMED = "CERTIFICATE_MALFORMED"
BY_ANCHOR = "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"
UNKNOWN = "MEASUREMENT_INCOMPLETE"
TOO_COMPLEX = "CERTIFICATE_CHAIN_TOO_COMPLEX"
