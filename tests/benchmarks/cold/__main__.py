"""`python -m tests.benchmarks.cold`: see --help."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.cold.cost import Cost
from tests.benchmarks.cold.everything import print_everything, survey
from tests.benchmarks.cold.ours import Checks, cold_checks
from tests.benchmarks.cold.report import median_of, print_ours, print_purposes, print_rivals
from tests.benchmarks.cold.rivals import TOOLS, missing, run_tool
from tests.benchmarks.far_partner import FarPartner, Lax, far_partner
from tests.benchmarks.processes import print_load, service

_EXAMPLES = """\
A compliant nginx with an RSA and an ECDSA certificate runs behind a relay that adds round trips.
The running service checks names that it has never seen, one after the other; then each tool scans
the same server through the same relay.

  python -m tests.benchmarks.cold                    ours, and every installed tool (a minute)
  python -m tests.benchmarks.cold --tools none -n 50 ours alone, with a steadier figure for the CPU
  python -m tests.benchmarks.cold --tools none --everything
                                                     and servers that accept every suite

Other work on the machine makes every figure worse. Compare ratios within a run, and least values.
"""


def main() -> None:
    """Run and print."""
    options = _options()
    round_trip_s = options.round_trip_ms / 1000
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        print_load()
        with far_partner(directory, names=options.checks + 1, round_trip_s=round_trip_s) as partner:
            _say(f"{options.checks} cold checks ...")
            checks = _checked(directory, partner, pb.DECISION_ALLOW)
            print_ours(checks, round_trip_s)
            print_purposes(checks.observation)
            rivals = {
                tool: _measured(tool, partner, directory)
                for tool in options.tools
                if not _is_skipped(tool)
            }
            if rivals:
                print_rivals(median_of(checks), rivals)
        for lax in Lax if options.everything else ():
            _everything(directory, round_trip_s, lax)


def _checked(directory: Path, partner: FarPartner, expected: "pb.Decision.ValueType") -> Checks:
    with service(directory, partner.configuration) as running:
        return cold_checks(running, partner, expected)


def _measured(tool: str, partner: FarPartner, directory: Path) -> Cost:
    _say(f"{tool} ...")
    return run_tool(tool, partner, directory)


def _is_skipped(tool: str) -> bool:
    is_missing = missing(tool)
    if is_missing:
        print(f"\nskipped: {tool} is not installed")
    return is_missing


def _everything(directory: Path, round_trip_s: float, lax: Lax) -> None:
    with far_partner(directory, names=6, round_trip_s=round_trip_s, lax=lax) as partner:
        _say(f"{lax.value} ...")
        print(f"\neverything: {lax.value}")
        checks = _checked(directory, partner, pb.DECISION_DENY)
        alone = asyncio.run(survey(partner))
        print_everything(median_of(checks), checks.observation, alone, round_trip_s)


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cold",
        description="The cost of a cold check and of other tools: wall time, connections, CPU.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-n", "--checks", type=int, default=20, help="cold checks to take medians of (%(default)s)"
    )
    parser.add_argument(
        "--round-trip-ms", type=float, default=50.0, help="the relay's round trip (%(default)s)"
    )
    parser.add_argument(
        "--tools",
        type=_tools,
        default=tuple(TOOLS),
        help=f"tools to compare with, separated by commas: {', '.join(TOOLS)}, or none (all)",
    )
    parser.add_argument(
        "--everything",
        action="store_true",
        help="enumerate servers that accept every version and suite, too",
    )
    return parser.parse_args()


def _tools(text: str) -> tuple[str, ...]:
    chosen = () if text == "none" else tuple(text.split(","))
    unknown = [tool for tool in chosen if tool not in TOOLS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is not one of {', '.join(TOOLS)}")
    return chosen


if __name__ == "__main__":
    main()
