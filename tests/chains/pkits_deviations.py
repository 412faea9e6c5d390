"""Where our answers differ from what PKITS expects, one by one."""

_POLICIES = (
    "Nothing here follows certificate policies. What is critical about them is refused; web"
    " servers' authorities do not use it."
)
_POLICIES_NOT_CRITICAL = (
    "Nothing here follows certificate policies, and the demand for one is not marked critical"
    " (RFC 5280 4.2.1.11: MUST be)."
)
_CRL = "No CRL is fetched or read; revocation is seen in a stapled OCSP response only."
_REVOKED = "The certificate is revoked by a CRL, and no CRL is read."
_KINDS = (
    "cryptography knows constraints on DNS names and addresses only, and refuses names of a kind"
    " that it cannot compare with them."
)
_SELF_ISSUED = (
    "cryptography counts self-issued certificates towards pathLen (RFC 5280 4.2.1.9: they do not"
    " count)."
)
_LEAF_IS_CA = (
    "The certificate of the server is that of an authority, which the Baseline Requirements forbid."
)
_DATES = "A date before 2050 as GeneralizedTime (RFC 5280 4.1.2.5: MUST be UTCTime)."
_DSA = "DSA: cryptography verifies no such signature on certificates, and web servers have none."
_NAMES = (
    "Names are compared byte by byte, which the Baseline Requirements (7.1.4.1) prescribe; case,"
    " spaces and string types differ here."
)
_BROKEN = (
    "The signature, or the name of the issuer, is broken: reissued it would be whole. As"
    " published it is refused."
)

# NIST: valid. We: DENY, under any kind of anchor.
DENIED = {
    **dict.fromkeys(
        [
            "OverlappingPoliciesTest6",
            "ValidPolicyMappingTest1",
            "ValidPolicyMappingTest3",
            "ValidPolicyMappingTest5",
            "ValidPolicyMappingTest6",
            "ValidPolicyMappingTest9",
            "ValidPolicyMappingTest11",
            "ValidPolicyMappingTest12",
            "ValidPolicyMappingTest13",
            "ValidPolicyMappingTest14",
            "ValidSelfIssuedinhibitAnyPolicyTest7",
            "ValidSelfIssuedinhibitAnyPolicyTest9",
            "ValidSelfIssuedinhibitPolicyMappingTest7",
            "ValidSelfIssuedrequireExplicitPolicyTest6",
            "ValidinhibitAnyPolicyTest2",
            "ValidinhibitPolicyMappingTest2",
            "ValidinhibitPolicyMappingTest4",
            "ValidrequireExplicitPolicyTest1",
            "ValidrequireExplicitPolicyTest2",
            "ValidrequireExplicitPolicyTest4",
            "inhibitAnyPolicyTest3",
        ],
        _POLICIES,
    ),
    **dict.fromkeys(
        [
            "ValidDNandRFC822nameConstraintsTest27",
            "ValidDNnameConstraintsTest5",
            "ValidRFC822nameConstraintsTest21",
            "ValidRFC822nameConstraintsTest23",
            "ValidRFC822nameConstraintsTest25",
            "ValidURInameConstraintsTest34",
            "ValidURInameConstraintsTest36",
        ],
        _KINDS,
    ),
    "ValidGeneralizedTimenotBeforeDateTest4": _DATES,
    "ValidSelfIssuedpathLenConstraintTest15": _SELF_ISSUED,
    "ValidSelfIssuedpathLenConstraintTest17": _SELF_ISSUED,
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
            "DifferentPoliciesTest4",
            "DifferentPoliciesTest5",
            "DifferentPoliciesTest9",
            "DifferentPoliciesTest12",
        ],
        _POLICIES_NOT_CRITICAL,
    ),
    **dict.fromkeys(
        [
            "InvalidBasicSelfIssuedCRLSigningKeyTest7",
            "InvalidBasicSelfIssuedNewWithOldTest5",
            "InvalidBasicSelfIssuedOldWithNewTest2",
            "InvalidLongSerialNumberTest18",
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
    "InvalidDNandRFC822nameConstraintsTest29": (
        "The address that is not permitted stands in the subject; that counts without a"
        " subjectAltName only, and ours was added (RFC 5280 4.2.1.10)."
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
    "ValidNameChainingCapitalizationTest5": _NAMES,
    "ValidNameChainingWhitespaceTest3": _NAMES,
    "ValidNameChainingWhitespaceTest4": _NAMES,
    "ValidRolloverfromPrintableStringtoUTF8StringTest10": _NAMES,
    "ValidUTF8StringCaseInsensitiveMatchTest11": _NAMES,
}

# The certificates of servers in the suite that have a DNS name.
PUBLISHED_WITH_A_NAME = ("ValidDNSnameConstraintsTest30", "ValidDNSnameConstraintsTest32")
