"""What a rule answers with: responses whose times are those of the question, and errors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc

from otpc_policy_client.errors import KINDS, CallError, ErrorDetails, Violation
from otpc_policy_client.v1 import policy_pb2 as pb

NO_RULE: Final = "NO_RULE_IN_TEST"
"""The finding of a request that no rule names. The service has no such code."""

Answer = Callable[[pb.CheckEndpointRequest], pb.CheckEndpointResponse]
"""Returns the response to a request, or raises a CallError."""

_DIGEST_BYTES: Final = 32
_TLS_1_2_AND_1_3: Final = (pb.TLS_VERSION_TLS_1_2, pb.TLS_VERSION_TLS_1_3)


def allow(
    *,
    addresses: Sequence[str] = ("192.0.2.1",),
    leaves: Sequence[bytes] = (bytes(_DIGEST_BYTES),),
    server_name: str = "",
    versions: Sequence[pb.TlsVersion.ValueType] = _TLS_1_2_AND_1_3,
    cipher_suites: Iterable[int] = (),
    for_s: float = 60.0,
) -> Answer:
    """Permit traffic. leaves: SHA-256 of each. server_name: empty for the one that was asked for.

    cipher_suites: code points; none for what the TLS library considers secure.
    """

    def answer(request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        response = _response(request, pb.DECISION_ALLOW, (), for_s)
        response.judged_addresses.extend(addresses)
        response.judged_certificates.extend(
            pb.JudgedCertificate(leaf_sha256=each) for each in leaves
        )
        response.connection_terms.server_name = server_name or request.server_name or request.host
        response.connection_terms.versions.extend(versions)
        response.connection_terms.cipher_suites.extend(cipher_suites)
        return response

    return answer


def deny(*codes: str, for_s: float = 60.0) -> Answer:
    """Deny, for findings with these codes."""
    return lambda request: _response(request, pb.DECISION_DENY, codes, for_s)


def indeterminate(*codes: str, for_s: float = 5.0, retry_after_s: float | None = None) -> Answer:
    """Answer that the endpoint could not be judged."""

    def answer(request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        response = _response(request, pb.DECISION_INDETERMINATE, codes, for_s)
        if retry_after_s is not None:
            response.retry_after.FromTimedelta(timedelta(seconds=retry_after_s))
        return response

    return answer


def in_progress(*, retry_after_s: float = 1.0) -> Answer:
    """Answer that the measurement goes on."""
    return indeterminate("CHECK_IN_PROGRESS", retry_after_s=retry_after_s)


def fail(
    status: grpc.StatusCode,
    text: str = "",
    *,
    reason: str = "",
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[Violation] = (),
    retry_after_s: float | None = None,
) -> Answer:
    """Fail with an error, as the service reports it."""
    details = ErrorDetails(
        reason=reason,
        metadata=dict(metadata or {}),
        violations=tuple(violations),
        retry_after_s=retry_after_s,
    )

    def answer(_: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        raise KINDS.get(status, CallError)(status, text, details)

    return answer


def _response(
    request: pb.CheckEndpointRequest,
    decision: pb.Decision.ValueType,
    codes: Iterable[str],
    for_s: float,
) -> pb.CheckEndpointResponse:
    host = f"[{request.host.strip('[]')}]" if ":" in request.host else request.host
    effect = pb.EFFECT_DENY if decision == pb.DECISION_DENY else pb.EFFECT_INDETERMINATE
    response = pb.CheckEndpointResponse(
        decision=decision,
        evaluated_decision=decision,
        findings=[pb.Finding(code=each, effect=effect) for each in codes],
        policy=pb.AppliedPolicy(name=request.policy or "policy-of-the-test", enforcing=True),
        canonical_endpoint=f"{host}:{request.port or 443}",
        perspective=request.perspective,
    )
    now = datetime.now(UTC)
    response.result_info.evaluation_time.FromDatetime(now)
    response.result_info.observation_time.FromDatetime(now)
    response.result_info.expire_time.FromDatetime(now + timedelta(seconds=for_s))
    return response
