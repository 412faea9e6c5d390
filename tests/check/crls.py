"""What tests of CRLs share: an authority under the default root, its leaf, and lists of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from otpc_policy.core.facts import AddressFacts
from otpc_policy.pki.crl import CrlQuestion, RevocationList, read_crl
from tests.check.world import compliant
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.crls import crl, decoded, question
from tests.support.facts import HOST, NOW, deployments, root

URL = "http://crl.example/a.crl"
AUTHORITY = root().intermediate(
    "Authority", not_before=NOW - timedelta(days=300), not_after=NOW + timedelta(days=900)
)


def issue(*urls: str, authority: CertificateAuthority = AUTHORITY) -> Issued:
    """Return a compliant leaf for HOST that names these URLs."""
    return authority.issue(
        dns=(HOST,),
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=90),
        crl_urls=urls,
    )


LEAF = issue(URL)
_ASKED = question(LEAF, AUTHORITY)


def body(*revoked: Issued, at: datetime = NOW - timedelta(hours=1), **arguments: Any) -> bytes:
    """Return a list of the authority that was made at an instant and lasts six days."""
    return crl(AUTHORITY, revoked, this_update=at, **arguments)


def listing(*revoked: Issued, **arguments: Any) -> RevocationList:
    """Return the same, read."""
    return read_crl(body(*revoked, **arguments), decoded(AUTHORITY))


def numbered(number: int) -> CrlQuestion:
    """Return what judging one of many leaves of the authority asks, all naming one list."""
    subject = replace(
        _ASKED.subject, sha256=number.to_bytes(32, "big"), serial_number=10**40 + number
    )
    return CrlQuestion(subject, _ASKED.issuer)


def serving(issued: Issued = LEAF) -> Any:
    """Return what measures a server with this leaf (World.facts)."""

    def facts(address: str, at: datetime) -> AddressFacts:
        return replace(compliant(address, at), deployments=deployments(issued.chain_der))

    return facts
