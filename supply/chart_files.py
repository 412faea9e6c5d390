"""Writes what the chart holds in copies: the networks that are refused, and Prometheus' rules.

A chart is packed from its folder alone, so what it shares with the service and with the rest of
`deploy` has to be in it. Tests hold the copies to their sources.
"""

import shutil
from collections.abc import Mapping
from ipaddress import IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Final

from otpc_policy.core.registries.networks import metadata_addresses, special_networks

ROOT: Final = Path(__file__).parents[1]
RULES: Final = ROOT / "deploy/prometheus/rules"
CHART: Final = ROOT / "deploy/helm/otpc-policy"
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_HEAD: Final = """\
# What engines refuse to dial, for the NetworkPolicy: IANA's special-purpose registries, multicast,
# reserved ranges and metadata services; of IPv6 what lies in 2000::/3. Written by: make chart-files
"""


def refused_networks() -> str:
    """Return the networks, one a line: IPv4 first, no one inside of another."""
    single = map(ip_network, metadata_addresses())
    networks = [*(network for network, _ in special_networks()), *single]
    ipv4 = (network for network in networks if network.version == 4)
    ipv6 = (
        network
        for network in networks
        if isinstance(network, IPv6Network) and network.subnet_of(_GLOBAL_UNICAST)
    )
    lines = map(str, (*collapse_addresses(ipv4), *collapse_addresses(ipv6)))
    return _HEAD + "".join(f"{line}\n" for line in lines)


def rules() -> Mapping[str, bytes]:
    """Return the files of rules by name; none where there is no folder of them yet."""
    return {path.name: path.read_bytes() for path in sorted(RULES.glob("*.yml"))}


def main() -> None:
    """Write the copies, and remove those whose source is gone."""
    (CHART / "files/refused-networks.txt").write_text(refused_networks(), encoding="utf-8")
    copies = CHART / "files/rules"
    if not (found := rules()):
        return
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    for name, content in found.items():
        (copies / name).write_bytes(content)


if __name__ == "__main__":
    main()
