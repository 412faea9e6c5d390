"""Clients that are made up for one measurement: possible ones, and never the same twice."""

from collections.abc import Callable

import pytest

from otpc_policy.core.facts import SEED_BYTES, TlsVersion
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello, SignatureKind
from otpc_policy.engine.profiles.extension_kinds import (
    GROUPS,
    KEY_SHARE,
    PRE_SHARED_KEY,
    SCHEMES,
    STATUS_REQUEST,
)
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.profiles.made_up_clients import (
    draw_clients_of_tls12,
    draw_clients_with_ecdsa_first,
    draw_insecure_clients,
    draw_old_clients,
    draw_variants,
)
from otpc_policy.engine.seed import Draws
from otpc_policy.engine.survey.cast import Cast, draw_cast
from otpc_policy.engine.transport.conversation import Conversation
from tests.tls.sent_hello import SentHello, read_hello

NAME = "gateway.partner.example"
SEEDS = range(30)
MAKERS: dict[Callable[[RandomBytes, int], tuple[ClientProfile, ...]], int] = {
    draw_clients_with_ecdsa_first: 4,
    draw_clients_of_tls12: 3,
    draw_old_clients: 5,
    draw_insecure_clients: 5,
}
MADE = [
    (maker, seed, profile)
    for maker, count in MAKERS.items()
    for seed in SEEDS
    for profile in maker(Draws(seed.to_bytes(SEED_BYTES, "big")).source(), count)
]


def cast_of(seed: int) -> Cast:
    return draw_cast(Draws(seed.to_bytes(SEED_BYTES, "big")).source(), server_name=NAME)


def read(profile: ClientProfile) -> SentHello:
    hello = ProfileHello(profile=profile, server_name=NAME if profile.sends_name else None)
    return read_hello(Conversation(hello, Draws(bytes(SEED_BYTES)).source()).opening)


def test_a_strict_reader_reads_every_hello_of_every_draw() -> None:
    for _, _, profile in MADE:
        hello = read(profile)
        assert len(hello.cipher_suites) == len(profile.listed_suites)
        assert len(set(hello.extension_kinds)) == len(hello.extension_kinds)


def test_shares_are_of_groups_that_are_named_and_in_their_order() -> None:
    """RFC 8446 4.2.8."""
    for _, _, profile in MADE:
        if KEY_SHARE in profile.extensions:
            assert GROUPS in profile.extensions
        named = [group for group in profile.groups if group in profile.share_groups]
        assert named == list(profile.share_groups)


def test_a_ticket_comes_last() -> None:
    """RFC 8446 4.2.11; so its hello is not padded either."""
    with_tickets = [one for _, _, one in MADE if PRE_SHARED_KEY in one.extensions]
    assert with_tickets
    for profile in with_tickets:
        assert profile.extensions[-1] == PRE_SHARED_KEY
        assert read(profile).extension_kinds[-1] == PRE_SHARED_KEY


def test_clients_that_ask_for_a_certificate_offer_what_the_protocol_demands() -> None:
    for maker, _, profile in MADE:
        if maker in (draw_clients_with_ecdsa_first, draw_clients_of_tls12):
            assert profile.highest >= TlsVersion.TLS_1_2
            assert {GROUPS, SCHEMES} <= set(profile.extensions)
            assert profile.compression == (0,) or profile.highest < TlsVersion.TLS_1_3


def test_of_clients_that_verify_rsa_alone_one_prefers_rsa_pss_and_one_pkcs1() -> None:
    """Go begins with RSA-PSS, and no other hello is sure to, since rustls may be drawn."""
    for seed in range(100):
        made = draw_clients_of_tls12(Draws(seed.to_bytes(SEED_BYTES, "big")).source(), 3)
        assert {0x0804, 0x0401} <= {profile.schemes[0] for profile in made}


def test_old_clients_send_no_signature_algorithms() -> None:
    """HAProxy would choose its certificate by them, as for no client of TLS 1.1."""
    for maker, _, profile in MADE:
        if maker is draw_old_clients:
            assert profile.highest <= TlsVersion.TLS_1_1
            assert SCHEMES not in profile.extensions


@pytest.mark.parametrize("seed", SEEDS)
def test_some_client_of_every_cast_can_ask_for_single_kinds_of_signature(seed: int) -> None:
    asking = [
        one
        for one in cast_of(seed).certificates
        if STATUS_REQUEST in one.extensions and one.highest is TlsVersion.TLS_1_3
    ]
    assert asking
    for client in (asking[0], asking[0].at_tls12()):
        for kind in SignatureKind:
            alone = client.signing_with((kind,))
            assert read(alone).signature_schemes == alone.schemes


def test_no_two_measurements_send_the_same_hellos() -> None:
    def shapes(seed: int) -> set[tuple[object, ...]]:
        cast = cast_of(seed)
        made = (*cast.certificates[1:], *cast.old[3:], *cast.insecure[1:])
        # Of tiny ones there are not many.
        large = [one for one in made if len(one.extensions) > 5]
        assert len(large) >= 9
        return {(one.extensions, one.listed_suites, one.groups, one.schemes) for one in large}

    for seed in SEEDS:
        assert not shapes(seed) & shapes(seed + 1000)


def test_every_three_variants_ask_for_both_extensions_that_are_facts() -> None:
    """extended_master_secret and renegotiation_info: see facts.handshake_facts."""
    for seed in SEEDS:
        variants = draw_variants(Draws(seed.to_bytes(SEED_BYTES, "big")).source(), 9)
        for place in (0, 3, 6):
            orders = [set(one.order) for one in variants[place : place + 3]]
            assert any({23, 0xFF01} <= order for order in orders)
