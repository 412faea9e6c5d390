"""Loses connections of a measurement, one by one and many at once, and looks at what is concluded.

    python -m tests.hostile.lost_connections [--seeds 3] [--random 100] [--first-seed 0] [NAME ...]

On a busy machine, or behind a bad line, answers come late or not at all, connections are refused or
closed, and a scan that has too little time does not ask. None of that may become a fact. So each
server of SERVERS is measured over a network within this process (lossy_network), once for every
connection of the measurement and every kind of loss, and with many losses that are drawn from a
seed. It must hold that

- a server with a fault is never allowed,
- nothing that a server accepts is NO, and nothing that it has not shown is YES,
- a compliant server is never denied.

The engine is the real one but for its sockets and workers, and time passes only while everybody
waits, so a seed and the losses repeat a measurement.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from random import Random

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import SEED_BYTES, Depth
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.finding import Decision, Verdict
from tests.hostile.claims import Truth, exchanges, false_claims, may_be_allowed
from tests.hostile.faults import make_stacks
from tests.hostile.rows import POLICY, ROWS
from tests.hostile.servers import beyond, make_backends
from tests.hostile.surveying import HOST, PATIENT, Surveyor, objection
from tests.support.hostile.endpoint import STRICT, serving
from tests.support.hostile.lossy_network import (
    SILENT_LOSSES,
    Delays,
    Loss,
    Losses,
    Network,
    led_over,
    run_at_once,
)
from tests.support.hostile.turns import after
from tests.support.loopback import Listener, vetted
from tests.support.tcp import Behaviour

_LISTENER = Listener("127.0.0.1", 443)
_STRICT_POLICY = "otpc-2024-12-strict"
# How likely a connection is to be lost, where many are.
_SHARES = (0.03, 0.1, 0.2, 0.4)
# Of the delay that each connection has, where they have one: beyond the deadline of a connection.
_LONGEST_DELAY_S = 6.0
# A caller may ask at any moment for what has been found so far.
_GLIMPSE_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server, and what must not be concluded about it.

    make: called once for each measurement. code: of the finding that a denial rests on; empty
    where no fault is sure to be met. truth: what it accepts. is_compliant: it must not be denied.
    """

    make: Callable[[], Behaviour]
    trust: Trust
    code: str = ""
    truth: Truth = field(default_factory=Truth)
    policy: str = POLICY
    is_compliant: bool = False


# Rows whose fault few hellos of a measurement meet, so that few losses could hide it.
_ROWS = (
    "rsa-pss-first-of-schemes-with-expired",
    "rsa-pss-first-of-schemes-with-other-name",
    "over-300-bytes-without-tls10",
    "over-512-bytes-with-tls10",
    "session-ticket-with-tls10",
    "session-ticket-with-null",
    "over-255-bytes-without-null",
    "alpn-without-expired-ecdsa",
)
_CODES = {
    "weak_suite": "CIPHER_SUITE_NOT_LISTED",
    "old_version": "TLS_VERSION_BELOW_MINIMUM",
    "old_rc4": "TLS_VERSION_BELOW_MINIMUM",
    "insecure": "CIPHER_SUITE_INSECURE",
}
# Numbers of connections after which a server changes, as in test_moods.py.
_CHANGES = (5, 14, 20, 26)


@cache
def servers() -> Mapping[str, Server]:
    """Return every server, by name."""
    stacks, backends = make_stacks(), make_backends()
    by_name = {str(row): row for row in ROWS}
    found = {
        name: Server(
            make=lambda row=by_name[name]: row.server(stacks),  # type: ignore[misc]
            trust=stacks.trust,
            code=by_name[name].fault.code,
        )
        for name in _ROWS
    }
    found["compliant"] = Server(
        make=lambda: serving(stacks.good),
        trust=stacks.trust,
        truth=Truth(always=STRICT),
        is_compliant=True,
    )
    for name, lax in backends.lax.items():
        found[name] = Server(
            make=lambda lax=lax: lax,  # type: ignore[misc]
            trust=backends.trust,
            code=_CODES[name],
            truth=Truth(always=lax.truth),
            policy=_STRICT_POLICY,
        )
    lax, strict = backends.old_version, backends.strict
    for number in _CHANGES:
        found[f"strict after {number}"] = Server(
            make=lambda number=number: after(number, lax, strict),  # type: ignore[misc]
            trust=backends.trust,
            truth=Truth(always=strict.truth, unseen=beyond(lax, strict)),
            policy=_STRICT_POLICY,
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One measurement of a server with what is lost in it.

    seed: of what the engine draws. delays: seconds until the server is reached, for each
    connection. scan_deadline_s: of the measurement.
    """

    name: str
    seed: int
    losses: Losses = lambda number: None
    delays: Delays = lambda number: 0.0
    scan_deadline_s: float = PATIENT.scan_deadline_s
    what: str = "nothing is lost"

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}, {self.what}"

    def run(self) -> "Result":
        """Measure, and judge the facts of every moment."""
        server = servers()[self.name]
        network = Network(server.make(), self.losses, self.delays)
        with led_over(network):
            return run_at_once(self._measure(server, network))

    async def _measure(self, server: Server, network: Network) -> "Result":
        limits = replace(PATIENT, scan_deadline_s=self.scan_deadline_s)
        scanner = SslyzeScanner(limits=limits, now=lambda: datetime.now(UTC))
        await scanner.start()
        seed = Random(self.seed).randbytes(SEED_BYTES)
        endpoint, address = parse_endpoint(HOST, _LISTENER.port), vetted(_LISTENER.address)
        judge = Surveyor(scanner, limits, server.trust, server.policy)
        scan = asyncio.create_task(scanner.measure(endpoint, address, Depth.STANDARD, seed=seed))
        wrong: list[str] = []
        while not scan.done():
            await asyncio.wait((scan,), timeout=_GLIMPSE_S)
            partial = scanner.glimpse(endpoint, address, Depth.STANDARD)
            if partial is not None:
                verdict = judge.verdict_on(partial, _LISTENER)
                wrong += [f"midway: {one}" for one in _objections(server, verdict)]
        facts = await scan
        await network.end()
        verdict = judge.verdict_on(facts, _LISTENER)
        seen = exchanges(network.transcripts)
        wrong += _objections(server, verdict)
        wrong += false_claims(facts, server.truth, seen)
        if server.policy == _STRICT_POLICY and verdict.decision is Decision.ALLOW:
            wrong += [] if may_be_allowed(server.truth, seen) else ["it is allowed"]
        return Result(decision=verdict.decision, connections=network.opened, wrong=tuple(wrong))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a trial. wrong: for people; empty if nothing is."""

    decision: Decision
    connections: int
    wrong: tuple[str, ...]


def _objections(server: Server, verdict: Verdict) -> list[str]:
    if server.is_compliant and verdict.decision is Decision.DENY:
        codes = ", ".join(sorted({finding.code for finding in verdict.findings}))
        return [f"a compliant server is denied: {codes}"]
    wrong = objection(verdict, server.code) if server.code else ""
    return [wrong] if wrong else []


def each_connection(
    name: str, seed: int, losses: Sequence[Loss] = tuple(Loss), *, rotate: bool = False
) -> Iterator[Trial]:
    """Yield a trial for every connection of the measurement that is lost, in each way.

    rotate: in one of the ways, each in its turn.
    """
    connections = Trial(name=name, seed=seed).run().connections
    for place in range(connections):
        for loss in (losses[(place + seed) % len(losses)],) if rotate else losses:
            yield Trial(
                name=name,
                seed=seed,
                losses=lambda number, place=place, loss=loss: (  # type: ignore[misc]
                    loss if number == place else None
                ),
                what=f"connection {place}: {loss.value}",
            )


def at_random(name: str, seed: int) -> Trial:
    """Return a trial in which many connections are lost or late, drawn from the seed."""
    chance = Random(f"{name} {seed}")
    share = chance.choice(_SHARES)
    kinds = chance.choice((SILENT_LOSSES, (chance.choice(SILENT_LOSSES),)))
    longest_s = chance.choice((0.0, 0.0, 0.3, _LONGEST_DELAY_S))
    drawn: dict[int, tuple[Loss | None, float]] = {}

    def fate(number: int) -> tuple[Loss | None, float]:
        if number not in drawn:
            draw = Random(f"{name} {seed} {number}")
            loss = draw.choice(kinds) if draw.random() < share else None
            drawn[number] = loss, draw.random() * longest_s
        return drawn[number]

    return Trial(
        name=name,
        seed=seed,
        losses=lambda number: fate(number)[0],
        delays=lambda number: fate(number)[1],
        scan_deadline_s=chance.choice((20.0, 20.0, 8.0, 2.0)),
        what=f"{share:.0%} are lost ({', '.join(kind.name for kind in kinds)}),"
        f" delays up to {longest_s:g} s",
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if nothing was concluded that must not be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1, help="measurements to lose one in")
    parser.add_argument("--random", type=int, default=50, help="measurements to lose many in")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the names of servers")
    chosen = parser.parse_args(arguments)
    failed = 0
    for name in servers():
        if chosen.names and not any(word in name for word in chosen.names):
            continue
        first, decisions = chosen.first_seed, Counter[str]()
        singly = (
            trial
            for seed in range(first, first + chosen.seeds)
            for trial in each_connection(name, seed)
        )
        drawn = (at_random(name, seed) for seed in range(first, first + chosen.random))
        for trial in chain(singly, drawn):
            result = trial.run()
            decisions[result.decision.value] += 1
            failed += bool(result.wrong)
            if result.wrong:
                print(f"{trial}: {'; '.join(result.wrong[:3])}", flush=True)
        counts = ", ".join(f"{one} {count}" for one, count in sorted(decisions.items()))
        print(f"{name}: {counts}", flush=True)
    print(f"{failed} measurements concluded what they must not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
