"""otpc-policy watch: changes of verdicts as they come, until Ctrl-C."""

from collections.abc import Iterator, Sequence
from threading import Timer
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.options import (
    ClientCertificateOption,
    ClientKeyOption,
    PlaintextOption,
    ServerCaOption,
    TimeoutOption,
    service,
)
from otpc_policy.cli.output import (
    OutputFormat,
    as_json_line,
    as_text,
    complain,
    is_for_people,
    write,
)

if TYPE_CHECKING:
    from otpc_policy.cli.following import Followed
    from otpc_policy.v1 import policy_pb2 as pb

# What a shell gives for a program that SIGINT ended.
_INTERRUPTED = 130
# Before it is said that the service has not answered: it is asked again for a minute and more.
_PATIENCE_S = 5.0


def watch(
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
    cursor: Annotated[
        str,
        typer.Option(
            "--cursor", metavar="CURSOR", help="Go on from here: the last cursor that was printed."
        ),
    ] = "",
    format: Annotated[  # noqa: A002  # the name of the option
        OutputFormat | None,
        typer.Option(
            "--format",
            help="table is the default on a terminal: a line for each change. Else json: one JSON"
            " object a line, with change, listed or cursor.",
        ),
    ] = None,
) -> None:
    """Print changes of the verdicts about endpoints that a service watches, as they come.

    It begins with what holds now, goes on by itself where a connection ends, and says so where
    changes may have been missed: then everything is listed again. Ctrl-C ends it.

    Exit status: 0 when nobody reads its output any more, 130 after Ctrl-C; 2 wrong command line or
    file, 3 the service cannot be followed.
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
    show = _show_for_people if is_for_people(format) else _show_as_json
    has_listed = bool(cursor)
    try:
        for followed in _said_where_silent(remote.followed(partner, cursor), server):
            if followed.listed is not None:
                if has_listed:
                    complain("changes may have been missed; this is what holds now")
                has_listed = True
            if not show(followed):
                raise typer.Exit  # nobody reads it any more, as after `head`
            cursor = followed.cursor
    except KeyboardInterrupt:
        if cursor:
            complain(f"ended; to go on from here: --cursor {cursor}")
        raise typer.Exit(_INTERRUPTED) from None


def _said_where_silent(all_followed: "Iterator[Followed]", server: str) -> "Iterator[Followed]":
    """Yield what is followed; complain once where the first of it is long in coming."""
    text = f"no answer yet from {server}; it is asked again, until Ctrl-C or a dozen failures"
    notice = Timer(_PATIENCE_S, complain, (text,))
    notice.daemon = True
    notice.start()
    try:
        for followed in all_followed:
            notice.cancel()
            yield followed
    finally:
        notice.cancel()


def _show_for_people(followed: "Followed") -> bool:
    from datetime import UTC, datetime  # noqa: PLC0415  # as in the other commands

    from otpc_policy.cli.render.verdict_changes import change_line  # noqa: PLC0415  # slow
    from otpc_policy.cli.render.watched import watched_view  # noqa: PLC0415  # slow

    text = ""
    if followed.listed is not None:
        text = as_text(watched_view(followed.listed, datetime.now(UTC)))
    return write(text + "".join(as_text(change_line(change)) for change in followed.changes))


def _show_as_json(followed: "Followed") -> bool:
    lines = [*_lines("listed", followed.listed or ()), *_lines("change", followed.changes)]
    # After what it stands for, so that whoever keeps it has read all of that.
    lines.append(as_json_line({"cursor": followed.cursor}))
    return write("".join(lines))


def _lines(
    key: str, messages: "Sequence[pb.WatchedEndpoint] | Sequence[pb.VerdictChange]"
) -> list[str]:
    return [as_json_line({key: message}) for message in messages]
