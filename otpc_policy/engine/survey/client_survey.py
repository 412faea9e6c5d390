"""What ordinary clients get: which certificates, and whether old or insecure clients are accepted.

Two questions are asked in the waves of the survey of suites. Pure, without IO.

*Which certificates?* A server or gateway may choose its certificate by anything in the hello. So
flights with a verified signature are requested in the shapes of several clients, with versions
mixed and alone, and for each kind of signature that a client may verify: RSA with PKCS #1, RSA-PSS,
RSASSA-PSS, ECDSA, Ed25519 and Ed448 may each stand for another certificate. Kinds that some shape
has already shown are not requested alone. The rare kinds are requested together, and the remaining
ones again whenever one is found.

*Is such a client accepted?* Old clients and insecure suites in ordinary shapes: acceptance is
proof; a refusal proves nothing. Silence is no refusal: such a client is asked for once more, and
what it offers is unknown then, whatever others were refused. Nor is a close, where the server turns
others away by alerts: it may have been about the moment, so such a client is asked for once more,
too. Where a client was accepted for what the wide hellos were refused, the server may look at the
shape of hellos, or it may have changed: the client is asked for again, and if it is refused now,
the server is unsteady.

A flight that began but did not reach its certificate is requested again, and counts as unknown at
the end; so does a hello that got no answer. A hello that is refused by an alert twice, or by a
close three times, is refused: such a client gets no certificate at all. Some servers notice only
after their ServerHello that they cannot sign for a client: Go and JSSE do, which refuses as well as
if they had noticed before. A refusal counts only if
something that was sent after it was accepted: a server that has begun to turn everybody away proves
nothing about the last hellos. If the survey of suites is made once more, one connection at a time,
no earlier refusal counts: each may have been about the number of connections.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from otpc_policy.core.facts import Evidence, KeyType, TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.profiles.clients import (
    RARE_KINDS,
    ClientProfile,
    ProfileHello,
    SignatureKind,
    kind_of_scheme,
)
from otpc_policy.engine.profiles.extension_kinds import STATUS_REQUEST
from otpc_policy.engine.survey.absence import CLOSES
from otpc_policy.engine.survey.cast import Cast
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import (
    AnyHello,
    Ending,
    Outcome,
    Probe,
    Purpose,
    Record,
    read_record,
)
from otpc_policy.engine.survey.reading import REFUSING_ALERTS, Reaction

# How often a hello that showed nothing is sent, and one that only reveals.
_ATTEMPTS = 3
_ATTEMPTS_TO_REVEAL = 2
# After so many the wide hellos have asked for everything, but for what is found by elimination.
_WAVES_OF_WIDE_HELLOS = 2
# One refusal may be about the number of open connections.
_REFUSALS = 2
# Of the hellos that only reveal, how many are sent with the first wave: with more, it would not be
# sent at once.
_FIRST_REVEALS = 2
_RSA_KINDS = (SignatureKind.RSA_PSS_RSAE, SignatureKind.RSA_PKCS1)
_TYPE_OF_KIND: Mapping[SignatureKind, KeyType] = {
    **dict.fromkeys((*_RSA_KINDS, SignatureKind.RSA_PSS_PSS), KeyType.RSA),
    SignatureKind.ECDSA: KeyType.ECDSA,
    **dict.fromkeys((SignatureKind.ED25519, SignatureKind.ED448), KeyType.EDDSA),
}
# RFC 7301 3.2: what a server without HTTP/2 answers a client that speaks nothing else.
_NO_APPLICATION_PROTOCOL = 120
ClientRecord = Record[ProfileHello]


class ClientSurvey:
    """The conversations of ordinary clients with one server.

    Alternate next_wave and take, in step with the waves of the survey of suites.
    """

    def __init__(self, server_name: str | None, cast: Cast) -> None:
        self._server_name, self._cast = server_name, cast
        self._wave = self._begun = 0
        self._first_reveals = cast.old[:_FIRST_REVEALS]
        self._unsent_reveals = (*cast.old[_FIRST_REVEALS:], *cast.insecure)
        self._of_profile: dict[ClientProfile, list[ClientRecord]] = {}
        self._of_reveal: dict[ClientProfile, list[ClientRecord]] = {}
        # Versions at which an accepted client was asked for again.
        self._confirmed: set[TlsVersion] = set()
        self._asked_alone: dict[tuple[TlsVersion, ClientProfile], tuple[SignatureKind, ...]] = {}
        # In whose shape single kinds of signature are asked for.
        self._base: ClientProfile | None = None
        self.records: list[ClientRecord] = []

    def next_wave(self, journal: Journal, *, is_closed: bool) -> tuple[Probe[ProfileHello], ...]:
        """Return the hellos to send now.

        journal: of the survey of suites. is_closed: a control is sent after this wave anyway.
        """
        if self._wave == 0:
            return (
                *self._probes(self._cast.certificates, Purpose.CLIENT),
                *self._probes(self._first_reveals, Purpose.REVEAL),
            )
        versions = journal.versions | {
            record.reading.version for record in self.records if record.reading.version is not None
        }
        if not versions:
            return ()
        again = (profile for profile in self._of_profile if self._is_open(profile, journal))
        flights = list(dict.fromkeys((*again, *self._kinds_to_ask(versions, journal))))
        reveals = (*self._unsent_reveals, *self._reveals_to_repeat(journal))
        self._unsent_reveals = ()
        probes = (*self._probes(flights, Purpose.CLIENT), *self._probes(reveals, Purpose.REVEAL))
        if flights and not is_closed and (control := self._accepted_profile()) is not None:
            return (
                *probes,
                Probe(hello=self._hello(control), purpose=Purpose.CLOSING_CONTROL, is_last=True),
            )
        return probes

    def begin_again(self) -> None:
        """Begin again, in step with another survey of suites; what was shown and accepted stays."""
        self._begun = self._wave
        self._confirmed.clear()
        self._unsent_reveals = (*self._cast.old, *self._cast.insecure)

    def take(self, probes: Sequence[Probe[ProfileHello]], outcomes: Iterable[Outcome]) -> None:
        """Record the outcomes of a wave, in the order of its probes."""
        for probe, outcome in zip(probes, outcomes, strict=True):
            record = read_record(self._wave, probe, outcome)
            self.records.append(record)
            if probe.purpose is Purpose.CLIENT:
                self._of_profile.setdefault(probe.hello.profile, []).append(record)
            elif probe.purpose is Purpose.REVEAL:
                self._of_reveal.setdefault(probe.hello.profile, []).append(record)
        self._wave += 1

    def unseen(self, journal: Journal) -> list[ClientRecord]:
        """Return the last record of each hello whose certificate is not known."""
        return [
            records[-1]
            for profile, records in self._of_profile.items()
            if not self._is_settled(profile, journal)
        ]

    @property
    def unheard(self) -> tuple[ClientProfile, ...]:
        """Clients that only reveal, of which it is not known whether they are turned away.

        Their hellos were not answered, or there was no time to send them.
        """
        return (
            *(self._unsent_reveals if self.records else ()),
            *(
                profile
                for profile, records in self._of_reveal.items()
                if profile not in self._unsent_reveals
                and not _is_heard(records)
                and not _may_stay_silent(profile, self._recent(records))
            ),
        )

    def _reveals_to_repeat(self, journal: Journal) -> Iterator[ClientProfile]:
        alerted = any(
            record.reading.reaction is Reaction.REFUSED
            for records in self._of_reveal.values()
            for record in self._recent(records)
        )
        for profile, records in self._of_reveal.items():
            recent = self._recent(records)
            if not 0 < len(recent) < _ATTEMPTS_TO_REVEAL:
                continue
            last = recent[-1]
            is_closed_alone = alerted and last.reading.reaction is Reaction.CLOSED
            if last.chose:
                if self._is_to_be_confirmed(last, journal):
                    yield profile
            elif is_closed_alone or not _is_heard(records):
                yield profile

    def _is_to_be_confirmed(self, record: ClientRecord, journal: Journal) -> bool:
        """The wide hellos were not given what this client was. Once for each version."""
        version = record.reading.version
        if version is None or version in self._confirmed or journal.waves < _WAVES_OF_WIDE_HELLOS:
            return False
        if not journal.chosen(version).keys().isdisjoint(record.reading.suites):
            return False
        self._confirmed.add(version)
        return True

    @property
    def is_steady(self) -> bool:
        """In the last survey no client was turned away that was accepted, then or before."""
        return not any(
            any(record.chose for record in records)
            and any(record.refused for record in self._recent(records))
            for records in (*self._of_profile.values(), *self._of_reveal.values())
        )

    def absence(self, version: TlsVersion, key_type: KeyType, journal: Journal) -> Evidence:
        """Return what proves that no certificate of a key type is served; NONE if nothing does.

        Served, that is, to clients that verify only signatures of that key type.
        """
        needed = [
            kind
            for kind, its_type in _TYPE_OF_KIND.items()
            if its_type is key_type and kind in _kinds_at(version)
        ]
        refused = self._refused_kinds(version, journal)
        # RSASSA-PSS and rsaEncryption keys are of one type; neither absence implies the other.
        found = [refused.get(kind, Evidence.NONE) for kind in needed]
        return next(
            (kind for kind in (Evidence.NONE, Evidence.CLOSED_CONFIRMED) if kind in found),
            Evidence.ALERT,
        )

    def _kinds_to_ask(
        self, versions: frozenset[TlsVersion], journal: Journal
    ) -> Iterator[ClientProfile]:
        for version in (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2):
            if version not in versions:
                continue
            seen = self._kinds_seen(version, journal)
            rare = tuple(kind for kind in RARE_KINDS if kind not in seen)
            wanted = [rare] if rare else []
            wanted += [(kind,) for kind in self._usual_kinds(version, journal) if kind not in seen]
            for kinds in wanted:
                profile = self._alone(version, kinds)
                self._asked_alone[version, profile] = kinds
                if profile not in self._of_profile:
                    yield profile

    def _alone(self, version: TlsVersion, kinds: tuple[SignatureKind, ...]) -> ClientProfile:
        """Return a client that verifies these kinds of signature alone."""
        base = self.base()
        return _signing_with(base if version is TlsVersion.TLS_1_3 else base.at_tls12(), kinds)

    def base(self) -> ClientProfile:
        """Return a client of TLS 1.3, accepted if there is one, that others are like.

        It asks for a staple, if such a client is accepted: that may show that a leaf is revoked.
        """
        if self._base is None:
            accepted = {
                record.hello.profile
                for record in self._accepted()
                if record.reading.version is TlsVersion.TLS_1_3
            }
            of_tls13 = [one for one in self._cast.certificates if one.highest is TlsVersion.TLS_1_3]
            asking = [one for one in of_tls13 if STATUS_REQUEST in one.extensions]
            # wolfSSL without a staple turns away whoever asks for one.
            preferred = (one for one in (*asking, *of_tls13) if one in accepted)
            self._base = next(preferred, asking[0])
        return self._base

    def _usual_kinds(self, version: TlsVersion, journal: Journal) -> tuple[SignatureKind, ...]:
        """Return the kinds that belong to what is accepted; at TLS 1.3 suites do not tell."""
        if version is TlsVersion.TLS_1_3:
            return (SignatureKind.ECDSA, SignatureKind.RSA_PSS_RSAE)
        suites = (suite_by_code_point(code_point) for code_point in journal.chosen(version))
        key_types = {
            suite.authentication
            for suite in suites
            if suite is not None and suite.is_forward_secret
        }
        return (
            *((SignatureKind.ECDSA,) if KeyType.ECDSA in key_types else ()),
            *(_RSA_KINDS if KeyType.RSA in key_types else ()),
        )

    def _kinds_seen(self, version: TlsVersion, journal: Journal) -> set[SignatureKind | None]:
        """Return the kinds of signature that certificates were presented with at a version.

        To clients that ask for a staple: without it, it is not known whether a leaf is revoked.
        """
        accepted: list[Record[AnyHello]] = [*journal.accepted, *self.records]
        flights = (
            record.outcome.flight
            for record in accepted
            if record.reading.version is version
            and record.outcome.key_proven
            and STATUS_REQUEST in record.hello.extensions
        )
        return {
            kind_of_scheme(flight.signature.scheme)
            for flight in flights
            if flight is not None and flight.signature is not None
        }

    def _refused_kinds(
        self, version: TlsVersion, journal: Journal
    ) -> dict[SignatureKind, Evidence]:
        """Return the kinds that were refused between controls of the same shape, with evidence."""
        refused: dict[SignatureKind, Evidence] = {}
        for (of_version, profile), kinds in self._asked_alone.items():
            records = self._of_profile.get(profile, [])
            is_chosen = any(map(_is_served, records))
            if of_version is not version or is_chosen or not self._has_control(version, profile):
                continue
            counted = [
                record for record in self._recent(records) if self._is_bracketed(record, journal)
            ]
            how = [_turned_away(record) for record in counted]
            if Reaction.REFUSED in how:
                refused |= dict.fromkeys(kinds, Evidence.ALERT)
            elif how.count(Reaction.CLOSED) >= CLOSES:
                refused |= {kind: refused.get(kind, Evidence.CLOSED_CONFIRMED) for kind in kinds}
        return refused

    def _has_control(self, version: TlsVersion, profile: ClientProfile) -> bool:
        """A client that differs only in its signature schemes was accepted at a version."""
        shape = _shape(profile)
        accepted = (record for record in self._accepted() if record.reading.version is version)
        return any(_shape(record.hello.profile) == shape for record in accepted)

    def _is_bracketed(self, record: ClientRecord, journal: Journal) -> bool:
        """A client was accepted no later, and something that was sent after the refusal."""
        is_preceded = any(good.wave <= record.wave for good in self._accepted())
        return is_preceded and self._is_followed(record, journal)

    def _is_followed(self, record: ClientRecord, journal: Journal) -> bool:
        """Something was accepted that was sent after the record."""
        suites = (good for good in journal.accepted if _is_served(good))
        # The survey of suites counts its waves from its own beginning.
        is_followed = any(_was_sent_after(good, good.wave + self._begun, record) for good in suites)
        return is_followed or any(
            _was_sent_after(good, good.wave, record) for good in self._accepted()
        )

    def _recent(self, records: Iterable[ClientRecord]) -> list[ClientRecord]:
        """Return the records of the last survey."""
        return [record for record in records if record.wave >= self._begun]

    def _accepted(self) -> list[ClientRecord]:
        counted = (record for record in self.records if record.probe.purpose is not Purpose.REVEAL)
        return [record for record in counted if _is_served(record)]

    def _is_open(self, profile: ClientProfile, journal: Journal) -> bool:
        attempts = self._recent(self._of_profile[profile])
        return len(attempts) < _ATTEMPTS and not self._is_settled(profile, journal)

    def _is_settled(self, profile: ClientProfile, journal: Journal) -> bool:
        """The certificate was shown, or the client is turned away."""
        records = self._of_profile[profile]
        if any(map(_is_shown, records)):
            return True
        if any(map(_is_served, records)):
            return False
        followed = [
            record
            for record in self._recent(records)
            if _turned_away(record) is not None and self._is_followed(record, journal)
        ]
        refused = [record for record in followed if _turned_away(record) is Reaction.REFUSED]
        is_alone = any(profile is alone for _, alone in self._asked_alone)
        return (
            len(refused) >= _REFUSALS
            or len(followed) >= CLOSES
            or (is_alone and any(self._is_bracketed(record, journal) for record in refused))
        )

    def _accepted_profile(self) -> ClientProfile | None:
        accepted = (record for record in self._accepted() if record.probe.purpose is Purpose.CLIENT)
        return next((record.hello.profile for record in accepted), None)

    def _probes(
        self, profiles: Iterable[ClientProfile], purpose: Purpose
    ) -> Iterator[Probe[ProfileHello]]:
        for profile in profiles:
            yield Probe(hello=self._hello(profile), purpose=purpose)

    def _hello(self, profile: ClientProfile) -> ProfileHello:
        return ProfileHello(
            profile=profile, server_name=self._server_name if profile.sends_name else None
        )


# Asked for in every wave.
@lru_cache(maxsize=64)
def _signing_with(base: ClientProfile, kinds: tuple[SignatureKind, ...]) -> ClientProfile:
    return base.signing_with(kinds)


def _was_sent_after(good: Record[AnyHello], wave: int, record: ClientRecord) -> bool:
    """It was sent after the other was answered. wave: its own, counted as the other's is."""
    return wave > record.wave or (wave == record.wave and good.probe.is_last)


def _shape(profile: ClientProfile) -> ClientProfile:
    return replace(profile, name="", schemes=())


def _kinds_at(version: TlsVersion) -> tuple[SignatureKind, ...]:
    """RFC 8446 4.2.3: TLS 1.3 signs with RSA-PSS alone, where TLS 1.2 may use PKCS #1 as well."""
    kinds = tuple(SignatureKind)
    return kinds[1:] if version is TlsVersion.TLS_1_3 else kinds


def _is_shown(record: ClientRecord) -> bool:
    """The flight has a certificate whose key is proven, or that is a hint: it needs no signature.

    A flight for something that was not offered shows nothing: clients end the handshake, and no
    chain is judged.
    """
    flight = record.outcome.flight
    if not record.chose or flight is None or not flight.chain:
        return False
    return record.outcome.key_proven or (flight.is_whole and flight.signature is None)


def _is_heard(records: Iterable[ClientRecord]) -> bool:
    """The server answered, or ended the connection."""
    return any(record.refused or record.outcome.ending is Ending.ANSWERED for record in records)


def _may_stay_silent(profile: ClientProfile, records: Sequence[ClientRecord]) -> bool:
    """The silence says nothing: a server of today may take a hello in the format of SSL 2 for the
    beginning of a longer record, and wait for the rest. It does so each time.
    """
    silent = [record for record in records if record.outcome.connected]
    is_often = sum(record.outcome.ending is Ending.TIMED_OUT for record in silent)
    return profile.is_ssl2_format and is_often >= _ATTEMPTS_TO_REVEAL


def _is_served(record: Record[AnyHello]) -> bool:
    """The server chose, and did not turn the client away then."""
    return record.chose and _turned_away(record) is None


def _turned_away(record: Record[AnyHello]) -> Reaction | None:
    """Return how the server refused or closed, be it after its ServerHello; None if it did not."""
    flight = record.outcome.flight
    if record.refused:
        return record.reading.reaction
    if record.reading.alert == _NO_APPLICATION_PROTOCOL:
        # It says nothing about versions and suites, but all about such a client.
        return Reaction.REFUSED
    if not record.chose or flight is None:
        return None
    if flight.alert is None and not record.outcome.is_cut_off:
        return None
    return Reaction.REFUSED if flight.alert in REFUSING_ALERTS else Reaction.CLOSED
