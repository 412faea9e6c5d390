"""Ends calls whose streams have been silent for too long, for clients that block."""

import threading
import time
from types import TracebackType
from typing import Protocol, Self


class _Cancellable(Protocol):
    def cancel(self) -> object: ...


class SilenceWatch:
    """Cancels a call that heard() has not been said of for so long. Ends with its context."""

    def __init__(self, call: _Cancellable, within_s: float) -> None:
        self._call, self._within_s = call, within_s
        self._heard_s = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="silence", daemon=True)

    def heard(self) -> None:
        """Take note of a message."""
        self._heard_s = time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._call.cancel()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            left_s = self._heard_s + self._within_s - time.monotonic()
            if left_s <= 0:
                self._call.cancel()
                return
            self._over.wait(left_s)
