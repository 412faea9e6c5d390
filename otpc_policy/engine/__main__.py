"""The engine that a front starts: told by one line on standard input, ended with it.

`otpc-policy engine` is the same program for operators. This one reads neither environment nor
files: the line holds a JSON object with "listen" and "settings" (see settings.engine_part). When
the engine answers it writes one line; from then on it ends, without waiting for anything, as soon
as its standard input does.
"""

import asyncio
import json
import os
import sys
from typing import Any, Final

from otpc_policy.engine import isolation
from otpc_policy.engine.configuration import configuration_from
from otpc_policy.engine.program import Stopping, run_engine

READY: Final = b"ready\n"


async def _serve(order: dict[str, Any], ready_pipe: int) -> None:
    stopping = Stopping()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopping.abandon)
    await run_engine(
        configuration_from(order["settings"]),
        order["listen"],
        stopping=stopping,
        ready=lambda _address: _announce(ready_pipe),
    )


def _announce(ready_pipe: int) -> None:
    os.write(ready_pipe, READY)
    os.close(ready_pipe)


def main() -> None:
    """Serve until standard input ends."""
    isolation.end_with_parent()
    ready_pipe = os.dup(1)
    # Nothing that a library prints may be taken for the announcement.
    os.dup2(2, 1)
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    asyncio.run(_serve(order, ready_pipe))
    # The server still has its calls, and whoever made them is gone.
    os._exit(0)


if __name__ == "__main__":
    main()
