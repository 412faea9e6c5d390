"""Splits what a server sends into TLS records, as it arrives.

Holds five bytes at most; lengths only count down.
"""

from collections.abc import Container, Iterator
from typing import NamedTuple

from otpc_policy.tls.fields import Malformed

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 0x14, 0x15, 0x16, 0x17

_HEADER_BYTES = 5
_DTLS_MAJOR = 0xFE
# RFC 5246 6.2.3: the largest record is 2^14 + 2048 bytes; RFC 8446 only lowers it.
_MAX_RECORD_BYTES = 2**14 + 2048


class Piece(NamedTuple):
    """Consecutive bytes of one record. record_bytes: the length in the record's header."""

    content_type: int
    record_bytes: int
    content: bytes


class RecordSplitter:
    """Takes a stream in chunks of any size.

    content_types: the allowed ones; any other is malformed.
    """

    __slots__ = ("_content_type", "_content_types", "_header", "_left", "_record_bytes")

    def __init__(self, content_types: Container[int]) -> None:
        self._content_types = content_types
        self._header = bytearray()
        self._content_type = self._record_bytes = self._left = 0

    @property
    def is_between_records(self) -> bool:
        """There is no incomplete record."""
        return not self._header

    def split(self, chunk: bytes) -> Iterator[Piece]:
        """Yield the content of records in the chunk.

        Neither handshake messages nor alerts come in empty records (RFC 8446 5.1, RFC 5246 6.2.1).
        Raises Malformed at a header that no TLS server sends.
        """
        place = 0
        while place < len(chunk):
            if not self._left:
                missing = _HEADER_BYTES - len(self._header)
                self._header += chunk[place : place + missing]
                place += missing
                if len(self._header) < _HEADER_BYTES:
                    return
                self._read_header()
            content = chunk[place : place + self._left]
            if content:
                place += len(content)
                self._left -= len(content)
                yield Piece(self._content_type, self._record_bytes, content)
            if not self._left:
                self._header.clear()

    def _read_header(self) -> None:
        content_type, major, length = (
            self._header[0],
            self._header[1],
            int.from_bytes(self._header[3:], "big"),
        )
        if major == _DTLS_MAJOR:
            raise Malformed("a record of DTLS")
        if (
            content_type not in self._content_types
            or major != 3
            or not 0 < length <= _MAX_RECORD_BYTES
        ):
            raise Malformed("no record of TLS")
        self._content_type, self._record_bytes, self._left = content_type, length, length
