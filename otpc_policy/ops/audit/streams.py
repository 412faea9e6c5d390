"""The sinks for standard output and standard error."""

import json
from collections.abc import Callable

import structlog

from otpc_policy.ops.audit.schema import each_line
from otpc_policy.ops.line_writer import LineWriter


class StreamSink:
    """Writes lines to a stream. render: makes what is written of whole lines; None for as is."""

    def __init__(
        self, name: str, writer: LineWriter, render: Callable[[str], str] | None = None
    ) -> None:
        self._name, self._writer, self._render = name, writer, render

    @property
    def name(self) -> str:
        """See AuditSink."""
        return self._name

    def write(self, lines: str) -> int:
        """See AuditSink. What a stream took before it failed is not taken back."""
        self._writer.write(lines if self._render is None else self._render(lines))
        return 0

    def reopen(self) -> None:
        """Do nothing: the stream is the starter's."""

    def close(self) -> None:
        """Do nothing: the stream is the starter's."""


class ConsoleRenderer:
    """Makes columns for people of audit lines. The version of the schema says nothing to them."""

    def __init__(self, *, colors: bool) -> None:
        self._renderer = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time")

    def __call__(self, lines: str) -> str:
        return "".join(f"{self._rendered(line)}\n" for line in each_line(lines))

    def _rendered(self, line: str) -> str:
        fields = json.loads(line)
        fields.pop("schema", None)
        return str(self._renderer(None, fields["level"], fields))
