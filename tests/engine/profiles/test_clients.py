"""Hellos of ordinary clients: the cover that they form, and the bytes of each."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from tlslite.messages import ClientHello as TlsliteHello
from tlslite.utils.codec import Parser

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import (
    BARE_TLS_1_1,
    BROWSER,
    GREASE_PLACEHOLDERS,
    INSECURE_SUITES,
    JAVA_17_WITH_RSA,
    NULL_SUITES,
    OLD_CLIENTS,
    OPENSSL_3,
    OPENSSL_3_AT_TLS_1_2,
    OPENSSL_102_WITH_RSA,
    RARE_KINDS,
    SCHEMES_OF_KIND,
    SMALL,
    SSL2_FORMAT,
    ClientProfile,
    ProfileHello,
    SignatureKind,
    kind_of_scheme,
)
from otpc_policy.engine.profiles.hello_bytes import encode_profile_hello
from otpc_policy.engine.profiles.hello_draw import Drawn
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import PAYMENT_SUITES, family_of, opening, suites_at
from otpc_policy.engine.survey.probe import Purpose
from otpc_policy.tls.client_hello import ENTROPY_BYTES, ClientHello, encode_client_hello
from tests.engine.survey.fixed_cast import FIXED_CAST
from tests.engine.survey.model_server import Model
from tests.engine.survey.surveying import survey
from tests.tls.sent_hello import Kind, SentHello, is_grease, read_hello

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
NAME = "gateway.partner.example"
RANDOM, SESSION_ID = bytes(range(32)), bytes(range(100, 132))
SHARE_BYTES = {29: 32, 23: 65, 0x11EC: 1216}
EVERY = (
    *(OPENSSL_3, BROWSER, SMALL, JAVA_17_WITH_RSA, OPENSSL_102_WITH_RSA, OPENSSL_3_AT_TLS_1_2),
    *OLD_CLIENTS,
    *(INSECURE_SUITES, NULL_SUITES),
    *(OPENSSL_3.signing_with((kind,)) for kind in SignatureKind),
    OPENSSL_3_AT_TLS_1_2.signing_with(RARE_KINDS),
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


# The cover.

Property = Callable[[SentHello], bool]


def has(kind: int) -> Property:
    return lambda hello: kind in hello.extension_kinds


def longer_than(size: int) -> Property:
    return lambda hello: hello.size > size


def more_suites_than(count: int) -> Property:
    return lambda hello: len(hello.cipher_suites) > count


def in_order(numbers: Iterable[int], first: int, second: int) -> bool:
    """Both are there, one before the other."""
    return [number for number in numbers if number in (first, second)] == [first, second]


def suites_in_order(first: int, second: int) -> Property:
    return lambda hello: in_order(hello.cipher_suites, first, second)


def extensions_in_order(first: int, second: int) -> Property:
    return lambda hello: in_order(hello.extension_kinds, first, second)


def names_group(group: int) -> Property:
    return lambda hello: group in (hello.groups or ())


def prefers_group(group: int) -> Property:
    return lambda hello: [one for one in hello.groups or () if not is_grease(one)][:1] == [group]


def has_grease(hello: SentHello) -> bool:
    return any(map(is_grease, (*hello.cipher_suites, *hello.extension_kinds)))


def begins_with(suites: Iterable[int]) -> Property:
    """GREASE is passed over."""
    return lambda hello: next(one for one in hello.cipher_suites if not is_grease(one)) in suites


def has_record_version(version: int) -> Property:
    return lambda hello: hello.record_version == version


OF_ECDSA = [suite for suite in suites_at(TLS12) if family_of(suite) == "TLS_ECDHE_ECDSA"]
OF_RSA = [suite for suite in suites_at(TLS12) if family_of(suite) == "TLS_ECDHE_RSA"]
OF_TLS_1_3 = suites_at(TLS13)
# How software tells hellos apart, for whatever they ask.
EVERYWHERE: dict[str, Property] = {
    **{f"{size} bytes": longer_than(size) for size in (200, 255, 300, 360, 512)},
    "8 suites": more_suites_than(8),
    "16 suites": more_suites_than(16),
    "32 suites": more_suites_than(32),
    "64 suites": more_suites_than(64),
    "128 suites": more_suites_than(128),
    "ALPN": has(Kind.ALPN),
    "session ticket": has(Kind.SESSION_TICKET),
    "extended_master_secret": has(Kind.EXTENDED_MASTER_SECRET),
    "encrypt_then_mac": has(Kind.ENCRYPT_THEN_MAC),
    "status_request": has(Kind.STATUS_REQUEST),
    "renegotiation_info": has(Kind.RENEGOTIATION_INFO),
    "point formats": has(Kind.EC_POINT_FORMATS),
    "GREASE among suites": lambda hello: any(map(is_grease, hello.cipher_suites)),
    "GREASE among extensions": lambda hello: any(map(is_grease, hello.extension_kinds)),
    "the name stands first": lambda hello: hello.extension_kinds[:1] == (Kind.SERVER_NAME,),
    "groups before the name": extensions_in_order(Kind.SUPPORTED_GROUPS, Kind.SERVER_NAME),
    "formats before groups": extensions_in_order(Kind.EC_POINT_FORMATS, Kind.SUPPORTED_GROUPS),
    "ECDSA first": begins_with(OF_ECDSA),
    "four groups": lambda hello: len(hello.groups or ()) > 4,
    "X25519": names_group(29),
    "P-384": names_group(24),
    "P-521": names_group(25),
    "Brainpool": names_group(26),
    "P-256 first of all groups": prefers_group(23),
    "record version 3.1": has_record_version(0x0301),
}
OF_CERTIFICATES: dict[str, Property] = {
    "one TCP segment": longer_than(1460),
    "TLS 1.3": has(Kind.SUPPORTED_VERSIONS),
    "TLS 1.3 alone": lambda hello: set(hello.cipher_suites) <= {*OF_TLS_1_3, 0x00FF},
    "TLS 1.3 first": begins_with(OF_TLS_1_3),
    "TLS 1.2 before TLS 1.3": suites_in_order(0xC02F, 0x1301),
    "session id": lambda hello: bool(hello.session_id),
    "padding": has(Kind.PADDING),
    "certificate timestamps": has(Kind.SIGNED_CERTIFICATE_TIMESTAMP),
    "signature_algorithms_cert": has(Kind.SIGNATURE_ALGORITHMS_CERT),
    "heartbeat": has(Kind.HEARTBEAT),
    "finite-field groups": names_group(256),
    "X448": names_group(30),
    "key share before the schemes": extensions_in_order(Kind.KEY_SHARE, Kind.SIGNATURE_ALGORITHMS),
    "key share before groups": extensions_in_order(Kind.KEY_SHARE, Kind.SUPPORTED_GROUPS),
    "256 bits before 128": suites_in_order(0xC030, 0xC02F),
    "ECDSA before RSA": suites_in_order(0xC02B, 0xC02F),
    "AES-128 with ECDSA first": begins_with([0xC02B]),
    "ChaCha20 before AES": suites_in_order(0xCCA8, 0xC02F),
    "static RSA first": lambda hello: hello.cipher_suites[0] == 0x0035,
    "renegotiation signal": lambda hello: 0x00FF in hello.cipher_suites,
    "record version 3.3": has_record_version(0x0303),
}
OF_OLD_VERSIONS: dict[str, Property] = {
    "128 bytes": longer_than(128),
    "name": lambda hello: hello.server_name is not None,
    "extensions": lambda hello: bool(hello.extensions),
    "format of SSL 2": has_record_version(0),
    "groups": has(Kind.SUPPORTED_GROUPS),
    "AES-256 before AES-128": suites_in_order(0x0035, 0x002F),
    "forward secrecy before static RSA": suites_in_order(0x0033, 0x002F),
    "RC4": lambda hello: 0x0005 in hello.cipher_suites,
    "ECDSA": lambda hello: 0xC009 in hello.cipher_suites,
    "heartbeat": has(Kind.HEARTBEAT),
    "record version 3.0": has_record_version(0x0300),
}
OF_INSECURE_SUITES: dict[str, Property] = {
    "128 bytes": longer_than(128),
    "name": lambda hello: hello.server_name is not None,
    "extensions": lambda hello: bool(hello.extensions),
    "schemes": has(Kind.SIGNATURE_ALGORITHMS),
    "groups": has(Kind.SUPPORTED_GROUPS),
    "finite-field groups": names_group(256),
    "NULL with SHA-256 before MD5": suites_in_order(0x003B, 0x0001),
    "record version 3.3": has_record_version(0x0303),
}


SURVEYED = survey(Model(suites={TLS12: PAYMENT_SUITES}), NAME)


def of_clients(purpose: Purpose, wave: int) -> list[SentHello]:
    """Return what the clients' survey sends with a purpose in its first or its second wave."""
    planner = ClientSurvey(NAME, FIXED_CAST)
    for _ in range(wave):
        planner.take((), ())
    probes = planner.next_wave(SURVEYED.journal if wave else Journal(), is_closed=True)
    return [read(probe.hello.profile) for probe in probes if probe.purpose is purpose]


def of_survey(hellos: Iterable[ClientHello]) -> list[SentHello]:
    return [read_hello(encode_client_hello(hello, bytes(ENTROPY_BYTES))) for hello in hellos]


def asked(purpose: Purpose) -> list[ClientHello]:
    """Return what the survey of suites asks a server of TLS 1.2 with a purpose."""
    return [record.hello for record in SURVEYED.journal.records if record.probe.purpose is purpose]


CERTIFICATES = (
    *of_clients(Purpose.CLIENT, 0),
    *of_survey(probe.hello for probe in opening(NAME)),
)
OLD_VERSIONS = (
    *of_clients(Purpose.REVEAL, 0),
    *of_survey(hello for hello in asked(Purpose.VERSION) if hello.version in (SSL3, TLS10, TLS11)),
)
INSECURE = (
    *of_clients(Purpose.REVEAL, 1),
    *of_survey(hello for hello in asked(Purpose.REMAINDER) if hello.version is TLS12),
)
COVER = [
    *((CERTIFICATES, name, held) for name, held in (EVERYWHERE | OF_CERTIFICATES).items()),
    *((OLD_VERSIONS, name, held) for name, held in (EVERYWHERE | OF_OLD_VERSIONS).items()),
    *((INSECURE, name, held) for name, held in (EVERYWHERE | OF_INSECURE_SUITES).items()),
]
QUESTION = {CERTIFICATES: "certificate", OLD_VERSIONS: "old version", INSECURE: "insecure suite"}


@pytest.mark.parametrize(
    ("hellos", "held"),
    [(hellos, held) for hellos, _, held in COVER],
    ids=[f"{QUESTION[hellos]}: {name}" for hellos, name, _ in COVER],
)
def test_a_property_that_servers_route_by_is_in_one_hello_and_not_in_another(
    hellos: Iterable[SentHello],
    held: Property,
) -> None:
    assert {held(hello) for hello in hellos} == {True, False}


# What no client has that such a server accepts, or what all of them have.
MEANINGLESS = {
    TLS12: {"static RSA first", "signature_algorithms_cert", "heartbeat", "TLS 1.3 alone"},
    TLS13: {
        *("32 suites", "64 suites", "128 suites", "Brainpool", "TLS 1.3", "heartbeat"),
        *("static RSA first", "signature_algorithms_cert"),
    },
}
OF_LEAVES = (SignatureKind.ECDSA, SignatureKind.RSA_PSS_RSAE)
SERVERS = [(version, kind) for version in (TLS12, TLS13) for kind in OF_LEAVES]


def is_acceptable(hello: SentHello, version: TlsVersion, kind: SignatureKind) -> bool:
    """A server of this version alone, with a key for this kind alone, shows it its certificate."""
    if kind not in map(kind_of_scheme, hello.signature_schemes or ()):
        return False
    if version is TLS13:
        return TLS13 in (hello.offered_versions or ())
    wanted = OF_ECDSA if kind is SignatureKind.ECDSA else OF_RSA
    lists_tls12 = hello.offered_versions is None or TLS12 in hello.offered_versions
    return lists_tls12 and not set(wanted).isdisjoint(hello.cipher_suites)


@pytest.mark.parametrize(("version", "kind"), SERVERS)
@pytest.mark.parametrize("name", EVERYWHERE | OF_CERTIFICATES)
def test_the_hellos_that_a_server_accepts_are_a_cover_too(
    name: str,
    version: TlsVersion,
    kind: SignatureKind,
) -> None:
    """What a server of one version and one key type refuses shows nothing of its certificates."""
    held = (EVERYWHERE | OF_CERTIFICATES)[name]
    accepted = [one for one in CERTIFICATES if is_acceptable(one, version, kind)]
    is_covered = {held(hello) for hello in accepted} == {True, False}
    assert is_covered or name in MEANINGLESS[version]


def is_shown_ecdsa(hello: SentHello) -> bool:
    """A server with two leaves that follows its clients shows the ECDSA one.

    At TLS 1.3 by the first scheme that it can sign with, before by the first suite.
    """
    if TLS13 in (hello.offered_versions or ()):
        kinds = map(kind_of_scheme, hello.signature_schemes or ())
        return next((kind for kind in kinds if kind in OF_LEAVES), None) is SignatureKind.ECDSA
    offered = [suite for suite in hello.cipher_suites if suite in PAYMENT_SUITES]
    return is_acceptable(hello, TLS12, SignatureKind.ECDSA) and offered[0] in OF_ECDSA


@pytest.mark.parametrize("name", EVERYWHERE | OF_CERTIFICATES)
def test_the_hellos_that_bring_an_ecdsa_leaf_before_an_rsa_one_are_a_cover_too(name: str) -> None:
    """Most clients of such a server are given the ECDSA leaf, whatever else they send."""
    held = (EVERYWHERE | OF_CERTIFICATES)[name]
    shown = [one for one in CERTIFICATES if is_shown_ecdsa(one)]
    is_covered = {held(hello) for hello in shown} == {True, False}
    assert is_covered or name in MEANINGLESS[TLS12]


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
