"""What the client's cache costs: against a bare dictionary, and against asking the service.

Run as `python -m tests.benchmarks.client_cache [ROUNDS]`. One thread asks about one endpoint that
the service has measured: a dictionary look-up by host, the client's check from its cache (with a
host, and with a request that was made before), permits_traffic of that verdict as well, and the
same call without a cache, over gRPC to the service. All take turns, round after round, so that
other load affects all alike; what counts is the median of calls per second.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from otpc_policy_client import PolicyClient, check_request
from tests.benchmarks.far_partner import far_partner
from tests.benchmarks.processes import service

_ROUND_S = 0.25
_BATCH = 50
_ROUNDS = 8


def calls_per_second(call: Callable[[], object]) -> float:
    """Call without a pause for a round."""
    began, calls = time.perf_counter(), 0
    while (elapsed_s := time.perf_counter() - began) < _ROUND_S:
        for _ in range(_BATCH):
            call()
        calls += _BATCH
    return calls / elapsed_s


def main() -> None:
    """Run and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS
    with (
        TemporaryDirectory() as name,
        far_partner(Path(name), names=1, round_trip_s=0.0) as partner,
        service(Path(name), partner.configuration) as running,
        PolicyClient(running.address, watch=False, timeout_s=60) as keeping,
        PolicyClient(running.address, cache=None, timeout_s=60) as asking,
    ):
        host, port = partner.names[0], partner.port
        request = check_request(host, port=port)
        verdict = asking.check(request)
        if not verdict.permits_traffic:
            raise SystemExit(f"{host} is not allowed: {verdict.codes}")
        table = {host: verdict}
        keeping.check(host, port=port)
        calls: Mapping[str, Callable[[], object]] = {
            "a dictionary look-up": lambda: table[host],
            "check from the cache, of a request": lambda: keeping.check(request),
            "check from the cache, of a host": lambda: keeping.check(host, port=port),
            "the same, and permits_traffic": lambda: keeping.check(host, port=port).permits_traffic,
            "check without a cache: the service answers": lambda: asking.check(host, port=port),
        }
        # The first round of each warms up and is discarded.
        rates = [
            {text: calls_per_second(call) for text, call in calls.items()}
            for _ in range(rounds + 1)
        ][1:]
    _report(rates)


def _report(rates: Sequence[Mapping[str, float]]) -> None:
    """rates: calls per second of each kind, of each round."""
    medians = {text: statistics.median(each[text] for each in rates) for text in rates[0]}
    *_, asked = medians.values()
    print(f"calls per second in one thread; medians of {len(rates)} rounds in turn")
    print(f"{'':48}{'calls/s':>12}{'us':>9}{'times asking':>14}")
    for text, rate in medians.items():
        print(f"{text:48}{rate:>12,.0f}{1e6 / rate:>9.2f}{rate / asked:>14.1f}")


if __name__ == "__main__":
    main()
