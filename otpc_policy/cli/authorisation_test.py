"""Whether roles permit a call, and by which line: the answer of otpc-policy authz test.

Certificates, requests and roles are read by the service's own code, so the answer is the service's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from otpc_policy.app.settings import Settings
from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.role import ABOUT_ENDPOINTS, ADMINISTRATION, Demand, Rpc
from otpc_policy.check import ChainRequest
from otpc_policy.cli.configuration import read_settings
from otpc_policy.cli.status import CommandFailed, ExitStatus
from otpc_policy.core.caller import Caller, Identity
from otpc_policy.core.endpoint import canonical_host, parse_endpoint
from otpc_policy.core.errors import FieldViolation, InvalidRequest
from otpc_policy.core.identities import read_identity
from otpc_policy.rpc.authorisation import (
    check_demand,
    invalidation_demand,
    policy_demand,
    validation_demand,
    watched_demand,
)
from otpc_policy.rpc.convert import ParsedValidation, parse_check_request
from otpc_policy.rpc.interceptors.identity import identities_in
from otpc_policy.v1 import policy_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May X do Y, as it stands on the command line.

    rpc: by name. identities: of the caller, in addition to those in certificate_file.
    policy, host, server_name: "" where not given. port: 0 where not given.
    """

    rpc: str
    identities: Sequence[str] = ()
    certificate_file: str | None = None
    policy: str = ""
    host: str = ""
    port: int = 0
    server_name: str = ""
    refresh: bool = False
    deep: bool = False
    full_view: bool = False
    request_anchors: bool = False


def answer_question(
    question: Question, *, roles_file: str | None, config: str | None
) -> tuple[bool, Sequence[str]]:
    """Return whether the call is permitted, and the reasons in lines for people.

    roles_file: in place of that of the settings.
    Raises ConfigurationError for settings and documents, InvalidRequest for the command line.
    """
    settings = read_settings(config=config)
    if roles_file is not None:
        settings = settings.model_copy(update={"roles_file": Path(roles_file)})
    catalog = CatalogLoader(settings).load_untested()
    caller = Caller(identities=tuple(_identities(question)))
    demand = _demand(question, catalog)
    permissions = catalog.access.permissions_of(caller)
    is_permitted = not permissions.missing(demand)
    lines = [f"{'yes' if is_permitted else 'no'}: {_sentence(caller, demand, is_permitted)}"]
    for grant in permissions.grants:
        missing = tuple(grant.role.missing(demand))
        if is_permitted and not missing:
            lines.append(f"  by role {grant.role.name} ({grant.role.place}), held by {grant.place}")
        elif not is_permitted:
            lines.append(
                f"  role {grant.role.name} ({grant.role.place}), held by {grant.place}, "
                f"lacks: {', '.join(missing)}"
            )
    if not permissions.grants:
        lines.append("  no line gives this caller a role")
    if is_permitted:
        lines += [f"  but {each}" for each in _refused_all_the_same(demand, settings)]
    return is_permitted, lines


def _refused_all_the_same(demand: Demand, settings: Settings) -> Iterator[str]:
    """Yield why the service refuses a call that roles permit, by its settings."""
    if demand.rpc in ADMINISTRATION and not settings.admin_service:
        yield "the setting admin_service is off, so nobody is served it"
    if demand.rpc is Rpc.SERVER_REFLECTION_INFO and not settings.reflection:
        yield "the setting reflection is off, so nobody is served it"
    if demand.request_anchors and not settings.allow_request_anchors:
        yield "the setting allow_request_anchors is off, so anchors are refused"
    ports = settings.shares.allowed_ports
    measuring = ABOUT_ENDPOINTS - ADMINISTRATION - {Rpc.LIST_WATCHED, Rpc.WATCH_VERDICTS}
    is_measured = demand.rpc in measuring and not demand.partner
    if is_measured and ports and demand.port not in ports:
        yield (
            f"port {demand.port} is not in shares.allowed_ports: it is measured in allow_networks"
            " alone"
        )


def _identities(question: Question) -> Iterator[Identity]:
    violations = []
    for text in question.identities:
        try:
            yield read_identity(text)
        except ValueError as error:
            violations.append(FieldViolation("--identity", str(error)))
    if violations:
        raise InvalidRequest(violations)
    if question.certificate_file is not None:
        found = identities_in(Path(question.certificate_file).read_bytes())
        if not found:
            raise CommandFailed(
                [
                    (
                        f"{question.certificate_file}: holds no SPIFFE id, URI or DNS name that "
                        "identifies a caller (PEM; a SPIFFE id counts where it is the one URI)"
                    )
                ],
                ExitStatus.USAGE,
            )
        yield from found


def _demand(question: Question, catalog: Catalog) -> Demand:
    try:
        rpc = Rpc(question.rpc)
    except ValueError:
        expected = ", ".join(each.value for each in Rpc)
        problem = f"{question.rpc!r} is no method that a role can name; expected one of {expected}"
        raise InvalidRequest([FieldViolation("--rpc", problem)]) from None
    match rpc:
        case Rpc.CHECK_ENDPOINT | Rpc.BATCH_CHECK_ENDPOINTS:
            return check_demand(parse_check_request(_check_request(question)), catalog, rpc)
        case Rpc.VALIDATE_CERTIFICATE:
            return validation_demand(_validation(question), catalog)
        case Rpc.LIST_POLICIES if not question.policy:
            # Whoever may call it is shown what its roles permit; a name asks for one of them.
            return Demand(rpc=rpc)
        case Rpc.LIST_WATCHED | Rpc.WATCH_VERDICTS if not question.host:
            return Demand(rpc=rpc)
        case Rpc.LIST_WATCHED | Rpc.WATCH_VERDICTS:
            return watched_demand(parse_endpoint(question.host, question.port), catalog, rpc)
        case Rpc.GET_POLICY | Rpc.LIST_POLICIES:
            return policy_demand(question.policy, catalog, rpc)
        case Rpc.INVALIDATE_RESULTS:
            endpoint = parse_endpoint(question.host, question.port)
            return invalidation_demand(
                endpoint.host, endpoint.port if question.port else 0, catalog
            )
        case Rpc.RELOAD_POLICIES | Rpc.SERVER_REFLECTION_INFO:
            return Demand(rpc=rpc)


def _check_request(question: Question) -> pb.CheckEndpointRequest:
    mode = pb.FRESHNESS_MODE_REFRESH if question.refresh else pb.FRESHNESS_MODE_UNSPECIFIED
    return pb.CheckEndpointRequest(
        host=question.host,
        port=question.port,
        policy=question.policy,
        server_name=question.server_name,
        freshness=pb.Freshness(mode=mode),
        view=_view(question),
        depth=pb.SCAN_DEPTH_DEEP if question.deep else pb.SCAN_DEPTH_STANDARD,
    )


def _validation(question: Question) -> ParsedValidation:
    name = question.server_name or question.host
    try:
        server_name = canonical_host(name) if name else None
    except ValueError as error:
        raise InvalidRequest([FieldViolation("--server-name", str(error))]) from None
    asked = ChainRequest(
        chain=(),
        policy_name=question.policy,
        server_name=server_name,
        at=None,
        # Which anchors they are does not matter here.
        trust_anchors=(b"",) if question.request_anchors else (),
    )
    return ParsedValidation(asked, _view(question))


def _view(question: Question) -> pb.View.ValueType:
    return pb.VIEW_FULL if question.full_view else pb.VIEW_BASIC


def _sentence(caller: Caller, demand: Demand, is_permitted: bool) -> str:
    who = ", ".join(map(str, caller.identities)) or "a caller whom nothing identifies"
    parts = [who, "may" if is_permitted else "may not", demand.rpc.value]
    if demand.host is not None:
        parts.append(demand.endpoint_text)
    if demand.server_name not in (None, demand.host):
        parts.append(f"as {demand.server_name}")
    if demand.partner:
        parts.append(f"(of partner {demand.partner})")
    if demand.policy is not None:
        parts.append(f"under {demand.policy}")
    rights = [
        name
        for name in ("refresh", "deep", "full_view", "request_anchors")
        if getattr(demand, name)
    ]
    if rights:
        parts.append(f"with {', '.join(rights)}")
    return " ".join(parts)
