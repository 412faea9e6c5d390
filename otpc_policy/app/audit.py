"""Builds the audit trail from the settings."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from otpc_policy.app.collector_files import require_collector_files
from otpc_policy.app.settings import AuditSettings, AuditSinkName, LogFormat, Settings
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.audit.chain import Link
from otpc_policy.ops.audit.file_sink import Anchored, FileSink, head_path
from otpc_policy.ops.audit.otlp_sink import OtlpSink
from otpc_policy.ops.audit.port import AuditSink
from otpc_policy.ops.audit.schema import line_of
from otpc_policy.ops.audit.streams import ConsoleRenderer, StreamSink
from otpc_policy.ops.audit.trail import AuditTrail, EventLog
from otpc_policy.ops.line_writer import LineWriter


def audit_trail(settings: Settings, standard_error: LineWriter) -> AuditTrail:
    """Return the trail, its file open. standard_error: what the log is written with.

    Raises ConfigurationError if a sink cannot be used.
    """
    trail = AuditTrail(
        _sinks(settings, standard_error, lambda path, link: _anchor(trail, path, link)),
        allow_rate=settings.audit.allow_rate,
        refusal_lines_per_s=settings.audit.refusal_lines_per_s,
    )
    return trail


def require_sinks(settings: Settings) -> None:
    """Raise ConfigurationError if a sink could not be used. The file is looked at, not opened."""
    chosen = settings.audit
    if AuditSinkName.OTLP in chosen.sinks:
        _otlp_sink(chosen)
    if AuditSinkName.FILE not in chosen.sinks or chosen.log_file is None:
        return
    written = (head_path(chosen.log_file), chosen.log_file) if chosen.chain else (chosen.log_file,)
    problems = [f"audit.log_file: {problem}" for path in written for problem in _unusable(path)]
    if problems:
        raise ConfigurationError(problems[:1])


def _unusable(path: Path) -> Iterator[str]:
    """Yield why a file could not be opened for audit lines, in the words of the sink."""
    if path.is_dir():
        yield f"{path}: {os.strerror(errno.EISDIR)}"
    elif path.exists() and not path.is_file():
        yield f"{path}: is not a regular file"
    elif not path.exists() and not path.parent.exists():
        yield f"{path}: {os.strerror(errno.ENOENT)}"
    elif not (
        os.access(path, os.R_OK | os.W_OK)
        if path.exists()
        else os.access(path.parent, os.W_OK | os.X_OK)
    ):
        yield f"{path}: {os.strerror(errno.EACCES)}"


def no_audit_trail() -> AuditTrail:
    """Return a trail without sinks: a command for people records nothing."""
    return AuditTrail(())


def event_log(trail: AuditTrail) -> EventLog:
    """Return what records events of the configuration.

    They are for people, too: where no audit line is on standard error, the log has them.
    """
    if any(outlet.name == AuditSinkName.STDERR.value for outlet in trail.outlets):
        return trail.event_log()
    return trail.event_log(also=structlog.get_logger("otpc_policy.configuration"))


def _sinks(
    settings: Settings, standard_error: LineWriter, anchored: Anchored
) -> Iterator[AuditSink]:
    chosen = settings.audit
    # The file first: it closes first, and then leaves an anchor in the others.
    for name in sorted(chosen.sinks, key=lambda sink: sink is not AuditSinkName.FILE):
        match name:
            case AuditSinkName.STDERR:
                yield StreamSink(name.value, standard_error, _render(settings, standard_error))
            case AuditSinkName.STDOUT:
                standard_output = LineWriter(sys.stdout)
                yield StreamSink(name.value, standard_output, _render(settings, standard_output))
            case AuditSinkName.FILE if chosen.log_file is not None:
                yield _file_sink(chosen.log_file, chosen.chain, anchored)
            case AuditSinkName.OTLP:
                yield _otlp_sink(chosen)


def _file_sink(path: Path, chain: bool, anchored: Anchored) -> FileSink:
    sink = FileSink(path, is_chained=chain, anchored=anchored)
    try:
        sink.open()
    except OSError as error:
        problem = f"audit.log_file: {error.filename or path}: {error.strerror or error}"
        raise ConfigurationError([problem]) from None
    return sink


def _otlp_sink(chosen: AuditSettings) -> OtlpSink:
    require_collector_files("audit", chosen.otlp_ca_file, chosen.otlp_headers_file)
    return OtlpSink(
        chosen.otlp_endpoint,
        timeout_s=chosen.otlp_timeout_s,
        ca_file=chosen.otlp_ca_file,
        headers_file=chosen.otlp_headers_file,
    )


def _anchor(trail: AuditTrail, path: Path, link: Link) -> None:
    """Note outside of a chained file how far its chain has got: in every other sink, or the log."""
    fields = {"file": str(path), "seq": link.seq, "chain": link.hash}
    others = [outlet for outlet in trail.outlets if outlet.name != AuditSinkName.FILE.value]
    for outlet in others:
        outlet.put(line_of("info", "audit_anchor", fields), 1)
    if not others:
        structlog.get_logger("otpc_policy.audit").info("audit_anchor", **fields)


def _render(settings: Settings, writer: LineWriter) -> Callable[[str], str] | None:
    if settings.log_format is LogFormat.JSON:
        return None
    return ConsoleRenderer(colors=writer.stream.isatty())
