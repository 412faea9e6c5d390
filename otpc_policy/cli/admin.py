"""otpc-policy admin: operations on a running service."""

from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.examples import examples
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
from otpc_policy.cli.target import parse_target

if TYPE_CHECKING:
    from otpc_policy.cli.remote import Remote

admin_app = typer.Typer(
    help="Administer a running service, if its setting admin_service is on and permits you.",
    short_help="Administer a running service.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
AdministeredOption = Annotated[
    str,
    typer.Option("--server", metavar="ADDR", help="The service, which runs at host:port."),
]


@admin_app.command(
    "reload", short_help="Read policies, partners and trust again.", epilog=examples("admin reload")
)
def reload(
    *,
    server: AdministeredOption,
    server_ca: ServerCaOption = None,
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    timeout: TimeoutOption = 30.0,
    validate_only: Annotated[
        bool,
        typer.Option("--validate-only", help="Report what would happen, and change nothing."),
    ] = False,
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """Have a service read its policies, partners and trust again, and swap them in at once.

    Where one is invalid, every problem is listed and the last good set stays.

    Exit status: 0 done, 1 the documents are invalid, 2 wrong command line or file, 3 the service
    cannot be reached or does not permit it.
    """
    remote = _remote(
        server,
        server_ca=server_ca,
        dangerously_plaintext=dangerously_plaintext,
        timeout_s=timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    from rich.text import Text  # noqa: PLC0415  # slow; --help needs none of it

    response = remote.reload(validate_only=validate_only)
    would = "would be " if validate_only else ""
    change = f"{would}changed" if response.changed else f"{would}unchanged"
    words = (
        f"{change}: {len(response.policies)} policies, {response.partner_count} partners,"
        f" revision {response.configuration_revision}"
    )
    answer(response, lambda: Text(words), format)


@admin_app.command(
    "invalidate",
    short_help="Forget what was measured of a host.",
    epilog=examples("admin invalidate"),
)
def invalidate(
    endpoint: Annotated[
        str,
        typer.Argument(
            metavar="HOST[:PORT]", help="The endpoint; without a port, all ports of the host."
        ),
    ],
    *,
    server: AdministeredOption,
    server_ca: ServerCaOption = None,
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    timeout: TimeoutOption = 30.0,
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """Have a service forget what it measured of a host, so that the next check measures again.

    Exit status: 0 done, 2 wrong command line or file, 3 the service cannot be reached or does not
    permit it.
    """
    remote = _remote(
        server,
        server_ca=server_ca,
        dangerously_plaintext=dangerously_plaintext,
        timeout_s=timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    try:
        target = parse_target(endpoint)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="HOST[:PORT]") from None
    from rich.text import Text  # noqa: PLC0415  # slow; --help needs none of it

    response = remote.invalidate(target.host, target.port)
    words = f"forgotten: {response.invalidated_count} measurements of {endpoint}"
    answer(response, lambda: Text(words), format)


def _remote(
    server: str,
    *,
    server_ca: str | None,
    dangerously_plaintext: bool,
    timeout_s: float,
    client_cert: str | None,
    client_key: str | None,
) -> "Remote":
    remote = service(
        server,
        server_ca,
        dangerously_plaintext,
        timeout_s,
        client_cert=client_cert,
        client_key=client_key,
    )
    if remote is None:
        raise typer.BadParameter("is required", param_hint="--server")
    return remote
