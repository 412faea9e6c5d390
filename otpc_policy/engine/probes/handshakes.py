"""The handshakes that are completed with one address.

One carries the HTTP question; the others are for certificates that no flight proved.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from otpc_policy.core.facts import ClientAuth, KeyType, TlsVersion
from otpc_policy.core.registries.suites import CipherSuite, suite_by_code_point
from otpc_policy.engine.spans import timed
from otpc_policy.engine.survey.offers import PAYMENT_ECDSA, PAYMENT_RSA
from otpc_policy.engine.transport.openings import Openings
from otpc_policy.engine.workers.handshake import HandshakeOffer, HandshakeOutcome
from otpc_policy.engine.workers.lease import WorkerLease
from otpc_policy.measurement.span_codec import Part
from otpc_policy.tls.answer import Answer, ServerHello, parse_answer

# Attempts after the survey for each certificate that is known to exist and was not obtained.
_TRIES = 3
# Handshakes of one round for suites that policies require, over all policies.
_MOST_REQUIRED = 16
# Only OpenSSL 1.0.2 implements these.
_LEGACY_KEY_EXCHANGES = ("TLS_DH_RSA_", "TLS_DH_DSS_", "TLS_ECDH_RSA_", "TLS_ECDH_ECDSA_")
_LEGACY_CIPHERS = ("_DES_CBC_", "_DES40_", "_EXPORT", "_IDEA_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What is offered: one version, suites in order."""

    version: TlsVersion
    cipher_suites: tuple[int, ...]


# Most servers complete this handshake, so it can carry a question, too.
MOST_USUAL = Handshake(version=TlsVersion.TLS_1_2, cipher_suites=PAYMENT_RSA)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeAttempt:
    """A handshake that was carried out, however it ended.

    answer: read from the outcome's first bytes. started_s: from the start of the scan.
    """

    handshake: Handshake
    outcome: HandshakeOutcome
    answer: Answer
    started_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A chain that the server presented and whose leaf's key it proved.

    The proof is a completed handshake, or a flight whose signature was verified.
    cipher_suite: chosen by the server. chain: DER, leaf first. key_type: what the suite or the
    offer implies about the leaf, for a leaf that cannot be read.
    is_certificate_requested: of the client.
    """

    version: TlsVersion
    cipher_suite: int
    chain: tuple[bytes, ...]
    key_type: KeyType | None = None
    stapled_ocsp_response: bytes | None = None
    is_certificate_requested: bool = False


class Handshakes:
    """The handshakes with one address so far.

    openings: shared by all connections of one scan. connections_used: counted here.
    """

    def __init__(
        self, *, lease: WorkerLease, openings: Openings, shape: HandshakeOffer, begun_s: float
    ) -> None:
        self._lease, self._openings, self._shape, self._begun_s = lease, openings, shape, begun_s
        self.done: list[HandshakeAttempt] = []
        self._presented: list[Presented] = []
        self.connections_used = 0

    async def shake(self, handshake: Handshake, request: bytes = b"") -> bytes:
        """Carry out a handshake and record it. Return the start of the reply to the request.

        request: sent if the handshake completes.
        """
        hello = replace(
            self._shape.hello,
            version=handshake.version,
            cipher_suites=handshake.cipher_suites,
            legacy=handshake.version <= TlsVersion.SSL_3_0
            or any(map(_needs_legacy, handshake.cipher_suites)),
            request=request,
        )
        async with self._openings:
            self.connections_used += 1
            started_s = asyncio.get_running_loop().time() - self._begun_s
            with timed(Part.HANDSHAKE):
                outcome = await self._lease.handshake(replace(self._shape, hello=hello))
        attempt = HandshakeAttempt(
            handshake=handshake,
            outcome=outcome,
            answer=parse_answer(outcome.first_bytes),
            started_s=started_s,
        )
        self.done.append(attempt)
        self._presented += _presented(attempt)
        return outcome.reply

    def presented(self) -> list[Presented]:
        """Return what was presented and proven, in order."""
        return list(self._presented)


def _presented(attempt: HandshakeAttempt) -> Iterator[Presented]:
    handshake, outcome, answer = attempt.handshake, attempt.outcome, attempt.answer
    if (
        outcome.key_proven
        and isinstance(answer, ServerHello)
        and answer.version == handshake.version
        and answer.cipher_suite in outcome.offered
    ):
        suite = suite_by_code_point(answer.cipher_suite)
        yield Presented(
            version=handshake.version,
            cipher_suite=answer.cipher_suite,
            chain=outcome.chain,
            key_type=suite.authentication if suite is not None else None,
            stapled_ocsp_response=outcome.stapled_ocsp_response,
            is_certificate_requested=outcome.client_certificate_requested,
        )


def client_auth(presented: Iterable[Presented]) -> ClientAuth:
    """Return whether a client certificate was asked for; that it is required is not seen here."""
    asked = [proof.is_certificate_requested for proof in presented]
    if not asked:
        return ClientAuth.UNKNOWN
    return ClientAuth.REQUESTED if any(asked) else ClientAuth.NONE


@dataclass(frozen=True, slots=True)
class LeafHint:
    """A leaf that came in clear, DER, and what had been chosen."""

    version: TlsVersion
    cipher_suite: int
    leaf: bytes


def unproven_hints(hints: Iterable[LeafHint], presented: Iterable[Presented]) -> list[LeafHint]:
    """Return hints of leaves whose key was never proven, one for each leaf."""
    proven = {proof.chain[0] for proof in presented}
    return list({hint.leaf: hint for hint in hints if hint.leaf not in proven}.values())


def missing_handshakes(
    accepted: Mapping[TlsVersion, Sequence[int]],
    hints: Iterable[LeafHint],
    presented: Sequence[Presented],
    tried: Sequence[Handshake],
    required: Iterable[frozenset[int]] = (),
) -> list[Handshake]:
    """Return handshakes for certificates that are known to be there and were not proven.

    Suites of the payment client count likewise, and sets of suites of which one is required.
    accepted: suites by version. tried: not tried again.
    """
    wanted = [
        Handshake(version=hint.version, cipher_suites=(hint.cipher_suite,))
        for hint in unproven_hints(hints, presented)[:_TRIES]
    ]
    for version in versions_for_certificates(accepted):
        if version is TlsVersion.TLS_1_3:
            continue
        proven = {proof.cipher_suite for proof in presented if proof.version is version}
        for family in _by_authentication(accepted[version]):
            payment = [suite for suite in family if suite in (*PAYMENT_ECDSA, *PAYMENT_RSA)]
            if proven.isdisjoint(payment or family):
                singly = (
                    Handshake(version=version, cipher_suites=(suite,))
                    for suite in [*payment, *(suite for suite in family if suite not in payment)]
                )
                wanted += [handshake for handshake in singly if handshake not in tried][:_TRIES]
    wanted += islice(_for_required(accepted, presented, tried, required), _MOST_REQUIRED)
    return [handshake for handshake in dict.fromkeys(wanted) if handshake not in tried]


def _for_required(
    accepted: Mapping[TlsVersion, Sequence[int]],
    presented: Sequence[Presented],
    tried: Sequence[Handshake],
    required: Iterable[frozenset[int]],
) -> Iterator[Handshake]:
    """Yield handshakes for each set of which no accepted suite has been proven.

    Required suites are those before TLS 1.3, over TLS 1.2 (RFC 5289, RFC 7905).
    """
    version = TlsVersion.TLS_1_2
    usable = [suite for family in _by_authentication(accepted.get(version, ())) for suite in family]
    proven = {proof.cipher_suite for proof in presented if proof.version is version}
    for suites in required:
        if proven.isdisjoint(suites):
            of_set = (suite for suite in usable if suite in suites)
            singly = (Handshake(version=version, cipher_suites=(suite,)) for suite in of_set)
            yield from islice((handshake for handshake in singly if handshake not in tried), _TRIES)


def versions_for_certificates(accepted: Mapping[TlsVersion, Collection[int]]) -> list[TlsVersion]:
    """Return the versions over which handshakes are made.

    These are the versions of a payment client; without any of them, the highest that is accepted.
    Older ones are assumed to serve the same, unless a certificate sent in clear shows otherwise.
    """
    offered = [
        version for version in accepted if accepted[version] and version >= TlsVersion.SSL_3_0
    ]
    return [version for version in offered if version >= TlsVersion.TLS_1_2] or sorted(offered)[-1:]


def _by_authentication(code_points: Sequence[int]) -> list[list[int]]:
    """Return suites that OpenSSL implements, by authentication; forward secrecy comes first."""
    families: dict[KeyType, list[CipherSuite]] = {}
    for code_point in code_points:
        suite = suite_by_code_point(code_point)
        if (
            suite is not None
            and suite.openssl_name
            and suite.authentication is not None
            and not suite.needs_shared_secret
        ):
            families.setdefault(suite.authentication, []).append(suite)
    return [
        [
            suite.code_point
            for suite in sorted(family, key=lambda suite: not suite.is_forward_secret)
        ]
        for family in families.values()
    ]


def _needs_legacy(code_point: int) -> bool:
    suite = suite_by_code_point(code_point)
    return suite is not None and (
        suite.iana_name.startswith(_LEGACY_KEY_EXCHANGES)
        or any(cipher in suite.iana_name for cipher in _LEGACY_CIPHERS)
    )
