"""Where our answers differ from what PKITS expects, one by one."""

_CRL = "A chain in hand is judged without CRLs: the service fetches them, and only those of leaves."
_REVOKED = "The certificate is revoked by a CRL, and a chain in hand is judged without CRLs."
_LEAF_IS_CA = (
    "The certificate of the server is that of an authority, which the Baseline Requirements forbid."
)
_DSA = "DSA: nothing here verifies such a signature, and web servers have none."
_BROKEN = (
    "The signature, or the name of the issuer, is broken: reissued it would be whole. As"
    " published it is refused."
)

# NIST: valid. We: DENY, under any kind of anchor.
DENIED = {
    "OverlappingPoliciesTest6": _LEAF_IS_CA,
    "ValidonlyContainsCACertsTest13": _LEAF_IS_CA,
    "ValidpathLenConstraintTest8": _LEAF_IS_CA,
    "ValidpathLenConstraintTest14": _LEAF_IS_CA,
}

# NIST: valid. We: DENY under public roots alone.
DENIED_UNDER_PUBLIC_ROOTS = {
    "ValidDNnameConstraintsTest14": (
        "The subject is empty and the subjectAltName not critical (RFC 5280 4.2.1.6: MUST be)."
    ),
    "ValidbasicConstraintsNotCriticalTest4": (
        "The authority's basicConstraints is not critical (RFC 5280 4.2.1.9: MUST be)."
    ),
}

# NIST: invalid. We: ALLOW.
ALLOWED = {
    **dict.fromkeys(
        [
            "InvalidBasicSelfIssuedCRLSigningKeyTest7",
            "InvalidBasicSelfIssuedNewWithOldTest5",
            "InvalidBasicSelfIssuedOldWithNewTest2",
            "InvalidLongSerialNumberTest18",
            "InvalidNegativeSerialNumberTest15",
            "InvalidRevokedCATest2",
            "InvalidRevokedEETest3",
        ],
        _REVOKED,
    ),
    **dict.fromkeys(
        [
            "InvalidBadCRLIssuerNameTest5",
            "InvalidBadCRLSignatureTest4",
            "InvalidIDPwithindirectCRLTest23",
            "InvalidIDPwithindirectCRLTest26",
            "InvalidMissingCRLTest1",
            "InvalidOldCRLnextUpdateTest11",
            "InvalidSeparateCertificateandCRLKeysTest20",
            "InvalidSeparateCertificateandCRLKeysTest21",
            "InvalidUnknownCRLEntryExtensionTest8",
            "InvalidUnknownCRLExtensionTest9",
            "InvalidUnknownCRLExtensionTest10",
            "InvalidWrongCRLTest6",
            "InvalidcRLIssuerTest27",
            "InvalidcRLIssuerTest31",
            "InvalidcRLIssuerTest32",
            "InvalidcRLIssuerTest34",
            "InvalidcRLIssuerTest35",
            "InvaliddeltaCRLIndicatorNoBaseTest1",
            "InvaliddeltaCRLTest3",
            "InvaliddeltaCRLTest4",
            "InvaliddeltaCRLTest6",
            "InvaliddeltaCRLTest9",
            "InvaliddeltaCRLTest10",
            "InvaliddistributionPointTest2",
            "InvaliddistributionPointTest3",
            "InvaliddistributionPointTest6",
            "InvaliddistributionPointTest8",
            "InvaliddistributionPointTest9",
            "InvalidkeyUsageCriticalcRLSignFalseTest4",
            "InvalidkeyUsageNotCriticalcRLSignFalseTest5",
            "InvalidonlyContainsAttributeCertsTest14",
            "InvalidonlyContainsCACertsTest12",
            "InvalidonlySomeReasonsTest15",
            "InvalidonlySomeReasonsTest16",
            "InvalidonlySomeReasonsTest17",
            "InvalidonlySomeReasonsTest20",
            "InvalidonlySomeReasonsTest21",
            "Invalidpre2000CRLnextUpdateTest12",
        ],
        _CRL,
    ),
}

# Judged as published only.
NOT_REISSUED = {
    "InvalidDSASignatureTest6": _DSA,
    "ValidDSAParameterInheritanceTest5": _DSA,
    "ValidDSASignaturesTest4": _DSA,
    "InvalidEESignatureTest3": _BROKEN,
    "InvalidNameChainingOrderTest2": _BROKEN,
    "InvalidNameChainingTest1": _BROKEN,
}

# The certificates of servers in the suite that have a DNS name.
PUBLISHED_WITH_A_NAME = ("ValidDNSnameConstraintsTest30", "ValidDNSnameConstraintsTest32")
