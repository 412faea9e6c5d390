"""Cipher suites: numbers, names and the properties that rules rest on."""

import shutil
import ssl

import pytest

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.core.registries.suites import (
    CipherSuite,
    all_suites,
    openssl_names,
    registered_names,
    suite_by_code_point,
    suite_by_name,
    unregistered_names,
)
from tests.core.registries.digest import digest_of


@pytest.mark.parametrize(
    ("code_point", "iana_name", "openssl_name", "authentication"),
    [
        (
            0xC02B,
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            KeyType.ECDSA,
        ),
        (
            0xC02F,
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
            KeyType.RSA,
        ),
        (
            0xCCA9,
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            KeyType.ECDSA,
        ),
        (
            0xCCA8,
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "ECDHE-RSA-CHACHA20-POLY1305",
            KeyType.RSA,
        ),
        (
            0xC023,
            "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
            "ECDHE-ECDSA-AES128-SHA256",
            KeyType.ECDSA,
        ),
        (0xC027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256", KeyType.RSA),
        (0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", KeyType.RSA),
        (0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA", "DHE-DSS-AES256-SHA", KeyType.DSA),
        (0xC00E, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA", "ECDH-RSA-AES128-SHA", KeyType.ECDSA),
        (0x0018, "TLS_DH_anon_WITH_RC4_128_MD5", "ADH-RC4-MD5", None),
        (0x008C, "TLS_PSK_WITH_AES_128_CBC_SHA", "PSK-AES128-CBC-SHA", None),
        (0x1301, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", None),
        (0x010080, "SSL_CK_RC4_128_WITH_MD5", "RC4-MD5", KeyType.RSA),
    ],
)
def test_numbers_names_and_authentication(
    code_point: int, iana_name: str, openssl_name: str, authentication: KeyType | None
) -> None:
    suite = suite_by_code_point(code_point)
    assert suite is not None
    assert (suite.iana_name, suite.openssl_name, suite.authentication) == (
        iana_name,
        openssl_name,
        authentication,
    )
    assert suite_by_name(iana_name) is suite


def test_kinds_of_insecure_suites() -> None:
    def kinds(name: str) -> tuple[bool, bool, bool, bool]:
        suite = suite_by_name(name)
        assert suite is not None
        return suite.is_null, suite.is_anonymous, suite.is_export, suite.is_integrity_only

    assert kinds("TLS_RSA_WITH_NULL_SHA") == (True, False, False, False)
    assert kinds("TLS_ECDH_anon_WITH_NULL_SHA") == (True, True, False, False)
    assert kinds("TLS_DH_anon_EXPORT_WITH_RC4_40_MD5") == (False, True, True, False)
    assert kinds("TLS_RSA_EXPORT1024_WITH_RC4_56_SHA") == (False, False, True, False)
    assert kinds("SSL_CK_RC4_128_EXPORT40_WITH_MD5") == (False, False, True, False)
    assert kinds("TLS_SHA256_SHA256") == (False, False, False, True)
    assert kinds("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") == (False, False, False, False)


def test_a_name_shared_with_ssl_2_means_the_later_suite_and_old_names_are_known() -> None:
    shared, renamed = suite_by_name("RC4-MD5"), suite_by_name("DHE-RSA-DES-CBC3-SHA")
    assert shared is not None
    assert shared.iana_name == "TLS_RSA_WITH_RC4_128_MD5"
    assert renamed is suite_by_name("EDH-RSA-DES-CBC3-SHA") is suite_by_code_point(0x0016)
    assert suite_by_code_point(0x00FF) is None
    assert suite_by_name("TLS_FALLBACK_SCSV") is None


def test_code_points_and_iana_names_are_unique() -> None:
    suites = all_suites()
    assert len({suite.iana_name for suite in suites}) == len(suites)
    assert [suite.code_point for suite in suites] == sorted({suite.code_point for suite in suites})


def test_every_registered_suite_is_there_and_what_is_not_registered_stays_apart() -> None:
    registered, unregistered = registered_names(), unregistered_names()
    # TLS_NULL_WITH_NULL_NULL included; the registry's own count on the day it was read.
    assert len(registered) == 354
    assert len(unregistered) == 53
    assert sum(suite.is_ssl2 for suite in all_suites()) == 10
    assert not registered.keys() & unregistered.keys()
    assert {suite.code_point for suite in all_suites()} == registered.keys() | unregistered.keys()
    # Blocks of the registry without a gap: ECC, PSK, ARIA and Camellia from 0xC001, ECCPWD and
    # integrity only, GOST.
    blocks = (
        range(0xC001, 0xC0B6),
        range(0xC100, 0xC107),
        range(0x0084, 0x00C8),
        range(0x0067, 0x0072),
        range(0x1301, 0x1308),
    )
    assert {number for block in blocks for number in block} <= registered.keys()


def test_names_of_openssl_are_names_of_known_suites() -> None:
    assert len(openssl_names()) == 247
    assert openssl_names().keys() <= {suite.code_point for suite in all_suites()}


def test_no_suite_changes_without_notice() -> None:
    """Number, names and every property of every suite; the table in code had this digest."""
    lines = [
        " ".join(
            (
                f"{suite.code_point:06X} {suite.iana_name}",
                ",".join(openssl_names().get(suite.code_point, ())) or "-",
                suite.authentication.name if suite.authentication else "-",
                suite.lowest_version.name,
                *(name for name in PROPERTIES if getattr(suite, name)),
            )
        )
        for suite in all_suites()
    ]
    assert len(lines) == 407
    assert digest_of(lines) == "8bc93b57a9f2f88d53499d5671b8487abdcdd67f7419ea537b00b3f68ab3fdcf"


PROPERTIES = (
    "needs_shared_secret",
    "is_null",
    "is_anonymous",
    "is_export",
    "is_tls13",
    "is_integrity_only",
    "is_ssl2",
    "is_forward_secret",
)


def test_which_suites_are_of_tls_1_3() -> None:
    tls13 = {suite.code_point for suite in all_suites() if suite.is_tls13}
    assert tls13 == {
        *range(0x1301, 0x1308),
        *range(0x006E, 0x0072),
        0x00C6,
        0x00C7,
        0xC0B4,
        0xC0B5,
        *range(0xC103, 0xC107),
    }
    assert all(
        suite.lowest_version is TlsVersion.TLS_1_3 and suite.authentication is None
        for suite in all_suites()
        if suite.is_tls13
    )


@pytest.mark.parametrize(
    ("names", "lowest"),
    [
        ("SSL_CK_RC4_128_WITH_MD5", TlsVersion.SSL_2_0),
        (
            (
                "TLS_RSA_EXPORT_WITH_RC4_40_MD5 TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA "
                "TLS_PSK_WITH_AES_128_CBC_SHA TLS_KRB5_WITH_RC4_128_SHA"
            ),
            TlsVersion.SSL_3_0,
        ),
        # The MAC's hash, not the PRF's.
        (
            (
                "TLS_PSK_WITH_AES_128_CBC_SHA256 TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA384 "
                "TLS_ECDHE_PSK_WITH_NULL_SHA256"
            ),
            TlsVersion.TLS_1_0,
        ),
        (
            (
                "TLS_DHE_PSK_WITH_CAMELLIA_256_CBC_SHA384 TLS_RSA_PSK_WITH_ARIA_128_CBC_SHA256 "
                "TLS_RSA_PSK_WITH_NULL_SHA384"
            ),
            TlsVersion.TLS_1_0,
        ),
        (
            "TLS_GOSTR341001_WITH_28147_CNT_IMIT OLD_TLS_GOSTR341112_256_WITH_28147_CNT_IMIT",
            TlsVersion.TLS_1_0,
        ),
        (
            (
                "TLS_RSA_WITH_NULL_SHA256 TLS_RSA_WITH_AES_128_CBC_SHA256 "
                "TLS_ECDHE_ECDSA_WITH_ARIA_256_CBC_SHA384"
            ),
            TlsVersion.TLS_1_2,
        ),
        (
            (
                "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA256 TLS_PSK_WITH_AES_128_GCM_SHA256 "
                "TLS_RSA_WITH_AES_256_CCM TLS_PSK_DHE_WITH_AES_128_CCM_8"
            ),
            TlsVersion.TLS_1_2,
        ),
        (
            (
                "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256 TLS_ECCPWD_WITH_AES_256_CCM_SHA384 "
                "TLS_ECJPAKE_WITH_AES_128_CCM_8"
            ),
            TlsVersion.TLS_1_2,
        ),
        (
            "TLS_GOSTR341112_256_WITH_KUZNYECHIK_CTR_OMAC TLS_GOSTR341112_256_WITH_28147_CNT_IMIT",
            TlsVersion.TLS_1_2,
        ),
        (
            (
                "OLD_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 "
                "TLS_CECPQ1_RSA_WITH_AES_256_GCM_SHA384"
            ),
            TlsVersion.TLS_1_2,
        ),
        (
            (
                "TLS_SHA256_SHA256 TLS_SM4_GCM_SM3 TLS_ASCONAEAD128_SHA256 "
                "TLS_GOSTR341112_256_WITH_MAGMA_MGM_S"
            ),
            TlsVersion.TLS_1_3,
        ),
    ],
)
def test_the_lowest_version_that_may_carry_a_suite(names: str, lowest: TlsVersion) -> None:
    assert {name: known(name).lowest_version for name in names.split(" ")} == dict.fromkeys(
        names.split(" "), lowest
    )


def known(name: str) -> CipherSuite:
    suite = suite_by_name(name)
    assert suite is not None, name
    return suite


# Every key exchange that occurs: what proves the server, and whether a client needs a secret.
KEY_EXCHANGES: dict[str, tuple[KeyType | None, bool]] = {
    **dict.fromkeys(
        (
            "TLS_RSA",
            "TLS_RSA_EXPORT",
            "TLS_RSA_EXPORT1024",
            "SSL_RSA_FIPS",
            "SSL_RSA_OLDFIPS",
            "TLS_CECPQ1_RSA",
        ),
        (KeyType.RSA, False),
    ),
    **dict.fromkeys(("TLS_DHE_RSA", "TLS_DHE_RSA_EXPORT", "TLS_ECDHE_RSA"), (KeyType.RSA, False)),
    **dict.fromkeys(
        ("TLS_DHE_DSS", "TLS_DHE_DSS_EXPORT", "TLS_DHE_DSS_EXPORT1024"), (KeyType.DSA, False)
    ),
    **dict.fromkeys(
        ("TLS_ECDHE_ECDSA", "TLS_ECDH_ECDSA", "TLS_ECDH_RSA", "TLS_CECPQ1_ECDSA"),
        (KeyType.ECDSA, False),
    ),
    **dict.fromkeys(
        ("TLS_DH_RSA", "TLS_DH_RSA_EXPORT", "TLS_DH_DSS", "TLS_DH_DSS_EXPORT", "SSL_FORTEZZA_KEA"),
        (KeyType.OTHER, False),
    ),
    **dict.fromkeys(
        ("TLS_GOSTR341094", "TLS_GOSTR341001", "TLS_GOSTR341112_256"), (KeyType.OTHER, False)
    ),
    **dict.fromkeys(
        ("TLS_DH_anon", "TLS_DH_anon_EXPORT", "TLS_ECDH_anon", "TLS_NULL"), (None, False)
    ),
    **dict.fromkeys(
        (
            "TLS_PSK",
            "TLS_DHE_PSK",
            "TLS_PSK_DHE",
            "TLS_ECDHE_PSK",
            "TLS_SRP_SHA",
            "TLS_ECCPWD",
            "TLS_ECJPAKE",
        ),
        (None, True),
    ),
    **dict.fromkeys(("TLS_KRB5", "TLS_KRB5_EXPORT"), (None, True)),
    **dict.fromkeys(("TLS_RSA_PSK", "TLS_SRP_SHA_RSA"), (KeyType.RSA, True)),
    "TLS_SRP_SHA_DSS": (KeyType.DSA, True),
}


def test_every_suite_says_how_the_server_is_proven() -> None:
    """RFC 5246 A.5, RFC 8422 2, RFC 4279, RFC 5054, RFC 2712, RFC 8492, RFC 9189."""
    for suite in all_suites():
        if suite.is_ssl2:
            assert (suite.authentication, suite.needs_shared_secret) == (KeyType.RSA, False)
        elif not suite.is_tls13:
            key_exchange = suite.iana_name.removeprefix("OLD_").partition("_WITH_")[0]
            assert (suite.authentication, suite.needs_shared_secret) == KEY_EXCHANGES[
                key_exchange
            ], suite.iana_name


def test_every_suite_without_security_is_known_as_such() -> None:
    """21 registered suites without encryption and four others, however their names are written."""
    suites = all_suites()
    assert sum(suite.is_null for suite in suites) == 25
    assert {suite.iana_name for suite in suites if "NULL" in suite.iana_name} == {
        suite.iana_name for suite in suites if suite.is_null
    }
    assert {suite.iana_name for suite in suites if "anon" in suite.iana_name} | {
        "TLS_NULL_WITH_NULL_NULL"
    } == {suite.iana_name for suite in suites if suite.is_anonymous}
    assert {suite.iana_name for suite in suites if "EXPORT" in suite.iana_name} == {
        suite.iana_name for suite in suites if suite.is_export
    }
    assert {suite.code_point for suite in suites if suite.is_integrity_only} == {0xC0B4, 0xC0B5}


def test_the_table_agrees_with_this_machines_openssl() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    described = context.get_ciphers()
    assert shutil.which("openssl") is None or described
    lowest = {
        "SSLv3": TlsVersion.SSL_3_0,
        "TLSv1.0": TlsVersion.TLS_1_0,
        "TLSv1.2": TlsVersion.TLS_1_2,
        "TLSv1.3": TlsVersion.TLS_1_3,
    }
    proven_by = {"auth-rsa": KeyType.RSA, "auth-ecdsa": KeyType.ECDSA, "auth-dss": KeyType.DSA}
    for one in described:
        suite = suite_by_name(str(one["name"]))
        assert suite is not None, one["name"]
        assert suite.code_point == one["id"] & 0xFFFF
        assert suite.authentication is proven_by.get(str(one["auth"])), one["name"]
        # Never above what OpenSSL negotiates, and below it only where no version is demanded.
        since = lowest[str(one["protocol"])]
        assert suite.lowest_version is since or (suite.lowest_version, since) == (
            TlsVersion.SSL_3_0,
            TlsVersion.TLS_1_0,
        ), one["name"]
