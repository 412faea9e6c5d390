"""Which server has which slot, read of what a cluster says."""

from typing import Any

import pytest

from otpc_policy.fleet.clients import Address
from otpc_policy.fleet.slot_map import read_slot_map, redirected_to, slot_of

ASKED = Address("10.0.0.1", 6379)


def server(host: Any, port: Any = 6379) -> list[Any]:
    return [host, port, b"id", []]


def test_slots_have_the_owners_that_the_answer_names() -> None:
    found = read_slot_map(
        [[5_461, 16_383, server(b"b", 2), server(b"c", 3)], [0, 5_460, server(b"a", 1)]], ASKED
    )
    owners = [found.owner(slot) for slot in (0, 5_460, 5_461, 16_383)]
    assert owners == [Address("a", 1)] * 2 + [Address("b", 2)] * 2
    assert found.primaries == {Address("a", 1), Address("b", 2)}
    assert found.others == {Address("c", 3)}
    assert found.is_whole


def test_slots_that_nobody_has_have_no_owner() -> None:
    found = read_slot_map([[10, 20, server(b"a")], [30, 40, server(b"a")]], ASKED)
    assert not found.is_whole
    assert [slot for slot in range(50) if found.owner(slot) is None] == [
        *range(10),
        *range(21, 30),
        *range(41, 50),
    ]


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_server_that_does_not_know_its_host_is_where_it_was_asked(host: bytes | None) -> None:
    found = read_slot_map([[0, 16_383, server(host, 7_000)]], ASKED)
    assert found.primaries == {Address("10.0.0.1", 7_000)}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"OK",
        [],
        [[]],
        [[0, 16_383]],
        [[0, 16_384, server(b"a")]],
        [[-1, 5, server(b"a")]],
        [[5, 4, server(b"a")]],
        [[True, 5, server(b"a")]],
        [[0, 5, server(b"a", 0)]],
        [[0, 5, server(b"a", 65_536)]],
        [[0, 5, server(b"a", b"6379")]],
        [[0, 5, server(b"a b")]],
        [[0, 5, server(b"a\r\nb")]],
        [[0, 5, server(b"\xff")]],
        [[0, 5, server(b"x" * 254)]],
        [[0, 5, server("a")], [1, 2, b"a"]],
        [[0, 5, []]],
        [[at, at, server(b"a")] for at in range(5_000)],
        [[at, at, server(b"a", at + 1)] for at in range(200)],
        [[0, 5, server(b"a"), *(server(b"r", at + 1) for at in range(200))]],
    ],
)
def test_what_is_no_map_is_refused(answer: Any) -> None:
    with pytest.raises((TypeError, ValueError, IndexError)):
        read_slot_map(answer, ASKED)


def test_slots_are_those_of_hash_tags() -> None:
    # As `CLUSTER KEYSLOT` answers.
    assert slot_of("123456789") == 12_739
    assert slot_of("{user1000}.following") == slot_of("user1000") == 3_443


@pytest.mark.parametrize(("host", "expected"), [("b", "b"), ("", "10.0.0.1"), ("::1", "::1")])
def test_a_redirect_leads_somewhere(host: str, expected: str) -> None:
    assert redirected_to(host, 7_000, ASKED) == Address(expected, 7_000)


@pytest.mark.parametrize(("host", "port"), [("a b", 1), ("a", 0), ("a", 65_536), ("a", -1)])
def test_a_redirect_to_nowhere_is_refused(host: str, port: int) -> None:
    with pytest.raises(ValueError, match=r"no (host|port)"):
        redirected_to(host, port, ASKED)
