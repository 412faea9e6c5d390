"""Servers that serve some connections and not others: a limit is not a refusal."""

import asyncio
from itertools import product

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth
from tests.hostile.faults import Stacks
from tests.hostile.rows import ROWS
from tests.hostile.servers import Backends, rotating
from tests.hostile.surveying import Case, Surveyor, assert_no_false_claim
from tests.support.hostile.behaviours import (
    alert,
    drip,
    finish,
    finish_at_once,
    reset,
    reset_at_once,
    stall,
)
from tests.support.hostile.turns import after, at_most_at_once, queueing
from tests.support.tcp import Behaviour, Connection

pytestmark = pytest.mark.asyncio(loop_scope="package")

TURNED_AWAY: dict[str, Behaviour] = {
    "handshake_failure": alert(40),
    "protocol_version": alert(70),
    "internal_error": alert(80),
    "reset": reset,
    "close": finish,
    "reset on connect": reset_at_once,
    "close on connect": finish_at_once,
    "stall": stall,
    "drip": drip(0.05),
}


_SLOW = {"stall", "drip"}


@pytest.mark.parametrize("manner", TURNED_AWAY)
async def test_a_limit_in_total_hides_nothing(
    manner: str, hurried: Surveyor, backends: Backends
) -> None:
    """What a lax server accepts is never reported absent once it refuses everything.

    This holds for each number of connections served first: each in the most dangerous manner, some
    in the others. The last control follows the last refusal, so a limit that strikes between them
    is always seen.
    """
    endpoints = list(backends.lax.values())
    cases: list[Case] = []
    for number in range(
        0, 41, {"handshake_failure": 1, "reset": 2, "close": 2, "stall": 2}.get(manner, 4)
    ):
        lax = rotating(endpoints, len(cases))
        cases.append(
            Case(
                name=f"{manner} after {number}",
                behaviour=after(number, lax, TURNED_AWAY[manner]),
                truth=Truth(always=lax.truth),
            )
        )
    surveyed = await hurried.survey(*cases, lanes=41 if manner in _SLOW else 8)
    assert_no_false_claim(surveyed)
    assert Decision.ALLOW not in {one.verdict.decision for one in surveyed.values()}


async def test_a_limit_in_total_makes_no_good_server_bad(
    patient: Surveyor, backends: Backends
) -> None:
    """A server that turns us away is not denied for lacking what it has."""
    cases: list[Case] = []
    for manner in ("handshake_failure", "reset"):
        for number in (*range(1, 41, 4), 200):
            behaviour = after(number, backends.strict, TURNED_AWAY[manner])
            cases.append(
                Case(
                    name=f"{manner} after {number}",
                    behaviour=behaviour,
                    truth=Truth(always=backends.strict.truth),
                )
            )
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    assert Decision.DENY not in {one.verdict.decision for one in surveyed.values()}
    assert {one.verdict.decision for name, one in surveyed.items() if name.endswith(" 200")} == {
        Decision.ALLOW
    }


@pytest.mark.parametrize("manner", ["handshake_failure", "reset on connect", "stall"])
async def test_a_limit_on_simultaneous_connections_hides_nothing(
    manner: str, hurried: Surveyor, backends: Backends
) -> None:
    """The scanner's own connections trigger such a limit: its refusals come and go with them."""
    endpoints = list(backends.lax.values())
    cases: list[Case] = []
    for number in range(1, 17):
        lax = rotating(endpoints, len(cases) + len(manner))
        behaviour = at_most_at_once(number, lax, TURNED_AWAY[manner])
        cases.append(
            Case(
                name=f"{manner} beyond {number} at once",
                behaviour=behaviour,
                truth=Truth(always=lax.truth),
            )
        )
    assert_no_false_claim(await hurried.survey(*cases))


async def test_a_limit_on_simultaneous_connections_makes_no_good_server_unknown(
    patient: Surveyor, backends: Backends
) -> None:
    """What was turned away at such a limit, clients and HTTP included, is asked again by itself."""
    manners = {"alert": alert(40), "reset": reset_at_once, "close": finish_at_once}
    cases: list[Case] = []
    for (manner, otherwise), number in product(manners.items(), (2, 6, 10, 12)):
        behaviour = at_most_at_once(number, backends.strict, otherwise)
        truth = Truth(always=backends.strict.truth)
        cases.append(
            Case(name=f"{manner} beyond {number} at once", behaviour=behaviour, truth=truth)
        )
    surveyed = await patient.survey(*cases)
    decisions = {name: one.verdict.decision for name, one in surveyed.items()}
    assert decisions == dict.fromkeys(decisions, Decision.ALLOW)


async def test_a_server_with_room_for_twenty_may_notice_late_that_a_connection_has_ended(
    patient: Surveyor, backends: Backends
) -> None:
    """HAProxy counts what its clients have closed until it comes round to it."""

    async def late(connection: Connection) -> None:
        await backends.strict(connection)
        await asyncio.sleep(0.002)

    truth = Truth(always=backends.strict.truth)
    behaviour = at_most_at_once(20, late, reset_at_once)
    cases = [Case(name=str(number), behaviour=behaviour, truth=truth) for number in range(8)]
    surveyed = await patient.survey(*cases, lanes=1)
    assert {one.verdict.decision for one in surveyed.values()} == {Decision.ALLOW}


async def test_a_limit_on_simultaneous_connections_hides_no_old_version_from_old_clients(
    anchored: Surveyor, stacks: Stacks
) -> None:
    """Their hellos only reveal: what turns them away says nothing, and is not asked about again."""
    row = next(row for row in ROWS if str(row) == "session-ticket-without-tls10")
    cases = [
        Case(
            name=f"{number} at once",
            behaviour=at_most_at_once(number, row.server(stacks), reset_at_once),
            truth=Truth(),
        )
        for number in (2, 4, 6, 8, 10, 12, 14, 16)
    ]
    surveyed = await anchored.survey(*cases)
    decisions = {name: one.verdict.decision for name, one in surveyed.items()}
    assert decisions == dict.fromkeys(decisions, Decision.DENY)


async def test_a_server_with_room_for_sixteen_is_known_completely(
    patient: Surveyor, backends: Backends
) -> None:
    """DESIGN, "Politeness": so many connections may be open to an address; queues cost time."""
    behaviours = {
        "turns away what comes beyond 16 at once": at_most_at_once(16, backends.strict, alert(40)),
        "resets what comes beyond 16 at once": at_most_at_once(16, backends.strict, reset_at_once),
        "queues what comes beyond 4 at once": queueing(4, backends.strict),
        "queues what comes beyond 1 at once": queueing(1, backends.strict),
    }
    surveyed = await patient.survey(
        *(
            Case(name=name, behaviour=one, truth=Truth(always=backends.strict.truth))
            for name, one in behaviours.items()
        )
    )
    assert_no_false_claim(surveyed)
    for name, one in surveyed.items():
        assert one.verdict.decision is Decision.ALLOW, (name, one.facts.remarks)
        assert "UNKNOWN" not in one.suites(TlsVersion.TLS_1_2).values(), name
