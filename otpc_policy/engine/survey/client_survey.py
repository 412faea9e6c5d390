"""What ordinary clients are given: certificates by every kind of hello, and whether old or insecure ones are accepted. Pure, without IO.

Two questions ride in the waves of the survey of suites.

*Which certificates?* A server or gateway may choose its certificate by anything in the hello. So flights whose signature is verified are asked for
in the shapes of several clients, with versions mixed and one by one, and for each kind of signature that a client may verify: RSA with PKCS #1,
RSA-PSS, RSASSA-PSS, ECDSA, Ed25519 and Ed448 may each stand for another certificate. Kinds that a shape has brought need not be asked for alone;
the rare ones are asked for together, and what is left of them again whenever one is found.

*Is such a client accepted?* Old clients and insecure suites in ordinary shapes: what they are accepted for is proven; a refusal says nothing.

A flight that was begun and not shown to its certificate is asked for again, and counts as unknown at the end; so does a hello that is met with
silence. A hello that is refused by an alert twice, or by a close three times, is refused: such a client is given no certificate at all.
A refusal counts only if something that was sent behind it was accepted: a server that has begun to
turn everybody away says nothing of those who came last. Where the survey of suites is made once
more, with the server to itself, no refusal of before counts: each may have been about the number of
connections.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from otpc_policy.core.facts import Evidence, KeyType, TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.profiles.clients import (
    BROWSER,
    INSECURE_SUITES,
    JAVA_17_WITH_RSA,
    NULL_SUITES,
    OLD_CLIENTS,
    OPENSSL_3,
    OPENSSL_3_AT_TLS_1_2,
    OPENSSL_102_WITH_RSA,
    RARE_KINDS,
    SMALL,
    ClientProfile,
    ProfileHello,
    SignatureKind,
    kind_of_scheme,
)
from otpc_policy.engine.survey.absence import CLOSES
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import AnyHello, Outcome, Probe, Purpose, Record, read_record
from otpc_policy.engine.survey.reading import Reaction

# A hello that brought nothing is sent so often.
_ATTEMPTS = 3
# One refusal may be about how many connections were open.
_REFUSALS = 2
_FIRST_WAVE = (OPENSSL_3, BROWSER, SMALL, JAVA_17_WITH_RSA, OPENSSL_102_WITH_RSA)
_RSA_KINDS = (SignatureKind.RSA_PSS_RSAE, SignatureKind.RSA_PKCS1)
_TYPE_OF_KIND: Mapping[SignatureKind, KeyType] = {
    **dict.fromkeys((*_RSA_KINDS, SignatureKind.RSA_PSS_PSS), KeyType.RSA),
    SignatureKind.ECDSA: KeyType.ECDSA,
    **dict.fromkeys((SignatureKind.ED25519, SignatureKind.ED448), KeyType.EDDSA),
}
ClientRecord = Record[ProfileHello]


class ClientSurvey:
    """The conversations of ordinary clients with one server. Alternate next_wave and take, in step with the waves of the survey of suites."""

    def __init__(self, server_name: str | None) -> None:
        self._server_name = server_name
        self._wave = self._begun = 0
        self._unsent_reveals: tuple[ClientProfile, ...] = (INSECURE_SUITES, NULL_SUITES)
        self._of_profile: dict[ClientProfile, list[ClientRecord]] = {}
        self._asked_alone: dict[tuple[TlsVersion, ClientProfile], tuple[SignatureKind, ...]] = {}
        self.records: list[ClientRecord] = []

    def next_wave(self, journal: Journal, *, is_closed: bool) -> tuple[Probe[ProfileHello], ...]:
        """Return the hellos to send now. journal: of the survey of suites. is_closed: a control is sent behind this wave anyway."""
        if self._wave == 0:
            return (*self._probes(_FIRST_WAVE, Purpose.CLIENT), *self._probes(OLD_CLIENTS, Purpose.REVEAL))
        versions = journal.versions | {record.reading.version for record in self.records if record.reading.version is not None}
        if not versions:
            return ()
        again = (profile for profile in self._of_profile if self._is_open(profile, journal))
        flights = list(dict.fromkeys((*again, *self._kinds_to_ask(versions, journal))))
        reveals, self._unsent_reveals = self._unsent_reveals, ()
        probes = (*self._probes(flights, Purpose.CLIENT), *self._probes(reveals, Purpose.REVEAL))
        if flights and not is_closed and (control := self._accepted_profile()) is not None:
            return (*probes, Probe(hello=self._hello(control), purpose=Purpose.CLOSING_CONTROL, is_last=True))
        return probes

    def begin_again(self) -> None:
        """Begin anew, in step with another survey of suites; what was shown and accepted stays."""
        self._begun = self._wave
        self._unsent_reveals = (*OLD_CLIENTS, INSECURE_SUITES, NULL_SUITES)

    def take(self, probes: Sequence[Probe[ProfileHello]], outcomes: Iterable[Outcome]) -> None:
        """Take down what came of a wave; outcomes in the order of its probes."""
        for probe, outcome in zip(probes, outcomes, strict=True):
            record = read_record(self._wave, probe, outcome)
            self.records.append(record)
            if probe.purpose is Purpose.CLIENT:
                self._of_profile.setdefault(probe.hello.profile, []).append(record)
        self._wave += 1

    def unseen(self, journal: Journal) -> list[ClientRecord]:
        """Return the last record of each hello whose answer, and with it the certificate, is not known."""
        return [records[-1] for profile, records in self._of_profile.items() if not self._is_settled(profile, journal)]

    def absence(self, version: TlsVersion, key_type: KeyType, journal: Journal) -> Evidence:
        """Return what proves that no certificate of a key type is served to clients that verify its signatures alone; NONE if nothing does."""
        needed = [kind for kind, its_type in _TYPE_OF_KIND.items() if its_type is key_type and kind in _kinds_at(version)]
        refused = self._refused_kinds(version, journal)
        # RSASSA-PSS and rsaEncryption keys are certificates of one type; either absence alone says nothing of the other.
        found = [refused.get(kind, Evidence.NONE) for kind in needed]
        return next((one for one in (Evidence.NONE, Evidence.CLOSED_CONFIRMED) if one in found), Evidence.ALERT)

    def _kinds_to_ask(self, versions: frozenset[TlsVersion], journal: Journal) -> Iterator[ClientProfile]:
        for version in (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2):
            if version not in versions:
                continue
            seen = self._kinds_seen(version, journal)
            rare = tuple(kind for kind in RARE_KINDS if kind not in seen)
            wanted = [rare] if rare else []
            wanted += [(kind,) for kind in self._usual_kinds(version, journal) if kind not in seen]
            for kinds in wanted:
                profile = _alone(version, kinds)
                self._asked_alone[version, profile] = kinds
                if profile not in self._of_profile:
                    yield profile

    def _usual_kinds(self, version: TlsVersion, journal: Journal) -> tuple[SignatureKind, ...]:
        """Return the kinds that belong to what is accepted; at TLS 1.3 a suite does not tell."""
        if version is TlsVersion.TLS_1_3:
            return (SignatureKind.ECDSA, SignatureKind.RSA_PSS_RSAE)
        suites = (suite_by_code_point(code_point) for code_point in journal.chosen(version))
        key_types = {suite.authentication for suite in suites if suite is not None and suite.is_forward_secret}
        return (
            *((SignatureKind.ECDSA,) if KeyType.ECDSA in key_types else ()),
            *(_RSA_KINDS if KeyType.RSA in key_types else ()),
        )

    def _kinds_seen(self, version: TlsVersion, journal: Journal) -> set[SignatureKind | None]:
        """Return the kinds of signature with which certificates were presented over a version."""
        accepted: list[Record[AnyHello]] = [*journal.accepted, *self.records]
        flights = (one.outcome.flight for one in accepted if one.reading.version is version and one.outcome.key_proven)
        return {kind_of_scheme(flight.signature.scheme) for flight in flights if flight is not None and flight.signature is not None}

    def _refused_kinds(self, version: TlsVersion, journal: Journal) -> dict[SignatureKind, Evidence]:
        """Return the kinds that were refused between controls of the same shape, with what proves it."""
        refused: dict[SignatureKind, Evidence] = {}
        for (of_version, profile), kinds in self._asked_alone.items():
            records = self._of_profile.get(profile, [])
            is_chosen = any(record.chose for record in records)
            if of_version is not version or is_chosen or not self._has_control(version, profile):
                continue
            counted = [one for one in self._recent(records) if self._is_bracketed(one, journal)]
            if any(record.reading.reaction is Reaction.REFUSED for record in counted):
                refused |= dict.fromkeys(kinds, Evidence.ALERT)
            elif len([record for record in counted if record.refused]) >= CLOSES:
                refused |= {kind: refused.get(kind, Evidence.CLOSED_CONFIRMED) for kind in kinds}
        return refused

    def _has_control(self, version: TlsVersion, profile: ClientProfile) -> bool:
        """A client that differs in nothing but its signature schemes was accepted over a version."""
        shape = _shape(profile)
        accepted = (one for one in self._accepted() if one.reading.version is version)
        return any(_shape(one.hello.profile) == shape for one in accepted)

    def _is_bracketed(self, record: ClientRecord, journal: Journal) -> bool:
        """Another client was accepted no later, and something that was sent behind the refusal."""
        is_preceded = any(one.wave <= record.wave for one in self._accepted())
        return is_preceded and self._is_followed(record, journal)

    def _is_followed(self, record: ClientRecord, journal: Journal) -> bool:
        """Something was accepted that was sent behind the record."""
        suites = (one for one in journal.accepted if not _is_broken_off(one))
        # The waves of the survey of suites are counted from its own begin.
        is_behind = any(_is_behind(one, one.wave + self._begun, record) for one in suites)
        return is_behind or any(_is_behind(one, one.wave, record) for one in self._accepted())

    def _recent(self, records: Iterable[ClientRecord]) -> list[ClientRecord]:
        """Return those of the last survey."""
        return [one for one in records if one.wave >= self._begun]

    def _accepted(self) -> list[ClientRecord]:
        counted = (one for one in self.records if one.probe.purpose is not Purpose.REVEAL)
        return [one for one in counted if one.chose and not _is_broken_off(one)]

    def _is_open(self, profile: ClientProfile, journal: Journal) -> bool:
        attempts = self._recent(self._of_profile[profile])
        return len(attempts) < _ATTEMPTS and not self._is_settled(profile, journal)

    def _is_settled(self, profile: ClientProfile, journal: Journal) -> bool:
        """The certificate was shown, or the client is turned away."""
        records = self._of_profile[profile]
        if any(map(_is_shown, records)):
            return True
        if any(record.chose and not _is_broken_off(record) for record in records):
            return False
        recent = self._recent(records)
        followed = [one for one in recent if (one.refused or _is_broken_off(one)) and self._is_followed(one, journal)]
        refused = [one for one in followed if one.reading.reaction is Reaction.REFUSED or _is_broken_off(one)]
        closed = [one for one in followed if one.refused]
        is_alone = any(profile is one for _, one in self._asked_alone)
        return len(refused) >= _REFUSALS or len(closed) >= CLOSES or (is_alone and any(self._is_bracketed(one, journal) for one in refused))

    def _accepted_profile(self) -> ClientProfile | None:
        accepted = (one for one in self._accepted() if one.probe.purpose is Purpose.CLIENT)
        return next((one.hello.profile for one in accepted), None)

    def _probes(self, profiles: Iterable[ClientProfile], purpose: Purpose) -> Iterator[Probe[ProfileHello]]:
        for profile in profiles:
            yield Probe(hello=self._hello(profile), purpose=purpose)

    def _hello(self, profile: ClientProfile) -> ProfileHello:
        return ProfileHello(profile=profile, server_name=self._server_name if profile.sends_name else None)


@cache
def _alone(version: TlsVersion, kinds: tuple[SignatureKind, ...]) -> ClientProfile:
    profile = OPENSSL_3 if version is TlsVersion.TLS_1_3 else OPENSSL_3_AT_TLS_1_2
    return profile.signing_with(kinds)


def _is_behind(one: Record[AnyHello], wave: int, record: ClientRecord) -> bool:
    """It was sent when the other had been answered. wave: its own, counted as the other's is."""
    return wave > record.wave or (wave == record.wave and one.probe.is_last)


def _shape(profile: ClientProfile) -> ClientProfile:
    return replace(profile, name="", schemes=())


def _kinds_at(version: TlsVersion) -> tuple[SignatureKind, ...]:
    """RFC 8446 4.2.3: TLS 1.3 signs with RSA-PSS alone, where TLS 1.2 may use PKCS #1 as well."""
    kinds = tuple(SignatureKind)
    return kinds[1:] if version is TlsVersion.TLS_1_3 else kinds


def _is_shown(record: ClientRecord) -> bool:
    """The flight holds a certificate whose key is proven, or which is a hint: nothing was to be signed.

    A flight for what was not offered shows nothing: clients end the handshake, and no chain is judged.
    """
    flight = record.outcome.flight
    if not record.chose or flight is None or not flight.chain:
        return False
    return record.outcome.key_proven or (flight.is_whole and flight.signature is None)


def _is_broken_off(record: Record[AnyHello]) -> bool:
    """The server chose, and then turned the client away by a fatal alert, as Go does where it cannot sign."""
    return record.outcome.flight is not None and record.outcome.flight.alert is not None
