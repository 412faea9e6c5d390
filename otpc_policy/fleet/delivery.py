"""Who delivers, and how far it has got: the port, and an implementation within one process."""

from typing import Protocol

LEASE_S = 45.0
"""For so long another process waits for one that delivers and has died.

A delivery takes 30 seconds at most, and the lease is renewed before each.
"""


class Delivery(Protocol):
    """One of several processes delivers at a time. Each method may raise StoreUnavailable.

    claim: for LEASE_S from now on; returns the place that was kept last, "" if none was, or None
    while another process delivers. keep: a place; tells whether it is still this one that delivers.
    release: lets others deliver.
    """

    async def claim(self) -> str | None: ...
    async def keep(self, place: str) -> bool: ...
    async def release(self) -> None: ...


class OwnDelivery:
    """For one process. The place ends with it, as its changes do."""

    def __init__(self) -> None:
        self._place = ""

    async def claim(self) -> str | None:
        """Return the place."""
        return self._place

    async def keep(self, place: str) -> bool:
        """Keep a place."""
        self._place = place
        return True

    async def release(self) -> None:
        """Do nothing: there is nobody else."""
