"""otpc-policy demo: partners of every kind, the service, and its verdicts, all in this process."""

import asyncio
from typing import Annotated

import typer


def demo(
    *,
    keep_running: Annotated[
        bool,
        typer.Option(
            "--keep-running",
            help="Leave partners and service up after the table, to play with, until Ctrl-C.",
        ),
    ] = False,
    listen: Annotated[
        str,
        typer.Option(metavar="ADDR", help="Address and port of the demo's service."),
    ] = "127.0.0.1:0",
    ops_listen: Annotated[
        str, typer.Option(metavar="ADDR", help="Address and port of its metrics and probes.")
    ] = "127.0.0.1:0",
    dangerously_listen_without_tls: Annotated[
        bool,
        typer.Option(
            "--dangerously-listen-without-tls",
            help="Listen in plain text beyond loopback, as in a network of containers.",
        ),
    ] = False,
) -> None:
    """Start local partners and the service, check them through gRPC, print the verdicts.

    Needs no network and no other server: everything listens on 127.0.0.0/8, unless --listen opens
    the service to others; its partners stay where they are. Exit status: 0 if every
    partner got its expected verdict, else 1.
    """
    from otpc_policy.cli.demo.run import Listeners, play  # noqa: PLC0415  # slow; --help needs none of it

    listeners = Listeners(
        listen=listen,
        ops_listen=ops_listen,
        dangerously_listen_without_tls=dangerously_listen_without_tls,
    )
    if not asyncio.run(play(listeners, keep_running=keep_running)):
        raise typer.Exit(1)
