"""No call fails while replicas are ended and started again, for clients that retry UNAVAILABLE."""

import os

import pytest

from tests.app.rolling_restarts import missing_for, rolling_restarts

# As many drains in each language; python -m tests.app.rolling_restarts runs more, and in Go, whose
# compiler takes a minute.
ROUNDS = int(os.environ.get("OTPC_DRAINS", "2"))

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]


@pytest.mark.timeout(120 + 30 * ROUNDS)
@pytest.mark.parametrize("language", ["python", "node"])
def test_no_call_fails_during_rolling_restarts(language: str) -> None:
    # A caller is no server: its packages come from another registry, which need not be there.
    if lacking := missing_for(language):
        pytest.skip(lacking)
    with rolling_restarts([language]) as restarts:
        for _ in range(ROUNDS):
            restarts.restart_next()
        (outcomes,) = restarts.outcomes().values()
    assert set(outcomes) == {"answered"}, outcomes
