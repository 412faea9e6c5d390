"""The contract holds for a store that suspends in every method and keeps no object."""

from tests.store.contract import StoreContract
from tests.store.fakes import RemoteStore


class TestRemoteStore(StoreContract):
    def store(self, *, max_entries: int = 100) -> RemoteStore:
        return RemoteStore(max_entries=max_entries)
