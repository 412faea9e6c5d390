"""The doctor asks the store that the settings name, and compares clocks with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.app.doctor.result import Status
from otpc_policy.app.doctor.store import store_of
from otpc_policy.app.settings import Settings
from tests.support.valkey import lonely_cluster, valkey


def settings_for(folder: Path, url: str, **fleet: Any) -> Settings:
    key = folder / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    return Settings(fleet={"url": url, "key_file": key, **fleet})


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(
    ("behind_s", "status"), [(0, Status.OK), (3, Status.WARNING), (60, Status.FAILED)]
)
async def test_the_store_answers_and_its_clock_is_compared(
    tmp_path: Path, behind_s: int, status: Status
) -> None:
    with valkey() as server:
        settings = settings_for(tmp_path, server.url)
        result = await store_of(settings, now=lambda: now() - timedelta(seconds=behind_s))
    assert (result.status, server.url in result.message) == (status, True)
    assert (f"{behind_s}.0 s ahead of" in result.message) == (behind_s > 0)


async def test_one_that_does_not_answer_or_cannot_be_asked_is_named(tmp_path: Path) -> None:
    dead = settings_for(tmp_path, "redis://127.0.0.1:1")
    result = await store_of(dead, now=now)
    assert (result.status, "ConnectionError" in result.message) == (Status.FAILED, True)
    (tmp_path / "key").write_text("short")
    result = await store_of(dead, now=now)
    assert (result.status, "64 hexadecimal digits" in result.message) == (Status.FAILED, True)
    assert (await store_of(Settings(), now=now)).status is Status.SKIPPED


@pytest.mark.long
async def test_a_cluster_is_asked_by_its_servers_and_only_as_one(tmp_path: Path) -> None:
    with lonely_cluster("--cluster-require-full-coverage", "no") as server:
        result = await store_of(settings_for(tmp_path, server.url, mode="cluster"), now=now)
        assert (result.status, "answers (1 servers)" in result.message) == (Status.OK, True)
        # A part of what replicas share is nobody's.
        server.ask("CLUSTER", "DELSLOTSRANGE", "0", "8191")
        result = await store_of(settings_for(tmp_path, server.url, mode="cluster"), now=now)
        assert (result.status, "a part of the store" in result.message) == (Status.FAILED, True)
    with valkey() as server:
        result = await store_of(settings_for(tmp_path, server.url, mode="cluster"), now=now)
        assert (result.status, "it is no cluster" in result.message) == (Status.FAILED, True)


@pytest.mark.long
async def test_a_server_of_a_cluster_is_no_store_by_itself(tmp_path: Path) -> None:
    with lonely_cluster() as server:
        server.ask("CLUSTER", "DELSLOTSRANGE", "0", "16383")
        result = await store_of(settings_for(tmp_path, server.url), now=now)
        assert (result.status, "fleet.mode" in (result.remedy or "")) == (Status.FAILED, True)
