"""What traces cost a cached answer: off, against the same code without them; and on.

Run as `python -m tests.benchmarks.tracing [ROUNDS]`. Servers that differ in tracing alone are
called in turn, round after round, so that other load affects all alike. What counts is the median
of the ratios of a round, in CPU time of the server. Two servers are the same twice: their ratio
says how much of the others is chance.

"Without" is a copy of the package from which every line that serves traces on the way of a cached
answer has been taken. A line that is no longer found ends the run.
"""

import asyncio
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import otpc_policy
from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.far_partner import FarPartner, far_partner
from tests.benchmarks.processes import Running, service
from tests.benchmarks.warm import rate, warmed
from tests.support.otlp import collector

_DESCRIBED: Final = """\
        if (span := current_span()) is not None and span.is_recorded:
            _describe(span, judgement, source_name, check_id)
"""
# By file: what is taken, and what stands in its place.
_TAKEN: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "rpc/answers.py": [
        (_DESCRIBED, ""),
        ("call.sampled_trace_id", "call.trace_id"),
    ],
    "rpc/audited.py": [(", call.sampled_trace_id\n", "\n")],
    "rpc/interceptors/guard.py": [
        ("                sampled_trace_id=trace_id,\n", ""),
        ("current.sampled_trace_id", "current.trace_id"),
    ],
    "rpc/current_call.py": [('    sampled_trace_id: str = ""\n', "")],
    "ops/audit/trail.py": [('    sampled_trace_id: str = ""\n', "")],
}
_OFF: Final = "off"
_SETTINGS: Final[Mapping[str, str]] = {
    "without": "",
    _OFF: "",
    "off, once more": "",
    "on, none sampled": "sample_ratio = 0.0",
    "on, one in ten": "sample_ratio = 0.1",
    "on, every call": "sample_ratio = 1.0",
}


def main() -> None:
    """Run and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with (
        tempfile.TemporaryDirectory() as name,
        far_partner(Path(name), names=1, round_trip_s=0.0) as partner,
        collector() as receiver,
        ExitStack() as stack,
    ):
        request = pb.CheckEndpointRequest(
            host=partner.names[0], port=partner.port
        ).SerializeToString()
        servers = [
            stack.enter_context(_server(Path(name), place, kind, partner, receiver.url))
            for place, kind in enumerate(_SETTINGS)
        ]
        for server in servers:
            asyncio.run(warmed(server, request, partner))
        # The first round of each warms up and is discarded.
        costs = [
            [asyncio.run(rate(server, request)).cpu_s_per_call for server in servers]
            for _ in range(rounds + 1)
        ][1:]
        _report(costs, len(receiver.spans))


@contextmanager
def _server(
    folder: Path, place: int, kind: str, partner: FarPartner, url: str
) -> Iterator[Running]:
    own = folder / str(place)
    own.mkdir()
    lines = list(partner.configuration)
    if _SETTINGS[kind]:
        lines += ["[tracing]", f'otlp_endpoint = "{url}"', _SETTINGS[kind]]
    with service(own, lines, source=_copy(own, is_without=kind == "without")) as running:
        yield running


def _copy(folder: Path, *, is_without: bool) -> Path:
    """Copy the package, so that all servers are started alike."""
    copy = folder / "source"
    package = Path(otpc_policy.__file__).parent
    shutil.copytree(package, copy / "otpc_policy", ignore=shutil.ignore_patterns("__pycache__"))
    for file, replacements in _TAKEN.items() if is_without else ():
        path = copy / "otpc_policy" / file
        text = path.read_text(encoding="utf-8")
        for old, new in replacements:
            if old not in text:
                raise SystemExit(f"{file} has no longer: {old}")
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return copy


def _report(costs: Sequence[Sequence[float]], spans: int) -> None:
    """costs: of each round, of each server. spans: that the collector has got."""
    print(f"CPU of the server for a cached answer; medians of {len(costs)} rounds; {spans} spans")
    print(f"{'':24}{'us':>8}{'ratio':>8}{'lowest':>8}{'highest':>8}")
    off = list(_SETTINGS).index(_OFF)
    for place, kind in enumerate(_SETTINGS):
        ratios = [each[place] / each[off] for each in costs]
        cost_us = 1e6 * statistics.median(each[place] for each in costs)
        middle, lowest, highest = statistics.median(ratios), min(ratios), max(ratios)
        print(f"{kind:24}{cost_us:>8.1f}{middle:>8.3f}{lowest:>8.3f}{highest:>8.3f}")


if __name__ == "__main__":
    main()
