"""otpc-policy validate: a chain in a file, judged in this process or by a running service."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.certificates import STDIN, read_anchors, read_chain
from otpc_policy.cli.given import in_words_of
from otpc_policy.cli.options import (
    ClientCertificateOption,
    ClientKeyOption,
    FormatOption,
    PlaintextOption,
    PolicyOption,
    ServerCaOption,
    ServerOption,
    TimeoutOption,
    service,
)
from otpc_policy.cli.output import answer, complain, progress

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
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    policy: PolicyOption = "",
    timeout: TimeoutOption = 30.0,
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """Judge a certificate chain. Opens no connection to the partner.

    Exit status: 0 ALLOW, 1 DENY, 3 INDETERMINATE or not judged, 2 wrong command line, file or
    setting.
    """
    remote = service(
        server,
        server_ca,
        dangerously_plaintext,
        timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    judged_at = None if at is None else _instant(at)
    chain = read_chain(file)
    anchors = [(path, certificate) for path in anchor or [] for certificate in read_anchors(path)]

    from otpc_policy.cli.render.verdict import validation_view  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.cli.status import exit_status  # noqa: PLC0415

    request = _request(chain, policy, name, judged_at, [anchor for _, anchor in anchors])
    place = "stdin" if file == STDIN else file
    with in_words_of(_given(place, name, at, [path for path, _ in anchors])):
        if remote is not None:
            with progress(f"waiting for {server}"):
                response = remote.validate(request)
        else:
            from otpc_policy.cli.local import validate_locally  # noqa: PLC0415

            response = validate_locally(request)
    subject = f"{place}{f' for {name}' if name else ''}"
    answer(response, lambda: validation_view(response, subject), format)
    raise typer.Exit(exit_status(response.decision))


def _given(place: str, name: str, at: str | None, anchors: Sequence[str]) -> Mapping[str, str]:
    """Return what the user gave for each field of the request, as a subject of sentences."""
    files = ", ".join(dict.fromkeys(anchors))
    return {
        "der_chain.certificates": place,
        "server_name": f"--name: {name!r}",
        "validation_time": f"--at: {at!r}",
        "trust_anchors": f"--anchor: {files}:",
        **{f"trust_anchors[{index}]": f"--anchor: {path}" for index, path in enumerate(anchors)},
    }


# 2026-06-01 and 2026-W23-1.
_LONGEST_DATE = 10


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time such as 2025-01-31 or 2025-01-31T12:00:00Z", param_hint="--at"
        ) from None
    # A day or a time without an offset means UTC, like every instant that this program prints.
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
        lacks = "no time" if len(text) <= _LONGEST_DATE else "no zone"
        complain(f"--at: {text} has {lacks}; judged at {instant:%Y-%m-%dT%H:%M:%SZ}")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise typer.BadParameter(
            f"{text!r} is in no year from 1 to 9999 (UTC)", param_hint="--at"
        ) from None


def _request(
    chain: Sequence[bytes],
    policy: str,
    name: str,
    judged_at: datetime | None,
    anchors: Sequence[bytes],
) -> "pb.ValidateCertificateRequest":
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415  # slow; --help needs none of it

    request = pb.ValidateCertificateRequest(
        policy=policy,
        server_name=name,
        trust_anchors=anchors,
        view=pb.VIEW_FULL,
        der_chain=pb.DerChain(certificates=chain),
    )
    if judged_at is not None:
        request.validation_time.FromDatetime(judged_at)
    return request
