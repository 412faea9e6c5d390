"""Running the demo: configure a service for the cast, start it, ask it over gRPC, show verdicts."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otpc_policy.app.serving import serve
from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.sources import ENVIRONMENT_PREFIX
from otpc_policy.cli.demo.cast import Partner, TrustedBy, running_cast
from otpc_policy.cli.demo.certificates import DemoAuthority
from otpc_policy.cli.output import complain, console
from otpc_policy.cli.remote import Remote
from otpc_policy.cli.render.verdict import reasons
from otpc_policy.cli.render.words import decision_text, decision_word
from otpc_policy.cli.status import CommandFailed, ExitStatus
from otpc_policy.v1 import policy_pb2 as pb

_LOOPBACK_RANGE = "127.0.0.0/8"
# Well above what a measurement may take, so that an answer here is never CHECK_IN_PROGRESS.
_ANSWER_S = 60.0
# Long enough to import and start the workers on a machine that is busy with something else.
_START_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Where the demo's service listens. The fields are settings of the same names."""

    listen: str = "127.0.0.1:0"
    ops_listen: str = "127.0.0.1:0"
    dangerously_listen_without_tls: bool = False


NEARBY: Final = Listeners()


async def play(listeners: Listeners, *, keep_running: bool) -> bool:
    """Run the demo on stdout; return whether every partner got its expected verdict."""
    _forget_settings_of_the_environment()
    now = datetime.now(UTC)
    screen = console()
    with tempfile.TemporaryDirectory(prefix="otpc-policy-demo-") as folder:
        directory = Path(folder)
        authority = DemoAuthority(now)
        anchor_file = directory / "authority.pem"
        anchor_file.write_bytes(authority.pem)
        with running_cast(authority, directory, now) as partners:
            async with _running_service(
                demo_settings(partners, anchor_file, listeners), directory / "service.log"
            ) as (listening, service):
                # A wildcard is reached over loopback.
                address = listening.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
                screen.print(
                    Text(
                        f"The service listens on {address}, {len(partners)} partners on"
                        f" {_LOOPBACK_RANGE}. Checking them through gRPC.\n"
                    )
                )
                responses = await _ask(address, partners)
                screen.print(verdicts_table(partners, responses))
                surprises = [text for text in map(surprise, partners, responses) if text]
                for text in surprises:
                    complain(text)
                if not surprises:
                    screen.print(
                        Text("\nEvery partner got the verdict that it should.", style="green")
                    )
                if keep_running:
                    _explain_how_to_ask(screen, address, partners)
                    # SIGINT and SIGTERM belong to the service, which drains and returns.
                    await service
    return not surprises


def demo_settings(
    partners: Sequence[Partner], anchor_file: Path, listeners: Listeners = NEARBY
) -> Settings:
    """Return the settings of a service for the cast.

    Names without DNS, the range opened, anchors and pins for their hosts.
    """
    trust: list[Mapping[str, object]] = [
        {
            "hosts": [
                partner.part.host
                for partner in partners
                if partner.part.trusted_by is TrustedBy.ANCHOR
            ],
            "anchor_file": anchor_file,
            "note": "demo authority",
        }
    ]
    trust += [
        {
            "hosts": [partner.part.host],
            "certificate_sha256": [partner.pin],
            "note": "pinned for the demo",
        }
        for partner in partners
        if partner.pin
    ]
    return Settings(
        **asdict(listeners),
        static_hosts={partner.part.host: [partner.address] for partner in partners},
        allow_networks=[_LOOPBACK_RANGE],
        trust=trust,
        drain_grace_s=2,
    )


def verdicts_table(
    partners: Sequence[Partner], responses: Sequence[pb.CheckEndpointResponse]
) -> Table:
    """Return a row for each partner: its story, the decision, the codes that caused it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), header_style="dim")
    table.add_column("PARTNER", overflow="fold")
    table.add_column("DECISION", no_wrap=True)
    table.add_column("WHY", no_wrap=True)
    for partner, response in zip(partners, responses, strict=True):
        who = Text.assemble((partner.part.name, "bold"), "\n", (partner.part.story, "dim"))
        table.add_row(who, decision_text(response.decision), Text("\n".join(reasons(response))))
    return table


def surprise(partner: Partner, response: pb.CheckEndpointResponse) -> str:
    """Return what is wrong with an answer; empty if it is the right one for the right reason."""
    decision = decision_word(response.decision)
    codes = reasons(response)
    if decision == partner.part.decision and partner.part.code in codes:
        return ""
    part, found = partner.part, ", ".join(codes) or "no finding"
    return f"{part.name}: expected {part.decision} with {part.code}, got {decision} with {found}"


@asynccontextmanager
async def _running_service(
    settings: Settings, log_file: Path
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """Run the whole service, gRPC server included; yield its address and its task.

    log_file: for its logs, which would bury the table.
    """
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    with log_file.open("w", encoding="utf-8") as log:
        # The service takes its stream for logs once, when it starts.
        with redirect_stderr(log):
            service = asyncio.create_task(
                serve(
                    settings,
                    ready=lambda address, _operations: ready.set_result(address),
                    stop=stop,
                )
            )
            waited_for: list[asyncio.Future[Any]] = [ready, service]
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED, timeout=_START_S)
        try:
            if service.done():
                await service
            if not ready.done():
                raise CommandFailed(
                    [f"the service did not start within {_START_S:.0f} s"], ExitStatus.INDETERMINATE
                )
            yield ready.result(), service
        finally:
            stop.set()
            await service


async def _ask(address: str, partners: Sequence[Partner]) -> list[pb.CheckEndpointResponse]:
    remote = Remote(address=address, timeout_s=_ANSWER_S)
    requests = [
        pb.CheckEndpointRequest(host=partner.part.host, port=partner.port, view=pb.VIEW_FULL)
        for partner in partners
    ]
    # The client blocks and the service lives on this loop, so the client runs in threads.
    return list(
        await asyncio.gather(*(asyncio.to_thread(remote.check, request) for request in requests))
    )


def _explain_how_to_ask(screen: Console, address: str, partners: Sequence[Partner]) -> None:
    screen.print(Text("\nAll of it keeps running until Ctrl-C. Ask from another terminal:"))
    for partner in partners:
        screen.print(
            Text(f"  otpc-policy check {partner.part.host}:{partner.port} --server {address}"),
            soft_wrap=True,
        )


def _forget_settings_of_the_environment() -> None:
    """Hide the configuration of this machine's own service: Settings reads the environment."""
    for variable in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
        del os.environ[variable]
