"""ClientHellos made by hand, byte by byte, in shapes that no client library can send.

A MadeHello is what is sent; a Change turns one into another. Servers read them with
tests.support.hostile.hello, which shares no code with this module.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

_HANDSHAKE, _CLIENT_HELLO, _SSL2_CLIENT_HELLO = 22, 1, 1
_PADDING, _SUPPORTED_VERSIONS = 21, 43
_RANDOM = bytes(range(32))
# ARIA and Camellia (RFC 6209, RFC 6367): no server of these tests accepts them.
_UNUSED_SUITES = range(0xC03C, 0xC09C)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeHello:
    """A ClientHello.

    version: legacy_version. extensions: type and content, in order.
    """

    version: int
    cipher_suites: tuple[int, ...]
    extensions: tuple[tuple[int, bytes], ...]
    record_version: int = 0x0301
    session_id: bytes = b""
    compression: bytes = b"\0"
    random: bytes = _RANDOM

    def __bytes__(self) -> bytes:
        """Return it in one record."""
        message = self.message()
        return bytes([_HANDSHAKE]) + _number(self.record_version) + _sized(message)

    def message(self) -> bytes:
        """Return the handshake message."""
        suites = b"".join(map(_number, self.cipher_suites))
        extensions = b"".join(_number(kind) + _sized(content) for kind, content in self.extensions)
        body = _number(self.version) + self.random + bytes([len(self.session_id)]) + self.session_id
        body += _sized(suites) + bytes([len(self.compression)]) + self.compression
        body += _sized(extensions) if self.extensions else b""
        return bytes([_CLIENT_HELLO]) + len(body).to_bytes(3, "big") + body

    def in_ssl2_format(self) -> bytes:
        """Return it as clients sent it that could also speak SSL 2 (RFC 5246 E.2).

        There is no room for extensions. Java 6 sends such hellos for TLS 1.0.
        """
        kinds = b"".join(b"\0" + _number(suite) for suite in self.cipher_suites)
        lengths = _number(len(kinds)) + _number(0) + _number(len(self.random))
        body = bytes([_SSL2_CLIENT_HELLO]) + _number(self.version) + lengths + kinds + self.random
        return _number(0x8000 | len(body)) + body

    def in_records_of(self, length: int) -> bytes:
        """Return it in records of so many bytes (RFC 8446 5.1 allows that)."""
        message = self.message()
        head = bytes([_HANDSHAKE]) + _number(self.record_version)
        pieces = (message[at : at + length] for at in range(0, len(message), length))
        return b"".join(head + _sized(piece) for piece in pieces)


Change = Callable[[MadeHello], MadeHello]


def as_it_is(hello: MadeHello) -> MadeHello:
    """Change nothing."""
    return hello


def all_of(*changes: Change) -> Change:
    """Apply several changes in order."""

    def change(hello: MadeHello) -> MadeHello:
        for change in changes:
            hello = change(hello)
        return hello

    return change


def with_extension(kind: int, content: bytes = b"", *, first: bool = False) -> Change:
    """Add an extension, or move it, to the end or to the front."""

    def change(hello: MadeHello) -> MadeHello:
        others = tuple(item for item in hello.extensions if item[0] != kind)
        added = ((kind, content),)
        return replace(hello, extensions=added + others if first else others + added)

    return change


def without_extensions(*kinds: int) -> Change:
    """Leave extensions out."""

    def change(hello: MadeHello) -> MadeHello:
        kept = tuple(item for item in hello.extensions if item[0] not in kinds)
        return replace(hello, extensions=kept)

    return change


def in_order(*kinds: int) -> Change:
    """Put extensions that the hello has in front, in this order."""

    def change(hello: MadeHello) -> MadeHello:
        moved = tuple((kind, dict(hello.extensions)[kind]) for kind in kinds)
        others = tuple(item for item in hello.extensions if item[0] not in kinds)
        return replace(hello, extensions=moved + others)

    return change


def suites_first(*suites: int) -> Change:
    """Put cipher suites in front."""

    def change(hello: MadeHello) -> MadeHello:
        others = tuple(suite for suite in hello.cipher_suites if suite not in suites)
        return replace(hello, cipher_suites=suites + others)

    return change


def suites_last(*suites: int) -> Change:
    """Put cipher suites at the end."""

    def change(hello: MadeHello) -> MadeHello:
        others = tuple(suite for suite in hello.cipher_suites if suite not in suites)
        return replace(hello, cipher_suites=others + suites)

    return change


def with_suites(count: int) -> Change:
    """Fill the list up to so many suites, with some that no server of these tests accepts."""

    def change(hello: MadeHello) -> MadeHello:
        missing = count - len(hello.cipher_suites)
        assert 0 <= missing <= len(_UNUSED_SUITES)
        return replace(hello, cipher_suites=(*hello.cipher_suites, *_UNUSED_SUITES[:missing]))

    return change


def with_wire_size(size: int) -> Change:
    """Pad the hello, with the header of its record, to so many bytes (RFC 7685)."""

    def change(hello: MadeHello) -> MadeHello:
        missing = size - len(bytes(hello)) - 4
        assert missing >= 0
        return with_extension(_PADDING, bytes(missing))(hello)

    return change


def with_session_id(session_id: bytes) -> Change:
    """Name a session, as clients of TLS 1.3 do for middleboxes (RFC 8446 D.4)."""
    return lambda hello: replace(hello, session_id=session_id)


def with_compression(*methods: int) -> Change:
    """Offer compression methods (RFC 3749); null is 0."""
    return lambda hello: replace(hello, compression=bytes(methods))


def with_own_version_listed(*others: int) -> Change:
    """List the version of the hello in supported_versions, after others."""

    def change(hello: MadeHello) -> MadeHello:
        return with_extension(_SUPPORTED_VERSIONS, versions(*others, hello.version))(hello)

    return change


def with_legacy_version(version: int) -> Change:
    """List the version of the hello in supported_versions alone, and claim another."""

    def change(hello: MadeHello) -> MadeHello:
        return replace(with_own_version_listed()(hello), version=version)

    return change


def with_random_beginning(byte: int) -> Change:
    """Change the first byte of the Random."""
    return lambda hello: replace(hello, random=bytes([byte]) + hello.random[1:])


def without_suites(*suites: int) -> Change:
    """Leave cipher suites out."""

    def change(hello: MadeHello) -> MadeHello:
        kept = tuple(suite for suite in hello.cipher_suites if suite not in suites)
        return replace(hello, cipher_suites=kept)

    return change


def with_record_version(version: int) -> Change:
    """Change the version of the record."""
    return lambda hello: replace(hello, record_version=version)


def server_name(name: str) -> bytes:
    """Return the content of server_name (RFC 6066 3)."""
    return _sized(b"\0" + _sized(name.encode("ascii")))


def numbers(*values: int) -> bytes:
    """Return a list of two-byte numbers: groups, signature schemes."""
    return _sized(b"".join(map(_number, values)))


def versions(*values: int) -> bytes:
    """Return the content of supported_versions (RFC 8446 4.2.1)."""
    return bytes([2 * len(values)]) + b"".join(map(_number, values))


def protocols(*names: str) -> bytes:
    """Return the content of application_layer_protocol_negotiation (RFC 7301 3.1)."""
    return _sized(b"".join(bytes([len(name)]) + name.encode("ascii") for name in names))


def key_shares(*shares: tuple[int, int]) -> bytes:
    """Return the content of key_share (RFC 8446 4.2.8), with keys that nobody has.

    shares: groups, and the lengths of their keys.
    """
    entries = (_number(group) + _sized(bytes([9] * length)) for group, length in shares)
    return _sized(b"".join(entries))


def _number(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _sized(content: bytes) -> bytes:
    return _number(len(content)) + content
