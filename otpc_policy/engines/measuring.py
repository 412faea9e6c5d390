"""One call of Measure, seen from the front: what may come when, and for how long.

A measurement that waits for its turn in the engine says so, and its time does not run: but it waits
no longer than the queue that the engine reports can take, and no longer than this front's own
measurements and a few others account for. Otherwise the final report must be there when the
deadline that the front set has passed, and a margin. Each other message must have a cause: a stage
comes once and in order, a partial report was asked for, and nothing follows the final report. So an
engine is found out, whether it keeps silent or chatters.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import AddressFacts
from otpc_policy.engines.errors import EngineFailed
from otpc_policy.engines.ports import EngineState, Report, Target, Terms
from otpc_policy.engines.status import (
    error_of,
    is_being_cancelled,
    raise_lost_unless_cancelled,
)
from otpc_policy.measurement.checks import at_most, read_text, require, require_perspective
from otpc_policy.measurement.codec import decode_facts
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.limits import MAX_SUITES
from otpc_policy.measurement.span_codec import decode_spans
from otpc_policy.measurement.target_codec import require_echo
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.turns import turn

# Scheduling and the way back take milliseconds. DESIGN: a lie costs no more than a second.
_MARGIN_S: Final = 0.9
# For the end of a stream to follow its final report: milliseconds, where both programs have a core.
_END_S: Final = 0.2
# Within this an engine reports its queue, or is given up as silent (heartbeats).
_REPORTED_WITHIN_S: Final = 5.0
# Turns of other fronts' measurements that are waited for. A turn that takes all of its time is
# rare: a scan takes a tenth of it. An engine that reports a longer queue may lie, and everybody who
# waits keeps a place that others need.
_TURNS_OF_OTHERS: Final = 4
# After which a caller may ask again where a queue was too long, as for a full one (pool).
_RETRY_AFTER: Final = timedelta(seconds=2)
# What is longer than this holds facts, which take a millisecond to read.
_SHORT_BYTES: Final = 1024
# Of an engine one release newer, which may say what this front does not know.
_MAX_UNKNOWN_MESSAGES: Final = 8

_SUBJECTS: Mapping[int, str] = {
    pb.CONTRADICTION_SUBJECT_VERSION: "version",
    pb.CONTRADICTION_SUBJECT_CIPHER_SUITE: "cipher_suite",
}
_ASK: Final = pb.MeasureRequest(ask_partial=pb.AskPartial()).SerializeToString()


class MeasureCall:
    """One measurement at one engine.

    call: the gRPC call, nothing of it written or read yet. state: what the engine reported last.
    under_way: calls of this front to this engine, this one included. perspective: as of
    EngineClient.
    """

    def __init__(
        self,
        call: Any,
        target: Target,
        start: pb.StartMeasurement,
        *,
        state: Callable[[], EngineState],
        under_way: Callable[[], int],
        left_standard_part: Callable[[], None],
        perspective: str = "",
    ) -> None:
        self._perspective = perspective
        self._under_way, self._is_queue_too_long = under_way, False
        self._call, self._target, self._start = call, target, start
        self._state, self._left_standard_part = state, left_standard_part
        self._writing = asyncio.Lock()
        self._ended = asyncio.Event()
        call.add_done_callback(lambda _call: self._ended.set())
        self._wanted: asyncio.Future[AddressFacts | None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._sharing: asyncio.Task[None] | None = None
        self._stage = 0
        self._until_s = 0.0
        self._limit: asyncio.Timeout | None = None
        self._unknown_messages = 0
        self._revision = ""

    async def run(self, terms: Terms) -> Report:
        """Return the final report. Raises Overloaded, EngineLost, EngineFailed, EngineLied."""
        self._until_s = asyncio.get_running_loop().time() + terms.scan_deadline_s + _MARGIN_S
        try:
            async with asyncio.timeout_at(self._until_s):
                await self._write(pb.MeasureRequest(start=self._start).SerializeToString())
            return await self._final_report(terms)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None
        except asyncio.InvalidStateError:
            raise await self._why_it_ended() from None
        except TimeoutError:
            if self._is_queue_too_long:
                raise Overloaded(_RETRY_AFTER) from None
            raise EngineFailed("the engine did not end the measurement in time") from None
        except asyncio.CancelledError:
            raise_lost_unless_cancelled()
            raise
        finally:
            self._limit = None
            self._call.cancel()
            self._give(None)

    def give_up(self) -> None:
        """Have run raise EngineLost."""
        self._call.cancel()

    async def partial(self) -> AddressFacts | None:
        """Return what has been found so far; None where the measurement ends meanwhile."""
        if self._wanted is None:
            self._wanted = asyncio.get_running_loop().create_future()
            # A task of its own: gRPC cancels the whole call where a write is cancelled, and whoever
            # asks may leave at any time.
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._wanted)

    def share_connections(self, connections: int) -> None:
        """Have the engine open no more connections to the address than so many at a time."""
        if self._sharing is not None and not self._sharing.done():
            return  # it comes again
        share = pb.MeasureRequest(connection_share=pb.ConnectionShare(connections=connections))
        self._sharing = asyncio.create_task(self._share(share.SerializeToString()))

    async def _share(self, message: bytes) -> None:
        try:
            await self._write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the call is over, and its connections with it
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise

    async def _ask(self) -> None:
        try:
            await self._write(_ASK)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self._give(None)
        except asyncio.CancelledError:
            self._give(None)
            if is_being_cancelled():
                raise

    async def _final_report(self, terms: Terms) -> Report:
        while True:
            async with asyncio.timeout_at(self._until_s) as self._limit:
                message = await self._read()
            self._limit = None
            async with turn() if len(message) > _SHORT_BYTES else nullcontext():
                response = self._checked(message)
                match response.WhichOneof("update"):
                    case "final_report":
                        report = self._report(response.final_report)
                        break
                    case "partial_report":
                        self._take_partial(response.partial_report)
                    case "progress":
                        self._until_s = self._take_progress(response.progress, terms)
                    case _:
                        self._pass_over()
        # The report stands, however and whenever the stream ends: an engine may lack CPU, or die.
        with suppress(TimeoutError, grpc.aio.AioRpcError):
            async with asyncio.timeout(_END_S):
                require(await self._call.read() is _EOF, "more than a final report")
        return report

    async def _read(self) -> bytes:
        message: bytes = await self._call.read()
        if message is _EOF:
            raise await self._why_it_ended()
        return message

    def _checked(self, message: bytes) -> pb.MeasureResponse:
        try:
            response = pb.MeasureResponse.FromString(message)
        except DecodeError:
            raise EngineLied("MeasureResponse: not a message") from None
        require_echo(response.target, self._start.target)
        require_perspective(response.perspective, self._perspective)
        revision = read_text(response.probe_revision, "probe_revision")
        # Facts are kept under it: without one they would pass for those of any other.
        require(bool(revision), "probe_revision: none")
        require(revision == (self._revision or revision), "probe_revision: another than before")
        self._revision = revision
        return response

    async def _why_it_ended(self) -> Exception:
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            return EngineLied("the stream ended without a final report")
        trailers = await self._call.trailing_metadata()
        return error_of(grpc.aio.AioRpcError(code, trailers, trailers, "", ""))

    def _report(self, message: pb.FinalReport) -> Report:
        at_most(message.contradictions, MAX_SUITES, "contradictions")
        require(self._start.report_spans or not message.spans, "spans: not asked for")
        subjects = [_SUBJECTS.get(number) for number in message.contradictions]
        return Report(
            facts=self._facts(message.facts),
            contradictions=tuple(subject for subject in subjects if subject is not None),
            spans=decode_spans(message.spans),
        )

    def _take_partial(self, message: pb.PartialReport) -> None:
        require(self._wanted is not None, "partial_report: not asked for")
        self._give(self._facts(message.facts) if message.HasField("facts") else None)

    def _facts(self, message: pb.AddressFacts) -> AddressFacts:
        return decode_facts(
            message,
            address=self._target.address.text,
            depth=self._target.depth,
            probe_revision=self._revision,
        )

    def _take_progress(self, stage: int, terms: Terms) -> float:
        """Return until when the next message must come."""
        require(stage > self._stage, "progress: again, or backwards")
        self._stage = stage
        now_s = asyncio.get_running_loop().time()
        self._is_queue_too_long = False
        match stage:
            case pb.PROGRESS_QUEUED:
                return self._begin_to_wait(terms)
            case pb.PROGRESS_BEGUN:
                return now_s + terms.scan_deadline_s + _MARGIN_S
            case pb.PROGRESS_DEEP_QUEUED:
                self._left_standard_part()
                return self._begin_to_wait(terms)
            case pb.PROGRESS_DEEP_BEGUN:
                self._left_standard_part()
                return now_s + terms.deep_deadline_s + _MARGIN_S
            case _:
                self._pass_over()
                return self._until_s

    def _begin_to_wait(self, terms: Terms) -> float:
        """Wait for a turn: how long is known once the engine has reported its queue."""
        loop = asyncio.get_running_loop()
        loop.call_later(_REPORTED_WITHIN_S, self._bound_the_wait, self._stage, terms)
        return loop.time() + 2 * _REPORTED_WITHIN_S

    def _bound_the_wait(self, stage: int, terms: Terms) -> None:
        if self._stage != stage:
            return
        is_deep = stage == pb.PROGRESS_DEEP_QUEUED
        reported = turns_reported(self._state(), is_deep=is_deep)
        waited_for = min(reported, most_turns(self._under_way(), is_deep=is_deep))
        self._is_queue_too_long = waited_for < reported
        self._until_s = asyncio.get_running_loop().time() + waited_for * turn_s(terms)
        limit = self._limit
        if limit is not None and not limit.expired():
            limit.reschedule(self._until_s)

    def _pass_over(self) -> None:
        self._unknown_messages += 1
        require(self._unknown_messages <= _MAX_UNKNOWN_MESSAGES, "too many unknown messages")

    def _give(self, found: AddressFacts | None) -> None:
        """Answer those who asked for what has been found so far."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.done():
            wanted.set_result(found)

    async def _write(self, message: bytes) -> None:
        # gRPC takes one message at a time. Where the call ends before its metadata are sent, a
        # write never returns (grpcio 1.83, _StreamRequestMixin._write).
        async with self._writing:
            writing = asyncio.ensure_future(self._call.write(message))
            ended = asyncio.ensure_future(self._ended.wait())
            try:
                await asyncio.wait({writing, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not writing.done():
                    raise asyncio.InvalidStateError
                await writing
            finally:
                writing.cancel()
                ended.cancel()


def turn_s(terms: Terms) -> float:
    """Return how long one turn takes at most: that of a part that uses all of its time."""
    # Not the terms' time for a STANDARD part, which is shorter when a measurement begins anew.
    return max(terms.scan_deadline_s, terms.deep_deadline_s) + _MARGIN_S


def turns_reported(state: EngineState, *, is_deep: bool) -> int:
    """Return how many turns an honest engine with this queue needs to begin a measurement in it.

    is_deep: it waits for its DEEP part.
    """
    # DEEP parts may take their turns one at a time, and the first one then waits for connections.
    return state.queued + 2 if is_deep else state.queued // state.concurrent_scans + 1


def most_turns(under_way: int, *, is_deep: bool) -> int:
    """Return how many turns are waited for, whatever the engine reports.

    under_way: calls of this front to the engine. Of those that wait for a STANDARD part there are
    never more than it measures at a time (gate).
    """
    return (under_way + 1 if is_deep else 1) + _TURNS_OF_OTHERS


# What reading gives at the end of a stream; the stubs do not know it.
_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]
