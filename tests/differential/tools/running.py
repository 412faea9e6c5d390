"""Tools that are programs: run to their end or to a limit, never waited for without one."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

# The slowest tool needs half a minute for the most talkative server when nothing else runs.
LIMIT_S = 180.0


async def run(command: Sequence[str], directory: Path, *, environment: Mapping[str, str] | None = None, limit_s: float = LIMIT_S) -> tuple[str, str]:
    """Run a program in a directory of its own; return what it printed, and why it failed (empty if it did not)."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(limit_s):
            output, _ = await process.communicate()
    except TimeoutError:
        return "", f"did not end within {limit_s:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    return text, "" if process.returncode == 0 else f"exit status {process.returncode}"
