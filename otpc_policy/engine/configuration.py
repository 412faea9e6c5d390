"""What an engine is given when it starts, as plain values.

The settings model makes it (settings.engine_part); the engine itself does not import the model, so
that it starts quickly and reads neither environment nor files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from otpc_policy.core.address_selection import DIALLED_FAMILIES, DialledFamilies
from otpc_policy.core.facts import DeepCommand
from otpc_policy.core.registries.networks import IPNetwork
from otpc_policy.engine.client_certificates import ClientCertificateFiles, files_from
from otpc_policy.engine.egress.proxy_access import ProxySettings
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.profiles.clients import ClientProfile
from otpc_policy.engine.profiles.recorded_clients import current_profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfiguration:
    """One engine. The fields are settings of the same names; scan: its limits.

    egress_proxy: with its user and password_file. own_listeners: hosts and ports on which the front
    that started it listens.
    """

    scan: ScanLimits
    client_profiles: tuple[ClientProfile, ...]
    client_certificates: tuple[ClientCertificateFiles, ...]
    egress_proxy: ProxySettings | None
    allow_networks: tuple[IPNetwork, ...]
    nat64_prefixes: tuple[IPv6Network, ...]
    static_hosts: Mapping[str, Sequence[str]]
    address_families: DialledFamilies
    dns_servers: tuple[str, ...]
    dns_ttl_s: float
    dns_timeout_s: float
    drain_grace_s: float
    log_format: str
    log_level: str
    perspective: str = ""
    own_listeners: tuple[tuple[str, int], ...] = ()


def configuration_from(tree: Mapping[str, Any]) -> EngineConfiguration:
    """Return the configuration. tree: as settings.engine_part makes it, through JSON or not.

    Raises KeyError, TypeError or ValueError: the tree comes from a program of the same release.
    """
    known = {field.name for field in fields(EngineConfiguration)}
    unknown = set(tree) - known - {"egress_proxy_user", "egress_proxy_password_file"}
    if unknown:
        raise KeyError(f"no setting of an engine: {sorted(unknown)[0]}")
    scan = dict(tree["scan"])
    scan["deep_commands"] = tuple(map(DeepCommand, scan["deep_commands"]))
    return EngineConfiguration(
        scan=ScanLimits(**scan),
        client_profiles=current_profiles(tree["client_profiles"]),
        client_certificates=files_from(tree["client_certificates"]),
        egress_proxy=_proxy(tree),
        allow_networks=tuple(map(ip_network, tree["allow_networks"])),
        nat64_prefixes=tuple(map(IPv6Network, tree["nat64_prefixes"])),
        static_hosts={host: tuple(found) for host, found in tree["static_hosts"].items()},
        address_families=DIALLED_FAMILIES[tree["address_families"]],
        dns_servers=tuple(map(str, tree["dns_servers"])),
        dns_ttl_s=float(tree["dns_ttl_s"]),
        dns_timeout_s=float(tree["dns_timeout_s"]),
        drain_grace_s=float(tree["drain_grace_s"]),
        log_format=str(tree["log_format"]),
        log_level=str(tree["log_level"]),
        perspective=str(tree["perspective"]),
        own_listeners=tuple((str(host), int(port)) for host, port in tree.get("own_listeners", ())),
    )


def _proxy(tree: Mapping[str, Any]) -> ProxySettings | None:
    if not tree["egress_proxy"]:
        return None
    url, password_file = urlsplit(tree["egress_proxy"]), tree["egress_proxy_password_file"]
    return ProxySettings(
        host=str(url.hostname),
        port=int(url.port or 0),
        user=str(tree["egress_proxy_user"]),
        password_file=None if password_file is None else Path(password_file),
    )
