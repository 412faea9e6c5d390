"""All that one scan of an address found out, and what follows from it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from otpc_policy.core.facts import Evidence, KeyType, TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.core.remarks import RemarkKind, kind_of_remark
from otpc_policy.engine.probes.handshakes import LeafHint, Presented
from otpc_policy.engine.profiles.clients import ClientProfile
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.group_survey import GroupSurvey
from otpc_policy.engine.survey.inference import Inference, contradictions
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import family_of
from otpc_policy.engine.survey.probe import AnyHello, Purpose, Record
from otpc_policy.engine.transport.key_proof import public_key

# A server that shows no certificate of these must be known not to have one.
EXPECTED_KEY_TYPES = (KeyType.RSA, KeyType.ECDSA)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that one scan found out.

    surveys: in order; presence is taken from all of them, absence only from the last, if steady.
    clients: what ordinary clients were given. completed: from handshakes. http_leaves: presented to
    the HTTP question, DER by version, unproven. groups: None if they were not asked about.
    """

    surveys: Sequence[Journal]
    clients: ClientSurvey
    completed: Sequence[Presented] = ()
    http_leaves: Sequence[tuple[TlsVersion, bytes]] = ()
    groups: GroupSurvey | None = None
    _key_types: dict[tuple[bytes, KeyType | None], KeyType] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def accepted(self) -> Mapping[TlsVersion, frozenset[int]]:
        """Suites that were chosen, by version; a version of SSL 2 may have none."""
        accepted = {version: set(suites) for version, suites in self._accepted_in_turn.items()}
        for record in self.clients.records:
            if record.reading.version is not None:
                accepted.setdefault(record.reading.version, set()).update(record.reading.suites)
        return {version: frozenset(suites) for version, suites in accepted.items()}

    @cached_property
    def _accepted_in_turn(self) -> Mapping[TlsVersion, set[int]]:
        """Suites chosen where a refusal would count.

        Hellos that only reveal are left out: they are shaped differently on purpose.
        """
        accepted: dict[TlsVersion, set[int]] = {}
        for log in self.surveys:
            for version in log.versions:
                accepted.setdefault(version, set()).update(log.chosen(version))
        for presented in self.completed:
            accepted.setdefault(presented.version, set()).add(presented.cipher_suite)
        for record in self.clients.records:
            if record.reading.version is not None and record.probe.purpose is not Purpose.REVEAL:
                accepted.setdefault(record.reading.version, set()).update(record.reading.suites)
        return accepted

    @cached_property
    def records(self) -> Sequence[Record[AnyHello]]:
        """Every hello of the surveys of suites and certificates."""
        return (*(record for log in self.surveys for record in log.records), *self.clients.records)

    @cached_property
    def _flights(self) -> Sequence[Record[AnyHello]]:
        """Records of a chosen suite with a certificate; the hello names the server if it can."""
        return [
            record
            for record in self.records
            if record.reading.version is not None
            and record.outcome.flight is not None
            and record.reading.suites
        ]

    @cached_property
    def presented(self) -> Sequence[Presented]:
        """Chains whose key was proven, in handshakes and flights."""
        return (
            *self.completed,
            *(_presented(record) for record in self._flights if record.outcome.key_proven),
        )

    @cached_property
    def presented_otherwise(self) -> Sequence[Presented]:
        """Other chains and staples of proven leaves, from flights that prove nothing themselves."""
        proven = self.presented
        leaves = {presented.chain[0] for presented in proven}
        known = {(presented.chain, presented.stapled_ocsp_response) for presented in proven}
        known |= {(presented.chain, None) for presented in proven}
        others = [_presented(record) for record in self._flights if _is_shown_unproven(record)]
        of_leaves = (presented for presented in others if presented.chain[0] in leaves)
        return [
            presented
            for presented in of_leaves
            if (presented.chain, presented.stapled_ocsp_response) not in known
        ]

    @cached_property
    def leaf_hints(self) -> Sequence[LeafHint]:
        """Leaves that came in flights and were not proven there."""
        return [
            LeafHint(
                record.reading.version, record.reading.suites[0], record.outcome.flight.chain[0]
            )
            for record in self._flights
            if record.reading.version is not None
            and record.outcome.flight is not None
            and record.outcome.flight.chain
            and not record.outcome.key_proven
        ]

    @cached_property
    def unread(self) -> Mapping[tuple[TlsVersion, KeyType], str]:
        """Flights without a certificate, by version and key type, with a remark for people."""
        found: dict[tuple[TlsVersion, KeyType], str] = {}
        for record in self._flights:
            flight, version = record.outcome.flight, record.reading.version
            if (
                version is not None
                and flight is not None
                and not flight.chain
                and record.probe.purpose is not Purpose.CLIENT
            ):
                suite = suite_by_code_point(record.reading.suites[0])
                key_type = suite.authentication if suite is not None else None
                found[version, key_type or KeyType.OTHER] = (
                    f"the server ended its flight of {version.label} before its certificate"
                    if flight.flaw is None
                    else _unreadable(version, flight.flaw)
                )
        for record in self.clients.unseen(self.surveys[-1]):
            version = record.reading.version or max(
                (v for v in self.accepted if v <= record.hello.version),
                default=record.hello.version,
            )
            flight = record.outcome.flight
            flaw = flight.flaw if flight is not None else None
            for key_type in EXPECTED_KEY_TYPES:
                found[version, key_type] = (
                    _unreadable(version, flaw)
                    if flaw is not None and kind_of_remark(flaw) is RemarkKind.TOO_LARGE
                    else f"which certificate is given to {record.hello.profile.name} is not known"
                    + (f": {flaw}" if flaw is not None else "")
                )
        return found

    @cached_property
    def _inference(self) -> Inference:
        return Inference(self.surveys[-1])

    @cached_property
    def is_steady(self) -> bool:
        """In the last survey the server refused nothing that it had accepted, then or before.

        That is no suite, and no client.
        """
        *earlier, last = self.surveys
        accepted_then = all(
            self._inference.absences(version).keys().isdisjoint(suites)
            for version, suites in self._accepted_in_turn.items()
        )
        is_steady = accepted_then and self.clients.is_steady
        return is_steady and not any(contradictions(last, *earlier))

    def absences(self, version: TlsVersion) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused.

        Not those of a family of which a client was given one, and none if the wide hellos were
        given nothing at this version: then it depends on what the hello is like. Not those either
        that were offered by a client that was left without an answer.
        """
        absences = self._inference.absences(version) if self.is_steady else {}
        if unheard := self._offered_unheard(version):
            absences = {
                suite: evidence for suite, evidence in absences.items() if suite not in unheard
            }
        given = {
            suite
            for record in self.clients.records
            if record.reading.version is version
            for suite in record.reading.suites
        }
        if not given or absences.keys().isdisjoint(given):
            return absences
        if not self.surveys[-1].has_chosen(version):
            return {}
        doubtful = set(map(family_of, given & absences.keys()))
        return {
            suite: evidence
            for suite, evidence in absences.items()
            if family_of(suite) not in doubtful
        }

    def _offered_unheard(self, version: TlsVersion) -> set[int]:
        """Return the suites of clients that were left without an answer."""
        return {
            suite
            for client in self._unheard
            if client.lowest <= version <= client.highest
            for suite in client.listed_suites
        }

    @cached_property
    def _unheard(self) -> tuple[ClientProfile, ...]:
        return self.clients.unheard

    def key_type_absence(self, key_type: KeyType) -> Evidence:
        """Return what proves that no certificate of a key type is served over TLS 1.3, or NONE."""
        return (
            self.clients.absence(TlsVersion.TLS_1_3, key_type, self.surveys[-1])
            if self.is_steady
            else Evidence.NONE
        )

    def leaf_key_type(self, der: bytes, hint: KeyType | None) -> KeyType:
        """Return what the function of that name does, from a cache.

        The same few leaves come in many handshakes, and every fact and step asks about them.
        """
        if (der, hint) not in self._key_types:
            self._key_types[der, hint] = leaf_key_type(der, hint)
        return self._key_types[der, hint]


def _unreadable(version: TlsVersion, flaw: str) -> str:
    what = "is too large" if kind_of_remark(flaw) is RemarkKind.TOO_LARGE else "could not be read"
    return f"the certificate chain over {version.label} {what}: {flaw}"


def _is_shown_unproven(record: Record[AnyHello]) -> bool:
    flight = record.outcome.flight
    return flight is not None and bool(flight.chain) and not record.outcome.key_proven


def _presented(record: Record[AnyHello]) -> Presented:
    flight, version = record.outcome.flight, record.reading.version
    if flight is None or version is None:
        raise ValueError("nothing was presented")
    (cipher_suite,) = record.reading.suites
    suite = suite_by_code_point(cipher_suite)
    return Presented(
        version=version,
        cipher_suite=cipher_suite,
        chain=flight.chain,
        key_type=suite.authentication if suite is not None else None,
        stapled_ocsp_response=flight.stapled_ocsp_response,
        is_certificate_requested=flight.is_certificate_requested,
    )


def leaf_key_type(der: bytes, hint: KeyType | None) -> KeyType:
    """Return the key type of a leaf; the hint, or OTHER, if it cannot be read. Never raises."""
    match public_key(der):
        case None:
            return hint or KeyType.OTHER
        case rsa.RSAPublicKey():
            return KeyType.RSA
        case ec.EllipticCurvePublicKey():
            return KeyType.ECDSA
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return KeyType.EDDSA
        case dsa.DSAPublicKey():
            return KeyType.DSA
        case _:
            return KeyType.OTHER


def weakest(evidence: Iterable[Evidence]) -> Evidence:
    return Evidence.CLOSED_CONFIRMED if Evidence.CLOSED_CONFIRMED in evidence else Evidence.ALERT
