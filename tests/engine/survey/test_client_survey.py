"""What clients ask for, wave by wave, and what counts as shown, refused or unknown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, count
from random import Random

import pytest

from otpc_policy.core.facts import Evidence, KeyType, TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.profiles.clients import (
    RARE_KINDS,
    ClientProfile,
    ProfileHello,
    SignatureKind,
    kind_of_scheme,
)
from otpc_policy.engine.survey.client_survey import ClientRecord, ClientSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import Ending, Outcome, Probe, Purpose
from otpc_policy.tls.answer import Alert, ServerHello
from otpc_policy.tls.client_hello import ClientHello
from otpc_policy.tls.flight import ServerFlight, Signature
from tests.engine.profiles.known_clients import (
    BROWSER,
    INSECURE_SUITES,
    JAVA_17_WITH_RSA,
    NULL_SUITES,
    OLD_CLIENTS,
    OPENSSL_3,
    OPENSSL_102_WITH_RSA,
    SMALL,
)
from tests.engine.survey.fixed_cast import FIXED_CAST

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
PKCS1, PSS, PSS_PSS, ECDSA, ED25519, ED448 = SignatureKind
NAME = "partner.test"
RSA_SUITE, ECDSA_SUITE, TLS13_SUITE = 0xC02F, 0xC02B, 0x1301
FIRST_WAVE = (OPENSSL_3, BROWSER, SMALL, JAVA_17_WITH_RSA, OPENSSL_102_WITH_RSA)
ClientProbe = Probe[ProfileHello]
Server = Callable[[ClientProbe], Outcome]

CLOSED = Outcome(ending=Ending.CLOSED, connected=True)
SILENT = Outcome(ending=Ending.TIMED_OUT, connected=True)
NOT_RUN = Outcome(ending=Ending.NOT_RUN)


def answered(
    answer: ServerHello | Alert,
    flight: ServerFlight | None = None,
    *,
    proven: bool = False,
) -> Outcome:
    return Outcome(
        ending=Ending.ANSWERED,
        connected=True,
        answer=answer,
        flight=flight,
        key_proven=proven,
    )


def alert(description: int = 40) -> Outcome:
    return answered(Alert(2, description))


def chose(version: TlsVersion, suite: int, flight: ServerFlight | None, *, proven: bool) -> Outcome:
    hello = ServerHello(version=version, cipher_suite=suite, is_retry_request=False)
    return answered(hello, flight, proven=proven)


def shown(version: TlsVersion, suite: int, scheme: int | None) -> Outcome:
    """A whole flight. scheme: None for a key exchange that does not sign."""
    signature = None if scheme is None else Signature(scheme=scheme, content=b"", signature=b"")
    flight = ServerFlight(chain=(b"leaf",), signature=signature, is_whole=True)
    return chose(version, suite, flight, proven=scheme is not None)


def begun(version: TlsVersion = TLS13, suite: int = TLS13_SUITE) -> Outcome:
    """A flight that ended before its certificate."""
    return chose(version, suite, ServerFlight(), proven=False)


def ended(by_alert: int) -> Outcome:
    """A flight that the server ended before its certificate."""
    return chose(TLS13, TLS13_SUITE, ServerFlight(alert=by_alert), proven=False)


@dataclass(frozen=True)
class Partner:
    """A server with certificates for some kinds of signature.

    turned_away: profiles, and how. prefers_own: its order of kinds decides, not that of the hello.
    """

    kinds: Sequence[SignatureKind]
    versions: Sequence[TlsVersion] = (TLS13, TLS12)
    turned_away: dict[ClientProfile, Outcome] = field(default_factory=dict)
    prefers_own: bool = False

    def __call__(self, probe: ClientProbe) -> Outcome:
        profile = probe.hello.profile
        if (outcome := self.turned_away.get(profile)) is not None:
            return outcome
        if probe.purpose is Purpose.REVEAL:
            return alert()
        shared = [
            version for version in self.versions if profile.lowest <= version <= profile.highest
        ]
        if not shared:
            return alert(70)
        version = max(shared)
        of_kind: dict[SignatureKind | None, int] = {}
        for scheme in profile.schemes:
            of_kind.setdefault(kind_of_scheme(scheme), scheme)
        usable = self.kinds_over(version)
        for kind in usable if self.prefers_own else of_kind:
            suite = TLS13_SUITE if version is TLS13 else suite_for(kind)
            if kind in of_kind and kind in usable and suite in profile.cipher_suites:
                return shown(version, suite, of_kind[kind])
        return alert()

    def kinds_over(self, version: TlsVersion) -> list[SignatureKind]:
        """RFC 8446 4.2.3: TLS 1.3 knows no PKCS #1."""
        return [kind for kind in self.kinds if not (version is TLS13 and kind is PKCS1)]


def suite_for(kind: SignatureKind | None) -> int:
    return ECDSA_SUITE if kind in (ECDSA, ED25519, ED448) else RSA_SUITE


def journal_of(*chosen: tuple[TlsVersion, int]) -> Journal:
    """The first wave of the survey of suites: each was chosen, none with a flight."""
    journal = Journal()
    for version, suite in chosen:
        hello = ClientHello(
            version=version,
            lowest=version,
            cipher_suites=(suite,),
            server_name=NAME,
        )
        answer = ServerHello(version=version, cipher_suite=suite, is_retry_request=False)
        journal.add([Probe(hello=hello, purpose=Purpose.CONTROL)], [answered(answer)])
    journal.waves = 1
    return journal


def journal_for(partner: Partner) -> Journal:
    suites = {(TLS12, suite_for(kind)) for kind in partner.kinds if TLS12 in partner.versions}
    return journal_of(
        *({(TLS13, TLS13_SUITE)} if TLS13 in partner.versions else ()), *sorted(suites)
    )


@dataclass
class Conducted:
    """A survey of clients that is over, or was left."""

    planner: ClientSurvey
    journal: Journal
    waves: list[tuple[ClientProbe, ...]]

    def asked(self, wave: int, purpose: Purpose = Purpose.CLIENT) -> list[ClientProfile]:
        if wave >= len(self.waves):
            return []
        return [probe.hello.profile for probe in self.waves[wave] if probe.purpose is purpose]

    def times(self, profile: ClientProfile) -> int:
        flights = (self.asked(wave) for wave in range(len(self.waves)))
        return sum(asked.count(profile) for asked in flights)

    def kinds_shown(self, version: TlsVersion) -> set[SignatureKind | None]:
        records = [record for record in self.planner.records if record.reading.version is version]
        flights = [record.outcome.flight for record in records if record.outcome.key_proven]
        signatures = [flight.signature for flight in flights if flight is not None]
        return {kind_of_scheme(signed.scheme) for signed in signatures if signed is not None}

    @property
    def unseen(self) -> list[ClientProfile]:
        return [record.hello.profile for record in self.planner.unseen(self.journal)]

    def absence(self, version: TlsVersion, key_type: KeyType) -> Evidence:
        return self.planner.absence(version, key_type, self.journal)


def conduct(
    server: Server,
    journal: Journal,
    *,
    is_closed: bool = False,
    name: str | None = NAME,
) -> Conducted:
    """Carry out all waves. journal: of a survey of suites that is over after its first one."""
    done = Conducted(ClientSurvey(name, FIXED_CAST), journal, [])
    while probes := done.planner.next_wave(
        journal if done.waves else Journal(), is_closed=is_closed
    ):
        done.planner.take(probes, [server(probe) for probe in probes])
        done.waves.append(probes)
        assert len(done.waves) < 12
    return done


def conducted(partner: Partner, *, is_closed: bool = False) -> Conducted:
    return conduct(partner, journal_for(partner), is_closed=is_closed)


# The first two waves.


def test_the_first_wave_asks_in_every_shape_and_for_old_versions() -> None:
    done = conducted(Partner([PSS, PKCS1]))
    assert done.asked(0) == list(FIRST_WAVE)
    assert done.asked(0, Purpose.REVEAL) == list(OLD_CLIENTS[:2])
    assert len(done.waves[0]) == len(FIRST_WAVE) + 2


REVEALED_LATER = [*OLD_CLIENTS[2:], INSECURE_SUITES, NULL_SUITES]


def test_the_second_wave_asks_for_what_the_first_had_no_room_for_and_no_other_does() -> None:
    done = conducted(Partner([PSS, PKCS1]))
    assert done.asked(1, Purpose.REVEAL) == REVEALED_LATER
    reveals = [done.asked(wave, Purpose.REVEAL) for wave in range(2, len(done.waves))]
    assert not any(reveals)


@pytest.mark.parametrize("waves", [1, 2, 3])
def test_insecure_suites_are_asked_for_as_soon_as_a_version_is_known(waves: int) -> None:
    """A server that takes short hellos alone is known one wave later."""
    planner, empty = ClientSurvey(NAME, FIXED_CAST), Journal()
    probes = planner.next_wave(empty, is_closed=False)
    planner.take(probes, [SILENT] * len(probes))
    for _ in range(waves):
        assert planner.next_wave(empty, is_closed=False) == ()
        planner.take((), ())
    journal = journal_of((TLS12, RSA_SUITE))
    late = planner.next_wave(journal, is_closed=True)
    planner.take(late, [alert()] * len(late))
    reveals = [probe.hello.profile for probe in late if probe.purpose is Purpose.REVEAL]
    # Those that were left without an answer are asked for again.
    assert reveals == [*REVEALED_LATER, *OLD_CLIENTS[:2]]
    later = planner.next_wave(journal, is_closed=True)
    assert not [probe for probe in later if probe.purpose is Purpose.REVEAL]


@pytest.mark.parametrize("name", [NAME, None])
def test_only_profiles_with_room_for_a_name_send_it(name: str | None) -> None:
    done = conduct(Partner([PSS]), journal_for(Partner([PSS])), name=name)
    for probe in (probe for wave in done.waves for probe in wave):
        expected = name if probe.hello.profile.sends_name else None
        assert probe.hello.server_name == expected


@pytest.mark.parametrize("outcome", [SILENT, CLOSED, NOT_RUN, alert(40), alert(112)])
def test_where_nothing_is_known_to_be_accepted_nothing_more_is_asked(outcome: Outcome) -> None:
    done = conduct(lambda _: outcome, Journal())
    assert len(done.waves) == 1


@pytest.mark.parametrize(
    ("outcome", "times", "is_unheard"),
    [
        (alert(40), 1, False),
        (alert(112), 1, False),
        (CLOSED, 2, False),
        (SILENT, 2, True),
        (NOT_RUN, 2, True),
        (Outcome(ending=Ending.REFUSED), 2, True),
        (Outcome(ending=Ending.BYTE_LIMIT, connected=True), 2, True),
    ],
)
def test_a_client_that_only_reveals_and_gets_no_answer_is_unknown(
    outcome: Outcome, times: int, is_unheard: bool
) -> None:
    """Nothing is proven by a refusal, and silence is not even that."""
    old, insecure = OLD_CLIENTS[2], INSECURE_SUITES
    done = conducted(Partner([PSS, PKCS1], turned_away=dict.fromkeys((old, insecure), outcome)))
    for profile in (old, insecure):
        asked = (done.asked(wave, Purpose.REVEAL) for wave in range(len(done.waves)))
        assert sum(profiles.count(profile) for profiles in asked) == times
        assert (profile in done.planner.unheard) is is_unheard


def test_a_client_in_the_format_of_ssl_2_need_not_be_answered() -> None:
    """A server of today may take its first bytes for those of a longer record."""
    done = conducted(Partner([PSS, PKCS1], turned_away={OLD_CLIENTS[0]: SILENT}))
    asked = [done.asked(wave, Purpose.REVEAL) for wave in range(len(done.waves))]
    assert asked[0][0] is OLD_CLIENTS[0]
    assert sum(profiles.count(OLD_CLIENTS[0]) for profiles in asked) == 2
    assert done.planner.unheard == ()


@pytest.mark.parametrize("outcome", [NOT_RUN, Outcome(ending=Ending.TIMED_OUT)])
def test_a_hello_in_the_format_of_ssl_2_that_was_never_sent_is_unheard(outcome: Outcome) -> None:
    done = conducted(Partner([PSS, PKCS1], turned_away={OLD_CLIENTS[0]: outcome}))
    assert done.planner.unheard == (OLD_CLIENTS[0],)


def test_where_all_that_only_reveal_are_closed_none_is_asked_for_again() -> None:
    """So this server refuses."""
    every = (*OLD_CLIENTS, INSECURE_SUITES, NULL_SUITES)
    done = conducted(Partner([PSS, PKCS1], turned_away=dict.fromkeys(every, CLOSED)))
    asked = [done.asked(wave, Purpose.REVEAL) for wave in range(len(done.waves))]
    assert sorted(len(one) for one in asked if one) == [2, len(every) - 2]


@pytest.mark.parametrize("then", [alert(), CLOSED])
def test_an_accepted_client_that_wide_hellos_contradict_is_asked_for_again(then: Outcome) -> None:
    """Either the shape of the hello made the difference, or the server has changed."""
    old, accepted = OLD_CLIENTS[1], chose(TLS10, 0x002F, None, proven=False)
    partner = Partner([PSS, PKCS1], turned_away={old: accepted})
    journal = journal_for(partner)
    journal.waves = 2
    assert conduct(partner, journal).planner.is_steady
    reactions = iter([accepted, then])
    changed = conduct(
        lambda probe: next(reactions) if probe.hello.profile is old else partner(probe), journal
    )
    assert not changed.planner.is_steady
    # Asked everything again, it refuses what it had accepted.
    changed.planner.begin_again()
    probes = changed.planner.next_wave(journal, is_closed=True)
    changed.planner.take(probes, [alert()] * len(probes))
    assert old in [probe.hello.profile for probe in probes]
    assert not changed.planner.is_steady


def test_clients_that_there_was_no_time_to_ask_for_are_unknown() -> None:
    planner = ClientSurvey(NAME, FIXED_CAST)
    probes = planner.next_wave(Journal(), is_closed=False)
    planner.take(probes, [alert()] * len(probes))
    assert planner.unheard == tuple(REVEALED_LATER)


# Kinds of signature.


def alone(version: TlsVersion, *kinds: SignatureKind) -> ClientProfile:
    profile = OPENSSL_3 if version is TLS13 else OPENSSL_3.at_tls12()
    return profile.signing_with(kinds)


Asked = list[tuple[TlsVersion, tuple[SignatureKind, ...]]]
RARE_BUT_PSS, RARE_BUT_ED25519 = (ED25519, ED448), (PSS_PSS, ED448)
# Servers that go by the order of the hello, and what is asked for alone in waves two and three.
ASKED: dict[str, tuple[Partner, Asked, Asked]] = {
    "RSA": (
        Partner([PSS, PKCS1]),
        [
            *((TLS13, kinds) for kinds in (RARE_KINDS, (ECDSA,))),
            *((TLS12, kinds) for kinds in (RARE_KINDS, (PSS,), (PKCS1,))),
        ],
        [],
    ),
    "RSA over TLS 1.2": (
        Partner([PSS, PKCS1], [TLS12]),
        [(TLS12, RARE_KINDS), (TLS12, (PKCS1,))],
        [],
    ),
    "RSA without PSS over TLS 1.2": (
        Partner([PKCS1], [TLS12]),
        [(TLS12, RARE_KINDS), (TLS12, (PSS,))],
        [],
    ),
    "ECDSA": (
        Partner([ECDSA]),
        [(TLS13, RARE_KINDS), (TLS13, (PSS,)), (TLS12, RARE_KINDS), (TLS12, (ECDSA,))],
        [],
    ),
    "ECDSA and RSA": (
        Partner([ECDSA, PSS, PKCS1]),
        [
            (TLS13, RARE_KINDS),
            *((TLS12, kinds) for kinds in (RARE_KINDS, (ECDSA,), (PSS,), (PKCS1,))),
        ],
        [],
    ),
    "RSASSA-PSS and RSA": (
        Partner([PSS, PKCS1, PSS_PSS]),
        [
            *((TLS13, kinds) for kinds in (RARE_BUT_PSS, (ECDSA,))),
            *((TLS12, kinds) for kinds in (RARE_KINDS, (PSS,), (PKCS1,))),
        ],
        [(TLS12, RARE_BUT_PSS)],
    ),
    "Ed25519 and Ed448": (
        Partner([ED25519, ED448]),
        [
            *((TLS13, kinds) for kinds in (RARE_BUT_ED25519, (ECDSA,), (PSS,))),
            *((TLS12, kinds) for kinds in (RARE_KINDS, (ECDSA,))),
        ],
        [(TLS13, (PSS_PSS,)), (TLS12, RARE_BUT_ED25519)],
    ),
}


@pytest.mark.parametrize(("partner", "second", "third"), ASKED.values(), ids=ASKED)
def test_each_kind_that_no_shape_brought_is_asked_for_by_itself(
    partner: Partner,
    second: Asked,
    third: Asked,
) -> None:
    """The rare ones together, and what is left of them again whenever one is found.

    The clients that bring signatures with PKCS #1 here do not ask for a staple.
    """
    done = conducted(partner)
    for wave, expected in ((1, second), (2, third)):
        asked = [profile for profile in done.asked(wave) if profile not in FIRST_WAVE]
        assert set(asked) == {alone(version, *kinds) for version, kinds in expected}
        assert len(set(asked)) == len(asked)
    assert done.unseen == []


EVERY_SERVER = [list(kinds) for size in range(1, 7) for kinds in combinations(SignatureKind, size)]


@pytest.mark.parametrize("versions", [(TLS13,), (TLS12,), (TLS13, TLS12)])
@pytest.mark.parametrize("order", ["hello's", "own", "own, reversed"])
def test_every_certificate_of_every_server_is_found(
    versions: Sequence[TlsVersion],
    order: str,
) -> None:
    for kinds in EVERY_SERVER:
        preferred = kinds[::-1] if "reversed" in order else kinds
        partner = Partner(preferred, versions, prefers_own="own" in order)
        if not partner.kinds_over(max(versions)):
            continue
        done = conducted(partner)
        for version in versions:
            assert done.kinds_shown(version) == set(partner.kinds_over(version))
        assert done.unseen == []


def test_a_kind_that_a_shape_is_refused_is_asked_for_in_one_that_is_accepted() -> None:
    """A server that wants ALPN refuses the only RSA-only shape, and prefers its ECDSA key."""
    partner = Partner([ECDSA, PSS], turned_away={JAVA_17_WITH_RSA: alert(), SMALL: alert()})
    done = conducted(partner)
    assert done.kinds_shown(TLS13) == {ECDSA, PSS}


@pytest.mark.parametrize("kind", SignatureKind)
def test_at_tls_1_2_a_kind_is_asked_for_with_suites_that_sign_alone(kind: SignatureKind) -> None:
    """A server that prefers static RSA would pick it for all, and sign nothing."""
    suites = list(map(suite_by_code_point, alone(TLS12, kind).cipher_suites))
    assert suites
    assert all(suite is not None and suite.is_forward_secret for suite in suites)


# What counts as shown.

VIOLATION = shown(TLS12, 0x00FF, 0x0804)
NOT_PROVEN = chose(
    TLS13,
    TLS13_SUITE,
    ServerFlight(
        chain=(b"leaf",),
        signature=Signature(scheme=0x0804, content=b"", signature=b""),
        is_whole=True,
    ),
    proven=False,
)
CUT_SHORT = chose(TLS12, RSA_SUITE, ServerFlight(chain=(b"leaf",)), proven=False)
UNKNOWN = {
    "silence": SILENT,
    "no time": NOT_RUN,
    "an alert that refuses nothing": alert(112),
    "garbage": answered(Alert(7, 0)),
    "a flight without a certificate": begun(),
    "a flight whose signature is false": NOT_PROVEN,
    "a flight that ended before its signature": CUT_SHORT,
    "a choice without a flight": chose(TLS13, TLS13_SUITE, None, proven=False),
    "a choice that was not offered": VIOLATION,
}


@pytest.mark.parametrize("outcome", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("profile", [BROWSER, alone(TLS13, ECDSA), alone(TLS12, *RARE_KINDS)])
def test_a_client_whose_certificate_was_not_shown_is_asked_thrice_and_unseen(
    profile: ClientProfile,
    outcome: Outcome,
) -> None:
    done = conducted(Partner([PSS, PKCS1], turned_away={profile: outcome}))
    assert done.times(profile) == 3
    assert done.unseen == [profile]


@pytest.mark.parametrize("scheme", [0x0401, None])
def test_a_certificate_that_was_shown_is_not_asked_for_again(scheme: int | None) -> None:
    """A key exchange that does not sign shows it too; its key is proven otherwise."""
    partner = Partner([PSS], [TLS12], {BROWSER: shown(TLS12, RSA_SUITE, scheme)})
    done = conducted(partner)
    assert done.times(BROWSER) == 1
    assert done.unseen == []


def test_a_certificate_that_is_shown_at_last_is_seen() -> None:
    outcomes = iter([SILENT, begun()])
    partner = Partner([PSS, PKCS1])

    def hesitant(probe: ClientProbe) -> Outcome:
        is_browser = probe.hello.profile is BROWSER
        return next(outcomes, partner(probe)) if is_browser else partner(probe)

    done = conduct(hesitant, journal_for(partner))
    assert done.times(BROWSER) == 3
    assert done.unseen == []


# What counts as refused.


@pytest.mark.parametrize(
    ("profile", "outcome", "times"),
    [
        (BROWSER, alert(40), 2),
        (BROWSER, alert(47), 2),
        (BROWSER, alert(70), 2),
        (BROWSER, alert(71), 2),
        (BROWSER, alert(80), 3),
        (BROWSER, alert(120), 2),
        (BROWSER, CLOSED, 3),
        (JAVA_17_WITH_RSA, alert(40), 2),
        (alone(TLS13, ECDSA), alert(40), 1),
        (alone(TLS12, *RARE_KINDS), alert(40), 1),
        (alone(TLS13, ECDSA), CLOSED, 3),
    ],
)
def test_a_client_that_is_turned_away_often_enough_is_given_no_certificate(
    profile: ClientProfile,
    outcome: Outcome,
    times: int,
) -> None:
    """In a shape by two alerts, because one may be about how many connections were open."""
    for is_closed in (True, False):
        partner = Partner([PSS, PKCS1], turned_away={profile: outcome})
        journal = journal_for(partner)
        if is_closed:
            accept_later(journal)
        done = conduct(partner, journal, is_closed=is_closed)
        assert done.times(profile) == times
        assert done.unseen == []


def accept_later(journal: Journal) -> None:
    """Let a control of the survey of suites be accepted after everything that clients ask."""
    control = journal.records[0].probe
    journal.waves = 10
    journal.add([control], [journal.records[0].outcome])


@pytest.mark.parametrize("outcome", [alert(40), CLOSED])
def test_refusals_after_which_nothing_was_accepted_are_not_an_answer(outcome: Outcome) -> None:
    """Who has begun to turn everybody away may hide the certificates of those who come last."""
    partner = Partner([PSS, PKCS1])
    done = conduct(turning(partner, outcome), journal_for(partner))
    last = {alone(TLS13, *RARE_KINDS), alone(TLS13, ECDSA), alone(TLS12, *RARE_KINDS)}
    assert set(done.unseen) >= last
    assert {done.times(profile) for profile in last} == {3}


def turning(partner: Partner, outcome: Outcome) -> Server:
    """Serve the first wave, and turn everybody away after that."""
    served = len(FIRST_WAVE) + len(OLD_CLIENTS)
    number = count()
    return lambda probe: partner(probe) if next(number) < served else outcome


# Go chooses over TLS 1.2, shows its certificate, and finds that it can sign with no scheme offered.
BROKEN_OFF = chose(TLS12, RSA_SUITE, ServerFlight(chain=(b"leaf",), alert=40), proven=False)


@pytest.mark.parametrize(
    ("profile", "times"),
    [(BROWSER, 2), (alone(TLS12, *RARE_KINDS), 1)],
)
def test_a_client_whose_flight_is_broken_off_by_an_alert_is_turned_away(
    profile: ClientProfile,
    times: int,
) -> None:
    done = conducted(Partner([PSS, PKCS1], turned_away={profile: BROKEN_OFF}))
    assert done.times(profile) == times
    assert done.unseen == []


# JSSE chooses and finds only then that it can sign with no scheme offered. Its HTTPS server closes
# without the alert: over TLS 1.2 its certificate has left already, over TLS 1.3 it has not.
CUT_OFF = {
    version: replace(
        chose(version, suite, ServerFlight(chain=chain), proven=False), is_cut_off=True
    )
    for version, suite, chain in ((TLS12, RSA_SUITE, (b"leaf",)), (TLS13, TLS13_SUITE, ()))
}


@pytest.mark.parametrize(
    ("profile", "version"),
    [
        (BROWSER, TLS12),
        (BROWSER, TLS13),
        (alone(TLS12, *RARE_KINDS), TLS12),
        (alone(TLS13, ECDSA), TLS13),
    ],
)
def test_a_client_whose_flight_is_cut_off_three_times_is_turned_away(
    profile: ClientProfile, version: TlsVersion
) -> None:
    done = conducted(Partner([PSS, PKCS1], turned_away={profile: CUT_OFF[version]}))
    assert done.times(profile) == 3
    assert done.unseen == []


@pytest.mark.parametrize(
    ("outcome", "evidence"),
    [
        (CUT_OFF[TLS13], Evidence.CLOSED_CONFIRMED),
        (
            chose(TLS13, TLS13_SUITE, ServerFlight(alert=80), proven=False),
            Evidence.CLOSED_CONFIRMED,
        ),
        (chose(TLS13, TLS13_SUITE, ServerFlight(alert=40), proven=False), Evidence.ALERT),
        (begun(), Evidence.NONE),
    ],
)
def test_kinds_that_are_turned_away_after_a_server_hello_are_absent(
    outcome: Outcome, evidence: Evidence
) -> None:
    """A flight that only stops proves nothing: nobody has ended it."""
    partner = Partner([PSS, PKCS1], turned_away={alone(TLS13, ECDSA): outcome})
    assert conducted(partner).absence(TLS13, KeyType.ECDSA) is evidence


def test_flights_that_are_broken_off_for_everybody_are_no_answer() -> None:
    partner = Partner([PSS, PKCS1])
    refused = alone(TLS12, *RARE_KINDS)
    broken = turning(partner, BROKEN_OFF)
    done = conduct(lambda probe: alert() if probe.is_last else broken(probe), journal_for(partner))
    assert refused in done.unseen


# Controls.


def test_a_control_is_sent_after_the_flights_if_none_is_sent_anyway() -> None:
    partner = Partner([PSS, PKCS1])
    done = conducted(partner)
    *_, control = done.waves[1]
    assert (control.purpose, control.is_last) == (Purpose.CLOSING_CONTROL, True)
    assert control.hello.profile is OPENSSL_3
    controls = [probe for wave in done.waves for probe in wave if probe.is_last]
    assert len(controls) == len(done.waves) - 1
    closed = conducted(partner, is_closed=True)
    assert not [probe for wave in closed.waves for probe in wave if probe.is_last]


def test_a_control_is_a_hello_that_was_accepted() -> None:
    partner = Partner([PSS], turned_away={OPENSSL_3: SILENT, BROWSER: CLOSED})
    assert conducted(partner).asked(1, Purpose.CLOSING_CONTROL) == [SMALL]
    away = dict.fromkeys(FIRST_WAVE, alert())
    assert conducted(Partner([PSS], turned_away=away)).asked(1, Purpose.CLOSING_CONTROL) == []


def test_hellos_that_only_reveal_need_no_control() -> None:
    """What they are accepted for is proven; a refusal proves nothing."""
    done = conducted(Partner([PSS], [TLS10]))
    planner = ClientSurvey(NAME, FIXED_CAST)
    planner.take((), ())
    probes = planner.next_wave(journal_of((TLS10, 0x002F)), is_closed=False)
    assert {probe.purpose for probe in probes} == {Purpose.REVEAL}
    assert not [probe for wave in done.waves[:1] for probe in wave if probe.is_last]


# Absence of a key type over TLS 1.3.

KEY_TYPES = (KeyType.RSA, KeyType.ECDSA, KeyType.EDDSA)


@pytest.mark.parametrize(
    ("kinds", "present"),
    [
        ([PSS, PKCS1], {KeyType.RSA}),
        ([ECDSA], {KeyType.ECDSA}),
        ([ED448], {KeyType.EDDSA}),
        ([PSS_PSS], {KeyType.RSA}),
        ([ECDSA, PSS], {KeyType.RSA, KeyType.ECDSA}),
    ],
)
def test_a_key_type_is_absent_if_each_of_its_kinds_is_refused(
    kinds: list[SignatureKind],
    present: set[KeyType],
) -> None:
    done = conducted(Partner(kinds))
    for key_type in KEY_TYPES:
        expected = Evidence.NONE if key_type in present else Evidence.ALERT
        assert done.absence(TLS13, key_type) is expected


@pytest.mark.parametrize(
    ("rsa", "rare", "evidence"),
    [
        (alert(), alert(), Evidence.ALERT),
        (CLOSED, alert(), Evidence.CLOSED_CONFIRMED),
        (alert(), alert(80), Evidence.CLOSED_CONFIRMED),
        (CLOSED, CLOSED, Evidence.CLOSED_CONFIRMED),
        (SILENT, alert(), Evidence.NONE),
        (alert(), SILENT, Evidence.NONE),
        (alert(112), CLOSED, Evidence.NONE),
        (begun(), alert(), Evidence.NONE),
    ],
)
def test_absence_is_as_strong_as_its_weakest_proof(
    rsa: Outcome,
    rare: Outcome,
    evidence: Evidence,
) -> None:
    """RSASSA-PSS and rsaEncryption keys are one type: each is to be refused."""
    away = {alone(TLS13, PSS): rsa, alone(TLS13, *RARE_KINDS): rare}
    done = conducted(Partner([ECDSA], turned_away=away))
    assert done.absence(TLS13, KeyType.RSA) is evidence


def test_a_kind_that_was_never_asked_for_alone_is_not_absent() -> None:
    planner = ClientSurvey(NAME, FIXED_CAST)
    journal = journal_for(Partner([PSS]))
    for key_type in KEY_TYPES:
        assert planner.absence(TLS13, key_type, journal) is Evidence.NONE
    done = conducted(Partner([PSS], [TLS12]))
    for key_type in KEY_TYPES:
        assert done.absence(TLS13, key_type) is Evidence.NONE


def test_refusals_count_only_between_controls_of_their_shape() -> None:
    """A server that dislikes the shape in which kinds are asked for reveals nothing about keys."""
    of_tls13 = [one for one in FIXED_CAST.certificates if one.highest is TLS13]
    of_tls13.append(alone(TLS13, PSS))
    away = Partner([PSS], turned_away=dict.fromkeys(of_tls13, alert()))
    assert conducted(away).absence(TLS13, KeyType.ECDSA) is Evidence.NONE
    chose_lower = dict.fromkeys(of_tls13, shown(TLS12, RSA_SUITE, 0x0804))
    lower = Partner([PSS], turned_away=chose_lower)
    assert conducted(lower).absence(TLS13, KeyType.ECDSA) is Evidence.NONE


def test_single_kinds_are_asked_for_in_the_shape_of_a_client_that_is_accepted() -> None:
    done = conducted(Partner([PSS], turned_away={OPENSSL_3: alert()}))
    assert done.absence(TLS13, KeyType.ECDSA) is Evidence.ALERT
    assert BROWSER.signing_with((ECDSA,)) in done.asked(1)


def test_single_kinds_are_asked_for_without_a_staple_where_clients_that_ask_are_refused() -> None:
    away = [one for one in FIXED_CAST.certificates if one is not SMALL]
    done = conducted(Partner([PSS], turned_away=dict.fromkeys(away, alert())))
    assert SMALL.signing_with((PSS,)) in done.asked(1)
    assert done.absence(TLS13, KeyType.ECDSA) is Evidence.ALERT


@pytest.mark.parametrize("outcome", [alert(), CLOSED])
def test_refusals_before_which_nothing_was_accepted_again_prove_no_absence(
    outcome: Outcome,
) -> None:
    done = conduct(turning(Partner([PSS, PKCS1]), outcome), journal_for(Partner([PSS, PKCS1])))
    assert done.absence(TLS13, KeyType.ECDSA) is Evidence.NONE


# Bounds, whatever the server says.

OUTCOMES = [
    *(alert(40), alert(40), alert(80), alert(112), CLOSED, SILENT, NOT_RUN, begun(), VIOLATION),
    *(NOT_PROVEN, CUT_SHORT),
    *(shown(TLS13, TLS13_SUITE, scheme) for scheme in (0x0804, 0x0403, 0x0807, 0x0808, 0x0809)),
    *(shown(TLS12, RSA_SUITE, scheme) for scheme in (0x0804, 0x0401, None)),
    *(shown(TLS12, ECDSA_SUITE, scheme) for scheme in (0x0403, 0x0807)),
]


@pytest.mark.parametrize("seed", range(150))
def test_by_chance_too_each_client_is_shown_refused_or_unseen(seed: int) -> None:
    chance = Random(seed)
    usual = chance.choices(OUTCOMES, k=chance.randint(1, 4))
    journal = journal_of((TLS13, TLS13_SUITE), (TLS12, RSA_SUITE), (TLS12, ECDSA_SUITE))
    done = conduct(lambda _: chance.choice(usual), journal, is_closed=chance.random() < 0.5)
    assert len(done.waves) <= 9
    records: dict[ClientProfile, list[ClientRecord]] = {}
    for record in done.planner.records:
        if record.probe.purpose is Purpose.CLIENT:
            records.setdefault(record.hello.profile, []).append(record)
    for profile, of_profile in records.items():
        assert len(of_profile) <= 3
        is_shown = any(record.chose and is_whole(record.outcome) for record in of_profile)
        refusals = [record for record in of_profile if record.refused]
        assert is_shown or profile in done.unseen or refusals
        assert not (is_shown and profile in done.unseen)


def is_whole(outcome: Outcome) -> bool:
    flight = outcome.flight
    is_unsigned = flight is not None and flight.is_whole and flight.signature is None
    return outcome.key_proven or is_unsigned


# A second survey of suites, with the server to itself.


def again(first: Server, second: Server, journal: Journal) -> Conducted:
    """Carry out the waves of two surveys of suites, of which both were over after their first."""
    done = conduct(first, journal)
    done.planner.begin_again()
    empty = Journal()
    for wave in count():
        assert wave < 12
        probes = done.planner.next_wave(journal if wave else empty, is_closed=False)
        if not probes:
            return done
        done.planner.take(probes, [second(probe) for probe in probes])
        done.waves.append(probes)
    raise AssertionError


@pytest.mark.parametrize("outcome", [CLOSED, SILENT, alert(40)])
def test_a_client_that_was_turned_away_at_first_is_asked_anew(outcome: Outcome) -> None:
    """It may have been one connection too many, however often."""
    good = Partner([ECDSA, PSS, PKCS1])
    busy = replace(good, turned_away=dict.fromkeys((SMALL, BROWSER), outcome))
    done = again(busy, good, journal_for(good))
    assert done.unseen == []
    records = [
        record for record in done.planner.records if record.hello.profile in (SMALL, BROWSER)
    ]
    assert {record.hello.profile for record in records if record.chose} == {SMALL, BROWSER}


@pytest.mark.parametrize(("outcome", "is_known"), [(CLOSED, True), (SILENT, False)])
def test_only_what_was_refused_in_the_second_survey_is_turned_away(
    outcome: Outcome, is_known: bool
) -> None:
    good = Partner([ECDSA, PSS, PKCS1])
    at_first = replace(good, turned_away={SMALL: alert(40)})
    done = again(at_first, replace(good, turned_away={SMALL: outcome}), journal_for(good))
    assert done.unseen == ([] if is_known else [SMALL])


def test_a_client_whose_certificate_was_shown_at_first_is_not_asked_again() -> None:
    good = Partner([ECDSA, PSS, PKCS1])
    waves_at_first = len(conducted(good).waves)
    done = again(good, good, journal_for(good))
    flights = [done.asked(wave) for wave in range(waves_at_first, len(done.waves))]
    assert not set(FIRST_WAVE) & {profile for asked in flights for profile in asked}


def test_a_kind_that_was_refused_at_first_is_absent_only_if_it_is_refused_again() -> None:
    rsa = Partner([PSS, PKCS1])
    busy = Partner([PSS, PKCS1, ECDSA], turned_away={alone(TLS13, ECDSA): alert(40)})
    assert again(rsa, rsa, journal_for(rsa)).absence(TLS13, KeyType.ECDSA) is Evidence.ALERT
    late = replace(busy, turned_away={alone(TLS13, ECDSA): SILENT})
    assert again(rsa, late, journal_for(rsa)).absence(TLS13, KeyType.ECDSA) is Evidence.NONE


def test_hellos_that_only_reveal_are_sent_once_more() -> None:
    good = Partner([PSS, PKCS1])
    waves_at_first = len(conducted(good).waves)
    done = again(good, good, journal_for(good))
    later = range(waves_at_first, len(done.waves))
    reveals = [profile for wave in later for profile in done.asked(wave, Purpose.REVEAL)]
    assert reveals == [*OLD_CLIENTS, INSECURE_SUITES, NULL_SUITES]
