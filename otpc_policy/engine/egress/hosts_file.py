"""Addresses from /etc/hosts, which go before DNS (nsswitch.conf: "hosts: files dns")."""

import os
from collections import defaultdict
from ipaddress import ip_address
from pathlib import Path

HOSTS_FILE = Path("/etc/hosts")


class HostsFile:
    """A file in the form of hosts(5). It is read again when it changes; a missing one is empty."""

    def __init__(self, path: Path = HOSTS_FILE) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._addresses: dict[str, tuple[str, ...]] = {}

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a canonical name, both families, in the order of the file."""
        try:
            status = os.stat(self._path)
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._addresses = _parse(self._path.read_text(encoding="utf-8", errors="replace"))
                self._seen = seen
        except OSError:
            self._seen, self._addresses = None, {}
        return self._addresses.get(host, ())


def _parse(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        literal, *names = line.partition("#")[0].split() or ("",)
        try:
            address = str(ip_address(literal.partition("%")[0]))
        except ValueError:
            continue
        for name in names:
            found[name.lower().removesuffix(".")].append(address)
    return {name: tuple(dict.fromkeys(addresses)) for name, addresses in found.items()}
