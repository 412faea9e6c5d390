"""How a client reaches the service: retries, keepalive, credentials."""

import ipaddress
import json

import grpc

from otpc_policy.v1 import policy_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["PolicyCheckService"].full_name
# Every method is safe to repeat, and UNAVAILABLE means that another replica may answer.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": _SERVICE}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
# Must be longer than the server's minimum ping interval, or it answers GOAWAY too_many_pings.
KEEPALIVE_TIME_S = 30
OPTIONS = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_S * 1000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A hundred answers in the FULL view pass gRPC's own limit of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


def credentials(
    target: str,
    root_certificates: bytes | None,
    private_key: bytes | None,
    certificate_chain: bytes | None,
    *,
    dangerously_plaintext: bool,
) -> grpc.ChannelCredentials | None:
    """Return credentials for TLS, or None for plain text.

    Plain text only if the caller demands it or, without certificates, if the target is this
    machine.
    """
    wants_tls = any((root_certificates, private_key, certificate_chain))
    if dangerously_plaintext and wants_tls:
        raise ValueError("certificates were given for a channel without TLS")
    if dangerously_plaintext or (not wants_tls and _is_loopback(target)):
        return None
    return grpc.ssl_channel_credentials(root_certificates, private_key, certificate_chain)


def _is_loopback(target: str) -> bool:
    scheme, _, rest = target.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return True
    address = rest if scheme in ("dns", "ipv4", "ipv6") else target
    host = address.rpartition("/")[2].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
