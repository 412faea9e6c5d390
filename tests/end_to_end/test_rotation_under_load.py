"""Key, certificate and client CA rotate while calls are made: none fails."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.end_to_end.running import Service, running_service
from tests.support.certificates import CertificateAuthority, Issued

pytestmark = pytest.mark.long

_CALLERS = 4
_PATIENCE_S = 20.0
# Connections end while calls are made over them.
_CONNECTION_AGE_S = 0.3
_ROLES = """
[[role]]
name = "reader"
rpcs = ["ListPolicies"]
[[caller]]
identities = ["*.callers.test"]
roles = ["reader"]
"""


@dataclass
class Files:
    """The TLS files of a service, replaced as an orchestrator does."""

    folder: Path
    servers: CertificateAuthority = field(
        default_factory=lambda: CertificateAuthority.create("Servers")
    )

    def __post_init__(self) -> None:
        self.new_pair()
        (self.folder / "roles.toml").write_text(_ROLES)

    def new_pair(self) -> None:
        leaf = self.servers.issue(dns=("localhost",))
        self.replace("own.pem", leaf.chain_pem)
        self.replace("own.key", leaf.key_pem)

    def replace(self, name: str, content: bytes) -> None:
        fresh = self.folder / f"{name}.new"
        fresh.touch(mode=0o600)
        fresh.write_bytes(content)
        os.replace(fresh, self.folder / name)

    def settings(self) -> Settings:
        return Settings(
            listen="127.0.0.1:0",
            ops_listen="127.0.0.1:0",
            tls_certificate_file=self.folder / "own.pem",
            tls_key_file=self.folder / "own.key",
            tls_client_ca_file=self.folder / "callers.pem",
            roles_file=self.folder / "roles.toml",
            max_connection_age_s=_CONNECTION_AGE_S,
            log_level="error",
            scan={"workers": 1},
        )


@dataclass
class Callers:
    """Call over and over, over connections that last and over new ones, with one certificate."""

    service: Service
    root: bytes
    certificate: Issued
    done: threading.Event = field(default_factory=threading.Event)
    outcomes: Counter[str] = field(default_factory=Counter)
    # How many calls each caller has made with which certificate.
    made: Counter[tuple[int, bytes]] = field(default_factory=Counter)

    def call(self, caller: int) -> None:
        while not self.done.is_set():
            certificate = self.certificate
            with _channel(self.service, self.root, certificate) as channel:
                is_new = caller % 2
                while certificate is self.certificate and not self.done.is_set():
                    self.outcomes[_outcome(channel)] += 1
                    self.made[caller, certificate.der] += 1
                    if is_new:
                        break

    def until_each_has_called(self, times: int) -> None:
        """Wait until every caller has called so often with the present certificate; bounded."""
        der = self.certificate.der
        before = {caller: self.made[caller, der] for caller in range(_CALLERS)}
        give_up_at = time.monotonic() + _PATIENCE_S
        while any(self.made[caller, der] < before[caller] + times for caller in before):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)


def _channel(service: Service, root: bytes, caller: Issued) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(root, caller.key_pem, caller.chain_pem)
    port = service.address.rpartition(":")[2]
    options = (("grpc.use_local_subchannel_pool", 1),)
    return grpc.secure_channel(f"localhost:{port}", credentials, options=options)


def _outcome(channel: grpc.Channel) -> str:
    stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
    try:
        stub.ListPolicies(pb.ListPoliciesRequest(), timeout=_PATIENCE_S)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def authorities() -> tuple[CertificateAuthority, CertificateAuthority]:
    return CertificateAuthority.create("Callers 1"), CertificateAuthority.create("Callers 2")


@pytest.fixture
def service(
    files: Files, authorities: tuple[CertificateAuthority, CertificateAuthority]
) -> Iterator[Service]:
    files.replace("callers.pem", authorities[0].pem)
    with running_service(files.settings()) as running:
        yield running


def test_no_call_fails_while_key_and_client_ca_rotate(
    files: Files,
    authorities: tuple[CertificateAuthority, CertificateAuthority],
    service: Service,
) -> None:
    old, new = authorities
    old_caller, new_caller = (
        each.issue(dns=("a.callers.test",), extended_key_usage=("client_auth",))
        for each in authorities
    )
    callers = Callers(service, files.servers.pem, old_caller)

    def new_caller_calls() -> None:
        callers.certificate = new_caller

    steps: list[Callable[[], None]] = [
        *([files.new_pair] * 5),
        lambda: files.replace("own.key", b"half of a rotation"),
        files.new_pair,
        lambda: files.replace("callers.pem", old.pem + new.pem),
        new_caller_calls,
        lambda: files.replace("callers.pem", new.pem),
        *([files.new_pair] * 5),
    ]
    with ThreadPoolExecutor(_CALLERS) as pool:
        calls = [pool.submit(callers.call, number) for number in range(_CALLERS)]
        try:
            callers.until_each_has_called(5)
            for step in steps:
                step()
                callers.until_each_has_called(5)
        finally:
            callers.done.set()
        for call in calls:
            call.result()
    assert set(callers.outcomes) == {"OK"}
    with _channel(service, files.servers.pem, old_caller) as channel:
        assert _outcome(channel).startswith("UNAVAILABLE")
    assert service.metric('otpc_policy_tls_reloads_total{result="success"}') >= 12
    assert service.metric('otpc_policy_tls_reloads_total{result="failure"}') >= 1
    assert service.metric("otpc_policy_tls_last_reload_successful") == 1
    ends_at = service.metric('otpc_policy_tls_expiry_timestamp_seconds{file="client_ca"}')
    assert ends_at == new.certificate.not_valid_after_utc.timestamp()
