"""Carries hellos: one connection each, all of a wave concurrently, within the scan's openings.

Whatever the server does ends as an outcome. The connections of a wave wait on their own epoll,
and the loop waits on that epoll: a future, two timers and four registrations with the loop for
each connection would cost more than everything done here.
"""

import asyncio
import select
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.engine.egress.dialler import begin_connecting
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.egress.proxy import ProxyRoute
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.survey.probe import AnyHello, Ending, Outcome, Probe, Purpose
from otpc_policy.engine.transport.exchange import Exchange, ending_of
from otpc_policy.engine.transport.kept_flights import KeptFlights
from otpc_policy.engine.transport.openings import Openings

# After this the rest waits for its next turn: to verify the most expensive signature takes 5 ms
# (a curve over a binary field of 571 bits), and twenty answers may come at once.
_TURN_S = 0.01
_BEFORE_REVEALS = 3
# A server that another measurement's connections wait for has this long to say something: several
# round trips around the world. Only connections beyond its part are ended so early.
_SILENCE_S = 0.75
_NOT_RUN = Outcome(ending=Ending.NOT_RUN)


class Prober:
    """Carries hellos to one address.

    route: through a proxy; None for the direct way.

    openings: shared by all connections of one scan. connections_used: counted here. begun_s: the
    loop's time from which outcomes are counted. new_random: returns a source for what one hello
    draws; called once for each connection, in the order in which they are begun, which depends on
    nothing that the server does within a wave.
    """

    def __init__(
        self,
        *,
        address: VettedAddress,
        port: int,
        openings: Openings,
        limits: ScanLimits,
        begun_s: float,
        new_random: Callable[[], RandomBytes],
        route: ProxyRoute | None = None,
    ) -> None:
        self._peer = (address, port, route)
        self._new_random = new_random
        self._openings, self._limits, self._begun_s = openings, limits, begun_s
        self._flights = KeptFlights()
        self._waves: list[_Wave] = []
        self.connections_used = 0

    async def run(
        self,
        probes: Sequence[Probe[AnyHello]],
        outcomes: list[Outcome],
        new_random: Callable[[], RandomBytes] | None = None,
    ) -> None:
        """Carry out a wave.

        outcomes: filled as they come, in the order of the probes, so that a cancelled wave is not
        lost. new_random: of this wave, where another one may be carried out at the same time.
        """
        source = new_random or self._new_random
        outcomes[:] = [_NOT_RUN] * len(probes)
        ahead = [place for place, probe in enumerate(probes) if not probe.is_last]
        ahead = _reveals_early(probes, ahead)
        behind = [place for place, probe in enumerate(probes) if probe.is_last]

        def ended(place: int, outcome: Outcome) -> None:
            outcomes[place] = self._flights.of(outcome)
            self._openings.leave()

        wave = _Wave(
            self._peer,
            self._limits,
            begun_s=self._begun_s,
            ahead=len(ahead),
            behind=len(behind),
            ended=ended,
        )

        self._waves.append(wave)

        async def begin(places: Sequence[int]) -> None:
            for place in places:
                concurrent = await self._openings.enter()
                self.connections_used += 1
                wave.begin(probes[place], place, concurrent, source())

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(begin(ahead))
                await wave.ahead_are_connected.wait()
                tasks.create_task(begin(behind))
                await wave.all_ended
        finally:
            self._waves.remove(wave)
            wave.close()

    def surrender(self, count: int) -> None:
        """End up to so many connections on which the server has been silent for some time.

        They time out early, so what they ask stays unknown. A server that answers later is asked
        again, as one that cannot take so many connections.
        """
        for wave in self._waves:
            count -= wave.surrender(count)


def _reveals_early(probes: Sequence[Probe[AnyHello]], places: Sequence[int]) -> list[int]:
    """Return the places with those of hellos that only reveal right after the first few.

    Their refusal proves nothing, and is not retried unless others show that the server is
    unsteady. So they must not be what a limit on connections turns away; and a server that takes
    very few is known by the first ones.
    """
    reveals = [place for place in places if probes[place].purpose is Purpose.REVEAL]
    others = [place for place in places if probes[place].purpose is not Purpose.REVEAL]
    return [*others[:_BEFORE_REVEALS], *reveals, *others[_BEFORE_REVEALS:]]


class _Wave:
    """Connections that are watched together.

    Those behind hold their hellos until all those ahead are answered.
    ahead, behind: how many will be begun. ended: called once for each begun connection, with its
    place.
    ahead_are_connected: or given up. all_ended: fails where something is wrong here.
    Raises CannotDial where it cannot watch anything.
    """

    def __init__(
        self,
        peer: tuple[VettedAddress, int, ProxyRoute | None],
        limits: ScanLimits,
        *,
        begun_s: float,
        ahead: int,
        behind: int,
        ended: Callable[[int, Outcome], None],
    ) -> None:
        self._peer, self._limits, self._begun_s, self._ended = peer, limits, begun_s, ended
        self._loop = asyncio.get_running_loop()
        self._unconnected = self._unanswered = ahead
        self._unended = ahead + behind
        # By descriptor of their connections.
        self._exchanges: dict[int, Exchange] = {}
        self._held: list[Exchange] = []
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._epoll = select.epoll()
        except OSError as error:
            raise CannotDial.because_of(error) from None
        self._loop.add_reader(self._epoll, self._safely, self._look)
        self.ahead_are_connected = asyncio.Event()
        self.all_ended: asyncio.Future[None] = self._loop.create_future()
        if not self._unconnected:
            self.ahead_are_connected.set()
        if not self._unended:
            self.all_ended.set_result(None)

    def begin(
        self, probe: Probe[AnyHello], place: int, concurrent: int, random_bytes: RandomBytes
    ) -> None:
        """Begin to connect."""
        started_s = self._loop.time()
        try:
            connection = begin_connecting(*self._peer)
        except OSError as error:
            ending = ending_of(error, is_connected=False)
            self._count(
                probe,
                place,
                Outcome(ending=ending, concurrent=concurrent, started_s=started_s - self._begun_s),
            )
            return
        exchange = Exchange(
            connection,
            probe,
            self._limits,
            random_bytes=random_bytes,
            place=place,
            concurrent=concurrent,
            started_s=started_s,
        )
        self._exchanges[connection.fileno()] = exchange
        self._epoll.register(connection, select.EPOLLOUT)
        self._set_timer()

    def surrender(self, count: int) -> int:
        """End up to so many silent connections, the oldest first; return how many."""
        patience_s = self._limits.connection_deadline_s - _SILENCE_S
        silent_until_s = self._loop.time() + patience_s
        silent = [
            exchange
            for exchange in self._exchanges.values()
            if not exchange.is_heard and exchange.until_s <= silent_until_s
        ]
        for exchange in silent[:count]:
            self._safely(partial(self._end_late, exchange))
        return min(len(silent), count)

    def close(self) -> None:
        """Leave no socket behind; what has not ended was not run."""
        self._loop.remove_reader(self._epoll)
        self._epoll.close()
        if self._timer is not None:
            self._timer.cancel()
        for exchange in self._exchanges.values():
            exchange.connection.close()
            self._ended(
                exchange.place, Outcome(ending=Ending.NOT_RUN, connected=exchange.is_connected)
            )

    def _safely(self, work: Callable[[], None]) -> None:
        """Run a callback of the loop.

        The loop would only log an exception, and whoever awaits this wave would wait for ever.
        """
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it goes on to whoever waits
            self.ahead_are_connected.set()
            if not self.all_ended.done():
                self.all_ended.set_exception(error)

    def _look(self) -> None:
        """Continue ready connections, for one turn; the loop returns for the rest."""
        turn_ends_s = self._loop.time() + _TURN_S
        for descriptor, _ in self._epoll.poll(0):
            exchange = self._exchanges[descriptor]
            try:
                # The loop looks at sockets before the clock: a server that always has one more byte
                # would never be late.
                if self._loop.time() >= exchange.until_s:
                    self._end_late(exchange)
                    ending = None
                else:
                    ending = self._go_on(exchange)
            except OSError as error:
                ending = ending_of(error, is_connected=exchange.is_connected)
            if ending is not None:
                self._end(exchange, ending)
            if self._loop.time() >= turn_ends_s:
                break

    def _go_on(self, exchange: Exchange) -> Ending | None:
        """Return how the exchange ended, if it has. Raises OSError."""
        if exchange.is_spoken:
            ending = exchange.listen()
            if ending is None and not exchange.is_spoken:
                self._epoll.modify(exchange.connection, select.EPOLLOUT)
            return ending
        if not exchange.is_connected:
            event = exchange.go_on_connecting(*self._peer)
            if event is not None:
                self._epoll.modify(exchange.connection, event)
                return None
            if exchange.probe.is_last and self._unanswered:
                self._hold(exchange)
                return None
            exchange.until_s = self._loop.time() + self._limits.connection_deadline_s
            if not exchange.probe.is_last:
                self._count_connected()
        exchange.speak()
        awaited = select.EPOLLIN if exchange.is_spoken else select.EPOLLOUT
        self._epoll.modify(exchange.connection, awaited)
        return None

    def _hold(self, exchange: Exchange) -> None:
        self._epoll.unregister(exchange.connection)
        exchange.until_s = inf
        self._held.append(exchange)

    def _release(self) -> None:
        for exchange in self._held:
            exchange.until_s = self._loop.time() + self._limits.connection_deadline_s
            self._epoll.register(exchange.connection, select.EPOLLOUT)
        self._held.clear()
        self._set_timer()

    def _end_late(self, exchange: Exchange) -> None:
        """End an exchange at its deadline, by what has come until now.

        A busy machine may see the deadline before an answer that came in time. Read once: a server
        that always has one more byte is late nevertheless.
        """
        ending: Ending | None = None
        if exchange.is_spoken:
            try:
                ending = exchange.listen()
            except OSError as error:
                ending = ending_of(error, is_connected=True)
        self._end(exchange, ending or Ending.TIMED_OUT)

    def _end(self, exchange: Exchange, ending: Ending) -> None:
        is_counted = exchange.is_connected
        if not exchange.is_connected:
            # A busy machine may see the deadline before a connection that was made in time.
            with suppress(OSError, CannotDial):
                exchange.go_on_connecting(*self._peer)
        del self._exchanges[exchange.connection.fileno()]
        self._epoll.unregister(exchange.connection)
        exchange.connection.close()
        self._count(
            exchange.probe,
            exchange.place,
            exchange.outcome(ending, begun_s=self._begun_s, now_s=self._loop.time()),
            is_counted=is_counted,
        )

    def _count(
        self, probe: Probe[AnyHello], place: int, outcome: Outcome, *, is_counted: bool = False
    ) -> None:
        """Count one that has ended. is_counted: among the connected ones, already."""
        self._ended(place, outcome)
        if not probe.is_last:
            if not is_counted:
                self._count_connected()
            self._unanswered -= 1
            if not self._unanswered:
                self._release()
        self._unended -= 1
        if not self._unended:
            self.all_ended.set_result(None)

    def _count_connected(self) -> None:
        self._unconnected -= 1
        if not self._unconnected:
            self.ahead_are_connected.set()

    def _set_timer(self) -> None:
        """Wake up at the next deadline. Later starts have later deadlines: one timer is enough."""
        if self._timer is None:
            until_s = min((exchange.until_s for exchange in self._exchanges.values()), default=inf)
            if until_s < inf:
                self._timer = self._loop.call_at(until_s, self._safely, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        for exchange in [late for late in self._exchanges.values() if late.until_s <= now_s]:
            self._end_late(exchange)
        self._set_timer()
