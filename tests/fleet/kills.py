"""A fleet whose programs are killed: `python -m tests.fleet.kills`, see --help."""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import psutil  # type: ignore[import-untyped]

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.benchmarks.processes import print_load
from tests.fleet.real import RealFleet, real_fleet

_DESCRIPTION = """\
Three real fronts with an engine each, over a Cluster of three primaries and three replicas, keep a
watch list, answer callers and stream changes, while one program after the other is killed by
SIGKILL: a front (started again), an engine (its front starts another), a primary of the store
(started again as a replica). Meanwhile the partners turn lax, and compliant again.

Ends with 1 unless
- no call failed but those that a killed front had open,
- no front listed a verdict past its expiry, but in the half minute after its own start,
- every change in a stream began with the decision that the one before it had ended with, and the
  streams' last decisions are those that every front lists in the end,
- nobody was told ALLOW when the partners had been lax for longer than an ALLOW lives.
"""
_CALL_S: Final = 30.0
_CALLS_EVERY_S: Final = 0.2
_LIST_EVERY_S: Final = 2.0
_PAGE: Final = 500
_SETTLED_S: Final = 30.0
_KILLS: Final = ("front", "engine", "primary")


@dataclass
class Clock:
    """When the partners became lax; None while they are compliant."""

    lax_since: float | None = None


@dataclass
class Seen:
    """What was wrong, and how much was right."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """Count something."""
        with self.lock:
            self.counts[what] += 1

    def fault(self, what: str) -> None:
        """Take note of something that must not be, and say it at once."""
        with self.lock:
            self.counts["faults"] += 1
            if len(self.wrong) < 50:
                self.wrong.append(what)
                print("WRONG:", what, flush=True)


class Fronts:
    """The fronts that are there now. started_at: of each."""

    def __init__(self, fleet: RealFleet) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self.started_at = {number: time.monotonic() for number in range(len(fleet.fronts))}
        self._dead: dict[int, float] = {}

    def living(self) -> list[int]:
        """Return the numbers of those that run."""
        with self._lock:
            return [number for number in self.started_at if number not in self._dead]

    def stub(self, number: int) -> rpc.PolicyCheckServiceStub:
        """Return what calls a front."""
        return self._fleet.fronts[number].checks

    def was_killed_since(self, number: int, began: float) -> bool:
        """Whether a call that began then may have met the end or the start of a front."""
        with self._lock:
            return number in self._dead or self.started_at[number] > began - 1.0

    def kill(self, number: int, after_s: float) -> None:
        """End a front as a crash does, and start another in its place."""
        with self._lock:
            self._dead[number] = time.monotonic()
        self._fleet.fronts[number].kill()
        time.sleep(after_s)
        self._fleet.replace_front(number)
        with self._lock:
            self.started_at[number] = time.monotonic()
            del self._dead[number]


class Stream:
    """Follows changes through whichever front is there. last: decisions by endpoint."""

    def __init__(self, number: int, fronts: Fronts, seen: Seen) -> None:
        self._number, self._fronts, self._seen = number, fronts, seen
        self.last: dict[str, str] = {}
        self._cursor = ""
        self.heard_at = time.monotonic()
        self.ended = threading.Event()

    def run(self) -> None:
        """Follow until ended is set."""
        while not self.ended.is_set():
            living = self._fronts.living()
            number = self._number if self._number in living else living[0]
            began = time.monotonic()
            try:
                if not self._cursor:
                    self._list(number)
                self._follow(number)
                self._seen.count("streams that ended by themselves")
            except grpc.RpcError as error:
                self._take(error.code(), number, began)
            except IndexError:
                continue
            time.sleep(0.2)

    def _take(self, code: grpc.StatusCode, number: int, began: float) -> None:
        if code is grpc.StatusCode.OUT_OF_RANGE:
            self._seen.count("streams that had to list again")
            self._cursor = ""
        elif code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            self._seen.count("streams that were cut off")
        elif code is not grpc.StatusCode.DEADLINE_EXCEEDED:
            self._seen.fault(f"stream of front {number}: {code.name} after {began:.0f}")

    def _list(self, number: int) -> None:
        listed, cursor = listing(self._fronts.stub(number))
        if cursor:
            self._cursor = cursor
            self.last = {name: pb.Decision.Name(one.decision) for name, one in listed.items()}

    def _follow(self, number: int) -> None:
        request = pb.WatchVerdictsRequest(cursor=self._cursor)
        for message in self._fronts.stub(number).WatchVerdicts(request, timeout=600):
            self.heard_at = time.monotonic()
            for change in message.changes.changes:
                self._apply(change)
            self._cursor = message.cursor
            if self.ended.is_set():
                return

    def _apply(self, change: pb.VerdictChange) -> None:
        name = f"{change.host}:{change.port}"
        said = pb.Decision.Name(change.decision)
        before = pb.Decision.Name(change.previous_decision)
        known = self.last.get(name, "DECISION_UNSPECIFIED")
        self._seen.count("changes")
        if said == known:
            self._seen.count("changes that came again")
        elif before != known and not {before, known} <= _NOTHING:
            self._seen.fault(f"gap: {name} was {known}, and the change is from {before} to {said}")
        self.last[name] = said


# A listed endpoint without a verdict is INDETERMINATE; a change begins with no verdict at all.
_NOTHING: Final = {"DECISION_UNSPECIFIED", "DECISION_INDETERMINATE"}


def listing(stub: rpc.PolicyCheckServiceStub) -> tuple[Mapping[str, pb.WatchedEndpoint], str]:
    """Return what a front knows by endpoint, and the cursor of its first page."""
    found: dict[str, pb.WatchedEndpoint] = {}
    token, cursor = "", None
    while True:
        page = stub.ListWatched(
            pb.ListWatchedRequest(page_size=_PAGE, page_token=token), timeout=_CALL_S
        )
        cursor = page.cursor if cursor is None else cursor
        found |= {f"{one.host}:{one.port}": one for one in page.endpoints}
        if not (token := page.next_page_token):
            return found, cursor


class Run:
    """One run from the start of the load to the comparison at its end."""

    def __init__(self, fleet: RealFleet, options: argparse.Namespace) -> None:
        self._fleet, self._options = fleet, options
        self._draw = random.Random(options.seed)
        self.seen = Seen()
        self._clock = Clock()
        self._fronts = Fronts(fleet)
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._streams = [
            Stream(number, self._fronts, self.seen) for number in range(len(fleet.fronts))
        ]

    def go(self) -> bool:
        """Return whether everything was as it should be."""
        first_round_s = self._options.endpoints / self._options.rate + _SETTLED_S
        time.sleep(first_round_s)
        self._began = time.monotonic()
        with self._threads():
            self._say("load begins")
            self._kill_for(60 * self._options.minutes)
            self._say("the last kill was; everything settles")
            time.sleep(_SETTLED_S)
            self._ended.set()
        self._compare()
        print(dict(sorted(self.seen.counts.items())))
        return not self.seen.counts["faults"]

    @contextmanager
    def _threads(self) -> Any:
        loops: list[Callable[[], None]] = [stream.run for stream in self._streams]
        loops += [lambda n=n: self._call(n) for n in range(len(self._fleet.fronts))]  # type: ignore[misc]
        loops.append(self._look)
        threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for stream in self._streams:
                stream.ended.set()
            for thread in threads[len(self._streams) :]:
                thread.join(_CALL_S + 5)

    def _kill_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        turns = [(0.3, True), (0.7, False)]
        while (now := time.monotonic()) < until:
            while turns and now >= until - seconds + turns[0][0] * seconds:
                _, lax = turns.pop(0)
                self._fleet.partner.turn(lax=lax)
                self._clock.lax_since = time.monotonic() if lax else None
                self._say(f"the partners are {'lax' if lax else 'compliant'} now")
            self._kill(self._draw.choice(self._options.kill))
            time.sleep(self._draw.uniform(*self._options.every))

    def _kill(self, what: str) -> None:
        number = self._draw.randrange(len(self._fleet.fronts))
        if what == "front":
            self._say(f"front {number} is killed")
            self._fronts.kill(number, 2.0)
        elif what == "engine":
            self._say(f"the engine of front {number} is killed")
            with suppress(psutil.NoSuchProcess, IndexError):
                psutil.Process(int(self._fleet.fronts[number].engines()[0].name)).kill()
        else:
            cluster = self._fleet.cluster
            assert cluster is not None
            server = self._draw.choice(cluster.primaries())
            self._say("a primary of the store is killed")
            server.kill()
            deadline = time.monotonic() + 30
            while len(cluster.primaries()) < 3 or not cluster.is_whole():
                if time.monotonic() > deadline:
                    self.seen.fault("the store has no three primaries after 30 s")
                    break
                time.sleep(0.2)
            server.start()
        self.seen.count(f"kills of a {what}")

    def _call(self, number: int) -> None:
        """Call one front without end, and the next where it is dead."""
        draw = random.Random(f"{self._options.seed} {number}")
        while not self._ended.is_set():
            living = self._fronts.living()
            if not living:
                continue
            at = number if number in living else living[0]
            host = draw.choice(self._fleet.partner.names)
            began = time.monotonic()
            try:
                answer = self._fronts.stub(at).CheckEndpoint(
                    pb.CheckEndpointRequest(host=host, port=self._fleet.partner.port),
                    timeout=_CALL_S,
                )
            except grpc.RpcError as error:
                if self._fronts.was_killed_since(at, began):
                    self.seen.count("calls that a killed front had open")
                else:
                    self.seen.fault(f"a call at front {at} failed: {error.code().name}")
            else:
                self._judge(host, answer, began)
            time.sleep(_CALLS_EVERY_S)

    def _judge(self, host: str, answer: pb.CheckEndpointResponse, began: float) -> None:
        self.seen.count(f"answers {pb.Decision.Name(answer.decision).removeprefix('DECISION_')}")
        lax_since = self._clock.lax_since
        if answer.decision != pb.DECISION_ALLOW or lax_since is None:
            return
        # What was being measured when they turned lax may still be ALLOW, and live as long.
        if began - lax_since > self._options.lifetime * 1.1 + 10:
            self.seen.fault(f"ALLOW for {host}, {began - lax_since:.0f} s after it had turned lax")

    def _look(self) -> None:
        """Ask each front what it knows of every endpoint."""
        while not self._ended.is_set():
            for number in self._fronts.living():
                began = time.monotonic()
                try:
                    listed, _ = listing(self._fronts.stub(number))
                except grpc.RpcError as error:
                    if not self._fronts.was_killed_since(number, began):
                        self.seen.fault(f"front {number} cannot list: {error.code().name}")
                    continue
                now = time.time()
                late = [
                    now - one.expire_time.ToNanoseconds() / 1e9
                    for one in listed.values()
                    if one.HasField("expire_time")
                ]
                expired = [seconds for seconds in late if seconds > 0]
                is_new = time.monotonic() - self._fronts.started_at[number] < _SETTLED_S
                if expired and not is_new:
                    self.seen.fault(
                        f"front {number}: {len(expired)} past their expiry, {max(expired):.1f} s"
                    )
                self.seen.count("listings")
            time.sleep(_LIST_EVERY_S)

    def _compare(self) -> None:
        lists = [
            {name: pb.Decision.Name(one.decision) for name, one in listed.items()}
            for listed, _ in (listing(self._fronts.stub(n)) for n in self._fronts.living())
        ]
        for number, listed in enumerate(lists):
            for stream in self._streams:
                differ = [
                    f"{name}: {stream.last.get(name)} and {decision}"
                    for name, decision in listed.items()
                    if stream.last.get(name) != decision
                ]
                if differ:
                    self.seen.fault(
                        f"{len(differ)} differ between a stream and front {number}: {differ[:3]}"
                    )
            self.seen.count("comparisons")

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s: {what}", flush=True)


def main() -> None:
    """Run, print, and exit with 1 if something was wrong."""
    options = _options()
    print_load()
    print(f"seed {options.seed}", file=sys.stderr)
    hosts = [f"p{number}.partner.test" for number in range(options.endpoints)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = stack.enter_context(
            real_fleet(
                folder,
                endpoints=options.endpoints,
                names_of_an_address=2,
                replicas=3,
                are_engines_apart=False,
                round_trip_s=0.01,
                is_cluster=True,
                may_turn_lax=True,
                settings={
                    "LIFETIMES__ALLOW_S": str(options.lifetime),
                    "LIFETIMES__DENY_S": str(options.lifetime),
                    "MINIMUM_REFRESH_INTERVAL_S": "5",
                    "DEFAULT_WAIT_S": "25",
                },
                of_port=lambda port: {
                    "WATCH__ENDPOINTS": json.dumps([f"{host}:{port}" for host in hosts]),
                    "WATCH__RATE_PER_S": str(options.rate),
                },
            )
        )
        is_right = Run(fleet, options).go()
    sys.exit(0 if is_right else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet.kills",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--endpoints", type=int, default=40, help="watched (%(default)s)")
    parser.add_argument("--minutes", type=float, default=15.0, help="of kills (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is killed (%(default)s)")
    parser.add_argument(
        "--kill", nargs="+", choices=_KILLS, default=list(_KILLS), help="what (%(default)s)"
    )
    parser.add_argument(
        "--every",
        type=float,
        nargs=2,
        default=(6.0, 14.0),
        help="seconds between two kills, at least and at most (%(default)s)",
    )
    parser.add_argument(
        "--lifetime", type=int, default=300, help="of a verdict, seconds (%(default)s)"
    )
    parser.add_argument("--rate", type=float, default=4.0, help="watch.rate_per_s (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
