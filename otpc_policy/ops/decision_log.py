"""The record of decisions, a JSON line each.

A thread writes it, so that a slow reader of the log delays no response.
"""

import asyncio
import json
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

# Lines are handed over in batches: waking a thread for each would cost more than the response.
_HAND_OVER_AFTER_S = 0.1
_LINES_PER_BATCH = 1000
_PARTS_PER_LINE = 3
# At most this many batches wait for a slow reader (about 50 MB); then whole batches are dropped and
# counted.
_WAITING_BATCHES = 64
_CLOSE_WAIT_S = 2.0


def constant_fields(fields: Mapping[str, object]) -> str:
    """Return fields as the inside of a JSON object, for use in many lines. fields: not empty."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:-1]


class DecisionLog:
    """Writes decisions. write: gets whole lines, on a thread of this log, and may block.

    Call record on the event loop only. A process that is killed loses the lines of the last tenth
    of a second.
    """

    def __init__(self, write: Callable[[str], object] = sys.stderr.write) -> None:
        self._write = write
        # Lines in three parts each. Joined here, every line would be a copy of its constant part,
        # held until it is handed over.
        self._parts: list[str] = []
        self._hand_over: asyncio.TimerHandle | None = None
        self._batches: queue.Queue[str | None] = queue.Queue(_WAITING_BATCHES)
        self._writer: threading.Thread | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Decisions that are missing from the log, because its reader was too slow."""
        return self._dropped

    def record(
        self,
        *,
        at: datetime,
        rpc: str,
        check_id: str,
        request_id: str,
        source: str,
        constant: str,
        observed_leaf: bytes | None = None,
    ) -> None:
        """Record a decision.

        at: UTC. rpc, source: names from closed lists. check_id, request_id: safe characters only.
        constant: from constant_fields. observed_leaf: SHA-256 of the leaf that the caller reports;
        None if it reports none.
        """
        reported = (
            "" if observed_leaf is None else f'"observed_leaf_sha256":"{observed_leaf.hex()}",'
        )
        own = (
            f'{{"time":"{at.isoformat()}","level":"info","event":"decision","rpc":"{rpc}",'
            f'"check_id":"{check_id}","request_id":"{request_id}","source":"{source}",{reported}'
        )
        self._parts += (own, constant, "}\n")
        if len(self._parts) >= _LINES_PER_BATCH * _PARTS_PER_LINE:
            self._hand_over_lines()
        elif self._hand_over is None:
            self._hand_over = asyncio.get_running_loop().call_later(
                _HAND_OVER_AFTER_S, self._hand_over_lines
            )

    def close(self) -> None:
        """Write what is left, waiting two seconds at most. The log can be used again afterwards."""
        self._hand_over_lines()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            self._batches.put(None, timeout=_CLOSE_WAIT_S)
        except queue.Full:
            return
        writer.join(_CLOSE_WAIT_S)

    def _hand_over_lines(self) -> None:
        if self._hand_over is not None:
            self._hand_over.cancel()
            self._hand_over = None
        if not self._parts:
            return
        parts, self._parts = self._parts, []
        if self._writer is None:
            self._writer = threading.Thread(
                target=self._write_batches, name="decision-log", daemon=True
            )
            self._writer.start()
        try:
            self._batches.put_nowait("".join(parts))
        except queue.Full:
            self._dropped += len(parts) // _PARTS_PER_LINE

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._write(batch)
            except OSError:
                # The reader is gone. Decisions go on without it.
                self._dropped += batch.count("\n")
