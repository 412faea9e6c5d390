"""check --partner asks about every endpoint of an entry; check --refresh measures anew."""

from pathlib import Path

import pytest

from otpc_policy.cli.status import ExitStatus, worst_status
from tests.cli.conftest import Stage
from tests.cli.running import Run
from tests.cli.serving import configuration, serving

ALLOW, DENY, INDETERMINATE = ExitStatus.ALLOW, ExitStatus.DENY, ExitStatus.INDETERMINATE


@pytest.fixture
def config(stage: Stage, tmp_path: Path) -> Path:
    """A configuration with three partners: good, mixed (one of two is denied), wide (a pattern)."""
    good, pinned, bad = (
        stage.partners[name] for name in ("compliant", "self-signed-trusted", "expired")
    )
    entries = {
        "good": [f"{pinned.part.host}:{pinned.port}"],
        "mixed": [f"{one.part.host}:{one.port}" for one in (good, bad)],
        "wide": ["*.wide.partner.test:443"],
    }
    (tmp_path / "partners").mkdir()
    for name, endpoints in entries.items():
        (tmp_path / "partners" / f"{name}.toml").write_text(
            f'id = "{name}"\nowner = "onboarding@example.com"\nendpoints = {endpoints}\n'
        )
    return configuration(
        tmp_path,
        'partners_dir = "partners"',
        'allow_networks = ["127.0.0.0/8"]',
        "minimum_refresh_interval_s = 0",
        "[static_hosts]",
        *(f'"{one.part.host}" = "{one.address}"' for one in (good, pinned, bad)),
        f'[[trust]]\nhosts = ["*.partner.test"]\nanchor_file = "{stage.anchor_file}"',
        f'[[trust]]\nhosts = ["{pinned.part.host}"]\ncertificate_sha256 = "{pinned.pin}"',
    )


@pytest.fixture
def known(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTPC_POLICY_CONFIG", str(config))


@pytest.mark.usefixtures("known")
def test_every_endpoint_of_an_entry_is_judged_and_the_worst_verdict_counts(run: Run) -> None:
    good = run("check", "--partner", "good")
    assert good.status == 0, good.stderr
    (only,) = good.json["results"]
    assert only["response"]["decision"] == "DECISION_ALLOW"
    mixed = run("check", "--partner", "mixed")
    assert mixed.status == 1
    decisions = [result["response"]["decision"] for result in mixed.json["results"]]
    assert decisions == ["DECISION_ALLOW", "DECISION_DENY"]
    table = run("check", "--partner", "mixed", "--format", "table")
    assert table.status == 1
    assert "compliant.partner.test" in table.stdout
    assert "expired.partner.test" in table.stdout


@pytest.mark.usefixtures("known")
def test_a_pattern_names_no_endpoint_so_its_partner_is_not_allowed(run: Run) -> None:
    wide = run("check", "--partner", "wide")
    assert (wide.status, wide.json["results"]) == (3, [])
    assert "*.wide.partner.test:443 is a pattern" in wide.stderr


def test_a_service_is_asked_about_each_endpoint_and_measures_anew_if_told(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(config) as port:
        monkeypatch.setenv("OTPC_POLICY_CONFIG", str(config))
        ask = ("check", "--partner", "good", "--server", f"localhost:{port}")

        def source(*options: str) -> str:
            done = run(*ask, *options)
            assert done.status == 0
            (result,) = done.json["results"]
            return str(result["response"]["resultInfo"]["source"])

        assert source() == "RESULT_SOURCE_MEASURED"
        assert source() == "RESULT_SOURCE_CACHE"
        assert source("--refresh") == "RESULT_SOURCE_MEASURED"


@pytest.mark.usefixtures("known")
def test_an_endpoint_is_refreshed_in_this_process_too(run: Run, stage: Stage) -> None:
    good = stage.partners["compliant"]
    done = run("check", f"{good.part.host}:{good.port}", "--refresh")
    assert (done.status, done.json["resultInfo"]["source"]) == (0, "RESULT_SOURCE_MEASURED")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("arguments", "lesson"),
    [
        (["--partner", "nobody"], "has the id 'nobody': good, mixed, wide"),
        (["pay.partner.test", "--partner", "good"], "leave out HOST"),
        (["--partner", "good", "--server-name", "other.test"], "about a single endpoint"),
        (["--partner", "good", "--observed-leaf", "00" * 32], "about a single endpoint"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_question_is_refused(run: Run, arguments: list[str], lesson: str) -> None:
    done = run("check", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert lesson in " ".join(done.stderr.split())


def test_a_partner_needs_the_entries(run: Run) -> None:
    done = run("check", "--partner", "good")
    assert done.status == 2
    assert "partners_dir" in done.stderr


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ([ALLOW, ALLOW], ALLOW),
        ([ALLOW, INDETERMINATE], INDETERMINATE),
        ([INDETERMINATE, DENY, ALLOW], DENY),
        ([], INDETERMINATE),
    ],
)
def test_deny_is_worse_than_unknown_and_nothing_judged_is_unknown(
    statuses: list[ExitStatus], worst: ExitStatus
) -> None:
    assert worst_status(statuses) is worst
