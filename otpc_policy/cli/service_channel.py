"""The channel of the command line to a running service.

The distribution otpc-policy-client has more: retries, a cache, connections as judged. A command
asks once and ends, and the service's distribution does not need the client's.
"""

import ipaddress
from typing import Final

import grpc

OPTIONS: Final = (
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
    machine. Raises ValueError for certificates and plain text together.
    """
    wants_tls = any((root_certificates, private_key, certificate_chain))
    if dangerously_plaintext and wants_tls:
        raise ValueError("certificates were given for a channel without TLS")
    if dangerously_plaintext or (not wants_tls and _is_loopback(target)):
        return None
    return grpc.ssl_channel_credentials(root_certificates, private_key, certificate_chain)


def open_channel(target: str, chosen: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Return a channel. chosen: None for plain text."""
    if chosen is None:
        return grpc.insecure_channel(target, OPTIONS)
    return grpc.secure_channel(target, chosen, OPTIONS)


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
