"""Checks in this process: a command judges exactly as the service would.

It measures in this process too. A separate engine process would add 0.6 s to the 0.7 s that the
workers take (0.35 s for its imports, 0.25 s for its end): longer than most measurements.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace

from otpc_policy.app.application import build_application
from otpc_policy.app.engine_extra import require_engine
from otpc_policy.app.settings import LogFormat, LogLevel, Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.catalog.context import Catalog
from otpc_policy.check import Answer, CheckRequest, judge_chain_in_hand
from otpc_policy.cli.configuration import read_policies, read_settings
from otpc_policy.core.facts import EndpointFacts
from otpc_policy.ops.logs import logs_configured
from otpc_policy.pki.trust import TrustEntry
from otpc_policy.policy.judged_groups import judges_groups
from otpc_policy.policy.required_suites import required_suites
from otpc_policy.rpc.convert import (
    check_response,
    parse_check_request,
    parse_validate_request,
    policy_message,
    validate_response,
)
from otpc_policy.rpc.request_id import new_id
from otpc_policy.v1 import policy_pb2 as pb


def check_locally(
    request: pb.CheckEndpointRequest,
    *,
    allow_networks: Sequence[str],
    anchors: Sequence[bytes],
    pin: str,
    timeout_s: float,
    seed: bytes | None = None,
) -> tuple[pb.CheckEndpointResponse, EndpointFacts]:
    """Measure and judge an endpoint; return the response and the facts it rests on.

    anchors (CA certificates in DER), pin (SHA-256, or empty): trusted for this host in this run.
    seed: of an earlier measurement, to be repeated.
    Raises InvalidRequest, UnknownPolicy, ConfigurationError, Overloaded.
    """
    parsed = parse_check_request(request)
    trusted = _trust_entry(parsed.request.endpoint.server_name, anchors, pin)
    settings = read_settings(allow_networks=allow_networks)
    with logs_configured(LogFormat.CONSOLE.value, LogLevel.ERROR.value):
        answer = asyncio.run(_check(settings, parsed.request, trusted, timeout_s, seed))
    # Whoever measures from here sees the network that this machine sees.
    response = check_response(answer, parsed.view, new_id(), may_see_internal_addresses=True)
    return response, answer.facts()


def validate_locally(request: pb.ValidateCertificateRequest) -> pb.ValidateCertificateResponse:
    """Judge a chain; anchors in the request are accepted.

    Raises InvalidRequest, UnknownPolicy, ConfigurationError.
    """
    application = build_application(read_settings())
    parsed = parse_validate_request(request, allow_request_anchors=True)
    now = application.clock.now()
    answer = judge_chain_in_hand(parsed.request, application.reloader.current, now)
    return validate_response(answer, parsed.request.chain, parsed.view, new_id())


def policies_locally() -> list[pb.Policy]:
    """Return the policies that a service with these settings would serve, ordered by name.

    Raises ConfigurationError.
    """
    policies = read_policies()
    return [policy_message(policy, policies) for policy in policies.ordered()]


def policy_locally(name: str) -> pb.Policy:
    """Return a policy with its effective document; an empty name means the default.

    Raises UnknownPolicy, ConfigurationError.
    """
    policies = read_policies()
    return policy_message(policies.get(name), policies, with_document=True)


async def _check(
    settings: Settings,
    request: CheckRequest,
    trusted: TrustEntry | None,
    timeout_s: float,
    seed: bytes | None,
) -> Answer:
    require_engine("ask a service with --server")
    # A command that does not measure needs no engine, which may not be installed.
    from otpc_policy.engine.in_process import InProcessEngine  # noqa: PLC0415

    engine = InProcessEngine(engine_part(settings))
    application = build_application(settings, engines=engine)
    generation = application.reloader.current
    policies = generation.policies.policies.values()
    engine.required_suites = [frozenset(suites) for suites in required_suites(policies)]
    engine.asks_groups = judges_groups(policies)
    engine.seed = seed
    if trusted is not None:
        generation = _with_trust(generation, trusted)
    # A wrong policy name should fail before workers are started.
    generation.policies.get(request.policy_name)
    async with application:
        return await application.checks.check(request, generation, wait_s=timeout_s)


def _trust_entry(host: str, anchors: Sequence[bytes], pin: str) -> TrustEntry | None:
    """Return the trust that the options give this host alone; None without options."""
    if not anchors and not pin:
        return None
    return TrustEntry(
        hosts=(host,),
        anchors=tuple(anchors),
        certificate_pins=frozenset({pin}) if pin else frozenset(),
        note="from the command line",
    )


def _with_trust(generation: Catalog, entry: TrustEntry) -> Catalog:
    """Return the generation with this entry added, under its own revision."""
    anchors = [hashlib.sha256(anchor).hexdigest() for anchor in entry.anchors]
    parts = [generation.revision, *entry.hosts, *anchors, *entry.certificate_pins]
    return replace(
        generation,
        trust=replace(generation.trust, entries=(*generation.trust.entries, entry)),
        revision=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
    )
