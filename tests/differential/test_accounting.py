"""Differences in suites and versions need explanations, and explanations need differences."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from otpc_policy.core.facts import Support, TlsVersion
from tests.differential import report
from tests.differential.case import Case, ToolReport
from tests.differential.comparison import Difference, Kind, against_tool, against_us
from tests.differential.explanations import PATH, Explanation, account, load
from tests.differential.group_cases import GroupCase
from tests.differential.group_comparison import GroupResult
from tests.differential.ours import OurReport
from tests.differential.result import Result
from tests.support.loopback import Listener

TLS_1_1, TLS_1_2 = TlsVersion.TLS_1_1, TlsVersion.TLS_1_2
GCM, CBC, NULL = 0xC02F, 0xC027, 0x003B
CASE = Case(
    name="server-1",
    stack="a library",
    serve=lambda: nullcontext(Listener("127.0.0.1", 1)),
    allowed={TLS_1_2: frozenset({GCM, CBC})},
)
KNOWN = {TLS_1_2: frozenset({GCM, CBC, NULL})}


def our_report(yes: set[int], no: set[int], unknown: set[int], **versions: Support) -> OurReport:
    """Return facts about TLS 1.2; other versions are refused unless given by name."""
    supports = {
        version: Support.YES if version is TLS_1_2 else Support.NO for version in TlsVersion
    }
    supports.update({TlsVersion[name]: support for name, support in versions.items()})
    return OurReport(
        yes={TLS_1_2: frozenset(yes)},
        no={TLS_1_2: frozenset(no)},
        unknown={TLS_1_2: frozenset(unknown)},
        versions=supports,
        remarks=(),
        connections=1,
        duration_s=0.1,
    )


def found(differences: object) -> set[tuple[Kind, TlsVersion | None, int | None]]:
    assert not isinstance(differences, str)
    return {(each.kind, each.version, each.suite) for each in differences}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (ToolReport(offered={TLS_1_2: frozenset({GCM, CBC})}, known=KNOWN), set()),
        (
            ToolReport(offered={TLS_1_2: frozenset({GCM})}, known=KNOWN),
            {(Kind.MISSING, TLS_1_2, CBC)},
        ),
        (ToolReport(offered={TLS_1_2: frozenset({GCM})}, known={TLS_1_2: frozenset({GCM})}), set()),
        (
            ToolReport(offered={TLS_1_2: frozenset({GCM, CBC, NULL})}, known=KNOWN),
            {(Kind.EXTRA, TLS_1_2, NULL)},
        ),
        (
            ToolReport(
                offered={TLS_1_2: frozenset({GCM, CBC}), TLS_1_1: frozenset({NULL})}, known=KNOWN
            ),
            {(Kind.EXTRA, TLS_1_1, NULL)},
        ),
        (
            ToolReport(
                offered={TLS_1_2: frozenset({GCM, CBC})},
                known=KNOWN,
                reported_versions=frozenset({TLS_1_2, TLS_1_1}),
            ),
            {(Kind.EXTRA, TLS_1_1, None)},
        ),
        (
            ToolReport(
                offered={TLS_1_2: frozenset({GCM, CBC})}, known=KNOWN, reported_versions=frozenset()
            ),
            {(Kind.MISSING, TLS_1_2, None)},
        ),
        (ToolReport(broken="it crashed"), {(Kind.NO_ANSWER, None, None)}),
    ],
)
def test_a_tool_is_compared_for_what_it_knows(tool: ToolReport, expected: set[object]) -> None:
    assert found(against_tool(CASE, "nmap", tool)) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (our_report({GCM, CBC}, {NULL}, set()), set()),
        (our_report({GCM}, {NULL, CBC}, set()), {(Kind.DENIED, TLS_1_2, CBC)}),
        (our_report({GCM}, {NULL}, {CBC}), {(Kind.UNKNOWN, TLS_1_2, CBC)}),
        (our_report({GCM, CBC}, set(), {NULL}), {(Kind.UNKNOWN, TLS_1_2, NULL)}),
        (our_report({GCM}, {NULL}, set()), {(Kind.MISSING, TLS_1_2, CBC)}),
        (our_report({GCM, CBC, NULL}, set(), set()), {(Kind.EXTRA, TLS_1_2, NULL)}),
        (
            our_report({GCM, CBC}, set(), set(), TLS_1_1=Support.UNKNOWN),
            {(Kind.UNKNOWN, TLS_1_1, None)},
        ),
        (our_report({GCM, CBC}, set(), set(), TLS_1_1=Support.YES), {(Kind.EXTRA, TLS_1_1, None)}),
        (our_report(set(), set(), set(), TLS_1_2=Support.NO), {(Kind.DENIED, TLS_1_2, None)}),
        (our_report(set(), set(), set(), TLS_1_2=Support.UNKNOWN), {(Kind.UNKNOWN, TLS_1_2, None)}),
    ],
)
def test_our_facts_are_compared_for_everything(facts: OurReport, expected: set[object]) -> None:
    assert found(against_us(CASE, facts)) == expected


def explanation(number: str = "N1", **overrides: object) -> Explanation:
    """Return an explanation of suites that nmap misses on servers called server-*."""
    settings: dict[str, object] = {
        "servers": ("server-*",),
        "tool": "nmap",
        "kind": Kind.MISSING,
        "reason": "a reason",
        "source": "a source",
    }
    return Explanation(number=number, **{**settings, **overrides})  # type: ignore[arg-type]


MISSING_CBC = Difference(
    server="server-1", tool="nmap", kind=Kind.MISSING, version=TLS_1_2, suite=CBC
)


@pytest.mark.parametrize(
    ("overrides", "covers"),
    [
        ({}, True),
        ({"servers": ("other-*",)}, False),
        ({"tool": "sslscan"}, False),
        ({"kind": Kind.EXTRA}, False),
        ({"versions": (TLS_1_2,)}, True),
        ({"versions": (TLS_1_1,)}, False),
        ({"suites": ("TLS_ECDHE_*",)}, True),
        ({"suites": ("TLS_DHE_*", "version")}, False),
    ],
)
def test_an_explanation_covers_what_it_names(overrides: dict[str, object], covers: bool) -> None:
    assert explanation(**overrides).covers(MISSING_CBC) is covers  # type: ignore[arg-type]


def test_a_difference_without_explanation_and_an_explanation_without_difference_are_supports() -> (
    None
):
    stale, used = explanation("N2", tool="sslscan"), explanation()
    other = Difference(
        server="elsewhere", tool="nmap", kind=Kind.MISSING, version=TLS_1_2, suite=CBC
    )
    looked_at = frozenset({"server-1 nmap", "server-1 sslscan"})
    accounted = account([MISSING_CBC, other], [used, stale], looked_at)
    assert accounted.explained == ((MISSING_CBC, used),)
    assert accounted.unexplained == (other,)
    assert accounted.stale == (stale,)


def test_an_explanation_of_servers_that_were_not_looked_at_is_not_stale() -> None:
    assert (
        account([], [explanation()], frozenset({"elsewhere nmap", "server-1 sslscan"})).stale == ()
    )


def test_the_table_is_readable_and_every_entry_has_a_reason_and_a_source() -> None:
    assert all(entry.reason and entry.source for entry in load(PATH))


@pytest.mark.parametrize("kind", ["missing", "extra", "denied"])
def test_a_wrong_claim_of_ours_cannot_be_explained(tmp_path: Path, kind: str) -> None:
    table = tmp_path / "explanations.toml"
    table.write_text(
        '[[explanation]]\nnumber = "P1"\nservers = ["*"]\ntool = "otpc-policy"\n'
        f'kind = "{kind}"\nreason = "r"\nsource = "s"\n'
    )
    with pytest.raises(ValueError, match="cannot be explained away"):
        load(table)


def test_two_explanations_cannot_have_one_number(tmp_path: Path) -> None:
    table = tmp_path / "explanations.toml"
    table.write_text(
        2
        * (
            '[[explanation]]\nnumber = "N1"\nservers = ["*"]\ntool = "nmap"\n'
            'kind = "missing"\nreason = "r"\nsource = "s"\n'
        )
    )
    with pytest.raises(ValueError, match="same number"):
        load(table)


def test_the_report_has_a_row_for_each_server_and_nothing_that_depends_on_time() -> None:
    seen = ToolReport(offered={TLS_1_2: frozenset({GCM})}, known=KNOWN)

    groups = GroupResult(
        case=GroupCase(
            name="server-2", stack="another", serve=CASE.serve, groups=frozenset({29, 0x11EC})
        ),
        yes=frozenset({29}),
        no=frozenset({23}),
        further=7,
    )
    assert not groups.is_as_configured

    def text(seconds: float) -> str:
        result = Result(
            case=CASE,
            ours=our_report({GCM, CBC}, {NULL}, set()),
            tools={"nmap": seen},
            seconds={"nmap": seconds},
        )
        accounted = account(result.differences(), [explanation()], frozenset({"server-1 nmap"}))
        return report.text(
            [result], accounted, {"java-1": "java is not installed"}, ["nmap", "testssl"], [groups]
        )

    assert "| server-1 | a library | 1.2 | 2 | 2 | 1 of 2 -1 [N1] |  |" in text(1.0)
    assert (
        "| N1 | nmap | missing, 1 | server-1 | TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 "
        "| a reason | a source |" in text(1.0)
    )
    assert "- java-1: java is not installed" in text(1.0)
    assert "| server-2 | another | X25519MLKEM768, x25519 | x25519 ?11 |" in text(1.0)
    assert text(1.0) == text(2.0)
