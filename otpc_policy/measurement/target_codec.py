"""What a measurement is about, as a message of the contract and back."""

from dataclasses import dataclass
from ipaddress import ip_address

from otpc_policy.core.endpoint import Endpoint, canonical_host, parse_endpoint
from otpc_policy.core.errors import FieldViolation, InvalidRequest
from otpc_policy.core.facts import Depth
from otpc_policy.core.registries.networks import unwrap
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import DEPTH


@dataclass(frozen=True, slots=True)
class RequestedTarget:
    """What a front asks an engine to measure. address: canonical, and not vetted by the engine."""

    endpoint: Endpoint
    address: str
    depth: Depth


def encode_target(endpoint: Endpoint, address: str, depth: Depth) -> pb.Target:
    """Return the message. address: as Resolve returned it."""
    return pb.Target(
        host=endpoint.host,
        port=endpoint.port,
        server_name=endpoint.server_name,
        address=address,
        depth=DEPTH.number[depth],
    )


def require_echo(echo: pb.Target, asked: pb.Target) -> None:
    """Raise EngineLied where a message is about something else than was asked."""
    is_same = (
        echo.address == asked.address
        and echo.host == asked.host
        and echo.port == asked.port
        and echo.server_name == asked.server_name
        and echo.depth == asked.depth
    )
    if not is_same:
        raise EngineLied("target: not the one that was asked about")


def decode_host(host: str) -> str:
    """Return a host in canonical form. Raises InvalidRequest."""
    try:
        if canonical_host(host) == host:
            return host
    except ValueError:
        pass
    raise InvalidRequest([FieldViolation("host", "is not a host in canonical form")])


def decode_target(message: pb.Target) -> RequestedTarget:
    """Return what a front asks for, canonical in every part. Raises InvalidRequest."""
    own_name = message.server_name == message.host
    endpoint = parse_endpoint(message.host, message.port, "" if own_name else message.server_name)
    canonical = (endpoint.host, endpoint.port, endpoint.server_name)
    sent = (message.host, message.port, message.server_name)
    if canonical != sent or _canonical_address(message.address) != message.address:
        raise InvalidRequest([FieldViolation("target", "is not in canonical form")])
    try:
        depth = DEPTH.member(message.depth)
    except EngineLied:
        raise InvalidRequest([FieldViolation("target.depth", "has no meaning here")]) from None
    return RequestedTarget(endpoint, message.address, depth)


def _canonical_address(text: str) -> str:
    try:
        return str(unwrap(ip_address(text)))
    except ValueError:
        raise InvalidRequest([FieldViolation("target.address", "is not an address")]) from None
