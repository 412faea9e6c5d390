"""Where an engine listens: a Unix socket, or TCP with mutual TLS; and the options of its server."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.measurement.limits import MAX_MESSAGE_BYTES

UNIX: Final = "unix:"
# A Unix socket's path has 107 bytes at most (unix(7)).
_MAX_PATH_BYTES: Final = 107
# A start holds a target and a thousand code points.
_RECEIVE_BYTES: Final = 32 * 1024
# Below the 20 s of a front's keepalive, or it would get GOAWAY too_many_pings.
_MIN_PING_INTERVAL_MS: Final = 5_000
# Calls that wait until the loop takes them; gRPC would cancel some beyond a thousand without a
# word (grpc#34782).
_WAITING_CALLS: Final = 10_000
# The same for calls that waited half a minute: the front's deadline decides how long is too long.
_LONGEST_WAIT_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTls:
    """Files of the engine's own certificate, its key, and the CAs of fronts (PEM)."""

    certificate_file: Path
    key_file: Path
    client_ca_file: Path


def server_options() -> Sequence[tuple[str, int]]:
    """Return the options of an engine's gRPC server."""
    return (
        # On by default: a second server would share the port without a word.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", _RECEIVE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.server.max_pending_requests", _WAITING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _WAITING_CALLS),
        ("grpc.server_max_unrequested_time_in_server", _LONGEST_WAIT_S),
    )


def bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    """Take the address, and return it with the port that was taken. Raises ConfigurationError.

    listen: "unix:/path", which only the user of this process may connect to, or "host:port".
    credentials: None for a Unix socket, or for plain text.
    """
    if listen.startswith(UNIX):
        _bind_unix(server, listen)
        return listen
    try:
        if credentials is None:
            port = server.add_insecure_port(listen)
        else:
            port = server.add_secure_port(listen, credentials)
    except RuntimeError:
        raise ConfigurationError([f"--listen: cannot listen on {listen}"]) from None
    return f"{listen.rpartition(':')[0]}:{port}"


def _bind_unix(server: grpc.aio.Server, listen: str) -> None:
    path = listen.removeprefix(UNIX)
    if not path.startswith("/") or len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise ConfigurationError(
            [f"--listen: {path}: must be an absolute path of {_MAX_PATH_BYTES} bytes at most"]
        )
    if _is_listening(path):
        # gRPC would take the path from it without a word, and whichever ends first removes it.
        raise ConfigurationError([f"--listen: {path}: another engine listens there"])
    former = os.umask(0o177)
    try:
        server.add_insecure_port(listen)
    except RuntimeError:
        raise ConfigurationError([f"--listen: cannot listen on {listen}"]) from None
    finally:
        os.umask(former)


def _is_listening(path: str) -> bool:
    """Tell whether some process listens; what one left that was killed is only a file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        try:
            # A queue that is full is somebody's as well, and must not hold up the start.
            attempt.setblocking(False)
            attempt.connect(path)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True
