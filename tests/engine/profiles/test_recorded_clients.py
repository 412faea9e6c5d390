"""Recorded clients: every file is read strictly, and our encoder writes what the program sent."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from otpc_policy.core.client_names import CLIENT_NAMES
from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import (
    GREASE_FIRST,
    GREASE_GROUP,
    GREASE_LAST,
    GREASE_SUITE,
    GREASE_VERSION,
    ClientProfile,
    ProfileHello,
)
from otpc_policy.engine.profiles.hello_bytes import encode_profile_hello
from otpc_policy.engine.profiles.hello_draw import Drawn, draw
from otpc_policy.engine.profiles.recorded_clients import (
    ClientKind,
    RecordedClient,
    parse_client,
    recorded_clients,
)
from tests.recording.hello_text import Recording, file_text
from tests.tls.sent_hello import SentHello, is_grease, read_hello

SAMPLES = Path(__file__).with_name("recorded")
DATA = Path(__file__).parents[3] / "otpc_policy/engine/profiles/recorded"
EVERY_CLIENT = pytest.mark.parametrize(
    "client", recorded_clients().values(), ids=lambda client: client.name
)
# Of the clients that issue 13 wants, those that must never be lost.
WANTED = {
    *("openssl-3", "python", "curl", "gnutls", "java-17", "go", "envoy", "openssl-1.0.2"),
    *("node", "nss", "nginx", "haproxy", "grpc", "chrome", "firefox", "safari", "rustls"),
}


def sample(client: RecordedClient) -> bytes:
    """The first hello that was recorded."""
    return bytes.fromhex((SAMPLES / f"{client.name}.hex").read_text("ascii"))


def drawn_in(recorded: SentHello, profile: ClientProfile) -> Drawn:
    """What the client drew for the recording."""
    first_and_last = [kind for kind in recorded.extension_kinds if is_grease(kind)]
    listed = {
        GREASE_SUITE: recorded.cipher_suites,
        GREASE_GROUP: recorded.groups or (),
        GREASE_VERSION: recorded.offered_versions or (),
        GREASE_FIRST: first_and_last[:1],
        GREASE_LAST: first_and_last[1:],
    }
    grease = {
        placeholder: number.to_bytes(2, "big")
        for placeholder, numbers in listed.items()
        for number in numbers
        if is_grease(number)
    }
    return Drawn(
        client_random=recorded.random,
        session_id=recorded.session_id or bytes(32),
        grease=tuple(grease.items()),
        contents=tuple((kind, recorded.extension(kind) or b"") for kind in profile.drawn_contents),
    )


def encoded(client: RecordedClient, recorded: SentHello) -> bytes:
    """Encode the profile with what was drawn for the recording."""
    profile = client.profile
    return encode_profile_hello(
        ProfileHello(profile=profile, server_name=recorded.server_name),
        drawn_in(recorded, profile),
        shares={group: share for group, share in recorded.key_shares if not is_grease(group)},
    )


@EVERY_CLIENT
def test_the_encoder_writes_what_the_program_sent(client: RecordedClient) -> None:
    """What the program drew, and its key shares, are those of the recording."""
    sent = sample(client)
    recorded, ours = read_hello(sent), read_hello(encoded(client, read_hello(sent)))
    if recorded.is_ssl2 or not recorded.record_version:
        # The kinds of SSL 2 are another offer, and OpenSSL's challenge has 32 bytes.
        tls = tuple(suite for suite in recorded.cipher_suites if suite < 0x10000)
        assert (ours.version, ours.cipher_suites) == (recorded.version, tls)
        return
    assert ours == recorded
    assert encoded(client, recorded) == sent


@EVERY_CLIENT
def test_every_client_of_today_names_the_server(client: RecordedClient) -> None:
    """As it does wherever it is not given an address; the setting asks for such a client."""
    assert client.profile.sends_name or client.kind is not ClientKind.CURRENT


@EVERY_CLIENT
def test_a_sample_makes_the_file_again(client: RecordedClient) -> None:
    """What the file says follows from the recorded bytes; only `varies` needs several of them."""
    file = DATA / f"{client.name}.toml"
    text = file_text(
        Recording(
            name=client.name,
            kind=client.kind,
            program=client.program,
            version=client.version,
            recorded_on=client.recorded_on,
            command=client.command,
            source=client.source,
            hellos=(sample(client),),
        )
    )
    of_one_hello = parse_client(file.name, text).profile
    drawn = {"drawn_contents", "shuffles_extensions"}
    assert {
        field.name
        for field in fields(ClientProfile)
        if getattr(of_one_hello, field.name) != getattr(client.profile, field.name)
    } <= drawn
    assert text.partition("[hello]")[2] == file.read_text("utf-8").partition("[hello]")[2]


def test_every_file_has_a_sample_and_every_sample_a_file() -> None:
    assert {file.stem for file in SAMPLES.glob("*.hex")} == set(recorded_clients())
    assert {file.stem for file in DATA.iterdir()} == set(recorded_clients())


def test_the_clients_that_issue_13_names_are_recorded() -> None:
    assert set(recorded_clients()) >= WANTED
    for name in WANTED:
        assert recorded_clients()[name].kind is ClientKind.CURRENT


def test_the_setting_client_profiles_knows_every_current_client() -> None:
    """Whatever reads the setting imports nothing of the engine."""
    clients = recorded_clients().items()
    current = [name for name, client in clients if client.kind is ClientKind.CURRENT]
    assert list(CLIENT_NAMES) == current


@EVERY_CLIENT
def test_a_current_client_offers_tls_1_2_or_later_and_an_old_one_does_not(
    client: RecordedClient,
) -> None:
    is_modern = client.profile.highest >= TlsVersion.TLS_1_2
    assert is_modern is (client.kind is not ClientKind.OLD)


@pytest.mark.parametrize("length", range(1, 64))
def test_padding_depends_on_the_length_of_the_name(length: int) -> None:
    """RFC 7685; OpenSSL and BoringSSL pad what has 256 to 511 bytes without the record's header."""
    profile = recorded_clients()["openssl-1.1.1"].profile
    profile = replace(profile, padded_from=261, padded_to=517)
    hello = ProfileHello(profile=profile, server_name="a" * length)
    shares = dict.fromkeys(profile.share_groups, bytes(32))
    drawn = draw(profile, bytes)
    sent = encode_profile_hello(hello, drawn, shares=shares)
    bare = encode_profile_hello(
        replace(hello, profile=replace(profile, padded_to=0)), drawn, shares=shares
    )
    if not 261 <= len(bare) < 517:
        assert sent == bare
    else:
        assert len(sent) == max(517, len(bare) + 5)


GOOD = (DATA / "curl.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('kind = "current"', 'kind = "usual"', "usual"),
        ('name = "curl"', 'name = "wget"', "that of the file"),
        ("recordings = ", 'colour = "red"\nrecordings = ', "colour"),
        ("session_id_bytes = 32", "session_id_bytes = 31", "session_id_bytes"),
        ('"x25519", "secp256r1"', '"x25519", "x25519"', "twice"),
        ('key_shares = ["x25519"]', 'key_shares = ["sect163k1"]', "key_shares"),
        (
            'supported_versions = ["TLS 1.3", "TLS 1.2"',
            'supported_versions = ["TLS 1.2", "TLS 1.3"',
            "descending",
        ),
        ('"TLS_AES_256_GCM_SHA384"', '"TLS_AES_257_GCM_SHA384"', "no name"),
        ('alpn = ["h2", "http/1.1"]', "alpn = []", "application_layer"),
        ('varies = ["session_id", "key_share"]', 'varies = ["mood"]', "mood"),
        (
            'varies = ["session_id", "key_share"]',
            'varies = ["encrypted_client_hello"]',
            "is not sent",
        ),
        (
            'key_shares = ["x25519"]',
            'key_shares = ["x25519"]\nrepeats_curve_keys = true',
            "both key shares",
        ),
        ("[hello]", "[hello", "line"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_by_name(old: str, new: str, reason: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(ValueError, match=f"(?s)curl.toml.*{reason}"):
        parse_client("curl.toml", GOOD.replace(old, new))
