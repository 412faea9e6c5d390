"""otpc-policy policy and explain: what is demanded, and whether a document can be used."""

from pathlib import Path

import pytest

from otpc_policy.policy.registry import finding_codes
from tests.cli.running import Run

NAMES = [
    "bsi-tr-02102-2",
    "mozilla-intermediate",
    "mozilla-modern",
    "nist-800-52r2",
    "otpc-2024-12",
    "otpc-2024-12-strict",
]
DEFAULT, STRICT = NAMES[-2:]


def test_the_built_in_policies_are_listed_and_one_is_the_default(run: Run) -> None:
    done = run("policy", "list")
    assert done.status == 0
    assert [(policy["name"], policy["isDefault"]) for policy in done.json["policies"]] == [
        (name, name == DEFAULT) for name in NAMES
    ]
    table = run("policy", "list", "--format", "table").stdout
    assert all(name in table for name in NAMES)


def test_a_policy_is_shown_with_its_rules(run: Run) -> None:
    assert run("policy", "show").json["policy"]["name"] == DEFAULT
    table = run("policy", "show", STRICT, "--format", "table").stdout
    for part in ("cipher.required", "CIPHER_SUITE_NONE_REQUIRED", "DENY"):
        assert part in table


def test_the_effective_document_is_a_policy_document(
    run: Run, service: str, tmp_path: Path
) -> None:
    printed = run("policy", "show", STRICT, "--document")
    assert (
        printed.status,
        run("policy", "show", STRICT, "--document", "--server", service).stdout,
    ) == (0, printed.stdout)
    (tmp_path / "effective.toml").write_text(printed.stdout)
    assert run("policy", "lint", tmp_path / "effective.toml").status == 0


def test_a_service_shows_its_policies(run: Run, service: str) -> None:
    assert [
        policy["name"] for policy in run("policy", "list", "--server", service).json["policies"]
    ] == NAMES
    assert (
        run("policy", "show", STRICT, "--server", service).json["policy"]
        == run("policy", "show", STRICT).json["policy"]
    )


def test_a_policy_that_does_not_exist_exits_with_2_and_names_those_that_do(run: Run) -> None:
    done = run("policy", "show", "otpc-2024-21")
    assert (done.status, done.stdout) == (2, "")
    assert STRICT in done.stderr


def test_lint_accepts_the_built_in_documents(run: Run) -> None:
    from importlib.resources import files

    done = run(
        "policy",
        "lint",
        *(
            str(document)
            for document in files("otpc_policy.policy").joinpath("builtin").iterdir()
            if document.name.endswith(".toml")
        ),
    )
    assert (done.status, done.stdout) == (0, "")


def test_lint_reports_every_problem_of_every_document_with_its_place(
    run: Run, tmp_path: Path
) -> None:
    wrong, broken = tmp_path / "wrong.toml", tmp_path / "broken.toml"
    wrong.write_text('name = 7\nsurplus = true\nextends = "otpc-2024-12"\n')
    broken.write_text("name = \n")
    done = run("policy", "lint", wrong, broken, "-", stdin=b"\xff")
    assert done.status == 1
    lines = done.stdout.splitlines()
    assert sum(str(wrong) in line for line in lines) >= 2
    assert any(str(broken) in line for line in lines)
    assert any("UTF-8" in line for line in lines)


def test_lint_of_a_file_that_is_not_there_is_a_wrong_command_line(run: Run) -> None:
    done = run("policy", "lint", "no-such-file.toml")
    assert (done.status, done.stdout) == (2, "")
    assert "No such file" in done.stderr


@pytest.mark.parametrize("code", sorted(finding_codes()))
def test_every_code_is_explained(run: Run, code: str) -> None:
    done = run("explain", code.lower())
    assert done.status == 0
    text = " ".join(done.stdout.split())
    finding = finding_codes()[code]
    assert code in text
    assert " ".join(finding.meaning.split())[:40] in text
    assert finding.severity.name.lower() in text


def test_without_a_code_all_are_listed(run: Run) -> None:
    done = run("explain")
    assert done.status == 0
    assert all(code in done.stdout for code in finding_codes())


def test_an_unknown_code_exits_with_2_and_suggests_near_ones(run: Run) -> None:
    done = run("explain", "TLS_VERSION_BELOW")
    assert (done.status, done.stdout) == (2, "")
    assert "TLS_VERSION_BELOW_MINIMUM" in done.stderr
    assert "lists them all" in run("explain", "qqq").stderr
