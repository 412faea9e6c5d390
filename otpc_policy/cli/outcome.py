"""How a program that serves ends for a reason: in its log, not in words between its lines."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import typer

from otpc_policy.cli.status import ExitStatus
from otpc_policy.core.errors import (
    OtpcPolicyError,
    Overloaded,
    ServiceUnavailable,
    StartRefused,
)
from otpc_policy.ops.logs import JSON_FORMAT


@contextmanager
def problems_logged(event: str, log_format: str) -> Iterator[None]:
    """Log what ends the program, and exit as the command line would have.

    With columns for people the command line says it in words, so an OtpcPolicyError goes on to it.
    """
    log = structlog.get_logger("otpc_policy.process")
    try:
        yield
    except OtpcPolicyError as error:
        if log_format != JSON_FORMAT:
            raise
        if not isinstance(error, StartRefused):
            log.error(event, problems=getattr(error, "problems", (str(error),)))
        is_over = isinstance(error, Overloaded | ServiceUnavailable)
        raise typer.Exit(ExitStatus.INDETERMINATE if is_over else ExitStatus.USAGE) from None
    except OSError as error:
        log.error(event, problems=(str(error),))
        raise typer.Exit(ExitStatus.USAGE) from None
    except typer.Exit:
        raise
    except Exception:
        log.exception("uncaught exception")
        raise typer.Exit(ExitStatus.INDETERMINATE) from None
