"""Tells what the kernel offers for isolation, by taking each step in this process, and ends.

`python -m otpc_policy.engine.isolation` prints a JSON object: by means, what is lacking, or "".
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Final

from otpc_policy.engine.isolation import (
    HANDSHAKE_CALLS,
    attempt,
    confine_files,
    confine_syscalls,
    forbid_calls_on_others,
    forbid_new_privileges,
)


def _limit_calls() -> None:
    forbid_calls_on_others()
    confine_syscalls(HANDSHAKE_CALLS)


# In the order in which engines and their workers take them: each one is needed by the next.
_MEANS: Final[dict[str, Callable[[], None]]] = {
    "no_new_privs": forbid_new_privileges,
    "landlock": confine_files,
    "seccomp": _limit_calls,
}


def main() -> None:
    """Print what is lacking."""
    lacking = {name: "; ".join(attempt("require", step)) for name, step in _MEANS.items()}
    sys.stdout.write(json.dumps(lacking) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
