"""Messages after a ServerHello: what is taken from them, and what is malformed."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.tls.fields import Malformed
from otpc_policy.tls.flight import (
    MAX_MESSAGE_BYTES,
    ClearFlightReader,
    EncryptedFlightReader,
    KeyExchange,
    Message,
    MessageSplitter,
    ServerFlight,
    Signature,
    broken_off,
)

# RFC 8446 B.3, RFC 6066 8.
SERVER_HELLO, TICKET, ENCRYPTED_EXTENSIONS, CERTIFICATE = 2, 4, 8, 11
KEY_EXCHANGE, REQUEST, HELLO_DONE, VERIFY, FINISHED, STATUS = 12, 13, 14, 15, 20, 22
COMPRESSED = 25
EVERY_KIND = range(256)
LEAF, ISSUER = b"leaf", b"issuer"
RANDOMS = b"c" * 32 + b"s" * 32
HASH = b"h" * 32


def vector(width: int, content: bytes) -> bytes:
    return len(content).to_bytes(width, "big") + content


def message(kind: int, content: bytes = b"") -> Message:
    return Message(kind, content, bytes([kind]) + vector(3, content))


def chain(*certificates: bytes) -> bytes:
    """RFC 5246 7.4.2."""
    return vector(3, b"".join(vector(3, one) for one in certificates))


def entry(certificate: bytes, *extensions: tuple[int, bytes]) -> bytes:
    """RFC 8446 4.4.2."""
    listed = b"".join(kind.to_bytes(2, "big") + vector(2, content) for kind, content in extensions)
    return vector(3, certificate) + vector(2, listed)


def entries(*listed: bytes, context: bytes = b"") -> bytes:
    return vector(1, context) + vector(3, b"".join(listed))


def staple(response: bytes, kind: int = 1) -> bytes:
    """RFC 6066 8: CertificateStatus."""
    return bytes([kind]) + vector(3, response)


def signed(scheme: int, signature: bytes) -> bytes:
    return scheme.to_bytes(2, "big") + vector(2, signature)


P256_PARAMETERS = b"\3\0\x17" + vector(1, b"point")
DH_PARAMETERS = vector(2, b"prime") + vector(2, b"generator") + vector(2, b"public")
ELLIPTIC = message(KEY_EXCHANGE, P256_PARAMETERS + signed(0x0403, b"signature"))
FINITE = message(KEY_EXCHANGE, DH_PARAMETERS + signed(0x0403, b"signature"))


def clear(
    *messages: Message,
    is_elliptic: bool = True,
    is_signed: bool = True,
) -> ServerFlight:
    reader = ClearFlightReader(randoms=RANDOMS, is_elliptic=is_elliptic, is_signed=is_signed)
    for one in messages:
        reader.read(one)
    return reader.flight


def repeated(algorithm: int, size: int, compressed: bytes) -> bytes:
    """Stand in for a decompression: the content comes as often as the algorithm says."""
    content = compressed * algorithm
    if len(content) != size:
        raise Malformed("of another length")
    return content


def encrypted(*messages: Message) -> ServerFlight:
    reader = EncryptedFlightReader(
        finished_of=lambda transcript_hash: b"finished " + transcript_hash,
        compressions=(1, 2),
        decompress=repeated,
    )
    for one in messages:
        reader.read(one, HASH)
    return reader.flight


# Cutting into messages.

STREAM = [message(1, b"abc"), message(2), message(3, b"d" * 300), message(4)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 100, 1000])
def test_messages_are_the_same_however_they_are_cut_into_records(size: int) -> None:
    raw = b"".join(one.raw for one in STREAM)
    splitter = MessageSplitter()
    found: list[Message] = []
    for place in range(0, len(raw), size):
        found += splitter.split(raw[place : place + size])
    assert found == STREAM
    assert splitter.is_between_messages


def test_an_incomplete_message_is_held() -> None:
    splitter = MessageSplitter()
    assert list(splitter.split(STREAM[0].raw + STREAM[2].raw[:-1])) == [STREAM[0]]
    assert not splitter.is_between_messages
    assert list(splitter.split(STREAM[2].raw[-1:])) == [STREAM[2]]


def test_a_message_of_more_than_128_kib_is_refused_at_its_header() -> None:
    """What is whole before it counts: it may be the certificate."""
    longest, too_long = ((MAX_MESSAGE_BYTES + more).to_bytes(3, "big") for more in (0, 1))
    assert list(MessageSplitter().split(b"\x0b" + longest)) == []
    messages = MessageSplitter().split(STREAM[0].raw + b"\x0b" + too_long)
    assert next(messages) == STREAM[0]
    with pytest.raises(Malformed, match="128 KiB"):
        next(messages)


# SSL 3 to TLS 1.2.


def test_a_clear_flight_shows_chain_staple_request_and_signature() -> None:
    flight = clear(
        message(CERTIFICATE, chain(LEAF, ISSUER)),
        message(STATUS, staple(b"response")),
        ELLIPTIC,
        message(REQUEST, b"whatever it asks for"),
        message(HELLO_DONE),
    )
    signature = Signature(
        scheme=0x0403,
        content=RANDOMS + P256_PARAMETERS,
        signature=b"signature",
    )
    assert flight == ServerFlight(
        chain=(LEAF, ISSUER),
        stapled_ocsp_response=b"response",
        signature=signature,
        key_exchange=KeyExchange(23, 0),
        is_certificate_requested=True,
        is_whole=True,
    )


@pytest.mark.parametrize(
    ("prime", "bits"),
    [(b"\x80" + bytes(127), 1024), (b"\0" * 3 + b"\x7f" + bytes(127), 1023), (b"", 0), (b"\1", 1)],
)
def test_the_size_of_a_finite_field_is_that_of_its_prime(prime: bytes, bits: int) -> None:
    """RFC 5246 7.4.3: leading zeros are no part of the number."""
    parameters = vector(2, prime) + vector(2, b"\2") + vector(2, b"public")
    flight = clear(
        message(KEY_EXCHANGE, parameters + signed(0x0401, b"signature")), is_elliptic=False
    )
    assert flight.key_exchange == KeyExchange(None, bits)


def test_finite_field_parameters_are_signed_with_the_randoms_too() -> None:
    """RFC 5246 7.4.3."""
    flight = clear(FINITE, is_elliptic=False)
    assert flight.signature is not None
    assert flight.signature.content == RANDOMS + DH_PARAMETERS


def test_nothing_but_the_end_makes_a_clear_flight_whole() -> None:
    for kind in EVERY_KIND:
        if kind not in (CERTIFICATE, KEY_EXCHANGE, HELLO_DONE, STATUS):
            flight = clear(message(kind, b"?"))
            assert flight == ServerFlight(is_certificate_requested=kind == REQUEST)
    assert clear(message(HELLO_DONE)) == ServerFlight(is_whole=True)


def test_the_first_certificate_and_the_first_signature_are_those_that_count() -> None:
    """A client ends the handshake at a second one; whatever it holds takes the place of nothing."""
    other = message(KEY_EXCHANGE, P256_PARAMETERS + signed(0x0804, b"other"))
    certificates = [message(CERTIFICATE, chain(one)) for one in (LEAF, ISSUER)]
    flight = clear(*certificates, ELLIPTIC, other)
    assert flight.chain == (LEAF,)
    assert flight.signature is not None
    assert flight.signature.signature == b"signature"


def test_a_key_exchange_that_does_not_sign_is_not_read() -> None:
    """Before TLS 1.2 the signature has no scheme; with a pre-shared key there is none."""
    assert clear(ELLIPTIC, is_signed=False) == ServerFlight()
    assert clear(message(KEY_EXCHANGE, b""), is_signed=False) == ServerFlight()


CUT_SHORT = vector(3, LEAF)[:-1]
EXPLICIT_CURVE = b"\1" + P256_PARAMETERS[1:] + signed(0x0403, b"signature")
MALFORMED_IN_CLEAR = {
    "no chain": message(CERTIFICATE, b""),
    "an empty chain": message(CERTIFICATE, chain()),
    "an empty certificate": message(CERTIFICATE, chain(LEAF, b"")),
    "a chain that is longer than its message": message(CERTIFICATE, chain(LEAF)[:-1]),
    "bytes after the chain": message(CERTIFICATE, chain(LEAF) + b"x"),
    "a certificate that is longer than its chain": message(CERTIFICATE, vector(3, CUT_SHORT)),
    "a curve without a name": message(KEY_EXCHANGE, EXPLICIT_CURVE),
    "parameters without a signature": message(KEY_EXCHANGE, P256_PARAMETERS),
    "bytes after the signature": message(KEY_EXCHANGE, ELLIPTIC.content + b"x"),
    "parameters of the other kind": FINITE,
    "a status without a response": message(STATUS, b"\1"),
}


@pytest.mark.parametrize("one", MALFORMED_IN_CLEAR.values(), ids=MALFORMED_IN_CLEAR)
def test_a_message_that_contradicts_itself_is_malformed(one: Message) -> None:
    with pytest.raises(Malformed):
        clear(one)


@pytest.mark.parametrize(
    ("alert", "description"),
    [
        (b"\2\x28", 40),
        (b"\2\0", 0),
        *((alert, None) for alert in (b"", b"\2", b"\1\x28", b"\2\x28x")),
    ],
)
def test_only_a_fatal_alert_breaks_a_flight_off(alert: bytes, description: int | None) -> None:
    """RFC 5246 7.2."""
    shown = ServerFlight(chain=(LEAF,))
    flight = broken_off(shown, alert)
    assert flight.alert == description
    assert flight.chain == (LEAF,)


# TLS 1.3.

SHOWN = message(CERTIFICATE, entries(entry(LEAF), entry(ISSUER)))
PROVEN = message(VERIFY, signed(0x0804, b"signature"))


RIGHT_FINISHED = message(20, b"finished " + HASH)


def test_an_encrypted_flight_is_whole_with_a_finished_message_that_is_right() -> None:
    """RFC 8446 4.4.3: 64 spaces, the context, a zero and the hash are signed."""
    extensions = message(ENCRYPTED_EXTENSIONS, b"\0\0")
    flight = encrypted(extensions, message(REQUEST), SHOWN, PROVEN, RIGHT_FINISHED)
    content = b" " * 64 + b"TLS 1.3, server CertificateVerify" + b"\0" + HASH
    assert flight == ServerFlight(
        chain=(LEAF, ISSUER),
        signature=Signature(scheme=0x0804, content=content, signature=b"signature"),
        is_certificate_requested=True,
        is_whole=True,
    )


def test_a_flight_without_a_correct_finished_message_is_not_complete() -> None:
    assert not encrypted(SHOWN, PROVEN).is_whole
    assert not encrypted(SHOWN, RIGHT_FINISHED, PROVEN).is_whole
    with pytest.raises(Malformed):
        encrypted(SHOWN, PROVEN, message(20, b"finished " + HASH[:-1] + b"?"))


def compressed(content: bytes, *, algorithm: int = 1, size: int | None = None) -> Message:
    """RFC 8879 4."""
    announced = len(content) * algorithm if size is None else size
    head = algorithm.to_bytes(2, "big") + announced.to_bytes(3, "big")
    return message(COMPRESSED, head + vector(3, content))


def test_a_compressed_certificate_is_a_certificate() -> None:
    content = entries(entry(LEAF, (5, staple(b"response"))), entry(ISSUER))
    assert encrypted(compressed(content)) == encrypted(message(CERTIFICATE, content))


def test_the_first_certificate_counts_compressed_or_not() -> None:
    of_leaf, of_issuer = entries(entry(LEAF)), entries(entry(ISSUER))
    assert encrypted(compressed(of_leaf), message(CERTIFICATE, of_issuer)).chain == (LEAF,)
    assert encrypted(message(CERTIFICATE, of_issuer), compressed(of_leaf)).chain == (ISSUER,)


BADLY_COMPRESSED = {
    "nothing": message(COMPRESSED),
    "a length too few": message(COMPRESSED, b"\0\1\0\0\1"),
    "something left over": message(COMPRESSED, b"\0\1\0\0\1" + vector(3, b"a") + b"b"),
    "an algorithm that was not offered": compressed(entries(entry(LEAF)), algorithm=3),
    "another length than announced": compressed(entries(entry(LEAF)), size=100),
    "no certificate": compressed(entries()),
}


@pytest.mark.parametrize("bad", BADLY_COMPRESSED.values(), ids=BADLY_COMPRESSED)
def test_a_badly_compressed_certificate_is_malformed(bad: Message) -> None:
    with pytest.raises(Malformed):
        encrypted(bad)


def test_a_certificate_that_would_be_too_long_is_not_decompressed() -> None:
    asked: list[int] = []

    def decompress(_: int, size: int, __: bytes) -> bytes:
        asked.append(size)
        raise Malformed("asked")

    reader = EncryptedFlightReader(finished_of=bytes, compressions=(1,), decompress=decompress)
    for size in (MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1, 2**24 - 1):
        with pytest.raises(Malformed):
            reader.read(compressed(b"bomb", size=size), HASH)
    assert asked == [MAX_MESSAGE_BYTES]


@pytest.mark.parametrize("place", [0, 1])
def test_a_delegated_credential_of_the_leaf_is_a_flaw(place: int) -> None:
    """RFC 9345 4: it comes with the leaf; elsewhere it is ignored."""
    listed = [entry(LEAF), entry(ISSUER)]
    listed[place] = entry((LEAF, ISSUER)[place], (34, b"credential"))
    flight = encrypted(message(CERTIFICATE, entries(*listed)))
    assert (flight.flaw is not None) is (place == 0)


def test_of_several_staples_the_first_is_the_leaf_s() -> None:
    """RFC 6961 2.2; a server has one for some certificates only."""
    for responses, expected in (
        ((b"of the leaf", b"of the issuer"), b"of the leaf"),
        ((b"of the leaf",), b"of the leaf"),
        ((b"", b"of the issuer"), None),
    ):
        listed = b"".join(vector(3, response) for response in responses)
        flight = clear(message(CERTIFICATE, chain(LEAF)), message(STATUS, staple(listed, kind=2)))
        assert flight.stapled_ocsp_response == expected


@pytest.mark.parametrize("content", [b"", b"\2", staple(b"", kind=2), staple(b"\0\0\1", kind=2)])
def test_several_staples_that_break_off_are_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        clear(message(STATUS, content))


def test_several_staples_are_of_no_use_in_tls_1_3() -> None:
    """RFC 8446 4.4.2.1 has no such type: what it holds cannot be read."""
    listed = staple(vector(3, b"response"), kind=2)
    flight = encrypted(message(CERTIFICATE, entries(entry(LEAF, (5, listed)))))
    assert flight.stapled_ocsp_response == b""


def test_only_the_staple_of_the_leaf_is_taken() -> None:
    stapled = entry(LEAF, (18, b"timestamps"), (5, staple(b"of the leaf")))
    other = entry(ISSUER, (5, staple(b"of the issuer")))
    flight = encrypted(message(CERTIFICATE, entries(stapled, other)))
    assert flight.stapled_ocsp_response == b"of the leaf"
    flight = encrypted(message(CERTIFICATE, entries(entry(LEAF), other)))
    assert flight.stapled_ocsp_response is None


def test_a_signature_before_the_certificate_proves_nothing() -> None:
    assert encrypted(PROVEN) == ServerFlight()
    assert encrypted(PROVEN, SHOWN).signature is None


def test_the_first_certificate_counts_in_an_encrypted_flight_too() -> None:
    flight = encrypted(SHOWN, message(CERTIFICATE, entries(entry(ISSUER))), PROVEN)
    assert flight.chain == (LEAF, ISSUER)


TOO_SHORT_A_LIST = vector(3, LEAF) + vector(2, b"\0\5\0\1")
MALFORMED_WHEN_DECRYPTED = {
    "an empty list": message(CERTIFICATE, entries()),
    "an empty certificate": message(CERTIFICATE, entries(entry(LEAF), entry(b""))),
    "a context that no request gave": message(CERTIFICATE, entries(entry(LEAF), context=b"x")),
    "an entry without extensions": message(CERTIFICATE, entries(vector(3, LEAF))),
    "an extension that runs past its list": message(CERTIFICATE, entries(TOO_SHORT_A_LIST)),
    "a staple that breaks off": message(CERTIFICATE, entries(entry(LEAF, (5, b"\1\0")))),
}


@pytest.mark.parametrize("one", MALFORMED_WHEN_DECRYPTED.values(), ids=MALFORMED_WHEN_DECRYPTED)
def test_a_decrypted_message_that_contradicts_itself_is_malformed(one: Message) -> None:
    with pytest.raises(Malformed):
        encrypted(one)


def test_a_signature_that_breaks_off_is_malformed() -> None:
    with pytest.raises(Malformed):
        encrypted(SHOWN, message(VERIFY, PROVEN.content[:-1]))


CLEARLY_SHOWN, STAPLED = message(CERTIFICATE, chain(LEAF)), message(STATUS, staple(b"response"))
GOOD = [SHOWN, PROVEN, ELLIPTIC, FINITE, CLEARLY_SHOWN, STAPLED]
KINDS = st.sampled_from(
    (CERTIFICATE, COMPRESSED, KEY_EXCHANGE, REQUEST, HELLO_DONE, VERIFY, STATUS, 0)
)
CONTENTS = st.sampled_from([one.content for one in GOOD]) | st.binary(max_size=60)


@pytest.mark.parametrize("whole", GOOD)
def test_a_message_cut_short_anywhere_is_malformed_or_nothing(whole: Message) -> None:
    for end in range(len(whole.content)):
        for is_elliptic in (True, False):
            try:
                flight = clear(message(whole.kind, whole.content[:end]), is_elliptic=is_elliptic)
            except Malformed:
                continue
            assert flight == ServerFlight()


@given(st.lists(st.tuples(KINDS, CONTENTS), max_size=6), st.booleans())
@settings(max_examples=200)
def test_no_message_raises_anything_but_malformed(
    listed: list[tuple[int, bytes]],
    is_elliptic: bool,
) -> None:
    messages = [message(kind, content) for kind, content in listed]
    with suppress(Malformed):
        assert all(clear(*messages, is_elliptic=is_elliptic).chain)
    with suppress(Malformed):
        assert all(encrypted(*messages).chain)
