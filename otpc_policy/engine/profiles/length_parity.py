"""The length of made-up hellos for one server name: odd in some and even in others.

A server that tells clients apart by whether the length of their hellos is odd is unlikely; a filter
or middlebox that fails on one of the two is not. How long a hello is depends on the server's name,
which is not known while clients are drawn. So the clients that answer one question are looked at
together once the name is known. If all hellos are odd, or all are even, one that sends a session
ticket sends one that is longer by a byte, or is padded by a byte more. Servers issue tickets of
either kind, and nothing else in the hello changes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.profiles.extension_kinds import TICKET
from otpc_policy.engine.profiles.hello_bytes import encode_profile_hello
from otpc_policy.engine.profiles.hello_draw import draw

# Bytes of a public key, by its group: what made-up clients send (RFC 8446 4.2.8.2, RFC 7748, and
# draft-ietf-tls-ecdhe-mlkem for X25519MLKEM768).
_SHARE_BYTES: Final = {29: 32, 23: 65, 0x11EC: 1216}


def hello_length(profile: ClientProfile, server_name: str | None) -> int:
    """Return how many bytes a hello of a made-up client takes, record header included.

    What is drawn for each connection may change it, but by an even number of bytes.
    """
    hello = ProfileHello(profile=profile, server_name=server_name if profile.sends_name else None)
    shares = {group: bytes(_SHARE_BYTES[group]) for group in profile.share_groups}
    return len(encode_profile_hello(hello, draw(profile, _zeros), shares=shares))


def with_both_parities(
    profiles: Sequence[ClientProfile], server_name: str | None
) -> tuple[ClientProfile, ...]:
    """Return made-up clients that answer one question, with hellos of odd and of even length.

    server_name: an A-label name; None where none is sent. Only the client that sends a session
    ticket is changed; without one, nothing is.
    """
    place = next((place for place, one in enumerate(profiles) if _has_ticket(one)), None)
    if place is None:
        return tuple(profiles)
    one = profiles[place]
    parities = {
        hello_length(other, server_name) % 2
        for other in (*profiles[:place], *profiles[place + 1 :])
    }
    if parities != {hello_length(one, server_name) % 2}:
        return tuple(profiles)
    return (*profiles[:place], _longer_by_one(one, server_name), *profiles[place + 1 :])


def _longer_by_one(profile: ClientProfile, server_name: str | None) -> ClientProfile:
    if profile.padded_to == hello_length(profile, server_name):
        return replace(profile, padded_to=profile.padded_to + 1)
    contents = tuple(
        (kind, bytes(len(content) + 1) if kind == TICKET else content)
        for kind, content in profile.contents
    )
    return replace(profile, contents=contents)


def _has_ticket(profile: ClientProfile) -> bool:
    return bool(dict(profile.contents).get(TICKET)) and TICKET in profile.drawn_contents


def _zeros(count: int) -> bytes:
    return bytes(count)
