"""Real routers in front of two servers, of which one has a fault.

    python -m tests.hostile.routers --runs 20 [NAME ...]

starts nginx, HAProxy, Envoy and sslh with each of their rules (RULES), asks about every row so many
times and prints how often it held. A row is a rule, the side of it that has the fault, and the
fault. Which recorded clients are shown the fault is not computed from the rule: their hellos are
sent through the router, and the server that they reach says so.
"""

import argparse
import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product

from otpc_policy.engine.profiles.recorded_clients import recorded_clients
from otpc_policy.policy.finding import Decision, Verdict
from tests.hostile.faults import EXPIRED, NULL, OTHER_NAME, TLS10, Fault, Stacks, make_stacks
from tests.hostile.meeting import clients_of, sent_by
from tests.hostile.rows import POLICY
from tests.hostile.surveying import PATIENT, Surveyor, objection, running_surveyor
from tests.support.hostile.endpoint import read_hello, serving
from tests.support.hostile.turns import where
from tests.support.loopback import Listener, own_listener
from tests.support.servers.proxies import Route
from tests.support.servers.routers import ROUTERS
from tests.support.tcp import Behaviour, Connection, counting_servers

ROUTED_FAULTS: tuple[Fault, ...] = (TLS10, NULL, EXPIRED, OTHER_NAME)
_THEN, _OTHERWISE = b"then", b"otherwise"
_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of a router. condition: in the router's words, see tests.support.servers.routers."""

    name: str
    router: str
    condition: str

    def __str__(self) -> str:
        return f"{self.router}-{self.name}"


def _rules(router: str, **conditions: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(name=name.replace("_", "-"), router=router, condition=condition)
        for name, condition in conditions.items()
    )


RULES: tuple[Rule, ...] = (
    *_rules(
        "nginx",
        h2="$ssl_preread_alpn_protocols ~(^|,)h2(,|$)",
        any_protocol="$ssl_preread_alpn_protocols ~.",
        partners_name="$ssl_preread_server_name partner.test",
        tls13="$ssl_preread_protocol TLSv1.3",
        tls12="$ssl_preread_protocol TLSv1.2",
    ),
    *_rules(
        "haproxy",
        length="req.len gt 300",
        h2="req.ssl_alpn -m sub h2",
        any_name="req.ssl_sni -m found",
        groups="req.ssl_ec_ext 1",
        ticket="req.ssl_st_ext gt 0",
        below_tls12="req.ssl_ver lt 3.3",
        long_and_h2="req.ssl_alpn -m sub h2 } { req.len gt 512",
    ),
    *_rules(
        "envoy",
        h2="application_protocols h2",
        http1="application_protocols http/1.1",
        partners_name="server_names partner.test",
    ),
    *_rules(
        "sslh",
        h2="alpn_protocols h2",
        http1="alpn_protocols http/1.1",
        partners_name="sni_hostnames partner.test",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRow:
    """The fault is on one side of the rule: where its condition holds, or where it does not."""

    rule: Rule
    where_it_holds: bool
    fault: Fault

    def __str__(self) -> str:
        side = "with" if self.where_it_holds else "without"
        return f"{self.rule}-{side}-{self.fault.name}"


def rows_of(rule: Rule) -> tuple[RoutedRow, ...]:
    """Return the rows of a rule: both sides, every fault."""
    return tuple(
        RoutedRow(rule=rule, where_it_holds=side, fault=fault)
        for side, fault in product((True, False), ROUTED_FAULTS)
    )


def twin_name(rule: Rule) -> str:
    """Return the name of the row whose servers are both compliant."""
    return f"{rule}-twin"


def _says(name: bytes) -> Behaviour:
    async def behave(connection: Connection) -> None:
        if await read_hello(connection):
            await connection.send(name)

    return behave


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Where a router listens for one rule.

    rows: by name. twin: both servers are compliant. shown: leads to servers that say which they
    are.
    """

    rule: Rule
    rows: Mapping[str, Listener]
    twin: Listener
    shown: Listener

    def side(self, hello: bytes) -> bool | None:
        """Return whether this hello reaches the side where the condition holds.

        None if it reaches neither.
        """
        at = self.shown.address, self.shown.port
        with socket.create_connection(at, timeout=_WITHIN_S) as client:
            # Not half closed: nginx ends a connection of which one side is.
            client.sendall(hello)
            try:
                received = client.recv(64)
            except ConnectionResetError:
                return None
        return {_THEN: True, _OTHERWISE: False}.get(received)


@contextmanager
def running_router(router: str, rules: Sequence[Rule], stacks: Stacks) -> Iterator[list[Front]]:
    """Run the router with servers behind it, and yield a front for each of its rules."""
    good, other, then, otherwise = (own_listener() for _ in range(4))
    faulty = {fault.name: own_listener() for fault in ROUTED_FAULTS}
    servers: dict[Listener, Behaviour] = {
        good: serving(stacks.good),
        other: serving(stacks.other),
        then: _says(_THEN),
        otherwise: _says(_OTHERWISE),
    }
    for fault in ROUTED_FAULTS:
        behaviour = where(fault.concerns, serving(fault.stack(stacks)), serving(stacks.good))
        servers[faulty[fault.name]] = behaviour
    routes: list[Route] = []
    fronts: list[Front] = []

    def route(rule: Rule, first: Listener, second: Listener) -> Listener:
        at = own_listener()
        routes.append(Route(listener=at, condition=rule.condition, then=first, otherwise=second))
        return at

    for rule in rules:
        rows: dict[str, Listener] = {}
        for row in rows_of(rule):
            ends = faulty[row.fault.name], good
            rows[str(row)] = route(rule, *(ends if row.where_it_holds else ends[::-1]))
        twin, shown = route(rule, other, good), route(rule, then, otherwise)
        fronts.append(Front(rule=rule, rows=rows, twin=twin, shown=shown))
    with ExitStack() as running:
        running.enter_context(counting_servers(servers))
        running.enter_context(ROUTERS[router](routes))
        yield fronts


@dataclass(frozen=True, slots=True)
class RoutedClients:
    """Which recorded clients reach which side, and which faults they are shown there."""

    sides: Mapping[str, frozenset[bool | None]]
    shown: Mapping[str, frozenset[str]]

    def that_meet(self, row: RoutedRow) -> tuple[str, ...]:
        """Return the names of the clients that are shown the row's fault."""
        return tuple(
            name
            for name, sides in self.sides.items()
            if row.where_it_holds in sides and row.fault.name in self.shown[name]
        )


def clients_through(front: Front, shown: Mapping[str, frozenset[str]]) -> RoutedClients:
    """Send the hellos of every recorded client through the front. shown: from faults_shown()."""
    sides = {
        client.name: frozenset(map(front.side, sent_by(client)))
        for client in recorded_clients().values()
    }
    return RoutedClients(sides, shown)


def faults_shown(stacks: Stacks) -> Mapping[str, frozenset[str]]:
    """Return for each recorded client the names of the faults that it can be shown."""
    return {client.name: client.shown for client in clients_of(stacks, ROUTED_FAULTS)}


async def judge_front(surveyor: Surveyor, front: Front) -> dict[str, Verdict]:
    """Measure every server of a front concurrently; the verdicts by name, the twin's included."""
    places = {**front.rows, twin_name(front.rule): front.twin}
    verdicts = await asyncio.gather(*map(surveyor.judge, places.values()))
    return dict(zip(places, verdicts, strict=True))


class Chosen:
    """The rows that a command asks about.

    names: parts of their names; all rows if there is none. missed: those that did not hold.
    """

    def __init__(self, names: Sequence[str], runs: int) -> None:
        self._names, self._runs = names, runs
        self.missed = 0

    def has(self, name: str) -> bool:
        """Return whether the row is asked about."""
        return not self._names or any(part in name for part in self._names)

    def concerns(self, rule: Rule) -> bool:
        """Return whether any row of the rule is."""
        return any(map(self.has, (twin_name(rule), *map(str, rows_of(rule)))))

    async def ask(self, router: str, stacks: Stacks) -> None:
        """Ask about the rows of a router, and print them."""
        shown = faults_shown(stacks)
        rules = [rule for rule in RULES if rule.router == router and self.concerns(rule)]
        with running_router(router, rules, stacks) as fronts:
            async with running_surveyor(PATIENT, stacks.trust, POLICY) as surveyor:
                for front in fronts:
                    clients = clients_through(front, shown)
                    judged = [await judge_front(surveyor, front) for _ in range(self._runs)]
                    self._report(front.rule, judged, clients)

    def _report(
        self, rule: Rule, judged: Sequence[Mapping[str, Verdict]], clients: RoutedClients
    ) -> None:
        twin = twin_name(rule)
        if self.has(twin):
            held = sum(one[twin].decision is Decision.ALLOW for one in judged)
            self._print(twin, held, judged, "allowed", must_hold=True)
        for row in rows_of(rule):
            if self.has(str(row)):
                held = sum(not objection(one[str(row)], row.fault.code) for one in judged)
                met = clients.that_meet(row)
                shown = f"{len(met)} clients ({', '.join(met[:3])})" if met else "no client"
                self._print(str(row), held, judged, shown, must_hold=bool(met))

    def _print(
        self,
        name: str,
        held: int,
        judged: Sequence[Mapping[str, Verdict]],
        note: str,
        *,
        must_hold: bool,
    ) -> None:
        decisions = Counter(one[name].decision.value for one in judged)
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(decisions.items()))
        print(f"{held} of {self._runs}  {name}  {counts}  {note}", flush=True)
        self.missed += must_hold and held != self._runs


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if every row held that a client meets, and every twin was allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1, help="how often each row is asked about")
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the names of rows")
    asked = parser.parse_args(arguments)
    chosen, stacks = Chosen(asked.names, asked.runs), make_stacks()
    for router in ROUTERS:
        if any(rule.router == router and chosen.concerns(rule) for rule in RULES):
            asyncio.run(chosen.ask(router, stacks))
    print(f"{chosen.missed} did not hold")
    return 1 if chosen.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
