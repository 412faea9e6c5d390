"""Documents of policy tests: read whole with the files that they name, or refused with lines."""

import os
from pathlib import Path

import pytest

from otpc_policy.app.application import build_application
from otpc_policy.app.settings import Settings
from otpc_policy.catalog.policy_tests import (
    parse_policy_tests,
    policy_test_places,
    read_policy_tests,
)
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import ClientAuth, HttpService, ResolutionStatus
from otpc_policy.core.facts_codec import dump_facts
from otpc_policy.policy.finding import Decision
from tests.support.certificates import self_signed
from tests.support.facts import HOST, NOW, make_facts, root

WEAK = make_facts(http=HttpService.NOT_SERVED)
UNMEASURED = make_facts(resolution=ResolutionStatus.FAILED, addresses=())
FILES = {
    "good.json": dump_facts(make_facts()),
    "weak.json": dump_facts(WEAK),
    "unmeasured.json": dump_facts(UNMEASURED),
    "nowhere.json": dump_facts(make_facts(host="no host")),
    "capital.json": dump_facts(make_facts(server_name="Pay.Partner.Test")),
    "broken.json": "{",
    "ca.pem": root().pem.decode(),
    "leaf.pem": self_signed(ca=False).chain_pem.decode(),
    "leaf.txt": "x",
}
POLICY = 'name = "acme"\nextends = "otpc-2024-12"\n'
CASE = '[[case]]\nname = "a"\nfacts = "good.json"\nexpect.decision = "ALLOW"\n'
INSTANT = "must be a date and time with a zone, such as 2027-01-01T00:00:00Z"


def read(name: str) -> str:
    if name not in FILES:
        raise ConfigurationError([f"folder/{name}: No such file or directory"])
    return FILES[name]


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        parse_policy_tests(text, "a.test.toml", read)
    return refused.value.problems


def test_a_document_is_read_with_all_its_tests() -> None:
    pin = ":".join(["AA"] * 32)
    text = f"""\
[[case]]
name = "compliant"
facts = "good.json"
at = 2026-03-02T13:00:00+01:00
policy = "otpc-2024-12-strict"
certificate_sha256 = ["{pin}"]
[case.expect]
decision = "ALLOW"
codes = []

[[case]]
name = "no HTTP"
facts = "weak.json"
anchor_files = ["ca.pem"]
client_auth = "required"
[case.expect]
decision = "DENY"
evaluated_decision = "DENY"
codes_at_least = ["HTTPS_NOT_SERVED"]
"""
    first, second = parse_policy_tests("\ufeff" + text, "a.test.toml", read)
    assert (first.name, first.place, first.at) == ("compliant", "a.test.toml:1", NOW)
    assert (first.policy_name, first.decision) == ("otpc-2024-12-strict", Decision.ALLOW)
    assert (first.codes, first.codes_at_least) == (frozenset(), None)
    assert (first.trust[0].hosts, first.trust[0].certificate_pins) == (
        (HOST,),
        frozenset({"aa" * 32}),
    )
    assert (second.place, second.facts) == ("a.test.toml:11", WEAK)
    assert (second.policy_name, second.evaluated_decision) == ("", Decision.DENY)
    assert second.at == WEAK.addresses[0].observed_at
    assert (second.codes, second.codes_at_least) == (None, frozenset({"HTTPS_NOT_SERVED"}))
    assert second.trust[0].anchors == (root().der,)
    assert second.expected_client_auth is ClientAuth.REQUIRED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: case: is missing"),
        ("case = []", "1: case: must be at least one table"),
        ("[case]\nname = 1", "1: case: must be a list"),
        ("[[cases]]", "1: cases: unknown key; expected one of case"),
        (CASE + "polcy = 1", "5: case.0.polcy: unknown key; expected one of name, facts, policy,"),
        (CASE + "expect.code = 1", "5: case.0.expect.code: unknown key; expected one of decision"),
        (CASE.replace("good", "gone"), "3: case.0.facts: folder/gone.json: No such file"),
        (CASE.replace("good", "broken"), "3: case.0.facts: broken.json: "),
        (CASE.replace("good", "nowhere"), "3: case.0.facts: nowhere.json: host: "),
        (CASE.replace("good", "capital"), "3: case.0.facts: capital.json: server_name 'Pay.Par"),
        (CASE.replace("good", "unmeasured"), "1: case.0.at: is missing, and these facts hold no"),
        (CASE.replace('"good.json"', "1"), "3: case.0.facts: must be text: the name of a file"),
        (CASE.replace('name = "a"\n', ""), "1: case.0.name: is missing"),
        (
            CASE.replace("ALLOW", "allow"),
            "4: case.0.expect.decision: must be one of ALLOW, DENY, INDETERMINATE",
        ),
        (CASE.replace("expect.decision = ", "at = "), "1: case.0.expect: is missing"),
        (
            CASE + "at = 2026-03-02T12:00:00",
            f"5: case.0.at: {INSTANT}; 2026-03-02T12:00:00 has no zone",
        ),
        (CASE + 'at = "2026-03-02T12:00:00Z"', f"5: case.0.at: {INSTANT}, without quotes"),
        (
            CASE + 'expect.codes = ["TLS_1"]',
            "5: case.0.expect.codes.0: 'TLS_1' is not a finding code",
        ),
        (
            CASE + "expect.codes = []\nexpect.codes_at_least = []",
            "6: case.0.expect.codes_at_least: contradicts codes",
        ),
        (CASE + 'client_auth = "maybe"', "5: case.0.client_auth: must be one of required, none"),
        (
            CASE + 'anchor_files = ["leaf.txt"]',
            "5: case.0.anchor_files.0: leaf.txt: holds no certificate",
        ),
        (
            CASE + 'anchor_files = ["leaf.pem"]',
            "5: case.0.anchor_files.0: leaf.pem: certificate 1: ",
        ),
        (CASE + 'anchor_files = "ca.pem"', "5: case.0.anchor_files: must be a list"),
        (CASE + 'spki_sha256 = ["xx"]', "5: case.0.spki_sha256.0: must be a SHA-256"),
        (CASE.replace("expect.decision", "expect"), "4: case.0.expect: must be a table"),
        (CASE + "x = ", "5: "),
    ],
)
def test_a_problem_is_reported_with_file_line_and_key(text: str, problem: str) -> None:
    found = problems(text)
    assert any(one.startswith(f"a.test.toml:{problem}") for one in found), found


def test_problems_of_files_and_of_keys_are_reported_at_once() -> None:
    text = CASE.replace("good", "gone") + 'polcy = 1\nanchor_files = ["gone.pem", "leaf.txt"]\n'
    assert [one.split(": ")[1] for one in problems(text + CASE.replace("good", "broken"))] == [
        "case.0.facts",
        "case.0.polcy",
        "case.0.anchor_files.0",
        "case.0.anchor_files.1",
        "case.1.facts",
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A policy with a test that passes."""
    case = CASE + 'policy = "acme"\nanchor_files = ["ca.pem"]\n'
    (tmp_path / "acme.toml").write_text(POLICY)
    (tmp_path / "acme.test.toml").write_text(case)
    (tmp_path / "good.json").write_text(FILES["good.json"])
    (tmp_path / "ca.pem").write_text(FILES["ca.pem"])
    return tmp_path


def test_tests_stand_in_the_folders_of_the_policies(folder: Path) -> None:
    (folder / ".hidden.test.toml").write_text("")
    (folder / "deeper.test.toml").mkdir()
    policies = [str(folder / "acme.toml"), str(folder / "b.toml"), str(folder / "gone" / "c.toml")]
    assert policy_test_places(policies) == (str(folder / "acme.test.toml"),)


def test_a_mounted_config_map_is_a_folder_of_links(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mount = tmp_path_factory.mktemp("mount")
    os.symlink(folder, mount / "..data")
    for name in ("acme.toml", "acme.test.toml"):
        os.symlink(Path("..data") / name, mount / name)
    assert policy_test_places([str(mount / "acme.toml")]) == (str(mount / "acme.test.toml"),)


async def test_policies_are_used_if_their_tests_pass(folder: Path) -> None:
    application = build_application(Settings(policy_files=[folder / "acme.toml"]))
    assert application.reloader.current.policies.get("acme").extends == "otpc-2024-12"


async def test_a_test_that_fails_keeps_the_policies_out(folder: Path) -> None:
    file = folder / "acme.test.toml"
    file.write_text(file.read_text().replace("ALLOW", "DENY"))
    with pytest.raises(ConfigurationError) as refused:
        build_application(Settings(policy_files=[folder / "acme.toml"]))
    problem = f"{file}:1: policy test 'a': decision: expected DENY, got ALLOW"
    assert refused.value.problems[0] == problem


def test_every_document_that_cannot_be_used_is_named(folder: Path) -> None:
    (folder / "good.json").write_bytes(b"\xff")
    (folder / "b.test.toml").write_bytes(b"\xff")
    (folder / "c.test.toml").write_text("x =")
    places = [str(folder / f"{name}.test.toml") for name in ("acme", "b", "c", "d")]
    with pytest.raises(ConfigurationError) as refused:
        read_policy_tests(places)
    assert [problem.removeprefix(f"{folder}/") for problem in refused.value.problems] == [
        f"acme.test.toml:3: case.0.facts: {folder}/good.json: is not UTF-8",
        "b.test.toml: is not UTF-8",
        "c.test.toml:1: Invalid value",
        "d.test.toml: No such file or directory",
    ]
