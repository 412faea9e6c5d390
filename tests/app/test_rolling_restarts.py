"""No call fails while replicas are ended and started again, for clients that retry UNAVAILABLE."""

import os

import pytest

from tests.app.rolling_restarts import GRPC_JS, LANGUAGES, missing_for, rolling_restarts
from tests.support.requirements import require, require_file

# As many drains in each language; python -m tests.app.rolling_restarts runs more.
ROUNDS = int(os.environ.get("OTPC_DRAINS", "2"))

pytestmark = pytest.mark.xdist_group("service process")


@pytest.mark.timeout(120 + 30 * ROUNDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_call_fails_during_rolling_restarts(language: str) -> None:
    if language == "node":
        require("node")
        require_file(GRPC_JS / "package.json", "make .venv/.node")
    if lacking := missing_for(language):
        pytest.skip(lacking)
    with rolling_restarts([language]) as restarts:
        for _ in range(ROUNDS):
            restarts.restart_next()
        (outcomes,) = restarts.outcomes().values()
    assert set(outcomes) == {"answered"}, outcomes
