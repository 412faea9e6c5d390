"""Requests: proto to values. Every violation is reported at once; what is returned is valid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeVar

from google.protobuf.message import DecodeError

from otpc_policy.check.freshness import Freshness
from otpc_policy.check.values import ChainRequest, CheckRequest
from otpc_policy.core.endpoint import Endpoint, canonical_host, parse_endpoint
from otpc_policy.core.errors import FieldViolation, InvalidRequest, MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, WorkBudget
from otpc_policy.pki.certificate import read_certificate
from otpc_policy.pki.pem import read_pem_bundle
from otpc_policy.rpc.convert.times import read_duration, read_timestamp
from otpc_policy.rpc.convert.vocabulary import DEPTHS, FRESHNESS_MODES
from otpc_policy.v1 import policy_pb2 as pb

MAX_CERTIFICATES = 64
MAX_ANCHORS = 16
MAX_CHAIN_BYTES = 256 * 1024
# To check that anchors are certificates, in units of otpc_policy.pki.budget.
# Sixteen ordinary ones cost 3,000.
_ANCHOR_UNITS = 5_000
MAX_BATCH = 100
MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 50
# A request with the longest host and server name takes about 600 bytes. Callers repeat themselves,
# so the values of short requests are cached.
_SHORT_REQUEST_BYTES = 1024
_CACHED_REQUESTS = 4096

# Of SHA-256.
_DIGEST_BYTES = 32

_Number = TypeVar("_Number", bound=int)
_Value = TypeVar("_Value")

_VIEWS: Mapping[pb.View.ValueType, pb.View.ValueType] = {
    pb.VIEW_UNSPECIFIED: pb.VIEW_BASIC,
    pb.VIEW_BASIC: pb.VIEW_BASIC,
    pb.VIEW_FULL: pb.VIEW_FULL,
}


@dataclass(frozen=True, slots=True)
class ParsedCheck:
    """A valid CheckEndpointRequest: the question, and how much of the answer is shown.

    view: never the unset value.
    """

    request: CheckRequest
    view: pb.View.ValueType


@dataclass(frozen=True, slots=True)
class ParsedValidation:
    """A valid ValidateCertificateRequest. view: never the unset value."""

    request: ChainRequest
    view: pb.View.ValueType


def read_check_request(raw: bytes) -> ParsedCheck:
    """Parse a serialised CheckEndpointRequest. Raises InvalidRequest."""
    return _read_short_check(raw) if len(raw) <= _SHORT_REQUEST_BYTES else _read_check(raw)


def _read_check(raw: bytes) -> ParsedCheck:
    try:
        message = pb.CheckEndpointRequest.FromString(raw)
    except DecodeError:
        raise undecodable("CheckEndpointRequest") from None
    return parse_check_request(message)


_read_short_check = lru_cache(maxsize=_CACHED_REQUESTS)(_read_check)


def undecodable(message_name: str) -> InvalidRequest:
    """Return the error for bytes that do not decode as the message."""
    return InvalidRequest(
        [FieldViolation("", f"the bytes are not a valid otpc_policy.v1.{message_name}")]
    )


def parse_check_request(message: pb.CheckEndpointRequest) -> ParsedCheck:
    """Return the request as values. Raises InvalidRequest with every violation."""
    violations: list[FieldViolation] = []
    endpoint: Endpoint | None = None
    try:
        endpoint = parse_endpoint(message.host, message.port, message.server_name)
    except InvalidRequest as error:
        violations.extend(error.violations)
    freshness = message.freshness
    mode = _known("freshness.mode", freshness.mode, FRESHNESS_MODES, violations)
    max_age = _max_age(freshness, violations)
    max_stale = _max_stale(freshness, violations)
    view = _known("view", message.view, _VIEWS, violations)
    depth = _known("depth", message.depth, DEPTHS, violations)
    observed_leaf = message.observed_leaf_sha256 or None
    if observed_leaf is not None and len(observed_leaf) != _DIGEST_BYTES:
        size = f"{len(observed_leaf)} bytes; a SHA-256 of {_DIGEST_BYTES} bytes is required"
        violations.append(FieldViolation("observed_leaf_sha256", size))
    if endpoint is None or mode is None or view is None or depth is None or violations:
        raise InvalidRequest(violations)
    request = CheckRequest(
        endpoint=endpoint,
        policy_name=message.policy,
        freshness=Freshness(mode=mode, max_age=max_age, max_stale=max_stale),
        depth=depth,
        observed_leaf=observed_leaf,
        perspective=message.perspective,
    )
    return ParsedCheck(request, view)


def parse_batch_request(
    message: pb.BatchCheckEndpointsRequest,
) -> Sequence[pb.CheckEndpointRequest]:
    """Return the items, 1 to 100 of them. Raises InvalidRequest.

    An item may still be invalid: that is the outcome of the item, not of the batch.
    """
    if not 1 <= len(message.requests) <= MAX_BATCH:
        count = f"{len(message.requests)} requests; 1 to {MAX_BATCH} are required"
        raise InvalidRequest([FieldViolation("requests", count)])
    return message.requests


def parse_validate_request(
    message: pb.ValidateCertificateRequest, *, allow_request_anchors: bool
) -> ParsedValidation:
    """Return the request as values. Raises InvalidRequest with every violation."""
    violations: list[FieldViolation] = []
    chain = _chain(message, violations)
    server_name: str | None = None
    if message.server_name:
        try:
            server_name = canonical_host(message.server_name)
        except ValueError as error:
            violations.append(FieldViolation("server_name", str(error)))
    at: datetime | None = None
    if message.HasField("validation_time"):
        try:
            at = read_timestamp(message.validation_time)
        except ValueError as error:
            violations.append(FieldViolation("validation_time", str(error)))
    anchors = _anchors(message, violations, allowed=allow_request_anchors)
    view = _known("view", message.view, _VIEWS, violations)
    if view is None or violations:
        raise InvalidRequest(violations)
    request = ChainRequest(
        chain=chain,
        policy_name=message.policy,
        server_name=server_name,
        at=at,
        trust_anchors=anchors,
    )
    return ParsedValidation(request, view)


def parse_page_size(
    message: pb.ListPoliciesRequest | pb.ListWatchedRequest,
    *,
    default: int = DEFAULT_PAGE_SIZE,
    most: int = MAX_PAGE_SIZE,
) -> int:
    """Return how many items a page holds. Raises InvalidRequest.

    Source: AIP-158; a size above the largest means the largest.
    """
    if message.page_size < 0:
        below = f"{message.page_size} is below 0; 0 means {default}"
        raise InvalidRequest([FieldViolation("page_size", below)])
    return min(message.page_size or default, most)


def _known(
    field: str, number: _Number, values: Mapping[_Number, _Value], violations: list[FieldViolation]
) -> _Value | None:
    value = values.get(number)
    if value is None:
        violations.append(FieldViolation(field, f"{number} is not a value of this enum"))
    return value


def _max_age(freshness: pb.Freshness, violations: list[FieldViolation]) -> timedelta | None:
    if not freshness.HasField("max_age"):
        return None
    try:
        max_age = read_duration(freshness.max_age)
    except ValueError as error:
        violations.append(FieldViolation("freshness.max_age", str(error)))
        return None
    if max_age <= timedelta(0):
        violations.append(
            FieldViolation(
                "freshness.max_age", "must be positive; to measure now, use FRESHNESS_MODE_REFRESH"
            )
        )
    return max_age


def _max_stale(freshness: pb.Freshness, violations: list[FieldViolation]) -> timedelta | None:
    if not freshness.HasField("max_stale"):
        return None
    try:
        max_stale = read_duration(freshness.max_stale)
    except ValueError as error:
        violations.append(FieldViolation("freshness.max_stale", str(error)))
        return None
    if max_stale < timedelta(0):
        violations.append(FieldViolation("freshness.max_stale", "must not be negative"))
    return max_stale


def _chain(
    message: pb.ValidateCertificateRequest, violations: list[FieldViolation]
) -> tuple[bytes, ...]:
    match message.WhichOneof("chain"):
        case "der_chain":
            field, chain = "der_chain.certificates", tuple(message.der_chain.certificates)
            size = sum(map(len, chain))
        case "pem_bundle":
            field, chain = "pem_bundle", ()
            size = len(message.pem_bundle.encode())
            if size <= MAX_CHAIN_BYTES:
                try:
                    chain = read_pem_bundle(message.pem_bundle)
                except ValueError as error:
                    violations.append(FieldViolation(field, str(error)))
                    return ()
        case _:
            violations.append(FieldViolation("chain", "is required: der_chain or pem_bundle"))
            return ()
    if size > MAX_CHAIN_BYTES:
        violations.append(
            FieldViolation(
                field, f"holds {size} bytes of certificates; at most {MAX_CHAIN_BYTES} are accepted"
            )
        )
    elif not chain:
        violations.append(FieldViolation(field, "holds no certificate"))
    if len(chain) > MAX_CERTIFICATES:
        violations.append(
            FieldViolation(
                field,
                f"holds {len(chain)} certificates; at most {MAX_CERTIFICATES} are accepted",
            )
        )
    return chain


def _anchors(
    message: pb.ValidateCertificateRequest, violations: list[FieldViolation], *, allowed: bool
) -> tuple[bytes, ...]:
    anchors = tuple(message.trust_anchors)
    if not anchors:
        return ()
    if not allowed:
        violations.append(
            FieldViolation(
                "trust_anchors",
                "are not accepted: the service's setting allow_request_anchors is off",
            )
        )
        return ()
    if len(anchors) > MAX_ANCHORS or sum(map(len, anchors)) > MAX_CHAIN_BYTES:
        violations.append(
            FieldViolation(
                "trust_anchors",
                f"at most {MAX_ANCHORS} certificates and {MAX_CHAIN_BYTES} bytes are accepted",
            )
        )
        return ()
    budget = WorkBudget(_ANCHOR_UNITS)
    for index, anchor in enumerate(anchors):
        try:
            read_certificate(anchor, budget, "the anchor")
        except MalformedCertificate:
            violations.append(
                FieldViolation(f"trust_anchors[{index}]", "is not a certificate in DER")
            )
        except TooComplexError:
            continue  # judging has a budget of its own and reports it
    return anchors
