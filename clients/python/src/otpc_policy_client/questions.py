"""Every method of the service as a question: its request, and how to read the response.

Both clients put the same questions, and differ only in how they wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypedDict, TypeVar

from google.protobuf.message import Message

from otpc_policy_client.error_details import item_error
from otpc_policy_client.errors import CallError
from otpc_policy_client.requests import check_request, own, validate_request
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import Verdict, verdict_of

T = TypeVar("T")
# More pages than any list has: a server that never ends a list does not keep us.
MAX_PAGES = 1_000


class CheckFields(TypedDict, total=False):
    """Fields of a request about an endpoint, as of check_request."""

    port: int
    policy: str
    server_name: str
    freshness: pb.Freshness | None
    view: pb.View.ValueType
    depth: pb.ScanDepth.ValueType
    observed_leaf_sha256: bytes
    perspective: str


class ValidateFields(TypedDict, total=False):
    """Fields of a request about a chain, as of validate_request."""

    server_name: str
    policy: str
    validation_time: datetime | None
    trust_anchors: Sequence[bytes]
    view: pb.View.ValueType


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What to call, and what its response means. read: response, and when it was asked for."""

    method: str
    request: Message
    read: Callable[[Any, float], T]


def with_port(fields: CheckFields, port: int) -> CheckFields:
    """Return fields with another port."""
    changed = fields.copy()
    changed["port"] = port
    return changed


def request_of(endpoint: str | Message, fields: CheckFields) -> pb.CheckEndpointRequest:
    """Return a request of its own for an endpoint: a host with fields, or a request without."""
    if isinstance(endpoint, str):
        return check_request(endpoint, **fields)
    if fields:
        raise TypeError(f"a request has these itself: {', '.join(sorted(fields))}")
    return own(endpoint, pb.CheckEndpointRequest)


def checking(request: pb.CheckEndpointRequest) -> Question[Verdict]:
    """Ask about an endpoint."""
    return Question(
        "CheckEndpoint",
        request,
        lambda response, asked_at_s: verdict_of(
            response, asked_at_s=asked_at_s, perspective=request.perspective
        ),
    )


def checking_batch(requests: Sequence[Message]) -> Question[tuple[Verdict | CallError, ...]]:
    """Ask about 1 to 100 endpoints."""
    batch = pb.BatchCheckEndpointsRequest(
        requests=[own(each, pb.CheckEndpointRequest) for each in requests]
    )

    def read(
        response: pb.BatchCheckEndpointsResponse, asked_at_s: float
    ) -> tuple[Verdict | CallError, ...]:
        by_index = {each.request_index: each for each in response.results}
        return tuple(
            _outcome(by_index.get(index, pb.BatchCheckEndpointsResult()), item, asked_at_s)
            for index, item in enumerate(batch.requests)
        )

    return Question("BatchCheckEndpoints", batch, read)


def _outcome(
    result: pb.BatchCheckEndpointsResult, item: pb.CheckEndpointRequest, asked_at_s: float
) -> Verdict | CallError:
    """Return the outcome of an item. An item without any has a verdict that permits nothing."""
    if result.HasField("error"):
        return item_error(result.error)
    return verdict_of(result.response, asked_at_s=asked_at_s, perspective=item.perspective)


def validating(
    chain: str | Sequence[bytes] | Message, fields: ValidateFields
) -> Question[pb.ValidateCertificateResponse]:
    """Ask about a chain: PEM text, DER certificates, or a request."""
    if isinstance(chain, Message):
        if fields:
            raise TypeError(f"a request has these itself: {', '.join(sorted(fields))}")
        request = own(chain, pb.ValidateCertificateRequest)
    else:
        request = validate_request(chain, **fields)
    return Question("ValidateCertificate", request, lambda response, _: response)


def getting_policy(name: str) -> Question[pb.Policy]:
    """Ask for a policy."""
    return Question("GetPolicy", pb.GetPolicyRequest(name=name), lambda found, _: found.policy)


def listing_policies(token: str) -> Question[pb.ListPoliciesResponse]:
    """Ask for a page of policies."""
    return Question(
        "ListPolicies", pb.ListPoliciesRequest(page_token=token), lambda response, _: response
    )


def listing_watched(token: str, partner_id: str) -> Question[pb.ListWatchedResponse]:
    """Ask for a page of watched endpoints."""
    return Question(
        "ListWatched",
        pb.ListWatchedRequest(page_token=token, partner_id=partner_id),
        lambda response, _: response,
    )
