"""What an answer lets a connection be. No IO; whatever an answer leaves open permits nothing."""

import ipaddress
import math
from dataclasses import dataclass
from datetime import UTC, datetime

from otpc_policy_client.errors import TrafficNotPermitted
from otpc_policy_client.v1 import policy_pb2 as pb

_DEFAULT_PORT = 443
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEndpoint:
    """Where to connect, and what the connection has to be.

    addresses: canonical IP addresses, not empty. server_name: DNS name or IP address.
    leaves: SHA-256 of each, not empty. versions: not empty. cipher_suites: code points; empty if
    the policies name none. answer: that says so. permits_report_only: as of permits_traffic.
    good_until_s: an instant of clock.elapsed_s at which the answer has expired for certain,
    whatever the wall clock says.
    """

    addresses: tuple[str, ...]
    port: int
    server_name: str
    leaves: frozenset[bytes]
    versions: frozenset[int]
    cipher_suites: frozenset[int]
    answer: pb.CheckEndpointResponse
    permits_report_only: bool = False
    good_until_s: float = math.inf


def permits_traffic(
    response: pb.CheckEndpointResponse,
    *,
    now: datetime | None = None,
    perspective: str = "",
    dangerously_permit_report_only: bool = False,
) -> bool:
    """Whether a response permits traffic at an instant (None: now).

    perspective: that was asked for, if one was. A service that is older than perspectives answers
    from its own place without a word.

    Nothing that is unset, unknown or expired does. It holds for connections that meet one of
    judged_certificates and keep to connection_terms.
    dangerously_permit_report_only: also what the rules of the policy that was asked for deny, where
    that policy is report-only and the service's minimum policy allows.
    """
    if (
        response.decision != pb.DECISION_ALLOW
        or not _is_from(perspective, response)
        or not _is_evaluated(response, dangerously_permit_report_only)
        or not response.judged_addresses
        or not response.result_info.HasField("expire_time")
    ):
        return False
    since = (now or datetime.now(UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    expire_time = response.result_info.expire_time
    return (since.days * 86_400 + since.seconds, since.microseconds * 1000) < (
        expire_time.seconds,
        expire_time.nanos,
    )


def _is_from(perspective: str, response: pb.CheckEndpointResponse) -> bool:
    return perspective in ("", response.perspective)


def _is_evaluated(response: pb.CheckEndpointResponse, permit_report_only: bool) -> bool:
    """Whether ALLOW is what the rules say, or what somebody else than the asker has chosen.

    Under a policy that enforces, the rules may still say DENY: those of a report-only policy that
    the operator has put in a partner's entry or made the minimum.
    """
    if response.evaluated_decision == pb.DECISION_ALLOW:
        return True
    is_chosen = response.policy.enforcing or permit_report_only
    return is_chosen and response.evaluated_decision == pb.DECISION_DENY


def judged_endpoint(
    answer: pb.CheckEndpointResponse,
    *,
    port: int,
    now: datetime | None = None,
    perspective: str = "",
    dangerously_permit_report_only: bool = False,
    good_until_s: float = math.inf,
) -> JudgedEndpoint:
    """Return what the answer permits. port: that was asked about; 0 means 443. now: None for now.

    perspective, dangerously_permit_report_only: as of permits_traffic. good_until_s: as of
    JudgedEndpoint.
    Raises TrafficNotPermitted, also if the service is older than this client and does not say what
    it judged.
    """
    if not _is_from(perspective, answer):
        raise TrafficNotPermitted(f"the answer is not from {perspective}", answer)
    if not permits_traffic(
        answer, now=now, dangerously_permit_report_only=dangerously_permit_report_only
    ):
        raise TrafficNotPermitted(_why_not(answer), answer)
    terms = answer.connection_terms
    leaves = frozenset(each.leaf_sha256 for each in answer.judged_certificates)
    if not leaves or any(len(leaf) != _DIGEST_BYTES for leaf in leaves):
        raise TrafficNotPermitted("the answer does not name the certificates it judged", answer)
    if not terms.server_name or not terms.versions:
        raise TrafficNotPermitted("the answer permits no version of TLS", answer)
    wanted_port = port or _DEFAULT_PORT
    if answer.canonical_endpoint.rpartition(":")[2] != str(wanted_port):
        raise TrafficNotPermitted(f"the answer is not about port {wanted_port}", answer)
    try:
        addresses = tuple(str(ipaddress.ip_address(each)) for each in answer.judged_addresses)
    except ValueError:
        raise TrafficNotPermitted("a judged address is no IP address", answer) from None
    return JudgedEndpoint(
        addresses=addresses,
        port=wanted_port,
        server_name=terms.server_name,
        leaves=leaves,
        versions=frozenset(terms.versions),
        cipher_suites=frozenset(terms.cipher_suites),
        answer=answer,
        permits_report_only=dangerously_permit_report_only,
        good_until_s=good_until_s,
    )


def _why_not(answer: pb.CheckEndpointResponse) -> str:
    known = pb.Decision.values()
    is_on_trial = not answer.policy.enforcing and answer.evaluated_decision == pb.DECISION_DENY
    if answer.decision == pb.DECISION_ALLOW and is_on_trial:
        denying = {each.code: None for each in answer.findings if each.effect == pb.EFFECT_DENY}
        named = f"{answer.policy.name or 'the policy'} is report-only, and its rules deny"
        return ": ".join(filter(None, (named, ", ".join(denying))))
    if answer.decision == pb.DECISION_ALLOW or answer.decision not in known:
        return "the answer is not a valid ALLOW, or has expired"
    decision = pb.Decision.Name(answer.decision).removeprefix("DECISION_")
    effects = {pb.EFFECT_DENY, pb.EFFECT_INDETERMINATE}
    codes = dict.fromkeys(each.code for each in answer.findings if each.effect in effects)
    return f"{decision}: {', '.join(codes)}" if codes else decision
