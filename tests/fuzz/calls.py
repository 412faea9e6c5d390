"""Fuzzed calls on every method, by every kind of caller: `python -m tests.fuzz.calls`.

    python -m tests.fuzz.calls --calls 200000 --seed 7

The service runs as a process of its own, with mutual TLS and roles. Every call must end with a
designed status whose ErrorInfo is ours, and each refusal must be there once in the audit trail, as
a line or in a summary, and once in the metrics. Exit status 0: so it was.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
from cryptography import x509
from google.rpc import error_details_pb2, status_pb2
from prometheus_client.parser import text_string_to_metric_families

from otpc_policy.rpc.status import DETAILS_KEY, ERROR_DOMAIN, NOT_RECEIVED, REFUSAL_KINDS
from otpc_policy.v1 import policy_pb2 as pb
from tests.fuzz.drawing import BATCH, CHANGES, METHODS, REFLECTION, WATCH, DrawnCall, draw_call
from tests.support.mutual_tls import OWN_CONNECTION, MutualTls
from tests.support.service_process import ServiceProcess, service_process
from tests.support.waiting import wait_until

_AT_ONCE: Final = 16
_PATIENCE_S: Final = 60.0
# For unary calls and watches, and for streams in both directions.
_Channels: TypeAlias = tuple[Any, Any]
_ROLES: Final = """
[[role]]
name = "router"
rpcs = ["CheckEndpoint", "BatchCheckEndpoints", "GetPolicy"]
hosts = ["a.test", "b.test"]
ports = [443, 8443]

[[role]]
name = "onboarding"
rpcs = ["CheckEndpoint", "BatchCheckEndpoints", "ValidateCertificate", "GetPolicy", "ListPolicies",
  "ListWatched", "WatchVerdicts", "InvalidateResults", "ServerReflectionInfo"]
policies = ["*"]
hosts = ["*"]
refresh = true
deep = true
full_view = true
request_anchors = true

[[role]]
name = "deployment"
rpcs = ["ReloadPolicies"]

[[caller]]
identities = ["spiffe://fuzz.test/router"]
roles = ["router"]

[[caller]]
identities = ["onboarding.fuzz.test"]
roles = ["onboarding"]

[[caller]]
identities = ["uri:https://fuzz.test/deployment"]
roles = ["deployment"]
"""
_IDENTITIES: Final[Mapping[str, tuple[x509.GeneralName, ...]]] = {
    "nobody": (),
    "mail": (x509.RFC822Name("onboarding.fuzz.test"),),
    "wrong kind": (
        x509.UniformResourceIdentifier("https://onboarding.fuzz.test"),
        x509.DNSName("router"),
    ),
    "two SPIFFE ids": (
        x509.UniformResourceIdentifier("spiffe://fuzz.test/router"),
        x509.UniformResourceIdentifier("spiffe://fuzz.test/other"),
    ),
    "stranger": (x509.DNSName("stranger.fuzz.test"),),
    "router": (x509.UniformResourceIdentifier("spiffe://fuzz.test/router"),),
    "onboarding": (x509.DNSName("onboarding.fuzz.test"),),
    "deployment": (x509.UniformResourceIdentifier("https://fuzz.test/deployment"),),
    "administrator": (x509.DNSName("admin.fuzz.test"),),
    "all": (
        x509.UniformResourceIdentifier("spiffe://fuzz.test/router"),
        x509.DNSName("onboarding.fuzz.test"),
        x509.DNSName("admin.fuzz.test"),
    ),
}
_DESIGNED: Final = frozenset(
    (code, reason)
    for code, reason in REFUSAL_KINDS
    if code not in ("INTERNAL", "CANCELLED") and (code, reason) != NOT_RECEIVED
)


@dataclass
class Outcome:
    """What callers saw.

    refusals: by method as the audit trail names it, code and reason; items: the same for items of
    batches. not_read: calls that gRPC refused before any handler. faults: what was not designed.
    """

    calls: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    items: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    not_read: int = 0
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def refused(self) -> Counter[tuple[str, str, str]]:
        """Return all refusals, those of items included."""
        return self.refusals + self.items


class FuzzedService:
    """A running service, its callers' certificates, and what it has written down."""

    def __init__(
        self, service: ServiceProcess, callers: Mapping[str, grpc.ChannelCredentials]
    ) -> None:
        self._service, self._callers = service, callers

    async def run(self, calls: int, seed: int) -> Outcome:
        """Make so many calls."""
        outcome = Outcome()
        numbers = iter(range(calls))
        async with AsyncExitStack() as stack:
            port = self._service.address.rpartition(":")[2]
            channels = {
                name: await stack.enter_async_context(
                    grpc.aio.secure_channel(f"localhost:{port}", credentials)
                )
                for name, credentials in self._callers.items()
            }
            streaming = {
                name: stack.enter_context(
                    grpc.secure_channel(f"localhost:{port}", credentials, options=OWN_CONNECTION)
                )
                for name, credentials in self._callers.items()
            }

            async def caller() -> None:
                for number in numbers:
                    # By number, so that a call can be made again by itself.
                    choice = random.Random(f"{seed} {number}")
                    name = choice.choice(tuple(channels))
                    both = channels[name], streaming[name]
                    await _call(both, draw_call(choice), outcome, f"{number} {name}")

            await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))
        return outcome

    def audited(self) -> Counter[tuple[str, str, str]]:
        """Return the refusals in the audit trail, by method, code and reason."""
        found: Counter[tuple[str, str, str]] = Counter()
        for line in self._service.log_lines():
            if line["event"] in ("refusal", "refusals_summarised"):
                kind = (str(line["rpc"]), str(line["code"]), str(line.get("reason", "")))
                found[kind] += int(str(line.get("count", 1)))
        return found

    def counted(self) -> Counter[tuple[str, str]]:
        """Return the metric of refusals, by code and reason."""
        found: Counter[tuple[str, str]] = Counter()
        with urllib.request.urlopen(
            f"http://{self._service.ops_address}/metrics", timeout=30
        ) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "otpc_policy_refusals_total" and sample.value:
                    labels = sample.labels
                    found[labels["code"], labels["reason"]] += int(sample.value)
        return found

    def not_received(self) -> int:
        """Return how many requests never arrived, as the metrics count them."""
        return int(self._service.metric('otpc_policy_unread_requests_total{reason="not_received"}'))

    def unexpected_lines(self) -> list[dict[str, Any]]:
        """Return what the log has of errors."""
        return [
            line
            for line in self._service.log_lines()
            if line.get("level") in ("error", "critical") or line["event"] == "call failed"
        ]


def differences(service: FuzzedService, outcome: Outcome) -> list[str]:
    """Return everything that is not as it must be."""
    refused = outcome.refused()
    expected = Counter[tuple[str, str]]()
    for (_, code, reason), count in refused.items():
        expected[code, reason] += count
    total = sum(refused.values())
    # Lines are handed over in batches, and summaries written every second.
    with suppress(AssertionError):
        wait_until(lambda: sum(service.audited().values()) >= total, 15)
    found = list(outcome.faults)
    audited, counted = service.audited(), service.counted()
    for kind in sorted({*refused, *audited}):
        if refused[kind] != audited[kind]:
            found.append(f"{kind}: {refused[kind]} refused, {audited[kind]} in the audit trail")
    for pair in sorted({*expected, *counted}):
        if expected[pair] != counted[pair]:
            found.append(f"{pair}: {expected[pair]} refused, {counted[pair]} in the metric")
    if service.not_received() != outcome.not_read:
        found.append(f"{outcome.not_read} not read, {service.not_received()} in the metric")
    return found + [f"in the log: {line}" for line in service.unexpected_lines()[:20]]


@contextmanager
def fuzzed_service() -> Iterator[FuzzedService]:
    """Run the service with mutual TLS and roles; it must end well."""
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        folder = Path(name)
        tls = MutualTls(folder, _ROLES)
        settings = {
            "ADMIN_SERVICE": "true",
            "ADMIN_CALLERS": json.dumps(["admin.fuzz.test"]),
            "ALLOW_REQUEST_ANCHORS": "true",
            # Nothing listens at the targets, nor at the name server.
            "STATIC_HOSTS": json.dumps({"a.test": "127.0.0.1", "b.test": ["127.0.0.2"]}),
            "DNS_SERVERS": json.dumps(["127.0.0.9:9"]),
            "DNS_TIMEOUT_S": "0.2",
            "SCAN__WORKERS": "1",
            "SCAN__SCAN_DEADLINE_S": "2",
            "CRL__FETCH": "false",
            # Where nobody listens.
            "WATCH__ENDPOINTS": '["127.0.0.1:9"]',
        }
        variables = {f"OTPC_POLICY_{key}": value for key, value in settings.items()}
        callers = {caller: tls.credentials(names) for caller, names in _IDENTITIES.items()}
        with service_process(folder, **tls.settings, **variables) as service:
            yield FuzzedService(service, callers)


async def _call(channels: _Channels, drawn: DrawnCall, outcome: Outcome, label: str) -> None:
    outcome.calls += 1
    began_s = time.monotonic()
    rpc = _audited_name(drawn.path)
    try:
        answer = await _answer(*channels, drawn)
    except grpc.RpcError as error:
        code = error.code().name
        if drawn.is_never_read and code == "RESOURCE_EXHAUSTED" and not _details(error):
            outcome.not_read += 1
            outcome.refusals[rpc, *NOT_RECEIVED] += 1
            return
        reason = _reason(error)
        outcome.refusals[rpc, code, reason] += 1
        if (code, reason) not in _DESIGNED or not reason:
            fault = f"call {label} {drawn.path[:80]}: {code} {reason} {error.details()}"
            outcome.faults.append(fault)
    else:
        outcome.answered[rpc] += 1
        if drawn.path in (WATCH, CHANGES):
            # Left by its caller, which the service has to write down as well.
            outcome.refusals[rpc, "CANCELLED", ""] += 1
        if drawn.path == BATCH:
            _count_items(answer, outcome, f"call {label}")
    finally:
        outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - began_s)


async def _answer(channel: Any, streaming: Any, drawn: DrawnCall) -> bytes:
    given = {"metadata": drawn.metadata, "timeout": _PATIENCE_S}
    if drawn.path in (WATCH, CHANGES):
        watch = channel.unary_stream(drawn.path)(drawn.body, **given)
        async for _ in watch:
            break
        watch.cancel()
        return b""
    if drawn.path == REFLECTION:
        # The client for asyncio reports INTERNAL by itself if a call ends while it still writes.
        ask = streaming.stream_stream(drawn.path)
        await asyncio.to_thread(lambda: list(ask(iter([drawn.body] * 2), **given)))
        return b""
    return bytes(await channel.unary_unary(drawn.path)(drawn.body, **given))


def _audited_name(path: str) -> str:
    if path not in METHODS:
        return "unknown"
    _, service, method = path.split("/")
    return method if service.startswith("otpc_policy.") else f"{service}/{method}"


def _details(error: Any) -> bytes:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            return bytes(value)
    return b""


def _reason(error: Any) -> str:
    return _reason_in(status_pb2.Status.FromString(_details(error)))


def _reason_in(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
            return str(info.reason)
    return ""


def _count_items(answer: bytes, outcome: Outcome, label: str) -> None:
    for result in pb.BatchCheckEndpointsResponse.FromString(answer).results:
        if not result.HasField("error"):
            continue
        code = next(code.name for code in grpc.StatusCode if code.value[0] == result.error.code)
        reason = _reason_in(result.error)
        outcome.items["BatchCheckEndpoints", code, reason] += 1
        if (code, reason) not in _DESIGNED or not reason:
            outcome.faults.append(f"{label}, an item: {code} {reason} {result.error.message}")


def main() -> int:
    """Make the calls; print the rate, every kind of outcome, and what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=200_000, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="(%(default)s)")
    options = parser.parse_args()
    with fuzzed_service() as service:
        began_s = time.monotonic()
        outcome = asyncio.run(service.run(options.calls, options.seed))
        took_s = time.monotonic() - began_s
        wrong = differences(service, outcome)
    print(f"{outcome.calls} calls in {took_s:.0f} s, {outcome.calls / took_s:.0f} a second; ")
    print(
        f"the slowest took {outcome.slowest_s:.1f} s; {outcome.not_read} were too long to be read"
    )
    for rpc, count in sorted(outcome.answered.items()):
        print(f"  {count:7} answered {rpc}")
    for kind, count in sorted(outcome.refusals.items()):
        print(f"  {count:7} refused  {' '.join(kind)}")
    for kind, count in sorted(outcome.items.items()):
        print(f"  {count:7} items    {' '.join(kind)}")
    for line in wrong[:50]:
        print(f"WRONG {line}")
    print(f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
