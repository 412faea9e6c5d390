"""The table of chain cases: `python -m tests.chains.table` writes docs/chain-cases.md."""

from pathlib import Path

from tests.chains.case import ChainCase
from tests.chains.cases import grouped_cases
from tests.chains.pkits import pkits_tests
from tests.chains.pkits_deviations import ALLOWED, DENIED, DENIED_UNDER_PUBLIC_ROOTS, NOT_REISSUED

TABLE = Path(__file__).parents[2] / "docs" / "chain-cases.md"
PKITS_TABLE = TABLE.with_name("pkits.md")
_PKITS_HEAD = """# PKITS

NIST's Public Key Interoperability Test Suite (PKITS 1.0.1, as `cryptography-vectors` packs it) has
{count} tests; {valid} of them are valid paths with its default settings. What NIST expects is in
the tests' names, and for 4.8 and 4.12.3 in its document, as NSS runs it
(`security/nss/tests/libpkix/pkix_tests/top/runTests.sh`). The servers' certificates in it have no
DNS name, so nothing of today's web trusts them: as published, only the two that have one are
allowed. So each is reissued, the same in every part but with a DNS name, by the key of the same
authority, and judged under the suite's anchor, once by the rules for Mozilla's roots and once as an
anchor of the request. All answers are those of NIST except these. Written by `python -m
tests.chains.table`; do not edit.
"""
_HEAD = """# Chain cases

What ValidateCertificate says of {count} chains under the policy `otpc-2024-12`, each with the
clause it rests on. The tests make the chains (`tests/chains`), send them to a running service and
hold it to exactly these codes. The roots stand in for Mozilla's, with the same rules. `openssl
verify -x509_strict -purpose sslserver -auth_level 2 -verify_hostname` is asked about the same
chains, except where only a pin speaks for them; it agrees with the decision unless the last column
says why not. Written by `python -m tests.chains.table`; do not edit.

Clauses: RFC 5280 unless another is named; BR are the CA/Browser Forum's Baseline Requirements; OTPC
is the policy's source.
"""


def table() -> str:
    """Return the table in Markdown."""
    groups = grouped_cases()
    parts = [_HEAD.format(count=sum(map(len, groups.values())))]
    for heading, cases in groups.items():
        parts.append(
            f"\n## {heading}\n\n| chain | clause | decision | codes (CERTIFICATE_ left out) |"
            " where OpenSSL differs |\n|---|---|---|---|---|\n"
        )
        parts.extend(_row(case) for case in cases)
    return "".join(parts)


def _row(case: ChainCase) -> str:
    codes = ", ".join(sorted(code.removeprefix("CERTIFICATE_") for code in case.codes))
    opinion = case.openssl or ("" if case.has_second_opinion else "not asked")
    return (
        f"| {case.name} | {case.clause.removeprefix('RFC 5280 ')} | {case.decision} | {codes} |"
        f" {opinion} |\n"
    )


def pkits_table() -> str:
    """Return the deviations from PKITS in Markdown."""
    tests = {test.name: test for test in pkits_tests()}
    groups = {
        "Valid for NIST, denied here": DENIED,
        "Valid for NIST, denied here under public roots": DENIED_UNDER_PUBLIC_ROOTS,
        "Invalid for NIST, allowed here": ALLOWED,
        "Judged as published only": NOT_REISSUED,
    }
    parts = [
        _PKITS_HEAD.format(count=len(tests), valid=sum(test.is_valid for test in tests.values()))
    ]
    for heading, deviations in groups.items():
        parts.append(f"\n## {heading} ({len(deviations)})\n\n| test | reason |\n|---|---|\n")
        parts.extend(f"| {name} | {reason} |\n" for name, reason in deviations.items())
    return "".join(parts)


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(), encoding="utf-8")
    PKITS_TABLE.write_text(pkits_table(), encoding="utf-8")
