"""One call of Measure: a scan, the questions that come meanwhile, and the order of the answers."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.errors import FieldViolation, InvalidRequest, TargetForbidden
from otpc_policy.core.facts import AddressFacts
from otpc_policy.engine.contradictions import heard_in_tasks_begun_here
from otpc_policy.engine.service.ports import EngineScanner
from otpc_policy.engine.service.status import END_OF_STREAM, Context
from otpc_policy.engine.spans import SpanLog, logged_in_tasks_begun_here
from otpc_policy.engine.stages import Stage
from otpc_policy.measurement.codec import encode_facts
from otpc_policy.measurement.limits import (
    MAX_DURATION_S,
    MAX_REQUIRED_SETS,
    MAX_REQUIRED_SUITES,
    MAX_SUITES,
)
from otpc_policy.measurement.revision import PROBE_REVISION
from otpc_policy.measurement.span_codec import encode_spans
from otpc_policy.measurement.target_codec import RequestedTarget, decode_target
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.ops.own_listeners import OwnListeners

_PROGRESS: Mapping[Stage, pb.Progress.ValueType] = {
    Stage.QUEUED: pb.PROGRESS_QUEUED,
    Stage.BEGUN: pb.PROGRESS_BEGUN,
    Stage.DEEP_QUEUED: pb.PROGRESS_DEEP_QUEUED,
    Stage.DEEP_BEGUN: pb.PROGRESS_DEEP_BEGUN,
}
_SUBJECTS: Mapping[str, pb.ContradictionSubject.ValueType] = {
    "version": pb.CONTRADICTION_SUBJECT_VERSION,
    "cipher_suite": pb.CONTRADICTION_SUBJECT_CIPHER_SUITE,
}
# A front asks once for each waiter that runs out of time, several waiters together.
_MAX_QUESTIONS: Final = 64
# A front says once a second how many connections it may have.
_MAX_SHARES: Final = 1_024
# More than any engine opens.
_MAX_CONNECTIONS: Final = 1_000


class _Ended:
    """The scan has ended."""


class _Asked:
    """The front asks for what has been found so far."""


class Measurement:
    """One measurement, from its first request to its final report."""

    def __init__(
        self,
        scanner: EngineScanner,
        start: pb.StartMeasurement,
        *,
        vetting: AddressVetting,
        own_listeners: OwnListeners,
        perspective: str = "",
    ) -> None:
        self._scanner = scanner
        self._target: RequestedTarget = decode_target(start.target)
        self._address = _vetted(self._target, vetting, own_listeners)
        self._scan_deadline_s = _deadline_s(start, "scan_deadline")
        self._deep_deadline_s = _deadline_s(start, "deep_deadline")
        self._required_suites = _required_suites(start)
        self._asks_groups = start.ask_groups
        self._spans = SpanLog() if start.report_spans else None
        self._connections: int | None = None
        if start.HasField("connection_share"):
            self._connections = _connections(start.connection_share)
        self._header = pb.MeasureResponse(
            probe_revision=PROBE_REVISION, target=start.target, perspective=perspective
        )
        # What must be answered, in the order in which it came.
        self._events: asyncio.Queue[Stage | _Asked | _Ended] = asyncio.Queue()

    async def run(self, context: Context) -> None:
        """Measure and report. Raises what the scanner raises; cancelled, it ends the scan."""
        with (
            heard_in_tasks_begun_here() as contradictions,
            logged_in_tasks_begun_here(self._spans),
        ):
            scan = asyncio.create_task(self._scan())
        scan.add_done_callback(lambda _: self._events.put_nowait(_Ended()))
        # Not cancelled: it ends with the call, whose end is the end of what can be read.
        self._listening = asyncio.create_task(self._listen(context))
        try:
            while not isinstance(event := await self._events.get(), _Ended):
                await context.write(self._update(event))
            await context.write(self._final(scan.result(), contradictions))
        finally:
            scan.cancel()
            await asyncio.wait({scan})

    async def _scan(self) -> AddressFacts:
        return await self._scanner.measure(
            self._target.endpoint,
            self._address,
            self._target.depth,
            scan_deadline_s=self._scan_deadline_s,
            deep_deadline_s=self._deep_deadline_s,
            required_suites=self._required_suites,
            asks_groups=self._asks_groups,
            connections=lambda: self._connections,
            entered=self._entered,
        )

    def _entered(self, stage: Stage) -> None:
        if self._spans is not None:
            self._spans.entered(stage)
        self._events.put_nowait(stage)

    async def _listen(self, context: Context) -> None:
        """Take down each question; whatever else comes is the end of them."""
        questions = shares = 0
        # Of gRPC, that is: the call is over.
        with contextlib.suppress(DecodeError, InvalidRequest, grpc.aio.BaseError):
            while questions < _MAX_QUESTIONS and shares < _MAX_SHARES:
                message: Any = await context.read()
                if message is END_OF_STREAM:
                    return
                request = pb.MeasureRequest.FromString(message)
                match request.WhichOneof("message"):
                    case "ask_partial":
                        questions += 1
                        self._events.put_nowait(_Asked())
                    case "connection_share":
                        shares += 1
                        self._connections = _connections(request.connection_share)
                        self._scanner.share_connections(self._address, self._connections)
                    case _:
                        return

    def _update(self, event: Stage | _Asked) -> bytes:
        if isinstance(event, Stage):
            return self._message(progress=_PROGRESS[event])
        found = self._scanner.glimpse(self._target.endpoint, self._address, self._target.depth)
        facts = None if found is None else encode_facts(found)
        return self._message(partial_report=pb.PartialReport(facts=facts))

    def _final(self, facts: AddressFacts, contradictions: list[str]) -> bytes:
        report = pb.FinalReport(
            facts=encode_facts(facts),
            contradictions=[_SUBJECTS[subject] for subject in contradictions[:MAX_SUITES]],
            spans=() if self._spans is None else encode_spans(self._spans.spans()),
        )
        return self._message(final_report=report)

    def _message(self, **update: Any) -> bytes:
        # Messages one after the other are one message to protobuf: the header is made once.
        return self._header.SerializeToString() + pb.MeasureResponse(**update).SerializeToString()


def _vetted(
    target: RequestedTarget, vetting: AddressVetting, own_listeners: OwnListeners
) -> VettedAddress:
    """Return the address of the target, ready to dial. Raises TargetForbidden."""
    vetted = vetting.vet(target.address)
    if not isinstance(vetted, VettedAddress):
        raise TargetForbidden(vetted.reason)
    if own_listeners.has(vetted.text, target.endpoint.port):
        raise TargetForbidden("the engine itself listens there")
    return vetted


def _required_suites(start: pb.StartMeasurement) -> tuple[frozenset[int], ...]:
    sets = start.required_suites
    too_many = len(sets) > MAX_REQUIRED_SETS
    if too_many or sum(len(required.suites) for required in sets) > MAX_REQUIRED_SUITES:
        limits = f"{MAX_REQUIRED_SETS} sets and {MAX_REQUIRED_SUITES} suites at most"
        raise InvalidRequest([FieldViolation("required_suites", limits)])
    return tuple(frozenset(required.suites) for required in sets)


def _connections(share: pb.ConnectionShare) -> int:
    if not 0 < share.connections <= _MAX_CONNECTIONS:
        raise InvalidRequest([FieldViolation("connection_share", "must be 1 to 1000")])
    return share.connections


def _deadline_s(start: pb.StartMeasurement, field: str) -> float | None:
    """Return the deadline; None where the front sets none."""
    if not start.HasField(field):  # type: ignore[arg-type]  # the stubs want the name itself
        return None
    duration = getattr(start, field)
    seconds: float = duration.seconds + duration.nanos / 1e9
    if not 0 < seconds <= MAX_DURATION_S:
        raise InvalidRequest([FieldViolation(field, "must be positive and within a day")])
    return seconds
