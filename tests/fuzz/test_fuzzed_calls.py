"""Whatever is sent, every call ends with a designed status, one audit line and one count."""

import asyncio

import pytest

from tests.fuzz.calls import differences, fuzzed_service
from tests.fuzz.drawing import METHODS

pytestmark = pytest.mark.long


def test_every_refusal_is_designed_and_recorded_once() -> None:
    with fuzzed_service() as service:
        outcome = asyncio.run(service.run(1500, seed=15))
        assert differences(service, outcome) == []
    # Every method is answered to somebody, so that more than its refusals was asked for.
    assert len(outcome.answered) == len(METHODS)
