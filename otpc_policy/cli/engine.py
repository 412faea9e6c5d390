"""otpc-policy engine: the engine, in this process, until a signal ends it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otpc_policy.cli.output import announce

if TYPE_CHECKING:
    from otpc_policy.app.log_level import LogLevelWatch
    from otpc_policy.app.settings import Settings
    from otpc_policy.engine.listening import EngineTls

_UNIX = "unix:"


def engine(
    *,
    listen: Annotated[
        str,
        typer.Option(
            metavar="unix:/PATH | ADDR",
            help="A Unix socket, or address and port; TCP needs TLS and client certificates.",
        ),
    ],
    ops_listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR", help="Address and port of /metrics and the probes; none by default."
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Settings in TOML, as for serve; the engine uses those for measuring.",
        ),
    ] = None,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Open this private range too; may be repeated."),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM chain of this engine, leaf first.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM private key of that leaf.")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM CAs of the clients that may use this engine."),
    ] = None,
    dangerously_listen_without_tls: Annotated[
        bool,
        typer.Option(
            "--dangerously-listen-without-tls",
            help="Listen over TCP in plain text: anyone who reaches the port can make this engine "
            "connect anywhere.",
        ),
    ] = False,
) -> None:
    """Run an engine, which measures for services elsewhere, until SIGTERM or Ctrl-C.

    SIGHUP reads log_level in the configuration file again; SIGUSR1 logs every stack.

    An engine judges nothing. A service lists it in engine_addresses; otherwise `serve` starts
    engines as child processes.
    """
    from otpc_policy.app.engine_extra import require_engine  # noqa: PLC0415
    from otpc_policy.cli.configuration import read_settings  # noqa: PLC0415  # slow

    require_engine()
    files: dict[str, Any] = {
        "tls_certificate_file": tls_certificate,
        "tls_key_file": tls_key,
        "tls_client_ca_file": tls_client_ca,
        "dangerously_listen_without_tls": dangerously_listen_without_tls or None,
    }
    settings = read_settings(config=config, allow_networks=allow_network or [], **files)
    _run(settings, listen, _tls(settings, listen), ops_listen, config)


def _tls(settings: "Settings", listen: str) -> "EngineTls | None":
    """Return the files; None for a Unix socket, or for plain text. Raises ConfigurationError."""
    from otpc_policy.core.errors import ConfigurationError  # noqa: PLC0415
    from otpc_policy.engine.listening import EngineTls  # noqa: PLC0415  # slow

    if listen.startswith(_UNIX):
        return None
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    client_ca = settings.tls_client_ca_file
    if certificate is not None and key is not None and client_ca is not None:
        return EngineTls(certificate_file=certificate, key_file=key, client_ca_file=client_ca)
    if settings.dangerously_listen_without_tls:
        return None
    remedy = "tls_certificate_file, tls_key_file and tls_client_ca_file"
    remedy = f"set {remedy}, or dangerously_listen_without_tls = true"
    raise ConfigurationError(
        [f"--listen: {listen} is TCP, so the engine needs mutual TLS: {remedy}"]
    )


def _host_and_port(ops_listen: str | None) -> tuple[str, int] | None:
    from otpc_policy.app.settings import split_address  # noqa: PLC0415  # slow

    try:
        return None if ops_listen is None else split_address(ops_listen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ops-listen") from None


def _run(
    settings: "Settings",
    listen: str,
    tls: "EngineTls | None",
    ops_listen: str | None,
    config: str | None,
) -> None:
    import structlog  # noqa: PLC0415  # slow

    from otpc_policy.app.admission import debug_page_warnings  # noqa: PLC0415
    from otpc_policy.app.log_level import LogLevelFile, LogLevelWatch  # noqa: PLC0415
    from otpc_policy.app.settings.engine_part import engine_part  # noqa: PLC0415
    from otpc_policy.app.settings.redaction import redacted, shortened  # noqa: PLC0415
    from otpc_policy.cli.outcome import problems_logged  # noqa: PLC0415  # slow
    from otpc_policy.engine import confinement  # noqa: PLC0415  # slow
    from otpc_policy.engine.configuration import configuration_from  # noqa: PLC0415
    from otpc_policy.engine.program import run_engine  # noqa: PLC0415
    from otpc_policy.ops.logs import logs_configured, set_log_level  # noqa: PLC0415

    pages = _host_and_port(ops_listen)
    part = engine_part(settings)
    configuration = configuration_from(part)
    # Before the environment is forgotten.
    level_file = LogLevelFile.of(config)
    also_readable = () if level_file is None else (level_file.path,)
    # Before the event loop opens its own descriptors.
    confinement.start_clean()
    missing = confinement.confine(configuration, listen, tls, also_readable=also_readable)
    log_format, level = configuration.log_format, configuration.log_level
    with (
        logs_configured(log_format, level, owns_standard_error=True),
        problems_logged("the engine does not start", log_format),
    ):
        confinement.report(missing)
        for reason in () if ops_listen is None else debug_page_warnings(settings, ops_listen):
            structlog.get_logger("otpc_policy.engine").warning("open_to_callers", reason=reason)
        watch = LogLevelWatch(level_file, settings.log_level, set_log_level)
        run = partial(
            run_engine,
            configuration,
            listen,
            tls=tls,
            ops_listen=pages,
            has_logs=True,
            lacking=missing,
            debug_settings=shortened(redacted(part)) if settings.debug_page else None,
        )
        asyncio.run(_serve(run, watch, settings.reload_poll_s))


async def _serve(
    run: "Callable[..., Coroutine[None, None, None]]", watch: "LogLevelWatch", poll_s: float
) -> None:
    from otpc_policy.engine.program import Stopping, stopped_by_signals  # noqa: PLC0415
    from otpc_policy.ops.stack_dump import stack_dumps_on_signal  # noqa: PLC0415

    stopping = Stopping()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, watch.ask)
    watching = asyncio.create_task(watch.watch(poll_s))
    try:
        with stopped_by_signals(stopping), stack_dumps_on_signal():
            # A line, flushed: the parent process waits for it.
            await run(stopping=stopping, ready=lambda address: announce(f"measuring on {address}"))
    finally:
        watching.cancel()
        loop.remove_signal_handler(signal.SIGHUP)
    if stopping.is_to_be_replaced:
        # Whoever starts programs anew where they fail (systemd, Docker) does it here too.
        raise typer.Exit(1)
