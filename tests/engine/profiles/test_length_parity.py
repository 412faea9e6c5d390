"""Hellos of odd and of even length are sent for every question, however long the server's name is.

Filters and middleboxes fail on one of the two. A certificate, TLS 1.0 or a NULL suite that only
such hellos are given must be seen in every measurement.
"""

from collections.abc import Sequence

import pytest

from otpc_policy.core.facts import SEED_BYTES, TlsVersion
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.profiles.extension_kinds import TICKET
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.profiles.length_parity import hello_length, with_both_parities
from otpc_policy.engine.profiles.made_up_clients import (
    draw_clients_of_tls12,
    draw_clients_with_ecdsa_first,
    draw_insecure_clients,
    draw_old_clients,
)
from otpc_policy.engine.seed import Draws
from otpc_policy.engine.survey.cast import Cast, draw_cast
from otpc_policy.engine.transport.conversation import Conversation

pytestmark = pytest.mark.long

SEEDS = range(300)
NAMES = (None, "a.io", "b.org", "partner.test", "gateway.partner.example")
MAKERS = {
    draw_clients_with_ecdsa_first: 4,
    draw_clients_of_tls12: 3,
    draw_old_clients: 5,
    draw_insecure_clients: 5,
}


def source_of(seed: int) -> RandomBytes:
    return Draws(seed.to_bytes(SEED_BYTES, "big")).source()


def parities(profiles: Sequence[ClientProfile], name: str | None) -> set[int]:
    return {hello_length(one, name) % 2 for one in profiles}


def questions(cast: Cast) -> dict[str, Sequence[ClientProfile]]:
    """Return the made-up clients of a cast by what a server shows to them alone."""
    of_tls12 = [one for one in cast.certificates[1:] if one.highest is TlsVersion.TLS_1_2]
    return {
        "clients that prefer ECDSA": cast.certificates[1:5],
        "clients of TLS 1.2": of_tls12[-3:],
        "old versions": cast.old[3:],
        "NULL suites": cast.insecure[1:],
    }


@pytest.mark.parametrize("name", NAMES)
def test_hellos_of_either_parity_ask_every_question(name: str | None) -> None:
    for seed in SEEDS:
        for question, clients in questions(draw_cast(source_of(seed), server_name=name)).items():
            assert parities(clients, name) == {0, 1}, (seed, question)


@pytest.mark.parametrize("name", NAMES)
def test_the_length_is_that_of_what_is_sent_but_for_an_even_number(name: str | None) -> None:
    for seed in SEEDS[:20]:
        for clients in questions(draw_cast(source_of(seed), server_name=name)).values():
            for client in clients:
                hello = ProfileHello(
                    profile=client, server_name=name if client.sends_name else None
                )
                sent = Conversation(hello, source_of(seed)).opening
                assert (len(sent) - hello_length(client, name)) % 2 == 0


def test_one_client_at_most_is_changed_and_by_one_byte_of_its_length_alone() -> None:
    changed = 0
    for seed in SEEDS:
        for maker, count in MAKERS.items():
            drawn = maker(source_of(seed), count)
            balanced = with_both_parities(drawn, "partner.test")
            pairs = [(old, new) for old, new in zip(drawn, balanced, strict=True) if old != new]
            assert len(pairs) <= 1
            for old, new in pairs:
                assert hello_length(new, "partner.test") == hello_length(old, "partner.test") + 1
                assert TICKET in new.extensions
                assert new.extensions == old.extensions
                assert new.listed_suites == old.listed_suites
                changed += 1
    assert changed


def test_the_same_seed_and_name_give_the_same_cast() -> None:
    first, second = (draw_cast(source_of(74), server_name="partner.test") for _ in range(2))
    assert first.certificates == second.certificates
    assert (first.old, first.insecure) == (second.old, second.insecure)


def test_clients_without_a_ticket_are_left_as_they_are() -> None:
    bare = tuple(one for one in draw_insecure_clients(source_of(1), 5) if not one.extensions)
    assert bare
    assert with_both_parities(bare, "partner.test") == bare
