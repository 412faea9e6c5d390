"""How a client reaches the service: balancing, keepalive, credentials."""

import ipaddress
import json
from collections.abc import Sequence
from typing import Any

import grpc

# Without a retryPolicy: how often a call is made is decided in attempts.py alone.
_SERVICE_CONFIG: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
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


Options = Sequence[tuple[str, Any]]


def options(given: Options) -> list[tuple[str, Any]]:
    """Return channel options; those that are given take the place of ours."""
    names = {name for name, _ in given}
    return [*((name, value) for name, value in OPTIONS if name not in names), *given]


def credentials(
    target: str,
    root_certificates: bytes | None,
    private_key: bytes | None,
    certificate_chain: bytes | None,
    *,
    channel_credentials: grpc.ChannelCredentials | None = None,
    dangerously_plaintext: bool,
) -> grpc.ChannelCredentials | None:
    """Return credentials for TLS, or None for plain text. channel_credentials: made already.

    Plain text only if the caller demands it or, without certificates, if the target is this
    machine.
    """
    wants_tls = any((root_certificates, private_key, certificate_chain))
    if channel_credentials is not None:
        if wants_tls or dangerously_plaintext:
            raise ValueError("channel_credentials stand in place of certificates and of plain text")
        return channel_credentials
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
