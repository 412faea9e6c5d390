"""Tools that are programs: run to their end or to a limit, never waited for without one."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

# testssl.sh needs half a minute for the most talkative server when nothing else runs, and many times that on a busy machine.
LIMIT_S = 600.0


async def run(command: Sequence[str], directory: Path, *, environment: Mapping[str, str] | None = None, limit_s: float = LIMIT_S) -> tuple[str, str]:
    """Run a program in a directory of its own; return what it printed, and why it failed (empty if it did not)."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # A group of its own, so that what a script has started ends with it.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limit_s):
            output, _ = await process.communicate()
    except TimeoutError:
        return "", f"did not end within {limit_s:g} s"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    text = output.decode(errors="replace")
    return text, "" if process.returncode == 0 else f"exit status {process.returncode}"
