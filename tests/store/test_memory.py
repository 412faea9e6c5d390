"""Facts in memory: the contract, and what bounds by entries and by bytes mean here."""

from dataclasses import replace

from otpc_policy.core.facts import AddressFacts, CurveFact, DeepFacts, Support
from otpc_policy.store.memory import MemoryFactsStore, size_of
from tests.check.world import SECOND
from tests.store.contract import KEY, StoreContract, facts
from tests.support.facts import deployment, make_address


class TestMemoryStore(StoreContract):
    def store(self, *, max_entries: int = 100) -> MemoryFactsStore:
        return MemoryFactsStore(max_entries=max_entries, max_bytes=1 << 24)


def chained(chain_bytes: int) -> AddressFacts:
    return make_address(deployments=(deployment(chain=(b"x" * chain_bytes,)),))


async def test_what_is_in_memory_is_answered_without_suspending() -> None:
    store = MemoryFactsStore(max_entries=2, max_bytes=1 << 20)
    for method in (store.put(KEY, facts()), store.get_many([KEY]), store.discard(KEY)):
        try:
            method.send(None)
        except StopIteration:
            continue
        raise AssertionError("suspended")


async def test_the_least_recently_used_goes_first() -> None:
    store = MemoryFactsStore(max_entries=2, max_bytes=1 << 20)
    a, b, c = (KEY._replace(port=port) for port in (1, 2, 3))
    await store.put(a, facts())
    await store.put(b, facts())
    await store.get_many([a])
    await store.put(c, facts())
    assert [found is not None for found in await store.get_many([a, b, c])] == [True, False, True]
    assert len(store) == 2


async def test_bytes_are_bounded_and_counted_down_again() -> None:
    large = facts(deployments=(deployment(chain=(b"x" * 1000,)),))
    size = size_of(large.facts)
    store = MemoryFactsStore(max_entries=100, max_bytes=3 * size)
    keys = [KEY._replace(port=port) for port in range(1, 11)]
    for key in keys:
        await store.put(key, large)
    assert (len(store), store.bytes_kept) == (3, 3 * size)
    await store.discard(keys[-1])
    await store.discard(keys[-1])
    assert (len(store), store.bytes_kept) == (2, 2 * size)
    assert await store.discard_endpoint(KEY.host, 0) == 2
    assert (len(store), store.bytes_kept) == (0, 0)


async def test_facts_larger_than_the_bound_are_not_kept_and_displace_nothing_else() -> None:
    store = MemoryFactsStore(max_entries=100, max_bytes=2 * size_of(facts().facts))
    other = KEY._replace(port=1)
    await store.put(KEY, facts())
    await store.put(other, facts())
    await store.put(KEY, facts(SECOND, deployments=(deployment(chain=(b"x" * 50_000,)),)))
    assert await store.get_many([KEY, other]) == [None, facts()]


def test_certificates_are_counted_exactly() -> None:
    assert size_of(chained(5_000)) - size_of(chained(1_000)) == 4_000


def test_what_a_deep_measurement_adds_is_counted() -> None:
    deep = DeepFacts(
        curves=(CurveFact("x25519", Support.YES),) * 30,
        remarks=("r" * 500,),
        contradictions=("c" * 700,),
    )
    plain = make_address()
    assert size_of(replace(plain, deep=deep)) - size_of(plain) > 30 * 100 + 500 + 700
