"""Names while engines answer, fail, and are gone."""

from datetime import timedelta

import pytest

from otpc_policy.core.addresses import Resolution
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import ResolutionFailure, ResolutionStatus
from otpc_policy.engines.errors import EngineFailed, EngineLost
from otpc_policy.engines.resolutions import Resolutions
from otpc_policy.measurement.engine_lied import EngineLied
from tests.engine.serving import vetted

HOST = "partner.test"
GOOD = Resolution(
    status=ResolutionStatus.RESOLVED,
    addresses=(vetted("127.0.0.1"),),
    ttl=timedelta(seconds=60),
)
GONE = Resolution(
    status=ResolutionStatus.FAILED,
    failure=ResolutionFailure.NXDOMAIN,
    ttl=timedelta(seconds=5),
)
FAILING = Resolution(
    status=ResolutionStatus.FAILED,
    failure=ResolutionFailure.SERVFAIL,
    ttl=timedelta(seconds=5),
)


class World:
    """Engines that give answers, or raise them, in order; a clock; and what was counted."""

    def __init__(self, *answers: Resolution | Exception, known: Resolution | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, bool]] = []
        self.counted: list[str] = []
        self.fell_back = 0
        self.now_s = 0.0
        self.resolutions = Resolutions(
            self.ask,
            known_host=lambda _host: known,
            monotonic=lambda: self.now_s,
            observer=self,
        )

    async def ask(self, host: str, *, fresh: bool) -> Resolution:
        self.asked.append((host, fresh))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def dns_looked_up(self, result: str) -> None:
        self.counted.append(result)

    def dns_fell_back(self) -> None:
        self.fell_back += 1


@pytest.mark.parametrize("error", [EngineLost("gone"), EngineFailed("late"), EngineLied("bits")])
async def test_without_an_engine_the_last_answer_stands_in_for_five_minutes(
    error: Exception,
) -> None:
    world = World(GOOD, *[error] * 3)
    assert await world.resolutions.resolve(HOST) == GOOD
    for now_s in (60.0, 299.9):
        world.now_s = now_s
        stale = await world.resolutions.resolve(HOST)
        assert (stale.addresses, stale.is_stale) == (GOOD.addresses, True)
        assert stale.failure is ResolutionFailure.OTHER
        assert stale.ttl <= timedelta(seconds=1)
    world.now_s = 301.0
    assert (await world.resolutions.resolve(HOST)).status is ResolutionStatus.FAILED
    assert (world.counted, world.fell_back) == (["answered", "other", "other", "other"], 2)


async def test_a_name_that_dns_denies_has_no_last_answer() -> None:
    world = World(GOOD, GONE, EngineLost("gone"))
    for now_s in (0.0, 60.0, 66.0):
        world.now_s = now_s
        found = await world.resolutions.resolve(HOST)
    assert (found.status, found.addresses) == (ResolutionStatus.FAILED, ())


async def test_an_engine_that_could_not_ask_does_not_make_anyone_forget() -> None:
    world = World(GOOD, FAILING, EngineLost("gone"))
    for now_s in (0.0, 60.0, 66.0):
        world.now_s = now_s
        found = await world.resolutions.resolve(HOST)
    assert (found.addresses, found.is_stale) == (GOOD.addresses, True)


async def test_a_stale_answer_at_hand_will_not_do_for_who_wants_a_fresh_one() -> None:
    world = World(GOOD, EngineLost("gone"), GOOD)
    await world.resolutions.resolve(HOST)
    world.now_s = 60.0
    assert (await world.resolutions.resolve(HOST)).is_stale
    known = world.resolutions.known(HOST)
    assert known is not None
    assert known.is_stale
    assert await world.resolutions.resolve(HOST, fresh=True) == GOOD
    assert world.asked == [(HOST, False), (HOST, False), (HOST, True)]


async def test_overload_is_the_callers_to_know_and_is_not_kept() -> None:
    world = World(Overloaded(timedelta(seconds=2)), GOOD)
    with pytest.raises(Overloaded):
        await world.resolutions.resolve(HOST)
    assert await world.resolutions.resolve(HOST) == GOOD
    assert world.counted == ["overloaded", "answered"]


async def test_what_is_known_here_is_asked_of_nobody_and_counted_nowhere() -> None:
    world = World(known=GOOD)
    assert await world.resolutions.resolve(HOST) == GOOD
    assert world.resolutions.known(HOST) == GOOD
    assert (world.asked, world.counted) == ([], [])
