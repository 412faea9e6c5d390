"""What can be offered: the suites of each version, in families and lanes, and the first waves.

Data and selection. Every suite in the registry is offered at every version that may carry it, PSK,
SRP and Kerberos included: a server chooses a suite before it asks for the secret.
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.core.registries.suites import CipherSuite, all_suites, suite_by_code_point
from otpc_policy.engine.survey.probe import Probe, Purpose
from otpc_policy.tls.client_hello import PLAIN, ClientHello, GroupList, HelloStyle, HelloVariant

# What a payment client offers over TLS 1.2: Google, "One Time Payment Code", Transport layer
# encryption with HTTPS (2024-12-03).
PAYMENT_ECDSA = (0xC02B, 0xCCA9, 0xC023)
PAYMENT_RSA = (0xC02F, 0xCCA8, 0xC027)
PAYMENT_SUITES = (*PAYMENT_ECDSA, *PAYMENT_RSA)
# RFC 8446 B.4. The first three are what servers of TLS 1.3 offer.
STANDARD_TLS13 = (0x1301, 0x1302, 0x1303, 0x1304, 0x1305)
_USUAL_TLS13 = STANDARD_TLS13[:3]
# Static RSA and old forward-secret suites. Nearly every server accepts one of these, or one of the
# payment client's.
_USUAL_OLD = (0x002F, 0x0035, 0x000A, 0x0033, 0xC009, 0xC013, 0x0005)

# Some servers ignore suites after the 64th (F5 K14758 and others); a control appends one, and some
# variants begin with a suite of GREASE.
SHORT_LIST = 62
# About how many suites share a lane. A lane finds one suite per wave, and costs a refusal at its
# end. Servers accept a larger share of the ECDSA suites than of the others, half of which hardly
# any server implements.
_LANE, _ECDSA_LANE = 24, 8


@cache
def suites_at(version: TlsVersion) -> tuple[int, ...]:
    """Return every suite that may be negotiated over a version, in order of numbers."""
    return tuple(suite.code_point for suite in all_suites() if _may_be_negotiated(suite, version))


@cache
def families_at(version: TlsVersion) -> tuple[tuple[int, ...], ...]:
    """Return the suites of a version in the families that must not share a hello.

    HAProxy picks its ECDSA certificate as soon as a hello of TLS 1.2 or later has any ECDSA suite
    and signature scheme. It then refuses suites that need its RSA certificate. In a hello that also
    had ECDSA suites that it does not offer, its RSA suites and certificate would never be seen.
    """
    suites = suites_at(version)
    ecdsa = ecdsa_among(suites)
    families = (tuple(suite for suite in suites if suite in ecdsa), without_ecdsa(suites))
    return tuple(family for family in families if family)


class Cell(NamedTuple):
    """One list of a layout. suites: in order of numbers."""

    groups: GroupList
    suites: tuple[int, ...]


# Families of TLS 1.0 to 1.2 that exchange keys in a finite field whose group the server chooses.
FINITE_FIELD_FAMILIES = ("TLS_DHE_RSA", "TLS_DH_anon", "TLS_DHE_DSS", "TLS_DHE_PSK")
# What a server may lack for several families at once: parameters, a curve, a pre-shared key, a
# verifier, or a kind of certificate.
SHARED_NEEDS = (
    frozenset(FINITE_FIELD_FAMILIES),
    frozenset({"TLS_ECDHE_RSA", "TLS_ECDH_anon", "TLS_ECDHE_PSK"}),
    frozenset({"TLS_PSK", "TLS_DHE_PSK", "TLS_RSA_PSK", "TLS_ECDHE_PSK"}),
    frozenset({"TLS_SRP_SHA", "TLS_SRP_SHA_RSA", "TLS_SRP_SHA_DSS"}),
    frozenset({"TLS_DHE_DSS", "TLS_SRP_SHA_DSS", "TLS_DH_DSS"}),
    frozenset({"TLS_DH_RSA", "TLS_DH_DSS"}),
)
# For each family, which of five lists with the usual groups contain it, and which of four lists
# that also have finite-field groups. For every family, and every other family or need that it does
# not share, some list contains the former without the latter; for families that need a finite-field
# group, a list of either sort does. Found by a search; tests/engine/survey/test_offers.py holds it.
_PLACES = {
    "TLS_DHE_RSA": ("15", "234"),
    "TLS_DH_anon": ("25", "124"),
    "TLS_DHE_DSS": ("14", "123"),
    "TLS_DHE_PSK": ("24", "134"),
    "TLS_RSA": ("35", "24"),
    "TLS_ECDHE_RSA": ("123", "4"),
    "TLS_ECDH_anon": ("123", "3"),
    "TLS_PSK": ("34", "14"),
    "TLS_ECDHE_PSK": ("23", "34"),
    "TLS_RSA_PSK": ("23", "14"),
    "TLS_SRP_SHA": ("345", "2"),
    "TLS_SRP_SHA_RSA": ("345", "1"),
    "TLS_SRP_SHA_DSS": ("34", "12"),
    "TLS_DH_RSA": ("23", "12"),
    "TLS_DH_DSS": ("13", "1"),
    "TLS_KRB5": ("35", "34"),
    "GOST": ("23", "23"),
    "PASSWORD": ("345", "3"),
    "FORTEZZA": ("13", "24"),
}
# What a server needs for the first serves the second: if one fails after it was chosen, so does the
# other.
_SAME_FAMILY = {
    "SSL_RSA_FIPS": "TLS_RSA",
    "SSL_RSA_OLDFIPS": "TLS_RSA",
    "TLS_PSK_DHE": "TLS_DHE_PSK",
    "TLS_CECPQ1_RSA": "TLS_ECDHE_RSA",
    "TLS_CECPQ1_ECDSA": "TLS_ECDHE_ECDSA",
    "TLS_ECDH_RSA": "TLS_ECDH_ECDSA",
    "TLS_ECCPWD": "PASSWORD",
    "TLS_ECJPAKE": "PASSWORD",
    "SSL_FORTEZZA_KEA": "FORTEZZA",
    "TLS_NULL": "FORTEZZA",
}


@cache
def family_of(code_point: int) -> str:
    """Return the family of a suite of SSL 3 to TLS 1.2: key exchange and authentication.

    Export strength makes no difference. Servers that choose a suite first and fail afterwards do so
    for a whole family (testssl/testssl.sh#2883).
    """
    suite = suite_by_code_point(code_point)
    if suite is None or suite.is_tls13 or suite.is_ssl2:
        return ""
    exchange = (
        suite.iana_name.partition("_WITH_")[0]
        .removeprefix("OLD_")
        .removesuffix("1024")
        .removesuffix("_EXPORT")
    )
    return "GOST" if "GOST" in exchange else _SAME_FAMILY.get(exchange, exchange)


@cache
def layout_at(version: TlsVersion) -> tuple[Cell, ...]:
    """Return the lists that offer all suites of a version at once.

    If all of them are refused, the refusal is about each family itself. A server that prefers
    families that it cannot serve refuses every list that contains one, whatever else it would
    accept. ECDSA suites have lists of their own (see families_at). At TLS 1.3 a suite does not
    determine the kind of key, so there are no families.
    """
    suites = suites_at(version)
    if version in (TlsVersion.SSL_2_0, TlsVersion.TLS_1_3):
        return (Cell(GroupList.WIDE, suites),)
    lists: dict[tuple[GroupList, str], list[int]] = {}
    for suite in suites:
        for place in _places_of(family_of(suite)):
            lists.setdefault(place, []).append(suite)
    # SSL 3 has no extensions, hence no groups.
    return tuple(
        Cell(GroupList.WIDE if version is TlsVersion.SSL_3_0 else place[0], tuple(listed))
        for place, listed in sorted(lists.items(), key=_order)
    )


def _order(item: tuple[tuple[GroupList, str], list[int]]) -> tuple[str, str]:
    (groups, name), _ = item
    return groups.value, name


@cache
def _places_of(family: str) -> tuple[tuple[GroupList, str], ...]:
    if family in ("TLS_ECDHE_ECDSA", "TLS_ECDH_ECDSA"):
        return ((GroupList.WIDE, family),)
    wide, finite_field = _PLACES[family]
    return (
        *((GroupList.WIDE, place) for place in wide),
        *((GroupList.FINITE_FIELD, place) for place in finite_field),
    )


def ecdsa_among(suites: Iterable[int]) -> frozenset[int]:
    """Return the suites of the ECDSA family."""
    return _ecdsa_suites().intersection(suites)


def without_ecdsa(suites: tuple[int, ...]) -> tuple[int, ...]:
    """Return the suites of other families, in their order."""
    ecdsa = ecdsa_among(suites)
    return tuple(suite for suite in suites if suite not in ecdsa) if ecdsa else suites


# There are seven families.
@lru_cache(maxsize=16)
def lanes_of(family: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return a family in interleaved lanes.

    What OpenSSL implements, and hence most servers, is spread evenly over them.
    """
    usual = _usual_suites()
    ranked = sorted(family, key=lambda suite: suite not in usual)
    return tuple(
        _interleaved(
            ranked, max(1, round(len(family) / (_ECDSA_LANE if ecdsa_among(family) else _LANE)))
        )
    )


def short_lists_of(family: Sequence[int], longest: int = SHORT_LIST) -> list[tuple[int, ...]]:
    """Return a family in interleaved lists for servers that do not read long lists."""
    return _interleaved(family, -(-len(family) // longest))


# Variants of full hellos: of TLS 1.2 and older, of ECDSA suites, and of TLS 1.3, three each.
Variants = tuple[HelloVariant, ...]
NO_VARIANTS: Variants = (PLAIN,) * 9


def variants_at(version: TlsVersion, variants: Variants) -> Variants:
    """Return the variants for hellos of a version."""
    return variants[6:] if version is TlsVersion.TLS_1_3 else variants[:3]


def opening(
    server_name: str | None, variants: Variants = NO_VARIANTS
) -> tuple[Probe[ClientHello], ...]:
    """Return the first wave: every suite of a payment client in a hello of its own.

    The suite comes after all suites that it might be alone with. So each answer proves a suite, and
    is the control for the refusal to come. One hello has both families, so that a server with only
    an ECDSA certificate has accepted a list as long as any that follows. It offers compression, as
    a client profile with RSA suites does. The variants alternate.
    """
    return tuple(
        Probe(
            hello=ClientHello(
                version=version,
                lowest=version,
                cipher_suites=suites,
                server_name=server_name,
                variant=variant,
                offers_compression=place == 0,
            ),
            purpose=Purpose.CONTROL,
        )
        for place, ((version, suites), variant) in enumerate(
            zip(_opening_lists(), (*variants[3:6], *variants[:3], *variants[6:]), strict=True)
        )
    )


@cache
def _opening_lists() -> tuple[tuple[TlsVersion, tuple[int, ...]], ...]:
    ecdsa, rest = (
        tuple(suite for suite in family if suite not in PAYMENT_SUITES)
        for family in families_at(TlsVersion.TLS_1_2)
    )
    others = tuple(suite for suite in suites_at(TlsVersion.TLS_1_3) if suite not in _USUAL_TLS13)
    longest, *shorter = PAYMENT_ECDSA
    return (
        (TlsVersion.TLS_1_2, (*rest, *ecdsa, longest)),
        *((TlsVersion.TLS_1_2, (*ecdsa, suite)) for suite in shorter),
        *((TlsVersion.TLS_1_2, (*rest, suite)) for suite in PAYMENT_RSA),
        *((TlsVersion.TLS_1_3, (*others, suite)) for suite in _USUAL_TLS13),
    )


def second_opening(server_name: str | None) -> tuple[Probe[ClientHello], ...]:
    """Return hellos below 256 bytes, for a server that has accepted no hello so far."""
    lists = (
        (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2, (*_USUAL_TLS13, *PAYMENT_SUITES)),
        (TlsVersion.TLS_1_2, TlsVersion.SSL_3_0, PAYMENT_SUITES),
        (TlsVersion.TLS_1_2, TlsVersion.SSL_3_0, _USUAL_OLD),
    )
    return tuple(
        Probe(
            hello=ClientHello(
                version=highest,
                lowest=lowest,
                cipher_suites=suites,
                server_name=server_name,
                style=HelloStyle.SHORT,
            ),
            purpose=Purpose.CONTACT,
        )
        for highest, lowest, suites in lists
    )


def _interleaved(family: Sequence[int], count: int) -> list[tuple[int, ...]]:
    return [tuple(family[place::count]) for place in range(count)]


def _may_be_negotiated(suite: CipherSuite, version: TlsVersion) -> bool:
    is_bound = suite.is_ssl2 or suite.is_tls13
    return (
        suite.lowest_version is version
        if is_bound
        else version not in (TlsVersion.SSL_2_0, TlsVersion.TLS_1_3)
        and suite.lowest_version <= version
    )


@cache
def _ecdsa_suites() -> frozenset[int]:
    return frozenset(
        suite.code_point for suite in all_suites() if suite.authentication is KeyType.ECDSA
    )


@cache
def _usual_suites() -> frozenset[int]:
    return frozenset(suite.code_point for suite in all_suites() if suite.openssl_name)
