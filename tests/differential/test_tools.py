"""What the other scanners print is read as it is meant."""

import json
from pathlib import Path

import pytest

from otpc_policy.core.facts import TlsVersion
from tests.differential.tools import nmap, sslscan, sslyze_scan, testssl
from tests.support.requirements import require

TLS_1_0, TLS_1_2, TLS_1_3 = TlsVersion.TLS_1_0, TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
_NMAP = """<nmaprun><host><ports><port><script id="ssl-enum-ciphers" output="">
<table key="TLSv1.2"><table key="ciphers">
<table><elem key="kex_info">secp256r1</elem>
<elem key="name">TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256</elem><elem key="strength">A</elem></table>
</table><table key="compressors"><elem>NULL</elem></table>
<elem key="cipher preference">client</elem></table>
<table key="TLSv1.3"><table key="ciphers"><table>
<elem key="name">TLS_AKE_WITH_AES_128_GCM_SHA256</elem></table></table></table>
<elem key="least strength">A</elem></script></port></ports></host></nmaprun>"""
_SSLSCAN = """<document><ssltest>
<protocol type="tls" version="1.0" enabled="0" />
<protocol type="tls" version="1.2" enabled="1" />
<cipher status="preferred" sslversion="TLSv1.2" bits="128"
 cipher="ECDHE-RSA-AES128-GCM-SHA256" id="0xC02F" strength="strong" />
<cipher status="accepted" sslversion="TLSv1.2" bits="128"
 cipher="AES128-SHA" id="0x002F" strength="weak" /></ssltest></document>"""
_TESTSSL = [
    {"id": "TLS1", "severity": "INFO", "finding": "not offered"},
    {"id": "TLS1_2", "severity": "OK", "finding": "offered"},
    {"id": "TLS1_3", "severity": "OK", "finding": "offered with final"},
    {"id": "cipher-tls1_2_xc02f", "severity": "OK", "finding": "..."},
    {"id": "cipher-tls1_3_x1301", "severity": "OK", "finding": "..."},
    {"id": "cipher_order_TLSv1_2", "severity": "OK", "finding": "..."},
]


def test_nmap(tmp_path: Path) -> None:
    require("nmap")
    (tmp_path / "nmap.xml").write_text(_NMAP)
    seen = nmap.read(tmp_path / "nmap.xml")
    assert seen.offered == {TLS_1_2: {0xC02F}, TLS_1_3: {0x1301}}
    assert 0xC02F in seen.known[TLS_1_0]
    assert seen.known[TLS_1_3] >= {0x1301, 0x1302, 0x1303}
    assert not seen.known[TLS_1_2] & {0x1301}


def test_sslscan(tmp_path: Path) -> None:
    require("openssl")
    (tmp_path / "sslscan.xml").write_text(_SSLSCAN)
    seen = sslscan.read(tmp_path / "sslscan.xml")
    assert seen.offered == {TLS_1_2: {0xC02F, 0x002F}}
    assert seen.reported_versions == frozenset({TLS_1_2})
    assert 0xC02F not in seen.known[TLS_1_0]
    assert 0x002F in seen.known[TLS_1_0]


def test_testssl() -> None:
    require("testssl")
    seen = testssl.read(_TESTSSL)
    assert seen.offered == {TLS_1_2: {0xC02F}, TLS_1_3: {0x1301}}
    assert seen.reported_versions == frozenset({TLS_1_2, TLS_1_3})
    assert 0x010080 in seen.known[TlsVersion.SSL_2_0]
    assert (
        testssl.read(
            [{"id": "scanProblem", "severity": "FATAL", "finding": "no connection"}]
        ).broken
        == "no connection"
    )


def test_sslyze() -> None:
    sides = {
        "accepted": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
        "rejected": ["TLS_RSA_WITH_AES_128_CBC_SHA"],
    }
    seen = sslyze_scan.read(
        "a line of a library\n"
        + json.dumps(
            {
                "TLS_1_2": sides,
                "TLS_1_0": {"accepted": [], "rejected": ["TLS_RSA_WITH_AES_128_CBC_SHA"]},
            }
        )
    )
    assert seen.offered == {TLS_1_2: {0xC02F}}
    assert seen.known == {TLS_1_2: {0xC02F, 0x002F}, TLS_1_0: {0x002F}}
    assert sslyze_scan.read(json.dumps({"broken": "no connection"})).broken == "no connection"
    with pytest.raises(AssertionError, match="TLS_OF_NOBODY"):
        sslyze_scan.read(json.dumps({"TLS_1_2": {"accepted": ["TLS_OF_NOBODY"], "rejected": []}}))
