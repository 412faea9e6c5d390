"""Options that several commands share, and the checks that need no engine."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.output import OutputFormat

if TYPE_CHECKING:
    from otpc_policy.cli.remote import Remote


class DepthOption(StrEnum):
    """standard: versions, suites, certificates, client authentication, HTTP. deep: more."""

    STANDARD = "standard"
    DEEP = "deep"


# gRPC's own forms (dns:///host:port, unix:///path) have no authority to speak of.
_URL = re.compile(r"(?!dns:|unix:)[A-Za-z][A-Za-z0-9+.-]*://(?P<authority>[^/?#]*)")

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="ADDR",
        help="Ask the service that runs at host:port, instead of judging in this process.",
    ),
]
ServerCaOption = Annotated[
    str | None,
    typer.Option(
        "--server-ca",
        metavar="FILE",
        help="With --server: use TLS, and trust these CAs (PEM or DER), not the usual ones.",
    ),
]
ClientCertificateOption = Annotated[
    str | None,
    typer.Option(
        "--client-cert",
        metavar="FILE",
        help="With --server: the certificate that this client presents, in PEM, leaf first.",
    ),
]
ClientKeyOption = Annotated[
    str | None,
    typer.Option(
        "--client-key", metavar="FILE", help="With --server: the private key of --client-cert."
    ),
]
PlaintextOption = Annotated[
    bool,
    typer.Option(
        "--dangerously-plaintext",
        help="With --server: no TLS, even to another machine; the path can forge the verdict.",
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy", metavar="NAME", help="Judge by this policy; without it, by the default."
    ),
]
FormatOption = Annotated[
    OutputFormat | None,
    typer.Option(
        "--format",
        help="table is the default on a terminal, else json: the response in proto JSON, in full.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.001, max=3600, help="Longest wait for the answer."
    ),
]


def service(
    server: str | None,
    server_ca: str | None,
    dangerously_plaintext: bool,
    timeout_s: float,
    *,
    client_cert: str | None = None,
    client_key: str | None = None,
) -> "Remote | None":
    """Return the service of the options, or None if this process judges. Raises BadParameter."""
    given = [
        name
        for name, value in (
            ("--server-ca", server_ca),
            ("--client-cert", client_cert),
            ("--client-key", client_key),
            ("--dangerously-plaintext", dangerously_plaintext),
        )
        if value
    ]
    if server is None:
        if given:
            raise typer.BadParameter(
                "concerns the connection to a service, so it needs --server.",
                param_hint=", ".join(given),
            )
        return None
    if url := _URL.match(server):
        raise typer.BadParameter(
            f"{server!r} is a URL; give the host and the port alone: {url['authority'] or 'HOST'}",
            param_hint="--server",
        )
    if ":" not in server:
        raise typer.BadParameter(
            f"{server!r} lacks the port; the service listens on 50051 by default: {server}:50051",
            param_hint="--server",
        )
    if (client_cert is None) != (client_key is None):
        raise typer.BadParameter(
            "go together: give both or neither.", param_hint="--client-cert, --client-key"
        )
    if dangerously_plaintext and len(given) > 1:
        raise typer.BadParameter(
            "contradict each other: one requires TLS, the other forbids it.",
            param_hint=", ".join(given),
        )
    from otpc_policy.cli.remote import Remote  # noqa: PLC0415  # slow; --help needs none of it

    return Remote(
        address=server,
        timeout_s=timeout_s,
        ca_file=server_ca,
        certificate_file=client_cert,
        key_file=client_key,
        plaintext=dangerously_plaintext,
    )


def refuse_with_server(server: str | None, **options: object) -> None:
    """Refuse options that only the engine in this process can honour.

    options: by parameter name; an empty value means that the option was not given.
    """
    given = _given(options)
    if server is not None and given:
        raise typer.BadParameter(
            "changes what the engine in this process may do and trust; the service at --server"
            " judges by its own configuration. Leave one of them out.",
            param_hint=", ".join(given),
        )


def refuse_with_partner(partner: str, **options: object) -> None:
    """Refuse options that are about a single endpoint. options: see refuse_with_server."""
    given = _given(options)
    if partner and given:
        raise typer.BadParameter(
            "is about a single endpoint, and --partner is about all of a partner's.",
            param_hint=", ".join(given),
        )


def _given(options: Mapping[str, object]) -> list[str]:
    """Return the options that were given, as they are written. options: by parameter name."""
    return ["--" + name.replace("_", "-") for name, value in options.items() if value]
