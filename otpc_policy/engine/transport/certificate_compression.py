"""Decompresses certificates (RFC 8879), never to more than they were announced to have.

The libraries are native code that reads what hostile servers send, in the engine: SECURITY.md says
what it may do. They see at most 128 KiB, and only if the hello offered their algorithm.

What a hello offers must be readable here. Chrome offers brotli, Safari zlib, Firefox all three, and
gateways of large operators use brotli for whoever reads it.
"""

import sys
import zlib
from collections.abc import Mapping

import brotli

from otpc_policy.tls.fields import Malformed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZLIB, _BROTLI, _ZSTD = 1, 2, 3
READABLE = frozenset({_ZLIB, _BROTLI, _ZSTD})
# A frame may ask for a window of gigabytes. RFC 8878 3.1.1.1.2 has decoders support 8 MiB.
_ZSTD_WINDOW: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


def decompressed(algorithm: int, size: int, compressed: bytes) -> bytes:
    """Return the content of a Certificate message.

    algorithm: code point. size: bytes that the content must have.
    Memory is bounded by a few times the size, and by the window of zstd.
    Raises Malformed if it cannot be decompressed to exactly that.
    """
    try:
        content = _decompressed(algorithm, size, compressed)
    except (zlib.error, brotli.error, zstd.ZstdError) as error:
        raise Malformed("a compressed certificate that cannot be decompressed") from error
    if content is None or len(content) != size:
        raise Malformed("a compressed certificate of another length than announced")
    return content


def _decompressed(algorithm: int, size: int, compressed: bytes) -> bytes | None:
    """Return at least the first bytes of the content; None unless it ends with the input."""
    # One byte more than expected lets each see its end, or shows that there is no end.
    limit = size + 1
    if algorithm == _BROTLI:
        reader = brotli.Decompressor()
        content: bytes = reader.process(compressed, output_buffer_limit=limit)
        return content if reader.is_finished() else None
    stream = (
        zlib.decompressobj()
        if algorithm == _ZLIB
        else zstd.ZstdDecompressor(options=_ZSTD_WINDOW)
        if algorithm == _ZSTD
        else None
    )
    if stream is None:
        raise Malformed("a certificate compressed by an unknown algorithm")
    content = stream.decompress(compressed, limit)
    return content if stream.eof and not stream.unused_data else None
