"""What this client raises. Every exception means: no traffic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import grpc

from otpc_policy_client.v1 import policy_pb2 as pb


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong. field: of the request; empty for what is wrong elsewhere."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What the service says of an error beyond its code.

    reason: of google.rpc.ErrorInfo, such as UNKNOWN_POLICY; empty if the error is not the
    service's own (a connection that broke, for example). retry_after_s: None if it names no time.
    """

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None


class PolicyClientError(Exception):
    """What every exception of this client is."""


class CallError(PolicyClientError, grpc.RpcError):
    """The service gave no answer. It is a grpc.RpcError, too, with code() and details().

    status: of gRPC. text: for people. reason, metadata, violations, retry_after_s: as of
    ErrorDetails.
    """

    def __init__(
        self, status: grpc.StatusCode, text: str = "", details: ErrorDetails | None = None
    ) -> None:
        self.status = status
        self.text = text
        self._details = details or ErrorDetails()
        self.reason = self._details.reason
        self.metadata = self._details.metadata
        self.violations = self._details.violations
        self.retry_after_s = self._details.retry_after_s
        wrong = "; ".join(
            f"{each.field}: {each.description}" if each.field else each.description
            for each in self.violations
        )
        super().__init__(": ".join(filter(None, (status.name, self.reason, text, wrong))))

    def code(self) -> grpc.StatusCode:
        """Return the status, as errors of gRPC do."""
        return self.status

    def details(self) -> str:
        """Return the text, as errors of gRPC do."""
        return self.text

    def again(self) -> "CallError":
        """Return an equal error to raise in another thread or task: a traceback has one owner."""
        return type(self)(self.status, self.text, self._details)


class InvalidRequest(CallError):
    """The request is wrong; violations say where. Asking again cannot help."""


class UnknownPolicy(CallError):
    """The service has no such policy."""


class NotPermitted(CallError):
    """The service does not permit this to this caller, or does not know the caller."""


class Overloaded(CallError):
    """The service has no room for this now. retry_after_s says when to ask again."""


class ServiceUnavailable(CallError):
    """No replica answered, twice where there was time for it."""


class DeadlineExceeded(CallError, TimeoutError):
    """The time of the call is over."""

    @classmethod
    def here(cls, text: str) -> "DeadlineExceeded":
        """Return an error that no service sent."""
        return cls(grpc.StatusCode.DEADLINE_EXCEEDED, text)


class TrafficNotPermitted(PolicyClientError):
    """The answer permits no connection. answer: what the service said."""

    def __init__(self, reason: str, answer: pb.CheckEndpointResponse) -> None:
        super().__init__(f"{answer.canonical_endpoint or 'the endpoint'}: {reason}")
        self.answer = answer


class NotAsJudged(PolicyClientError):
    """A connection is not what was judged. It was closed, and nothing was sent over it.

    address: where it led. observed_leaf_sha256: of the leaf that it met, where the leaf is the
    difference; else empty.
    """

    def __init__(self, reason: str, *, address: str, observed_leaf_sha256: bytes = b"") -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.observed_leaf_sha256 = observed_leaf_sha256


KINDS: Mapping[grpc.StatusCode, type[CallError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: UnknownPolicy,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.UNAUTHENTICATED: NotPermitted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: ServiceUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
"""The kinds of CallError by status; any other status is a plain CallError."""
