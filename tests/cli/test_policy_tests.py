"""otpc-policy check --save-facts and otpc-policy policy test: what was measured today is what
tomorrow's policy is tested with.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from otpc_policy.core.facts import EndpointFacts, ResolutionStatus
from otpc_policy.core.facts_codec import dump_facts, load_facts
from tests.cli.conftest import Stage
from tests.cli.running import Run
from tests.support.facts import make_facts

LOOPBACK = ("--allow-network", "127.0.0.0/8")


def saved(run: Run, stage: Stage, name: str, file: Path) -> EndpointFacts:
    """Measure a partner and save the facts."""
    partner = stage.partners[name]
    run(
        "check",
        stage.endpoint(name),
        *LOOPBACK,
        "--server-name",
        partner.part.host,
        "--trust-anchor",
        stage.anchor_file,
        "--save-facts",
        file,
    )
    return load_facts(file.read_text(), EndpointFacts)


def test_saved_facts_are_judged_again_as_they_were_measured(
    run: Run, stage: Stage, tmp_path: Path
) -> None:
    good = saved(run, stage, "compliant", tmp_path / "good.json")
    weak = saved(run, stage, "weak", tmp_path / "weak.json")
    assert [address.address for address in good.addresses] == [stage.partners["compliant"].address]
    assert good.addresses[0].deployments[0].chain
    assert weak.server_name == stage.partners["weak"].part.host
    (tmp_path / "ca.pem").write_bytes(stage.authority.pem)
    (tmp_path / "acme.toml").write_text(
        'name = "acme"\nextends = "otpc-2024-12"\n'
        '[rules.tls.minimum_version.effects]\nTLS_VERSION_BELOW_MINIMUM = "advisory"\n'
    )
    document = tmp_path / "partners.test.toml"
    document.write_text("""\
[[case]]
name = "compliant"
facts = "good.json"
anchor_files = ["ca.pem"]
expect = { decision = "ALLOW", codes = ["CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"] }

[[case]]
name = "weak"
facts = "weak.json"
anchor_files = ["ca.pem"]
policy = "acme"
expect = { decision = "DENY", codes_at_least = ["TLS_VERSION_BELOW_MINIMUM",
"CIPHER_SUITE_NONE_REQUIRED"] }
""")
    done = run("policy", "test", tmp_path, "--policy-file", tmp_path / "acme.toml")
    assert (done.status, done.stdout) == (
        0,
        f"ok    {document}:1: compliant\nok    {document}:7: weak\n",
    )
    assert done.stderr == "2 passed, 0 failed\n"

    document.write_text(document.read_text().replace('decision = "DENY"', 'decision = "ALLOW"'))
    failed = run("policy", "test", document, "--policy-file", tmp_path / "acme.toml")
    assert failed.status == 1
    assert f"FAIL  {document}:7: weak\n      policy acme (revision " in failed.stdout
    assert "      decision: expected ALLOW, got DENY\n" in failed.stdout
    assert (
        "      because of: CIPHER_SUITE_NONE_REQUIRED (deny, policy acme, otpc-2024-12, rule "
        "cipher.required)" in failed.stdout
    )
    assert failed.stderr == "1 passed, 1 failed\n"


def test_documents_of_the_command_line_are_added_to_those_of_the_settings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nextends = "otpc-2024-12"\n')
    monkeypatch.setenv("OTPC_POLICY_POLICY_FILES", str(tmp_path / "first.toml"))
    facts = replace(make_facts(), resolution=ResolutionStatus.FAILED, addresses=())
    (tmp_path / "facts.json").write_text(dump_facts(facts))
    case = """
[[case]]
name = "a"
facts = "facts.json"
at = 2026-03-02T12:00:00Z
policy = "{}"
expect.decision = "INDETERMINATE"
"""
    (tmp_path / "a.test.toml").write_text(case.format("first") + case.format("second"))
    assert run("policy", "test", tmp_path, "--policy-file", tmp_path / "second.toml").status == 0
    assert run("policy", "test", tmp_path).status == 1


def test_an_address_that_may_not_be_dialled_is_a_fact_too(run: Run, tmp_path: Path) -> None:
    run("check", "127.0.0.1:1", "--save-facts", tmp_path / "forbidden.json")
    assert load_facts((tmp_path / "forbidden.json").read_text(), EndpointFacts).forbidden


def test_a_measurement_that_is_not_complete_is_not_saved(
    run: Run, stage: Stage, tmp_path: Path
) -> None:
    done = run(
        "check",
        stage.endpoint("compliant"),
        *LOOPBACK,
        "--timeout",
        "0.001",
        "--save-facts",
        tmp_path / "facts.json",
    )
    assert done.status == 3
    assert "not written, since the measurement is incomplete" in done.stderr
    assert not (tmp_path / "facts.json").exists()


def test_a_service_keeps_its_facts(run: Run, tmp_path: Path) -> None:
    done = run(
        "check",
        "pay.partner.test",
        "--server",
        "localhost:1",
        "--save-facts",
        tmp_path / "facts.json",
    )
    assert (done.status, done.stdout) == (2, "")
    assert "--save-facts" in done.stderr


def test_nothing_to_run_is_no_success(run: Run, tmp_path: Path) -> None:
    done = run("policy", "test", tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert "contains no policy tests; their names end in .test.toml" in done.stderr


def test_what_cannot_be_used_exits_with_2_and_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.test.toml").write_text(
        '[[case]]\nname = "a"\nfacts = "gone.json"\nexpect.decision = "ALLOW"\n'
    )
    done = run("policy", "test", tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert (
        f"a.test.toml:3: case.0.facts: {tmp_path}/gone.json: No such file or directory"
        in done.stderr
    )
    (tmp_path / "broken.toml").write_text('name = "x"\nextends = "nobody"\n')
    broken = run("policy", "test", tmp_path, "--policy-file", tmp_path / "broken.toml")
    assert broken.status == 2
