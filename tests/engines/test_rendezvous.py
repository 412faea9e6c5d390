"""Which engine an address goes to: the same everywhere, and few move when engines come and go."""

from collections import Counter

from otpc_policy.engines.fake import FakeEngine
from otpc_policy.engines.ports import Report
from otpc_policy.engines.rendezvous import ranked
from tests.support.facts import make_address

KEYS = [f"192.0.2.{number}" for number in range(256)]


def engines(*names: str) -> list[FakeEngine]:
    return [FakeEngine(name=name, answer=lambda *_: Report(make_address())) for name in names]


def first(key: str, *names: str) -> str:
    return ranked(key, engines(*names))[0].name


def test_every_front_picks_the_same_whatever_the_order_in_which_it_knows_them() -> None:
    for key in KEYS:
        assert first(key, "a", "b", "c") == first(key, "c", "a", "b")


def test_addresses_are_spread() -> None:
    counts = Counter(first(key, "a", "b", "c", "d") for key in KEYS)
    assert set(counts) == {"a", "b", "c", "d"}
    assert min(counts.values()) > 256 / 4 / 2


def test_only_the_addresses_of_the_engine_that_goes_move() -> None:
    for key in KEYS:
        before = first(key, "a", "b", "c")
        assert before in ("b", first(key, "a", "c"))


def test_the_choice_is_that_of_releases_before() -> None:
    """Fronts of two releases share engines: their choices must agree."""
    assert [first(key, "a:1", "b:1", "c:1") for key in KEYS[:8]] == PINNED


PINNED = ["b:1", "b:1", "b:1", "b:1", "b:1", "b:1", "c:1", "a:1"]


def test_long_names_that_differ_at_their_ends_are_different_engines() -> None:
    names = [f"unix:/{'folder/' * 12}{number}" for number in range(2)]
    assert Counter(first(key, *names) for key in KEYS).keys() == set(names)
