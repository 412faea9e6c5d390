"""How the service is asked to end, and by which signals."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Stopping:
    """Requests to end the service. Each one includes those before it.

    requested: end. without_delay: leave out the lame-duck period. forced: abandon calls in flight.
    """

    def __init__(self, requested: asyncio.Event | None = None) -> None:
        self.requested = requested if requested is not None else asyncio.Event()
        self.without_delay = asyncio.Event()
        self.forced = asyncio.Event()

    def ask(self, *, delayed: bool) -> None:
        """Ask for the end; asked again, force it.

        delayed: with a lame-duck period, for load balancers that still send calls here.
        """
        if self.requested.is_set():
            self.forced.set()
        if not delayed or self.forced.is_set():
            self.without_delay.set()
        self.requested.set()


@contextlib.contextmanager
def signals_handled(stopping: Stopping, reload: Callable[[], None]) -> Iterator[None]:
    """Map SIGTERM and SIGINT to stopping, and SIGHUP to a reload.

    SIGTERM comes from an orchestrator, whose load balancers need time to notice. SIGINT comes from
    a person at a terminal, who does not want to wait.

    Does nothing outside the main thread, which alone can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: lambda: stopping.ask(delayed=True),
        signal.SIGINT: lambda: stopping.ask(delayed=False),
        signal.SIGHUP: reload,
    }
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
