"""otpc-policy policy lint: every problem with file and line, and every end before it comes."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.support.signing import now

PARTNER = 'id = "{0}"\nowner = "onboarding@example.com"\nendpoints = ["{0}.example"]\n'


def second(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def trusted(ends: datetime) -> str:
    return f"""\
[[trusted]]
certificate_sha256 = "{"ab" * 32}"
note = "agreed"
ends = {ends.isoformat()}
"""


def waiver(ends: datetime) -> str:
    return f"""\
[[waivers]]
code = "CERTIFICATE_EXPIRED"
reason = "change window"
owner = "onboarding@example.com"
ends = {ends.isoformat()}
"""


@pytest.fixture
def partners(tmp_path: Path) -> Path:
    folder = tmp_path / "partners"
    folder.mkdir()
    (folder / "good.toml").write_text(PARTNER.format("good") + trusted(now() + timedelta(days=90)))
    return folder


def test_a_folder_of_good_partners_is_good(run: Run, partners: Path) -> None:
    done = run("policy", "lint", partners)
    assert (done.status, done.stdout, done.stderr) == (0, "", f"ok: {partners}\n")


def test_problems_of_a_folder_are_told_with_file_and_line(run: Run, partners: Path) -> None:
    (partners / "bad.toml").write_text(PARTNER.format("bad") + "\nsurprise = 1\n")
    (partners / "same.toml").write_text(
        PARTNER.format("good").replace('id = "good"', 'id = "same"')
    )
    done = run("policy", "lint", partners)
    known = "id, owner, endpoints, policy, server_names, client_auth, trusted, waivers"
    assert done.status == 1
    assert done.stdout.splitlines() == [
        f"{partners}/bad.toml:5: surprise: unknown key; expected one of {known}",
        (
            f"{partners}/same.toml:3: good.example:443 overlaps good.example:443 at"
            f" {partners}/good.toml:3; an endpoint belongs to one pattern of one partner"
        ),
    ]


def test_what_has_ended_or_ends_within_a_month_is_noted_and_fails_if_strict(
    run: Run, partners: Path
) -> None:
    ended, soon = now() - timedelta(days=1), now() + timedelta(days=29)
    (partners / "ending.toml").write_text(PARTNER.format("ending") + trusted(ended) + waiver(soon))
    done = run("policy", "lint", partners)
    assert done.status == 0
    place = f"note: {partners}/ending.toml"
    assert done.stdout.splitlines() == [
        f"{place}:12: partner ending: the waiver of CERTIFICATE_EXPIRED ends at {second(soon)}",
        f"{place}:7: partner ending: the pin of a certificate (agreed) ended at {second(ended)}",
    ]
    assert run("policy", "lint", "--strict", partners).status == 1


def test_an_empty_folder_is_a_problem(run: Run, tmp_path: Path) -> None:
    done = run("policy", "lint", tmp_path)
    assert (done.status, "contains no documents" in done.stdout) == (1, True)


def test_without_a_path_everything_is_checked_that_the_settings_name(
    run: Run, partners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (partners / "asking.toml").write_text(
        PARTNER.format("asking") + 'policy = "mutual"\nclient_auth = "required"\n'
    )
    monkeypatch.setenv("OTPC_POLICY_PARTNERS_DIR", str(partners))
    unknown = run("policy", "lint")
    assert (unknown.status, unknown.stdout.splitlines()) == (
        1,
        [
            (
                f"{partners}/asking.toml:4: policy: no policy is named 'mutual'; expected one of"
                " bsi-tr-02102-2, mozilla-intermediate, mozilla-modern, nist-800-52r2,"
                " otpc-2024-12, otpc-2024-12-strict"
            )
        ],
    )
    policy = tmp_path / "mutual.toml"
    policy.write_text('name = "mutual"\nextends = "otpc-2024-12"\n')
    monkeypatch.setenv("OTPC_POLICY_POLICY_FILES", str(policy))
    silent = run("policy", "lint", "--strict")
    assert silent.status == 0
    (remark,) = silent.stdout.splitlines()
    assert remark.startswith(
        f"note: {partners}/asking.toml:5: partner asking: client_auth has no effect under"
        " otpc-2024-12 and mutual: "
    )
    policy.write_text(
        'name = "mutual"\nextends = "otpc-2024-12"\n'
        'rules.client_auth.expected.effects.CLIENT_AUTH_MISSING = "deny"\n'
    )
    assert run("policy", "lint").stdout == ""


def test_the_minimum_policy_is_shown_and_noted_where_it_denies_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = run("policy", "lint")
    assert (usual.status, usual.stdout) == (0, "")
    assert "; minimum policy otpc-2024-12\n" in usual.stderr
    trial = tmp_path / "trial.toml"
    trial.write_text('name = "trial"\nextends = "otpc-2024-12"\nenforcing = false\n')
    monkeypatch.setenv("OTPC_POLICY_POLICY_FILES", str(trial))
    monkeypatch.setenv("OTPC_POLICY_MINIMUM_POLICY", "trial")
    lenient = run("policy", "lint")
    assert lenient.stdout.startswith("note: minimum_policy: trial is report-only")
    monkeypatch.delenv("OTPC_POLICY_MINIMUM_POLICY")
    monkeypatch.setenv("OTPC_POLICY_DANGEROUSLY_WITHOUT_MINIMUM_POLICY", "true")
    without = run("policy", "lint")
    assert without.stdout.startswith("note: dangerously_without_minimum_policy: ")
    assert "; no minimum policy\n" in without.stderr


@pytest.mark.parametrize(
    ("until", "said"), [("2020-01-01T00:00:00Z", "ended"), ("2999-01-01T00:00:00Z", "")]
)
def test_what_a_policy_permitted_until_an_instant_is_noted_once_it_has_ended(
    run: Run, tmp_path: Path, until: str, said: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nextends = "otpc-2024-12"\n[rules.tls.minimum_version.parameters]\n'
        f'permitted_versions = [{{ name = "TLS 1.2", until = {until} }}, "TLS 1.3"]\n'
    )
    done = run("policy", "lint", path)
    expected = f"note: {path}: policy mine: what it permits until 2020-01-01T00:00:00+00:00 ended\n"
    assert (done.status, done.stdout) == (0, expected if said else "")
    assert run("policy", "lint", path, "--strict").status == (1 if said else 0)
