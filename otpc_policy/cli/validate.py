"""otpc-policy validate: a chain in a file, judged in this process or by a running service."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.certificates import STDIN, is_pem, read_anchors, read_chain_file
from otpc_policy.cli.options import (
    FormatOption,
    PlaintextOption,
    PolicyOption,
    ServerCaOption,
    ServerOption,
    TimeoutOption,
    service,
)
from otpc_policy.cli.output import answer, progress

if TYPE_CHECKING:
    from otpc_policy.v1 import policy_pb2 as pb


def validate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="The chain, leaf first, in PEM; or one certificate in DER; - is stdin.",
        ),
    ],
    *,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="HOST",
            help="The host that the leaf must match. Without it the answer cannot be ALLOW.",
        ),
    ] = "",
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Judge at this instant (RFC 3339, such as 2025-01-31T12:00:00Z), not now.",
        ),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            "--anchor",
            metavar="FILE",
            help="Trust these CAs too, for this request (PEM or DER); may be repeated.",
        ),
    ] = None,
    server: ServerOption = None,
    server_ca: ServerCaOption = None,
    dangerously_plaintext: PlaintextOption = False,
    policy: PolicyOption = "",
    timeout: TimeoutOption = 30.0,
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """Judge a certificate chain. Opens no connection to the partner.

    Exit status: 0 ALLOW, 1 DENY, 3 INDETERMINATE or not judged, 2 wrong command line, file or
    setting.
    """
    remote = service(server, server_ca, dangerously_plaintext, timeout)
    judged_at = None if at is None else _instant(at)
    content = read_chain_file(file)
    anchors = [certificate for path in anchor or [] for certificate in read_anchors(path)]

    from otpc_policy.cli.render.verdict import validation_view  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.cli.status import exit_status  # noqa: PLC0415

    request = _request(content, policy, name, judged_at, anchors)
    if remote is not None:
        with progress(f"waiting for {server}"):
            response = remote.validate(request)
    else:
        from otpc_policy.cli.local import validate_locally  # noqa: PLC0415

        response = validate_locally(request)
    subject = f"{'stdin' if file == STDIN else file}{f' for {name}' if name else ''}"
    answer(response, lambda: validation_view(response, subject), format)
    raise typer.Exit(exit_status(response.decision))


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time such as 2025-01-31 or 2025-01-31T12:00:00Z", param_hint="--at"
        ) from None
    # A day or a time without an offset means UTC, like every instant that this program prints.
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _request(
    content: bytes, policy: str, name: str, judged_at: datetime | None, anchors: list[bytes]
) -> "pb.ValidateCertificateRequest":
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415  # slow; --help needs none of it

    request = pb.ValidateCertificateRequest(
        policy=policy, server_name=name, trust_anchors=anchors, view=pb.VIEW_FULL
    )
    if is_pem(content):
        request.pem_bundle = content.decode("utf-8", "replace")
    else:
        request.der_chain.certificates.append(content)
    if judged_at is not None:
        request.validation_time.FromDatetime(judged_at)
    return request
