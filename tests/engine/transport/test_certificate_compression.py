"""Compressed certificates: the exact content or nothing, and never much more memory than that."""

import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest

from otpc_policy.engine.profiles.recorded_clients import recorded_clients
from otpc_policy.engine.transport.certificate_compression import READABLE, decompressed
from otpc_policy.tls.fields import Malformed
from otpc_policy.tls.flight import MAX_MESSAGE_BYTES
from tests.engine.transport.handmade_tls13 import zstd_compress

Compress = Callable[[bytes], bytes]
ALGORITHMS: dict[int, Compress] = {1: zlib.compress, 2: brotli.compress, 3: zstd_compress}
EVERY_ALGORITHM = pytest.mark.parametrize(("algorithm", "compress"), ALGORITHMS.items())
CONTENT = bytes(range(256)) * 20


@EVERY_ALGORITHM
@pytest.mark.parametrize("size", [1, 2, 5120, MAX_MESSAGE_BYTES])
def test_what_was_compressed_is_had_again(algorithm: int, compress: Compress, size: int) -> None:
    content = (CONTENT * 26)[:size]
    assert decompressed(algorithm, size, compress(content)) == content


@EVERY_ALGORITHM
@pytest.mark.parametrize("difference", [-5000, -1, 1, 100])
def test_another_length_is_malformed(algorithm: int, compress: Compress, difference: int) -> None:
    with pytest.raises(Malformed):
        decompressed(algorithm, len(CONTENT) + difference, compress(CONTENT))


@EVERY_ALGORITHM
def test_bytes_that_end_too_soon_or_too_late_are_malformed(
    algorithm: int, compress: Compress
) -> None:
    whole = compress(CONTENT)
    for wrong in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0", whole + whole, b"\xff"):
        with pytest.raises(Malformed):
            decompressed(algorithm, len(CONTENT), wrong)


@EVERY_ALGORITHM
def test_a_bomb_takes_no_more_than_a_few_times_the_length(
    algorithm: int, compress: Compress
) -> None:
    bomb = compress(bytes(8 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            decompressed(algorithm, MAX_MESSAGE_BYTES, bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_MESSAGE_BYTES


def test_a_frame_that_asks_for_a_window_of_gigabytes_is_malformed() -> None:
    """RFC 8878 3.1.1.1.2: the highest window descriptor; the frame has one empty block."""
    frame = b"\x28\xb5\x2f\xfd\0\xff" + b"\1\0\0"
    with pytest.raises(Malformed):
        decompressed(3, 1, frame)


@pytest.mark.parametrize("algorithm", [0, 4, 0x4001])
def test_an_unknown_algorithm_is_malformed(algorithm: int) -> None:
    with pytest.raises(Malformed):
        decompressed(algorithm, 1, b"a")


def test_every_client_offers_what_can_be_read() -> None:
    """Else a server would choose what shows us no certificate."""
    offered = {
        name: client.profile.certificate_compressions
        for name, client in recorded_clients().items()
        if client.profile.certificate_compressions
    }
    assert {"chrome": (2,), "firefox": (1, 2, 3), "safari": (1,)}.items() <= offered.items()
    assert all(READABLE.issuperset(algorithms) for algorithms in offered.values())
