"""What an engine of its own shows on its operations port."""

import asyncio
from datetime import UTC, datetime

import grpc
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from otpc_policy.core.facts import ResolutionFailure
from otpc_policy.engine.operations import Operations
from otpc_policy.ops.metrics import Metrics
from otpc_policy.ops.metrics.measuring import DNS_RESULTS
from tests.engine.serving import World

LOOK_UPS = "otpc_policy_dns_lookups"


async def page(port: int, path: str) -> tuple[str, str]:
    """Return the status line and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head.splitlines()[0], body


async def test_look_ups_are_counted_and_every_name_is_one_of_the_service() -> None:
    operations = Operations(grpc.aio.server(), World())
    operations.watch_dns(lambda: 12)
    results = ["answered", "overloaded"]
    results += [one.name.lower() for one in ResolutionFailure if one is not ResolutionFailure.NONE]
    for result in results:
        operations.dns_looked_up(result)
    operations.dns_fell_back()
    port = await operations.listen("127.0.0.1", 0)
    try:
        _, text = await page(port, "/metrics")
    finally:
        await operations.stop()
    found = {one.name: one for one in text_string_to_metric_families(text)}
    counted = {s.labels["result"]: s.value for s in found[LOOK_UPS].samples}
    assert counted == dict.fromkeys(DNS_RESULTS, 1.0)
    assert found["otpc_policy_dns_stale_resolutions"].samples[0].value == 1
    assert found["otpc_policy_dns_questions_outstanding"].samples[0].value == 12
    assert found["otpc_policy_scan_queue_length"].samples[0].value == 3
    registry = CollectorRegistry()
    Metrics(registry, finding_codes=(), rpc_methods=())
    own = {one for one in found if one.startswith("otpc_policy_")}
    service = text_string_to_metric_families(generate_latest(registry).decode())
    assert own <= {one.name for one in service}


async def test_the_verbose_page_shows_what_the_engine_depends_on() -> None:
    world = World()
    operations = Operations(grpc.aio.server(), world, lacking=["no Landlock", "no seccomp"])
    fault = ""
    port = await operations.listen("127.0.0.1", 0)
    try:
        await operations.serving()
        lines = (await page(port, "/readyz?verbose"))[1].splitlines()
        assert lines == [
            "[+]lifecycle ok",
            "[+]workers ok",
            "[-]isolation failed: no Landlock; no seccomp (not required to be ready)",
            "readyz check passed",
        ]
        operations.watch_proxy(lambda: fault)
        operations.certificate.tls_loaded(datetime(2020, 1, 1, tzinfo=UTC), None)
        fault, world.workers_alive = "its name cannot be resolved", 0
        status, text = await page(port, "/readyz?verbose")
        assert "503" in status
        assert "[-]workers failed: no worker is alive\n" in text
        assert "[-]certificate failed: the certificate ended at 2020-01-01T00:00:00Z" in text
        assert "[-]egress proxy failed: its name cannot be resolved (not required" in text
        assert (await page(port, "/debug"))[0].split()[1] == "404"
    finally:
        await operations.stop()


async def test_it_is_ready_while_it_measures_and_a_worker_is_alive() -> None:
    world = World()
    operations = Operations(grpc.aio.server(), world)
    port = await operations.listen("127.0.0.1", 0)
    try:
        assert "503" in (await page(port, "/startupz"))[0]
        await operations.serving()
        assert "200" in (await page(port, "/readyz"))[0]
        world.workers_alive = 0
        assert (await page(port, "/readyz"))[1] == "no worker is alive\n"
        await operations.draining()
        assert (await page(port, "/readyz"))[1] == "draining\n"
        assert "200" in (await page(port, "/livez"))[0]
    finally:
        await operations.stop()
