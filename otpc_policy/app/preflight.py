"""Everything that could keep the service from starting, looked at without serving.

It takes the steps of the start itself and collects what each refuses. Only the ports are not bound,
and the audit file is not opened: where the service is running already, these are rightly in use.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509

from otpc_policy.app.application import Application, build_application
from otpc_policy.app.audit import require_sinks
from otpc_policy.app.listen import own_credentials
from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.without_effect import without_effect
from otpc_policy.catalog.partners.deadlines import ENDS_SOON
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engines.errors import EngineNotStarted
from otpc_policy.ops.open_files import open_files_limit

_Result = TypeVar("_Result")

LEAST_OPEN_FILES: Final = 64
"""At rest the service takes 25 with two engines; the others are for callers."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a start would meet, each line with its setting or file.

    problems: what ends it. endings: certificates of our own that have expired, or will within a
    month; the service starts with them. remarks: settings without effect.
    """

    problems: Sequence[str] = ()
    endings: Sequence[str] = ()
    remarks: Sequence[str] = ()


def preflight(settings: Settings, now: datetime) -> Preflight:
    """Go through a start, engines included, which are started and ended again."""
    problems: list[str] = []
    _collect(problems, lambda: open_files_limit(at_least=LEAST_OPEN_FILES))
    _collect(problems, lambda: own_credentials(settings))
    _collect(problems, lambda: require_sinks(settings))
    application = _collect(problems, lambda: build_application(settings, is_replica=True))
    if application is not None:
        _collect(problems, lambda: asyncio.run(_start_engines(application)))
    return Preflight(problems, own_certificates_ending(settings, now), tuple(_remarks(settings)))


def own_certificates_ending(settings: Settings, now: datetime) -> Sequence[str]:
    """Return a line for each certificate of the settings that has expired, or ends soon.

    Files that cannot be read are passed over: they are problems, and reported as such.
    """
    files = {
        "tls_certificate_file": settings.tls_certificate_file,
        "tls_client_ca_file": settings.tls_client_ca_file,
        "engine_certificate_file": settings.engine_certificate_file,
        "engine_ca_file": settings.engine_ca_file,
    }
    lines = []
    for setting, path in files.items():
        for number, end in enumerate(() if path is None else _ends(path), 1):
            if end - ENDS_SOON <= now:
                verb = "expired" if end <= now else "expires"
                at = end.astimezone(UTC).isoformat()
                lines.append(f"{setting}: {path}: certificate {number} {verb} at {at}")
    return lines


async def _start_engines(application: Application) -> None:
    async with application:
        pass


def _collect(problems: list[str], step: Callable[[], _Result]) -> _Result | None:
    try:
        return step()
    except ConfigurationError as error:
        problems.extend(error.problems)
    except EngineNotStarted as error:
        problems.append(f"engines: {error}")
    return None


def _ends(path: Path) -> Sequence[datetime]:
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
        return [certificate.not_valid_after_utc for certificate in certificates]
    except (OSError, ValueError):
        return ()


def _remarks(settings: Settings) -> Sequence[str]:
    return [f"{setting}: has no effect: {reason}" for setting, reason in without_effect(settings)]
