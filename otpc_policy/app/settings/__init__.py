"""Settings: the only reader of the environment and of the configuration file.

Settings() reads both; arguments go before the environment, the environment before the file, the file before the
defaults. Values are parsed here; files that they name are read by the composition root.
"""

from otpc_policy.app.settings.model import LifetimeSettings, ScanSettings, Settings
from otpc_policy.app.settings.reference import SettingDescription, describe_settings
from otpc_policy.app.settings.values import AddressFamilies, LogFormat, LogLevel, is_loopback, split_address

__all__ = [
    "AddressFamilies",
    "LifetimeSettings",
    "LogFormat",
    "LogLevel",
    "ScanSettings",
    "SettingDescription",
    "Settings",
    "describe_settings",
    "is_loopback",
    "split_address",
]
