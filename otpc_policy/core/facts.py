"""What was observed at an endpoint: frozen values, no judgement.

Every fact that can be unproven has an explicit UNKNOWN. Nothing here says whether a fact is good.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Final

# Of what a measurement draws its clients and hellos from.
SEED_BYTES: Final = 16


class _Word(Enum):
    """An enum whose members hash by identity: they are single objects, and hashed often."""

    __hash__ = object.__hash__


class Support(_Word):
    """Whether a server offers something."""

    YES = "YES"
    NO = "NO"
    UNKNOWN = "UNKNOWN"


class Evidence(_Word):
    """What proves a Support. NONE goes with UNKNOWN and with nothing else."""

    NONE = "NONE"
    SERVER_HELLO = "SERVER_HELLO"
    ALERT = "ALERT"
    CLOSED_CONFIRMED = "CLOSED_CONFIRMED"
    LOWER_VERSION = "LOWER_VERSION"


class TlsVersion(IntEnum):
    """Protocol versions, ordered; the value is the number on the wire."""

    SSL_2_0 = 0x0002
    SSL_3_0 = 0x0300
    TLS_1_0 = 0x0301
    TLS_1_1 = 0x0302
    TLS_1_2 = 0x0303
    TLS_1_3 = 0x0304

    @property
    def label(self) -> str:
        """The name people use, such as "TLS 1.2"."""
        family, major, minor = self.name.split("_")
        return f"{family} {major}" if family == "SSL" else f"{family} {major}.{minor}"


class KeyType(_Word):
    """Key type of a leaf certificate."""

    RSA = "RSA"
    ECDSA = "ECDSA"
    EDDSA = "EDDSA"
    DSA = "DSA"
    OTHER = "OTHER"


class ClientAuth(_Word):
    """What the server asks of the client's certificate."""

    NONE = "NONE"
    REQUESTED = "REQUESTED"
    REQUIRED = "REQUIRED"
    UNKNOWN = "UNKNOWN"


class HttpService(_Word):
    """Whether HTTP answers inside TLS."""

    SERVED = "SERVED"
    NOT_SERVED = "NOT_SERVED"
    NOT_OBSERVABLE = "NOT_OBSERVABLE"
    UNKNOWN = "UNKNOWN"


class TlsService(_Word):
    """Whether the port speaks TLS.

    PLAINTEXT_HTTP: it answered a ClientHello with plain-text HTTP.
    """

    SERVED = "SERVED"
    PLAINTEXT_HTTP = "PLAINTEXT_HTTP"
    UNKNOWN = "UNKNOWN"


class Depth(_Word):
    """How much was measured."""

    STANDARD = "STANDARD"
    DEEP = "DEEP"


class Vulnerability(_Word):
    """Weaknesses that only a DEEP measurement can see."""

    HEARTBLEED = "HEARTBLEED"
    ROBOT = "ROBOT"
    CCS_INJECTION = "CCS_INJECTION"
    INSECURE_RENEGOTIATION = "INSECURE_RENEGOTIATION"
    COMPRESSION = "COMPRESSION"


class DeepCommand(Enum):
    """Scan commands of a DEEP measurement, in starting order; values are sslyze's names.

    The first five detect a Vulnerability each. The cipher suites are compared with the STANDARD
    facts. The others are shown in DeepFacts.
    """

    HEARTBLEED = "heartbleed"
    OPENSSL_CCS_INJECTION = "openssl_ccs_injection"
    ROBOT = "robot"
    SESSION_RENEGOTIATION = "session_renegotiation"
    TLS_COMPRESSION = "tls_compression"
    TLS_1_3_EARLY_DATA = "tls_1_3_early_data"
    TLS_FALLBACK_SCSV = "tls_fallback_scsv"
    TLS_EXTENDED_MASTER_SECRET = "tls_extended_master_secret"  # noqa: S105 - a name, no secret
    ELLIPTIC_CURVES = "elliptic_curves"
    TLS_1_3_CIPHER_SUITES = "tls_1_3_cipher_suites"
    TLS_1_2_CIPHER_SUITES = "tls_1_2_cipher_suites"
    TLS_1_1_CIPHER_SUITES = "tls_1_1_cipher_suites"
    TLS_1_0_CIPHER_SUITES = "tls_1_0_cipher_suites"
    SSL_3_0_CIPHER_SUITES = "ssl_3_0_cipher_suites"
    SSL_2_0_CIPHER_SUITES = "ssl_2_0_cipher_suites"


@dataclass(frozen=True, slots=True)
class VersionFact:
    """Whether one protocol version is offered."""

    version: TlsVersion
    support: Support
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherSuiteFact:
    """Whether one cipher suite is offered over one version.

    code_point: IANA number, such as 0xC02F; SSL 2 kinds have three bytes.
    handshake_completed: the peer proved possession of its key in a handshake with this suite.
    """

    version: TlsVersion
    code_point: int
    support: Support
    evidence: Evidence
    handshake_completed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentFact:
    """The chain presented to clients that accept one key type over one version.

    chain: DER, leaf first, as served in a completed handshake; empty unless support is YES.
    stapled_ocsp_response: DER of the OCSPResponse, or None if none was stapled.
    """

    version: TlsVersion
    key_type: KeyType
    support: Support
    evidence: Evidence
    chain: tuple[bytes, ...] = ()
    stapled_ocsp_response: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFact:
    """Whether key exchange over one group is accepted at TLS 1.3.

    code_point: IANA number, such as 0x001D. YES: the server asked for a key share of the group, or
    used one; whether it can complete the exchange is not tried.
    """

    code_point: int
    support: Support
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExchangeFact:
    """What the server chose for an ephemeral key exchange below TLS 1.3, and proved with its key.

    group: IANA number of the curve; None for a finite field, which has no name there.
    bits: of the prime, or of the curve. It is what our hellos were given: a client that offers
    other curves may be given another one.
    """

    version: TlsVersion
    group: int | None
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeFacts:
    """What the ServerHellos of TLS 1.2 say to hellos that offered it. No other evidence counts.

    extended_master_secret (RFC 7627), secure_renegotiation (RFC 5746): YES if every proven flight
    has it, NO if one lacks it. compression (RFC 3749): YES if a ServerHello chose it, over any
    version; NO if none did and a whole flight of a proven leaf was offered it.
    """

    extended_master_secret: Support = Support.UNKNOWN
    secure_renegotiation: Support = Support.UNKNOWN
    compression: Support = Support.UNKNOWN


@dataclass(frozen=True, slots=True)
class VulnerabilityFact:
    """Whether one vulnerability is present (YES), absent or not known. DEEP only."""

    vulnerability: Vulnerability
    present: Support


@dataclass(frozen=True, slots=True)
class CurveFact:
    """Whether key exchange over an elliptic curve is accepted.

    curve: its name in SEC 2 or an RFC, in lower case, such as "secp256r1".
    """

    curve: str
    support: Support


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepFacts:
    """What a DEEP measurement adds to the vulnerabilities.

    UNKNOWN where a command was not run or proves nothing.

    early_data: TLS 1.3 early data is accepted. secure_renegotiation: RFC 5746.
    client_renegotiation: a client may renegotiate without limit. contradictions: for people, where
    the two measurements disagree; those facts are UNKNOWN. connections_used, duration: of the DEEP
    part alone. remarks: for people, what kept it from completing.
    """

    early_data: Support = Support.UNKNOWN
    fallback_scsv: Support = Support.UNKNOWN
    extended_master_secret: Support = Support.UNKNOWN
    secure_renegotiation: Support = Support.UNKNOWN
    client_renegotiation: Support = Support.UNKNOWN
    curves: tuple[CurveFact, ...] = ()
    contradictions: tuple[str, ...] = ()
    connections_used: int = 0
    duration: timedelta = timedelta()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """A connection of a measurement, for people.

    purpose: what it was for. offered: what it sent. answer: what came back. proves: what that
    shows, together with all other steps. started_s: from the start of the measurement.
    """

    purpose: str
    offered: str
    answer: str
    proves: str
    started_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressFacts:
    """Everything measured at one address for one server name.

    reachable: whether TCP connects. With anything but YES all other facts are unknown or empty.
    versions: one entry for each TlsVersion that was asked about.
    cipher_suites: every suite that was offered, for every version that is offered.
    groups: every group that was asked about, in order of numbers; empty if groups were not asked
    about, or TLS 1.3 is not known to be offered.
    key_exchanges: at TLS 1.2 the curves that were chosen, and the smallest finite field.
    remarks: for people: what could not be observed and why, protocol violations.
    intolerances: for people: what the server does not tolerate, and how it was measured instead.
    trace: connection by connection.
    deep: None unless a DEEP measurement was carried out.
    probe_revision: of the probes that measured; empty in facts that were written by hand.
    seed: of what the measurement drew, 32 hexadecimal digits; empty if nothing was drawn.
    perspective: where it was measured from; empty in facts that were written by hand, or before
    perspectives had names.
    """

    address: str
    observed_at: datetime
    duration: timedelta
    connections_used: int
    depth: Depth
    reachable: Support
    tls: TlsService
    versions: tuple[VersionFact, ...] = ()
    cipher_suites: tuple[CipherSuiteFact, ...] = ()
    deployments: tuple[DeploymentFact, ...] = ()
    client_auth: ClientAuth = ClientAuth.UNKNOWN
    http: HttpService = HttpService.UNKNOWN
    vulnerabilities: tuple[VulnerabilityFact, ...] = ()
    remarks: tuple[str, ...] = ()
    intolerances: tuple[str, ...] = ()
    trace: tuple[TraceStep, ...] = ()
    deep: DeepFacts | None = None
    probe_revision: str = ""
    seed: str = ""
    groups: tuple[GroupFact, ...] = ()
    key_exchanges: tuple[KeyExchangeFact, ...] = ()
    handshake: HandshakeFacts = HandshakeFacts()
    perspective: str = ""

    def version(self, version: TlsVersion) -> VersionFact:
        """Return the fact about a version; unknown where it was not asked about."""
        for fact in self.versions:
            if fact.version is version:
                return fact
        return VersionFact(version, Support.UNKNOWN, Evidence.NONE)


class ResolutionStatus(_Word):
    """How turning the host into addresses ended."""

    RESOLVED = "RESOLVED"
    FAILED = "FAILED"
    FORBIDDEN = "FORBIDDEN"


class ResolutionFailure(_Word):
    """Why DNS gave no address, wholly or in part.

    NONE: it did not fail, or nobody wrote down why. NXDOMAIN: the name does not exist. NODATA: it
    exists and has no address. SERVFAIL, REFUSED: the name server's own words. TIMEOUT: no answer in
    time. OTHER: no name server could be reached, or its answer made no sense.
    """

    NONE = "NONE"
    NXDOMAIN = "NXDOMAIN"
    NODATA = "NODATA"
    SERVFAIL = "SERVFAIL"
    REFUSED = "REFUSED"
    TIMEOUT = "TIMEOUT"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class ForbiddenAddress:
    """An address that may not be dialled. reason: for people, with the name of the range."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnmeasuredAddress:
    """An address that belongs to the endpoint and was not measured. reason: for people."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFacts:
    """Everything known about an endpoint, ready to be judged.

    addresses: measured, one each. unmeasured: belong to the endpoint and are unknown (not measured
    in time, a ninth address). omitted_families: address families left out because this machine has
    no route, such as "IPv6"; advisory only. forbidden: not empty only with status FORBIDDEN.
    resolution_failure: why DNS gave no addresses, or not all. unresolved_families: those that it
    gave nothing for, for that reason. resolution_is_stale: addresses are those of an earlier
    answer.
    """

    host: str
    port: int
    server_name: str
    depth: Depth
    resolution: ResolutionStatus
    addresses: tuple[AddressFacts, ...] = ()
    unmeasured: tuple[UnmeasuredAddress, ...] = ()
    omitted_families: tuple[str, ...] = ()
    forbidden: tuple[ForbiddenAddress, ...] = ()
    resolution_failure: ResolutionFailure = ResolutionFailure.NONE
    unresolved_families: tuple[str, ...] = ()
    resolution_is_stale: bool = False
