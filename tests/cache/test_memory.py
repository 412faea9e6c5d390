"""Facts in memory: newest wins, bounded by entries and by bytes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from otpc_policy.cache.memory import MemoryFactsCache, size_of
from otpc_policy.core.facts import AddressFacts, CurveFact, DeepFacts, DeploymentFact, Depth, Evidence, KeyType, Support, TlsService, TlsVersion

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def facts(at: datetime = NOW, chain_bytes: int = 0) -> AddressFacts:
    deployment = DeploymentFact(
        version=TlsVersion.TLS_1_2, key_type=KeyType.RSA, support=Support.YES, evidence=Evidence.SERVER_HELLO, chain=(b"x" * chain_bytes,)
    )
    return AddressFacts(
        address="192.0.2.1", observed_at=at, duration=timedelta(), connections_used=1, depth=Depth.STANDARD,
        reachable=Support.YES, tls=TlsService.SERVED, deployments=(deployment,),
    )  # fmt: skip


def test_the_newest_facts_are_kept_and_older_ones_never_replace_them() -> None:
    cache = MemoryFactsCache(max_entries=10, max_bytes=1 << 20)
    newer = facts(NOW + timedelta(seconds=1))
    cache.put(b"a", facts())
    cache.put(b"a", newer)
    cache.put(b"a", facts())
    assert cache.get(b"a") is newer
    assert len(cache) == 1


def test_the_least_recently_used_goes_first() -> None:
    cache = MemoryFactsCache(max_entries=2, max_bytes=1 << 20)
    cache.put(b"a", facts())
    cache.put(b"b", facts())
    assert cache.get(b"a") is not None
    cache.put(b"c", facts())
    assert [cache.get(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]


def test_bytes_are_bounded_and_counted_down_again() -> None:
    one = size_of(facts(chain_bytes=1000))
    cache = MemoryFactsCache(max_entries=100, max_bytes=3 * one)
    for number in range(10):
        cache.put(b"%d" % number, facts(chain_bytes=1000))
    assert (len(cache), cache.bytes_kept) == (3, 3 * one)
    cache.discard(b"9")
    cache.discard(b"9")
    assert (len(cache), cache.bytes_kept) == (2, 2 * one)


def test_what_begins_alike_is_forgotten_together_and_counted() -> None:
    cache = MemoryFactsCache(max_entries=100, max_bytes=1 << 20)
    for key in (b"4:a.b3:443x", b"4:a.b4:8443", b"5:a.bc3:443"):
        cache.put(key, facts())
    assert [len(cache.discard_all(prefix)) for prefix in (b"4:a.b3:443", b"4:a.b", b"4:a.b", b"5:a.bc")] == [1, 1, 0, 1]
    assert (len(cache), cache.bytes_kept) == (0, 0)


def test_facts_larger_than_the_bound_are_not_kept_and_displace_nothing_else() -> None:
    cache = MemoryFactsCache(max_entries=100, max_bytes=5000)
    cache.put(b"small", facts())
    cache.put(b"large", facts(chain_bytes=10_000))
    assert (cache.get(b"large"), cache.get(b"small") is not None) == (None, True)


def test_what_a_deep_measurement_adds_is_counted() -> None:
    deep = DeepFacts(curves=(CurveFact("x25519", Support.YES),) * 30, remarks=("r" * 500,), contradictions=("c" * 700,))
    assert size_of(replace(facts(), deep=deep)) - size_of(facts()) > 30 * 100 + 500 + 700


def test_whoever_keeps_something_beside_the_facts_is_told_which_are_gone() -> None:
    cache = MemoryFactsCache(max_entries=2, max_bytes=9_000)
    first, second, third, large = facts(), facts(), facts(), facts(chain_bytes=10_000)
    newer = replace(first, observed_at=first.observed_at + timedelta(seconds=1))
    assert list(cache.put(b"a", first)) == []
    assert [one is first for one in cache.put(b"a", newer)] == [True]
    assert [one is first for one in cache.put(b"a", first)] == [True], "the newer facts stay"
    assert list(cache.put(b"a", newer)) == [], "they are there again"
    assert list(cache.put(b"b", second)) == []
    assert [one is newer for one in cache.put(b"c", third)] == [True]
    assert [one is large for one in cache.put(b"d", large)] == [True]
    assert [one is second for one in cache.discard(b"b")] == [True]
    assert list(cache.discard(b"b")) == []
    assert [one is third for one in cache.discard_all(b"c")] == [True]
