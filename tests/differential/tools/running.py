"""Runs tools that are programs, always with a time limit."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

# On an idle machine testssl.sh needs half a minute for the server with the most suites, on a busy
# machine many times that.
LIMIT_S = 600.0


async def run(
    command: Sequence[str],
    directory: Path,
    *,
    environment: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> tuple[str, str]:
    """Run a program in its own directory; return its output, and why it failed (empty if not)."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Its own process group, so that processes started by a script end with it.
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
