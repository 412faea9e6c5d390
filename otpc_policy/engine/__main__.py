"""The engine that a front starts: configured by one line on standard input, ended with it.

`otpc-policy engine` is the same program for operators. This one reads neither environment nor
files: the line holds a JSON object with "listen" and "settings" (see settings.engine_part). When
the engine answers it writes one line; from then on it ends, without waiting for anything, as soon
as its standard input does. Until then further lines may come: {"log_level": "debug"}.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine import confinement, isolation
from otpc_policy.engine.configuration import EngineConfiguration, configuration_from
from otpc_policy.engine.program import Stopping, run_engine
from otpc_policy.ops.logs import logs_configured, set_log_level
from otpc_policy.ops.stack_dump import stack_dumps_on_signal

READY: Final = b"ready\n"
# Answers come before measurements: with 40 cold checks a second on two cores, this halves the
# 99th percentile of cached answers. Workers inherit it.
_NICENESS: Final = 10
# As the command line has it.
_EXIT_CONFIGURATION: Final = 2
_ORDER_BYTES: Final = 4_096

_log = structlog.get_logger("otpc_policy.engine")


async def _serve(configuration: EngineConfiguration, listen: str, ready_pipe: int) -> None:
    stopping = Stopping()
    orders = _LaterOrders(stopping.abandon)
    descriptor = sys.stdin.fileno()
    asyncio.get_running_loop().add_reader(descriptor, lambda: orders.hear(_read(descriptor)))
    with stack_dumps_on_signal():
        await run_engine(
            configuration,
            listen,
            stopping=stopping,
            ready=lambda _address: _announce(ready_pipe),
        )


class _LaterOrders:
    """What the front says after its first line. ended: is called when it says nothing more."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._rest = b""

    def hear(self, chunk: bytes) -> None:
        """Take what has come; nothing at the end."""
        if not chunk:
            self._ended()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line)
            set_log_level(str(order["log_level"]))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _ORDER_BYTES)
    except OSError:  # the front is gone
        return b""


def _announce(ready_pipe: int) -> None:
    os.write(ready_pipe, READY)
    os.close(ready_pipe)


def _give_way() -> None:
    os.nice(_NICENESS)
    if os.getsid(0) != os.getpid():
        return
    # Where the kernel shares its time among sessions (sched(7), "The autogroup feature"), niceness
    # counts inside of one alone, and the session has a niceness itself. Elsewhere there is no such
    # file, or writing to it has no effect.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICENESS), "ascii")


def main() -> None:
    """Serve until standard input ends."""
    isolation.end_with_parent()
    _give_way()
    confinement.start_clean()
    ready_pipe = os.dup(1)
    # Nothing that a library prints may be taken for the announcement.
    os.dup2(2, 1)
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    configuration, listen = configuration_from(order["settings"]), str(order["listen"])
    try:
        missing = confinement.confine(configuration, listen)
        with logs_configured(configuration.log_format, configuration.log_level):
            confinement.report(missing)
        asyncio.run(_serve(configuration, listen, ready_pipe))
    except ConfigurationError as error:
        with logs_configured(configuration.log_format, configuration.log_level):
            _log.error("the engine does not start", problems=error.problems)
        os._exit(_EXIT_CONFIGURATION)
    # The server still has its calls, but their callers are gone.
    os._exit(0)


if __name__ == "__main__":
    main()
