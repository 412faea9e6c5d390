"""The files that the configuration names: certificates, keys, passwords, documents, sinks."""

import os
import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from otpc_policy.app.application import Application, build_application
from otpc_policy.app.audit import require_sinks
from otpc_policy.app.doctor.result import Result, failed, ok, skipped, warning
from otpc_policy.app.listen import own_credentials
from otpc_policy.app.preflight import LEAST_OPEN_FILES, own_certificates_ending
from otpc_policy.app.settings import Settings
from otpc_policy.app.webhook import require_webhook
from otpc_policy.catalog.partners.deadlines import DeadlineKind
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.open_files import open_files_limit

_CHMOD: Final = "chmod 600, or 0440 for a group of its own"
# What a service with default settings may need at the same time: connections, engines, logs.
_WANTED_OPEN_FILES: Final = 8_192


def files_of(settings: Settings, now: datetime) -> Iterator[Result]:
    """Yield a result for each kind of file but the documents."""
    yield _open_files()
    yield from _certificates(settings, now)
    yield from _secrets(settings)
    yield _webhook(settings)
    yield _tried("audit", lambda: require_sinks(settings), _sinks(settings))


def documents_of(settings: Settings) -> tuple[list[Result], Application | None]:
    """Return results about policies, partners, trust and roles, and the service that they make.

    It is not started; None if they cannot be used.
    """
    try:
        application = build_application(settings)
    except ConfigurationError as error:
        remedy = "correct the documents; otpc-policy policy lint --config says more"
        return [failed("catalog", problem, remedy) for problem in error.problems], None
    catalog = application.reloader.current
    policies = len(catalog.policies.policies)
    text = f"{policies} policies, {len(catalog.partners)} partners; revision {catalog.revision}"
    results = [ok("catalog", text)]
    for kind in DeadlineKind:
        if ended := application.reloader.ended(kind):
            text = f"{ended} of kind {kind.value} have ended and are still configured"
            results.append(warning("catalog", text, "remove or renew them"))
    return results, application


def _webhook(settings: Settings) -> Result:
    if not settings.webhook.url:
        return skipped("webhook files", "webhook.url is not set: changes are not posted")
    text = f"{settings.webhook.key_file} signs, and the other files can be used"
    return _tried("webhook files", lambda: require_webhook(settings.webhook), text)


def _tried(check: str, step: Callable[[], object], text: str) -> Result:
    try:
        step()
    except ConfigurationError as error:
        return failed(check, "; ".join(error.problems), "correct the setting or the file it names")
    return ok(check, text)


def _open_files() -> Result:
    try:
        allowed = open_files_limit(at_least=LEAST_OPEN_FILES)
    except ConfigurationError as error:
        return failed("open files", "; ".join(error.problems), "raise ulimit -n (LimitNOFILE)")
    text = f"{allowed} may be open"
    if allowed < _WANTED_OPEN_FILES:
        remedy = f"raise ulimit -n (LimitNOFILE) to {_WANTED_OPEN_FILES} for many callers"
        return warning("open files", text, remedy)
    return ok("open files", text)


def _certificates(settings: Settings, now: datetime) -> Iterator[Result]:
    if settings.tls_certificate_file is None:
        yield skipped("certificate", "tls_certificate_file is not set: the service has no TLS")
    else:
        text = f"{settings.tls_certificate_file} and its key belong together"
        yield _tried("certificate", lambda: own_credentials(settings), text)
    for line in own_certificates_ending(settings, now):
        remedy = "renew it; the service reads the file again by itself"
        if " expired at " in line:
            yield failed("certificate", line, remedy)
        else:
            yield warning("certificate", line, remedy)


def _secrets(settings: Settings) -> Iterator[Result]:
    """Yield a result for each file with a secret. Who may read it is told by its mode alone."""
    files = tuple(_secret_files(settings))
    sound = 0
    for name, path in files:
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        except OSError as error:
            reason = error.strerror or "cannot be read"
            yield failed("secrets", f"{name}: {path}: {reason}", "correct the setting or the file")
            continue
        shown = f"{name}: {path}: mode {mode:04o}"
        if mode & stat.S_IRWXO:
            yield failed("secrets", f"{shown}: every user may read or change it", _CHMOD)
        elif not os.access(path, os.R_OK):
            yield failed("secrets", f"{shown}: this user may not read it", "chown it")
        elif mode & stat.S_IRWXG:
            text = f"{shown}: its group may read it"
            yield warning("secrets", text, "see that the group has no other members")
        else:
            sound += 1
    if not files:
        yield skipped("secrets", "no setting names a file with a secret")
    elif sound:
        yield ok("secrets", f"{sound} of {len(files)} files: this user alone may read them")


def _secret_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    named = {
        "tls_key_file": settings.tls_key_file,
        "engine_key_file": settings.engine_key_file,
        "egress_proxy_password_file": settings.egress_proxy_password_file,
        "audit.otlp_headers_file": settings.audit.otlp_headers_file,
        "webhook.key_file": settings.webhook.key_file,
        "webhook.headers_file": settings.webhook.headers_file,
    }
    # Where engines are elsewhere, so are these.
    if not settings.engine_addresses:
        for partner, table in settings.client_certificates.items():
            named[f"client_certificates.{partner}.key_file"] = table.key_file
    return ((name, path) for name, path in named.items() if path is not None)


def _sinks(settings: Settings) -> str:
    return f"sinks: {', '.join(settings.audit.sinks)}"
