"""Settings that somebody has set and that change nothing: in vain, or as the rest stands."""

from collections.abc import Iterator
from typing import Final

from otpc_policy.app.settings.model import ScanSettings, Settings

# What only an engine reads.
_OF_ENGINES: Final = (
    "workers",
    "connections_per_address",
    "connection_deadline_s",
    "connection_bytes",
    "concurrent_scans",
    "deep_commands",
    "deep_connections",
    "concurrent_deep_scans",
    "isolation",
)
_FOR_REMOTE_ENGINES: Final = (
    "engine_certificate_file",
    "engine_key_file",
    "engine_ca_file",
    "dangerously_use_engines_without_tls",
)
_REMOTE: Final = "engines of engine_addresses have settings of their own"


def without_effect(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the key of each such setting of a service, and why it has no effect.

    One that has its default value is passed over: a file may list all of them.
    """
    if _is_set(settings.scan, "recycle_after_handshakes"):
        reason = "no longer used: every address gets a worker of its own"
        yield "scan.recycle_after_handshakes", reason
    if settings.webhook.url and not settings.watch.is_on:
        yield "webhook.url", "nothing is watched, so no verdict changes ([watch])"
    if settings.watch.partners and settings.partners_dir is None:
        yield "watch.partners", "there is no partners_dir, so no partner is known"
    if settings.engine_addresses:
        if _is_set(settings, "engines"):
            yield "engines", "none is started, because engine_addresses names others"
        if _is_set(settings, "dns_servers"):
            yield "dns_servers", _REMOTE
        if _is_set(settings, "client_profiles"):
            yield "client_profiles", _REMOTE
        for name in ("client_certificates", "egress_proxy"):
            if _is_set(settings, name):
                yield name, _REMOTE
        for name in _OF_ENGINES:
            if _is_set(settings.scan, name):
                yield f"scan.{name}", _REMOTE
    elif not settings.perspectives:
        for name in _FOR_REMOTE_ENGINES:
            if _is_set(settings, name):
                yield name, "engine_addresses names no engine"


def _is_set(settings: Settings | ScanSettings, name: str) -> bool:
    default = type(settings).model_fields[name].default
    return bool(getattr(settings, name) != default)
