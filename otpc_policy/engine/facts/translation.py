"""From surveys and handshakes to facts. Pure; decides nothing beyond the evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import islice

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from otpc_policy.core.facts import (
    CipherSuiteFact,
    DeploymentFact,
    Evidence,
    KeyType,
    Support,
    TlsVersion,
    VersionFact,
)
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.probes.handshakes import (
    LeafHint,
    Presented,
    unproven_hints,
    versions_for_certificates,
)
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.inference import Inference, contradictions
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import suites_at
from otpc_policy.engine.survey.probe import AnyHello, Purpose, Record
from otpc_policy.engine.transport.key_proof import public_key
from otpc_policy.tls.answer import Alert

# Key types that a leaf may hold if suites authenticate like this (RFC 8422 5.10: Ed25519 leaves go
# with ECDSA suites).
_LEAVES = {
    KeyType.RSA: {KeyType.RSA},
    KeyType.ECDSA: {KeyType.ECDSA, KeyType.EDDSA},
    KeyType.DSA: {KeyType.DSA},
    KeyType.OTHER: {KeyType.OTHER},
}
# Twice the number of signature kinds; a server that presents a new chain each time stops here.
_MAX_PRESENTED = 12
_EXPECTED_KEY_TYPES = (KeyType.RSA, KeyType.ECDSA)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that one scan found out.

    surveys: in order; presence is taken from all of them, absence only from the last, if steady.
    clients: what ordinary clients were given. completed: from handshakes. http_leaves: presented to
    the HTTP question, DER by version, unproven.
    """

    surveys: Sequence[Journal]
    clients: ClientSurvey
    completed: Sequence[Presented] = ()
    http_leaves: Sequence[tuple[TlsVersion, bytes]] = ()
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
    def _flights(self) -> Sequence[Record[AnyHello]]:
        """Records of a chosen suite with a certificate; the hello names the server if it can."""
        records: list[Record[AnyHello]] = [record for log in self.surveys for record in log.records]
        records += self.clients.records
        return [
            record
            for record in records
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
                )
        for record in self.clients.unseen(self.surveys[-1]):
            version = record.reading.version or max(
                (v for v in self.accepted if v <= record.hello.version),
                default=record.hello.version,
            )
            for key_type in _EXPECTED_KEY_TYPES:
                found[version, key_type] = (
                    f"which certificate is given to {record.hello.profile.name} is not known"
                )
        return found

    @cached_property
    def _inference(self) -> Inference:
        return Inference(self.surveys[-1])

    @cached_property
    def is_steady(self) -> bool:
        """In the last survey the server refused nothing that it had accepted, then or before."""
        *earlier, last = self.surveys
        accepted_then = all(
            self._inference.absences(version).keys().isdisjoint(suites)
            for version, suites in self._accepted_in_turn.items()
        )
        return accepted_then and not any(contradictions(last, *earlier))

    def absences(self, version: TlsVersion) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused."""
        return self._inference.absences(version) if self.is_steady else {}

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


def version_facts(measured: Measured) -> tuple[VersionFact, ...]:
    """Return one fact for each version."""
    return tuple(
        VersionFact(version, *_version_support(measured, version)) for version in TlsVersion
    )


def _version_support(measured: Measured, version: TlsVersion) -> tuple[Support, Evidence]:
    if version in measured.accepted:
        return Support.YES, Evidence.SERVER_HELLO
    if measured.surveys[-1].is_passed_over(version):
        return Support.NO, Evidence.LOWER_VERSION
    absences = measured.absences(version)
    if all(map(absences.__contains__, suites_at(version))) and not _is_nameless_hello_unanswered(
        measured.surveys[-1], version
    ):
        return Support.NO, _weakest(absences.values())
    return Support.UNKNOWN, Evidence.NONE


def _is_nameless_hello_unanswered(log: Journal, version: TlsVersion) -> bool:
    """No hello without a name was refused, nor answered by an alert.

    Clients of SSL 3 send no name, so their hello must have been turned away too, if only for want
    of a name (alert 112).
    """
    nameless = [
        record
        for record in log.records
        if record.probe.hello.version is version is TlsVersion.SSL_3_0
        and record.probe.hello.server_name is None
    ]
    return bool(nameless) and not any(
        record.refused or isinstance(record.outcome.answer, Alert) for record in nameless
    )


def cipher_suite_facts(measured: Measured) -> tuple[CipherSuiteFact, ...]:
    """Return a fact for every suite of every offered version, by version and code point."""
    proven = frozenset(
        (presented.version, presented.cipher_suite) for presented in measured.presented
    )
    return tuple(
        fact
        for version in sorted(measured.accepted)
        for fact in _cipher_suite_facts(
            version,
            measured.accepted[version],
            frozenset(measured.absences(version).items()),
            frozenset(suite for of_version, suite in proven if of_version is version),
        )
    )


# Most servers accept one of a few sets of suites: sharing their facts saves memory and time.
@lru_cache(maxsize=256)
def _cipher_suite_facts(
    version: TlsVersion,
    accepted: frozenset[int],
    absences: frozenset[tuple[int, Evidence]],
    completed: frozenset[int],
) -> tuple[CipherSuiteFact, ...]:
    absent = dict(absences)
    facts = []
    for suite in suites_at(version):
        if suite in accepted:
            support, evidence = Support.YES, Evidence.SERVER_HELLO
        else:
            evidence = absent.get(suite, Evidence.NONE)
            support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
        facts.append(
            CipherSuiteFact(
                version=version,
                code_point=suite,
                support=support,
                evidence=evidence,
                handshake_completed=suite in completed,
            )
        )
    return tuple(facts)


def deployment_facts(
    measured: Measured, versions: Iterable[VersionFact]
) -> tuple[DeploymentFact, ...]:
    """Return every chain that was obtained, and what is known about key types of which none was."""
    obtained = _obtained(measured)
    facts = list(obtained)
    wanted = versions_for_certificates(measured.accepted)
    for version in versions:
        got = {fact.key_type for fact in obtained if fact.version is version.version}
        if version.version in wanted:
            is_tls13 = version.version is TlsVersion.TLS_1_3
            by_key = (
                _tls13_key_types(measured)
                if is_tls13
                else _suite_key_types(measured, version.version)
            )
            # Suites of TLS 1.3 do not imply key types: an EdDSA leaf does not prove an ECDSA leaf.
            leaves: Mapping[KeyType, set[KeyType]] = {} if is_tls13 else _LEAVES
            facts += [
                _without_chain(version.version, key, evidence)
                for key, evidence in by_key.items()
                if not got & leaves.get(key, {key})
            ]
        elif version.support is Support.UNKNOWN and version.version >= TlsVersion.TLS_1_2:
            facts += [
                _without_chain(version.version, key, Evidence.NONE) for key in _EXPECTED_KEY_TYPES
            ]
    unproven = [
        (hint.version, measured.leaf_key_type(hint.leaf, None))
        for hint in unproven_hints(measured.leaf_hints, measured.presented)
    ]
    known = {presented.chain[0] for presented in measured.presented}
    unproven += [
        (version, measured.leaf_key_type(leaf, None))
        for version, leaf in measured.http_leaves
        if leaf not in known
    ]
    return (
        *facts,
        *(
            _without_chain(version, key, Evidence.NONE)
            for version, key in dict.fromkeys((*unproven, *measured.unread))
        ),
    )


def _obtained(measured: Measured) -> list[DeploymentFact]:
    staples: dict[tuple[TlsVersion, KeyType, tuple[bytes, ...]], set[bytes]] = {}
    for presented in (*measured.presented, *measured.presented_otherwise):
        key_type = measured.leaf_key_type(presented.chain[0], presented.key_type)
        responses = staples.setdefault((presented.version, key_type, presented.chain), set())
        if presented.stapled_ocsp_response is not None:
            responses.add(presented.stapled_ocsp_response)
    # A server may staple only after its first handshakes (nginx fetches lazily): one staple is
    # enough for a chain.
    facts = [
        DeploymentFact(
            version=version,
            key_type=key,
            support=Support.YES,
            evidence=Evidence.SERVER_HELLO,
            chain=chain,
            stapled_ocsp_response=response,
        )
        for (version, key, chain), responses in staples.items()
        for response in (sorted(responses) if responses else (None,))
    ]
    # Judging each has a price. Beyond the limit the rest stay unknown, so they permit nothing.
    kept = set(
        islice(
            dict.fromkeys((fact.chain, fact.stapled_ocsp_response) for fact in facts),
            _MAX_PRESENTED,
        )
    )
    return [
        fact
        if (fact.chain, fact.stapled_ocsp_response) in kept
        else _without_chain(fact.version, fact.key_type, Evidence.NONE)
        for fact in facts
    ]


def _suite_key_types(measured: Measured, version: TlsVersion) -> dict[KeyType, Evidence]:
    """Return what the suites of one version up to TLS 1.2 imply for key types without a chain.

    NONE means unknown.
    """
    accepted, absences = measured.accepted[version], measured.absences(version)
    reported: dict[KeyType, Evidence] = {}
    for key, suites in _suites_by_key_type(version).items():
        is_accepted = not suites.isdisjoint(accepted)
        if is_accepted or key in _EXPECTED_KEY_TYPES:
            is_refused = not is_accepted and absences.keys() >= suites
            reported[key] = (
                _weakest(absences[suite] for suite in suites) if is_refused else Evidence.NONE
            )
    return reported


@cache
def _suites_by_key_type(version: TlsVersion) -> dict[KeyType, frozenset[int]]:
    """Return the suites of a version by the key type that they prove."""
    by_key: dict[KeyType, set[int]] = {}
    for code_point in suites_at(version):
        suite = suite_by_code_point(code_point)
        if suite is not None and suite.authentication is not None:
            by_key.setdefault(suite.authentication, set()).add(code_point)
    return {key: frozenset(suites) for key, suites in by_key.items()}


def _tls13_key_types(measured: Measured) -> dict[KeyType, Evidence]:
    return {
        key_type: measured.key_type_absence(key_type)
        for key_type in (*_EXPECTED_KEY_TYPES, KeyType.EDDSA)
    }


def _without_chain(version: TlsVersion, key_type: KeyType, evidence: Evidence) -> DeploymentFact:
    support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
    return DeploymentFact(version=version, key_type=key_type, support=support, evidence=evidence)


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


def _weakest(evidence: Iterable[Evidence]) -> Evidence:
    return Evidence.CLOSED_CONFIRMED if Evidence.CLOSED_CONFIRMED in evidence else Evidence.ALERT
