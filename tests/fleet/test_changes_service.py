"""Two real services, a real store and a real partner: changes reach whoever follows either."""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy_client import Followed, PolicyClient
from tests.fleet.hooks import hooks
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import ServiceProcess, service_process
from tests.support.valkey import valkey
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

NAME = "api.bank.test"
ALLOW, DENY = pb.DECISION_ALLOW, pb.DECISION_DENY


@dataclass
class Follower:
    """Whoever follows one service, in a thread: what it knows, and what it was told."""

    address: str
    known: dict[str, int] = field(default_factory=dict)
    lists: int = 0
    told: "queue.Queue[Followed]" = field(default_factory=queue.Queue)

    def run(self) -> None:
        with PolicyClient(self.address) as client:
            try:
                for followed in client.follow_verdicts(timeout_s=10):
                    self.take(followed)
            except grpc.RpcError:
                return

    def take(self, followed: Followed) -> None:
        if followed.listed is not None:
            self.lists += 1
            self.known = {each.host: each.decision for each in followed.listed}
        for change in followed.changes:
            self.known[change.host] = change.decision
        self.told.put(followed)

    def learns(self, decision: int) -> None:
        wait_until(lambda: self.known.get(NAME) == decision, within_s=60)


@contextmanager
def following(service: ServiceProcess) -> Iterator[Follower]:
    follower = Follower(service.address)
    thread = threading.Thread(target=follower.run, daemon=True)
    thread.start()
    yield follower


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_changes_reach_whoever_follows_whatever_dies(tmp_path: Path, stack: ExitStack) -> None:
    authority, other = CertificateAuthority.create(), CertificateAuthority.create()
    good, bad = (
        TlsOffer(
            certificates=tuple(one.issue(dns=(NAME,), key=kind) for kind in ("ec256", "rsa2048"))
        )
        for one in (authority, other)
    )
    anchor, key, place = tmp_path / "anchor.pem", tmp_path / "key", own_listener()
    anchor.write_bytes(authority.pem)
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)
    trust = [{"hosts": ["*.bank.test"], "anchor_file": str(anchor), "note": "t"}]
    store = stack.enter_context(valkey())
    partner = stack.enter_context(ExitStack())
    partner.enter_context(nginx(place, good))

    def replica(number: int) -> ServiceProcess:
        folder = tmp_path / str(number)
        folder.mkdir()
        return stack.enter_context(
            service_process(
                folder,
                OTPC_POLICY_TRUST=json.dumps(trust),
                OTPC_POLICY_STATIC_HOSTS=json.dumps({NAME: place.address}),
                OTPC_POLICY_ENGINES="1",
                OTPC_POLICY_FLEET__URL=store.url,
                OTPC_POLICY_FLEET__KEY_FILE=str(key),
                OTPC_POLICY_WATCH__ENDPOINTS=json.dumps([f"{NAME}:{place.port}"]),
                OTPC_POLICY_MINIMUM_REFRESH_INTERVAL_S="1",
                OTPC_POLICY_LIFETIMES__ALLOW_S="12",
                OTPC_POLICY_LIFETIMES__DENY_S="12",
                # Streams end every second or two, and lose nothing by it.
                OTPC_POLICY_MAX_CONNECTION_AGE_S="3",
            )
        )

    def serve(offer: TlsOffer) -> None:
        partner.close()
        partner.enter_context(nginx(place, offer))

    first, second = replica(1), replica(2)
    with following(first) as one, following(second) as two:
        one.learns(ALLOW)
        two.learns(ALLOW)
        lists = one.lists, two.lists
        serve(bad)
        one.learns(DENY)
        two.learns(DENY)
        assert (one.lists, two.lists) == lists, "streams went on from their cursors"
        ended = 'otpc_policy_verdict_streams_ended_total{reason="age"}'
        wait_until(lambda: second.metric(ended) >= 2)
        # A replica that dies takes nothing along.
        first.kill()
        first.process.wait(10)
        serve(good)
        two.learns(ALLOW)
        # Whoever was away for that goes on from its cursor at another replica.
        assert two.lists == lists[1]
        # A store that has lost everything: list again.
        store.ask("FLUSHALL")
        wait_until(lambda: two.lists > lists[1], within_s=60)
        two.learns(ALLOW)
        serve(bad)
        two.learns(DENY)
        # Streams hold no end up.
        began = time.monotonic()
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(20) == 0
        assert time.monotonic() - began < 10


def test_the_command_prints_changes_until_it_is_interrupted(
    tmp_path: Path, stack: ExitStack
) -> None:
    folder, key = tmp_path / "service", tmp_path / "hook-key"
    folder.mkdir()
    key.write_text("whsec_" + "A" * 40)
    key.chmod(0o600)
    received = stack.enter_context(hooks())
    service = stack.enter_context(
        service_process(
            folder,
            OTPC_POLICY_WEBHOOK__URL=received.url,
            OTPC_POLICY_WEBHOOK__KEY_FILE=str(key),
            OTPC_POLICY_ENGINES="1",
            OTPC_POLICY_WATCH__ENDPOINTS=json.dumps(["127.0.0.1:9", "127.0.0.1:10"]),
        )
    )
    command = [sys.executable, "-m", "otpc_policy", "watch", "--server", service.address]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--format", "json"], **pipes) as watching:  # type: ignore[call-overload]
        assert watching.stdout is not None
        lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
        assert [set(line) for line in lines] == [{"listed"}, {"listed"}, {"cursor"}]
        # Two failures half a minute apart.
        while "change" not in (line := json.loads(watching.stdout.readline())):
            pass
        assert line["change"]["decision"] == "DECISION_INDETERMINATE"
        assert line["change"]["host"] == "127.0.0.1"
        # The webhook has them as well.
        wait_until(lambda: len(received.taken) == 2)
        assert sorted(received.subjects()) == ["10 INDETERMINATE", "9 INDETERMINATE"]
        assert service.metric('otpc_policy_webhook_deliveries_total{result="delivered"}') == 2
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=20)
        assert watching.returncode == 130
        assert "--cursor " in errors
