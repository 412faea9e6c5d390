"""Hellos of ordinary clients: the cover that they form, and the bytes of each."""

from dataclasses import replace

import pytest
from tlslite.messages import ClientHello as TlsliteHello
from tlslite.utils.codec import Parser

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import (
    GREASE_PLACEHOLDERS,
    RARE_KINDS,
    SCHEMES_OF_KIND,
    SSL2_FORMAT,
    ClientProfile,
    ProfileHello,
    SignatureKind,
    kind_of_scheme,
)
from otpc_policy.engine.profiles.hello_bytes import encode_profile_hello
from otpc_policy.engine.profiles.hello_draw import Drawn
from tests.engine.profiles.known_clients import (
    BARE_TLS_1_1,
    BROWSER,
    INSECURE_SUITES,
    JAVA_17_WITH_RSA,
    NULL_SUITES,
    OLD_CLIENTS,
    OPENSSL_3,
    OPENSSL_102_WITH_RSA,
    SMALL,
)
from tests.tls.sent_hello import Kind, SentHello, is_grease, read_hello

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
NAME = "gateway.partner.example"
RANDOM, SESSION_ID = bytes(range(32)), bytes(range(100, 132))
SHARE_BYTES = {29: 32, 23: 65, 0x11EC: 1216}
EVERY = (
    *(OPENSSL_3, BROWSER, SMALL, JAVA_17_WITH_RSA, OPENSSL_102_WITH_RSA, OPENSSL_3.at_tls12()),
    *OLD_CLIENTS,
    *(INSECURE_SUITES, NULL_SUITES),
    *(OPENSSL_3.signing_with((kind,)) for kind in SignatureKind),
    OPENSSL_3.at_tls12().signing_with(RARE_KINDS),
)
EVERY_PROFILE = pytest.mark.parametrize("profile", EVERY, ids=lambda profile: profile.name)


def shares_of(profile: ClientProfile) -> dict[int, bytes]:
    return {group: bytes([group & 0xFF]) * SHARE_BYTES[group] for group in profile.share_groups}


def drawn() -> Drawn:
    """What is drawn here; GREASE values are those that stand for them."""
    grease = ((number, number.to_bytes(2, "big")) for number in GREASE_PLACEHOLDERS)
    return Drawn(client_random=RANDOM, session_id=SESSION_ID, grease=tuple(grease))


def sent(profile: ClientProfile, name: str | None = NAME) -> bytes:
    hello = ProfileHello(profile=profile, server_name=name if profile.sends_name else None)
    shares = shares_of(profile)
    return encode_profile_hello(hello, drawn(), shares=shares)


def read(profile: ClientProfile, name: str | None = NAME) -> SentHello:
    return read_hello(sent(profile, name))


# The bytes.


@EVERY_PROFILE
def test_a_strict_reader_finds_what_the_profile_lists_in_its_order(profile: ClientProfile) -> None:
    hello = read(profile)
    assert hello.cipher_suites == profile.listed_suites
    assert hello.compression == bytes(profile.compression)
    padding = (Kind.PADDING,) if profile.padded_to else ()
    assert hello.extension_kinds == (*profile.extensions, *padding)
    assert hello.server_name == (NAME if profile.sends_name else None)
    assert hello.groups == (profile.groups or None)
    assert hello.signature_schemes == (profile.schemes or None)
    assert hello.session_id == (SESSION_ID if profile.has_session_id else b"")
    assert hello.record_version == (0 if profile.is_ssl2_format else profile.record_version)
    assert hello.version == min(profile.highest, TLS12)
    versions = [one for one in hello.offered_versions or () if not is_grease(one)]
    assert versions == ([TLS13, TLS12] if profile.highest is TLS13 else [])
    assert hello.size == len(sent(profile))


@EVERY_PROFILE
def test_nothing_is_listed_twice(profile: ClientProfile) -> None:
    for listed in (profile.listed_suites, profile.extensions, profile.groups, profile.schemes):
        assert len(set(listed)) == len(listed)


@EVERY_PROFILE
def test_an_address_without_a_name_is_asked_without_one(profile: ClientProfile) -> None:
    """RFC 6066 3: literal addresses are not permitted as a server name."""
    hello = read(profile, None)
    assert hello.server_name is None
    without_name = [kind for kind in profile.extensions if kind != Kind.SERVER_NAME]
    assert [kind for kind in hello.extension_kinds if kind != Kind.PADDING] == without_name


@EVERY_PROFILE
def test_tlslite_reads_the_same(profile: ClientProfile) -> None:
    is_ssl2 = profile.is_ssl2_format
    header_bytes = 3 if is_ssl2 else 6
    message = Parser(bytearray(sent(profile)[header_bytes:]))
    hello = TlsliteHello(ssl2=is_ssl2).parse(message)
    assert tuple(hello.cipher_suites) == profile.listed_suites
    assert bytes(hello.random) == (bytes(16) + RANDOM[:16] if is_ssl2 else RANDOM)
    assert bytes(hello.server_name) == (NAME.encode() if profile.sends_name else b"")
    extensions = hello.extensions or ()
    assert tuple(one.extType for one in extensions) == read(profile).extension_kinds
    if profile.share_groups:
        listed = hello.getExtension(51).client_shares
        shares = {one.group: bytes(one.key_exchange) for one in listed}
        assert shares.items() >= shares_of(profile).items()


@EVERY_PROFILE
def test_key_shares_stand_in_the_order_of_the_groups(profile: ClientProfile) -> None:
    """RFC 8446 4.2.8: each for a group that is named, in the same order."""
    hello = read(profile)
    groups = [group for group, _ in hello.key_shares]
    assert groups == [group for group in hello.groups or () if group in groups]
    usable = {group: share for group, share in hello.key_shares if not is_grease(group)}
    assert usable == shares_of(profile)
    assert (Kind.KEY_SHARE in profile.extensions) is (profile.highest is TLS13)


@EVERY_PROFILE
def test_what_can_be_chosen_is_neither_a_signal_nor_grease(profile: ClientProfile) -> None:
    signals = (0x00FF, 0x5600)
    choices = [one for one in profile.listed_suites if one not in signals and not is_grease(one)]
    assert list(profile.cipher_suites) == choices
    assert 0x5600 not in profile.listed_suites


def has_grease(hello: SentHello) -> bool:
    return any(map(is_grease, (*hello.cipher_suites, *hello.extension_kinds)))


@pytest.mark.parametrize("profile", [one for one in EVERY if has_grease(read(one))])
def test_grease_stands_where_rfc_8701_has_it(profile: ClientProfile) -> None:
    """Section 3.1: among suites, extensions, groups and versions; its share has one byte."""
    hello = read(profile)
    assert is_grease(hello.cipher_suites[0])
    extensions = [kind for kind in hello.extension_kinds if is_grease(kind)]
    assert len(set(extensions)) == len(extensions)
    groups = [group for group in hello.groups or () if is_grease(group)]
    shares = [(group, share) for group, share in hello.key_shares if is_grease(group)]
    assert shares == ([(group, b"\0") for group in groups] if hello.key_shares else [])
    if hello.offered_versions is not None:
        assert is_grease(hello.offered_versions[0])


def test_a_hello_in_the_format_of_ssl_2_is_as_rfc_5246_has_it() -> None:
    """E.2: a length with the highest bit set, suites of three bytes, a challenge of 16."""
    raw = sent(SSL2_FORMAT)
    suites = b"".join(b"\0" + suite.to_bytes(2, "big") for suite in SSL2_FORMAT.listed_suites)
    lengths = len(suites).to_bytes(2, "big") + b"\0\0" + b"\0\x10"
    body = b"\1" + b"\3\1" + lengths + suites + RANDOM[:16]
    assert raw == (0x8000 + len(body)).to_bytes(2, "big") + body


def test_a_bare_hello_has_no_extensions_and_no_length_of_them() -> None:
    """RFC 5246 7.4.1.2: old servers that know none expect the end of the message."""
    for profile in (BARE_TLS_1_1, NULL_SUITES):
        assert sent(profile).endswith(b"\1\0")
        assert not profile.sends_name


@pytest.mark.parametrize("name", [None, "a.example", NAME, ".".join(["a" * 63] * 3 + ["b" * 61])])
def test_padding_reaches_its_length_whatever_the_name(name: str | None) -> None:
    hello = read(BROWSER, name)
    assert hello.size == BROWSER.padded_to
    padding = hello.extension(Kind.PADDING)
    assert padding == bytes(len(padding or b""))


def test_a_hello_that_is_long_enough_is_not_padded() -> None:
    """RFC 7685: the extension's header alone takes four bytes."""
    unpadded = len(sent(replace(BROWSER, padded_to=0)))
    for padded_to in (unpadded - 1, unpadded, unpadded + 4):
        assert Kind.PADDING not in read(replace(BROWSER, padded_to=padded_to)).extension_kinds
    assert len(sent(replace(BROWSER, padded_to=unpadded + 5))) == unpadded + 5


WITH_SHARES = [profile for profile in EVERY if profile.highest is TLS13]


@pytest.mark.parametrize("profile", WITH_SHARES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("cookie", [b"", b"cookie"])
@pytest.mark.parametrize("asks_for_group", [True, False])
def test_a_second_hello_differs_only_as_a_retry_request_asked(
    profile: ClientProfile,
    asks_for_group: bool,
    cookie: bytes,
) -> None:
    """RFC 8446 4.1.2: one share as asked for, cookie, padding; 5.1: the record."""
    unsent = [one for one in profile.groups if one not in profile.share_groups]
    asked_for = {unsent[-1]: b"share"}
    raw = encode_profile_hello(
        ProfileHello(profile=profile, server_name=NAME),
        drawn(),
        shares=asked_for if asks_for_group else shares_of(profile),
        cookie=cookie,
        is_second=True,
    )
    first, second = read(profile), read_hello(raw)
    assert second.record_version == 0x0303
    assert second.key_shares == (tuple(asked_for.items()) if asks_for_group else first.key_shares)
    prefixed = len(cookie).to_bytes(2, "big") + cookie
    assert second.extension(Kind.COOKIE) == (prefixed if cookie else None)
    changed = (Kind.KEY_SHARE, Kind.COOKIE, Kind.PADDING)
    kept = [[one for one in hello.extensions if one[0] not in changed] for hello in (first, second)]
    assert kept[0] == kept[1]
    unchanged = replace(second, record_version=first.record_version, size=first.size)
    assert replace(unchanged, extensions=first.extensions) == first


def test_every_scheme_is_of_one_kind() -> None:
    """RFC 8446 4.2.3; DSA, Brainpool and unknown ones are of none."""
    for kind, schemes in SCHEMES_OF_KIND.items():
        assert {kind_of_scheme(scheme) for scheme in schemes} == {kind}
    assert set(SCHEMES_OF_KIND) == set(SignatureKind)
    assert {kind_of_scheme(scheme) for scheme in (0x0202, 0x0402, 0x081A, 0x0904, 0)} == {None}


@pytest.mark.parametrize(
    ("profile", "kinds", "schemes"),
    [
        (OPENSSL_3, (SignatureKind.ECDSA,), (0x0403, 0x0503, 0x0603, 0x0303)),
        (OPENSSL_3, (SignatureKind.RSA_PSS_RSAE,), (0x0804, 0x0805, 0x0806)),
        (OPENSSL_3, RARE_KINDS, (0x0807, 0x0808, 0x0809, 0x080A, 0x080B)),
        (SMALL, (SignatureKind.ED448,), (0x0808,)),
        (SMALL, (SignatureKind.RSA_PKCS1, SignatureKind.ED25519), (0x0401, 0x0807)),
        (NULL_SUITES, (SignatureKind.RSA_PSS_PSS,), (0x0809, 0x080A, 0x080B)),
    ],
)
def test_a_client_of_some_kinds_of_signature_keeps_its_order_and_gets_what_it_lacks(
    profile: ClientProfile,
    kinds: tuple[SignatureKind, ...],
    schemes: tuple[int, ...],
) -> None:
    changed = profile.signing_with(kinds)
    assert changed.schemes == schemes
    assert all(kind.value in changed.name for kind in kinds)
    assert replace(changed, name=profile.name, schemes=profile.schemes) == profile


def test_a_client_of_rsa_alone_may_be_given_no_other_key() -> None:
    """The schemes for chains may hold others: they say nothing of the leaf's key."""
    kinds = set(map(kind_of_scheme, JAVA_17_WITH_RSA.schemes))
    assert kinds == {SignatureKind.RSA_PSS_RSAE, SignatureKind.RSA_PKCS1}
    assert {kind_of_scheme(one) for one in OPENSSL_102_WITH_RSA.schemes} <= {*kinds, None}
