"""Engines and workers killed or stopped in mid-scan, round after round, with callers waiting.

    python -m tests.app.losses --signal SIGSTOP --rounds 50

In each round several callers have two partners measured anew, a compliant one and one whose
certificate has expired, and a signal takes what measures them. Every call must be answered with the
right verdict, what was lost must be gone and replaced, and at the end no process and no file may be
left. Exit status 0: so it was.
"""

import argparse
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from otpc_policy.v1 import policy_pb2 as pb
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.relay import relay
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import ServiceProcess, descendants, service_process
from tests.support.signing import now
from tests.support.tcp import Counts
from tests.support.waiting import wait_until

# Who gets the signal: every engine at once, one engine, one of their workers or templates.
VICTIMS: Final = ("engines", "engine", "worker")
ROUND_TRIP_S: Final = 0.05
# A check of a compliant server opens 42 connections: at the latest of these it is under way.
LATEST_CONNECTION: Final = 25
CALLERS: Final = 3
PATIENCE_S: Final = 60.0
WORKERS: Final = 2


class Losses:
    """A running service, two distant partners, and what has become of its processes."""

    def __init__(
        self,
        service: ServiceProcess,
        partners: dict[str, tuple[Counts, "pb.Decision.ValueType"]],
        choice: random.Random,
    ) -> None:
        self._service, self._partners, self._choice = service, partners, choice

    def round(self, sign: signal.Signals, victims: str) -> float:
        """Return the seconds until every caller had the right answer. victims: of VICTIMS."""
        began_s = time.monotonic()
        before = {host: counts.connections for host, (counts, _) in self._partners.items()}
        calls = [
            (host, self._service.checks.CheckEndpoint.future(self._question(host), PATIENCE_S))
            for host in self._partners
            for _ in range(CALLERS)
        ]
        enough = self._choice.randint(1, LATEST_CONNECTION)
        wait_until(
            lambda: any(
                counts.connections - before[host] >= enough
                for host, (counts, _) in self._partners.items()
            ),
            PATIENCE_S,
        )
        is_mid_scan = not any(call.done() for _, call in calls)
        assert is_mid_scan, "the signal came too late"
        lost = self._signal(sign, victims)
        for host, call in calls:
            response = call.result()
            assert response.decision == self._partners[host][1], response
        answered_s = time.monotonic() - began_s
        wait_until(lambda: not [process for process in lost if process.exists()], 30)
        workers = 'otpc_policy_scan_workers{perspective="default"}'
        wait_until(lambda: self._service.metric(workers) == WORKERS, 30)
        assert self._service.metric('otpc_policy_scans_total{outcome="failed"}') == 0
        return answered_s

    def _question(self, host: str) -> pb.CheckEndpointRequest:
        at = self._partners[host][0].listener
        refresh = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
        return pb.CheckEndpointRequest(host=host, port=at.port, freshness=refresh)

    def _signal(self, sign: signal.Signals, victims: str) -> list[Path]:
        """Send the signal; return the processes that must be gone soon.

        A worker that was not at work is missed in the next measurement only.
        """
        engines = self._service.engines()
        if victims == "worker":
            below = [process for process in self._service.family() if process not in engines]
            chosen, lost = [self._choice.choice(below)], []
        else:
            chosen = engines if victims == "engines" else [self._choice.choice(engines)]
            lost = [process for engine in chosen for process in (engine, *descendants(engine))]
        for process in chosen:
            with suppress(ProcessLookupError):  # a worker that has done its work meanwhile
                os.kill(int(process.name), sign)
        return lost


@contextmanager
def losing(*, seed: int) -> Iterator[Losses]:
    """Run a service and its partners; at the end nothing may be left of them."""
    authority = CertificateAuthority.create()
    yesterday = now() - timedelta(days=1)
    leaves = {
        "good.test": (
            authority.issue(dns=("good.test",)),
            authority.issue(dns=("good.test",), key="rsa2048"),
        ),
        "expired.test": (
            authority.issue(
                dns=("expired.test",),
                not_before=yesterday - timedelta(days=90),
                not_after=yesterday,
            ),
        ),
    }
    right = {"good.test": pb.DECISION_ALLOW, "expired.test": pb.DECISION_DENY}
    with ExitStack() as stack:
        partners: dict[str, tuple[Counts, pb.Decision.ValueType]] = {}
        for host, certificates in leaves.items():
            near = stack.enter_context(nginx(own_listener(), TlsOffer(certificates=certificates)))
            distant = relay(own_listener(), near, round_trip_s=ROUND_TRIP_S)
            partners[host] = (stack.enter_context(distant), right[host])
        # A short path: sockets of engines are put there.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="t-")))
        sockets, anchor = folder / "sockets", folder / "anchor.pem"
        sockets.mkdir()
        anchor.write_bytes(authority.pem)
        addresses = {host: counts.listener.address for host, (counts, _) in partners.items()}
        settings = {
            "STATIC_HOSTS": json.dumps(addresses),
            "TRUST": json.dumps([{"hosts": list(right), "anchor_file": str(anchor)}]),
            "MINIMUM_REFRESH_INTERVAL_S": "0",
            "SCAN__WORKERS": str(WORKERS),
            # A worker that is stopped is noticed so long after it should have answered.
            "SCAN__CONNECTION_DEADLINE_S": "3",
        }
        variables = {f"OTPC_POLICY_{name}": value for name, value in settings.items()}
        with service_process(folder, TMPDIR=str(sockets), **variables) as service:
            try:
                yield Losses(service, partners, random.Random(seed))
            except AssertionError:
                for line in service.log_lines():
                    if line["event"] != "decision":
                        print(line)
                raise
        assert list(sockets.iterdir()) == []


def main() -> None:
    """Run the rounds, and print one line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--signal", choices=("SIGKILL", "SIGSTOP"), default="SIGSTOP")
    parser.add_argument("--rounds", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--victims", choices=(*VICTIMS, "all"), default="all", help="in turn: all")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (%(default)s)")
    options = parser.parse_args()
    turns = VICTIMS if options.victims == "all" else (options.victims,)
    took_s = []
    with losing(seed=options.seed) as losses:
        for number in range(options.rounds):
            victims = turns[number % len(turns)]
            took_s.append(losses.round(signal.Signals[options.signal], victims))
            print(f"{number + 1:4} {options.signal} {victims:8} {took_s[-1]:6.2f} s", flush=True)
    calls = 2 * CALLERS * len(took_s)
    print(f"{len(took_s)} rounds, {calls} calls, all answered and right; nothing is left")
    median_s, longest_s = statistics.median(took_s), max(took_s)
    print(f"until all had answers: median {median_s:.2f} s, longest {longest_s:.2f} s")


if __name__ == "__main__":
    main()
