"""Builds the webhook from the settings."""

import base64
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from secrets import SystemRandom
from typing import Final

from prometheus_client import CollectorRegistry

from otpc_policy.app.settings import WebhookSettings
from otpc_policy.check import Clock
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.fleet.changes import Changes
from otpc_policy.fleet.cursors import Cursors
from otpc_policy.fleet.delivery import Delivery
from otpc_policy.fleet.webhook import Wanted, Webhook
from otpc_policy.fleet.webhook_post import WebhookPost
from otpc_policy.ops.metrics.webhook import WebhookMetrics
from otpc_policy.ops.otlp_http import read_headers
from otpc_policy.ops.secret_files import in_words, read_secret
from otpc_policy.policy.finding import Decision

_PREFIX: Final = "whsec_"
# Source: Standard Webhooks 1.0, "Signature scheme".
_KEY_BYTES: Final = range(24, 65)
_MOST_KEYS: Final = 4
_MOST_FILE_BYTES: Final = 4_096


def webhook_from(
    chosen: WebhookSettings,
    clock: Clock,
    *,
    changes: Changes,
    cursors: Cursors,
    delivery: Delivery,
    registry: CollectorRegistry,
) -> Webhook:
    """Return the webhook, not yet running. Raises ConfigurationError."""
    keys, post = keys_of(chosen), post_of(chosen)
    webhook: Webhook
    metrics = WebhookMetrics(registry, lag_s=lambda: webhook.lag_s)
    webhook = Webhook(
        changes,
        delivery,
        post,
        cursors=cursors,
        keys=keys,
        wanted=Wanted(
            decisions=frozenset(Decision[each.value] for each in chosen.decisions),
            partners=frozenset(chosen.partners),
        ),
        max_age=timedelta(seconds=chosen.max_age_s),
        now=clock.now,
        draw=SystemRandom(),
        observer=metrics,
    )
    return webhook


def require_webhook(chosen: WebhookSettings) -> None:
    """Raise ConfigurationError if the files of the webhook could not be used."""
    keys_of(chosen)
    post_of(chosen)


def post_of(chosen: WebhookSettings) -> WebhookPost:
    """Return what posts. Raises ConfigurationError."""
    headers: Callable[[], dict[str, str]] = dict
    if chosen.headers_file is not None:
        headers = _headers_of(chosen.headers_file)
    try:
        return WebhookPost(
            chosen.url, timeout_s=chosen.timeout_s, ca_file=chosen.ca_file, headers=headers
        )
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "holds no readable certificate (PEM)"
        raise ConfigurationError([f"webhook.ca_file: {chosen.ca_file}: {reason}"]) from None


def keys_of(chosen: WebhookSettings) -> tuple[bytes, ...]:
    """Return the keys that sign. Raises ConfigurationError."""
    path = chosen.key_file
    if path is None:
        raise ConfigurationError(["webhook.key_file: is required with webhook.url"])
    try:
        text = read_secret(path, what="webhook key", most_bytes=_MOST_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"webhook.key_file: {in_words(error)}"]) from None
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    keys = [_key(line) for line in lines if line]
    if not 1 <= len(keys) <= _MOST_KEYS or None in keys:
        expected = f'"{_PREFIX}" and {_KEY_BYTES.start} to {_KEY_BYTES.stop - 1} bytes in base64'
        example = f'`echo "{_PREFIX}$(openssl rand -base64 32)"` prints'
        problem = f"{path}: one to {_MOST_KEYS} lines expected, each {expected}, such as {example}"
        raise ConfigurationError([f"webhook.key_file: {problem}"])
    return tuple(key for key in keys if key is not None)


def _key(line: str) -> bytes | None:
    if not line.startswith(_PREFIX):
        return None
    try:
        key = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return None
    return key if len(key) in _KEY_BYTES else None


def _headers_of(path: Path) -> Callable[[], dict[str, str]]:
    try:
        read_headers(path)
    except OSError as error:
        raise ConfigurationError([f"webhook.headers_file: {in_words(error)}"]) from None
    return lambda: read_headers(path)
