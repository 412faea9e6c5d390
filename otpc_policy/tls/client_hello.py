"""What a ClientHello offers, read off the bytes that were sent.

Evidence of absence needs to know what was really offered: a TLS library drops suites that it does not implement, or that
the version forbids, without saying so. Only our own hellos are read here.
"""

# RFC 5746 and RFC 7507: signalling values in the list of suites; nobody can choose them.
_SIGNALS = frozenset({0x00FF, 0x5600})
_SSL2_CLIENT_HELLO = 1


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
