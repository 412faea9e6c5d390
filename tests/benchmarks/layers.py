"""What each layer of the service adds to a cached answer.

Run as `python -m tests.benchmarks.layers [ROUNDS]`. Servers that differ in one layer each are
called in turn, round after round, so that other load affects all alike. What counts is the median
of the differences of a round, in CPU time of the server.
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from otpc_policy.app.clock import SystemClock
from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.check import Answer, CheckRequest, Standing
from otpc_policy.check.basis import Basis
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import Budget
from otpc_policy.core.facts import ResolutionStatus
from otpc_policy.ops.audit.streams import StreamSink
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.ops.line_writer import LineWriter
from otpc_policy.ops.metrics import Metrics
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.finding import Decision, Verdict
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.registration import RPC_METHODS
from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.echo import METHOD, serve
from tests.benchmarks.far_partner import far_partner
from tests.benchmarks.processes import announced, service
from tests.benchmarks.warm import rate, warmed
from tests.rpc.convert.values import make_answer, make_judgement

# Each with all that comes before it. The last one is the service itself.
_LAYERS = {
    "echo": "a bare grpc.aio echo",
    "guard": "request id, its trailer, the outermost frame",
    "metrics": "metrics of calls",
    "answers": "request recognised, own part of the response, decision counted and logged",
    "service": "DNS answer, facts and verdict found unchanged; the rest of the service",
}

_ALLOW = Verdict(
    decision=Decision.ALLOW, evaluated_decision=Decision.ALLOW, findings=(), changes_at=None
)


class _NoCounters:
    def of_method(self, service: str, method: str) -> "_NoCounters":
        return self

    def call_started(self) -> None: ...
    def call_handled(self, code: str, seconds: float | None, trace_id: str = "") -> None: ...
    def request_unread(self, reason: str) -> None: ...
    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None: ...


class _OneAnswer:
    """Gives every caller the same kept answer."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        ends = now + timedelta(hours=1)
        judgement = make_judgement(
            key=("one", (), (), ()), verdict=_ALLOW, judged_at=now, expires_at=ends
        )
        basis = Basis(
            host="partner.test",
            resolution=Resolution(status=ResolutionStatus.RESOLVED),
            revisions=(),
            keys=(),
            facts_ids=(),
        )
        self._answer = make_answer(
            judgement=judgement, evaluated_at=now, retry_after=None, basis=basis
        )

    async def check(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller,
    ) -> Answer:
        return self._answer

    async def still_stands(self, standing: Standing, generation: Catalog) -> datetime | None:
        return self._answer.evaluated_at


async def serve_layer(layer: str, answer: bytes) -> None:
    """Serve until killed. layer: of _LAYERS, but for the last. answer: what an echo answers."""

    async def echo(_request: bytes, _context: Any) -> bytes:
        return answer

    metrics = Metrics(CollectorRegistry(), finding_codes=(), rpc_methods=RPC_METHODS)
    counters = metrics if layer in ("metrics", "answers") else _NoCounters()
    catalog = Catalog(policies=load_builtin_policies(), trust=Trust(mozilla_roots=()))
    servicer = PolicyCheckServicer(
        checks=_OneAnswer(),
        generation=lambda: catalog,
        clock=SystemClock(),
        counters=metrics,
        decisions=AuditTrail([StreamSink("stderr", LineWriter(sys.stderr))]),
    )
    handler: Any = grpc.unary_unary_rpc_method_handler(
        servicer.check_endpoint if layer == "answers" else echo
    )
    await serve(
        METHOD,
        handler,
        interceptors=()
        if layer == "echo"
        else (CallInterceptor(counters, with_certificates=False),),
    )


def main() -> None:
    """Run and print; with a layer and a file, be its server."""
    if len(sys.argv) > 2:
        asyncio.run(serve_layer(sys.argv[1], Path(sys.argv[2]).read_bytes()))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with (
        tempfile.TemporaryDirectory() as name,
        far_partner(Path(name), names=1, round_trip_s=0.0) as partner,
        service(Path(name), partner.configuration) as whole,
        ExitStack() as stack,
    ):
        request = pb.CheckEndpointRequest(
            host=partner.names[0], port=partner.port
        ).SerializeToString()
        answer = Path(name) / "answer"
        answer.write_bytes(asyncio.run(warmed(whole, request, partner)))
        module = "tests.benchmarks.layers"
        servers = [
            *(
                stack.enter_context(announced(module, layer, str(answer)))
                for layer in list(_LAYERS)[:-1]
            ),
            whole,
        ]
        # The first round of each warms up and is discarded.
        costs_us = [
            [asyncio.run(rate(server, request)).cpu_s_per_call * 1e6 for server in servers]
            for _ in range(rounds + 1)
        ][1:]
    _report(costs_us)


def _report(costs_us: Sequence[Sequence[float]]) -> None:
    """costs_us: of each round, of each layer with all before it."""
    print(f"CPU of the server for a cached answer, us; medians of {len(costs_us)} rounds")
    print(f"{'':80}{'adds':>8}{'in all':>8}")
    for place, text in enumerate(_LAYERS.values()):
        whole = statistics.median(costs[place] for costs in costs_us)
        added = statistics.median(
            costs[place] - (costs[place - 1] if place else 0.0) for costs in costs_us
        )
        print(f"{text:80}{added:>8.1f}{whole:>8.1f}")


if __name__ == "__main__":
    main()
