"""Finished spans on their way to a collector: a bounded queue and a thread that sends batches.

Whoever ends a span never waits. What the queue has no room for, and what the collector does not
take in time, is lost and counted.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from google.protobuf.message import DecodeError
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan

# At about 2 KiB each. A cold check has some forty.
MOST_WAITING: Final = 4_096
_MOST_OF_A_BATCH: Final = 512
_BATCH_WAIT_S: Final = 1.0
CLOSE_WAIT_S: Final = 2.0

_logger = logging.getLogger(__name__)


class Collector(Protocol):
    """Takes the body of an OTLP request; returns its answer. Raises OSError."""

    def post(self, body: bytes) -> bytes: ...
    def close(self) -> None: ...


class SpanExport(SpanProcessor):
    """Sends spans that have ended. Ends may come from any thread. Close it once.

    most_waiting: spans that may wait. taken: by the collector. lost: by reason, one of
    ops.metrics.tracing.LOSS_REASONS.
    """

    def __init__(
        self,
        collector: Collector,
        *,
        most_waiting: int = MOST_WAITING,
        close_wait_s: float = CLOSE_WAIT_S,
    ) -> None:
        self._collector, self._close_wait_s = collector, close_wait_s
        self._queue: queue.Queue[ReadableSpan | None] = queue.Queue(most_waiting)
        self._is_closing = threading.Event()
        self._counting = threading.Lock()
        self._under_way = 0
        self.taken = 0
        self.lost: Counter[str] = Counter()
        # A daemon: the end of the process waits for no collector.
        self._thread = threading.Thread(target=self._send_batches, name="traces", daemon=True)
        self._thread.start()

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """See SpanProcessor."""

    def on_end(self, span: ReadableSpan) -> None:
        """See SpanProcessor."""
        if self._is_closing.is_set():
            self._lose("shutdown", 1)
            return
        try:
            self._queue.put_nowait(span)
        except queue.Full:
            self._lose("queue_full", 1)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanProcessor. Nobody waits for a collector: spans leave within a second."""
        return True

    def shutdown(self) -> None:
        """Send what waits, for two seconds at most; what is left then is lost."""
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(self._close_wait_s)
        left = 0
        if not self._thread.is_alive():
            self._collector.close()
        with contextlib.suppress(queue.Empty):
            while True:
                left += self._queue.get_nowait() is not None
        self._lose("shutdown", left + self._under_way)

    def _lose(self, reason: str, count: int) -> None:
        with self._counting:
            self.lost[reason] += count

    def _send_batches(self) -> None:
        while batch := self._next_batch():
            self._under_way = len(batch)
            try:
                self._send(batch)
            except Exception:
                # A bug. The thread goes on: without it every further span would be lost.
                _logger.exception("spans could not be exported")
                self._lose("failed", len(batch))
            self._under_way = 0

    def _next_batch(self) -> Sequence[ReadableSpan]:
        """Wait for spans; return nothing once no more come."""
        batch: list[ReadableSpan] = []
        until_s = 0.0
        while len(batch) < _MOST_OF_A_BATCH:
            wait_s = max(0.0, until_s - time.monotonic()) if batch else None
            if self._is_closing.is_set():
                wait_s = 0.0
            try:
                span = self._queue.get(timeout=wait_s) if wait_s else self._get(wait_s)
            except queue.Empty:
                break
            if span is None:
                continue
            if not batch:
                until_s = time.monotonic() + _BATCH_WAIT_S
            batch.append(span)
        return batch

    def _get(self, wait_s: float | None) -> ReadableSpan | None:
        return self._queue.get() if wait_s is None else self._queue.get_nowait()

    def _send(self, batch: Sequence[ReadableSpan]) -> None:
        body = encode_spans(batch).SerializeToString()
        try:
            rejected = min(_rejected(self._collector.post(body)), len(batch))
        except OSError as error:
            _logger.debug("the collector did not take spans: %s", error)
            self._lose("failed", len(batch))
            return
        self.taken += len(batch) - rejected
        self._lose("rejected", rejected)


def _rejected(answer: bytes) -> int:
    """Return how many spans a collector refused of those that it was sent."""
    try:
        response = ExportTraceServiceResponse.FromString(answer)
    except DecodeError:  # it answered 200
        return 0
    return max(0, int(response.partial_success.rejected_spans))
