"""From answered questions to facts. Pure; decides nothing that the evidence does not say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from otpc_policy.facts import CipherSuiteFact, ClientAuth, DeploymentFact, Evidence, KeyType, Support, TlsVersion, VersionFact
from otpc_policy.scan.elimination import Question
from otpc_policy.scan.handshake import HandshakeOutcome
from otpc_policy.tls.suites import suite_by_code_point

# Key types that a leaf of suites with this authentication may hold (RFC 8422 5.10: Ed25519 leaves go with ECDSA suites).
_LEAVES = {KeyType.RSA: {KeyType.RSA}, KeyType.ECDSA: {KeyType.ECDSA, KeyType.EDDSA}, KeyType.DSA: {KeyType.DSA}, KeyType.OTHER: {KeyType.OTHER}}
_EXPECTED_KEY_TYPES = (KeyType.RSA, KeyType.ECDSA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that one scan found out.

    contact_version: chosen when TLS 1.0 to 1.3 were offered at once; None if nothing was; it may be below all of them.
    contact: the outcome of that handshake. contact_suite: None unless something offered was chosen. steady: every control succeeded; else no refusal counts.
    """

    contact: HandshakeOutcome
    contact_version: TlsVersion | None
    contact_suite: int | None
    questions: Mapping[TlsVersion, Sequence[Question]]
    key_type_questions: Sequence[Question]
    steady: bool

    def proven(self, evidence: Evidence) -> Evidence:
        """Return the evidence of a refusal, or NONE where the server refuses without regard to what is offered."""
        return evidence if self.steady and evidence in (Evidence.ALERT, Evidence.CLOSED_CONFIRMED) else Evidence.NONE

    def completed(self) -> Iterable[tuple[TlsVersion, int | None, KeyType | None, HandshakeOutcome]]:
        """Yield version, suite, restricted key type and outcome of every handshake in which the peer proved its key."""
        found = [(version, suite, None, outcome) for version, asked in self.questions.items() for one in asked for suite, outcome in one.accepted.items()]
        restricted = [(TlsVersion.TLS_1_3, None, one.offer.key_type, outcome) for one in self.key_type_questions for outcome in one.accepted.values()]
        contact = [] if self.contact_version is None or self.contact_suite is None else [(self.contact_version, self.contact_suite, None, self.contact)]
        return (one for one in [*contact, *found, *restricted] if one[3].key_proven)


def version_facts(measured: Measured) -> tuple[VersionFact, ...]:
    """Return one fact for each version."""
    return tuple(_version_fact(measured, version) for version in TlsVersion)


def _version_fact(measured: Measured, version: TlsVersion) -> VersionFact:
    asked = [one for one in measured.questions.get(version, ()) if one.remaining or one.version_accepted]
    absences = {one.absence for one in asked}
    passed_over = measured.contact_version is not None and version >= TlsVersion.TLS_1_0 and measured.contact_version < version
    chosen = measured.contact_version is version and measured.contact_suite is not None
    if chosen or any(one.version_accepted for one in asked):
        return VersionFact(version, Support.YES, Evidence.SERVER_HELLO)
    if Evidence.LOWER_VERSION in absences:
        return VersionFact(version, Support.NO, Evidence.LOWER_VERSION)
    refusals = {measured.proven(absence) for absence in absences}
    if refusals and Evidence.NONE not in refusals:
        return VersionFact(version, Support.NO, _weakest(refusals))
    if passed_over:
        return VersionFact(version, Support.NO, Evidence.LOWER_VERSION)
    return VersionFact(version, Support.UNKNOWN, Evidence.NONE)


def cipher_suite_facts(measured: Measured, versions: Iterable[VersionFact]) -> tuple[CipherSuiteFact, ...]:
    """Return a fact for every suite that was offered, for every version that is offered; in order of versions and numbers."""
    facts: dict[tuple[TlsVersion, int], CipherSuiteFact] = {}
    for version in (fact.version for fact in versions if fact.support is Support.YES):
        if version is measured.contact_version and measured.contact_suite is not None:
            facts[version, measured.contact_suite] = _accepted(version, measured.contact_suite, measured.contact)
        for question in measured.questions.get(version, ()):
            absence = measured.proven(question.absence)
            for suite in question.remaining:
                support = Support.UNKNOWN if absence is Evidence.NONE else Support.NO
                facts.setdefault((version, suite), CipherSuiteFact(version=version, code_point=suite, support=support, evidence=absence))
            for suite, outcome in question.accepted.items():
                before = facts.get((version, suite))
                if before is None or not before.handshake_completed:
                    facts[version, suite] = _accepted(version, suite, outcome)
    return tuple(facts[key] for key in sorted(facts))


def _accepted(version: TlsVersion, suite: int, outcome: HandshakeOutcome) -> CipherSuiteFact:
    return CipherSuiteFact(version=version, code_point=suite, support=Support.YES, evidence=Evidence.SERVER_HELLO, handshake_completed=outcome.key_proven)


def deployment_facts(measured: Measured, versions: Iterable[VersionFact], suites: Sequence[CipherSuiteFact]) -> tuple[DeploymentFact, ...]:
    """Return every chain that was obtained, and what is known about key types of which none was."""
    obtained = _obtained(measured)
    facts = list(obtained)
    for version in (fact for fact in versions if fact.version >= TlsVersion.SSL_3_0):
        got = {fact.key_type for fact in obtained if fact.version is version.version}
        if version.support is Support.YES:
            of_version = [fact for fact in suites if fact.version is version.version]
            by_key = _tls13_key_types(measured) if version.version is TlsVersion.TLS_1_3 else _suite_key_types(of_version)
            facts += [_without_chain(version.version, key, evidence) for key, evidence in by_key.items() if not got & _LEAVES.get(key, {key})]
        elif version.support is Support.UNKNOWN and version.version >= TlsVersion.TLS_1_2:
            facts += [_without_chain(version.version, key, Evidence.NONE) for key in _EXPECTED_KEY_TYPES]
    return tuple(facts)


def _obtained(measured: Measured) -> list[DeploymentFact]:
    staples: dict[tuple[TlsVersion, KeyType, tuple[bytes, ...]], set[bytes]] = {}
    for version, suite_number, restricted_to, outcome in measured.completed():
        suite = suite_by_code_point(suite_number) if suite_number is not None else None
        hint = restricted_to or (suite.authentication if suite is not None else None)
        responses = staples.setdefault((version, leaf_key_type(outcome.chain[0], hint), outcome.chain), set())
        if outcome.stapled_ocsp_response is not None:
            responses.add(outcome.stapled_ocsp_response)
    # A server may staple only after its first handshakes (nginx fetches lazily): one staple is enough for a chain.
    return [
        DeploymentFact(version=version, key_type=key, support=Support.YES, evidence=Evidence.SERVER_HELLO, chain=chain, stapled_ocsp_response=response)
        for (version, key, chain), responses in staples.items()
        for response in (sorted(responses) if responses else (None,))
    ]


def _suite_key_types(suites: Iterable[CipherSuiteFact]) -> dict[KeyType, Evidence]:
    """Return what the suites of one version up to TLS 1.2 say about key types that gave no chain; NONE means unknown."""
    by_key: dict[KeyType, list[CipherSuiteFact]] = {}
    for fact in suites:
        suite = suite_by_code_point(fact.code_point)
        if suite is not None and suite.authentication is not None:
            by_key.setdefault(suite.authentication, []).append(fact)
    told = {
        key: Evidence.NONE if any(fact.support is not Support.NO for fact in facts) else _weakest({f.evidence for f in facts}) for key, facts in by_key.items()
    }
    proven_by_suite = {key for key, facts in by_key.items() if any(fact.support is Support.YES for fact in facts)}
    return {key: evidence for key, evidence in told.items() if key in proven_by_suite or key in _EXPECTED_KEY_TYPES}


def _tls13_key_types(measured: Measured) -> dict[KeyType, Evidence]:
    asked = {one.offer.key_type: one for one in measured.key_type_questions}
    told = {key: measured.proven(one.absence) if not one.version_accepted else Evidence.NONE for key, one in asked.items() if key is not None}
    return {**dict.fromkeys(_EXPECTED_KEY_TYPES, Evidence.NONE), **told}


def _without_chain(version: TlsVersion, key_type: KeyType, evidence: Evidence) -> DeploymentFact:
    support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
    return DeploymentFact(version=version, key_type=key_type, support=support, evidence=evidence)


def client_auth(measured: Measured) -> ClientAuth:
    """Return whether a client certificate was asked for; that it is required is not seen here."""
    asked = [outcome.client_certificate_requested for _, _, _, outcome in measured.completed()]
    if not asked:
        return ClientAuth.UNKNOWN
    return ClientAuth.REQUESTED if any(asked) else ClientAuth.NONE


def leaf_key_type(der: bytes, hint: KeyType | None) -> KeyType:
    """Return the key type of a leaf; the hint, or OTHER, where it cannot be read."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except UnsupportedAlgorithm:
        return KeyType.OTHER
    except ValueError:
        return hint or KeyType.OTHER
    if isinstance(key, rsa.RSAPublicKey):
        return KeyType.RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return KeyType.ECDSA
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return KeyType.EDDSA
    return KeyType.DSA if isinstance(key, dsa.DSAPublicKey) else KeyType.OTHER


def _weakest(evidence: Iterable[Evidence]) -> Evidence:
    return Evidence.CLOSED_CONFIRMED if Evidence.CLOSED_CONFIRMED in evidence else Evidence.ALERT
