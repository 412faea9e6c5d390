"""The enums of the core and the contract's values for them."""

from collections.abc import Mapping

from otpc_policy.check.freshness import FreshnessMode
from otpc_policy.check.values import ResultSource
from otpc_policy.core import facts
from otpc_policy.policy import finding
from otpc_policy.v1 import policy_pb2 as pb

DECISIONS: Mapping[finding.Decision, pb.Decision.ValueType] = {
    finding.Decision.ALLOW: pb.DECISION_ALLOW,
    finding.Decision.DENY: pb.DECISION_DENY,
    finding.Decision.INDETERMINATE: pb.DECISION_INDETERMINATE,
}
# Only policy documents have OFF; GetPolicy shows it as EFFECT_UNSPECIFIED.
EFFECTS: Mapping[finding.Effect, pb.Effect.ValueType] = {
    finding.Effect.OFF: pb.EFFECT_UNSPECIFIED,
    finding.Effect.ADVISORY: pb.EFFECT_ADVISORY,
    finding.Effect.DENY: pb.EFFECT_DENY,
    finding.Effect.INDETERMINATE: pb.EFFECT_INDETERMINATE,
    finding.Effect.WAIVED: pb.EFFECT_WAIVED,
}
SEVERITIES: Mapping[finding.Severity, pb.Severity.ValueType] = {
    finding.Severity.INFO: pb.SEVERITY_INFO,
    finding.Severity.LOW: pb.SEVERITY_LOW,
    finding.Severity.MEDIUM: pb.SEVERITY_MEDIUM,
    finding.Severity.HIGH: pb.SEVERITY_HIGH,
    finding.Severity.CRITICAL: pb.SEVERITY_CRITICAL,
}
# By whether the certificate is revoked; None: not proven.
REVOCATION_STATUSES: Mapping[bool | None, pb.RevocationStatus.ValueType] = {
    False: pb.REVOCATION_STATUS_NOT_REVOKED,
    True: pb.REVOCATION_STATUS_REVOKED,
    None: pb.REVOCATION_STATUS_UNKNOWN,
}
REVOCATION_SOURCES: Mapping[finding.RevocationSource | None, pb.RevocationSource.ValueType] = {
    finding.RevocationSource.STAPLE: pb.REVOCATION_SOURCE_STAPLE,
    finding.RevocationSource.CRL: pb.REVOCATION_SOURCE_CRL,
    None: pb.REVOCATION_SOURCE_UNSPECIFIED,
}
SUPPORTS: Mapping[facts.Support, pb.Support.ValueType] = {
    facts.Support.YES: pb.SUPPORT_YES,
    facts.Support.NO: pb.SUPPORT_NO,
    facts.Support.UNKNOWN: pb.SUPPORT_UNKNOWN,
}
EVIDENCES: Mapping[facts.Evidence, pb.Evidence.ValueType] = {
    facts.Evidence.NONE: pb.EVIDENCE_UNSPECIFIED,
    facts.Evidence.SERVER_HELLO: pb.EVIDENCE_SERVER_HELLO,
    facts.Evidence.ALERT: pb.EVIDENCE_ALERT,
    facts.Evidence.CLOSED_CONFIRMED: pb.EVIDENCE_CLOSED_CONFIRMED,
    facts.Evidence.LOWER_VERSION: pb.EVIDENCE_LOWER_VERSION,
}
VERSIONS: Mapping[facts.TlsVersion, pb.TlsVersion.ValueType] = {
    facts.TlsVersion.SSL_2_0: pb.TLS_VERSION_SSL_2_0,
    facts.TlsVersion.SSL_3_0: pb.TLS_VERSION_SSL_3_0,
    facts.TlsVersion.TLS_1_0: pb.TLS_VERSION_TLS_1_0,
    facts.TlsVersion.TLS_1_1: pb.TLS_VERSION_TLS_1_1,
    facts.TlsVersion.TLS_1_2: pb.TLS_VERSION_TLS_1_2,
    facts.TlsVersion.TLS_1_3: pb.TLS_VERSION_TLS_1_3,
}
KEY_TYPES: Mapping[facts.KeyType, pb.KeyType.ValueType] = {
    facts.KeyType.RSA: pb.KEY_TYPE_RSA,
    facts.KeyType.ECDSA: pb.KEY_TYPE_ECDSA,
    facts.KeyType.EDDSA: pb.KEY_TYPE_EDDSA,
    facts.KeyType.DSA: pb.KEY_TYPE_DSA,
    facts.KeyType.OTHER: pb.KEY_TYPE_OTHER,
}
CLIENT_AUTHS: Mapping[facts.ClientAuth, pb.ClientAuth.ValueType] = {
    facts.ClientAuth.NONE: pb.CLIENT_AUTH_NONE,
    facts.ClientAuth.REQUESTED: pb.CLIENT_AUTH_REQUESTED,
    facts.ClientAuth.REQUIRED: pb.CLIENT_AUTH_REQUIRED,
    facts.ClientAuth.UNKNOWN: pb.CLIENT_AUTH_UNKNOWN,
}
HTTP_SERVICES: Mapping[facts.HttpService, pb.HttpService.ValueType] = {
    facts.HttpService.SERVED: pb.HTTP_SERVICE_SERVED,
    facts.HttpService.NOT_SERVED: pb.HTTP_SERVICE_NOT_SERVED,
    facts.HttpService.NOT_OBSERVABLE: pb.HTTP_SERVICE_NOT_OBSERVABLE,
    facts.HttpService.UNKNOWN: pb.HTTP_SERVICE_UNKNOWN,
}
DEPTHS: Mapping[pb.ScanDepth.ValueType, facts.Depth] = {
    pb.SCAN_DEPTH_UNSPECIFIED: facts.Depth.STANDARD,
    pb.SCAN_DEPTH_STANDARD: facts.Depth.STANDARD,
    pb.SCAN_DEPTH_DEEP: facts.Depth.DEEP,
}
FRESHNESS_MODES: Mapping[pb.FreshnessMode.ValueType, FreshnessMode] = {
    pb.FRESHNESS_MODE_UNSPECIFIED: FreshnessMode.CACHE_FIRST,
    pb.FRESHNESS_MODE_CACHE_FIRST: FreshnessMode.CACHE_FIRST,
    pb.FRESHNESS_MODE_CACHE_ONLY: FreshnessMode.CACHE_ONLY,
    pb.FRESHNESS_MODE_REFRESH: FreshnessMode.REFRESH,
}
SOURCES: Mapping[ResultSource, pb.ResultSource.ValueType] = {
    ResultSource.NONE: pb.RESULT_SOURCE_UNSPECIFIED,
    ResultSource.MEASURED: pb.RESULT_SOURCE_MEASURED,
    ResultSource.SHARED: pb.RESULT_SOURCE_SHARED,
    ResultSource.CACHE: pb.RESULT_SOURCE_CACHE,
    ResultSource.STALE_CACHE: pb.RESULT_SOURCE_STALE_CACHE,
    ResultSource.REQUEST: pb.RESULT_SOURCE_REQUEST,
}
