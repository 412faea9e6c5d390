"""Hosts whose addresses nobody has to be asked for: IP literals, and static hosts of the settings.

Asking an engine costs two milliseconds of CPU at both ends; these need no name server.
"""

from collections.abc import Mapping, Sequence

from otpc_policy.core.address_selection import AddressSelection
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import is_ip_literal


class KnownHosts:
    """static_hosts: addresses by canonical name. ttl_s: how long an answer is kept."""

    def __init__(
        self,
        static_hosts: Mapping[str, Sequence[str]],
        selection: AddressSelection,
        *,
        ttl_s: float,
    ) -> None:
        self._static_hosts, self._selection, self._ttl_s = dict(static_hosts), selection, ttl_s

    def resolution(self, host: str) -> Resolution | None:
        """Return what the host resolves to, None where a name server must be asked.

        host: canonical.
        """
        found = [host] if is_ip_literal(host) else self._static_hosts.get(host)
        return None if found is None else self._selection.resolution(found, ttl_s=self._ttl_s)
