"""Answers built by hand, well-formed or not, and mutations of any answer.

Randomness is an argument.
"""

from random import Random

RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
SUPPORTED_VERSIONS_13 = bytes.fromhex("002b00020304")
_EDGES = (0x00, 0x01, 0x02, 0x03, 0x0B, 0x14, 0x15, 0x16, 0x17, 0x7F, 0x80, 0xFE, 0xFF)
_WARNINGS = (b"\x01\x70", b"\x01\x00", b"\x01\x5a")


def record(body: bytes, kind: int = 0x16) -> bytes:
    return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body


def fragmented(message: bytes, size: int) -> bytes:
    """Return a handshake message in records of so many bytes."""
    return b"".join(record(message[place : place + size]) for place in range(0, len(message), size))


def hello(
    *,
    version: int = 0x0303,
    suite: int = 0xC02F,
    extensions: bytes = b"",
    random: bytes = b"r" * 32,
    session_id: bytes = b"s" * 32,
) -> bytes:
    body = (
        version.to_bytes(2, "big")
        + random
        + bytes([len(session_id)])
        + session_id
        + suite.to_bytes(2, "big")
        + b"\0"
    )
    body += len(extensions).to_bytes(2, "big") + extensions if extensions else b""
    return b"\x02" + len(body).to_bytes(3, "big") + body


def long_hello(body_bytes: int) -> bytes:
    """Return a ServerHello of about so many bytes: its one extension is unknown and long."""
    return hello(extensions=b"\xfa\xfa" + body_bytes.to_bytes(2, "big") + bytes(body_bytes))


def certificate(leaf: bytes, *, rest: bytes = b"") -> bytes:
    """Return a Certificate message (RFC 5246 7.4.2)."""
    chain = len(leaf).to_bytes(3, "big") + leaf + rest
    body = len(chain).to_bytes(3, "big") + chain
    return b"\x0b" + len(body).to_bytes(3, "big") + body


def ssl2_hello(kinds: bytes, certificate: bytes = b"c" * 7) -> bytes:
    body = (
        b"\x04\x00\x01\x00\x02"
        + b"".join(len(part).to_bytes(2, "big") for part in (certificate, kinds, b"i" * 16))
        + certificate
        + kinds
        + b"i" * 16
    )
    return (0x8000 | len(body)).to_bytes(2, "big") + body


def handmade() -> list[bytes]:
    """Return answers that no available server sends.

    SSL 2, other protocols, warnings first, every way of splitting a message into records.
    """
    whole = hello(suite=0x1301, extensions=SUPPORTED_VERSIONS_13)
    return [
        ssl2_hello(b"\x01\x00\x80\x07\x00\xc0"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n",
        b"<!DOCTYPE html><html>",
        record(b"\x01\x70", 0x15) + record(whole),
        record(b"\x01\x70", 0x15) * 6,
        fragmented(whole, 1),
        fragmented(hello(), 40) + fragmented(certificate(b"\x30\x03abc"), 5),
        record(
            hello()
            + certificate(b"\x30\x82\x01\x00" + bytes(256), rest=b"\0\0\x01x")
            + b"\x0e\0\0\0"
        ),
        fragmented(long_hello(3000), 700),
        b"\x16\xfe\xff" + bytes(10),
    ]


def mutated(random: Random, seeds: list[bytes]) -> bytes:
    """Return a seed after one to eight changes.

    To bytes, lengths, the order of pieces, two answers joined, or other records.
    """
    answer = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        _mutate(random, answer, seeds)
    return bytes(answer)


def _mutate(random: Random, answer: bytearray, seeds: list[bytes]) -> None:
    # What decides stands at the front: half of all changes are made there.
    place = (
        random.randrange(min(len(answer), 64) if random.random() < 0.5 else len(answer))
        if answer
        else 0
    )
    end = min(len(answer), place + random.choice((1, 2, 3, 8, 40, 300)))
    match random.randrange(10):
        case 0:
            answer[place:end] = random.randbytes(end - place)
        case 1 if answer:
            answer[place] = random.choice(_EDGES)
        case 2 if answer:
            answer[place] ^= 1 << random.randrange(8)
        case 3:
            del answer[place:end]
        case 4:
            answer[place:place] = random.randbytes(random.choice((1, 2, 5, 100)))
        case 5:
            answer[place:place] = answer[place:end] * random.choice((1, 2, 30))
        case 6:
            answer[place:] = random.choice(seeds)
        case 7:
            width = random.choice((1, 2, 3))
            number = int.from_bytes(answer[place : place + width], "big") + random.choice(
                (-256, -5, -1, 1, 2, 5, 256)
            )
            answer[place : place + width] = (number % 256**width).to_bytes(width, "big")
        case 8:
            answer[:0] = record(random.choice(_WARNINGS), 0x15) * random.randint(1, 7)
        case _:
            answer[:] = (
                fragmented(bytes(answer[5:]), random.choice((1, 3, 50, 2000)))
                if len(answer) < 500
                else answer[:place]
            )
