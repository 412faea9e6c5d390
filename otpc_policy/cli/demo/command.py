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
) -> None:
    """Start local partners and the service, check them through gRPC, print the verdicts.

    Needs no network and no other server: everything listens on 127.0.0.0/8. Exit status: 0 if every
    partner got its expected verdict, else 1.
    """
    from otpc_policy.cli.demo.run import play  # noqa: PLC0415  # slow; --help needs none of it

    if not asyncio.run(play(keep_running=keep_running)):
        raise typer.Exit(1)
