"""What more engines bring: `python -m tests.benchmarks.fleet`, see --help."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.far_partner import FarPartner, far_partner
from tests.benchmarks.interference import Latencies, caller, request_for, warmed
from tests.benchmarks.processes import Running, print_load, room_for, service

_DESCRIPTION = """\
One front with one, two and three engines, each time anew and with partners that it has never seen:
how many cold checks it answers in a second when a crowd asks at one instant, and what a cached
answer takes meanwhile, beside what it takes alone. nginx and the relay that adds round trips share
the machine's cores with front and engines, so their CPU is printed: on cores of their own the
engines would have it too.
"""
_EPILOG = """\
  python -m tests.benchmarks.fleet                      about two minutes
  python -m tests.benchmarks.fleet --engines 1 4 --cold 500
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What so many engines brought. ours_s, theirs_s: CPU of the product, and of the rest."""

    engines: int
    cold_per_s: float
    alone: Latencies
    beside: Latencies
    ours_s: float
    theirs_s: float


def main() -> None:
    """Run and print."""
    options = _options()
    print_load()
    print(
        f"{options.cold} cold checks at one instant, 50 ms round trips; {options.rate:.0f} warm "
        "calls a second, milliseconds from the instant due\n\n"
        f"{'engines':>7}{'cold/s':>9}{'growth':>8}{'warm p99 alone':>16}{'in the crowd':>14}"
        f"{'CPU of a check: ours':>22}{'others':>8}"
    )
    first: Measured | None = None
    for engines in options.engines:
        measured = _measured(engines, options)
        first = first or measured
        growth = measured.cold_per_s / first.cold_per_s
        print(
            f"{engines:>7}{measured.cold_per_s:>9.1f}{growth:>8.2f}"
            f"{measured.alone.quantile_s(99) * 1e3:>16.1f}"
            f"{measured.beside.quantile_s(99) * 1e3:>14.1f}"
            f"{measured.ours_s / options.cold * 1e3:>22.0f}"
            f"{measured.theirs_s / options.cold * 1e3:>8.0f}",
            flush=True,
        )


def _measured(engines: int, options: argparse.Namespace) -> Measured:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        partner = stack.enter_context(
            far_partner(folder, names=1 + options.cold, round_trip_s=0.05, own_addresses=True)
        )
        room = room_for(options.cold + 1)
        settings = [f"engines = {engines}", *partner.configuration, *room]
        running = stack.enter_context(service(folder, settings))
        warm, *cold = partner.names
        asyncio.run(warmed(running, request_for(partner, warm)))
        asked = _written(folder / "warm", partner, [warm])
        with caller(running.address, asked, options.rate) as one:
            one.begin()
            time.sleep(options.seconds)
            alone = one.end()
        crowd = _written(folder / "cold", partner, cold)
        before = _cpu_s(running, partner)
        with (
            caller(running.address, asked, options.rate) as one,
            caller(running.address, crowd, 0.0) as many,
        ):
            one.begin()
            many.begin()
            answered = many.results()
            beside = one.end()
        ours_s, theirs_s = (
            after - earlier for after, earlier in zip(_cpu_s(running, partner), before, strict=True)
        )
        for met in (alone, beside, answered):
            met.require_allow()
        wall_s = max(due_s + latency_s for due_s, latency_s, _ in answered.calls)
        return Measured(
            engines=engines,
            cold_per_s=len(cold) / wall_s,
            alone=alone,
            beside=beside,
            ours_s=ours_s,
            theirs_s=theirs_s,
        )


def _written(path: Path, partner: FarPartner, hosts: Sequence[str]) -> Path:
    requests = (request_for(partner, host).hex() for host in hosts)
    path.write_text("\n".join(requests), encoding="ascii")
    return path


def _cpu_s(running: Running, partner: FarPartner) -> tuple[float, float]:
    return running.cpu_s(), partner.relay.own_cpu_s() + partner.server_cpu_s()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.fleet",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--engines", type=int, nargs="+", default=[1, 2, 3], help="in turn (%(default)s)"
    )
    parser.add_argument("--cold", type=int, default=600, help="checks of the crowd (%(default)s)")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="warm calls a second (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of warm calls alone (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
