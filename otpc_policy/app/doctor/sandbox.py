"""What the kernel offers to confine the processes that measure, tried in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from otpc_policy.app.doctor.result import Result, failed, ok, skipped, warning
from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.values import IsolationLevel

_COMMAND: Final = (sys.executable, "-P", "-m", "otpc_policy.engine.isolation")
_WITHIN_S: Final = 20.0
_REMEDY: Final = "use a kernel with Landlock and seccomp, and let the container use both"


def sandbox_of(settings: Settings) -> Result:
    """Return what is lacking, by how much the settings want it."""
    if settings.engine_addresses:
        return skipped("sandbox", "engines elsewhere measure: run the doctor there")
    try:
        done = subprocess.run(  # noqa: S603  # our own module
            _COMMAND, capture_output=True, text=True, timeout=_WITHIN_S, check=True
        )
        found: Mapping[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return failed("sandbox", f"it could not be tried: {type(error).__name__}", _REMEDY)
    return judged(found, settings.scan.isolation)


def judged(lacking: Mapping[str, str], level: IsolationLevel) -> Result:
    """Return the result. lacking: by means, "" where it works."""
    missing = [f"{means}: {reason}" for means, reason in lacking.items() if reason]
    if level is IsolationLevel.OFF:
        remedy = "remove scan.isolation: engines read what hostile servers send"
        return warning("sandbox", "scan.isolation is off", remedy)
    if not missing:
        return ok("sandbox", f"{', '.join(lacking)} work; scan.isolation is {level}")
    text = "; ".join(missing)
    if level is IsolationLevel.REQUIRE:
        return failed("sandbox", f"{text}; scan.isolation requires it", _REMEDY)
    return warning("sandbox", text, _REMEDY)
