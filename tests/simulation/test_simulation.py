"""Replicas keep what they promise whatever strikes them; and a store that does not is found out."""

import pytest

pytest.importorskip("lupa", reason="needs lupa, which runs the scripts")

from tests.simulation.broken import BROKEN, broken
from tests.simulation.faults import Kind
from tests.simulation.run import Run


def test_a_seed_repeats_a_run() -> None:
    one, two = (Run(11).carry_out() for _ in range(2))
    assert one.history
    assert one.history == two.history
    assert one.digest() == two.digest() != Run(12).carry_out().digest()


def test_some_runs_hold() -> None:
    for seed in range(1, 6):
        run = Run(seed).carry_out()
        assert not run.violations, f"python -m tests.simulation --replay {seed}"
        assert run.truth.measured


@pytest.mark.long
@pytest.mark.parametrize("first", range(1, 501, 50))
def test_five_hundred_runs_hold(first: int) -> None:
    struck = set()
    for seed in range(first, first + 50):
        run = Run(seed).carry_out()
        assert not run.violations, f"{run.violations}: python -m tests.simulation --replay {seed}"
        struck |= {fault.kind for fault in run.faults}
    assert struck == set(Kind)


@pytest.mark.long
@pytest.mark.parametrize("name", BROKEN)
def test_a_store_that_loses_something_is_found_out_within_five_hundred_runs(name: str) -> None:
    for seed in range(1, 501):
        if Run(seed, broken(name)).carry_out().violations:
            return
    pytest.fail("nobody has noticed")
