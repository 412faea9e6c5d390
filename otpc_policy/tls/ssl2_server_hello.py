"""The SERVER-HELLO of SSL 2, read as it arrives.

Source: draft-hickman-netscape-ssl-00, sections 1.1 and 2.5.
"""

from dataclasses import dataclass

from otpc_policy.tls.fields import Fields, Malformed

_SERVER_HELLO = 4
_VERSION = 0x0002
# Record header, then the type, the session id hit, the certificate's type, the version and three
# lengths.
_HEADER_BYTES = 2
_FIXED_BYTES = _HEADER_BYTES + 11


@dataclass(frozen=True, slots=True)
class Ssl2ServerHello:
    """The server speaks SSL 2. cipher_kinds: those shared with the client; may be empty."""

    cipher_kinds: tuple[int, ...]


class Ssl2Reader:
    """Takes a stream that begins with a record of SSL 2.

    Holds at most 32 KiB, the maximum of such a record.
    """

    __slots__ = ("_needed", "_received")

    def __init__(self) -> None:
        self._received = bytearray()
        self._needed = _FIXED_BYTES

    def read(self, chunk: bytes) -> Ssl2ServerHello | None:
        """Return the SERVER-HELLO once its cipher kinds have arrived. Raises Malformed."""
        at = 0
        while True:
            missing = self._needed - len(self._received)
            self._received += chunk[at : at + missing]
            at += missing
            if (
                len(self._received) > _HEADER_BYTES
                and self._received[_HEADER_BYTES] != _SERVER_HELLO
            ):
                raise Malformed("neither TLS nor SSL 2")
            if len(self._received) < self._needed:
                return None
            if self._needed > _FIXED_BYTES or not self._announced():
                return self._hello()

    def _announced(self) -> int:
        """Add what the lengths announce to the bytes needed, once; return how many."""
        fields = Fields(bytes(self._received))
        record = fields.number(2) & 0x7FFF
        fields.take(3)
        version, certificate, specs, connection_id = (fields.number(2) for _ in range(4))
        if (
            version != _VERSION
            or specs % 3
            or _FIXED_BYTES + certificate + specs + connection_id != _HEADER_BYTES + record
        ):
            raise Malformed("a malformed ServerHello of SSL 2")
        self._needed += certificate + specs
        return certificate + specs

    def _hello(self) -> Ssl2ServerHello:
        certificate, specs = (
            int.from_bytes(self._received[place : place + 2], "big") for place in (7, 9)
        )
        start = _FIXED_BYTES + certificate
        return Ssl2ServerHello(
            tuple(
                int.from_bytes(self._received[place : place + 3], "big")
                for place in range(start, start + specs, 3)
            )
        )
