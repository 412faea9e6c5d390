"""A worker process: completes a handshake for each request, many at the same time in one thread.

It decides nothing. Requests come on stdin, answers go to stdout (see messages); it ends when stdin does.
"""

import os
import selectors
import sys
import time
from collections.abc import Callable, Iterator

from otpc_policy.scan.client_handshake import ClientHandshake, load_libraries
from otpc_policy.scan.handshake import Ending, HandshakeOutcome
from otpc_policy.scan.messages import LENGTH_BYTES, READY, decode_offer, encode_outcome, frame
from otpc_policy.scan.parent_death import die_with_parent

_READ_BYTES = 65_536


class _Requests:
    """What comes on a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._received = b""
        self.has_ended = False

    def arrived(self) -> Iterator[bytes]:
        """Read what is there, and yield each whole message."""
        content = os.read(self._pipe, _READ_BYTES)
        self.has_ended = not content
        self._received += content
        while len(self._received) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._received[:LENGTH_BYTES], "big")
            if len(self._received) < end:
                break
            yield self._received[LENGTH_BYTES:end]
            self._received = self._received[end:]


class _Worker:
    """Handshakes under way, by the numbers of their requests. answer: takes each message that goes back.

    _watched: what each of them waits for.
    """

    def __init__(self, requests: int, answer: Callable[[bytes], None]) -> None:
        self._requests, self._answer = _Requests(requests), answer
        self._under_way: dict[int, ClientHandshake] = {}
        self._watched: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the requests end."""
        while not self._requests.has_ended:
            for key, _ in self._selector.select(self._wait_s()):
                if key.data is None:
                    for message in self._requests.arrived():
                        number, offer = decode_offer(message)
                        self._under_way[number] = ClientHandshake(offer)
                        self._go_on(number)
                else:
                    self._go_on(key.data)
            for number in [number for number, one in self._under_way.items() if one.until_s <= time.monotonic()]:
                self._take(number, self._under_way[number].give_up)

    def _go_on(self, number: int) -> None:
        handshake = self._under_way[number]
        self._take(number, handshake.go_on)
        if number not in self._under_way:
            return
        events = selectors.EVENT_READ if handshake.is_connected else selectors.EVENT_WRITE
        if number not in self._watched:
            self._selector.register(handshake, events, number)
        elif self._watched[number] != events:
            self._selector.modify(handshake, events, number)
        self._watched[number] = events

    def _take(self, number: int, step: Callable[[], HandshakeOutcome | None]) -> None:
        """Take a step of a handshake; if it is the last, answer."""
        try:
            outcome = step()
        except Exception as error:  # noqa: BLE001 - outermost frame of a request: the worker outlives every handshake
            outcome = HandshakeOutcome(ending=Ending.NOT_RUN, detail=f"{type(error).__name__}: {error}")
        if outcome is None:
            return
        handshake = self._under_way.pop(number)
        if self._watched.pop(number, None) is not None:
            self._selector.unregister(handshake)
        self._answer(encode_outcome(number, outcome))

    def _wait_s(self) -> float | None:
        soonest_s = min((one.until_s for one in self._under_way.values()), default=None)
        return None if soonest_s is None else max(0.0, soonest_s - time.monotonic())


def main() -> None:
    """Serve requests until stdin ends."""
    die_with_parent()
    # Nothing that a library prints may get between the answers.
    own_stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(message: bytes) -> None:
        try:
            own_stdout.write(frame(message))
            own_stdout.flush()
        except OSError:
            os._exit(0)  # the parent is gone

    worker = _Worker(sys.stdin.fileno(), answer)
    load_libraries()
    answer(READY)
    worker.run()
    os._exit(0)  # the parent is gone or has everything: waiting for connections serves nobody


if __name__ == "__main__":
    main()
