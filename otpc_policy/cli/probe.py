"""otpc-policy probe: whether the service or engine here is well, for the health check of an image.

It asks the operations port over plain HTTP on this machine and reads no settings model, so that it
costs little every few seconds. Where the port is, the program itself was told: a container runs one
as process 1, whose arguments and environment are those that count.
"""

import http.client
import os
import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from otpc_policy.cli.status import CommandFailed, ExitStatus

# As of the setting ops_listen; tests hold both together.
DEFAULT_ADDRESS: Final = "127.0.0.1:9464"
_FIRST_PROCESS: Final = Path("/proc/1/cmdline")
# Below the timeout of a health check.
_ANSWER_S: Final = 1.5
_MOST_BYTES: Final = 1024
_USAGE: Final = ExitStatus.USAGE


class Page(StrEnum):
    """What is asked: is it alive, ready for calls, or past its start."""

    LIVE = "livez"
    READY = "readyz"
    STARTED = "startupz"


def probe(
    *,
    page: Annotated[Page, typer.Argument(help="livez, readyz or startupz.")] = Page.LIVE,
    ops: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR",
            help="The operations port; by default that of the program in this container.",
        ),
    ] = None,
) -> None:
    """Ask whether the service or the engine here is well, as health checks of images do.

    Exit status: 0 it is, 1 it is not, or does not answer, 2 there is no operations port to ask.
    """
    address = ops or watched_address(_arguments_of_first_process(), os.environ)
    host, port = _reachable(address)
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", f"/{page}")
        answer = connection.getresponse()
        reason = answer.read(_MOST_BYTES).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed([f"{address}: {error or 'no answer'}"], ExitStatus.DENY) from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise CommandFailed([f"{address}: {page}: {reason}"], ExitStatus.DENY)
    typer.echo(reason)


def watched_address(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return where a program with these arguments has its operations port.

    An option counts more than the environment, and that more than the file. Raises CommandFailed
    for an engine without one, and for a file that cannot be read.
    """
    if given := _option(arguments, "--ops-listen"):
        return given
    if "engine" in arguments:
        raise CommandFailed(["the engine has no operations port: give it --ops-listen"], _USAGE)
    if of_environment := environment.get("OTPC_POLICY_OPS_LISTEN"):
        return of_environment
    file = _option(arguments, "--config") or environment.get("OTPC_POLICY_CONFIG")
    if not file:
        return DEFAULT_ADDRESS
    try:
        return str(tomllib.loads(Path(file).read_text("utf-8")).get("ops_listen", DEFAULT_ADDRESS))
    except (OSError, ValueError) as error:
        raise CommandFailed([f"{file}: {error}"], _USAGE) from None


def _option(arguments: Sequence[str], name: str) -> str:
    """Return the value of "--name value" or "--name=value", the last one; "" without."""
    found = ""
    for index, argument in enumerate(arguments):
        if argument.startswith(f"{name}="):
            found = argument.partition("=")[2]
        elif argument == name and index + 1 < len(arguments):
            found = arguments[index + 1]
    return found


def _arguments_of_first_process() -> Sequence[str]:
    try:
        return _FIRST_PROCESS.read_text("utf-8", "replace").split("\0")
    except OSError:
        return ()


def _reachable(address: str) -> tuple[str, int]:
    """Return host and port to connect to; a wildcard is reached over loopback."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise CommandFailed([f"{address}: must be host:port"], _USAGE)
    return {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]")), int(port)  # noqa: S104  # compared, not bound
