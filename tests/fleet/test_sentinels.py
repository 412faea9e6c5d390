"""A store whose primary is the one that sentinels name."""

import asyncio
from collections.abc import Iterator

import pytest

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.clients import StoreClients, address_of
from otpc_policy.fleet.connection import StoreConnection
from otpc_policy.fleet.scripts import GET, NEWS
from tests.fleet.world import Observed
from tests.support.valkey import Guarded, guarded_valkey

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]

# Half a second until the primary counts as dead, an election, and the rest of a store that failed.
FAILOVER_S = 10.0


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_valkey() as running:
        yield running


def connection_to(guarded: Guarded, observed: Observed, **options: object) -> StoreConnection:
    clients = StoreClients(guarded.sentinels[0].url, deadline_s=0.25, **options)  # type: ignore[arg-type]
    sentinels = [address_of(each.url) for each in guarded.sentinels]
    client = clients.of_primary(guarded.name, sentinels)
    return StoreConnection(client, observer=observed, clock=asyncio.get_running_loop().time)


async def test_a_primary_that_the_settings_do_not_know_is_not_reached_in_plain_text(
    guarded: Guarded,
) -> None:
    connection = connection_to(guarded, Observed(), is_permitted=lambda _host: False)
    with pytest.raises(StoreUnavailable, match="UnexpectedHost"):
        await connection.run(GET, ("a", "b"), 1)
    await connection.close()


async def test_whoever_is_the_primary_is_asked_and_a_dead_sentinel_costs_nothing(
    guarded: Guarded,
) -> None:
    observed = Observed()
    guarded.sentinels[0].kill()
    connection = connection_to(guarded, observed)
    assert await connection.run(GET, ("a", "b"), 1) == [None]
    guarded.primary.kill()
    refused = 0
    async with asyncio.timeout(FAILOVER_S):
        while True:
            try:
                polled = await connection.poll(NEWS, [("notices", "", "1")])
                break
            except StoreUnavailable:
                refused += 1
                await asyncio.sleep(0.05)
    assert refused
    assert (len(polled.times), polled.answers) == (1, [b"{}"])
    assert guarded.replica.says("role:master", "INFO", "replication")
    assert observed.available == [True, False, True]
    await connection.close()
