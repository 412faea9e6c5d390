"""What a client draws anew for each connection, drawn from a source that is handed over.

A hello that repeated its GREASE values, its order of extensions or the contents that clients make
up would be told from theirs. All of it comes from one source of bytes, so that a seeded one repeats
a hello; private keys do not come from it, so key shares are never repeated.

Source: RFC 8701 for GREASE; for the rest what BoringSSL and rustls were recorded to send
(tests/recording), and RFC 9849 6.2 for the form of a made-up encrypted_client_hello.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from otpc_policy.engine.profiles.clients import (
    GREASE_FIRST,
    GREASE_LAST,
    GREASE_PLACEHOLDERS,
    RANDOM_BYTES,
    ClientProfile,
)
from otpc_policy.engine.profiles.extension_kinds import (
    ENCRYPTED_CLIENT_HELLO,
    PRE_SHARED_KEY,
    TICKET,
    TRUST_ANCHORS,
)
from otpc_policy.tls.hello_extensions import vector

RandomBytes = Callable[[int], bytes]
_Item = TypeVar("_Item")

_GREASE_VALUES: Final = tuple(bytes((high << 4 | 0x0A,)) * 2 for high in range(16))
_UNMOVED: Final = (GREASE_FIRST, GREASE_LAST)
# Of a key to sort by: with four bytes, hardly any two are the same.
_KEY_BYTES: Final = 4
# Outer, suite of HKDF and AEAD, configuration, length of the encapsulated key.
_ECH_SUITE_BYTES: Final = 5
_ECH_KEY_BYTES: Final = 32
# BoringSSL: 128, 160, 192 or 224 bytes, and the tag of the AEAD.
_ECH_PAYLOADS: Final = (144, 176, 208, 240)
_TICKET_AGE_BYTES: Final = 4
# Of SHA-256 and of SHA-384, by the suite of the session.
_BINDERS: Final = (32, 48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What one client drew; a hello that answers a HelloRetryRequest has the same (RFC 8446 4.1.2).

    client_random, session_id: 32 bytes each, the latter also for a profile that sends none.
    grease: placeholders of profiles, each with the two bytes that it stands for; the group's stands
    in supported_groups and in the key shares.
    contents: kinds of extension, each with its content. order: places of the profile's extensions
    as they are sent; None keeps the order of the profile.
    """

    client_random: bytes
    session_id: bytes
    grease: tuple[tuple[int, bytes], ...] = ()
    contents: tuple[tuple[int, bytes], ...] = ()
    order: tuple[int, ...] | None = None


def draw(profile: ClientProfile, random_bytes: RandomBytes) -> Drawn:
    """Return what a client of this profile draws.

    random_bytes: returns so many random bytes.
    """
    return Drawn(
        client_random=random_bytes(RANDOM_BYTES),
        session_id=random_bytes(RANDOM_BYTES),
        grease=_grease(random_bytes) if _has_grease(profile) else (),
        contents=_contents(profile, random_bytes) if profile.drawn_contents else (),
        order=_order(profile, random_bytes) if profile.shuffles_extensions else None,
    )


@lru_cache(maxsize=256)
def _has_grease(profile: ClientProfile) -> bool:
    listed = {*profile.listed_suites, *profile.groups, *profile.extensions}
    return not listed.isdisjoint(GREASE_PLACEHOLDERS)


def _grease(random_bytes: RandomBytes) -> tuple[tuple[int, bytes], ...]:
    numbers = random_bytes(len(GREASE_PLACEHOLDERS))
    drawn = {
        placeholder: _GREASE_VALUES[number & 0x0F]
        for placeholder, number in zip(GREASE_PLACEHOLDERS, numbers, strict=True)
    }
    if drawn[GREASE_LAST] == drawn[GREASE_FIRST]:
        # No extension may be sent twice. BoringSSL takes the neighbouring value.
        drawn[GREASE_LAST] = bytes(number ^ 0x10 for number in drawn[GREASE_LAST])
    return tuple(drawn.items())


def _order(profile: ClientProfile, random_bytes: RandomBytes) -> tuple[int, ...]:
    """GREASE stays first and last."""
    kinds = profile.extensions
    movable = [place for place, kind in enumerate(kinds) if kind not in _UNMOVED]
    moved = iter(_shuffled(movable, random_bytes))
    return tuple(place if kind in _UNMOVED else next(moved) for place, kind in enumerate(kinds))


def _shuffled(items: Sequence[_Item], random_bytes: RandomBytes) -> list[_Item]:
    keys = struct.unpack(f">{len(items)}I", random_bytes(_KEY_BYTES * len(items)))
    return [items[place] for place in sorted(range(len(items)), key=keys.__getitem__)]


def _contents(profile: ClientProfile, random_bytes: RandomBytes) -> tuple[tuple[int, bytes], ...]:
    recorded = dict(profile.contents)
    return tuple(
        (kind, _DRAWS[kind](recorded[kind], random_bytes)) for kind in profile.drawn_contents
    )


def _encrypted_client_hello(recorded: bytes, random_bytes: RandomBytes) -> bytes:
    """Return one that no server can decrypt, of the suite that was recorded."""
    configuration, payload, *key = random_bytes(2 + _ECH_KEY_BYTES)
    # RFC 7748 5: the highest bit of an X25519 key is never set.
    key[-1] &= 0x7F
    return b"".join(
        (
            recorded[:_ECH_SUITE_BYTES],
            bytes((configuration,)),
            vector(2, bytes(key)),
            vector(2, random_bytes(_ECH_PAYLOADS[payload % len(_ECH_PAYLOADS)])),
        )
    )


def _pre_shared_key(recorded: bytes, random_bytes: RandomBytes) -> bytes:
    """Return a ticket that no server has issued, as long as recorded (RFC 8446 4.2.11).

    A server ignores tickets that it does not know, and verifies no binder of them.
    """
    identity = vector(2, random_bytes(len(recorded))) + random_bytes(_TICKET_AGE_BYTES)
    (choice,) = random_bytes(1)
    binder = random_bytes(_BINDERS[choice % len(_BINDERS)])
    return vector(2, identity) + vector(2, vector(1, binder))


def _ticket(recorded: bytes, random_bytes: RandomBytes) -> bytes:
    """Return a ticket that no server has issued, as long as recorded (RFC 5077 3.2)."""
    return random_bytes(len(recorded))


def _trust_anchors(recorded: bytes, random_bytes: RandomBytes) -> bytes:
    """Return the recorded identifiers in another order."""
    return vector(2, b"".join(_shuffled(_identifiers(recorded), random_bytes)))


@lru_cache(maxsize=16)
def _identifiers(recorded: bytes) -> tuple[bytes, ...]:
    """Return the identifiers, each with its length in one byte."""
    identifiers, place = [], 2
    while place < len(recorded):
        end = place + 1 + recorded[place]
        identifiers.append(recorded[place:end])
        place = end
    return tuple(identifiers)


_DRAWS: Mapping[int, Callable[[bytes, RandomBytes], bytes]] = {
    ENCRYPTED_CLIENT_HELLO: _encrypted_client_hello,
    PRE_SHARED_KEY: _pre_shared_key,
    TICKET: _ticket,
    TRUST_ANCHORS: _trust_anchors,
}
# Kinds of extension whose content can be drawn.
DRAWABLE: Final = frozenset(_DRAWS)
