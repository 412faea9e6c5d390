"""Policy tests beside the policies are run before the policies are used, and a failing one keeps them out."""

import os
from pathlib import Path

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.catalog.policy_test_files import (
    case_files_beside,
    case_files_in,
    require_policy_tests,
)
from otpc_policy.catalog.policy_tests import judge_with
from otpc_policy.errors import ConfigurationError
from otpc_policy.facts_codec import dump_facts
from otpc_policy.server.application import build_application
from otpc_policy.settings import Settings
from tests.support.facts import make_facts, make_trust, root

POLICY = 'name = "acme"\nextends = "otpc-2024-12"\n'
CASE = '[[case]]\nname = "the partner"\nfacts = "partner.facts.json"\npolicy = "acme"\nanchor_files = ["ca.pem"]\nexpect.decision = "{}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "acme.toml").write_text(POLICY)
    (tmp_path / "acme.test.toml").write_text(CASE.format("ALLOW"))
    (tmp_path / "partner.facts.json").write_text(dump_facts(make_facts()))
    (tmp_path / "ca.pem").write_bytes(root().pem)
    return tmp_path


def test_a_folder_holds_the_documents_that_are_named_so(folder: Path) -> None:
    (folder / ".hidden.test.toml").write_text("")
    (folder / "deeper.test.toml").mkdir()
    assert case_files_in(folder) == (folder / "acme.test.toml",)
    assert case_files_beside(
        [folder / "acme.toml", folder / "other.toml", folder / "nowhere" / "x.toml"]
    ) == (folder / "acme.test.toml",)


def test_a_mounted_config_map_is_a_folder_of_links(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mount = tmp_path_factory.mktemp("mount")
    os.symlink(folder, mount / "..data")
    for name in ("acme.toml", "acme.test.toml"):
        os.symlink(Path("..data") / name, mount / name)
    assert case_files_beside([mount / "acme.toml"]) == (mount / "acme.test.toml",)


async def test_the_engine_is_built_if_the_tests_beside_its_policies_pass(folder: Path) -> None:
    assert (
        build_application(Settings(policy_files=[folder / "acme.toml"]))
        .reloader.current.policies.get("acme")
        .extends
        == "otpc-2024-12"
    )


async def test_a_test_that_fails_keeps_the_policies_out(folder: Path) -> None:
    (folder / "acme.test.toml").write_text(CASE.format("DENY"))
    with pytest.raises(ConfigurationError) as refused:
        build_application(Settings(policy_files=[folder / "acme.toml"]))
    assert (
        refused.value.problems[0]
        == f"{folder / 'acme.test.toml'}:1: policy test 'the partner': decision: DENY expected, it is ALLOW"
    )


def test_every_document_that_cannot_be_used_is_named(folder: Path) -> None:
    (folder / "partner.facts.json").write_bytes(b"\xff")
    (folder / "b.test.toml").write_bytes(b"\xff")
    (folder / "c.test.toml").write_text("x =")
    files = [*case_files_in(folder), folder / "d.test.toml"]
    with pytest.raises(ConfigurationError) as refused:
        require_policy_tests(load_builtin_policies(), judge_with(make_trust()), files)
    assert [problem.removeprefix(f"{folder}/") for problem in refused.value.problems] == [
        "acme.test.toml:3: case.facts: partner.facts.json: is not UTF-8",
        "b.test.toml: is not UTF-8",
        "c.test.toml:1: Invalid value",
        "d.test.toml: No such file or directory",
    ]


def test_the_number_of_tests_is_told(folder: Path) -> None:
    policies = load_builtin_policies()
    (folder / "acme.test.toml").write_text(CASE.format("ALLOW").replace('policy = "acme"\n', ""))
    assert require_policy_tests(policies, judge_with(make_trust()), case_files_in(folder)) == 1
