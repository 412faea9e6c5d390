"""Answers built by hand, for tests of how they are shown."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.v1 import policy_pb2 as pb

REMEDY = (
    "Switch the versions off.\nnginx:\n ssl_protocols TLSv1.2 TLSv1.3;\nJava:\n"
    " jdk.tls.disabledAlgorithms=TLSv1, TLSv1.1"
)


def instant(text: str) -> Timestamp:
    """Return "2025-01-02 03:04:05" as a Timestamp."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
    return stamp


def finding(
    code: str = "TLS_VERSION_BELOW_MINIMUM",
    effect: pb.Effect.ValueType = pb.EFFECT_DENY,
    **fields: object,
) -> pb.Finding:
    """Return a finding with a message and a remedy."""
    result = pb.Finding(
        code=code,
        effect=effect,
        severity=pb.SEVERITY_HIGH,
        rule_id="tls.minimum_version",
        message="TLS 1.0 is offered; TLS 1.2 or 1.3 is required, and nothing below it.",
        remediation=REMEDY,
    )
    result.MergeFrom(pb.Finding(**fields))  # type: ignore[arg-type]  # any field of the message
    return result


def certificate(**fields: object) -> pb.CertificateObservation:
    """Return a leaf that is valid on the day of check_response."""
    result = pb.CertificateObservation(
        der=b"\x30\x00",
        sha256="ab" * 32,
        spki_sha256="cd" * 32,
        subject="CN=pay.partner.test",
        issuer="CN=Example Root",
        serial_number="0a",
        not_before_time=instant("2025-01-01 00:00:00"),
        not_after_time=instant("2025-04-01 00:00:00"),
        subject_alt_names=["pay.partner.test", "api.partner.test"],
        public_key="EC secp256r1 256",
        signature_algorithm="ecdsa-with-SHA256",
    )
    result.MergeFrom(pb.CertificateObservation(**fields))  # type: ignore[arg-type]  # any field of the message
    return result


def address(**fields: object) -> pb.AddressObservation:
    """Return what a server with one suite and two versions shows."""
    result = pb.AddressObservation(
        address="192.0.2.7",
        reachable=pb.SUPPORT_YES,
        protocols=[
            pb.ProtocolObservation(version=pb.TLS_VERSION_SSL_3_0, support=pb.SUPPORT_UNKNOWN),
            pb.ProtocolObservation(
                version=pb.TLS_VERSION_TLS_1_0, support=pb.SUPPORT_NO, evidence=pb.EVIDENCE_ALERT
            ),
            pb.ProtocolObservation(
                version=pb.TLS_VERSION_TLS_1_2,
                support=pb.SUPPORT_YES,
                evidence=pb.EVIDENCE_SERVER_HELLO,
            ),
        ],
        cipher_suites=[
            _suite(
                0xC02B,
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                pb.SUPPORT_YES,
                completed=True,
            ),
            _suite(
                0xC02C,
                "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
                pb.SUPPORT_NO,
            ),
            _suite(0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "", pb.SUPPORT_UNKNOWN),
        ],
        certificate_deployments=[
            pb.CertificateDeployment(
                version=pb.TLS_VERSION_TLS_1_2,
                key_type=pb.KEY_TYPE_ECDSA,
                support=pb.SUPPORT_YES,
                certificates=[certificate()],
            )
        ],
        client_auth=pb.CLIENT_AUTH_NONE,
        http=pb.HTTP_SERVICE_SERVED,
        connections_used=12,
        duration=Duration(nanos=230_000_000),
    )
    result.MergeFrom(pb.AddressObservation(**fields))  # type: ignore[arg-type]  # any field of the message
    return result


def check_response(
    decision: pb.Decision.ValueType = pb.DECISION_DENY, **fields: object
) -> pb.CheckEndpointResponse:
    """Return a whole answer in the FULL view."""
    result = pb.CheckEndpointResponse(
        decision=decision,
        evaluated_decision=decision,
        policy=pb.AppliedPolicy(
            name="otpc-2024-12", revision="0123456789abcdef" * 4, enforcing=True
        ),
        result_info=pb.ResultInfo(
            observation_time=instant("2025-01-31 12:00:00"),
            evaluation_time=instant("2025-01-31 12:00:01"),
            expire_time=instant("2025-01-31 12:05:00"),
            source=pb.RESULT_SOURCE_CACHE,
            check_id="c1",
        ),
        canonical_endpoint="pay.partner.test:443",
        judged_addresses=["192.0.2.7", "2001:db8::7"],
        observation=pb.EndpointObservation(
            canonical_host="pay.partner.test", port=443, addresses=[address()]
        ),
    )
    result.MergeFrom(pb.CheckEndpointResponse(**fields))  # type: ignore[arg-type]  # any field of the message
    return result


def _suite(
    code_point: int,
    iana_name: str,
    openssl_name: str,
    support: pb.Support.ValueType,
    *,
    completed: bool = False,
) -> pb.CipherSuiteObservation:
    return pb.CipherSuiteObservation(
        version=pb.TLS_VERSION_TLS_1_2,
        code_point=code_point,
        iana_name=iana_name,
        openssl_name=openssl_name,
        support=support,
        handshake_completed=completed,
    )
