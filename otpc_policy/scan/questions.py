"""Which hellos a scan sends: versions, suites, shapes. Data and selection, no IO.

Every suite that sslyze's two TLS libraries can offer is asked for at every version that may carry it, NULL, anonymous
and EXPORT suites included. The others that have a name (integrity-only, GOST, SM4, EXPORT1024, and PSK, SRP and Kerberos, which need a
secret to complete) are offered at TLS 1.2 and 1.3 by hellos of our own; an older version denies in any case.
"""

from collections.abc import Sequence
from dataclasses import replace

from otpc_policy.facts import KeyType, TlsVersion
from otpc_policy.scan.elimination import CHUNK, KnownGood, Question
from otpc_policy.scan.handshake import HandshakeOffer
from otpc_policy.tls.suites import CipherSuite, all_suites, suite_by_code_point

# Only OpenSSL 1.0.2 implements these.
_LEGACY_KEY_EXCHANGES = ("TLS_DH_RSA_", "TLS_DH_DSS_", "TLS_ECDH_RSA_", "TLS_ECDH_ECDSA_")
_LEGACY_CIPHERS = ("_DES_CBC_", "_DES40_", "_EXPORT", "_IDEA_")
# Suites that need the PRF of TLS 1.2 (RFC 5246 5, RFC 5288, RFC 6655).
_SINCE_TLS12 = ("_SHA256", "_SHA384", "_CCM", "_CCM_8")
_FIRST_CONTACT_CIPHERS = ("_AES_", "_CHACHA20_", "_3DES_")

MODERN_VERSIONS = (TlsVersion.TLS_1_3, TlsVersion.TLS_1_2)
OLD_VERSIONS = (TlsVersion.TLS_1_1, TlsVersion.TLS_1_0, TlsVersion.SSL_3_0, TlsVersion.SSL_2_0)


def first_contact(shape: HandshakeOffer) -> HandshakeOffer:
    """Return a hello that any server of TLS 1.0 to 1.3 in use can accept: every version, common suites."""
    tls13 = [suite.code_point for suite in _offerable(TlsVersion.TLS_1_3)]
    common = [
        suite.code_point
        for suite in _offerable(TlsVersion.TLS_1_2)
        if suite.authentication in (KeyType.RSA, KeyType.ECDSA)
        and not _needs_legacy(suite)
        and any(cipher in suite.iana_name for cipher in _FIRST_CONTACT_CIPHERS)
    ]
    # Forward-secret suites first, as clients do.
    common.sort(key=lambda code_point: "_ECDHE_" not in (suite_by_code_point(code_point) or _missing(code_point)).iana_name)
    return replace(shape, version=None, legacy=False, cipher_suites=(*tls13, *common)[:CHUNK])


def suite_questions(shape: HandshakeOffer, version: TlsVersion) -> list[Question]:
    """Return the questions that cover every suite at one version, in interleaved chunks, those with an ECDSA leaf apart."""
    suites = _offerable(version)
    if version <= TlsVersion.SSL_3_0:
        groups = [(True, suites)]
    else:
        modern = [suite for suite in suites if not _needs_legacy(suite)]
        # HAProxy picks its ECDSA certificate as soon as a hello holds any ECDSA suite, and then refuses what only its RSA one could serve.
        # Beside ECDSA suites that it does not offer, its RSA suites and their certificate would never be seen.
        ecdsa = [suite for suite in modern if suite.authentication is KeyType.ECDSA]
        groups = [
            (False, ecdsa),
            (False, [suite for suite in modern if suite not in ecdsa]),
            (True, [suite for suite in suites if _needs_legacy(suite)]),
        ]
    shapes = [(replace(shape, version=version, legacy=legacy), group) for legacy, group in groups]
    if version in MODERN_VERSIONS:
        shapes.append((replace(shape, version=version, hello_only=True), _nameable_only(version)))
    return [question for one, group in shapes for question in _chunks(one, group)]


def _chunks(shape: HandshakeOffer, suites: Sequence[CipherSuite]) -> list[Question]:
    count = -(-len(suites) // CHUNK)
    return [Question(offer=replace(shape, cipher_suites=tuple(suite.code_point for suite in suites[place::count]))) for place in range(count)]


def key_type_questions(tls13: KnownGood) -> list[Question]:
    """Return one question for each key type of TLS 1.3, where the signature schemes alone choose the certificate."""
    suites = tuple(suite.code_point for suite in _offerable(TlsVersion.TLS_1_3))
    return [
        Question(offer=replace(tls13.offer, key_type=key_type, cipher_suites=suites), once=True) for key_type in (KeyType.RSA, KeyType.ECDSA, KeyType.EDDSA)
    ]


def controls_for(question: Question, found: Sequence[KnownGood]) -> list[KnownGood]:
    """Return shapes to control a question with, the nearest to its own first.

    found: everything accepted so far. A suite found with one TLS library at TLS 1.2 or below is tried in the question's library
    too, because that hello differs from the question's in its version alone. Our own hellos can carry any suite, libraries not.
    """
    if question.offer.hello_only:
        found = [KnownGood(replace(good.offer, legacy=False, hello_only=True), good.suite) for good in found if _own_hello_can_carry(good)]
    else:
        found = [good for good in found if not good.offer.hello_only]
    same_library = [
        KnownGood(replace(good.offer, legacy=question.offer.legacy), good.suite)
        for good in found
        if good.offer.version is not None
        and TlsVersion.TLS_1_0 <= good.offer.version <= TlsVersion.TLS_1_2
        and not question.offer.hello_only
        and _library_knows(question.offer.legacy, good.suite)
    ]
    version = question.offer.version

    def distance(good: KnownGood) -> int:
        return 0 if good.offer.version is version else 1 if good.offer.version is None else 2

    ranked = [*sorted(same_library, key=distance)[:1], *sorted(found, key=distance)]
    # The suites of these offers are replaced by the question's own: shapes that differ in nothing else are one.
    return list(dict.fromkeys(KnownGood(replace(good.offer, cipher_suites=()), good.suite) for good in ranked))[:3]


def _offerable(version: TlsVersion) -> list[CipherSuite]:
    suites = [suite for suite in all_suites() if suite.openssl_name]
    if version is TlsVersion.TLS_1_3:
        return [suite for suite in suites if suite.is_tls13]
    if version is TlsVersion.SSL_2_0:
        return [suite for suite in suites if suite.is_ssl2]
    older = [suite for suite in suites if not suite.is_ssl2 and not suite.is_tls13 and (suite.authentication is not None or suite.is_anonymous)]
    if version is TlsVersion.TLS_1_2:
        return older
    return [suite for suite in older if not suite.iana_name.endswith(_SINCE_TLS12)]


def _nameable_only(version: TlsVersion) -> list[CipherSuite]:
    """Return the suites that have a name and that no TLS library of ours offers."""
    offerable = {suite.code_point for suite in _offerable(version)}
    wants_tls13 = version is TlsVersion.TLS_1_3
    return [suite for suite in all_suites() if suite.is_tls13 is wants_tls13 and not suite.is_ssl2 and suite.code_point not in offerable]


def _own_hello_can_carry(good: KnownGood) -> bool:
    return good.offer.version is None or good.offer.version >= TlsVersion.TLS_1_0


def _needs_legacy(suite: CipherSuite) -> bool:
    return suite.iana_name.startswith(_LEGACY_KEY_EXCHANGES) or any(cipher in suite.iana_name for cipher in _LEGACY_CIPHERS)


def _library_knows(legacy: bool, code_point: int) -> bool:
    """OpenSSL 1.0.2 has neither ChaCha20, CCM, ARIA nor Camellia with SHA-2; the modern one lacks what needs the legacy one."""
    suite = suite_by_code_point(code_point) or _missing(code_point)
    if not legacy:
        return not _needs_legacy(suite)
    newer = any(cipher in suite.iana_name for cipher in ("_CHACHA20_", "_CCM", "_ARIA_"))
    return not newer and not ("_CAMELLIA_" in suite.iana_name and suite.iana_name.endswith(("_SHA256", "_SHA384")))


def _missing(code_point: int) -> CipherSuite:
    raise LookupError(f"suite 0x{code_point:04X} was offered and is in no table")
