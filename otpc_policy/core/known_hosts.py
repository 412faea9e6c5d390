"""Hosts whose addresses need no name server: IP literals, and those that are written down.

Both programs know some: the service its static hosts, because asking an engine costs two
milliseconds of CPU at both ends; an engine its own static hosts and /etc/hosts.
"""

from collections.abc import Callable, Mapping, Sequence

from otpc_policy.core.address_selection import AddressSelection
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import is_ip_literal


def _no_addresses(_host: str) -> Sequence[str]:
    return ()


class KnownHosts:
    """static_hosts: addresses by canonical name. ttl_s: how long an answer is kept.

    others: addresses of names that are not among static_hosts; empty if they are not known.
    """

    def __init__(
        self,
        static_hosts: Mapping[str, Sequence[str]],
        selection: AddressSelection,
        *,
        ttl_s: float,
        others: Callable[[str], Sequence[str]] = _no_addresses,
    ) -> None:
        self._static_hosts, self._selection, self._ttl_s = dict(static_hosts), selection, ttl_s
        self._others = others

    def resolution(self, host: str) -> Resolution | None:
        """Return what the host resolves to, None where a name server must be asked.

        host: canonical.
        """
        found = self._addresses(host)
        return self._selection.resolution(found, ttl_s=self._ttl_s) if found else None

    def _addresses(self, host: str) -> Sequence[str]:
        if is_ip_literal(host):
            return (host,)
        return self._static_hosts.get(host) or self._others(host)
