"""The leaf that a server up to TLS 1.2 sends in clear behind its ServerHello: a hint which deployments exist, never proof of a key."""

from otpc_policy.tls.fields import Fields, Malformed
from otpc_policy.tls.records import ALERT, HANDSHAKE, RecordSplitter

_SERVER_HELLO, _CERTIFICATE = 2, 11
# OpenSSL takes chains of up to 100 KiB (max_cert_list); a leaf beyond that is not looked for.
_MAX_BYTES = 2**17
_SEQUENCE = 0x30


def certificate_hint(received: bytes) -> bytes | None:
    """Return the leaf's DER if the Certificate message follows the ServerHello (RFC 5246 7.4.2) and the leaf is whole; else None.

    received: everything since the ClientHello; only the first 128 KiB are read. Whether the DER holds a certificate is not looked at.
    Never raises. Takes time in proportion to the bytes: call it once, at the end.
    """
    try:
        return _leaf(Fields(_handshake(received[:_MAX_BYTES])))
    except Malformed:
        return None


def _handshake(received: bytes) -> bytes:
    """Return the handshake messages at the start, across records; warnings before them are passed over."""
    content = bytearray()
    try:
        for piece in RecordSplitter((HANDSHAKE, ALERT)).split(received):
            if piece.content_type == HANDSHAKE:
                content += piece.content
            elif content:
                break
    except Malformed:
        pass  # what came before may hold the leaf
    return bytes(content)


def _leaf(handshake: Fields) -> bytes | None:
    if handshake.number(1) != _SERVER_HELLO:
        return None
    handshake.vector(3)
    if handshake.number(1) != _CERTIFICATE:
        return None
    message_bytes, chain_bytes, leaf_bytes = handshake.number(3), handshake.number(3), handshake.number(3)
    if message_bytes != chain_bytes + 3 or chain_bytes < leaf_bytes + 3:
        return None
    leaf = handshake.take(leaf_bytes)
    return leaf if _is_one_sequence(leaf) else None


def _is_one_sequence(der: bytes) -> bool:
    """X.690 8.1.3, 10.1: a definite length in its shortest form, which the content has."""
    fields = Fields(der)
    if fields.number(1) != _SEQUENCE:
        return False
    length = fields.number(1)
    if length & 0x80:
        width = length & 0x7F
        if not 1 <= width <= 3:
            return False
        length = fields.number(width)
        if length < 0x80 or length >> 8 * (width - 1) == 0:
            return False
    return fields.left == length
