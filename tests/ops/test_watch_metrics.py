"""Metrics of the watch list: by partner, and bounded."""

import asyncio
from collections import Counter

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from otpc_policy.ops.exposition import exposition
from otpc_policy.ops.metrics.watch import BEYOND, MOST_PARTNERS, WatchedPartner, WatchMetrics


def partner(partner_id: str, **fields: float) -> WatchedPartner:
    return WatchedPartner(partner=partner_id, decisions=Counter(ALLOW=2, DENY=1), **fields)


def registry_of(*partners: WatchedPartner) -> tuple[CollectorRegistry, WatchMetrics]:
    registry = CollectorRegistry()
    return registry, WatchMetrics(registry, partners=lambda: partners, behind_s=lambda: 7.0)


def test_each_partner_has_its_series_and_what_is_not_known_has_none() -> None:
    registry, metrics = registry_of(partner("bank", certificate_end=5.0), partner(""))
    metrics.watch_checked("allow")
    metrics.watch_checked("unheard of")
    value = registry.get_sample_value
    bank = {"partner": "bank"}
    assert value("otpc_policy_watched_endpoints", {**bank, "decision": "ALLOW"}) == 2
    assert value("otpc_policy_watched_endpoints", {**bank, "decision": "INDETERMINATE"}) == 0
    assert value("otpc_policy_watched_certificate_end_timestamp_seconds", bank) == 5
    assert value("otpc_policy_watched_waiver_end_timestamp_seconds", bank) is None
    assert value("otpc_policy_watched_endpoints", {"partner": "", "decision": "DENY"}) == 1
    assert value("otpc_policy_watch_behind_seconds") == 7
    assert value("otpc_policy_watch_checks_total", {"result": "allow"}) == 1
    assert value("otpc_policy_watch_checks_total", {"result": "unknown"}) == 1


def test_partners_beyond_the_bound_are_counted_together() -> None:
    many = [
        partner(f"p{number:05}", oldest_observation=float(number))
        for number in range(MOST_PARTNERS + 5)
    ]
    registry, _ = registry_of(*many)
    value = registry.get_sample_value
    assert value("otpc_policy_watched_endpoints", {"partner": BEYOND, "decision": "ALLOW"}) == 10
    name = "otpc_policy_watched_oldest_observation_timestamp_seconds"
    assert value(name, {"partner": BEYOND}) == MOST_PARTNERS
    lines = generate_latest(registry).decode().splitlines()
    assert sum(line.startswith(name + "{") for line in lines) == MOST_PARTNERS + 1


async def test_a_page_of_thousands_of_series_is_made_in_pieces_and_is_whole() -> None:
    registry, _ = registry_of(*(partner(f"p{number}", pin_end=1.0) for number in range(1_500)))
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = others
    assert (await exposition(registry, ""))[0] == generate_latest(registry)
    # 4,500 series of one family, then 1,500 of another with what is left.
    assert others == before + 1
    running.cancel()
    body, _ = await exposition(registry, "application/openmetrics-text")
    assert body == generate_openmetrics(registry)  # type: ignore[no-untyped-call]
