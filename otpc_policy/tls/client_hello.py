"""ClientHello messages: written for suites that no TLS library of ours can offer, and read off the bytes that were sent.

Evidence of absence needs to know what was really offered: a TLS library drops suites that it does not implement, or that
the version forbids, without saying so. Only our own hellos are read here. No sockets; randomness is an argument.
"""

from collections.abc import Iterable, Sequence

from otpc_policy.facts import TlsVersion

# Bytes of randomness in one hello: Random, session id, and an X25519 share, which any 32 bytes are (RFC 7748 5).
ENTROPY_BYTES = 96

# RFC 5746 and RFC 7507: signalling values in the list of suites; nobody can choose them.
_SIGNALS = frozenset({0x00FF, 0x5600})
_SSL2_CLIENT_HELLO = 1


# Wide, so that no suite is hidden by its curve or hash: what is in use first, then finite fields, Brainpool, SM2 and GOST, then old curves.
_GROUPS = (29, 23, 24, 25, 30, *range(256, 261), 26, 27, 28, 41, *range(34, 41), 22, 21, 19, 14, 13, 12, 11, 10, 9)
_SIGNATURE_SCHEMES = (
    *(0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601),
    *(0x081A, 0x081B, 0x081C, 0x0708, 0x0840, 0x0841, 0x0303, 0x0301, 0x0402, 0x0502, 0x0602, 0x0302, 0x0203, 0x0201, 0x0202, 0x0101),
)
_ALPN = (b"h2", b"http/1.1")
_X25519 = 29


def encode_client_hello(*, version: TlsVersion | None, cipher_suites: Sequence[int], server_name: str | None, entropy: bytes) -> bytes:
    """Return one record with a ClientHello, as a client that exists would send it (RFC 5246 7.4.1.2, RFC 8446 4.1.2).

    version: the only one offered, TLS 1.0 at least; None offers TLS 1.0 to 1.3. cipher_suites: at most 64, in order of preference.
    server_name: an A-label name for SNI; None sends none. entropy: ENTROPY_BYTES random bytes.
    """
    random, session_id, share = entropy[:32], entropy[32:64], entropy[64:96]
    legacy_version = min(version or TlsVersion.TLS_1_2, TlsVersion.TLS_1_2)
    body = b"".join(
        (
            legacy_version.to_bytes(2, "big"),
            random,
            _vector(1, session_id),
            _numbers(2, cipher_suites),
            _vector(1, b"\0"),  # no compression
            _vector(2, _extensions(version, server_name, share)),
        )
    )
    # RFC 8446 5.1: the record of a first hello says TLS 1.0, because some servers refuse more.
    return b"\x16\x03\x01" + _vector(2, b"\x01" + _vector(3, body))


def _extensions(version: TlsVersion | None, server_name: str | None, share: bytes) -> bytes:
    highest = version or TlsVersion.TLS_1_3
    extensions: list[tuple[int, bytes]] = []
    if server_name is not None:
        extensions.append((0, _vector(2, b"\0" + _vector(2, server_name.encode("ascii")))))
    extensions += [
        (0xFF01, b"\0"),  # renegotiation_info (RFC 5746)
        (10, _numbers(2, _GROUPS)),
        (11, _vector(1, b"\0")),  # uncompressed points (RFC 8422)
        (23, b""),  # extended_master_secret (RFC 7627)
        (5, b"\1\0\0\0\0"),  # status_request: OCSP (RFC 6066 8)
        (16, _vector(2, b"".join(_vector(1, name) for name in _ALPN))),
    ]
    if highest >= TlsVersion.TLS_1_2:
        extensions.append((13, _numbers(2, _SIGNATURE_SCHEMES)))
    if highest is TlsVersion.TLS_1_3:
        offered = (version,) if version else (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2, TlsVersion.TLS_1_1, TlsVersion.TLS_1_0)
        extensions += [
            (43, _vector(1, b"".join(one.to_bytes(2, "big") for one in offered))),
            (45, _vector(1, b"\1")),  # psk_dhe_ke
            (51, _vector(2, _X25519.to_bytes(2, "big") + _vector(2, share))),
        ]
    return b"".join(kind.to_bytes(2, "big") + _vector(2, content) for kind, content in extensions)


def _vector(width: int, content: bytes) -> bytes:
    return len(content).to_bytes(width, "big") + content


def _numbers(width: int, numbers: Iterable[int]) -> bytes:
    return _vector(width, b"".join(number.to_bytes(2, "big") for number in numbers))


def offered_cipher_suites(sent: bytes) -> tuple[int, ...]:
    """Return the code points in the first ClientHello of these bytes, in its order, without signalling values.

    SSL 2 hellos are understood; their kinds have three bytes. Returns nothing for bytes that hold no whole hello.
    """
    if len(sent) > 11 and sent[0] & 0x80 and sent[2] == _SSL2_CLIENT_HELLO:
        length = int.from_bytes(sent[5:7], "big")
        return _code_points(sent[11 : 11 + length], 3)
    # Record header, handshake header, legacy_version and random (RFC 8446 4.1.2, 5.1), then session id and suites.
    session_id = 5 + 4 + 2 + 32
    if len(sent) <= session_id or sent[0] != 0x16:
        return ()
    suites = session_id + 1 + sent[session_id]
    length = int.from_bytes(sent[suites : suites + 2], "big")
    return _code_points(sent[suites + 2 : suites + 2 + length], 2)


def _code_points(listed: bytes, width: int) -> tuple[int, ...]:
    numbers = (int.from_bytes(listed[place : place + width], "big") for place in range(0, len(listed) - width + 1, width))
    return tuple(number for number in numbers if number not in _SIGNALS)
