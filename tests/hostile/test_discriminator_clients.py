"""What ordinary clients are given by the servers of rows.py, handshake completed.

Rows whose property `openssl s_client` or tlslite-ng can be given; and that the explanations of the
other rows are true.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from tlslite.constants import CipherSuite

from tests.hostile.faults import (
    EXPIRED,
    EXPIRED_ECDSA,
    NULL,
    OF_CERTIFICATES,
    OTHER_NAME,
    TLS10,
    Stacks,
)
from tests.hostile.rows import EXPLAINED, ROWS, Row
from tests.support import ordinary_clients
from tests.support.hostile.hello import SeenHello, read_choice, read_client_hello
from tests.support.loopback import Listener
from tests.support.ordinary_clients import GOOD, Handshake, s_client, tlslite_client
from tests.support.raw_client import answer_to
from tests.support.tcp import Counts, counting_server

pytestmark = pytest.mark.asyncio(loop_scope="package")

_ROWS: Mapping[str, Row] = {str(row): row for row in ROWS}
# Options for a hello with each property, and for one without.
_LONG_NAMES = ",".join("a" * 60 for _ in range(25))
_LONG_AND_SHORT = (("-alpn", _LONG_NAMES), ())
_S_CLIENT: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "over-200-bytes": _LONG_AND_SHORT,
    "over-300-bytes": _LONG_AND_SHORT,
    "over-360-bytes": _LONG_AND_SHORT,
    "over-512-bytes": _LONG_AND_SHORT,
    "over-1460-bytes": _LONG_AND_SHORT,
    "alpn": (("-alpn", "h2,http/1.1"), ()),
    "server-name": ((), ("-noservername",)),
    "server-name-first": ((), ("-noservername",)),
    "session-ticket": ((), ("-no_ticket",)),
    "encrypt-then-mac": ((), ("-no_etm",)),
    "offers-p521": (("-groups", "P-256:P-521"), ("-groups", "P-256")),
    "offers-x448": (("-groups", "P-256:X448"), ("-groups", "P-256")),
    "over-4-groups": (
        ("-groups", "X25519:P-256:X448:P-521:P-384"),
        ("-groups", "X25519:P-256:X448:P-521"),
    ),
}
_S_CLIENT_FOR: Mapping[str, Sequence[str]] = {
    TLS10.name: ("-tls1", "-cipher", "ECDHE-RSA-AES128-SHA:AES128-SHA:@SECLEVEL=0"),
    NULL.name: ("-tls1_2", "-cipher", "ECDHE-RSA-NULL-SHA:NULL-SHA256:@SECLEVEL=0"),
    EXPIRED.name: ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-sigalgs", "RSA+SHA256"),
    EXPIRED_ECDSA.name: ("-tls1_2", "-sigalgs", "ECDSA+SHA256:RSA+SHA256"),
    OTHER_NAME.name: (
        "-tls1_2",
        "-cipher",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "-sigalgs",
        "RSA+SHA256",
    ),
}
_HELD = [name for name in _ROWS if name not in EXPLAINED]
_WITH_S_CLIENT = [name for name in _HELD if _ROWS[name].property.name in _S_CLIENT]


def last_hello(counts: Counts) -> SeenHello:
    hello = read_client_hello(counts.transcripts[-1].received)
    assert hello is not None
    return hello


@pytest.mark.parametrize("name", _WITH_S_CLIENT)
async def test_openssl_completes_a_handshake_with_the_fault_and_its_opposite_does_not(
    name: str,
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    row, server = _ROWS[name], new_listener()
    with counting_server(server, row.server(stacks)) as counts:
        for met in (True, False):
            options = _S_CLIENT[row.property.name][0 if met is row.with_property else 1]
            options = (*_S_CLIENT_FOR[row.fault.name], *options)
            seen = s_client(server, stacks.authority.pem, *options)
            assert row.is_met_by(last_hello(counts)) is met
            assert_handshake(row, seen, met=met)


def assert_handshake(row: Row, seen: Handshake | None, *, met: bool) -> None:
    """The handshake has the row's fault, or is what a compliant server gives."""
    if row.fault in OF_CERTIFICATES:
        assert seen is not None
        fault = ordinary_clients.OTHER_NAME if row.fault is OTHER_NAME else ordinary_clients.EXPIRED
        assert seen.verified == (fault if met else GOOD)
    elif not met:
        assert seen is None
    else:
        assert seen is not None
        assert seen.verified == GOOD
        wanted = ("TLSv1", False) if row.fault is TLS10 else ("TLSv1.2", True)
        assert (seen.version, "NULL" in seen.cipher_suite) == wanted


@pytest.mark.parametrize("polarity", ["with", "without"])
async def test_tlslite_meets_a_fault_by_extended_master_secret(
    polarity: str,
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    row, server = _ROWS[f"extended-master-secret-{polarity}-expired"], new_listener()
    with counting_server(server, row.server(stacks)) as counts:
        for met in (True, False):
            has_it = met is row.with_property
            seen = tlslite_client(server, maxVersion=(3, 3), useExtendedMasterSecret=has_it)
            assert row.is_met_by(last_hello(counts)) is met
            assert seen is not None
            assert stacks.serve_faulty_leaf(seen.leaf) is met


# tlslite-ng begins with a signalling value and TLS 1.3, and writes key_share before the groups.
def _as_it_is(hello: Any) -> None:
    """Change nothing."""


def _groups_first(hello: Any) -> None:
    """Write supported_groups before key_share, as OpenSSL does."""
    hello.extensions.sort(key=lambda one: one.extType != 10)


def _tls12_first(hello: Any) -> None:
    """List the suites of TLS 1.3 last, as Go does."""
    hello.cipher_suites.sort(key=lambda suite: suite in CipherSuite.tls13Suites)


_TLS13_SHAPES: Mapping[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {
    "key-share-before-groups": (_as_it_is, _groups_first),
    "begins-with-tls13": (_as_it_is, _tls12_first),
    "tls12-before-tls13": (_tls12_first, _as_it_is),
}


@pytest.mark.parametrize("polarity", ["with", "without"])
@pytest.mark.parametrize("name", _TLS13_SHAPES)
async def test_a_client_of_tls_1_3_meets_an_expired_certificate_by_its_order(
    name: str,
    polarity: str,
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    row, server = _ROWS[f"{name}-{polarity}-expired"], new_listener()
    with counting_server(server, row.server(stacks)) as counts:
        for met in (True, False):
            shape = _TLS13_SHAPES[name][0 if met is row.with_property else 1]
            seen = tlslite_client(server, shape=shape)
            assert row.is_met_by(last_hello(counts)) is met
            assert seen is not None
            assert seen.version == "TLSv1.3"
            assert stacks.serve_faulty_leaf(seen.leaf) is met


# ---- The explanations.


async def test_a_client_that_names_the_server_never_meets_the_certificate_of_the_nameless(
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    row, server = _ROWS["server-name-without-expired"], new_listener()
    with counting_server(server, row.server(stacks)):
        for version in ("-tls1_2", "-tls1_3"):
            seen = s_client(server, stacks.authority.pem, version)
            assert seen is not None
            assert seen.verified == GOOD


async def test_without_supported_groups_no_certificate_is_shown(
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    row, server = _ROWS["no-groups-with-expired"], new_listener()
    with counting_server(server, row.server(stacks)) as counts:
        received = answer_to(server, bytes(row.hello(met=True)))
        assert row.is_met_by(last_hello(counts))
    assert read_choice(received) is None
    assert not stacks.serve_faulty_leaf(received)


@pytest.mark.parametrize("fault", [TLS10.name, NULL.name])
@pytest.mark.parametrize("name", _TLS13_SHAPES)
async def test_a_client_of_tls_1_3_never_meets_an_older_fault(
    name: str,
    fault: str,
    stacks: Stacks,
    new_listener: Callable[[], Listener],
) -> None:
    row, server = _ROWS[f"{name}-with-{fault}"], new_listener()
    assert str(row) in EXPLAINED
    with counting_server(server, row.server(stacks)) as counts:
        seen = tlslite_client(server, shape=_TLS13_SHAPES[name][0], minVersion=(3, 1))
        assert row.property.is_had_by(last_hello(counts))
    assert seen is not None
    assert seen.version == "TLSv1.3"
    assert not stacks.serve_faulty_leaf(seen.leaf)
