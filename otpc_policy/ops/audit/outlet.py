"""The way to one sink: a bounded queue and a thread that writes.

Lines are lost if the sink is too slow for the queue, or refuses them. The number is counted, and
stands in the sink as a line of its own where the lines are missing, as soon as it takes one.
"""

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from otpc_policy.ops.audit.port import AuditSink
from otpc_policy.ops.audit.schema import loss_line

# At most this many batches wait for a slow sink (about 50 MB).
_WAITING_BATCHES: Final = 64
# A sink that refused lines is asked so often whether it takes the line about the loss.
_RETRY_S: Final = 1.0
_CLOSE_WAIT_S: Final = 2.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Batch:
    """lines: whole ones. lost_before: lines that are missing in front of them."""

    lines: str
    count: int
    lost_before: int


class Outlet:
    """Writes lines to a sink. put may be called from any thread.

    retry_s: how long after a loss the line about it is tried again.
    """

    def __init__(self, sink: AuditSink, *, retry_s: float = _RETRY_S) -> None:
        self._sink = sink
        self._retry_s = retry_s
        self._queue: queue.Queue[_Batch | Callable[[], None] | None] = queue.Queue(_WAITING_BATCHES)
        self._writer: threading.Thread | None = None
        self._one_at_a_time = threading.Lock()
        # Lost in front of the queue, and not yet in it.
        self._lost_before = 0
        # Refused by the sink, and not yet told in it. Of the writer's thread.
        self._untold = 0
        self._lost = self._taken = 0

    @property
    def name(self) -> str:
        """See AuditSink."""
        return self._sink.name

    @property
    def lost(self) -> int:
        """Lines that never reached the sink."""
        return self._lost

    @property
    def taken(self) -> int:
        """Lines that the sink has taken, those about losses not counted."""
        return self._taken

    @property
    def is_losing(self) -> bool:
        """It has lost lines, and has not taken the line about that yet."""
        return bool(self._untold or self._lost_before)

    def put(self, lines: str, count: int) -> None:
        """Hand whole lines over; never waits."""
        with self._one_at_a_time:
            if self._writer is None:
                self._start()
            try:
                self._queue.put_nowait(_Batch(lines, count, self._lost_before))
                self._lost_before = 0
            except queue.Full:
                self._lost_before += count
                self._lost += count

    def reopen(self) -> None:
        """Have the sink reopen what was rotated, after the lines that are on their way."""
        with self._one_at_a_time:
            if self._writer is None:
                self._start()
            # Where it is full, the sink stands still, and is asked to when it is asked again.
            with suppress(queue.Full):
                self._queue.put_nowait(self._sink.reopen)

    def close(self) -> int:
        """Write what waits, for four seconds at most; return how many lines are lost by that."""
        with self._one_at_a_time:
            writer, self._writer = self._writer, None
        if writer is None:
            return 0
        before = self._taken
        waiting = sum(item.count for item in list(self._queue.queue) if isinstance(item, _Batch))
        try:
            self._queue.put(None, timeout=_CLOSE_WAIT_S)
            writer.join(_CLOSE_WAIT_S)
        except queue.Full:
            pass
        if writer.is_alive():
            return max(0, waiting - (self._taken - before))
        self._sink.close()
        return 0

    def _start(self) -> None:
        # A daemon: the end of the process waits for no sink.
        self._writer = threading.Thread(
            target=self._write_batches, name=f"audit {self.name}", daemon=True
        )
        self._writer.start()

    def _write_batches(self) -> None:
        while True:
            has_to_tell = bool(self._untold or self._lost_before)
            try:
                item = self._queue.get(timeout=self._retry_s if has_to_tell else None)
            except queue.Empty:
                self._take_over_loss()
                self._tell_loss()
                continue
            if item is None:
                self._take_over_loss()
                self._tell_loss()
                return
            if isinstance(item, _Batch):
                self._write(item)
            else:
                # The next write finds out as well.
                with suppress(OSError):
                    item()

    def _write(self, batch: _Batch) -> None:
        self._untold += batch.lost_before
        self._tell_loss()
        refused = batch.count if self._untold else self._refused(batch.lines, batch.count)
        self._taken += batch.count - refused
        if refused:
            self._untold += refused
            with self._one_at_a_time:
                self._lost += refused

    def _take_over_loss(self) -> None:
        """Take over what was lost after everything that was in the queue."""
        with self._one_at_a_time:
            self._untold += self._lost_before
            self._lost_before = 0

    def _tell_loss(self) -> None:
        # Where it is refused, it is tried again, and the metric has it.
        if self._untold and not self._refused(loss_line(self.name, self._untold), 1):
            self._untold = 0

    def _refused(self, lines: str, count: int) -> int:
        """Have the sink write lines, and return how many of them it did not take."""
        try:
            return self._sink.write(lines)
        except OSError:
            return count
        except Exception:
            # A bug. The thread goes on: without it every further line would be lost.
            _logger.exception("an audit sink failed")
            return count
