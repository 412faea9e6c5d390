"""Name constraints, wherever they stand on the path."""

from cryptography import x509

from tests.chains.case import HOST, ROOT, UNTRUSTED, ChainCase, case
from tests.support.forging import (
    Made,
    alternative_names,
    authority,
    leaf,
    name_constraints,
    organization,
)

_CLAUSE = "RFC 5280 4.2.1.10"
_COUNT = iter(range(1000))


def _fenced(
    *,
    permitted: tuple[str | x509.GeneralName, ...] = (),
    excluded: tuple[str | x509.GeneralName, ...] = (),
    by: Made = ROOT,
) -> Made:
    return authority(
        f"Fenced {next(_COUNT)}", by=by, plus=[(name_constraints(permitted, excluded), True)]
    )


def constraint_cases() -> list[ChainCase]:
    """Return the cases."""
    return [*_dns(), *_addresses(), *_other_kinds(), *_places()]


def _dns() -> list[ChainCase]:
    rows: list[tuple[str, tuple[str, ...], tuple[str, ...], str, str | None, str]] = [
        # what, permitted, excluded, the leaf's name, a finding, OpenSSL's difference
        ("permitted, the name itself", (HOST,), (), HOST, None, ""),
        ("permitted, a name below", ("partner.test",), (), "api.partner.test", None, ""),
        ("permitted, another name", ("other.test",), (), HOST, UNTRUSTED, ""),
        (
            "permitted, a name that ends alike",
            ("partner.test",),
            (),
            "notpartner.test",
            UNTRUSTED,
            "",
        ),
        ("permitted, a name above", ("api.partner.test",), (), HOST, UNTRUSTED, ""),
        ("permitted, one of two", ("other.test", HOST), (), HOST, None, ""),
        ("permitted, upper case", ("PARTNER.TEST",), (), HOST, None, ""),
        ("permitted, every name", ("",), (), HOST, None, ""),
        (
            "permitted, with a leading dot",
            (".partner.test",),
            (),
            "api.partner.test",
            None,
            "",
        ),
        (
            "permitted, with a leading dot, the name itself",
            (".partner.test",),
            (),
            HOST,
            UNTRUSTED,
            "",
        ),
        ("permitted, a wildcard below", ("partner.test",), (), "*.partner.test", None, ""),
        (
            "permitted, a wildcard as well",
            ("api.partner.test",),
            (),
            "*.partner.test",
            UNTRUSTED,
            "",
        ),
        ("excluded, the name itself", (), (HOST,), HOST, UNTRUSTED, ""),
        ("excluded, a name below", (), ("partner.test",), "api.partner.test", UNTRUSTED, ""),
        ("excluded, another name", (), ("other.test",), HOST, None, ""),
        ("excluded, a name that ends alike", (), ("artner.test",), HOST, None, ""),
        ("excluded, upper case", (), ("PARTNER.test",), HOST, UNTRUSTED, ""),
        ("excluded, every name", (), ("",), HOST, UNTRUSTED, ""),
        ("excluded, with a leading dot", (), (".partner.test",), "api.partner.test", UNTRUSTED, ""),
        ("excluded, with a leading dot, the name itself", (), (".partner.test",), HOST, None, ""),
        ("excluded, elsewhere, with a leading dot", (), (".mil",), HOST, None, ""),
        (
            "excluded, two labels below a wildcard",
            (),
            ("b.a.partner.test",),
            "*.partner.test",
            None,
            "",
        ),
        (
            "excluded, a name that a wildcard covers",
            (),
            ("api.partner.test",),
            "*.partner.test",
            UNTRUSTED,
            _WILDCARD,
        ),
        ("permitted above, excluded below", ("test",), (HOST,), HOST, UNTRUSTED, ""),
        ("permitted below what is excluded", (HOST,), ("test",), HOST, UNTRUSTED, ""),
        ("permitted, and nothing excluded of it", ("test",), ("other.test",), HOST, None, ""),
    ]
    found = []
    for what, permitted, excluded, name, finding, openssl in rows:
        fenced = _fenced(permitted=permitted, excluded=excluded)
        asked = name.replace("*", "www")
        found.append(
            case(
                f"DNS {what}",
                _CLAUSE,
                [leaf(fenced, dns=(name,)), fenced],
                *([finding] if finding else []),
                server_name=asked,
                openssl=openssl,
            )
        )
    both = _fenced(permitted=(HOST,))
    found.append(
        case(
            "DNS permitted, the second name is not",
            _CLAUSE,
            [leaf(both, dns=(HOST, "other.test")), both],
            UNTRUSTED,
        )
    )
    return found


_WILDCARD = "OpenSSL compares the pattern as text; the wildcard would speak for the excluded name."


def _addresses() -> list[ChainCase]:
    rows: list[tuple[str, tuple[str, ...], tuple[str, ...], str, str | None]] = [
        ("permitted, inside", ("192.0.2.0/24",), (), "192.0.2.1", None),
        ("permitted, outside", ("192.0.2.0/24",), (), "198.51.100.1", UNTRUSTED),
        ("excluded, inside", (), ("192.0.2.0/24",), "192.0.2.1", UNTRUSTED),
        ("excluded, outside", (), ("192.0.2.0/24",), "198.51.100.1", None),
        ("permitted as IPv6, inside", ("2001:db8::/32",), (), "2001:db8::1", None),
        ("permitted as IPv6, outside", ("2001:db8::/32",), (), "2001:db9::1", UNTRUSTED),
        ("permitted as IPv4, an IPv6 address", ("192.0.2.0/24",), (), "2001:db8::1", UNTRUSTED),
        ("excluded, every IPv4 address", (), ("0.0.0.0/0",), "192.0.2.1", UNTRUSTED),
        ("DNS alone is constrained", (HOST,), (), "192.0.2.1", None),
        (
            "every address excluded, DNS permitted",
            (HOST,),
            ("0.0.0.0/0", "::/0"),
            "192.0.2.1",
            UNTRUSTED,
        ),
    ]
    found = []
    for what, permitted, excluded, address, finding in rows:
        fenced = _fenced(permitted=permitted, excluded=excluded)
        found.append(
            case(
                f"address {what}",
                _CLAUSE,
                [leaf(fenced, dns=(), ips=(address,)), fenced],
                *([finding] if finding else []),
                server_name=address,
            )
        )
    no_address = _fenced(permitted=("192.0.2.0/24",))
    return [
        *found,
        case(
            "address constrained, the leaf has DNS names only",
            _CLAUSE,
            [leaf(no_address), no_address],
        ),
    ]


def _other_kinds() -> list[ChainCase]:
    partner = x509.DirectoryName(organization("Partner"))
    by_subject, off_subject = _fenced(permitted=(partner,)), _fenced(excluded=(partner,))
    mail = _fenced(permitted=(x509.RFC822Name("partner.test"),))
    uri = _fenced(permitted=(x509.UniformResourceIdentifier("partner.test"),))
    both = _fenced(permitted=(HOST, partner))
    with_mail = alternative_names((HOST,), others=[x509.RFC822Name("a@other.test")])
    inside = organization("Partner")
    return [
        case("subject permitted, inside", _CLAUSE, [leaf(by_subject, subject=inside), by_subject]),
        case("subject permitted, outside", _CLAUSE, [leaf(by_subject), by_subject], UNTRUSTED),
        case(
            "subject excluded, inside",
            _CLAUSE,
            [leaf(off_subject, subject=inside), off_subject],
            UNTRUSTED,
        ),
        case("subject excluded, outside", _CLAUSE, [leaf(off_subject), off_subject]),
        case(
            "subject permitted, other case and spaces",
            "RFC 5280 7.1",
            [leaf(by_subject, subject=organization(" PARTNER ")), by_subject],
        ),
        case("DNS and subject permitted", _CLAUSE, [leaf(both, subject=inside), both]),
        case("mail constrained, the leaf has none", _CLAUSE, [leaf(mail), mail]),
        case(
            "mail constrained, the leaf's is outside",
            _CLAUSE,
            [leaf(mail, plus=[(with_mail, False)]), mail],
            UNTRUSTED,
        ),
        case("URI constrained, the leaf has none", _CLAUSE, [leaf(uri), uri]),
    ]


def _places() -> list[ChainCase]:
    fenced_root = authority("Fenced Root", plus=[(name_constraints((HOST,)), True)])
    below_root = authority("Below Fenced Root", by=fenced_root)
    upper = _fenced(permitted=("test",))
    lower = _fenced(permitted=("partner.test",), by=upper)
    wider = _fenced(permitted=("example",), by=upper)
    plain = authority("Plain below", by=upper)
    loose = authority("Loosely fenced", by=ROOT, plus=[(name_constraints((HOST,)), False)])
    own = [(name_constraints((HOST,)), True)]
    return [
        case("on the root, inside", _CLAUSE, [leaf(below_root), below_root], roots=(fenced_root,)),
        case(
            "on the root, outside",
            _CLAUSE,
            [leaf(below_root, dns=("other.test",)), below_root],
            UNTRUSTED,
            roots=(fenced_root,),
            server_name="other.test",
        ),
        case(
            "on the upper intermediate, inside", "RFC 5280 6.1.4 (g)", [leaf(plain), plain, upper]
        ),
        case(
            "on the upper intermediate, outside",
            "RFC 5280 6.1.4 (g)",
            [leaf(plain, dns=("a.example",)), plain, upper],
            UNTRUSTED,
            server_name="a.example",
        ),
        case("on both, inside both", "RFC 5280 6.1.4 (g)", [leaf(lower), lower, upper]),
        case(
            "on both, inside the lower alone",
            "RFC 5280 6.1.4 (g)",
            [leaf(wider, dns=("a.example",)), wider, upper],
            UNTRUSTED,
            server_name="a.example",
        ),
        case(
            "on both, inside the upper alone",
            "RFC 5280 6.1.4 (g)",
            [leaf(lower, dns=("a.test",)), lower, upper],
            UNTRUSTED,
            server_name="a.test",
        ),
        case("not critical, inside", _CLAUSE, [leaf(loose), loose]),
        case(
            "not critical, outside",
            _CLAUSE,
            [leaf(loose, dns=("other.test",)), loose],
            UNTRUSTED,
            server_name="other.test",
        ),
        case(
            "on the leaf itself",
            _CLAUSE,
            [leaf(ROOT, plus=own)],
            UNTRUSTED,
            openssl="RFC 5280: only in a CA certificate. OpenSSL does not mind.",
        ),
        case(
            "common name outside, subjectAltName inside",
            _CLAUSE,
            [leaf(upper, subject="other.example"), upper],
        ),
    ]
