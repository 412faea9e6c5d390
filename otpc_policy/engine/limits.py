"""How much one process may spend on measuring."""

from dataclasses import dataclass

from otpc_policy.core.facts import DeepCommand
from otpc_policy.engine.isolation import Isolation


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """Bounds of the scanner. Times in seconds.

    connections_per_address: open at the same time, over all scans of that address.
    connections_per_scan: of one scan in all; the DEEP part has its own. A compliant server takes
    about 50, and one that reads only the first 64 suites of a list more than 220.
    scan_deadline_s: for one address, from the start of its scan; time in the queue does not count.
    connection_deadline_s, connection_bytes: for one connection, from connect to the last byte read.
    concurrent_scans, queue_limit: addresses measured at the same time, and waiting for that.
    workers: handshake workers kept ready; each serves one target. recycle_after_handshakes: no
    longer used, because of that.
    isolation: of all processes that measure: as much as the kernel offers, or a start that fails
    where it lacks something, or none.
    deep_commands: what a DEEP scan runs after the STANDARD measurement. deep_deadline_s: for all of
    it, from the start of its process. deep_connections: open at the same time, within
    connections_per_address. concurrent_deep_scans: processes at the same time; queue_limit bounds
    those that wait, too.
    """

    workers: int = 2
    connections_per_address: int = 20
    connections_per_scan: int = 480
    scan_deadline_s: float = 20.0
    connection_deadline_s: float = 4.0
    connection_bytes: int = 262_144
    concurrent_scans: int = 32
    queue_limit: int = 512
    recycle_after_handshakes: int = 4000
    deep_commands: tuple[DeepCommand, ...] = tuple(DeepCommand)
    deep_deadline_s: float = 60.0
    deep_connections: int = 8
    concurrent_deep_scans: int = 2
    isolation: Isolation = "prefer"
