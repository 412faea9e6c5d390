"""Which methods the server offers, and the handler of each."""

from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection

from otpc_policy.rpc.authorisation import PERMISSIONS, require_rows
from otpc_policy.rpc.health import HEALTH_SERVICE, Health
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.interceptors.guard import UNKNOWN_METHOD
from otpc_policy.rpc.policy_admin import PolicyAdminServicer
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.status import AdminServiceOff, NothingWatched
from otpc_policy.rpc.verdict_streams import VerdictStreams
from otpc_policy.v1 import policy_pb2 as pb

_CHECK = pb.DESCRIPTOR.services_by_name["PolicyCheckService"]
_ADMIN = pb.DESCRIPTOR.services_by_name["PolicyAdminService"]

POLICY_CHECK_SERVICE: str = _CHECK.full_name
POLICY_ADMIN_SERVICE: str = _ADMIN.full_name

RPC_METHODS: tuple[tuple[str, str], ...] = (*PERMISSIONS, UNKNOWN_METHOD)
"""Every pair of service and method that the interceptor can count."""


def add_services(
    server: grpc.aio.Server,
    *,
    policy_check: PolicyCheckServicer,
    policy_admin: PolicyAdminServicer | None = None,
    streams: VerdictStreams | None = None,
    health: Health,
    with_reflection: bool,
) -> None:
    """Register every service.

    server: built with the CallInterceptor, without which the text of exceptions leaks to callers.
    policy_admin: None where administration is off. streams: None where nothing is watched.
    Raises MethodWithoutRow if a method is in no row of the table of permissions.
    """
    raw = grpc.unary_unary_rpc_method_handler
    handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {
        POLICY_CHECK_SERVICE: {
            "CheckEndpoint": raw(policy_check.check_endpoint),
            "BatchCheckEndpoints": raw(policy_check.batch_check_endpoints),
            "ValidateCertificate": raw(policy_check.validate_certificate),
            "GetPolicy": raw(policy_check.get_policy),
            "ListPolicies": raw(policy_check.list_policies),
            "ListWatched": raw(policy_check.list_watched),
            "WatchVerdicts": grpc.unary_stream_rpc_method_handler(
                _nothing_is_watched if streams is None else streams.watch_verdicts
            ),
        },
        POLICY_ADMIN_SERVICE: _admin_handlers(policy_admin),
        HEALTH_SERVICE: dict(health.method_handlers()),
    }
    require_rows((service, method) for service in handlers for method in handlers[service])
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(service, methods)
            for service, methods in handlers.items()
        )
    )
    if with_reflection:
        require_rows([(reflection.SERVICE_NAME, "ServerReflectionInfo")])
        reflection.enable_server_reflection(
            (POLICY_CHECK_SERVICE, POLICY_ADMIN_SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME),
            server,
        )


def _admin_handlers(
    policy_admin: PolicyAdminServicer | None,
) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    raw = grpc.unary_unary_rpc_method_handler
    if policy_admin is None:
        return {method.name: raw(_admin_is_off) for method in _ADMIN.methods}
    return {
        "InvalidateResults": raw(policy_admin.invalidate_results),
        "ReloadPolicies": raw(policy_admin.reload_policies),
    }


async def _nothing_is_watched(_request: bytes, _context: Context) -> None:
    raise NothingWatched


async def _admin_is_off(_request: bytes, _context: Context) -> Any:
    raise AdminServiceOff
