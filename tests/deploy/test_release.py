"""The release workflow runs only what is pinned, and the commands that verify fit what it signs."""

import re
import subprocess
import sys
from typing import Any

import yaml

from otpc_policy import __version__
from tests.deploy.rendering import CHART, ROOT

WORKFLOW = ROOT / ".github/workflows/release.yml"
VERIFYING = (ROOT / "docs/releases.md").read_text(encoding="utf-8")


def steps() -> list[dict[str, Any]]:
    (job,) = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def scripts() -> str:
    return "\n".join(step.get("run", "") for step in steps())


def test_the_schema_of_workflows_accepts_it() -> None:
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned_to_commits_with_their_release() -> None:
    lines = [line for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_it_may_do_what_it_says_and_no_more() -> None:
    document = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert document["permissions"] == {}
    # YAML reads the key "on" as true.
    assert document[True] == {"push": {"tags": ["v[0-9]*"]}}
    (job,) = document["jobs"].values()
    assert job["permissions"].keys() == {"contents", "packages", "id-token", "attestations"}
    assert job["environment"]
    assert steps()[0]["with"]["persist-credentials"] is False


def test_scripts_are_valid_and_take_nothing_from_expressions() -> None:
    """An expression in a script is code by whoever chooses its value."""
    for step in steps():
        script = step.get("run", "")
        assert "${{" not in script
        done = subprocess.run(
            ["/bin/bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_arguments_of_the_image_are_those_of_the_dockerfile() -> None:
    given = set(re.findall(r'--build-arg "(\w+)=', scripts()))
    declared = set(re.findall(r"(?m)^ARG (\w+)=", (ROOT / "Dockerfile").read_text()))
    assert given == declared


def test_what_is_signed_can_be_verified_and_the_reverse() -> None:
    for signing, verifying in {
        "cosign sign --yes": "cosign verify --certificate-identity",
        "cosign attest --yes --type cyclonedx": "cosign verify-attestation --type cyclonedx",
        "cosign sign-blob --yes --bundle": "cosign verify-blob --bundle",
    }.items():
        assert signing in scripts()
        assert verifying in VERIFYING
    assert [step for step in steps() if "attest-build-provenance" in step.get("uses", "")]
    assert "gh attestation verify" in VERIFYING
    # The identity is the workflow at a tag, by its path.
    path = WORKFLOW.relative_to(ROOT)
    assert f"https://github.com/$REPO/{path}@refs/tags/v$VERSION" in VERIFYING
    for command in re.findall(r"cosign verify\S*(?: [^\n]*\\\n)*[^\n]*", VERIFYING):
        assert '--certificate-identity "$IDENTITY"' in command
        assert '--certificate-oidc-issuer "$ISSUER"' in command


def test_the_chart_is_for_this_release_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    assert chart["version"] == __version__
