"""The hellos of client profiles as bytes.

What stays the same in every hello of a profile is encoded once and kept. It is cut at what differs:
the server name, key shares, and what the client draws (hello_draw).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import (
    GREASE_FIRST,
    GREASE_GROUP,
    GREASE_LAST,
    GREASE_PLACEHOLDERS,
    GREASE_VERSION,
    OPENSSL_3_SCHEMES,
    ClientProfile,
    ProfileHello,
)
from otpc_policy.engine.profiles.extension_kinds import (
    ALPN,
    COOKIE,
    ENCRYPT_THEN_MAC,
    EXTENDED_MASTER_SECRET,
    GROUPS,
    HEARTBEAT,
    KEY_SHARE,
    PADDING,
    POINT_FORMATS,
    PSK_MODES,
    RECORD_SIZE,
    RENEGOTIATION,
    SCHEMES,
    SCHEMES_CERT,
    SERVER_NAME,
    STATUS_REQUEST,
    TICKET,
    TIMESTAMPS,
    VERSIONS,
)
from otpc_policy.engine.profiles.hello_draw import Drawn
from otpc_policy.tls.hello_extensions import numbers, server_name_extension, vector

_SSL2_CLIENT_HELLO = 1
_CHALLENGE_BYTES = 16
_CONSTANT: Mapping[int, bytes] = {
    STATUS_REQUEST: b"\1\0\0\0\0",
    POINT_FORMATS: b"\1\0",
    HEARTBEAT: b"\1",
    ALPN: vector(2, vector(1, b"h2") + vector(1, b"http/1.1")),
    TIMESTAMPS: b"",
    ENCRYPT_THEN_MAC: b"",
    EXTENDED_MASTER_SECRET: b"",
    RECORD_SIZE: b"\x40\x01",
    TICKET: b"",
    PSK_MODES: b"\1\1",
    RENEGOTIATION: b"\0",
    # How the certificates may be signed, whatever the leaf's key: OpenSSL refuses a chain with
    # other signatures.
    SCHEMES_CERT: numbers(OPENSSL_3_SCHEMES),
    GREASE_FIRST: b"",
    GREASE_LAST: b"\0",
}

# Bytes, or the number of what differs: the kind of an extension, or a placeholder for GREASE.
_Part = bytes | int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """What is constant in the hellos of a profile.

    suites: with their length. extensions: each as its parts. in_order: the parts of all, with as
    few cuts as there are differences.
    """

    suites: tuple[_Part, ...]
    extensions: tuple[tuple[_Part, ...], ...]
    in_order: tuple[_Part, ...]


def encode_profile_hello(
    hello: ProfileHello,
    drawn: Drawn,
    *,
    shares: Mapping[int, bytes],
    cookie: bytes = b"",
    is_second: bool = False,
) -> bytes:
    """Return one record with the hello.

    drawn: for this profile. shares: public key by group, for each of share_groups.
    is_second: it answers a HelloRetryRequest; then shares holds the one group that this asked for,
    if it did, and cookie what it gave (RFC 8446 4.1.2).
    Key shares stand in the order of supported_groups (RFC 8446 4.2.8).
    """
    profile = hello.profile
    if profile.is_ssl2_format:
        return _ssl2_format(profile, drawn.client_random[:_CHALLENGE_BYTES])
    template = _template(profile)
    differing = _differing(hello, drawn, shares)
    in_order = (
        template.in_order
        if drawn.order is None
        else chain.from_iterable(template.extensions[place] for place in drawn.order)
    )
    extensions = _filled(in_order, differing)
    if cookie:
        # pre_shared_key is the last of all (RFC 8446 4.2.11).
        extensions = _with_header(COOKIE, vector(2, cookie)) + extensions
    head = b"".join(
        (
            min(profile.highest, TlsVersion.TLS_1_2).to_bytes(2, "big"),
            drawn.client_random,
            vector(1, drawn.session_id if profile.has_session_id else b""),
            _filled(template.suites, differing),
            vector(1, bytes(profile.compression)),
        )
    )
    unpadded = 5 + 4 + len(head) + 2 + len(extensions)
    missing = profile.padded_to - unpadded - 4
    if profile.padded_from <= unpadded < profile.padded_to and (missing > 0 or profile.padded_from):
        # OpenSSL and BoringSSL pad by at least one byte, even past the length that they aim at.
        extensions += _with_header(PADDING, bytes(max(1, missing)))
    body = head + (vector(2, extensions) if extensions else b"")
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    # RFC 8446 5.1: only the record of a first hello may say another version.
    record_version = TlsVersion.TLS_1_2 if is_second else profile.record_version
    return b"\x16" + record_version.to_bytes(2, "big") + vector(2, message)


def _ssl2_format(profile: ClientProfile, challenge: bytes) -> bytes:
    """RFC 5246 E.2: a hello of a later version in the form of SSL 2."""
    specs = b"".join(suite.to_bytes(3, "big") for suite in profile.listed_suites)
    body = (
        struct.pack(">BHHHH", _SSL2_CLIENT_HELLO, profile.highest, len(specs), 0, len(challenge))
        + specs
        + challenge
    )
    return (0x8000 | len(body)).to_bytes(2, "big") + body


def _filled(parts: Iterable[_Part], differing: Mapping[int, bytes]) -> bytes:
    return b"".join([part if isinstance(part, bytes) else differing[part] for part in parts])


def _differing(
    hello: ProfileHello, drawn: Drawn, shares: Mapping[int, bytes]
) -> Mapping[int, bytes]:
    """Return what the numbers of a template stand for in this hello."""
    differing = dict(drawn.grease)
    differing[SERVER_NAME] = server_name_extension(hello.server_name)
    for kind, content in drawn.contents:
        differing[kind] = _with_header(kind, content)
    if KEY_SHARE in hello.profile.extensions:
        listed = _shares(hello.profile, shares, differing)
        differing[KEY_SHARE] = _with_header(KEY_SHARE, vector(2, listed))
    return differing


def _shares(
    profile: ClientProfile, shares: Mapping[int, bytes], differing: Mapping[int, bytes]
) -> bytes:
    # RFC 8446 4.2.8: the share that a HelloRetryRequest asked for is the only one.
    is_asked_for = shares.keys() != set(profile.share_groups)
    sent = shares if is_asked_for else {GREASE_GROUP: b"\0", **shares}
    return b"".join(
        (differing[group] if group == GREASE_GROUP else group.to_bytes(2, "big"))
        + vector(2, sent[group])
        for group in profile.groups
        if group in sent
    )


# The profiles are few, and all servers are sent the same ones.
@lru_cache(maxsize=256)
def _template(profile: ClientProfile) -> _Template:
    differing = {SERVER_NAME, KEY_SHARE, *profile.drawn_contents}
    extensions = [
        (kind,) if kind in differing else _joined(_extension(kind, profile))
        for kind in profile.extensions
    ]
    return _Template(
        suites=_joined(_listed(2, profile.listed_suites)),
        extensions=tuple(extensions),
        in_order=_joined(chain.from_iterable(extensions)),
    )


def _extension(kind: int, profile: ClientProfile) -> list[_Part]:
    own = dict(profile.contents)
    content = [own[kind]] if kind in own else _content(kind, profile)
    # A placeholder takes the two bytes of a number.
    size = sum(len(part) if isinstance(part, bytes) else 2 for part in content)
    return [_number(kind), size.to_bytes(2, "big"), *content]


def _content(kind: int, profile: ClientProfile) -> list[_Part]:
    if kind == GROUPS:
        return _listed(2, profile.groups)
    if kind == SCHEMES:
        return [numbers(profile.schemes)]
    if kind == VERSIONS:
        offered = [
            version
            for version in reversed(TlsVersion)
            if profile.lowest <= version <= profile.highest
        ]
        grease = [GREASE_VERSION] if GREASE_FIRST in profile.extensions else []
        return _listed(1, (*grease, *offered))
    return [_CONSTANT[kind]]


def _listed(width: int, values: Sequence[int]) -> list[_Part]:
    """Return a list of two-byte numbers, preceded by its length in width bytes."""
    return [(2 * len(values)).to_bytes(width, "big"), *map(_number, values)]


def _number(value: int) -> _Part:
    return value if value in GREASE_PLACEHOLDERS else value.to_bytes(2, "big")


def _joined(parts: Iterable[_Part]) -> tuple[_Part, ...]:
    """Return the parts with those that are bytes joined to their neighbours."""
    joined: list[_Part] = []
    for part in parts:
        if joined and isinstance(part, bytes) and isinstance(joined[-1], bytes):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _with_header(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)
