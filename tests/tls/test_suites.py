"""Cipher suites: numbers, names and the properties that rules rest on."""

import shutil
import ssl

import pytest

from otpc_policy.facts import KeyType
from otpc_policy.tls.suites import all_suites, suite_by_code_point, suite_by_name


@pytest.mark.parametrize(
    ("code_point", "iana_name", "openssl_name", "authentication"),
    [
        (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", KeyType.ECDSA),
        (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", KeyType.RSA),
        (0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", KeyType.ECDSA),
        (0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", KeyType.RSA),
        (0xC023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256", KeyType.ECDSA),
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
def test_numbers_names_and_authentication(code_point: int, iana_name: str, openssl_name: str, authentication: KeyType | None) -> None:
    suite = suite_by_code_point(code_point)
    assert suite is not None
    assert (suite.iana_name, suite.openssl_name, suite.authentication) == (iana_name, openssl_name, authentication)
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
    tls13 = {suite.code_point for suite in all_suites() if suite.is_tls13}
    assert tls13 == {*range(0x1301, 0x1308), 0xC0B4, 0xC0B5, 0x00C6, 0x00C7, 0xC103, 0xC104, 0xC105, 0xC106}


def test_a_name_shared_with_ssl_2_means_the_later_suite_and_old_names_are_known() -> None:
    shared, renamed = suite_by_name("RC4-MD5"), suite_by_name("DHE-RSA-DES-CBC3-SHA")
    assert shared is not None
    assert shared.iana_name == "TLS_RSA_WITH_RC4_128_MD5"
    assert renamed is suite_by_name("EDH-RSA-DES-CBC3-SHA") is suite_by_code_point(0x0016)
    assert suite_by_code_point(0x00FF) is None
    assert suite_by_name("TLS_FALLBACK_SCSV") is None


def test_code_points_and_iana_names_are_unique() -> None:
    suites = all_suites()
    assert len({suite.iana_name for suite in suites}) == len(suites) > 250
    assert [suite.code_point for suite in suites] == sorted({suite.code_point for suite in suites})


def test_the_table_agrees_with_this_machines_openssl() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    described = context.get_ciphers()
    assert shutil.which("openssl") is None or described
    for one in described:
        suite = suite_by_name(str(one["name"]))
        assert suite is not None, one["name"]
        assert suite.code_point == one["id"] & 0xFFFF
