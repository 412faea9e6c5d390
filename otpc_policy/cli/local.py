"""The engine in this process: the service's own servicer, without a port. So a command judges exactly as a service would."""

import asyncio
import base64
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from otpc_policy.check import CheckAnswer, CheckRequest
from otpc_policy.cli.configuration import read_policies, read_settings
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import EndpointFacts
from otpc_policy.ops.logs import logs_configured
from otpc_policy.server import Application, build_application
from otpc_policy.service.answers import Checker
from otpc_policy.service.decision_log import DecisionLog
from otpc_policy.service.interceptor import Context
from otpc_policy.service.policy_check import PolicyCheckServicer
from otpc_policy.settings import LogFormat, LogLevel, Settings
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.wire import policy_message


class _Deadline:
    """What the servicer asks of a call: how long its caller still waits."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def time_remaining(self) -> float:
        return self._timeout_s


def check_locally(
    request: pb.CheckEndpointRequest, *, allow_networks: Sequence[str], anchors: Sequence[bytes], pin: str, timeout_s: float
) -> tuple[pb.CheckEndpointResponse, EndpointFacts]:
    """Measure and judge an endpoint; return the answer and the facts behind it.

    anchors (DER), pin (SHA-256, or empty): trusted for this host in this run. Raises InvalidRequest, UnknownPolicy, ConfigurationError, Overloaded.
    """
    host = parse_endpoint(request.host, request.port, request.server_name).server_name
    with _trust_entries(host, anchors, pin) as trust:
        settings = read_settings(allow_networks=allow_networks, trust=trust)
        with logs_configured(LogFormat.CONSOLE.value, LogLevel.ERROR.value):
            return asyncio.run(_check(settings, request, timeout_s))


def validate_locally(request: pb.ValidateCertificateRequest) -> pb.ValidateCertificateResponse:
    """Judge a chain; anchors in the request are accepted. Raises InvalidRequest, UnknownPolicy, ConfigurationError."""
    application = build_application(read_settings(allow_request_anchors=True))
    body = asyncio.run(_servicer(application, application.checker).validate_certificate(request.SerializeToString(), _context(0)))
    return pb.ValidateCertificateResponse.FromString(body)


def policies_locally() -> list[pb.Policy]:
    """Return the policies that a service with these settings would serve, ordered by name. Raises ConfigurationError."""
    policies = read_policies()
    return [policy_message(policy, is_default=policy.name == policies.default_name) for policy in policies.ordered()]


def policy_locally(name: str) -> pb.Policy:
    """Return one policy with its effective document; an empty name means the default. Raises UnknownPolicy, ConfigurationError."""
    policies = read_policies()
    policy = policies.get(name)
    return policy_message(policy, is_default=policy.name == policies.default_name, with_document=True)


async def _check(settings: Settings, request: pb.CheckEndpointRequest, timeout_s: float) -> tuple[pb.CheckEndpointResponse, EndpointFacts]:
    application = build_application(settings)
    # A wrong name should not have to wait for workers to start.
    application.reloader.current.policies.get(request.policy)
    checker = _RememberingChecker(application.checker)
    async with application:
        body = await _servicer(application, checker).check_endpoint(request.SerializeToString(), _context(timeout_s))
    return pb.CheckEndpointResponse.FromString(body), checker.facts[0]


class _RememberingChecker:
    """The checker, and the facts behind its answers: the contract carries the observation, which is made for people and holds less."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self.facts: list[EndpointFacts] = []

    async def check(self, request: CheckRequest, *, wait_s: float | None) -> CheckAnswer:
        answer = await self._checker.check(request, wait_s=wait_s)
        self.facts.append(answer.judged.facts)
        return answer


def _servicer(application: Application, checker: Checker) -> PolicyCheckServicer:
    return PolicyCheckServicer(
        checker=checker,
        generation=lambda: application.reloader.current,
        clock=application.clock,
        counters=application.metrics,
        decisions=DecisionLog(lambda _lines: None),
        deadline_reserve_s=0.0,
        allow_request_anchors=application.settings.allow_request_anchors,
    )


def _context(timeout_s: float) -> Context:
    return cast("Context", _Deadline(timeout_s))


@contextmanager
def _trust_entries(host: str, anchors: Sequence[bytes], pin: str) -> Iterator[list[dict[str, object]]]:
    """Yield what the options mean as settings: entries for this host alone. Settings name anchors by file, so they get one while it is needed."""
    entry: dict[str, object] = {"hosts": [host], "note": "from the command line"}
    with tempfile.TemporaryDirectory(prefix="otpc-policy-") as folder:
        if anchors:
            file = Path(folder) / "anchors.pem"
            file.write_text("".join(map(_pem, anchors)), encoding="ascii")
            entry["anchor_file"] = file
        if pin:
            entry["certificate_sha256"] = [pin]
        yield [entry] if anchors or pin else []


def _pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode('ascii')}-----END CERTIFICATE-----\n"
