"""Each rule that makes a listed suite impossible takes away that suite and no other."""

from typing import Any

import pytest

from otpc_policy.core.facts import TlsVersion
from tests.differential import gnutls_truth, openssl_truth
from tests.differential.gnutls_truth import GnuTlsConfiguration
from tests.differential.openssl_truth import OpenSslConfiguration

TLS_1_0, TLS_1_2, TLS_1_3 = TlsVersion.TLS_1_0, TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
RSA_SUITE, ECDHE_RSA, ECDHE_ECDSA, DHE_RSA, PSK, ANONYMOUS = (
    0x002F,
    0xC013,
    0xC009,
    0x0033,
    0x008C,
    0xC018,
)
EACH = (
    "AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:DHE-RSA-AES128-SHA:PSK-AES128-CBC-SHA"
    ":AECDH-AES128-SHA:@SECLEVEL=0"
)


def openssl(version: TlsVersion, **overrides: Any) -> frozenset[int]:
    """Return what a configuration with both kinds of keys allows over one version."""
    settings: dict[str, Any] = {
        "ciphers": EACH,
        "versions": ("1.0", "1.2", "1.3"),
        "keys": ("rsa2048", "ec256"),
        "psk": True,
    }
    configuration = OpenSslConfiguration(**{**settings, **overrides})
    return openssl_truth.allowed_by(configuration).get(version, frozenset())


EVERY = frozenset({RSA_SUITE, ECDHE_RSA, ECDHE_ECDSA, DHE_RSA, PSK, ANONYMOUS})


@pytest.mark.parametrize(
    ("overrides", "impossible"),
    [
        ({}, set()),
        ({"keys": ("ec256",)}, {RSA_SUITE, ECDHE_RSA, DHE_RSA}),
        ({"keys": ("rsa2048",)}, {ECDHE_ECDSA}),
        ({"keys": ("rsa2048", "ed25519")}, set()),
        ({"psk": False}, {PSK}),
        ({"finite_field": False}, {DHE_RSA}),
        ({"groups": ("ffdhe2048",)}, {ECDHE_RSA, ECDHE_ECDSA, ANONYMOUS}),
        ({"groups": ("ffdhe2048", "brainpoolP256r1")}, set()),
        ({"ciphers": EACH.replace("=0", "=1")}, {ANONYMOUS}),
        ({"versions": ("1.0", "1.3")}, EVERY),
    ],
)
def test_openssl_over_tls_1_2(overrides: dict[str, object], impossible: set[int]) -> None:
    assert openssl(TLS_1_2, **overrides) == EVERY - impossible


@pytest.mark.parametrize(
    ("overrides", "impossible"),
    [
        ({}, set()),
        ({"ciphers": EACH.replace("=0", "=1")}, EVERY),
        ({"keys": ("rsa2048", "ed25519")}, {ECDHE_ECDSA}),
        ({"picks_by_signature_algorithms": True}, {ECDHE_ECDSA}),
        (
            {"picks_by_signature_algorithms": True, "keys": ("ec256",)},
            {RSA_SUITE, ECDHE_RSA, DHE_RSA},
        ),
    ],
)
def test_openssl_over_tls_1_0(overrides: dict[str, object], impossible: set[int]) -> None:
    assert openssl(TLS_1_0, **overrides) == EVERY - impossible


@pytest.mark.parametrize(
    ("overrides", "offered"),
    [
        ({}, True),
        ({"keys": ("dsa2048",)}, False),
        ({"keys": ()}, False),
        ({"keys": ("ed25519",)}, True),
        ({"groups": ("brainpoolP256r1", "secp224r1")}, False),
        ({"groups": ("brainpoolP256r1", "ffdhe2048")}, True),
        ({"versions": ("1.2",)}, False),
    ],
)
def test_openssl_over_tls_1_3(overrides: dict[str, object], offered: bool) -> None:
    assert openssl(TLS_1_3, **overrides) == (
        openssl_truth.TLS_1_3_DEFAULT if offered else frozenset()
    )


def test_what_is_not_allowed_has_its_reason() -> None:
    configuration = OpenSslConfiguration(ciphers=EACH, versions=("1.2",), keys=("rsa2048",))
    assert openssl_truth.reasons_of(configuration) == (
        "no EC key (an Ed25519 key signs from TLS 1.2 on: RFC 8422 5.10)",
        "no pre-shared key",
    )


@pytest.mark.parametrize(
    ("keys", "encipherment", "groups", "allowed"),
    [
        (("rsa2048", "ec256"), True, "GROUP-ALL", {0x009C, 0xC02F, 0xC02B, 0x00A6}),
        (("rsa2048", "ec256"), False, "GROUP-ALL", {0xC02F, 0xC02B, 0x00A6}),
        (("ec256",), True, "GROUP-ALL", {0xC02B, 0x00A6}),
        (("rsa2048",), True, "GROUP-FFDHE2048", {0x009C, 0x00A6}),
        (("rsa2048",), True, "GROUP-SECP256R1", {0x009C, 0xC02F}),
    ],
)
def test_gnutls_over_tls_1_2(
    keys: tuple[str, ...], encipherment: bool, groups: str, allowed: set[int]
) -> None:
    priority = (
        "NONE:+VERS-TLS1.2:+RSA:+ECDHE-RSA:+ECDHE-ECDSA:+ANON-DH:+PSK:+AES-128-GCM:+AEAD:+SIGN-ALL"
        f":+{groups}:+COMP-NULL"
    )
    configuration = GnuTlsConfiguration(priority=priority, keys=keys, encipherment=encipherment)
    assert gnutls_truth.allowed_by(configuration) == {TLS_1_2: allowed}


def test_gnutls_with_nothing_left_offers_nothing() -> None:
    assert (
        gnutls_truth.allowed_by(
            GnuTlsConfiguration(
                priority="NONE:+VERS-TLS1.2:+RSA:+AES-128-GCM:+SHA1:+COMP-NULL", keys=("rsa2048",)
            )
        )
        == {}
    )
