"""Roots that Mozilla trusts with limits: for certificates from before a date, or for some names."""

import hashlib
from datetime import timedelta

from otpc_policy.pki.roots import RootLimit
from tests.chains.case import BY_ANCHOR, EXPIRED, UNTRUSTED, ChainCase, case
from tests.support.forging import AT, EXPIRES, FAR_OFF, Made, authority, leaf

_CLAUSE = "Mozilla, Additional Trust Changes"
_SECOND = timedelta(seconds=1)
_CUT = AT - timedelta(days=5)
_OPENSSL = "The limit is in no bundle of certificates, so OpenSSL does not know it."


def limit_cases() -> list[ChainCase]:
    """Return the cases."""
    root, fenced, other = (
        authority("Distrusted Root"),
        authority("Fenced by Mozilla"),
        authority("Root next to the distrusted one"),
    )
    middle, below = (
        authority("Below the distrusted root", by=root),
        authority("Below the fenced root", by=fenced),
    )
    cross = authority("Below the distrusted root", by=other, key=middle.key)
    after, fence = (
        _limit(root),
        RootLimit(sha256=_sha256(fenced), subject="CN=Fenced by Mozilla", permitted_dns=("tr",)),
    )
    late = leaf(middle, dates=(_CUT + _SECOND, EXPIRES))
    host = "trusted-further.test"
    own = leaf(middle, dns=(host,), dates=(_CUT + _SECOND, EXPIRES))
    return [
        case(
            "from before the date", _CLAUSE, [leaf(middle), middle], roots=(root,), limits=(after,)
        ),
        case(
            "from the last second of the date",
            _CLAUSE,
            [leaf(middle, dates=(_CUT, EXPIRES)), middle],
            roots=(root,),
            limits=(after,),
        ),
        case(
            "from the second after",
            _CLAUSE,
            [late, middle],
            UNTRUSTED,
            roots=(root,),
            limits=(after,),
            openssl=_OPENSSL,
        ),
        case(
            "from the second after, the root served",
            _CLAUSE,
            [late, middle, root],
            UNTRUSTED,
            roots=(root,),
            limits=(after,),
            openssl=_OPENSSL,
        ),
        case(
            "from the second after, directly under the root",
            _CLAUSE,
            [_late(root)],
            UNTRUSTED,
            roots=(root,),
            limits=(after,),
            openssl=_OPENSSL,
        ),
        case(
            "from the second after, and expired",
            _CLAUSE,
            [late, middle],
            UNTRUSTED,
            EXPIRED,
            roots=(root,),
            limits=(after,),
            at=EXPIRES + _SECOND,
        ),
        case(
            "from the second after, another root certifies the issuer",
            _CLAUSE,
            [late, middle, cross],
            "CERTIFICATE_CHAIN_MISORDERED",
            roots=(root, other),
            limits=(after,),
        ),
        case(
            "from the second after, the operator's anchor",
            _CLAUSE,
            [own, middle],
            BY_ANCHOR,
            server_name=host,
            roots=(),
            anchors=(root,),
        ),
        case(
            "name inside the fence",
            _CLAUSE,
            [leaf(below, dns=("a.gov.tr",)), below],
            server_name="a.gov.tr",
            roots=(fenced,),
            limits=(fence,),
        ),
        case(
            "name outside the fence",
            _CLAUSE,
            [leaf(below), below],
            UNTRUSTED,
            roots=(fenced,),
            limits=(fence,),
            openssl=_OPENSSL,
        ),
        case(
            "one name outside the fence",
            _CLAUSE,
            [_both(below), below],
            UNTRUSTED,
            server_name="a.gov.tr",
            roots=(fenced,),
            limits=(fence,),
            openssl=_OPENSSL,
        ),
    ]


def _limit(root: Made) -> RootLimit:
    return RootLimit(sha256=_sha256(root), subject="CN=Distrusted Root", distrust_after=_CUT)


def _late(root: Made) -> Made:
    return leaf(root, dates=(_CUT + _SECOND, FAR_OFF))


def _both(issuer: Made) -> Made:
    return leaf(issuer, dns=("a.gov.tr", "partner.test"))


def _sha256(made: Made) -> str:
    return hashlib.sha256(made.der).hexdigest()
