"""Draws under a cover: what is promised about coins, orders and levels, for every draw."""

from itertools import combinations, product

import pytest

from otpc_policy.core.facts import SEED_BYTES
from otpc_policy.engine.profiles.cover import Cover, Draw, columns_of
from otpc_policy.engine.seed import Draws

HELLOS = (2, 3, 4, 5, 6, 8, 9, 10)
SEEDS = range(20)


def draws(seed: int, hellos: int) -> list[Draw]:
    source = Draws(seed.to_bytes(SEED_BYTES, "big")).source()
    return list(Cover(source, hellos).draws())


@pytest.mark.parametrize("hellos", [number for number in HELLOS if number >= 4])
def test_any_two_columns_have_every_pair_of_bits(hellos: int) -> None:
    for first, second in combinations(columns_of(hellos), 2):
        pairs = {(first >> place & 1, second >> place & 1) for place in range(hellos)}
        assert len(pairs) == 4


@pytest.mark.parametrize("hellos", HELLOS)
def test_columns_differ_and_leave_the_first_hello_out(hellos: int) -> None:
    columns = columns_of(hellos)
    assert len(set(columns)) == len(columns)
    assert not any(column & 1 for column in columns)
    assert all(0 < column < 1 << hellos for column in columns)


@pytest.mark.parametrize("hellos", HELLOS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_coin_falls_both_ways(hellos: int, seed: int) -> None:
    made = draws(seed, hellos)
    for _ in range(100):
        assert {draw.coin() for draw in made} == {True, False}


@pytest.mark.parametrize("hellos", [4, 6, 9])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_two_coins_of_as_many_as_there_are_columns_fall_every_way(
    hellos: int, seed: int
) -> None:
    made = draws(seed, hellos)
    fallen = [[draw.coin() for draw in made] for _ in columns_of(hellos)]
    for first, second in combinations(fallen, 2):
        assert set(zip(first, second, strict=True)) == set(product((True, False), repeat=2))


@pytest.mark.parametrize("hellos", HELLOS)
def test_the_first_hello_has_nothing_that_is_only_there_or_not(hellos: int) -> None:
    first, *others = draws(7, hellos)
    assert first.some(range(50)) == []
    assert set().union(*(other.some(range(50)) for other in others)) == set(range(50))


@pytest.mark.parametrize("hellos", [2, 4, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_stands_before_something_else_stands_after_it_in_another(
    hellos: int, seed: int
) -> None:
    orders = [draw.order("abcdef") for draw in draws(seed, hellos)]
    for first, second in combinations("abcdef", 2):
        assert {order.index(first) < order.index(second) for order in orders} == {True, False}


@pytest.mark.parametrize("hellos", [4, 5, 8])
def test_each_of_the_other_hellos_has_another_item_and_the_first_its_own(hellos: int) -> None:
    first, *others = draws(3, hellos)
    assert first.one_of("own", "abc") == "own"
    assert {other.one_of("own", "abc") for other in others} == set("abc")


def test_the_same_source_draws_the_same() -> None:
    def everything(seed: int) -> list[object]:
        return [(draw.coin(), draw.order("abcdefgh"), draw.number(1000)) for draw in draws(seed, 4)]

    assert everything(1) == everything(1)
    assert everything(1) != everything(2)
