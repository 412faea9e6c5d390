"""A running service, asked over gRPC. Its errors become lines on stderr and an exit status."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from otpc_policy.cli.certificates import read_certificates
from otpc_policy.cli.status import CommandFailed, ExitStatus
from otpc_policy.client import PolicyCheckClient
from otpc_policy.core.errors import FieldViolation, InvalidRequest
from otpc_policy.v1 import policy_pb2 as pb

# The caller's mistake; every other status says that the service could not judge.
_USAGE_CODES = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A service to ask.

    address: host:port. ca_file: PEM or DER; None for gRPC's own roots, or for plain text on this
    machine.
    """

    address: str
    timeout_s: float
    ca_file: str | None = None
    plaintext: bool = False

    def check(self, request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        """Ask about an endpoint. Raises CommandFailed."""
        return self._ask(
            lambda client: client.check(
                request.host,
                port=request.port,
                policy=request.policy,
                server_name=request.server_name,
                view=request.view,
                depth=request.depth,
                observed_leaf_sha256=request.observed_leaf_sha256,
                timeout_s=self.timeout_s,
            )
        )

    def validate(self, request: pb.ValidateCertificateRequest) -> pb.ValidateCertificateResponse:
        """Ask about a chain. Raises CommandFailed."""
        return self._ask(
            lambda client: client.validate(
                tuple(request.der_chain.certificates),
                policy=request.policy,
                server_name=request.server_name,
                validation_time=request.validation_time.ToDatetime(UTC)
                if request.HasField("validation_time")
                else None,
                trust_anchors=tuple(request.trust_anchors),
                view=request.view,
                timeout_s=self.timeout_s,
            )
        )

    def policies(self) -> Sequence[pb.Policy]:
        """Return the policies of the service, ordered by name. Raises CommandFailed."""
        return self._ask(lambda client: client.list_policies(timeout_s=self.timeout_s))

    def policy(self, name: str) -> pb.Policy:
        """Return one policy of the service with its effective document. Raises CommandFailed."""
        return self._ask(lambda client: client.get_policy(name, timeout_s=self.timeout_s))

    def _ask(self, question: Callable[[PolicyCheckClient], _Answer]) -> _Answer:
        roots = None if self.ca_file is None else _in_pem(read_certificates(self.ca_file))
        try:
            with PolicyCheckClient(
                self.address, root_certificates=roots, dangerously_plaintext=self.plaintext
            ) as client:
                return question(client)
        except grpc.RpcError as error:
            if violations := list(_violations(error)):
                raise InvalidRequest(violations) from None
            raise _failure(error, self.address, self.timeout_s) from None


def _failure(error: grpc.RpcError, address: str, timeout_s: float) -> CommandFailed:
    # Every error of a call is a grpc.Call, too, which its base class does not declare.
    if not isinstance(error, grpc.Call):
        return CommandFailed([f"{address}: the call failed"], ExitStatus.INDETERMINATE)
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        lines = [f"the service at {address} is not available: {error.details()}"]
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        lines = [f"the service at {address} gave no answer within {timeout_s:g} s"]
    else:
        lines = [f"the service at {address} answered {code.name}: {error.details()}"]
    return CommandFailed(
        lines, ExitStatus.USAGE if code in _USAGE_CODES else ExitStatus.INDETERMINATE
    )


def _violations(error: grpc.RpcError) -> Iterator[FieldViolation]:
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    if status is None:
        return
    for detail in status.details:
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            for violation in bad_request.field_violations:
                yield FieldViolation(violation.field, violation.description)


def _in_pem(certificates: Sequence[bytes]) -> bytes:
    return "".join(map(ssl.DER_cert_to_PEM_cert, certificates)).encode()
