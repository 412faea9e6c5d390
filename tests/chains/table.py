"""The table of chain cases for people: `python -m tests.chains.table` writes docs/chain-cases.md."""

from pathlib import Path

from tests.chains.case import ChainCase
from tests.chains.cases import grouped_cases

TABLE = Path(__file__).parents[2] / "docs" / "chain-cases.md"
_HEAD = """# Chain cases

What ValidateCertificate says of {count} chains under the policy `otpc-2024-12`, each with the clause it rests on. The tests make the chains
(`tests/chains`), send them to a running service and hold it to exactly these codes. The roots stand in for Mozilla's, with the same rules.
`openssl verify -x509_strict -purpose sslserver -auth_level 2 -verify_hostname` is asked about the same chains, except where only a pin speaks for
them; it agrees with the decision unless the last column says why not. Written by `python -m tests.chains.table`; do not edit.

Clauses: RFC 5280 unless another is named; BR are the CA/Browser Forum's Baseline Requirements; OTPC is the policy's source.
"""


def table() -> str:
    """Return the table in Markdown."""
    groups = grouped_cases()
    parts = [_HEAD.format(count=sum(map(len, groups.values())))]
    for heading, cases in groups.items():
        parts.append(f"\n## {heading}\n\n| chain | clause | decision | codes (CERTIFICATE_ left out) | where OpenSSL differs |\n|---|---|---|---|---|\n")
        parts.extend(_row(case) for case in cases)
    return "".join(parts)


def _row(case: ChainCase) -> str:
    codes = ", ".join(sorted(code.removeprefix("CERTIFICATE_") for code in case.codes))
    opinion = case.openssl or ("" if case.has_second_opinion else "not asked")
    return f"| {case.name} | {case.clause.removeprefix('RFC 5280 ')} | {case.decision} | {codes} | {opinion} |\n"


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(), encoding="utf-8")
