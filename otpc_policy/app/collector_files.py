"""The files that say how a collector is reached, read once at the start."""

import ssl
from pathlib import Path

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.otlp_http import read_headers


def require_collector_files(table: str, ca_file: Path | None, headers_file: Path | None) -> None:
    """Raise ConfigurationError if these could not be used. table: of the settings, for messages."""
    problems = []
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "holds no readable certificate (PEM)"
        problems.append(f"{table}.otlp_ca_file: {ca_file}: {reason}")
    if headers_file is not None:
        try:
            read_headers(headers_file)
        except OSError as error:
            problems.append(f"{table}.otlp_headers_file: {error}")
    if problems:
        raise ConfigurationError(problems)
