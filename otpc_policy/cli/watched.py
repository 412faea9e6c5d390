"""otpc-policy watched: what a service measures of its own accord, and what it knows of that."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from otpc_policy.cli.options import (
    ClientCertificateOption,
    ClientKeyOption,
    FormatOption,
    PlaintextOption,
    ServerCaOption,
    TimeoutOption,
    service,
)
from otpc_policy.cli.output import answer


def watched(
    *,
    server: Annotated[
        str,
        typer.Option("--server", metavar="ADDR", help="The service, which runs at host:port."),
    ],
    server_ca: ServerCaOption = None,
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    timeout: TimeoutOption = 30.0,
    partner: Annotated[
        str, typer.Option("--partner", metavar="ID", help="The endpoints of this partner alone.")
    ] = "",
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """List the endpoints that a service measures before their verdicts expire, as [watch] says.

    Shown is what holds now, and not more than your roles permit.

    Exit status: 0 done, whatever the verdicts; 2 wrong command line or file, 3 the service cannot
    be reached or does not permit it.
    """
    remote = service(
        server,
        server_ca,
        dangerously_plaintext,
        timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    if remote is None:
        raise typer.BadParameter("is required", param_hint="--server")
    from otpc_policy.cli.render.watched import watched_view  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415

    endpoints = remote.watched(partner)
    now = datetime.now(UTC)
    answer(
        pb.ListWatchedResponse(endpoints=endpoints), lambda: watched_view(endpoints, now), format
    )
