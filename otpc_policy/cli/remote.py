"""A running service, asked over gRPC. Its errors become lines on stderr and an exit status."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
import typer
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from otpc_policy.cli.certificates import read_certificates, read_file
from otpc_policy.cli.connection import Connecting, why_not_connected
from otpc_policy.cli.following import ChangesUnknown, Followed, follow_verdicts
from otpc_policy.cli.service_channel import credentials, open_channel
from otpc_policy.cli.status import CommandFailed, ExitStatus
from otpc_policy.core.errors import FieldViolation, InvalidRequest
from otpc_policy.ops.credentials import unusable
from otpc_policy.v1 import policy_pb2 as pb

_CHECK = pb.DESCRIPTOR.services_by_name["PolicyCheckService"]
_ADMIN = pb.DESCRIPTOR.services_by_name["PolicyAdminService"]
# The caller's mistake, and documents that are refused; every other status says that the service
# could not do it.
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: ExitStatus.USAGE,
    grpc.StatusCode.NOT_FOUND: ExitStatus.USAGE,
    grpc.StatusCode.FAILED_PRECONDITION: ExitStatus.DENY,
}

# Of following changes, with pauses of up to ten seconds: a restart of the service takes less.
_ATTEMPTS = 12

_Message = TypeVar("_Message", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A service to ask.

    address: host:port. ca_file: PEM or DER; None for gRPC's own roots, or for plain text on this
    machine. certificate_file, key_file: of this client, in PEM; both or neither.
    """

    address: str
    timeout_s: float
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    plaintext: bool = False

    def check(self, request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        """Ask about an endpoint. Raises CommandFailed, also for an answer from another place."""
        answer = self._ask("CheckEndpoint", request, pb.CheckEndpointResponse)
        if request.perspective not in ("", answer.perspective):
            reason = (
                f"{self.address} did not answer from {request.perspective}, but from elsewhere: it"
                " is of a release that knows no perspectives"
            )
            raise CommandFailed([reason], ExitStatus.INDETERMINATE)
        return answer

    def validate(self, request: pb.ValidateCertificateRequest) -> pb.ValidateCertificateResponse:
        """Ask about a chain. Raises CommandFailed."""
        return self._ask("ValidateCertificate", request, pb.ValidateCertificateResponse)

    def policies(self) -> Sequence[pb.Policy]:
        """Return the policies of the service, ordered by name. Raises CommandFailed."""
        policies: list[pb.Policy] = []
        request = pb.ListPoliciesRequest()
        while True:
            page = self._ask("ListPolicies", request, pb.ListPoliciesResponse)
            policies.extend(page.policies)
            request.page_token = page.next_page_token
            if not request.page_token:
                return policies

    def policy(self, name: str) -> pb.Policy:
        """Return one policy of the service with its effective document. Raises CommandFailed."""
        request = pb.GetPolicyRequest(name=name)
        return self._ask("GetPolicy", request, pb.GetPolicyResponse).policy

    def watched(self, partner_id: str) -> Sequence[pb.WatchedEndpoint]:
        """Return what the service watches, of one partner if its id is given.

        Raises CommandFailed.
        """
        endpoints: list[pb.WatchedEndpoint] = []
        request = pb.ListWatchedRequest(partner_id=partner_id)
        while True:
            page = self._ask("ListWatched", request, pb.ListWatchedResponse)
            endpoints.extend(page.endpoints)
            request.page_token = page.next_page_token
            if not request.page_token:
                return endpoints

    def followed(self, partner_id: str, cursor: str) -> Iterator[Followed]:
        """Yield what the service watches, then what changes, until it cannot be followed.

        Raises CommandFailed.
        """
        files = self._files()
        with (
            self._errors_in_words(files),
            open_channel(self.address, self._credentials(files)) as channel,
        ):
            try:
                yield from follow_verdicts(
                    channel,
                    partner_id,
                    cursor=cursor,
                    timeout_s=self.timeout_s,
                    most_failures=_ATTEMPTS,
                )
            except ChangesUnknown as error:
                lines = [f"{error}: {self.address}"]
                raise CommandFailed(lines, ExitStatus.INDETERMINATE) from None

    def reload(self, *, validate_only: bool) -> pb.ReloadPoliciesResponse:
        """Have the service read its documents again. Raises CommandFailed."""
        request = pb.ReloadPoliciesRequest(validate_only=validate_only)
        return self._administer("ReloadPolicies", request, pb.ReloadPoliciesResponse)

    def invalidate(self, host: str, port: int) -> pb.InvalidateResultsResponse:
        """Have the service forget what it measured. port: 0 for all. Raises CommandFailed."""
        request = pb.InvalidateResultsRequest(host=host, port=port)
        return self._administer("InvalidateResults", request, pb.InvalidateResultsResponse)

    def _ask(self, method: str, request: Message, response: type[_Message]) -> _Message:
        return self._call(_CHECK.full_name, method, request, response)

    def _administer(self, method: str, request: Message, response: type[_Message]) -> _Message:
        return self._call(_ADMIN.full_name, method, request, response)

    def _call(
        self, service: str, method: str, request: Message, response: type[_Message]
    ) -> _Message:
        files = self._files()
        with (
            self._errors_in_words(files),
            open_channel(self.address, self._credentials(files)) as channel,
        ):
            call = channel.unary_unary(
                f"/{service}/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=response.FromString,
            )
            answer: _Message = call(request, timeout=self.timeout_s)
            return answer

    def _credentials(self, files: "_Files") -> grpc.ChannelCredentials | None:
        return credentials(
            self.address,
            files.roots,
            files.key,
            files.certificate,
            dangerously_plaintext=self.plaintext,
        )

    def _files(self) -> "_Files":
        """Return what the files hold. Raises BadParameter."""
        roots = None if self.ca_file is None else _in_pem(read_certificates(self.ca_file))
        if self.certificate_file is None or self.key_file is None:
            return _Files(roots=roots)
        certificate_file, key_file = Path(self.certificate_file), Path(self.key_file)
        contents = {path: read_file(str(path)) for path in (certificate_file, key_file)}
        problems = unusable(
            contents, certificate_file=certificate_file, key_file=key_file, ca_file=None
        )
        if problems:
            raise typer.BadParameter("; ".join(problems), param_hint="--client-cert, --client-key")
        return _Files(roots=roots, key=contents[key_file], certificate=contents[certificate_file])

    @contextmanager
    def _errors_in_words(self, files: "_Files") -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            if violations := list(_violations(error)):
                raise InvalidRequest(violations) from None
            raise _failure(error, self._connecting(files), self.timeout_s) from None

    def _connecting(self, files: "_Files") -> Connecting:
        return Connecting(
            address=self.address,
            uses_tls=self._credentials(files) is not None,
            roots=files.roots,
            ca_file=self.ca_file,
            certificate_file=self.certificate_file,
            key_file=self.key_file,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """What the files of a connection hold, in PEM."""

    roots: bytes | None = None
    key: bytes | None = None
    certificate: bytes | None = None


def _failure(error: grpc.RpcError, connecting: Connecting, timeout_s: float) -> CommandFailed:
    # Every error of a call is a grpc.Call, too, which its base class does not declare.
    address = connecting.address
    if not isinstance(error, grpc.Call):
        return CommandFailed([f"the call failed: {address}"], ExitStatus.INDETERMINATE)
    code, status = error.code(), rpc_status.from_call(error)
    if code is grpc.StatusCode.UNAVAILABLE:
        # A status with details is the service's own: the connection was made.
        why = None if status is not None else why_not_connected(connecting)
        why = why or f"{error.details()}: {address}"
        lines = [f"the service is not available: {why}"]
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        lines = [f"no answer within {timeout_s:g} s from the service at {address}"]
    else:
        lines = [f"the service at {address} answered {code.name}: {error.details()}"]
        lines += _problems(status)
    return CommandFailed(lines, _STATUSES.get(code, ExitStatus.INDETERMINATE))


def _problems(status: status_pb2.Status | None) -> Iterator[str]:
    """Yield why a configuration was refused."""
    for detail in () if status is None else status.details:
        failure = error_details_pb2.PreconditionFailure()
        if detail.Unpack(failure):
            yield from (violation.description for violation in failure.violations)


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
