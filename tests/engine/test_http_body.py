"""Chunks of HTTP bodies: taken apart wherever the octets are cut, and bounded in their framing."""

from collections import deque

import pytest

from otpc_policy.core.fetching import FetchOutcome
from otpc_policy.engine.egress.http_body import ChunkDecoder, DownloadEnded

_WIRE = b"2\r\nbo\r\n0A;x=y\r\ndy and end\r\n 1 \r\n!\r\n0;last\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(_WIRE) + 1))
def test_chunks_say_the_same_however_they_arrive(size: int) -> None:
    decoder = ChunkDecoder(100)
    body = b""
    for start in range(0, len(_WIRE), size):
        body += decoder.feed(_WIRE[start : start + size])
        if decoder.is_over:
            break
    assert (body, decoder.is_over) == (b"body and end!", True)


@pytest.mark.parametrize(
    ("wire", "outcome"),
    [
        (b"\r\n", FetchOutcome.BROKEN),
        (b"x\r\n", FetchOutcome.BROKEN),
        (b"-1\r\n", FetchOutcome.BROKEN),
        (b"0x1\r\n", FetchOutcome.BROKEN),
        (b"000000001\r\n", FetchOutcome.BROKEN),
        (b"1\r\nxy", FetchOutcome.BROKEN),
        (b"1\r\nx\ry", FetchOutcome.BROKEN),
        (b"1" * 16_384, FetchOutcome.BROKEN),
        (b"65\r\n", FetchOutcome.TOO_LARGE),
        (b"60\r\n" + b"x" * 96 + b"\r\n5\r\n", FetchOutcome.TOO_LARGE),
        (b"FFFFFFFF\r\n", FetchOutcome.TOO_LARGE),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_no_chunk_or_too_much_ends_the_download(
    wire: bytes, outcome: FetchOutcome, size: int
) -> None:
    decoder = ChunkDecoder(100)
    parts = [wire[start : start + size] for start in range(0, len(wire), size)]
    with pytest.raises(DownloadEnded) as ended:
        deque(map(decoder.feed, parts), maxlen=0)
    assert ended.value.outcome is outcome


@pytest.mark.parametrize("size", [1, 64])
def test_a_large_body_in_small_chunks_is_broken(size: int) -> None:
    decoder = ChunkDecoder(16 << 20)
    with pytest.raises(DownloadEnded) as ended:
        decoder.feed(_chunks_of(size, 4 << 20))
    assert ended.value.outcome is FetchOutcome.BROKEN


@pytest.mark.parametrize(("size", "total"), [(1, 10_000), (10, 100_000), (128, 4 << 20)])
def test_framing_in_proportion_to_the_body_is_taken(size: int, total: int) -> None:
    """Small bodies may be cut as finely as a server likes."""
    assert len(ChunkDecoder(16 << 20).feed(_chunks_of(size, total))) == total


def _chunks_of(size: int, total: int) -> bytes:
    return (b"%x\r\n%b\r\n" % (size, b"x" * size)) * (total // size)
