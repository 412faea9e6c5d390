"""NIST's PKITS, sections 4.4, 4.14 and 4.15, as far as they are about reading one list.

Its lists come from a directory; here each certificate is judged by the list of its issuer, as if
its distribution point had served that. NIST's answers are those of 2011-04-14.
"""

from datetime import UTC, datetime
from pathlib import Path

import cryptography_vectors
import pytest

from otpc_policy.core.fetching import HttpUrl
from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.crl import (
    CrlPoint,
    CrlSubject,
    UnusableCrlError,
    judge_statement,
    read_crl,
)
from otpc_policy.pki.judgement import CrlStatus

FOLDER = Path(str(cryptography_vectors.__file__)).parent / "x509" / "PKITS_data"
AT = datetime(2015, 1, 1, tzinfo=UTC)
URL = "http://crl.example/pkits.crl"
GOOD, REVOKED, UNVERIFIED = CrlStatus.GOOD, CrlStatus.REVOKED, CrlStatus.UNVERIFIED


def status(certificate: str, issuer: str, crl: str) -> CrlStatus:
    leaf = decode_certificate((FOLDER / "certs" / f"{certificate}.crt").read_bytes())
    authority = decode_certificate((FOLDER / "certs" / f"{issuer}.crt").read_bytes())
    body = (FOLDER / "crls" / f"{crl}.crl").read_bytes()
    point = CrlPoint(HttpUrl.parse(URL), frozenset({URL}))
    try:
        found = read_crl(body, authority)
    except UnusableCrlError:
        return UNVERIFIED
    return judge_statement(found.says_of(CrlSubject.of(leaf, (point,)), point), AT).status


@pytest.mark.parametrize(
    ("certificate", "authority", "expected"),
    [
        ("ValidCertificatePathTest1EE", "GoodCA", GOOD),
        ("RevokedsubCACert", "GoodCA", REVOKED),
        ("InvalidRevokedCATest2EE", "RevokedsubCA", GOOD),
        ("InvalidRevokedEETest3EE", "GoodCA", REVOKED),
        ("InvalidBadCRLSignatureTest4EE", "BadCRLSignatureCA", UNVERIFIED),
        ("InvalidBadCRLIssuerNameTest5EE", "BadCRLIssuerNameCA", UNVERIFIED),
        ("InvalidWrongCRLTest6EE", "WrongCRLCA", UNVERIFIED),
        ("InvalidUnknownCRLEntryExtensionTest8EE", "UnknownCRLEntryExtensionCA", UNVERIFIED),
        ("InvalidUnknownCRLExtensionTest9EE", "UnknownCRLExtensionCA", UNVERIFIED),
        ("InvalidUnknownCRLExtensionTest10EE", "UnknownCRLExtensionCA", UNVERIFIED),
        ("InvalidOldCRLnextUpdateTest11EE", "OldCRLnextUpdateCA", UNVERIFIED),
        ("Invalidpre2000CRLnextUpdateTest12EE", "pre2000CRLnextUpdateCA", UNVERIFIED),
        ("ValidGeneralizedTimeCRLnextUpdateTest13EE", "GeneralizedTimeCRLnextUpdateCA", GOOD),
        ("ValidNegativeSerialNumberTest14EE", "NegativeSerialNumberCA", GOOD),
        ("InvalidNegativeSerialNumberTest15EE", "NegativeSerialNumberCA", REVOKED),
        ("ValidLongSerialNumberTest16EE", "LongSerialNumberCA", GOOD),
        ("ValidLongSerialNumberTest17EE", "LongSerialNumberCA", GOOD),
        ("InvalidLongSerialNumberTest18EE", "LongSerialNumberCA", REVOKED),
        ("ValidNoissuingDistributionPointTest10EE", "NoissuingDistributionPointCA", GOOD),
        ("InvalidonlyContainsUserCertsTest11EE", "onlyContainsUserCertsCA", UNVERIFIED),
        ("InvalidonlyContainsCACertsTest12EE", "onlyContainsCACertsCA", UNVERIFIED),
        ("ValidonlyContainsCACertsTest13EE", "onlyContainsCACertsCA", GOOD),
        ("InvalidonlyContainsAttributeCertsTest14EE", "onlyContainsAttributeCertsCA", UNVERIFIED),
        (
            "InvalidkeyUsageCriticalcRLSignFalseTest4EE",
            "keyUsageCriticalcRLSignFalseCA",
            UNVERIFIED,
        ),
        (
            "InvalidkeyUsageNotCriticalcRLSignFalseTest5EE",
            "keyUsageNotCriticalcRLSignFalseCA",
            UNVERIFIED,
        ),
        ("InvaliddeltaCRLIndicatorNoBaseTest1EE", "deltaCRLIndicatorNoBaseCA", UNVERIFIED),
    ],
)
def test_one_list(certificate: str, authority: str, expected: CrlStatus) -> None:
    issuer, crl = f"{authority}Cert", f"{authority}CRL"
    assert status(certificate, issuer, crl) is expected


@pytest.mark.parametrize(
    ("certificate", "crl"),
    [
        ("InvaliddistributionPointTest2EE", "distributionPoint1CACRL"),
        ("InvaliddistributionPointTest3EE", "distributionPoint1CACRL"),
        ("ValiddistributionPointTest1EE", "distributionPoint1CACRL"),
    ],
)
def test_a_list_of_a_place_without_a_url_is_about_another_place(certificate: str, crl: str) -> None:
    assert status(certificate, "distributionPoint1CACert", crl) is UNVERIFIED


@pytest.mark.parametrize(
    ("certificate", "authority", "crl"),
    [
        ("InvalidonlySomeReasonsTest15EE", "onlySomeReasonsCA1", "onlySomeReasonsCA1compromiseCRL"),
        ("InvalidonlySomeReasonsTest16EE", "onlySomeReasonsCA1", "onlySomeReasonsCA1compromiseCRL"),
        ("InvalidonlySomeReasonsTest17EE", "onlySomeReasonsCA2", "onlySomeReasonsCA2CRL1"),
        ("InvalidonlySomeReasonsTest17EE", "onlySomeReasonsCA2", "onlySomeReasonsCA2CRL2"),
    ],
)
def test_a_list_of_some_reasons_never_clears(certificate: str, authority: str, crl: str) -> None:
    assert status(certificate, f"{authority}Cert", crl) is not GOOD
