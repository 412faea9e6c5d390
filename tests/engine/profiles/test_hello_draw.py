"""What clients draw: everywhere where they draw it, as they do, and from the given source alone."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from otpc_policy.engine.profiles.clients import GREASE_LAST, ClientProfile, ProfileHello
from otpc_policy.engine.profiles.extension_kinds import ENCRYPTED_CLIENT_HELLO, TRUST_ANCHORS
from otpc_policy.engine.profiles.hello_bytes import encode_profile_hello
from otpc_policy.engine.profiles.hello_draw import DRAWABLE, draw
from otpc_policy.engine.profiles.recorded_clients import Varies, recorded_clients
from tests.engine.profiles.known_clients import BROWSER, INSECURE_SUITES, OPENSSL_3
from tests.tls.sent_hello import SentHello, is_grease, read_hello

EVERY_RECORDED = pytest.mark.parametrize(
    "profile",
    [client.profile for client in recorded_clients().values()],
    ids=lambda profile: profile.name,
)
CHROME, FIREFOX, RUSTLS, SAFARI = (
    recorded_clients()[name].profile for name in ("chrome", "firefox", "rustls", "safari")
)
GREASED = pytest.mark.parametrize(
    "profile", [CHROME, SAFARI, BROWSER, INSECURE_SUITES], ids=lambda profile: profile.name
)


def hello_of(profile: ClientProfile, random_bytes: Callable[[int], bytes]) -> bytes:
    name = "partner.test" if profile.sends_name else None
    shares = dict.fromkeys(profile.share_groups, b"share")
    hello = ProfileHello(profile=profile, server_name=name)
    return encode_profile_hello(hello, draw(profile, random_bytes), shares=shares)


def hellos_of(profile: ClientProfile, count: int) -> list[SentHello]:
    chance = Random(profile.name)
    return [read_hello(hello_of(profile, chance.randbytes)) for _ in range(count)]


def first_grease(numbers: tuple[int, ...] | None) -> int | None:
    return next(filter(is_grease, numbers or ()), None)


def last_grease(hello: SentHello) -> int | None:
    return first_grease(hello.extension_kinds[:0:-1])


@EVERY_RECORDED
def test_the_same_source_gives_the_same_hello_and_another_one_another(
    profile: ClientProfile,
) -> None:
    assert hello_of(profile, Random(1).randbytes) == hello_of(profile, Random(1).randbytes)
    assert hello_of(profile, Random(1).randbytes) != hello_of(profile, Random(2).randbytes)


@EVERY_RECORDED
def test_without_draws_only_random_and_session_id_differ(profile: ClientProfile) -> None:
    varies = recorded_clients()[profile.name].varies
    drawn = {Varies.GREASE, Varies.EXTENSION_ORDER, Varies.TRUST_ANCHORS}
    drawn.add(Varies.ENCRYPTED_CLIENT_HELLO)
    hellos = {replace(hello, random=b"", session_id=b"") for hello in hellos_of(profile, 20)}
    assert (len(hellos) == 1) is varies.isdisjoint(drawn)


@GREASED
def test_every_grease_value_is_met_in_every_place(profile: ClientProfile) -> None:
    """RFC 8701 2: sixteen values, each as likely."""
    hellos = hellos_of(profile, 400)
    for place in (
        lambda hello: first_grease(hello.cipher_suites),
        lambda hello: first_grease(hello.groups),
        lambda hello: first_grease(hello.offered_versions),
        lambda hello: first_grease(hello.extension_kinds),
        last_grease,
    ):
        seen = Counter(place(hello) for hello in hellos)
        assert set(seen) in ({None}, {0x0A0A + 0x1010 * number for number in range(16)})
        assert max(seen.values()) < 60 or set(seen) == {None}


@GREASED
def test_grease_stands_where_the_client_puts_it(profile: ClientProfile) -> None:
    for hello in hellos_of(profile, 100):
        kinds = hello.extension_kinds
        assert [place for place, kind in enumerate(kinds) if is_grease(kind)] == (
            [0, len(profile.extensions) - 1] if GREASE_LAST in profile.extensions else [0]
        )
        share = first_grease(tuple(group for group, _ in hello.key_shares))
        assert share == (first_grease(hello.groups) if profile.share_groups else None)


def test_the_values_of_one_hello_do_not_depend_on_each_other() -> None:
    pairs = {
        (first_grease(hello.cipher_suites), first_grease(hello.groups))
        for hello in hellos_of(SAFARI, 2000)
    }
    assert len(pairs) == 256


@pytest.mark.parametrize("profile", [CHROME, RUSTLS], ids=lambda profile: profile.name)
def test_every_extension_is_met_in_every_place(profile: ClientProfile) -> None:
    recorded = [kind for kind in profile.extensions if not is_grease(kind)]
    seen = {
        (place, kind)
        for hello in hellos_of(profile, 600)
        for place, kind in enumerate(k for k in hello.extension_kinds if not is_grease(k))
    }
    assert seen == {(place, kind) for place in range(len(recorded)) for kind in recorded}


@pytest.mark.parametrize("profile", [FIREFOX, SAFARI, OPENSSL_3], ids=lambda profile: profile.name)
def test_who_does_not_shuffle_keeps_the_recorded_order(profile: ClientProfile) -> None:
    recorded = [kind for kind in profile.extensions if not is_grease(kind)]
    for hello in hellos_of(profile, 20):
        assert [kind for kind in hello.extension_kinds if not is_grease(kind)] == recorded


@pytest.mark.parametrize("profile", [CHROME, FIREFOX], ids=lambda profile: profile.name)
def test_an_encrypted_client_hello_is_made_up_as_boringssl_does(profile: ClientProfile) -> None:
    """RFC 9849 5: outer, KDF and AEAD, configuration, a key of X25519, and a payload with its tag.

    Lengths as recorded from BoringSSL.
    """
    contents = [hello.extension(ENCRYPTED_CLIENT_HELLO) or b"" for hello in hellos_of(profile, 200)]
    assert {content[:5] for content in contents} == {b"\0\0\1\0\1"}
    assert len({content[5] for content in contents}) > 100
    assert {content[6:8] for content in contents} == {b"\0\x20"}
    assert len({content[8:40] for content in contents}) == len(contents)
    assert not any(content[39] & 0x80 for content in contents)
    assert {int.from_bytes(content[40:42], "big") for content in contents} == {144, 176, 208, 240}
    assert all(len(content) == 42 + int.from_bytes(content[40:42], "big") for content in contents)
    assert len({content[42:] for content in contents}) == len(contents)


def identifiers(content: bytes) -> list[bytes]:
    found, place = [], 2
    assert int.from_bytes(content[:2], "big") == len(content) - 2
    while place < len(content):
        found.append(content[place + 1 : place + 1 + content[place]])
        place += 1 + content[place]
    return found


def test_trust_anchors_are_the_recorded_ones_in_any_order() -> None:
    recorded = identifiers(dict(CHROME.contents)[TRUST_ANCHORS])
    drawn = [identifiers(hello.extension(TRUST_ANCHORS) or b"") for hello in hellos_of(CHROME, 50)]
    assert all(sorted(listed) == sorted(recorded) for listed in drawn)
    assert len({tuple(listed) for listed in drawn}) == len(drawn)


@EVERY_RECORDED
def test_whatever_varies_in_a_recording_is_drawn(profile: ClientProfile) -> None:
    varies = recorded_clients()[profile.name].varies
    assert (Varies.ENCRYPTED_CLIENT_HELLO in varies) is (
        ENCRYPTED_CLIENT_HELLO in profile.drawn_contents
    )
    assert (Varies.TRUST_ANCHORS in varies) is (TRUST_ANCHORS in profile.drawn_contents)
    assert (Varies.EXTENSION_ORDER in varies) is profile.shuffles_extensions
    assert (Varies.GREASE in varies) is bool(draw(profile, os.urandom).grease)
    assert DRAWABLE.issuperset(profile.drawn_contents)
