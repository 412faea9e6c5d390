"""otpc-policy doctor: whether everything around the service is as it needs it."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from otpc_policy.app.doctor import Question, Result

_WIDTH = 16


class DoctorStatus(IntEnum):
    """Exit statuses. SOUND: nothing failed, though there may be warnings."""

    SOUND = 0
    FAILED = 1


def doctor(
    *,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Settings in TOML, as for serve; default: the file that OTPC_POLICY_CONFIG names.",
        ),
    ] = None,
    https_peer: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Compare the clock with this HTTPS server's, by one HEAD request. Without it"
            " nobody is asked.",
        ),
    ] = None,
    https_peer_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM CAs of that server; default: Mozilla's roots."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Look this name up; default: one that cannot exist, which shows that name servers"
            " answer.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.1, max=60, help="Longest wait of a check for somebody else."
        ),
    ] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object with all checks instead of lines.")
    ] = False,
) -> None:
    """Check settings, files, documents, sandbox, engines, DNS, egress, ages of data and the clock.

    It changes nothing, and may run where the service runs. Engines are started as serve does it,
    and ended; nothing is measured. Only name servers, engines, proxy and collector of the
    configuration are asked.

    Exit status: 0 nothing failed, 1 something did, 2 wrong command line or settings.
    """
    from otpc_policy.app.doctor import Status, examine, worst  # noqa: PLC0415  # slow
    from otpc_policy.cli.configuration import read_settings  # noqa: PLC0415
    from otpc_policy.ops.logs import logs_configured  # noqa: PLC0415

    question = _question(https_peer, https_peer_ca, name, timeout)
    settings = read_settings(config=config)
    results = []
    with logs_configured(settings.log_format.value, "error"):
        for result in examine(settings, question):
            results.append(result)
            if not as_json:
                _print(result)
    status = worst(results)
    if as_json:
        shown = {"status": status, "checks": [asdict(result) for result in results]}
        typer.echo(json.dumps(shown, indent=2))
    else:
        typer.echo(_summary(results))
    raise typer.Exit(DoctorStatus.FAILED if status is Status.FAILED else DoctorStatus.SOUND)


def _question(
    https_peer: str | None, ca_file: Path | None, name: str | None, timeout: float
) -> "Question":
    from otpc_policy.app.doctor import Question  # noqa: PLC0415  # slow
    from otpc_policy.app.doctor.clock import HttpsPeer  # noqa: PLC0415
    from otpc_policy.app.doctor.engines import NOBODYS_NAME  # noqa: PLC0415
    from otpc_policy.app.settings import split_address  # noqa: PLC0415
    from otpc_policy.core.endpoint import canonical_host  # noqa: PLC0415

    hint = "--name"
    try:
        host = NOBODYS_NAME if name is None else canonical_host(name)
        hint = "--https-peer"
        if https_peer is None:
            return Question(name=host, within_s=timeout)
        has_port = ":" in https_peer.rpartition("]")[2]
        peer_host, port = split_address(https_peer if has_port else f"{https_peer}:443")
        peer = HttpsPeer(host=peer_host, port=port, ca_file=ca_file)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None
    if ca_file is not None and not ca_file.is_file():
        raise typer.BadParameter(f"{ca_file} is no file", param_hint="--https-peer-ca")
    return Question(name=host, peer=peer, within_s=timeout)


def _print(result: "Result") -> None:
    typer.echo(f"{result.status.value:8}{result.check:{_WIDTH}} {result.message}")
    if result.remedy:
        typer.echo(f"{'':{8 + _WIDTH}} -> {result.remedy}")


def _summary(results: Iterable["Result"]) -> str:
    counted: dict[str, int] = {}
    for result in results:
        counted[result.status.value] = counted.get(result.status.value, 0) + 1
    return ", ".join(f"{number} {status}" for status, number in counted.items())
