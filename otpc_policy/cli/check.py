"""otpc-policy check: one endpoint, judged in this process or by a running service."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.certificates import read_anchors, read_pin
from otpc_policy.cli.given import in_words_of
from otpc_policy.cli.options import (
    ClientCertificateOption,
    ClientKeyOption,
    DepthOption,
    FormatOption,
    PlaintextOption,
    PolicyOption,
    ServerCaOption,
    ServerOption,
    TimeoutOption,
    refuse_with_partner,
    refuse_with_server,
    service,
)
from otpc_policy.cli.output import OutputFormat, answer, complain, progress
from otpc_policy.cli.status import ExitStatus
from otpc_policy.cli.target import Target, parse_target

if TYPE_CHECKING:
    from otpc_policy.core.facts import EndpointFacts
    from otpc_policy.v1 import policy_pb2 as pb

# Findings that mean that the facts of an address are missing.
_UNFINISHED = frozenset({"CHECK_IN_PROGRESS", "SCAN_FAILED", "NO_CACHED_RESULT"})


def check(
    endpoint: Annotated[
        str,
        typer.Argument(
            metavar="HOST[:PORT] | URL",
            help="The endpoint: a name, an IP address (IPv6 in brackets) or an https:// URL.",
            show_default=False,
        ),
    ] = "",
    *,
    partner: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="In place of an endpoint: each one of this partner's entry in partners_dir.",
        ),
    ] = "",
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh",
            help="Measure anew, whatever the service has kept; it may bound how often.",
        ),
    ] = False,
    server: ServerOption = None,
    server_ca: ServerCaOption = None,
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    policy: PolicyOption = "",
    server_name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name for SNI and for the certificate, where it differs from the host.",
        ),
    ] = "",
    depth: Annotated[
        DepthOption,
        typer.Option(help="How much to measure; deep looks for known vulnerabilities too."),
    ] = DepthOption.STANDARD,
    perspective: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The place to judge from, of those that the service at --server measures from.",
        ),
    ] = "",
    timeout: TimeoutOption = 30.0,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Open this private range for this run; may be repeated."),
    ] = None,
    trust_anchor: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Trust this CA for this host, for this run (PEM or DER)."
        ),
    ] = None,
    trust_pin: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SHA256",
            help="Trust exactly this certificate for this host, for this run;"
            " a SHA-256 as openssl x509 -fingerprint -sha256 prints it, or a file.",
        ),
    ] = None,
    observed_leaf: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SHA256",
            help="The leaf that your own connection met: ALLOW only if it is among those judged.",
        ),
    ] = None,
    save_facts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what was measured, for policy tests (otpc-policy policy test).",
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="HEX",
            help="Repeat a measurement, with the clients and hellos that its seed drew.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show every connection: what was offered, what came back and what it proves.",
        ),
    ] = False,
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """Judge one endpoint: measure it from here, or ask a running service.

    Exit status: 0 ALLOW, 1 DENY, 3 INDETERMINATE or not judged (unreachable service, overload),
    2 wrong command line, file or setting. Only 0 permits traffic.

    With --partner it is the worst of all endpoints; an entry with a wildcard is at best 3, because
    nobody knows the hosts behind it. In JSON the verdicts are a BatchCheckEndpointsResponse.
    """
    _refuse_both(endpoint, partner)
    refuse_with_partner(
        partner,
        server_name=server_name,
        trust_anchor=trust_anchor,
        trust_pin=trust_pin,
        observed_leaf=observed_leaf,
        save_facts=save_facts,
        seed=seed,
    )
    refuse_with_server(
        server,
        allow_network=allow_network,
        trust_anchor=trust_anchor,
        trust_pin=trust_pin,
        save_facts=save_facts,
        seed=seed,
    )
    if perspective and server is None:
        raise typer.BadParameter(
            "is a place that a service measures from, so it needs --server; without it, the"
            " endpoint is judged from here.",
            param_hint="--perspective",
        )
    drawn_again = None if seed is None else _read_seed(seed)
    remote = service(
        server,
        server_ca,
        dangerously_plaintext,
        timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    asked = _asked_of(partner) if partner else Asked((_target(endpoint, server_name),))

    from otpc_policy.cli.status import exit_status, worst_status  # noqa: PLC0415  # slow; --help needs none of it

    sha256 = "" if observed_leaf is None else read_pin(observed_leaf)
    anchors = read_anchors(trust_anchor) if trust_anchor else ()
    pin = read_pin(trust_pin) if trust_pin else ""
    responses = []
    for target in asked.targets:
        request = _request(target, policy, server_name, depth, refresh=refresh)
        request.observed_leaf_sha256 = bytes.fromhex(sha256)
        request.perspective = perspective
        if remote is not None:
            given = {"host": repr(target.host), "server_name": f"--server-name {server_name!r}"}
            with in_words_of(given), progress(f"waiting for {server} to judge {target}"):
                responses.append(remote.check(request))
            continue
        from otpc_policy.cli.local import check_locally  # noqa: PLC0415

        with progress(f"measuring {target}"):
            response, facts = check_locally(
                request,
                allow_networks=allow_network or [],
                anchors=anchors,
                pin=pin,
                timeout_s=timeout,
                seed=drawn_again,
            )
        responses.append(response)
        if save_facts is not None:
            _save(facts, {finding.code for finding in response.findings}, save_facts)
    if not partner:
        (only,) = responses
        _answer_one(only, explain=explain, format=format)
        raise typer.Exit(exit_status(only.decision))
    _answer_all(responses, explain=explain, format=format)
    for pattern in asked.unasked:
        complain(f"{pattern} is a pattern and names no endpoint: check its hosts one by one")
    statuses = [exit_status(response.decision) for response in responses]
    raise typer.Exit(worst_status([*statuses, *(ExitStatus.INDETERMINATE for _ in asked.unasked)]))


@dataclass(frozen=True, slots=True)
class Asked:
    """What to judge. unasked: patterns of a partner's entry, whose hosts are not known."""

    targets: tuple[Target, ...]
    unasked: tuple[str, ...] = ()


def _target(endpoint: str, server_name: str) -> Target:
    try:
        return parse_target(endpoint, server_name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="HOST[:PORT] | URL") from None


def _asked_of(partner: str) -> Asked:
    from otpc_policy.cli.partner_endpoints import partner_endpoints  # noqa: PLC0415  # slow

    try:
        found = partner_endpoints(partner)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--partner") from None
    return Asked(tuple(map(parse_target, found.endpoints)), found.patterns)


def _refuse_both(endpoint: str, partner: str) -> None:
    if endpoint and partner:
        raise typer.BadParameter(
            "names the endpoints already; leave out HOST.", param_hint="--partner"
        )
    if not endpoint and not partner:
        raise typer.BadParameter("Missing argument: an endpoint, or --partner ID.")


def _answer_one(
    response: "pb.CheckEndpointResponse",
    *,
    explain: bool,
    format: OutputFormat | None,  # noqa: A002
) -> None:
    from otpc_policy.cli.render.verdict import check_view  # noqa: PLC0415  # slow

    chosen = OutputFormat.TABLE if explain and format is None else format
    answer(response, lambda: check_view(response, explain=explain), chosen)


def _answer_all(
    responses: "Sequence[pb.CheckEndpointResponse]",
    *,
    explain: bool,
    format: OutputFormat | None,  # noqa: A002
) -> None:
    from rich.console import Group  # noqa: PLC0415  # slow

    from otpc_policy.cli.render.verdict import check_view  # noqa: PLC0415
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415

    results = (
        pb.BatchCheckEndpointsResult(request_index=index, response=response)
        for index, response in enumerate(responses)
    )
    chosen = OutputFormat.TABLE if explain and format is None else format
    answer(
        pb.BatchCheckEndpointsResponse(results=results),
        lambda: Group(*(check_view(response, explain=explain) for response in responses)),
        chosen,
    )


def _read_seed(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise typer.BadParameter(
            f"{text!r:.80} is not a seed: 32 hexadecimal digits, as a measurement shows them",
            param_hint="--seed",
        )
    return bytes.fromhex(text)


def _request(
    target: Target, policy: str, server_name: str, depth: DepthOption, *, refresh: bool
) -> "pb.CheckEndpointRequest":
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415  # slow; --help needs none of it

    mode = pb.FRESHNESS_MODE_REFRESH if refresh else pb.FRESHNESS_MODE_UNSPECIFIED
    return pb.CheckEndpointRequest(
        freshness=pb.Freshness(mode=mode) if refresh else None,
        host=target.host,
        port=target.port,
        policy=policy,
        server_name=server_name,
        view=pb.VIEW_FULL,
        depth=pb.SCAN_DEPTH_DEEP if depth is DepthOption.DEEP else pb.SCAN_DEPTH_STANDARD,
    )


def _save(facts: "EndpointFacts", codes: set[str], file: Path) -> None:
    """Write facts if complete. Without one of its addresses an endpoint might look too good."""
    from otpc_policy.core.facts import ResolutionStatus  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.core.facts_codec import dump_facts  # noqa: PLC0415

    if codes & _UNFINISHED or (
        not facts.addresses and facts.resolution is ResolutionStatus.RESOLVED
    ):
        complain(f"{file}: not written, since the measurement is incomplete")
    else:
        file.write_text(dump_facts(facts, indent=1) + "\n", encoding="utf-8")
