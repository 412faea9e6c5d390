"""Requests as the contract has them, from arguments."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.message import Message

from otpc_policy_client.errors import NotAsJudged
from otpc_policy_client.v1 import policy_pb2 as pb

M = TypeVar("M", bound=Message)


def own(message: Message, kind: type[M]) -> M:
    """Return a message as one of this client's, always another object.

    Messages of other stubs of the contract are taken by their bytes: those of the service, or those
    that somebody generated. Raises TypeError for another message.
    """
    if message.DESCRIPTOR.name != kind.DESCRIPTOR.name:
        raise TypeError(f"{message.DESCRIPTOR.full_name} is not a {kind.DESCRIPTOR.name}")
    return kind.FromString(message.SerializeToString())


def check_request(
    host: str,
    *,
    port: int = 0,
    policy: str = "",
    server_name: str = "",
    freshness: pb.Freshness | None = None,
    view: pb.View.ValueType = pb.VIEW_BASIC,
    depth: pb.ScanDepth.ValueType = pb.SCAN_DEPTH_STANDARD,
    observed_leaf_sha256: bytes = b"",
    perspective: str = "",
) -> pb.CheckEndpointRequest:
    """Return a request about an endpoint.

    port: 0 means 443. policy: empty means the default. observed_leaf_sha256: to report a leaf that
    was not among those judged: the 32 bytes of the SHA-256 of its DER. perspective: the place on
    the network to judge from; empty means the service's default. See permits_traffic.
    """
    return pb.CheckEndpointRequest(
        host=host,
        port=port,
        policy=policy,
        server_name=server_name,
        freshness=None if freshness is None else own(freshness, pb.Freshness),
        view=view,
        depth=depth,
        observed_leaf_sha256=observed_leaf_sha256,
        perspective=perspective,
    )


def validate_request(
    chain: str | Sequence[bytes],
    *,
    server_name: str = "",
    policy: str = "",
    validation_time: datetime | None = None,
    trust_anchors: Sequence[bytes] = (),
    view: pb.View.ValueType = pb.VIEW_BASIC,
) -> pb.ValidateCertificateRequest:
    """Return a request about a chain.

    chain: PEM text, or DER certificates, leaf first. validation_time: aware; None for now.
    """
    request = pb.ValidateCertificateRequest(
        policy=policy, server_name=server_name, trust_anchors=trust_anchors, view=view
    )
    if isinstance(chain, str):
        request.pem_bundle = chain
    else:
        request.der_chain.certificates.extend(chain)
    if validation_time is not None:
        request.validation_time.FromDatetime(validation_time.astimezone(UTC))
    return request


def reporting(request: pb.CheckEndpointRequest, difference: NotAsJudged) -> pb.CheckEndpointRequest:
    """Return the request with a report of the leaf; raise the difference if it is another."""
    if not difference.observed_leaf_sha256:
        raise difference
    report = pb.CheckEndpointRequest()
    report.CopyFrom(request)
    report.observed_leaf_sha256 = difference.observed_leaf_sha256
    return report
