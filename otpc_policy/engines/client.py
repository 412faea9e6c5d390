"""One engine at the end of a channel. Believes nothing that it says before it has been checked."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.core.facts import AddressFacts
from otpc_policy.core.fetching import Fetched, HttpUrl
from otpc_policy.core.spans import trace_metadata
from otpc_policy.engines.errors import EngineLost
from otpc_policy.engines.measuring import MeasureCall
from otpc_policy.engines.ports import EngineState, Report, Target, Terms
from otpc_policy.engines.status import error_of, raise_lost_unless_cancelled
from otpc_policy.measurement.checks import (
    read_count,
    read_text,
    require,
    require_perspective,
)
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.fetch_codec import FetchReader
from otpc_policy.measurement.limits import (
    MAX_MESSAGE_BYTES,
    MAX_REQUIRED_SETS,
    MAX_REQUIRED_SUITES,
)
from otpc_policy.measurement.methods import FETCH_CRL, MEASURE, RESOLVE, WATCH_STATUS
from otpc_policy.measurement.resolution_codec import decode_resolution
from otpc_policy.measurement.target_codec import encode_target
from otpc_policy.measurement.times import encode_duration
from otpc_policy.measurement.v1 import measurement_pb2 as pb

# Reports between two looks, one a second: one for each second, and some for changes.
_MAX_REPORTS: Final = 64
_MAX_QUEUED: Final = 1_000_000
_MAX_WORKERS: Final = 10_000
_MAX_TASKS: Final = 1_000_000
_MAX_CONCURRENT_SCANS: Final = 65_536
# A request holds a target and the suites of all policies.
_SEND_BYTES: Final = 32 * 1024
# A connection that a firewall has forgotten is noticed, and kept from being forgotten. Whether the
# engine lives is told by its reports.
_PING_INTERVAL_MS: Final = 20_000
_PING_TIMEOUT_MS: Final = 10_000
_RECONNECT_MS: Final = 200
_RECONNECT_AT_MOST_MS: Final = 2_000
# What a fetch may take longer than its deadline, which the engine keeps: the way there and back.
_FETCH_MARGIN_S: Final = 2.0
# How long one attempt may take: three round trips with TLS, or a machine that is busy.
_CONNECT_MS: Final = 2_000
# What a status and its details take; the default allows 16 KiB and more.
_METADATA_BYTES: Final = 8 * 1024


def channel_options() -> Sequence[tuple[str, int]]:
    """Return the options of a channel to an engine: whatever it sends, the front stays small."""
    return (
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _SEND_BYTES),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        # A window that grows with the engine's speed would grow with what it floods us with.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_AT_MOST_MS),
        # Whether to try again is decided here, and where.
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.use_local_subchannel_pool", 1),
    )


def keepalive_options() -> Sequence[tuple[str, int]]:
    """Return what a channel over a network needs beside those; a Unix socket forgets nothing."""
    return (
        ("grpc.keepalive_time_ms", _PING_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )


class EngineClient:
    """The methods of one engine.

    state: the last that was reported. reports: since somebody has set it to zero, who must do so
    again and again (see heartbeats). arrears: how many more there may be than between two looks,
    because this process was stopped meanwhile. became_busy: is called as a measurement begins and
    no other is under way. vetting: the front's guard. now: dates the facts: an engine's clock may
    be wrong, and one that lies could make its facts last for years. perspective: from which the
    engine must measure. One that says it measures from elsewhere is wired up wrongly: whatever it
    says is refused as a lie. "" for any.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        vetting: AddressVetting,
        now: Callable[[], datetime],
        perspective: str = "",
    ) -> None:
        self._perspective = perspective
        self._vetting, self._now = vetting, now
        # Bytes go in and come out: what cannot be read must become an exception of ours.
        self._resolve: Any = channel.unary_unary(RESOLVE, None, None)
        self._measure: Any = channel.stream_stream(MEASURE, None, None)
        self._fetch_crl: Any = channel.unary_stream(FETCH_CRL, None, None)
        self._watch: Any = channel.unary_stream(WATCH_STATUS, None, None)
        self._under_way: dict[Target, MeasureCall] = {}
        self._calls: set[MeasureCall] = set()
        self.state = EngineState()
        self.reports = 0
        self.arrears = 0
        self.became_busy: Callable[[], object] = lambda: None

    @property
    def is_busy(self) -> bool:
        """It measures, as far as this front knows."""
        return bool(self._calls)

    async def measure(
        self, target: Target, terms: Terms, *, left_standard_part: Callable[[], None]
    ) -> Report:
        """See ports.Engine."""
        asked = encode_target(target.endpoint, target.address.text, target.depth)
        start = pb.StartMeasurement(
            target=asked,
            required_suites=_suite_sets(terms.required_suites),
            scan_deadline=encode_duration(timedelta(seconds=terms.scan_deadline_s)),
            deep_deadline=encode_duration(timedelta(seconds=terms.deep_deadline_s)),
            ask_groups=terms.asks_groups,
            report_spans=terms.reports_spans,
            connection_share=(
                None
                if terms.connections is None
                else pb.ConnectionShare(connections=terms.connections)
            ),
        )
        call = MeasureCall(
            self._measure(metadata=trace_metadata()),
            target,
            start,
            state=lambda: self.state,
            under_way=lambda: len(self._calls),
            left_standard_part=left_standard_part,
            perspective=self._perspective,
        )
        self._under_way.setdefault(target, call)
        if not self._calls:
            self.became_busy()
        self._calls.add(call)
        try:
            report = await call.run(terms)
        finally:
            self._calls.discard(call)
            if self._under_way.get(target) is call:
                del self._under_way[target]
        return replace(report, facts=self._dated(report.facts))

    def share_connections(self, target: Target, connections: int) -> None:
        """See ports.Engine."""
        call = self._under_way.get(target)
        if call is not None:
            call.share_connections(connections)

    async def partial(self, target: Target) -> AddressFacts | None:
        """See ports.Engine."""
        call = self._under_way.get(target)
        found = None if call is None else await call.partial()
        return None if found is None else self._dated(found)

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        """See ports.Engine."""
        request = pb.ResolveRequest(host=host, fresh=fresh).SerializeToString()
        try:
            answer = await self._resolve(request, timeout=within_s, metadata=trace_metadata())
            response = pb.ResolveResponse.FromString(answer)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None
        except DecodeError:
            raise EngineLied("ResolveResponse: not a message") from None
        except asyncio.CancelledError:
            raise_lost_unless_cancelled()
            raise
        require_perspective(response.perspective, self._perspective)
        return decode_resolution(response, host=host, vetting=self._vetting)

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched:
        """See ports.Engine."""
        request = pb.FetchCrlRequest(
            url=url.text,
            max_bytes=max_bytes,
            deadline=encode_duration(timedelta(seconds=deadline_s)),
        )
        reader = FetchReader(max_bytes)
        call = self._fetch_crl(request.SerializeToString(), timeout=deadline_s + _FETCH_MARGIN_S)
        try:
            async for message in call:
                reader.take(pb.FetchCrlResponse.FromString(message))
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None
        except DecodeError:
            raise EngineLied("FetchCrlResponse: not a message") from None
        except asyncio.CancelledError:
            raise_lost_unless_cancelled()
            raise
        finally:
            call.cancel()
        return reader.fetched()

    async def answers(self, *, within_s: float) -> bool:
        """See ports.Engine."""
        call = self._watch(pb.WatchStatusRequest().SerializeToString())
        try:
            async with asyncio.timeout(within_s):
                return isinstance(await call.read(), bytes)
        except (TimeoutError, grpc.aio.AioRpcError):
            return False
        except asyncio.CancelledError:
            raise_lost_unless_cancelled()
            raise
        finally:
            call.cancel()

    def give_up(self) -> None:
        """Have every measurement under way raise EngineLost."""
        for call in self._calls:
            call.give_up()

    async def watch(self, reported: Callable[[], None]) -> None:
        """Keep the state up to date. reported: is called after each report.

        Ends only by raising: EngineLost when the engine is gone, EngineLied.
        """
        call = self._watch(pb.WatchStatusRequest().SerializeToString())
        try:
            async for message in call:
                self.state = _state(message, self._perspective)
                self.reports += 1
                is_honest = self.reports <= _MAX_REPORTS + self.arrears
                require(is_honest, "WatchStatusResponse: too many")
                reported()
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None
        except asyncio.CancelledError:
            raise_lost_unless_cancelled()
            raise
        finally:
            call.cancel()
        raise EngineLost("the engine reports nothing more")

    def _dated(self, facts: AddressFacts) -> AddressFacts:
        return replace(facts, observed_at=self._now())


def _suite_sets(required: Sequence[Sequence[int]]) -> list[pb.SuiteSet]:
    """Return as many sets as the contract has room for.

    What is left out may stay unproven, and so a policy that requires it undecided.
    """
    sets: list[pb.SuiteSet] = []
    room = MAX_REQUIRED_SUITES
    for suites in required[:MAX_REQUIRED_SETS]:
        room -= len(suites)
        if room < 0:
            break
        sets.append(pb.SuiteSet(suites=suites))
    return sets


def _state(message: bytes, perspective: str) -> EngineState:
    try:
        response = pb.WatchStatusResponse.FromString(message)
    except DecodeError:
        raise EngineLied("WatchStatusResponse: not a message") from None
    require_perspective(response.perspective, perspective)
    require(response.concurrent_scans > 0, "concurrent_scans: none")
    return EngineState(
        probe_revision=read_text(response.probe_revision, "probe_revision"),
        queued=read_count(response.queued, _MAX_QUEUED, "queued"),
        workers_alive=read_count(response.workers_alive, _MAX_WORKERS, "workers_alive"),
        concurrent_scans=read_count(
            response.concurrent_scans, _MAX_CONCURRENT_SCANS, "concurrent_scans"
        ),
        is_draining=response.draining,
        tasks=read_count(response.tasks, _MAX_TASKS, "tasks"),
        perspective=response.perspective,
    )
