"""Real routers (nginx, HAProxy, Envoy, sslh) lead some hellos to a server with a fault.

routers.py has their rules, and a command that asks about them many times.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from otpc_policy.policy.finding import Decision, Verdict
from tests.hostile.faults import Stacks
from tests.hostile.routers import (
    RULES,
    Front,
    RoutedClients,
    RoutedRow,
    Rule,
    clients_through,
    faults_shown,
    judge_front,
    rows_of,
    running_router,
    twin_name,
)
from tests.hostile.surveying import Surveyor, objection

pytestmark = pytest.mark.asyncio(loop_scope="package")

# Rows whose fault no recorded client is shown: whatever the verdict, it is right for them.
# Those with a fault of NULL suites: whoever offers them has no ALPN, TLS 1.3 or long hello.
NOBODY: frozenset[str] = frozenset(
    {
        "nginx-h2-with-null",
        "nginx-any-protocol-with-null",
        "nginx-tls13-with-null",
        "haproxy-length-with-null",
        "haproxy-h2-with-null",
        "haproxy-long-and-h2-with-null",
        "envoy-h2-with-null",
        "envoy-http1-with-null",
        "sslh-h2-with-null",
        "sslh-http1-with-null",
        # Their hellos are of TLS 1.2, or below it.
        "nginx-tls12-without-null",
        "nginx-tls12-with-tls10",
        "haproxy-below-tls12-with-null",
        "haproxy-below-tls12-with-expired",
        "haproxy-below-tls12-with-other-name",
        "haproxy-below-tls12-without-tls10",
        # Hellos for TLS 1.0 are short.
        "haproxy-length-with-tls10",
        "haproxy-long-and-h2-with-tls10",
    }
    # Only two hellos have no extensions: those of SSL 3, and in the format of SSL 2.
    | {
        f"{rule}-without-{fault}"
        for rule in (
            "nginx-partners-name",
            "haproxy-any-name",
            "haproxy-groups",
            "envoy-partners-name",
            "sslh-partners-name",
        )
        for fault in ("tls10", "null", "expired", "other-name")
    }
)


class Routers:
    """Starts each router when its first rule is asked for, and measures the servers of a rule once.

    clients: of each rule that was measured, by name.
    """

    def __init__(self, surveyor: Surveyor, stacks: Stacks, running: ExitStack) -> None:
        self._surveyor, self._stacks, self._running = surveyor, stacks, running
        self._shown = faults_shown(stacks)
        self._fronts: dict[str, Front] = {}
        self._verdicts: dict[str, Mapping[str, Verdict]] = {}
        self._clients: dict[str, RoutedClients] = {}

    async def verdicts(self, rule: Rule) -> Mapping[str, Verdict]:
        """Return the verdicts about the servers of a rule, by name of the row."""
        if str(rule) not in self._verdicts:
            self._verdicts[str(rule)] = await judge_front(self._surveyor, self._front(rule))
        return self._verdicts[str(rule)]

    def clients(self, rule: Rule) -> RoutedClients:
        """Return the recorded clients, after their hellos were sent through the router."""
        if str(rule) not in self._clients:
            self._clients[str(rule)] = clients_through(self._front(rule), self._shown)
        return self._clients[str(rule)]

    def _front(self, rule: Rule) -> Front:
        if str(rule) not in self._fronts:
            rules = [one for one in RULES if one.router == rule.router]
            started = self._running.enter_context(running_router(rule.router, rules, self._stacks))
            self._fronts |= {str(front.rule): front for front in started}
        return self._fronts[str(rule)]


@pytest.fixture(scope="module")
def routers(anchored: Surveyor, stacks: Stacks) -> Iterator[Routers]:
    with ExitStack() as running:
        yield Routers(anchored, stacks, running)


def _of_router(rule: Rule, value: object) -> object:
    """Return a parameter; those of a router stay in one process."""
    mark = pytest.mark.xdist_group(f"router {rule.router}")
    return pytest.param(value, id=str(value), marks=mark)


_ROWS = [row for rule in RULES for row in rows_of(rule)]
MET = [_of_router(row.rule, row) for row in _ROWS if str(row) not in NOBODY]
UNMET = [_of_router(row.rule, row) for row in _ROWS if str(row) in NOBODY]
EVERY_RULE = [_of_router(rule, rule) for rule in RULES]


@pytest.mark.parametrize("row", MET)
async def test_a_fault_that_a_router_leads_a_client_to_is_never_allowed(
    row: RoutedRow, routers: Routers
) -> None:
    """DESIGN, promise 1: an ALLOW holds for the client that will connect."""
    assert routers.clients(row.rule).that_meet(row)
    verdict = (await routers.verdicts(row.rule))[str(row)]
    assert objection(verdict, row.fault.code) == ""


@pytest.mark.parametrize("row", UNMET)
async def test_no_client_is_led_to_the_fault_of_a_row_that_is_not_judged(
    row: RoutedRow, routers: Routers
) -> None:
    assert routers.clients(row.rule).that_meet(row) == ()


@pytest.mark.parametrize("rule", EVERY_RULE)
async def test_compliant_servers_that_a_router_chooses_between_are_allowed(
    rule: Rule, routers: Routers
) -> None:
    verdict = (await routers.verdicts(rule))[twin_name(rule)]
    assert verdict.decision is Decision.ALLOW, [one.message for one in verdict.findings]


@pytest.mark.parametrize("rule", EVERY_RULE)
async def test_a_rule_leads_some_clients_here_and_others_there(
    rule: Rule, routers: Routers
) -> None:
    sides = frozenset().union(*routers.clients(rule).sides.values())
    assert sides >= {True, False}
    assert len(NOBODY) == len(UNMET)
