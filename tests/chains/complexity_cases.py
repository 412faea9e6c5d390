"""Chains that cost: more than one judgement may, or just not yet."""

from cryptography import x509

from tests.chains.case import BY_ANCHOR, HOST, ROOT, TOO_COMPLEX, UNTRUSTED, ChainCase, case
from tests.support.forging import Made, authority, leaf, name_constraints

_CLAUSE = "RFC 5280 6.1.3"
_OPENSSL = "OpenSSL looks at all of it, however long that takes."


def complexity_cases() -> list[ChainCase]:
    """Return the cases."""
    wide, wider = _fenced(61), _fenced(260)
    huge = leaf(ROOT, dns=_hosts(12_000))
    impostor = Made(ROOT.der, wider.key, ROOT.name)
    claimed = authority(
        "Claims",
        by=impostor,
        plus=[(name_constraints([f"d{number}.example" for number in range(259)] + [HOST]), True)],
    )
    networks = [f"2001:db8::{'0' if size < 128 else '1'}/{size}" for size in range(32, 129)]
    networks += [f"::/{size}" for size in range(1, 32)]
    sized = authority("128 sizes", by=ROOT, plus=[(name_constraints(excluded=networks), True)])
    pinned = leaf(sized, dns=[f"n1.{HOST}"], ips=_addresses(901))
    return [
        case("1,201 names below 61 subtrees", _CLAUSE, [leaf(wide, dns=_hosts(1_201)), wide]),
        case(
            "1,201 names below 61 subtrees, one outside",
            _CLAUSE,
            [leaf(wide, dns=[*_hosts(1_200), "other.test"]), wide],
            UNTRUSTED,
        ),
        case("4,000 names below 260 subtrees", _CLAUSE, [leaf(wider, dns=_hosts(4_000)), wider]),
        case(
            "4,000 names below 260 subtrees, one outside",
            _CLAUSE,
            [leaf(wider, dns=[*_hosts(3_999), "other.test"]), wider],
            UNTRUSTED,
        ),
        case(
            "900 addresses below networks of 128 sizes",
            _CLAUSE,
            [leaf(sized, dns=[HOST], ips=_addresses(900)), sized],
            TOO_COMPLEX,
            openssl=_OPENSSL,
        ),
        case(
            "the same, pinned",
            _CLAUSE,
            [pinned, sized],
            BY_ANCHOR,
            server_name=f"n1.{HOST}",
            pins=(pinned,),
        ),
        case(
            "the same below an authority that only claims its issuer",
            _CLAUSE,
            [leaf(claimed, dns=_hosts(4_000)), claimed],
            UNTRUSTED,
        ),
        case("12,000 names", "RFC 5280 4.2.1.6", [huge], TOO_COMPLEX, openssl=_OPENSSL),
    ]


def _hosts(number: int) -> list[str]:
    return [HOST, *(f"n{one}.{HOST}" for one in range(1, number))]


def _addresses(number: int) -> list[str]:
    return [f"fe80::{one:x}" for one in range(number)]


def _fenced(subtrees: int) -> Made:
    permitted: list[str | x509.GeneralName] = [
        f"d{number}.example" for number in range(subtrees - 1)
    ]
    return authority(
        f"{subtrees} subtrees", by=ROOT, plus=[(name_constraints([*permitted, HOST]), True)]
    )
