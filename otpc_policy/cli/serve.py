"""otpc-policy serve: the gRPC service in this process, until a signal ends it."""

import asyncio
import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from otpc_policy.cli.output import announce

if TYPE_CHECKING:
    from otpc_policy.app.settings import Settings


class ServeCommand(TyperCommand):
    """The command serve, whose help also lists every setting."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the settings, which are slow to import: only this help pays."""
        super().format_help(ctx, formatter)
        formatter.write("\n" + settings_text())


def serve(
    *,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR", help="Address and port of the gRPC server; default 127.0.0.1:50051."
        ),
    ] = None,
    ops_listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR",
            help="Address and port of /metrics and the probes; default 127.0.0.1:9464.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Settings in TOML; default: the file that OTPC_POLICY_CONFIG names, if any.",
        ),
    ] = None,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Open this private range too; may be repeated."),
    ] = None,
    allow_request_anchors: Annotated[
        bool,
        typer.Option(
            "--allow-request-anchors",
            help="ValidateCertificate accepts trust anchors from callers.",
        ),
    ] = False,
    dangerously_listen_without_tls: Annotated[
        bool,
        typer.Option(
            "--dangerously-listen-without-tls",
            help="Listen in plain text beyond loopback: anyone on the path can read and forge "
            "verdicts.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Go through the whole start, engines included, report every problem, and exit. "
            "Ports are not bound.",
        ),
    ] = False,
    show_settings: Annotated[
        bool,
        typer.Option(
            "--show-settings", help="List every setting with its variable and default, and exit."
        ),
    ] = False,
) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    SIGHUP reloads the catalog and log_level; SIGUSR1 logs what every thread and task is doing.

    Options take precedence over the environment, and the environment over the file.

    Exit status of --check: 0 the service would start, 2 it would refuse.
    """
    if show_settings:
        typer.echo(settings_text(), nl=False)
        return
    from otpc_policy.cli.configuration import read_settings  # noqa: PLC0415  # slow

    given: dict[str, Any] = {"listen": listen, "ops_listen": ops_listen}
    given |= {
        "allow_request_anchors": allow_request_anchors or None,
        "dangerously_listen_without_tls": dangerously_listen_without_tls or None,
    }
    settings = read_settings(config=config, allow_networks=allow_network or [], **given)
    if check:
        _check(settings)
    else:
        _run(settings, config)


def _run(settings: "Settings", config: str | None) -> None:
    from otpc_policy.app.log_level import LogLevelFile  # noqa: PLC0415
    from otpc_policy.app.serving import serve as run_server  # noqa: PLC0415
    from otpc_policy.app.settings import AuditSinkName  # noqa: PLC0415
    from otpc_policy.cli.outcome import problems_logged  # noqa: PLC0415  # slow
    from otpc_policy.ops.logs import logs_configured  # noqa: PLC0415

    log_format, level = settings.log_format.value, settings.log_level.value
    # Standard output is for audit lines alone, if it is. They say where the service listens.
    ready = None if AuditSinkName.STDOUT in settings.audit.sinks else _announce
    with (
        logs_configured(log_format, level, owns_standard_error=True) as writer,
        problems_logged("the service does not start", log_format),
    ):
        level_file = LogLevelFile.of(config)
        asyncio.run(run_server(settings, ready=ready, log_writer=writer, level_file=level_file))


def _check(settings: "Settings") -> None:
    """Report whether a service with these settings would start. Raises ConfigurationError."""
    from otpc_policy.app.clock import SystemClock  # noqa: PLC0415  # slow
    from otpc_policy.app.preflight import preflight  # noqa: PLC0415
    from otpc_policy.core.errors import ConfigurationError  # noqa: PLC0415
    from otpc_policy.ops.logs import logs_configured  # noqa: PLC0415

    with logs_configured(settings.log_format.value, settings.log_level.value):
        found = preflight(settings, SystemClock().now())
    for note in (*found.endings, *found.remarks):
        typer.echo(f"note: {note}")
    if found.problems:
        raise ConfigurationError(found.problems)
    typer.echo(
        f"ok: the service would start; that {settings.listen} and {settings.ops_listen} are free"
        " was not tried"
    )


def settings_text() -> str:
    """Return every setting: its variable and default, its key in the file, its description."""
    from otpc_policy.app.settings import describe_settings  # noqa: PLC0415  # slow

    width = min(shutil.get_terminal_size().columns, 120)
    lines = [
        "Settings, as environment variables; the key in the configuration file is in brackets:",
        "",
    ]
    for setting in describe_settings():
        default = f"={setting.default}" if setting.default else ""
        key = f"  [{setting.key}]" if setting.key else ""
        lines.append(f"  {setting.variable}{default}{key}")
        lines.extend(
            textwrap.wrap(
                setting.description, width, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        )
    return "\n".join(lines) + "\n"


def _announce(address: str, ops_address: str) -> None:
    announce(f"serving on {address} (metrics on http://{ops_address}/metrics)")
