"""What the chart renders changes only where a change means it to."""

import pytest

from supply.chart_files import CHART, refused_networks, rules
from tests.deploy.golden import GOLDEN
from tests.deploy.rendering import VALUES, helm, rendered


@pytest.mark.parametrize("values", VALUES)
def test_the_render_is_the_golden_one(values: str) -> None:
    assert rendered(values) == (GOLDEN / f"{values}.yaml").read_text(encoding="utf-8"), (
        "make chart-files writes it again"
    )


def test_there_are_six_of_them_and_no_other() -> None:
    assert len(VALUES) >= 6
    assert tuple(sorted(path.stem for path in GOLDEN.iterdir())) == VALUES


@pytest.mark.parametrize("values", VALUES)
def test_helm_finds_no_fault_with_the_chart(values: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(CHART / f"ci/{values}.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_networks_of_the_policy_are_those_that_engines_refuse() -> None:
    copied = (CHART / "files/refused-networks.txt").read_text(encoding="utf-8")
    assert copied == refused_networks()


def test_the_rules_of_the_chart_are_those_beside_prometheus() -> None:
    copies = {path.name: path.read_bytes() for path in (CHART / "files/rules").iterdir()}
    assert copies
    # There is no such folder yet; from then on both are the same.
    assert copies == (rules() or copies)
