"""Follows changes of verdicts in a thread. What it does about them is decided in watching.py."""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.error_details import call_error
from otpc_policy_client.following import SILENCE_S
from otpc_policy_client.lookups import Lookups
from otpc_policy_client.observing import Observer, VerdictsDropped, WatchStateChanged, notify
from otpc_policy_client.stubs import Calls
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.watching import GiveUp, ListAgain, Pause, Stream, Watch

_LOG = logging.getLogger(__name__)
_CLOSING_S = 2.0

ListWatched = Callable[[], tuple[Sequence[pb.WatchedEndpoint], str]]
"""Returns what is watched and the cursor of the list. Raises grpc.RpcError."""


class ThreadFollower:
    """Drops verdicts that have changed. lock: guards lookups."""

    def __init__(
        self,
        calls: Calls,
        lookups: Lookups[threading.Event],
        lock: threading.Lock,
        list_watched: ListWatched,
        observer: Observer | None,
    ) -> None:
        self._calls = calls
        self._lookups = lookups
        self._lock = lock
        self._list_watched = list_watched
        self._observer = observer
        self._own_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stream: Any = None
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin, unless it has begun or is closed."""
        if self._thread is not None:
            return
        with self._own_lock:
            if self._thread is not None or self._closed.is_set():
                return
            thread = threading.Thread(target=self._follow, name="otpc-policy-client", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # No room for a thread, or the interpreter ends: the next check tries again.
                return
            self._thread = thread

    def close(self) -> None:
        """End. The thread may take a moment more, and touches nothing then."""
        self._closed.set()
        with self._own_lock:
            stream, thread = self._stream, self._thread
        if stream is not None:
            stream.cancel()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING_S)

    def _follow(self) -> None:
        try:
            self._follow_changes()
        except Exception:
            # Nothing is followed then, and the cache goes on until each answer expires.
            if not self._closed.is_set():
                _LOG.exception("changes of verdicts are no longer followed")
                notify(self._observer, WatchStateChanged(state="ended", reason="UNKNOWN"))

    def _follow_changes(self) -> None:
        watch = Watch(random.random())  # noqa: S311 - it spreads calls, and keeps no secret
        while not self._closed.is_set():
            step = watch.next()
            if isinstance(step, GiveUp):
                notify(self._observer, WatchStateChanged(state="ended", reason=step.reason))
                return
            if isinstance(step, Pause):
                self._closed.wait(step.delay_s)
                continue
            try:
                if isinstance(step, ListAgain):
                    endpoints, cursor = self._list_watched()
                    with self._lock:
                        dropped = self._lookups.confirmed(watch.listed(endpoints, cursor))
                    self._notify_dropped(dropped)
                else:
                    self._read(watch, step)
                    watch.ended()
            except grpc.RpcError as error:
                failure = call_error(error)
                watch.failed(failure)
                if not self._closed.is_set():
                    event = WatchStateChanged(state="interrupted", reason=failure.status.name)
                    notify(self._observer, event)

    def _read(self, watch: Watch, step: Stream) -> None:
        stream = self._calls.follow("WatchVerdicts", pb.WatchVerdictsRequest(cursor=step.cursor))
        with self._own_lock:
            self._stream = stream
        if self._closed.is_set():
            stream.cancel()
        silence = _timer(stream)
        try:
            for number, message in enumerate(stream):
                silence.cancel()
                if number == 0:
                    notify(self._observer, WatchStateChanged(state="following"))
                received = watch.received(message)
                with self._lock:
                    dropped = sum(map(self._lookups.changed, received.changed))
                    if received.begun:
                        dropped += self._lookups.asked_before(elapsed_s())
                self._notify_dropped(dropped)
                silence = _timer(stream)
        finally:
            silence.cancel()
            stream.cancel()

    def _notify_dropped(self, count: int) -> None:
        if count:
            notify(self._observer, VerdictsDropped(count=count))


def _timer(stream: Any) -> threading.Timer:
    """End a stream that is silent for too long."""
    timer = threading.Timer(SILENCE_S, stream.cancel)
    timer.daemon = True
    timer.start()
    return timer
