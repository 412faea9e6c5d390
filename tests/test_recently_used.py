"""A bounded mapping: what was used longest ago goes first, and the weights always add up."""

import random

from otpc_policy.recently_used import RecentlyUsed


def test_what_was_used_longest_ago_goes_first() -> None:
    kept = RecentlyUsed[str, int](max_entries=2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert [kept.get(key) for key in "abc"] == [1, None, 3]


def test_peeking_and_listing_use_nothing() -> None:
    kept = RecentlyUsed[str, int](max_entries=2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert (kept.peek("a"), kept.peek("z"), list(kept)) == (1, None, ["a", "b"])
    kept.put("c", 3)
    assert list(kept) == ["b", "c"]


def test_a_value_replaces_another_and_is_then_the_newest() -> None:
    kept = RecentlyUsed[str, int](max_entries=2)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.put("a", 3)
    kept.put("c", 4)
    assert [kept.get(key) for key in "abc"] == [3, None, 4]


def test_discarding_says_whether_there_was_anything() -> None:
    kept = RecentlyUsed[str, int](max_entries=2)
    kept.put("a", 1)
    assert [kept.discard("a"), kept.discard("a"), len(kept)] == [True, False, 0]


def test_a_value_heavier_than_the_bound_is_not_kept_and_displaces_only_its_predecessor() -> None:
    kept = RecentlyUsed[str, bytes](max_entries=9, max_weight=10, weigh=len)
    kept.put("a", b"123")
    kept.put("b", b"456")
    kept.put("a", b"x" * 11)
    assert (kept.get("a"), kept.get("b"), kept.weight) == (None, b"456", 3)


def test_whatever_happens_both_bounds_hold_and_the_weight_is_that_of_what_is_there() -> None:
    draw = random.Random(1)
    kept = RecentlyUsed[int, bytes](max_entries=8, max_weight=100, weigh=len)
    for _ in range(2_000):
        key = draw.randrange(20)
        if draw.random() < 0.01:
            kept.clear()
        elif draw.random() < 0.2:
            kept.discard(key)
        elif draw.random() < 0.3:
            kept.get(key)
        else:
            kept.put(key, b"x" * draw.randrange(120))
        weights = [len(kept.peek(each) or b"") for each in kept]
        assert kept.weight == sum(weights) <= 100
        assert len(kept) == len(weights) <= 8


def test_reversed_is_the_order_of_use_and_uses_nothing() -> None:
    kept = RecentlyUsed[str, int](max_entries=2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    assert list(reversed(kept)) == ["a", "b"]
    assert list(kept) == ["b", "a"]
