"""The cover that the hellos of each measurement form, whatever is drawn for it.

What software is known to route by is in some hello of every measurement and not in another one, for
each question: which certificate, whether an old client, and whether insecure suites are accepted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import pytest

from otpc_policy.core.facts import SEED_BYTES, TlsVersion
from otpc_policy.engine.profiles.clients import (
    SignatureKind,
    kind_of_scheme,
)
from otpc_policy.engine.seed import Draws
from otpc_policy.engine.survey.cast import draw_cast
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import PAYMENT_SUITES, family_of, opening, suites_at
from otpc_policy.engine.survey.probe import AnyHello, Probe, Purpose
from otpc_policy.engine.transport.conversation import Conversation
from tests.engine.survey.model_server import Model
from tests.engine.survey.surveying import survey
from tests.tls.sent_hello import Kind, SentHello, is_grease, read_hello

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
NAME = "gateway.partner.example"
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


def forward_secrecy_first(hello: SentHello) -> bool:
    """Before static RSA, which is offered as well."""
    kinds = [family_of(suite) for suite in hello.cipher_suites]
    of_both = [kind for kind in kinds if kind == "TLS_RSA" or "DHE_RSA" in kind]
    return "TLS_RSA" in of_both and of_both[0] != "TLS_RSA"


def begins_with(suites: Iterable[int]) -> Property:
    """GREASE and signals are passed over."""
    return lambda hello: next(filter(is_suite, hello.cipher_suites)) in suites


def is_suite(number: int) -> bool:
    return number != 0x00FF and not is_grease(number)


def has_record_version(version: int) -> Property:
    return lambda hello: hello.record_version == version


OF_ECDSA = [suite for suite in suites_at(TLS12) if family_of(suite) == "TLS_ECDHE_ECDSA"]
OF_RSA = [suite for suite in suites_at(TLS12) if family_of(suite) == "TLS_ECDHE_RSA"]
OF_STATIC_RSA = [suite for suite in suites_at(TLS12) if family_of(suite) == "TLS_RSA"]
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
    "static RSA first": begins_with(OF_STATIC_RSA),
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
    "forward secrecy before static RSA": forward_secrecy_first,
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
    "NULL with SHA-256 before SHA-1": suites_in_order(0x003B, 0x0002),
    "record version 3.3": has_record_version(0x0303),
}


SEEDS = range(12)
Sent = tuple[SentHello, ...]


class Drawn:
    """The hellos of one measurement of a server with the six suites, by what they ask."""

    def __init__(self, seed: int) -> None:
        draws = Draws(seed.to_bytes(SEED_BYTES, "big"))
        cast = draw_cast(draws.source(), server_name=NAME)
        journal = survey(Model(suites={TLS12: PAYMENT_SUITES}), NAME, cast.variants).journal
        clients = ClientSurvey(NAME, cast)
        first = clients.next_wave(Journal(), is_closed=True)
        clients.take((), ())
        probes: list[Probe[AnyHello]] = [
            *opening(NAME, cast.variants),
            *first,
            *clients.next_wave(journal, is_closed=True),
            *(record.probe for record in journal.records if record.wave),
        ]

        def sent(*purposes: Purpose, versions: Sequence[TlsVersion] = (TLS12, TLS13)) -> Sent:
            chosen = (probe for probe in probes if probe.purpose in purposes)
            hellos = (probe.hello for probe in chosen if probe.hello.version in versions)
            return tuple(self._read(draws, hello) for hello in hellos)

        self.certificates = sent(Purpose.CLIENT, Purpose.CONTROL)
        self.old_versions = sent(Purpose.REVEAL, Purpose.VERSION, versions=(SSL3, TLS10, TLS11))
        self.insecure = sent(Purpose.REVEAL, Purpose.REMAINDER, versions=(TLS12,))

    @staticmethod
    def _read(draws: Draws, hello: AnyHello) -> SentHello:
        return read_hello(Conversation(hello, draws.source()).opening)


@cache
def drawn(seed: int) -> Drawn:
    return Drawn(seed)


def missing(
    properties: Mapping[str, Property], hellos: Callable[[Drawn], Sequence[SentHello]]
) -> set[str]:
    """Return what all hellos of some measurement have, or none."""
    return {
        name
        for name, held in properties.items()
        if any({held(one) for one in hellos(drawn(seed))} != {True, False} for seed in SEEDS)
    }


def test_what_servers_choose_certificates_by_is_in_one_hello_and_not_in_another() -> None:
    assert missing(EVERYWHERE | OF_CERTIFICATES, lambda one: one.certificates) == set()


def test_what_servers_tell_old_clients_by_is_in_one_hello_and_not_in_another() -> None:
    assert missing(EVERYWHERE | OF_OLD_VERSIONS, lambda one: one.old_versions) == set()


def test_what_servers_tell_insecure_clients_by_is_in_one_hello_and_not_in_another() -> None:
    assert missing(EVERYWHERE | OF_INSECURE_SUITES, lambda one: one.insecure) == set()


def longer_than_among_named(hellos: Sequence[SentHello], size: int) -> set[bool]:
    return {one.size > size for one in hellos if one.server_name is not None}


@pytest.mark.parametrize("size", [200, 256, 512])
def test_behind_a_router_by_name_short_hellos_are_sent_and_long_ones(size: int) -> None:
    """As recorded clients send them: all of TLS 1.0 and 1.1 name the server in under 200 bytes."""
    for seed in SEEDS:
        one = drawn(seed)
        for hellos in (one.certificates, one.old_versions, one.insecure):
            assert longer_than_among_named(hellos, size) == {True, False}


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
def test_the_hellos_that_a_server_accepts_are_a_cover_too(
    version: TlsVersion, kind: SignatureKind
) -> None:
    """What a server of one version and one key type refuses shows nothing of its certificates."""

    def accepted(measurement: Drawn) -> list[SentHello]:
        return [one for one in measurement.certificates if is_acceptable(one, version, kind)]

    assert missing(EVERYWHERE | OF_CERTIFICATES, accepted) <= MEANINGLESS[version]


def is_shown_ecdsa(hello: SentHello) -> bool:
    """A server with two leaves that follows its clients shows the ECDSA one.

    At TLS 1.3 by the first scheme that it can sign with, before by the first suite.
    """
    if TLS13 in (hello.offered_versions or ()):
        kinds = map(kind_of_scheme, hello.signature_schemes or ())
        return next((kind for kind in kinds if kind in OF_LEAVES), None) is SignatureKind.ECDSA
    offered = [suite for suite in hello.cipher_suites if suite in PAYMENT_SUITES]
    return is_acceptable(hello, TLS12, SignatureKind.ECDSA) and offered[0] in OF_ECDSA


def test_the_hellos_that_bring_an_ecdsa_leaf_before_an_rsa_one_are_a_cover_too() -> None:
    """Most clients of such a server are given the ECDSA leaf, whatever else they send."""

    def shown(measurement: Drawn) -> list[SentHello]:
        return [one for one in measurement.certificates if is_shown_ecdsa(one)]

    assert missing(EVERYWHERE | OF_CERTIFICATES, shown) <= MEANINGLESS[TLS12]
