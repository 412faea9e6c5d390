"""Bodies of HTTP/1.1 responses, piece by piece: where they end and what their framing may cost.

A body ends by its chunks, its Content-Length or the end of the connection (RFC 9112 6.3). The
server decides how finely it cuts a body. A piece costs whoever handles it much more than a byte
does, so small pieces are collected before they are handed on, chunks are parsed many at a time,
and the octets that only frame chunks are bounded.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Final

from otpc_policy.core.fetching import FetchOutcome

PIECE_BYTES: Final = 64 * 1024
# What is parsed before the loop attends to others: 2,700 chunks of one byte, in 2 ms.
_READ_BYTES: Final = 16 * 1024
_MAX_CHUNK_LINE_BYTES: Final = 16 * 1024
_CHUNK_END: Final = b"\r\n"
# Beyond what is free, chunks need about 100 bytes on average. Servers send thousands in each.
_FREE_FRAMING_BYTES: Final = 64 * 1024
_LEAST_BODY_PER_FRAMING: Final = 16
_DECIMAL: Final = re.compile(r"[0-9]{1,12}\Z")
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{1,8}\Z")


class DownloadEnded(Exception):  # most ends are no errors of this program
    """The download ends here. outcome: how."""

    def __init__(self, outcome: FetchOutcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome


async def read_body(
    reader: asyncio.StreamReader, fields: Mapping[str, str], max_bytes: int
) -> AsyncIterator[bytes]:
    """Yield a body in order, in pieces of PIECE_BYTES; only the last one may be smaller.

    fields: of the head, names in lower case. Raises DownloadEnded: BROKEN, or TOO_LARGE beyond
    max_bytes.
    """
    collected = bytearray()
    left = max_bytes
    async for piece in _pieces(reader, fields, max_bytes):
        left -= len(piece)
        if left < 0:
            raise DownloadEnded(FetchOutcome.TOO_LARGE)
        collected += piece
        while len(collected) >= PIECE_BYTES:
            yield bytes(collected[:PIECE_BYTES])
            del collected[:PIECE_BYTES]
        # A read that finds bytes at hand does not let the loop run.
        await asyncio.sleep(0)
    if collected:
        yield bytes(collected)


def _pieces(
    reader: asyncio.StreamReader, fields: Mapping[str, str], max_bytes: int
) -> AsyncIterator[bytes]:
    coding = fields.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise DownloadEnded(FetchOutcome.BROKEN)
        return _chunked(reader, max_bytes)
    length = fields.get("content-length")
    if length is None:
        return _until_closed(reader)
    if not _DECIMAL.match(length):
        raise DownloadEnded(FetchOutcome.BROKEN)
    if int(length) > max_bytes:
        raise DownloadEnded(FetchOutcome.TOO_LARGE)
    return _of_length(reader, int(length))


async def _until_closed(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(PIECE_BYTES):
        yield piece


async def _of_length(reader: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    while left:
        piece = await reader.read(min(left, PIECE_BYTES))
        if not piece:
            raise DownloadEnded(FetchOutcome.BROKEN)
        left -= len(piece)
        yield piece


async def _chunked(reader: asyncio.StreamReader, max_bytes: int) -> AsyncIterator[bytes]:
    decoder = ChunkDecoder(max_bytes)
    while not decoder.is_over:
        wire = await reader.read(_READ_BYTES)
        if not wire:
            raise DownloadEnded(FetchOutcome.BROKEN)
        yield decoder.feed(wire)


class ChunkDecoder:
    """Takes chunks apart, however they are cut. Source: RFC 9112 7.1.

    is_over: the last chunk was seen. Trailers are of no interest, and not read.
    """

    def __init__(self, max_bytes: int) -> None:
        self.is_over = False
        self._max_bytes = max_bytes
        self._unread = bytearray()
        # Bytes of the chunk that are still to come, and whether its line end is too.
        self._left = 0
        self._is_in_chunk = False
        self._announced = self._framing = 0

    def feed(self, wire: bytes) -> bytes:
        """Return what of the body is in the next octets, possibly nothing.

        Raises DownloadEnded: BROKEN, also if the framing is out of proportion; TOO_LARGE if the
        chunks announce more than max_bytes.
        """
        unread, place = self._unread, 0
        unread += wire
        body = bytearray()
        while not self.is_over:
            if self._left:
                part = unread[place : place + self._left]
                body += part
                place += len(part)
                self._left -= len(part)
                if self._left:
                    break
            if self._is_in_chunk:
                end = unread[place : place + len(_CHUNK_END)]
                if not _CHUNK_END.startswith(end):
                    raise DownloadEnded(FetchOutcome.BROKEN)
                if len(end) < len(_CHUNK_END):
                    break
                place += len(_CHUNK_END)
                self._is_in_chunk = False
            line_end = unread.find(_CHUNK_END, place, place + _MAX_CHUNK_LINE_BYTES)
            if line_end < 0:
                if len(unread) - place >= _MAX_CHUNK_LINE_BYTES:
                    raise DownloadEnded(FetchOutcome.BROKEN)
                break
            self._begin_chunk(unread[place:line_end].decode("latin-1"))
            place = line_end + len(_CHUNK_END)
        del unread[:place]
        return bytes(body)

    def _begin_chunk(self, line: str) -> None:
        digits = line.partition(";")[0].strip(" \t")
        if not _HEXADECIMAL.match(digits):
            raise DownloadEnded(FetchOutcome.BROKEN)
        size = int(digits, 16)
        self._announced += size
        if self._announced > self._max_bytes:
            raise DownloadEnded(FetchOutcome.TOO_LARGE)
        self._framing += len(line) + 2 * len(_CHUNK_END)
        if self._framing > _FREE_FRAMING_BYTES + self._announced // _LEAST_BODY_PER_FRAMING:
            raise DownloadEnded(FetchOutcome.BROKEN)
        self._left, self._is_in_chunk, self.is_over = size, size > 0, size == 0
