"""A cast of partners, and a service that knows them, for tests of the commands."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otpc_policy.cli.demo.cast import Partner, running_cast
from otpc_policy.cli.demo.certificates import DemoAuthority
from tests.cli.running import Run, runner


@dataclass(frozen=True)
class Stage:
    """Running partners by name, and the CA that most of them are under."""

    partners: dict[str, Partner]
    authority: DemoAuthority
    anchor_file: Path

    def endpoint(self, name: str) -> str:
        """Return address:port of a partner."""
        return f"{self.partners[name].address}:{self.partners[name].port}"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FORCE_COLOR", "OTPC_POLICY_CONFIG"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("stage")
    now = datetime.now(UTC)
    authority = DemoAuthority(now)
    anchor_file = directory / "authority.pem"
    anchor_file.write_bytes(authority.pem)
    with running_cast(authority, directory, now) as partners:
        yield Stage({partner.part.name: partner for partner in partners}, authority, anchor_file)


@pytest.fixture(scope="session")
def service(stage: Stage) -> Iterator[str]:
    """The address of a running service that knows the cast."""
    from otpc_policy.app.serving import serve
    from otpc_policy.cli.demo.run import demo_settings

    started = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    addresses: list[str] = []

    async def run_service() -> None:
        stop = asyncio.Event()
        running.append((asyncio.get_running_loop(), stop))

        def ready(address: str, _operations: str) -> None:
            addresses.append(address)
            started.set()

        await serve(
            demo_settings(tuple(stage.partners.values()), stage.anchor_file), ready=ready, stop=stop
        )

    def run_loop() -> None:
        with contextlib.suppress(BrokenPipeError):
            asyncio.run(run_service())

    thread = threading.Thread(target=run_loop, name="service")
    thread.start()
    try:
        assert started.wait(30), "the service did not start"
        yield addresses[0]
    finally:
        for loop, stop in running:
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)
