"""PolicyAdminService: off by default, bounded by roles; a refused reload says why."""

from dataclasses import replace
from typing import Any, cast

import grpc
import pytest

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.catalog.roles import RolesFile
from otpc_policy.core.caller import Caller, Identity, IdentityKind
from otpc_policy.core.errors import ConfigurationError, InvalidRequest
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.pki.trust import Trust
from otpc_policy.rpc.current_call import CurrentCall, current_call
from otpc_policy.rpc.health import Health
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.policy_admin import PolicyAdminServicer
from otpc_policy.rpc.registration import POLICY_ADMIN_SERVICE, add_services
from otpc_policy.rpc.status import CallerNotPermitted, ConfigurationRefused
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.catalog.writing import entry, index
from tests.rpc.serving import FakeCounters, failure, serving
from tests.support.audit_lines import KeptLines


def generation(revision: str) -> Catalog:
    return Catalog(
        policies=load_builtin_policies(),
        trust=Trust(mozilla_roots=()),
        partners=index(entry("bank", "api.bank.example")),
        revision=revision,
    )


class Engine:
    """Both ports in one fake; a test sets the outcome of a reload."""

    def __init__(self, brings: Catalog | Exception | None = None) -> None:
        self.current = generation("first")
        self.brings = brings or generation("second")
        self.forgotten: list[tuple[str, int]] = []

    async def invalidate(self, host: str, port: int) -> int:
        self.forgotten.append((host, port))
        return 3

    async def validate(self) -> Catalog:
        if isinstance(self.brings, Exception):
            raise self.brings
        return self.brings

    async def reload(self, cause: str) -> Catalog:
        assert cause == "call"
        self.current = await self.validate()
        return self.current


def context() -> Context:
    return cast("Context", None)


def servicer(engine: Engine) -> PolicyAdminServicer:
    return PolicyAdminServicer(results=engine, reloads=engine)


@pytest.mark.parametrize(("port", "meant"), [(0, 0), (443, 443), (8443, 8443)])
async def test_results_are_forgotten_by_canonical_host_and_port_zero_is_every_port(
    port: int, meant: int
) -> None:
    engine = Engine()
    request = pb.InvalidateResultsRequest(host="Bücher.Example.", port=port)
    answer = await servicer(engine).invalidate_results(request.SerializeToString(), context())
    assert pb.InvalidateResultsResponse.FromString(answer).invalidated_count == 3
    assert engine.forgotten == [("xn--bcher-kva.example", meant)]


@pytest.mark.parametrize(
    "request_",
    [pb.InvalidateResultsRequest(), pb.InvalidateResultsRequest(host="a.test", port=-1), b"\xff"],
)
async def test_what_cannot_be_meant_is_an_invalid_request(request_: Any) -> None:
    raw = request_ if isinstance(request_, bytes) else request_.SerializeToString()
    with pytest.raises(InvalidRequest):
        await servicer(Engine()).invalidate_results(raw, context())


async def test_a_reload_tells_policies_revision_and_partners() -> None:
    engine = Engine()
    answer = pb.ReloadPoliciesResponse.FromString(
        await servicer(engine).reload_policies(b"", context())
    )
    assert [policy.name for policy in answer.policies] == [
        "bsi-tr-02102-2",
        "mozilla-intermediate",
        "mozilla-modern",
        "nist-800-52r2",
        "otpc-2024-12",
        "otpc-2024-12-strict",
    ]
    assert [policy.name for policy in answer.policies if policy.is_default] == ["otpc-2024-12"]
    assert (answer.configuration_revision, answer.changed, answer.partner_count) == (
        "second",
        True,
        1,
    )
    again = pb.ReloadPoliciesResponse.FromString(
        await servicer(engine).reload_policies(b"", context())
    )
    assert not again.changed


async def test_validation_tells_the_same_and_swaps_nothing() -> None:
    engine = Engine()
    request = pb.ReloadPoliciesRequest(validate_only=True).SerializeToString()
    answer = pb.ReloadPoliciesResponse.FromString(
        await servicer(engine).reload_policies(request, context())
    )
    assert (answer.configuration_revision, answer.changed, engine.current.revision) == (
        "second",
        True,
        "first",
    )


async def test_it_is_recorded_who_had_what_done() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept])
    engine = Engine()
    admin = PolicyAdminServicer(results=engine, reloads=engine, events=trail.event_log())
    operator = Caller(identities=(Identity(IdentityKind.SPIFFE, "spiffe://x/ops"),), peer="unix:")
    token = current_call.set(CurrentCall(caller=operator))
    try:
        await admin.reload_policies(b"", context())
        request = pb.InvalidateResultsRequest(host="a.test", port=8443)
        await admin.invalidate_results(request.SerializeToString(), context())
    finally:
        current_call.reset(token)
    trail.close()
    reload, invalidation = kept.lines()
    for line in (reload, invalidation):
        assert (line["event"], line["caller"]) == ("admin_action", "spiffe://x/ops")
        assert line["peer"] == "unix:"
    assert (reload["rpc"], reload["changed"], reload["revision"]) == (
        "ReloadPolicies",
        True,
        "second",
    )
    assert (invalidation["host"], invalidation["port"], invalidation["count"]) == (
        "a.test",
        8443,
        3,
    )


@pytest.mark.parametrize("validate_only", [True, False])
async def test_what_cannot_be_used_is_refused_with_every_problem(validate_only: bool) -> None:
    engine = Engine(ConfigurationError(["bank.toml:3: owner is missing", "bank.toml:4: x"]))
    request = pb.ReloadPoliciesRequest(validate_only=validate_only).SerializeToString()
    with pytest.raises(ConfigurationRefused) as raised:
        await servicer(engine).reload_policies(request, context())
    assert raised.value.problems == ("bank.toml:3: owner is missing", "bank.toml:4: x")
    assert engine.current.revision == "first"


@pytest.mark.parametrize(
    ("host", "port", "missing"),
    [
        ("api.bank.example", 443, ()),
        ("www.shop.example", 8443, ()),
        ("www.shop.example", 25, ("port 25",)),
        ("www.shop.example", 0, ("every port",)),
        ("other.example", 443, ("endpoint other.example:443",)),
        ("api.bank.example", 8443, ("endpoint api.bank.example:8443",)),
    ],
)
async def test_results_are_forgotten_for_the_endpoints_of_the_callers_role_alone(
    host: str, port: int, missing: tuple[str, ...]
) -> None:
    roles = """
    [[role]]
    name = "onboarding"
    rpcs = ["InvalidateResults"]
    partners = ["bank"]
    hosts = ["*.shop.example"]
    ports = [443, 8443]
    [[caller]]
    identities = ["desk.example"]
    roles = ["onboarding"]
    """
    engine = Engine()
    engine.current = replace(engine.current, access=RolesFile(roles, "roles.toml").access)
    desk = Caller(identities=(Identity(IdentityKind.DNS, "desk.example"),))
    request = pb.InvalidateResultsRequest(host=host, port=port).SerializeToString()
    token = current_call.set(CurrentCall(caller=desk))
    try:
        if not missing:
            assert await servicer(engine).invalidate_results(request, context())
            return
        with pytest.raises(CallerNotPermitted) as raised:
            await servicer(engine).invalidate_results(request, context())
    finally:
        current_call.reset(token)
    assert (raised.value.caller, raised.value.missing) == ("dns:desk.example", missing)
    assert not engine.forgotten


@pytest.mark.parametrize(
    ("engine", "code"),
    [(None, grpc.StatusCode.UNIMPLEMENTED), (Engine(), grpc.StatusCode.INVALID_ARGUMENT)],
)
async def test_it_is_off_unless_it_is_given(engine: Engine | None, code: grpc.StatusCode) -> None:
    policy_check: Any = _NoChecks()

    def register(server: grpc.aio.Server) -> None:
        admin = servicer(engine) if engine else None
        add_services(
            server,
            policy_check=policy_check,
            policy_admin=admin,
            health=Health(POLICY_ADMIN_SERVICE),
            with_reflection=False,
        )

    async with serving(register, CallInterceptor(FakeCounters())) as channel:
        stub = policy_pb2_grpc.PolicyAdminServiceStub(channel)  # type: ignore[no-untyped-call]
        assert (await failure(stub.InvalidateResults(pb.InvalidateResultsRequest()))).code is code


class _NoChecks:
    """Has the six methods and is asked none of them."""

    check_endpoint = batch_check_endpoints = validate_certificate = None
    get_policy = list_policies = list_watched = None
