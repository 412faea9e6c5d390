"""The sink for a collector: audit lines as OTLP log records."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otpc_policy.ops.audit.otlp import export_request, rejected_records
from otpc_policy.ops.audit.schema import each_line
from otpc_policy.ops.otlp_http import OtlpHttp

# Collectors take 20 MiB by default; a record takes about three times its line.
_RECORDS_A_REQUEST: Final = 512
_ATTEMPTS: Final = 4


class OtlpSink:
    """Sends lines to an endpoint such as https://collector:4318/v1/logs.

    ca_file, headers_file, pause: see OtlpHttp.
    """

    name = "otlp"

    def __init__(
        self,
        endpoint: str,
        *,
        timeout_s: float,
        ca_file: Path | None = None,
        headers_file: Path | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._collector = OtlpHttp(
            endpoint,
            default_path="/v1/logs",
            content_type="application/json",
            timeout_s=timeout_s,
            attempts=_ATTEMPTS,
            ca_file=ca_file,
            headers_file=headers_file,
            pause=pause,
        )
        self._instance = f"{socket.gethostname()}:{os.getpid()}"

    def write(self, lines: str) -> int:
        """See AuditSink."""
        refused, rest = 0, each_line(lines)
        for at in range(0, len(rest), _RECORDS_A_REQUEST):
            some = rest[at : at + _RECORDS_A_REQUEST]
            try:
                answer = self._collector.post(export_request(some, instance=self._instance))
                refused += min(rejected_records(answer), len(some))
            except OSError:
                if not at:
                    raise
                # Those before have been taken.
                return refused + len(rest) - at
        return refused

    def reopen(self) -> None:
        """Do nothing: there is no file."""

    def close(self) -> None:
        """See AuditSink."""
        self._collector.close()
