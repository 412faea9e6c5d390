"""When a replica looks at what others may have measured."""

from collections.abc import Sequence
from datetime import timedelta

from otpc_policy.fleet.watch_looks import Looks
from tests.support.facts import NOW


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def taken(looks: Looks, until_s: int, most: int = 8) -> Sequence[tuple[int, str]]:
    """Take once a second; return when which name came."""
    return [
        (second, name)
        for second in range(until_s)
        for name in looks.take(NOW + seconds(second), most)
    ]


def test_a_name_is_looked_at_in_time_and_then_less_and_less_often() -> None:
    looks = Looks()
    looks.at("a", NOW + seconds(5))
    assert [second for second, _ in taken(looks, 130)] == [5, 6, 8, 12, 20, 36, 66, 96, 126]


def test_what_is_put_off_is_not_looked_at_before() -> None:
    looks = Looks()
    looks.at("a", NOW)
    looks.at("a", NOW + seconds(10))
    assert taken(looks, 11) == [(10, "a")]
    looks.forget("a")
    assert not looks.take(NOW + seconds(100), 8)


def test_no_more_than_asked_for_and_those_that_have_waited_longest_first() -> None:
    looks = Looks()
    for number, name in enumerate("abcd"):
        looks.at(name, NOW + seconds(number))
    assert looks.take(NOW + seconds(3), 2) == ["a", "b"]
    # Those come back later than what has not been looked at yet.
    assert looks.take(NOW + seconds(4), 2) == ["c", "d"]


def test_it_grows_with_the_names_alone() -> None:
    looks = Looks()
    for number in range(10_000):
        looks.at(f"{number % 10}", NOW + seconds(number))
    assert len(looks._order) <= 64 + 40 + 1
