"""Settings: the only reader of the environment and of the configuration file.

Settings() reads both. Arguments take precedence over the environment, the environment over the file
and the file over the defaults. Values are parsed here; the composition root reads the files that
they name.
"""

from otpc_policy.app.settings.audit import AuditSettings
from otpc_policy.app.settings.fleet import FleetSettings, StoreMode
from otpc_policy.app.settings.model import CrlSettings, LifetimeSettings, ScanSettings, Settings
from otpc_policy.app.settings.reference import SettingDescription, describe_settings
from otpc_policy.app.settings.shares import ShareSettings
from otpc_policy.app.settings.tracing import TracingSettings
from otpc_policy.app.settings.values import (
    AddressFamilies,
    AuditSinkName,
    LogFormat,
    LogLevel,
    is_loopback,
    split_address,
)
from otpc_policy.app.settings.watch import WatchSettings, watched_endpoint
from otpc_policy.app.settings.webhook import WebhookSettings

__all__ = [
    "AddressFamilies",
    "AuditSettings",
    "AuditSinkName",
    "CrlSettings",
    "FleetSettings",
    "LifetimeSettings",
    "LogFormat",
    "LogLevel",
    "ScanSettings",
    "SettingDescription",
    "Settings",
    "ShareSettings",
    "StoreMode",
    "TracingSettings",
    "WatchSettings",
    "WebhookSettings",
    "describe_settings",
    "is_loopback",
    "split_address",
    "watched_endpoint",
]
