"""The gRPC server: its options, its port, and the error message if the port is unavailable."""

import resource
import socket
from collections.abc import Sequence

import grpc

from otpc_policy.app.settings import Settings, split_address
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.audit.trail import EventLog
from otpc_policy.ops.credentials import CredentialsObserver, server_credentials
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.interceptors.request_size import MAX_RECEIVED_BYTES

# gRPC clients may set a keepalive of 10 s or more; with a higher limit they would get GOAWAY
# too_many_pings.
_MIN_CLIENT_PING_INTERVAL_MS = 5_000
# What connects and does not finish its handshake holds 22 KiB, for two minutes by default.
_HANDSHAKE_MS = 10_000
# A caller that vanishes without closing its connection is noticed within a minute and a half.
_PING_INTERVAL_MS = 60_000
_PING_TIMEOUT_MS = 20_000
# Calls that wait until the event loop takes them, at 13 KiB each. By default gRPC drops some calls
# beyond a thousand and every call beyond three thousand; the caller sees a bare CANCELLED. Every
# call should get a status of ours, so this only bounds memory. (grpc#34782; core/server/server.cc)
_WAITING_CALLS = 10_000
# By default gRPC also cancels calls that have waited for half a minute. The caller's deadline
# decides how long is too long, so this is a day.
_LONGEST_WAIT_S = 86_400


def own_credentials(
    settings: Settings,
    *,
    observer: CredentialsObserver | None = None,
    events: EventLog | None = None,
) -> grpc.ServerCredentials | None:
    """Return the credentials of the listener; None for plain text.

    observer, events: are told of rotations.
    Raises ConfigurationError with every file that cannot be used.
    """
    return server_credentials(
        settings.tls_certificate_file,
        settings.tls_key_file,
        settings.tls_client_ca_file,
        observer=observer,
        events=events,
    )


def build_server(settings: Settings, interceptor: CallInterceptor) -> grpc.aio.Server:
    """Return a server without services or a port. Needs a running event loop.

    The limit of open files must have been set.
    """
    return grpc.aio.server(interceptors=(interceptor,), options=_options(settings))


def _options(settings: Settings) -> Sequence[tuple[str, int]]:
    return (
        # On by default: a second server would silently share the port.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_CLIENT_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", _PING_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_allowed_incoming_connections", _most_connections(settings)),
        # More than any caller's share. Refusals are in nobody's share, and wait like answers where
        # a caller does not even read its socket.
        ("grpc.max_concurrent_streams", settings.shares.open_calls),
        ("grpc.server.max_pending_requests", _WAITING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _WAITING_CALLS),
        ("grpc.server_max_unrequested_time_in_server", _LONGEST_WAIT_S),
        ("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1000)),
        # A call that waits for a measurement outlives its connection's age by no more than this.
        (
            "grpc.max_connection_age_grace_ms",
            int(connection_age_grace_s(settings) * 1000),
        ),
    )


def _most_connections(settings: Settings) -> int:
    """Return how many callers may be connected: the others' files are for engines and logs."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return settings.max_connections
    return min(settings.max_connections, allowed // 2)


def connection_age_grace_s(settings: Settings) -> float:
    """Return for how long calls go on over a connection that has reached its greatest age."""
    return settings.default_wait_s + settings.scan.scan_deadline_s


def bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    """Bind the port and return the address with the port number chosen.

    Raises ConfigurationError.
    """
    host, port = split_address(listen)
    try:
        taken = (
            server.add_insecure_port(listen)
            if credentials is None
            else server.add_secure_port(listen, credentials)
        )
    except RuntimeError:
        raise ConfigurationError(
            [f"listen: cannot listen on {listen}: {_why_not(host, port)}"]
        ) from None
    return address_text(host, taken)


def address_text(host: str, port: int) -> str:
    """Return "host:port", IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _why_not(host: str, port: int) -> str:
    """Ask the system for the reason: gRPC reports only that binding failed."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return error.strerror or "the address cannot be used"
    return "the address cannot be used"
