"""The resolver of the engine's service: fronts keep an answer for the time that is left of it."""

from datetime import timedelta

from otpc_policy.engine.resolving import RemainingTimeResolver
from tests.engine.resolving import HOST, resolving
from tests.support.dns_server import Name


async def test_an_engine_gives_each_answer_the_rest_of_its_time() -> None:
    async with resolving({HOST: Name(a=("127.0.0.1",), ttl_s=30)}) as world:
        resolver = RemainingTimeResolver(world.resolver)
        assert (await resolver.resolve(HOST)).ttl == timedelta(seconds=30)
        world.now_s += 10
        assert (await resolver.resolve(HOST)).ttl == timedelta(seconds=20)
        world.now_s += 20
        assert (await resolver.resolve(HOST)).ttl == timedelta(seconds=30)
    assert world.counted["answered"] == 2


async def test_nothing_is_left_of_an_answer_that_is_not_at_hand() -> None:
    async with resolving() as world:
        assert world.resolver.seconds_left(HOST) == 0
