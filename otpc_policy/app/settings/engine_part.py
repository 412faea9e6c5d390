"""The part of the settings that an engine receives, as plain values that JSON can carry."""

from typing import Any, Final

from otpc_policy.app.settings.model import Settings

# engine.configuration reads them by these names.
_NAMES: Final = frozenset(
    {
        "scan",
        "client_profiles",
        "client_certificates",
        "egress_proxy",
        "egress_proxy_user",
        "egress_proxy_password_file",
        "allow_networks",
        "nat64_prefixes",
        "static_hosts",
        "address_families",
        "dns_servers",
        "dns_ttl_s",
        "dns_timeout_s",
        "drain_grace_s",
        "log_format",
        "log_level",
        "perspective",
    }
)


def engine_part(settings: Settings) -> dict[str, Any]:
    """Return the settings of an engine by name."""
    return settings.model_dump(mode="json", include=set(_NAMES))
