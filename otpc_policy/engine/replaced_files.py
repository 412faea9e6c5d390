"""Files about names that were replaced after the engine gave up the right to open new ones.

The rights of Landlock are those of a file and not of its path. Whoever changes /etc/resolv.conf or
/etc/hosts by putting another file in its place (systemd-resolved, NetworkManager, dhclient, most
editors) takes it from the engine, which would resolve nothing any more, or leave out what the file
says. It cannot have the right back: it ends, and is started anew.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LOOK_S: Final = 2.0


async def until_replaced(paths: Sequence[Path]) -> Path:
    """Return the first path that may be read now and may not later on."""
    watched = [path for path in paths if not _is_forbidden(path)]
    while True:
        for path in watched:
            if _is_forbidden(path):
                return path
        await asyncio.sleep(_LOOK_S)


def _is_forbidden(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return True
    except OSError:
        pass  # there is none: nobody needs a right to it
    return False
