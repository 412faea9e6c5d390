"""Servers that comply, each of which must be allowed every time.

    python -m tests.hostile.honest --runs 20 [NAME ...]

measures each so many times, and prints a line for each: how often it was allowed, and with how many
connections. With --every-client the measurements take turns as every recorded client of today. They
are the compliant ones of the differential suite, by what their configurations
allow; pools, with several honest leaves behind one address; and servers that refuse hellos which do
not name them. gRPC logs every hello that it refuses, unless GRPC_VERBOSITY=NONE.
"""

import argparse
import asyncio
import hashlib
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field, replace

import pytest
from cryptography.x509 import load_der_x509_certificate

from otpc_policy.core.facts import AddressFacts, TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.profiles.recorded_clients import ClientKind, recorded_clients
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.finding import Decision, Effect, Verdict
from tests.differential.__main__ import all_cases
from tests.differential.case import Case
from tests.hostile.rows import POLICY
from tests.hostile.surveying import HOST, PATIENT, Surveyor, running_surveyor
from tests.support.certificates import CertificateAuthority
from tests.support.hostile.endpoint import SIX
from tests.support.loopback import Listener, own_listener
from tests.support.servers import (
    TlsOffer,
    apache,
    caddy,
    gnutls_serv,
    haproxy,
    nginx,
)
from tests.support.servers.envoy import envoy
from tests.support.servers.proxies import pooling_haproxy

_PERMITTED = {TlsVersion.TLS_1_2, TlsVersion.TLS_1_3}
# Suites of the six that Envoy and Caddy have: no CBC with SHA-256.
_FOUR = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
# Of a message, in characters.
_SHOWN = 160
# So many clients at a time leave the first wave of a measurement as it is.
_CLIENTS_AT_ONCE = 5
_MEMBERS_DIFFER = (
    "Its members differ in what they accept: a hello that one serves is refused by another, so no"
    " refusal proves anything."
)
# Servers that are left INDETERMINATE, each with a reason why no measurement can know better. None
# of them is denied.
LEFT_UNKNOWN: Mapping[str, str] = {
    "pool-key-types-roundrobin": _MEMBERS_DIFFER,
    "pool-key-types-random": _MEMBERS_DIFFER,
    "pool-suites-roundrobin": _MEMBERS_DIFFER,
    "pool-suites-random": _MEMBERS_DIFFER,
    "nginx-12": (
        "Its only groups are Brainpool's, which the client that asks for HTTP does not offer."
    ),
}
Serving = AbstractContextManager[Listener]


@dataclass(frozen=True, slots=True, kw_only=True)
class HonestServer:
    """A server that complies. serve: starts a fresh one each time."""

    name: str
    serve: Callable[[], Serving]


def is_compliant(case: Case) -> bool:
    """Return whether the configuration meets the policy, whatever the certificates are."""
    suites = {code for listed in case.allowed.values() for code in listed}
    return (
        case.allowed.keys() <= _PERMITTED
        and bool(SIX & case.allowed.get(TlsVersion.TLS_1_2, frozenset()))
        and not any(map(_is_insecure, suites))
    )


def _is_insecure(code_point: int) -> bool:
    suite = suite_by_code_point(code_point)
    assert suite is not None
    return suite.is_null or suite.is_anonymous or suite.is_export or suite.is_integrity_only


@contextmanager
def _pool(ends: Sequence[Callable[[Listener], Serving]], balance: str) -> Iterator[Listener]:
    with ExitStack() as running:
        started = [running.enter_context(start(own_listener())) for start in ends]
        yield running.enter_context(pooling_haproxy(own_listener(), started, balance=balance))


def _pools(authority: CertificateAuthority) -> Iterator[HonestServer]:
    def offer(*keys: str, ciphers: str = "") -> TlsOffer:
        """Return an offer with leaves of its own."""
        offered = TlsOffer(certificates=tuple(authority.issue(key=key) for key in keys))
        return replace(offered, ciphers=ciphers) if ciphers else offered

    def nginx_with(*keys: str, ciphers: str = "") -> Callable[[Listener], Serving]:
        offered = offer(*keys, ciphers=ciphers)
        return lambda at: nginx(at, offered)

    both, of_four = ("rsa2048", "ec256"), offer("rsa2048", "ec256", ciphers=_FOUR)
    stacks = (
        nginx_with(*both, ciphers=_FOUR),
        lambda at: caddy(at, of_four),
        lambda at: envoy(at, of_four),
    )
    members = {
        "renewed-leaves": (nginx_with(*both), nginx_with(*both), nginx_with(*both)),
        "rsa-leaves": tuple(nginx_with("rsa2048") for _ in range(4)),
        "ec-leaves": tuple(nginx_with("ec256") for _ in range(2)),
        "stacks": stacks,
        "key-types": (nginx_with("rsa2048"), nginx_with("ec256")),
        "suites": (nginx_with(*both), nginx_with(*both, ciphers=_FOUR)),
    }
    for name, ends in members.items():
        for balance in ("roundrobin", "random(1)"):
            yield HonestServer(
                name=f"pool-{name}-{balance.removesuffix('(1)')}",
                serve=lambda ends=ends, balance=balance: _pool(ends, balance),  # type: ignore[misc]
            )


def _strict_about_names(authority: CertificateAuthority) -> Iterator[HonestServer]:
    offer = TlsOffer(certificates=(authority.issue(key="rsa2048"), authority.issue(key="ec256")))
    of_four = replace(offer, ciphers=_FOUR)
    strict_apache = (f"ServerName {HOST}", "SSLStrictSNIVHostCheck on")
    servers: dict[str, Callable[[Listener], Serving]] = {
        "haproxy": lambda at: haproxy(at, offer, "strict-sni"),
        "nginx": lambda at: nginx(at, offer, only_name=HOST),
        "apache": lambda at: apache(at, offer, directives=strict_apache),
        "envoy": lambda at: envoy(at, of_four, only_name=HOST),
        "gnutls-serv": lambda at: gnutls_serv(
            at, offer, "--sni-hostname", HOST, "--sni-hostname-fatal"
        ),
    }
    for name, start in servers.items():
        yield HonestServer(
            name=f"strict-name-{name}",
            serve=lambda start=start: start(own_listener()),  # type: ignore[misc]
        )


def honest_servers(authority: CertificateAuthority) -> list[HonestServer]:
    """Return all of them, with certificates of the authority, or self-signed."""
    cases = [case for case in all_cases(authority=authority) if is_compliant(case)]
    return [
        *(HonestServer(name=case.name, serve=case.serve) for case in cases),
        *_pools(authority),
        *_strict_about_names(authority),
    ]


@dataclass(slots=True)
class HonestTally:
    """What came of measuring one server. failures: for each verdict that was not ALLOW, why."""

    allowed: int = 0
    denied: int = 0
    connections: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, facts: AddressFacts, verdict: Verdict) -> None:
        """Count one more measurement."""
        self.connections.append(facts.connections_used)
        if verdict.decision is Decision.ALLOW:
            self.allowed += 1
            return
        self.denied += verdict.decision is Decision.DENY
        reasons = {
            finding.message: None
            for finding in verdict.findings
            if finding.effect is not Effect.ADVISORY
        }
        said = "; ".join(textwrap.shorten(one, _SHOWN) for one in (*reasons, *facts.remarks))
        self.failures.append(f"{verdict.decision.value}: {said}")

    def __str__(self) -> str:
        fewest, most = min(self.connections), max(self.connections)
        used = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        return f"{self.allowed} of {len(self.connections)} allowed, {used} connections"


@asynccontextmanager
async def as_every_client() -> AsyncIterator[Sequence[Surveyor]]:
    """Run surveyors that together ask as every recorded client of today."""
    profiles = [
        client.profile
        for client in recorded_clients().values()
        if client.kind is ClientKind.CURRENT
    ]
    async with AsyncExitStack() as running:
        yield [
            await running.enter_async_context(
                running_surveyor(
                    PATIENT,
                    Trust(mozilla_roots=()),
                    POLICY,
                    profiles[first : first + _CLIENTS_AT_ONCE],
                )
            )
            for first in range(0, len(profiles), _CLIENTS_AT_ONCE)
        ]


async def tally(
    server: HonestServer,
    surveyors: Sequence[Surveyor],
    authority: CertificateAuthority,
    runs: int,
) -> HonestTally:
    """Start the server and have it measured so many times by each of them."""
    running, counted = server.serve(), HonestTally()
    at = await asyncio.to_thread(running.__enter__)
    try:
        for surveyor in (*surveyors,) * runs:
            facts = await surveyor.measure(at.address, at.port)
            trusting = surveyor.under(POLICY, _trust(facts, authority))
            counted.add(facts, trusting.verdict_on(facts, at))
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    return counted


def is_fair(server: HonestServer, counted: HonestTally) -> bool:
    """Return whether it was allowed every time, or never denied if it is left unknown."""
    return not (counted.denied if server.name in LEFT_UNKNOWN else counted.failures)


def _trust(facts: AddressFacts, authority: CertificateAuthority) -> Trust:
    """Trust the authority, and what signed itself, as an operator who pinned it would."""
    pins = frozenset(
        hashlib.sha256(deployment.chain[0]).hexdigest()
        for deployment in facts.deployments
        if deployment.chain and _is_self_signed(deployment.chain[0])
    )
    entry = TrustEntry(hosts=(HOST,), anchors=(authority.der,), certificate_pins=pins)
    return Trust(mozilla_roots=(), entries=(entry,))


def _is_self_signed(leaf: bytes) -> bool:
    certificate = load_der_x509_certificate(leaf)
    return certificate.issuer == certificate.subject


@asynccontextmanager
async def _as_a_drawn_client() -> AsyncIterator[Sequence[Surveyor]]:
    async with running_surveyor(PATIENT, Trust(mozilla_roots=()), POLICY) as surveyor:
        yield [surveyor]


async def _run(runs: int, names: Sequence[str], *, with_every_client: bool) -> int:
    """Measure the servers, print a line for each, and return how many suffer."""
    authority = CertificateAuthority.create("Honest Root")
    refused = 0
    async with as_every_client() if with_every_client else _as_a_drawn_client() as surveyors:
        for server in honest_servers(authority):
            if names and not any(name in server.name for name in names):
                continue
            try:
                counted = await tally(server, surveyors, authority, runs)
            except pytest.skip.Exception as reason:
                print(f"{server.name}: skipped: {reason}", flush=True)
                continue
            said = [f"{server.name}: {counted}", *sorted(set(counted.failures))]
            if server.name in LEFT_UNKNOWN:
                said.append(f"left unknown: {LEFT_UNKNOWN[server.name]}")
            print(*said, sep="\n    ", flush=True)
            refused += not is_fair(server, counted)
    return refused


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if every server was allowed every time, or is left unknown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1, help="how often each is measured")
    parser.add_argument(
        "--every-client", action="store_true", help="take turns as every recorded client of today"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the names of servers")
    chosen = parser.parse_args(arguments)
    refused = asyncio.run(_run(chosen.runs, chosen.names, with_every_client=chosen.every_client))
    print(f"{refused} servers were not allowed every time")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
