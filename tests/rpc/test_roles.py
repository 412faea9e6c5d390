"""Roles over mutual TLS: every method for every kind of identity, and every right of a request."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import grpc
import pytest
import pytest_asyncio
from cryptography import x509
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.role import ABOUT_ENDPOINTS, Rpc
from otpc_policy.catalog.roles import RolesFile
from otpc_policy.check import ChangeFeed, WatchedEndpoints
from otpc_policy.rpc.authorisation import PERMISSIONS, MethodWithoutRow, Open, require_rows
from otpc_policy.rpc.health import Health
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.policy_admin import PolicyAdminServicer
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.registration import POLICY_CHECK_SERVICE, RPC_METHODS, add_services
from otpc_policy.rpc.verdict_streams import StreamLimits, VerdictStreams
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.catalog.writing import entry, index
from tests.check.world import BRIEF, generation
from tests.rpc.feeds import Feed, Streamed
from tests.rpc.serving import FakeCounters, failure, unpacked
from tests.rpc.test_policy_check import FakeChecks, FixedClock
from tests.support.audit_lines import trail_into
from tests.support.callers import caller_certificate
from tests.support.certificates import CertificateAuthority, Issued

OK = grpc.StatusCode.OK
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
NOT_FOUND = grpc.StatusCode.NOT_FOUND
URI, DNS, EMAIL = x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name
AUTHORITY = CertificateAuthority.create("Callers")
LEAF = AUTHORITY.issue(dns=("partner.test",))
HOST = "api.bank.example"

Method: TypeAlias = tuple[str, str]
Asking = Callable[[Any], Awaitable[Any]]


async def _reflected(channel: Any) -> Any:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]))
    return await call.read()


async def _changes(channel: Any) -> Any:
    stub: Any = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
    call = stub.WatchVerdicts(pb.WatchVerdictsRequest())
    first = await call.read()
    call.cancel()
    return first


async def _watched(channel: Any) -> Any:
    stub = health_pb2_grpc.HealthStub(channel)
    call = stub.Watch(health_pb2.HealthCheckRequest())
    first = await call.read()
    call.cancel()
    return first


def _asking(service: str, name: str) -> Asking:
    """Return a call that every role for the method permits."""
    if (service, name) == ("grpc.health.v1.Health", "Watch"):
        return _watched
    if name == "ServerReflectionInfo":
        return _reflected
    if name == "WatchVerdicts":
        return _changes
    if name == "Check":
        request: Any = health_pb2.HealthCheckRequest()
        return lambda channel: health_pb2_grpc.HealthStub(channel).Check(request)
    check = pb.CheckEndpointRequest(host=HOST)
    requests: dict[str, Any] = {
        "CheckEndpoint": check,
        "BatchCheckEndpoints": pb.BatchCheckEndpointsRequest(requests=[check]),
        "ValidateCertificate": pb.ValidateCertificateRequest(
            der_chain=pb.DerChain(certificates=[LEAF.der])
        ),
        "GetPolicy": pb.GetPolicyRequest(),
        "ListPolicies": pb.ListPoliciesRequest(),
        "ListWatched": pb.ListWatchedRequest(),
        "InvalidateResults": pb.InvalidateResultsRequest(host=HOST),
        "ReloadPolicies": pb.ReloadPoliciesRequest(),
    }
    stubs: Any = policy_pb2_grpc
    kind = service.rpartition(".")[2]
    return lambda channel: getattr(getattr(stubs, f"{kind}Stub")(channel), name)(requests[name])


METHODS: Mapping[Method, Asking] = {method: _asking(*method) for method in PERMISSIONS}


@dataclass
class Administered:
    """Both ports of the administration in one fake."""

    current: Catalog
    forgotten: list[tuple[str, int]] = field(default_factory=list)

    async def invalidate(self, host: str, port: int) -> int:
        self.forgotten.append((host, port))
        return 1

    async def validate(self) -> Catalog:
        return self.current

    async def reload(self, cause: str) -> Catalog:
        return self.current


@dataclass
class Running:
    """A service behind mutual TLS. checks: how often the use case was asked."""

    port: int
    checks: FakeChecks
    administered: Administered
    streams: VerdictStreams
    streamed: Streamed

    @asynccontextmanager
    async def channel(self, caller: Issued) -> AsyncIterator[Any]:
        credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, caller.key_pem, caller.chain_pem)
        options = (("grpc.ssl_target_name_override", "partner.test"),)
        address = f"127.0.0.1:{self.port}"
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            yield channel


@asynccontextmanager
async def running(
    roles: str,
    watched: Callable[[Catalog], WatchedEndpoints] | None = None,
    *,
    feed: ChangeFeed | None = None,
    limits: StreamLimits = StreamLimits(),  # noqa: B008  # immutable
) -> AsyncIterator[Running]:
    """Serve everything, with two partners, under a document of roles.

    watched: makes the watch list. feed: of what is published of it; by default nothing ever is.
    """
    catalog = generation(
        BRIEF,
        partners=index(entry("bank", HOST), entry("wallet", "api.wallet.example")),
        access=RolesFile(roles, "roles.toml").access,
    )
    checks, administered = FakeChecks(), Administered(catalog)
    interceptor = CallInterceptor(FakeCounters(), access=lambda: administered.current.access)
    options = (("grpc.so_reuseport", 0),)
    streamed, silent = Streamed(), Feed(monotonic=lambda: 0.0)
    await silent.tail.follow_once()
    streams = VerdictStreams(
        feed or silent.tail,
        generation=lambda: administered.current,
        counters=streamed,
        refusals=streamed,
        limits=limits,
        draw=Random(1),
        monotonic=time.monotonic,
    )
    server = grpc.aio.server(interceptors=(interceptor,), options=options)
    health = Health(POLICY_CHECK_SERVICE)
    await health.set_serving(True)
    add_services(
        server,
        policy_check=PolicyCheckServicer(
            checks=checks,
            generation=lambda: administered.current,
            clock=FixedClock(),
            counters=FakeCounters(),
            decisions=trail_into(lambda _line: None),
            allow_request_anchors=True,
            watched=None if watched is None else watched(catalog),
            feed=feed,
        ),
        streams=streams,
        policy_admin=PolicyAdminServicer(results=administered, reloads=administered),
        health=health,
        with_reflection=True,
    )
    credentials = grpc.ssl_server_credentials(
        [(LEAF.key_pem, LEAF.chain_pem)], AUTHORITY.pem, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield Running(port, checks, administered, streams, streamed)
    finally:
        await server.stop(None)


async def outcome(asked: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await asked
    except grpc.aio.AioRpcError as error:
        return error.code()
    return OK


async def outcomes(service: Running, caller: Issued) -> Mapping[Method, grpc.StatusCode]:
    """Call every method."""
    async with service.channel(caller) as channel:
        return {method: await outcome(ask(channel)) for method, ask in METHODS.items()}


def expected(rpc: Rpc | None, otherwise: grpc.StatusCode) -> Mapping[Method, grpc.StatusCode]:
    """Return what a caller gets who may call this method alone."""
    return {
        method: OK if row is Open.FOR_EVERYONE or row is rpc else otherwise
        for method, row in PERMISSIONS.items()
    }


def _one_role_a_method() -> str:
    """Return a role for each method, held by an identity of each kind."""
    lines = []
    for rpc in Rpc:
        about = 'hosts = ["*"]' if rpc in ABOUT_ENDPOINTS else ""
        name = rpc.value.lower()
        lines += ["[[role]]", f'name = "{name}"', f'rpcs = ["{rpc.value}"]', about]
        lines += ["[[caller]]", f'roles = ["{name}"]']
        lines += [f'identities = ["spiffe://td/{name}", "uri:https://td/{name}", "{name}.example"]']
    return "\n".join(lines)


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Running]:
    async with running(_one_role_a_method()) as one:
        yield one


@pytest.mark.parametrize("rpc", Rpc)
async def test_each_kind_of_identity_may_call_what_its_role_names_and_nothing_else(
    service: Running, rpc: Rpc
) -> None:
    name = rpc.value.lower()
    for names in (
        [URI(f"spiffe://td/{name}")],
        [URI(f"https://td/{name}")],
        [DNS(f"{name}.example")],
    ):
        caller = caller_certificate(AUTHORITY, names)
        assert await outcomes(service, caller) == expected(rpc, PERMISSION_DENIED), names


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ([], UNAUTHENTICATED),
        ([EMAIL("checkendpoint.example")], UNAUTHENTICATED),
        ([EMAIL("spiffe://td/checkendpoint")], UNAUTHENTICATED),
        ([URI("checkendpoint.example")], UNAUTHENTICATED),
        ([DNS("spiffe://td/checkendpoint")], UNAUTHENTICATED),
        ([DNS("https://td/checkendpoint")], UNAUTHENTICATED),
        ([URI("SPIFFE://td/checkendpoint")], UNAUTHENTICATED),
        ([URI("spiffe://td/checkendpoint"), URI("spiffe://td/getpolicy")], UNAUTHENTICATED),
        ([URI("spiffe://td/checkendpoint"), URI("https://other/")], PERMISSION_DENIED),
        ([URI("https://checkendpoint.example")], PERMISSION_DENIED),
        ([URI("spiffe://td/checkendpoint/more")], PERMISSION_DENIED),
        ([URI("spiffe://other/checkendpoint")], PERMISSION_DENIED),
        ([DNS("sub.checkendpoint.example")], PERMISSION_DENIED),
        ([DNS("other.example")], PERMISSION_DENIED),
    ],
    ids=str,
)
async def test_a_name_of_another_kind_is_nobodys_and_another_name_has_no_role(
    service: Running, names: Sequence[x509.GeneralName], refusal: grpc.StatusCode
) -> None:
    caller = caller_certificate(AUTHORITY, names, common_name="checkendpoint.example")
    assert await outcomes(service, caller) == expected(None, refusal)
    assert not service.checks.asked
    assert not service.administered.forgotten


async def test_a_refusal_says_who_was_refused_and_what_is_missing(service: Running) -> None:
    caller = caller_certificate(AUTHORITY, [DNS("getpolicy.example")])
    async with service.channel(caller) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        refused = await failure(stub.ListPolicies(pb.ListPoliciesRequest()))
        assert (refused.code, refused.info.reason) == (PERMISSION_DENIED, "CALLER_NOT_PERMITTED")
        assert refused.info.metadata["caller"] == "dns:getpolicy.example"
        assert refused.info.metadata["missing"] == "rpc ListPolicies"
        other = await failure(stub.GetPolicy(pb.GetPolicyRequest(name="brief")))
        assert other.info.metadata["missing"] == "policy brief"


async def test_unknown_methods_are_unimplemented_whoever_calls(service: Running) -> None:
    caller = caller_certificate(AUTHORITY, [])
    async with service.channel(caller) as channel:
        call = channel.unary_unary(f"/{POLICY_CHECK_SERVICE}/Unheard")
        assert (await failure(call(b""))).code is grpc.StatusCode.UNIMPLEMENTED


ROLES = """
[[role]]
name = "router"
rpcs = ["CheckEndpoint", "BatchCheckEndpoints", "ValidateCertificate", "GetPolicy", "ListPolicies"]
policies = ["brief", "otpc-2024-12"]
partners = ["bank"]
hosts = ["*.shop.example"]
ports = [443]
RIGHTS
[[caller]]
identities = ["spiffe://td/ns/*"]
roles = ["router"]
"""
ROUTER = caller_certificate(AUTHORITY, [URI("spiffe://td/ns/payments/router")])
REFRESH = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)


def check(host: str = HOST, **overrides: Any) -> pb.CheckEndpointRequest:
    return pb.CheckEndpointRequest(host=host, **overrides)


CHECKS: Sequence[tuple[pb.CheckEndpointRequest, str]] = [
    (check(), ""),
    (check(policy="brief"), ""),
    (check("www.shop.example"), ""),
    (check("WWW.Shop.Example."), ""),
    (check(freshness=pb.Freshness(mode=pb.FRESHNESS_MODE_CACHE_ONLY)), ""),
    (check(freshness=pb.Freshness(max_age=Duration(seconds=60))), ""),
    (check(observed_leaf_sha256=b"l" * 32), ""),
    (check(policy="otpc-2024-12-strict"), "policy otpc-2024-12-strict"),
    (check(policy="unheard-of"), "policy unheard-of"),
    (check("api.wallet.example"), "endpoint api.wallet.example:443"),
    (check("www.shop.example", port=22), "port 22"),
    (check("192.0.2.1", server_name=HOST), f"endpoint 192.0.2.1:443, server_name {HOST}"),
    (check("www.shop.example", server_name="x.example"), "server_name x.example"),
    (check(freshness=REFRESH), "refresh"),
    (check(freshness=pb.Freshness(max_age=Duration(nanos=1))), "refresh"),
    (check(depth=pb.SCAN_DEPTH_DEEP), "deep"),
    (check(view=pb.VIEW_FULL), "full_view"),
    (check(depth=pb.SCAN_DEPTH_DEEP, freshness=REFRESH), "refresh, deep"),
]


async def test_a_check_needs_policy_endpoint_port_and_rights_by_itself_and_in_a_batch() -> None:
    async with running(ROLES.replace("RIGHTS", "")) as service, service.channel(ROUTER) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        for request, missing in CHECKS:
            if not missing:
                assert await stub.CheckEndpoint(request)
                continue
            refused = await failure(stub.CheckEndpoint(request))
            assert (refused.code, refused.info.metadata["missing"]) == (PERMISSION_DENIED, missing)
        permitted = sum(not missing for _, missing in CHECKS)
        assert len(service.checks.asked) == permitted
        batch = pb.BatchCheckEndpointsRequest(requests=[request for request, _ in CHECKS])
        results = (await stub.BatchCheckEndpoints(batch)).results
        for result, (_, missing) in zip(results, CHECKS, strict=True):
            assert result.WhichOneof("outcome") == ("error" if missing else "response")
            if missing:
                assert unpacked(result.error)[0].metadata["missing"] == missing


@pytest.mark.parametrize(
    ("right", "request_"),
    [
        ("refresh", check(freshness=REFRESH)),
        ("refresh", check(freshness=pb.Freshness(max_age=Duration(nanos=1)))),
        ("deep", check(depth=pb.SCAN_DEPTH_DEEP)),
        ("full_view", check(view=pb.VIEW_FULL)),
    ],
    ids=str,
)
async def test_a_right_permits_what_it_is_named_for(
    right: str, request_: pb.CheckEndpointRequest
) -> None:
    roles = ROLES.replace("RIGHTS", f"{right} = true")
    async with running(roles) as service, service.channel(ROUTER) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        assert await stub.CheckEndpoint(request_)
        everything = check(
            freshness=REFRESH, depth=pb.SCAN_DEPTH_DEEP, view=pb.VIEW_FULL, policy="brief"
        )
        refused = await failure(stub.CheckEndpoint(everything))
        rest = [each for each in ("refresh", "deep", "full_view") if each != right]
        assert refused.info.metadata["missing"] == ", ".join(rest)


@pytest.mark.parametrize(
    ("fields", "rights", "missing"),
    [
        ({}, "", ""),
        ({"server_name": HOST, "policy": "brief"}, "", ""),
        ({"server_name": "www.shop.example"}, "", ""),
        ({"server_name": "api.wallet.example"}, "", "server_name api.wallet.example"),
        ({"policy": "otpc-2024-12-strict"}, "", "policy otpc-2024-12-strict"),
        ({"view": pb.VIEW_FULL}, "", "full_view"),
        ({"view": pb.VIEW_FULL}, "full_view = true", ""),
        ({"trust_anchors": [AUTHORITY.der]}, "", "request_anchors"),
        ({"trust_anchors": [AUTHORITY.der]}, "request_anchors = true", ""),
    ],
    ids=lambda value: "anchors" if "trust_anchors" in value else str(value),
)
async def test_validation_needs_policy_name_view_and_anchors(
    fields: dict[str, Any], rights: str, missing: str
) -> None:
    chain = pb.DerChain(certificates=[LEAF.der])
    roles = ROLES.replace("RIGHTS", rights)
    async with running(roles) as service, service.channel(ROUTER) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        asked = stub.ValidateCertificate(pb.ValidateCertificateRequest(der_chain=chain, **fields))
        if not missing:
            assert await asked
            return
        assert (await failure(asked)).info.metadata["missing"] == missing


async def test_policies_are_shown_to_callers_whose_role_names_them() -> None:
    async with running(ROLES.replace("RIGHTS", "")) as service, service.channel(ROUTER) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        for size in (0, 1):
            names, token = [], ""
            while True:
                page = await stub.ListPolicies(
                    pb.ListPoliciesRequest(page_size=size, page_token=token)
                )
                names += [policy.name for policy in page.policies]
                if not (token := page.next_page_token):
                    break
            assert names == ["brief", "otpc-2024-12"]
        assert (await stub.GetPolicy(pb.GetPolicyRequest())).policy.name == "otpc-2024-12"
        for name in ("otpc-2024-12-strict", "unheard-of"):
            # Whether it exists is not told either.
            refused = await failure(stub.GetPolicy(pb.GetPolicyRequest(name=name)))
            assert (refused.code, refused.message) == (
                PERMISSION_DENIED,
                "no role of this caller permits that; the details name what is missing",
            )


def test_every_method_has_a_row_and_one_without_cannot_be_registered() -> None:
    assert set(RPC_METHODS) == {*PERMISSIONS, ("unknown", "unknown")}
    served = pb.DESCRIPTOR.services_by_name.values()
    require_rows((each.full_name, method.name) for each in served for method in each.methods)
    with pytest.raises(
        MethodWithoutRow, match=r"otpc_policy\.v1\.PolicyCheckService/WatchPolicies"
    ):
        require_rows([(POLICY_CHECK_SERVICE, "GetPolicy"), (POLICY_CHECK_SERVICE, "WatchPolicies")])
    assert {row for row in PERMISSIONS.values() if isinstance(row, Rpc)} == set(Rpc)


async def test_a_method_that_was_registered_without_a_row_is_refused_to_all() -> None:
    async def answer(_request: bytes, _context: Any) -> bytes:
        return b""

    access = RolesFile(
        '[[caller]]\nidentities = ["*"]\nroles = []\n'.replace("[]", '["r"]')
        + ('[[role]]\nname = "r"\nrpcs = ["GetPolicy"]\n'),
        "r",
    ).access
    interceptor = CallInterceptor(FakeCounters(), access=lambda: access)
    server = grpc.aio.server(interceptors=(interceptor,))
    handler = grpc.unary_unary_rpc_method_handler(answer)
    generic = grpc.method_handlers_generic_handler("test.Service", {"Call": handler})
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            untyped: Any = channel
            refused = await failure(untyped.unary_unary("/test.Service/Call")(b""))
    finally:
        await server.stop(None)
    assert refused.code is UNAUTHENTICATED
