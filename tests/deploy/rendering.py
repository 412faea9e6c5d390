"""What Helm makes of the chart, as text and as resources."""

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.requirements import require

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy/helm/otpc-policy"
VALUES: Final = tuple(sorted(path.stem for path in (CHART / "ci").glob("*.yaml")))
NAMESPACE: Final = "payments"

Resource = dict[str, Any]


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Helm, which has to be there, whatever it thinks of the arguments."""
    command = [require("helm"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def template(values: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run helm template with a file of values; those of the options count more."""
    file = CHART / f"ci/{values}.yaml"
    release = ("otpc-policy", str(CHART), "--namespace", NAMESPACE, "--values", str(file))
    return helm("template", *release, *options)


@cache
def rendered(values: str, *options: str) -> str:
    """Return what Helm renders."""
    done = template(values, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resources(values: str, *options: str) -> Sequence[Resource]:
    """Return the resources, read anew for each caller."""
    return [one for one in yaml.safe_load_all(rendered(values, *options)) if one is not None]


def of_kind(found: Sequence[Resource], kind: str) -> Sequence[Resource]:
    return [one for one in found if one["kind"] == kind]


def by_name(found: Sequence[Resource], kind: str, name: str) -> Resource:
    (only,) = (one for one in of_kind(found, kind) if one["metadata"]["name"] == name)
    return only


def role_of(resource: Resource) -> str:
    return str(resource["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_of(deployment: Resource) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def settings_of(found: Sequence[Resource], role: str) -> str:
    """Return the configuration file of a role, as the chart makes it."""
    return str(by_name(found, "ConfigMap", f"otpc-policy-{role}")["data"]["otpc-policy.toml"])
