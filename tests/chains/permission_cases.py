"""What is trusted only because the operator, or whoever asks, said so for this host; and what is
not trusted even then.
"""

from datetime import timedelta
from itertools import count

from cryptography import x509
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    ExtendedKeyUsage,
    KeyUsage,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
)

from tests.chains.case import (
    BY_ANCHOR,
    EXPIRED,
    FROM_COMMON_NAME,
    INCOMPLETE,
    ISSUING,
    KEY_WEAK,
    MISMATCH,
    ROOT,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import (
    AT,
    LONG_AGO,
    Extension,
    Made,
    alternative_names,
    authority,
    key_usage,
    leaf,
    name_constraints,
    organization,
    purposes,
)

_PIN = "OTPC: self-signed, that we can trust"
_ANCHOR = "RFC 5280 6.1.1 (d)"
_ENDED = (LONG_AGO, AT - timedelta(seconds=1))
_STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
_PRIVATE = authority("Private Root")
_MIDDLE = authority("Private Issuing", by=_PRIVATE)
_HOSTS = count(1)


def permission_cases() -> list[ChainCase]:
    """Return the cases. Each has a host of its own, for which its operator's entry speaks."""
    return [
        *_pinned(),
        *_not_pinned(),
        *_authorities(),
        *_leaves(),
        *_common_names(),
        *_not_anchored(),
        *_asked_for(),
    ]


def _host() -> str:
    return f"permitted{next(_HOSTS)}.test"


def _own(
    host: str,
    *plus: Extension,
    without: tuple[type[x509.ExtensionType], ...] = (),
    key: str = "ec256",
    **more: object,
) -> Made:
    return leaf(None, dns=(host,), subject=host, plus=plus, without=without, key=key, **more)  # type: ignore[arg-type]


def _pinned() -> list[ChainCase]:
    bare = (
        BasicConstraints,
        KeyUsage,
        SubjectKeyIdentifier,
        AuthorityKeyIdentifier,
        ExtendedKeyUsage,
    )
    found = []
    for what, codes, plus, without, key in (
        ("as servers make them", (), (), (), "ec256"),
        (
            "with CA:TRUE, as `openssl req -x509` makes them",
            (),
            ((BasicConstraints(True, None), True),),
            (),
            "rsa2048",
        ),
        ("without SKI and AKI", (), (), (SubjectKeyIdentifier, AuthorityKeyIdentifier), "ec256"),
        ("with names and nothing else", (), (), bare, "ec256"),
        ("with a common name alone", (FROM_COMMON_NAME,), (), (SubjectAlternativeName,), "ec256"),
        ("with another purpose", (), ((purposes("client_auth"), False),), (), "ec256"),
        ("with another key usage", (), ((key_usage("key_encipherment"), True),), (), "rsa2048"),
        ("with an unknown critical extension", (), ((_STRANGE, True),), (), "ec256"),
        ("with an Ed25519 key", (), (), (), "ed25519"),
        ("with a key of 1024 bits", (KEY_WEAK,), (), (), "rsa1024"),
    ):
        host = _host()
        own = _own(host, *plus, without=without, key=key)
        found.append(
            case(f"pinned, {what}", _PIN, [own], BY_ANCHOR, *codes, server_name=host, pins=[own])
        )
    host = _host()
    critical = _own(host, (alternative_names((host,)), True))
    found.append(
        case(
            "pinned, with a critical subjectAltName",
            _PIN,
            [critical],
            BY_ANCHOR,
            server_name=host,
            pins=[critical],
        )
    )
    host = _host()
    sha1 = _own(host, key="rsa2048", hash_name="sha1")
    found.append(
        case(
            "pinned, signed by itself with SHA-1",
            _PIN,
            [sha1],
            BY_ANCHOR,
            server_name=host,
            pins=[sha1],
        )
    )
    host = _host()
    renewed = _own(host, key="rsa2048")
    found.append(
        case(
            "pinned by its key, renewed",
            _PIN,
            [renewed],
            BY_ANCHOR,
            server_name=host,
            spki_pins=[_own(host, key="rsa2048")],
        )
    )
    host = _host()
    issued = leaf(authority("Nobody's Root"), dns=(host,))
    found.append(
        case(
            "pinned, issued by an unknown authority",
            _PIN,
            [issued],
            BY_ANCHOR,
            server_name=host,
            pins=[issued],
        )
    )
    host = _host()
    public = leaf(ISSUING, dns=(host,))
    found.append(
        case(
            "pinned, and under a public root",
            _PIN,
            [public, ISSUING],
            server_name=host,
            pins=[public],
        )
    )
    return found


def _not_pinned() -> list[ChainCase]:
    one, two, three, four, five, six, seven = (_host() for _ in range(7))
    ended = _own(one, dates=_ENDED)
    flipped = _own(two)
    pinned_ca = _own(
        three,
        (BasicConstraints(True, None), True),
        (key_usage("key_cert_sign", "digital_signature"), True),
    )
    child = leaf(Made(pinned_ca.der, pinned_ca.key, pinned_ca.name), dns=(three,))
    other = _host()
    foreign = leaf(None, dns=(four, other))
    unnamed = _own("another.test")
    again = _own(six)
    below = _own(seven)
    return [
        case("pinned, expired", _PIN, [ended], BY_ANCHOR, EXPIRED, server_name=one, pins=[ended]),
        case(
            "pinned, one bit different",
            _PIN,
            [flipped.with_flipped_bit()],
            UNTRUSTED,
            server_name=two,
            pins=[flipped],
        ),
        case(
            "issued by the pinned certificate",
            _PIN,
            [child, pinned_ca],
            UNTRUSTED,
            server_name=three,
            pins=[pinned_ca],
            spki_pins=[pinned_ca],
        ),
        case(
            "pinned for one of its two hosts",
            _PIN,
            [foreign],
            BY_ANCHOR,
            server_name=four,
            pins=[foreign],
        ),
        case(
            "pinned, asked about its other host",
            _PIN,
            [foreign],
            UNTRUSTED,
            server_name=other,
            has_second_opinion=False,
        ),
        case(
            "pinned, for another name",
            _PIN,
            [unnamed],
            BY_ANCHOR,
            MISMATCH,
            server_name=five,
            pins=[unnamed],
        ),
        case(
            "same names, new certificate",
            _PIN,
            [_own(six)],
            UNTRUSTED,
            server_name=six,
            pins=[again],
        ),
        case(
            "pinned certificate second in the chain",
            _PIN,
            [_own(seven), below],
            UNTRUSTED,
            _MISORDERED,
            server_name=seven,
            pins=[below],
        ),
    ]


_MISORDERED = "CERTIFICATE_CHAIN_MISORDERED"


def _authorities() -> list[ChainCase]:
    found = []
    rows: list[tuple[str, Made, str]] = [
        ("as public ones are", _PRIVATE, ""),
        ("without keyUsage", authority("Private A", without=[KeyUsage]), _STRICT),
        (
            "whose basicConstraints is not critical",
            authority("Private B", plus=[(BasicConstraints(True, None), False)]),
            _STRICT,
        ),
        ("without SKI", authority("Private C", without=[SubjectKeyIdentifier]), _STRICT),
        (
            "that signed itself with SHA-1",
            authority("Private D", key="rsa2048", hash_name="sha1"),
            "",
        ),
        ("with an RSA key of 4096 bits", authority("Private E", key="rsa4096"), ""),
        ("with an Ed25519 key", authority("Private G", key="ed25519"), ""),
        ("with an Ed448 key", authority("Private H", key="ed448"), ""),
        ("with a key on secp256k1", authority("Private I", key="ec256k1"), ""),
        (
            "that wants any-policy inhibited",
            authority("Private J", plus=[(x509.InhibitAnyPolicy(0), True)]),
            "",
        ),
    ]
    for what, anchor, openssl in rows:
        host = _host()
        found.append(
            case(
                f"anchor {what}",
                _ANCHOR,
                [leaf(anchor, dns=(host,))],
                BY_ANCHOR,
                server_name=host,
                anchors=[anchor],
                openssl=openssl,
            )
        )
    host = _host()
    by_name = AuthorityKeyIdentifier(
        None, [x509.DirectoryName(_PRIVATE.name)], _PRIVATE.certificate.serial_number
    )
    middle = authority("Private F", by=_PRIVATE, plus=[(by_name, False)])
    found.append(
        case(
            "intermediate whose AKI is by issuer",
            _ANCHOR,
            [leaf(middle, dns=(host,)), middle],
            BY_ANCHOR,
            server_name=host,
            anchors=[_PRIVATE],
            openssl=_STRICT,
        )
    )
    host = _host()
    found.append(
        case(
            "anchor that is an intermediate",
            _ANCHOR,
            [leaf(_MIDDLE, dns=(host,))],
            BY_ANCHOR,
            server_name=host,
            anchors=[_MIDDLE],
            openssl=_PARTIAL,
        )
    )
    return found


_STRICT = "Only -x509_strict asks; private authorities are made without."
_PARTIAL = "OpenSSL wants a path to a self-signed certificate, unless -partial_chain is given."


_POLICIES = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])


def _leaves() -> list[ChainCase]:
    found = []
    rows: list[
        tuple[
            str,
            tuple[str, ...],
            tuple[Extension, ...],
            tuple[type[x509.ExtensionType], ...],
            str,
            str,
        ]
    ] = [
        ("without AKI", (BY_ANCHOR,), (), (AuthorityKeyIdentifier,), "ec256", _STRICT),
        ("without extendedKeyUsage", (BY_ANCHOR,), (), (ExtendedKeyUsage,), "ec256", ""),
        (
            "whose extendedKeyUsage is critical",
            (BY_ANCHOR,),
            ((purposes("server_auth"), True),),
            (),
            "ec256",
            "",
        ),
        ("with an Ed25519 key", (BY_ANCHOR,), (), (), "ed25519", ""),
        ("with critical policies", (BY_ANCHOR,), ((_POLICIES, True),), (), "ec256", ""),
        ("for clients", (UNTRUSTED,), ((purposes("client_auth"), False),), (), "ec256", ""),
        (
            "with CA:TRUE",
            (UNTRUSTED,),
            ((BasicConstraints(True, None), True),),
            (),
            "ec256",
            "OpenSSL lets an authority's certificate serve.",
        ),
        (
            "with keyEncipherment alone",
            (UNTRUSTED,),
            ((key_usage("key_encipherment"), True),),
            (),
            "rsa2048",
            "OpenSSL thinks of key exchange by RSA.",
        ),
        ("with an unknown critical extension", (UNTRUSTED,), ((_STRANGE, True),), (), "ec256", ""),
        (
            "with the poison of a precertificate",
            (UNTRUSTED,),
            ((x509.PrecertPoison(), True),),
            (),
            "ec256",
            "",
        ),
    ]
    for what, codes, plus, without, key, openssl in rows:
        host = _host()
        server = leaf(_MIDDLE, dns=(host,), plus=plus, without=without, key=key)
        found.append(
            case(
                f"leaf {what}, under an anchor",
                _ANCHOR,
                [server, _MIDDLE],
                *codes,
                server_name=host,
                anchors=[_PRIVATE],
                openssl=openssl,
            )
        )
    host = _host()
    critical = leaf(_MIDDLE, dns=(host,), plus=[(alternative_names((host,)), True)])
    found.append(
        case(
            "leaf with a critical subjectAltName, under an anchor",
            _ANCHOR,
            [critical, _MIDDLE],
            BY_ANCHOR,
            server_name=host,
            anchors=[_PRIVATE],
        )
    )
    return found


def _common_names() -> list[ChainCase]:
    no_san = [SubjectAlternativeName]
    one, two, three, four, five, six = (_host() for _ in range(6))
    fenced = authority("Private fenced", plus=[(name_constraints(("other.test",)), True)])
    by_subject = authority(
        "Private by subject",
        plus=[(name_constraints((x509.DirectoryName(organization("Partner")),)), True)],
    )
    poison = [(x509.PrecertPoison(), True)]
    return [
        case(
            "common name alone, issued by the anchor",
            "OTPC: CN or wildcards",
            [leaf(_PRIVATE, subject=one, without=no_san)],
            BY_ANCHOR,
            FROM_COMMON_NAME,
            server_name=one,
            anchors=[_PRIVATE],
        ),
        case(
            "common name alone, below an intermediate",
            "RFC 9525 6.3",
            [leaf(_MIDDLE, subject=two, without=no_san), _MIDDLE],
            UNTRUSTED,
            FROM_COMMON_NAME,
            server_name=two,
            anchors=[_PRIVATE],
            openssl="OpenSSL still takes the common name, at any depth.",
        ),
        case(
            "common name alone, outside the anchor's constraints",
            "RFC 5280 4.2.1.10",
            [leaf(fenced, subject=three, without=no_san)],
            UNTRUSTED,
            FROM_COMMON_NAME,
            server_name=three,
            anchors=[fenced],
        ),
        case(
            "common name alone, subject outside the anchor's constraints",
            "RFC 5280 4.2.1.10",
            [leaf(by_subject, subject=four, without=no_san)],
            UNTRUSTED,
            FROM_COMMON_NAME,
            server_name=four,
            anchors=[by_subject],
        ),
        case(
            "common name alone, the poison of a precertificate",
            "RFC 6962 3.1",
            [leaf(_PRIVATE, subject=five, without=no_san, plus=poison)],
            UNTRUSTED,
            FROM_COMMON_NAME,
            server_name=five,
            anchors=[_PRIVATE],
        ),
        case(
            "common name alone, expired",
            "RFC 5280 6.1.3 (a)(2)",
            [leaf(_PRIVATE, subject=six, without=no_san, dates=_ENDED)],
            EXPIRED,
            FROM_COMMON_NAME,
            server_name=six,
            anchors=[_PRIVATE],
        ),
    ]


def _not_anchored() -> list[ChainCase]:
    one, two, three, four, five = (_host() for _ in range(5))
    ended, weak = authority("Private ended", dates=_ENDED), authority("Private weak", key="rsa1024")
    no_ca = authority("Private no CA", plus=[(BasicConstraints(False, None), True)])
    own = _own(
        four,
        (BasicConstraints(True, None), True),
        (key_usage("key_cert_sign", "digital_signature"), True),
    )
    return [
        case(
            "anchor for another host",
            _ANCHOR,
            [leaf(_PRIVATE)],
            UNTRUSTED,
            INCOMPLETE,
            has_second_opinion=False,
        ),
        case(
            "anchor has expired",
            _ANCHOR,
            [leaf(ended, dns=(one,))],
            UNTRUSTED,
            server_name=one,
            anchors=[ended],
        ),
        case(
            "anchor with a key of 1024 bits",
            "BR 6.1.5",
            [leaf(weak, dns=(two,))],
            UNTRUSTED,
            server_name=two,
            anchors=[weak],
        ),
        case(
            "anchor says CA:FALSE",
            "RFC 5280 6.1.4 (k)",
            [leaf(no_ca, dns=(three,))],
            UNTRUSTED,
            INCOMPLETE,
            server_name=three,
            anchors=[no_ca],
        ),
        case(
            "anchor that is the leaf",
            _PIN,
            [own],
            UNTRUSTED,
            server_name=four,
            anchors=[own],
            openssl=_LEAF_AS_ANCHOR,
        ),
        case(
            "anchor of another partner",
            _ANCHOR,
            [leaf(_MIDDLE, dns=(five,)), _MIDDLE],
            UNTRUSTED,
            INCOMPLETE,
            server_name=five,
            anchors=[ROOT],
            openssl="",
        ),
    ]


_LEAF_AS_ANCHOR = "An anchor is for what it issues; what is to be trusted for itself is pinned."


def _asked_for() -> list[ChainCase]:
    asked = authority("Asked for")
    host, own = _host(), _own("partner.test")
    return [
        case(
            "anchor of the request",
            _ANCHOR,
            [leaf(asked, dns=(host,))],
            BY_ANCHOR,
            server_name=host,
            request_anchors=[asked],
        ),
        case(
            "anchor of the request that is the leaf",
            _PIN,
            [own],
            UNTRUSTED,
            request_anchors=[own],
            openssl=_LEAF_AS_ANCHOR,
        ),
        case(
            "anchor of the request and a public root",
            _ANCHOR,
            [leaf(ISSUING), ISSUING],
            request_anchors=[asked],
        ),
        case(
            "another anchor of the request",
            _ANCHOR,
            [leaf(authority("Not asked for"), dns=(host,))],
            UNTRUSTED,
            INCOMPLETE,
            server_name=host,
            request_anchors=[asked],
        ),
    ]
