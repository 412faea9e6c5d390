"""Connections that are lost, late or refused become no facts; see lost_connections.py.

Two findings on a busy machine are held here: a measurement in which no hello began with RSA-PSS
(seed 850, whatever was lost), and TLS 1.0 that was NO because the answers that showed it were read
too late.
"""

from collections.abc import Iterable
from itertools import islice

import pytest

from otpc_policy.policy.finding import Decision
from tests.hostile.lost_connections import (
    Trial,
    at_random,
    each_connection,
    servers,
)
from tests.support.hostile.lossy_network import Loss

# Of each server; the command takes more of both.
_DRAWN = 3
_LOST_ONE_BY_ONE = ("rsa-pss-first-of-schemes-with-expired", "session-ticket-with-tls10")


def wrong(trials: Iterable[Trial]) -> list[str]:
    return [f"{trial}: {one}" for trial in trials for one in trial.run().wrong]


@pytest.mark.parametrize("name", servers())
def test_what_is_lost_at_random_is_neither_allowed_nor_denied_falsely(name: str) -> None:
    assert wrong(at_random(name, seed) for seed in range(_DRAWN)) == []


@pytest.mark.parametrize("name", _LOST_ONE_BY_ONE)
def test_no_single_connection_hides_a_fault_when_it_is_lost(name: str) -> None:
    assert wrong(each_connection(name, 1, rotate=True)) == []


def test_a_compliant_server_is_not_denied_whichever_connection_is_lost() -> None:
    assert wrong(each_connection("compliant", 1, rotate=True)) == []


def test_a_server_that_changes_after_lost_answers_is_not_believed() -> None:
    """Whatever it refuses afterwards, it had accepted something that it refuses now."""
    first = islice(each_connection("strict after 20", 0, [Loss.ANSWER]), 24)
    assert wrong(first) == []


@pytest.mark.parametrize("seed", [850, 1713, 3049, 3302])
def test_every_measurement_has_a_hello_that_begins_with_rsa_pss(seed: int) -> None:
    trial = Trial(name="rsa-pss-first-of-schemes-with-expired", seed=seed)
    assert trial.run().decision is Decision.DENY


def test_answers_that_came_in_time_count_when_the_machine_stands_still() -> None:
    """Each of the first hellos is answered at once, and read long after its deadline."""
    trial = Trial(
        name="strict after 20",
        seed=0,
        losses=lambda number: Loss.STARVED if number < 20 else None,
    )
    result = trial.run()
    assert result.wrong == ()
    assert result.decision is Decision.DENY
