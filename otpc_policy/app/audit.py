"""Builds the audit trail from the settings."""

import sys
from collections.abc import Callable, Iterator

import structlog

from otpc_policy.app.settings import AuditSinkName, LogFormat, Settings
from otpc_policy.ops.audit.port import AuditSink
from otpc_policy.ops.audit.streams import ConsoleRenderer, StreamSink
from otpc_policy.ops.audit.trail import AuditTrail, EventLog
from otpc_policy.ops.line_writer import LineWriter


def audit_trail(settings: Settings, standard_error: LineWriter) -> AuditTrail:
    """Return the trail. standard_error: what the log is written with.

    Raises ConfigurationError if a sink cannot be used.
    """
    return AuditTrail(
        _sinks(settings, standard_error),
        allow_rate=settings.audit.allow_rate,
        refusal_lines_per_s=settings.audit.refusal_lines_per_s,
    )


def event_log(settings: Settings, trail: AuditTrail) -> EventLog:
    """Return what records events of the configuration.

    They are for people, too: where no audit line is on standard error, the log has them.
    """
    if AuditSinkName.STDERR in settings.audit.sinks:
        return trail.event_log()
    return trail.event_log(also=structlog.get_logger("otpc_policy.configuration"))


def _sinks(settings: Settings, standard_error: LineWriter) -> Iterator[AuditSink]:
    for name in settings.audit.sinks:
        match name:
            case AuditSinkName.STDERR:
                yield StreamSink(name.value, standard_error, _render(settings, standard_error))
            case AuditSinkName.STDOUT:
                standard_output = LineWriter(sys.stdout)
                yield StreamSink(name.value, standard_output, _render(settings, standard_output))


def _render(settings: Settings, writer: LineWriter) -> Callable[[str], str] | None:
    if settings.log_format is LogFormat.JSON:
        return None
    return ConsoleRenderer(colors=writer.stream.isatty())
