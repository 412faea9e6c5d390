"""Four eventful minutes of a service, for the picture of its dashboard.

A router asks for ten partners again and again while others are measured anew; then, for a while
each, targets cannot be reached, name servers fail, an engine is killed, the shared store is gone,
and a partner's entry is broken. The ten, and some that are denied, are on the watch list.
"""

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.support.certificates import CertificateAuthority
from tests.support.dns_server import Name, Says, always, dns_server_in_a_thread
from tests.support.loopback import Listener, free_port
from tests.support.mutual_tls import OWN_CONNECTION, MutualTls
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import ServiceProcess, service_process
from tests.support.signing import now
from tests.support.valkey import Valkey, valkey

_PARTNERS: Final = 10
# A port on which no program of a test listens.
_NOBODY: Final = 9
_ROLES: Final = """
[[role]]
name = "router"
rpcs = ["CheckEndpoint", "BatchCheckEndpoints", "ValidateCertificate"]
hosts = ["*"]
policies = ["*"]
refresh = true
[[caller]]
identities = ["*"]
roles = ["router"]
"""
_ENTRY: Final = """
id = "acme"
owner = "onboarding@example.com"
endpoints = ["acme.example"]
[[waivers]]
code = "CERTIFICATE_EXPIRED"
reason = "renewal is agreed"
owner = "payments@example.com"
ends = {ends}
"""


class Run:
    """A service with partners, and what happens to it. lasting_s: how long everything takes."""

    def __init__(
        self,
        service: ServiceProcess,
        stub: Any,
        entry: Path,
        *,
        port: int,
        store: Valkey,
        lasting_s: float,
    ) -> None:
        self._store = store
        self._service, self._stub, self._entry, self._port = service, stub, entry, port
        self._lasting_s = lasting_s
        self._began_s = time.monotonic()
        self._done = threading.Event()

    def go(self) -> None:
        """Return when it is over."""
        parts: list[tuple[Callable[[int], None], float, float, float]] = [
            # What, every so many seconds, and in which part of the time.
            (self._cached, 0.04, 0.0, 1.0),
            (self._measured, 0.8, 0.0, 1.0),
            (self._batch, 5.0, 0.0, 1.0),
            (self._refused, 2.0, 0.0, 1.0),
            (self._denied, 0.5, 0.2, 0.9),
            (self._unreachable, 0.1, 0.3, 0.45),
            (self._without_dns, 0.5, 0.5, 0.65),
            (self._reload, 15.0, 0.0, 1.0),
            (self._kill_the_store, 1e9, 0.4, 0.45),
            (self._start_the_store, 1e9, 0.55, 0.6),
            (self._kill_an_engine, 1e9, 0.7, 0.75),
            (self._break_the_entry, 1e9, 0.8, 0.85),
            (self._mend_the_entry, 1e9, 0.9, 1.0),
        ]
        threads = [threading.Thread(target=self._repeat, args=part) for part in parts]
        for thread in threads:
            thread.start()
        try:
            self._done.wait(self._lasting_s)
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _repeat(
        self, part: Callable[[int], None], every_s: float, begins: float, ends: float
    ) -> None:
        number = 0
        at_s = self._began_s + begins * self._lasting_s
        until_s = self._began_s + ends * self._lasting_s
        while at_s < until_s and not self._done.wait(max(0.0, at_s - time.monotonic())):
            with suppress(grpc.RpcError):
                part(number)
            number, at_s = number + 1, max(at_s + every_s, time.monotonic())

    def _ask(self, host: str, port: int, *, refresh: bool = False) -> None:
        mode = pb.FRESHNESS_MODE_REFRESH if refresh else pb.FRESHNESS_MODE_UNSPECIFIED
        asked = pb.CheckEndpointRequest(host=host, port=port, freshness=pb.Freshness(mode=mode))
        self._stub.CheckEndpoint(asked, timeout=20)

    def _cached(self, number: int) -> None:
        self._ask(f"p{number % _PARTNERS}.good.test", self._port)

    def _measured(self, number: int) -> None:
        self._ask(f"p{_PARTNERS + number % _PARTNERS}.good.test", self._port, refresh=True)

    def _batch(self, _number: int) -> None:
        hosts = [f"p{each}.good.test" for each in range(_PARTNERS)]
        requests = [pb.CheckEndpointRequest(host=host, port=self._port) for host in hosts]
        self._stub.BatchCheckEndpoints(pb.BatchCheckEndpointsRequest(requests=requests), timeout=20)

    def _refused(self, _number: int) -> None:
        self._stub.ListPolicies(pb.ListPoliciesRequest(), timeout=20)

    def _denied(self, _number: int) -> None:
        self._ask("p1.other.test", self._port)

    def _unreachable(self, number: int) -> None:
        self._ask(f"127.253.{number // 250}.{1 + number % 250}", _NOBODY)

    def _without_dns(self, number: int) -> None:
        self._ask(f"f{number}.failing.test", self._port)

    def _reload(self, _number: int) -> None:
        self._service.process.send_signal(signal.SIGHUP)

    def _kill_the_store(self, _number: int) -> None:
        self._store.kill()

    def _start_the_store(self, _number: int) -> None:
        self._store.start()

    def _kill_an_engine(self, _number: int) -> None:
        os.kill(int(self._service.engines()[0].name), signal.SIGKILL)

    def _break_the_entry(self, _number: int) -> None:
        self._entry.write_text("id = 1\n", encoding="utf-8")

    def _mend_the_entry(self, _number: int) -> None:
        self._entry.write_text(_entry(), encoding="utf-8")


def _entry() -> str:
    ends = (now() + timedelta(days=12)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _ENTRY.format(ends=ends)


@contextmanager
def eventful_service(lasting_s: float) -> Iterator[tuple[Run, ServiceProcess]]:
    """Run the service; what happens to it happens when its Run goes."""
    authority = CertificateAuthority.create()
    names = ("*.good.test",)
    leaves = tuple(authority.issue(dns=names, key=key) for key in ("ec256", "rsa2048"))
    near = Listener("0.0.0.0", free_port("0.0.0.0"))
    table = {
        f"p{number}.good.test": Name(a=(f"127.251.0.{1 + number}",), ttl_s=60)
        for number in range(2 * _PARTNERS)
    }
    table["p1.other.test"] = Name(a=("127.251.1.1",), ttl_s=60)
    table |= {f"f{number}.failing.test": always(Says.SERVFAIL) for number in range(500)}
    with ExitStack() as stack:
        stack.enter_context(nginx(near, TlsOffer(certificates=leaves)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="t-")))
        servers = stack.enter_context(dns_server_in_a_thread(table))
        (folder / "anchor.pem").write_bytes(authority.pem)
        entry = folder / "partners" / "acme.toml"
        entry.parent.mkdir()
        entry.write_text(_entry(), encoding="utf-8")
        watched = [f"p{number}.good.test:{near.port}" for number in range(_PARTNERS)]
        of_globex = json.dumps(watched[: _PARTNERS // 2])
        globex = f'id = "globex"\nowner = "x@example.com"\nendpoints = {of_globex}\n'
        (entry.parent / "globex.toml").write_text(globex, encoding="utf-8")
        tls = MutualTls(folder, _ROLES)
        trust = [
            {"hosts": ["*.good.test", "*.other.test"], "anchor_file": str(folder / "anchor.pem")}
        ]
        store = stack.enter_context(valkey())
        key = folder / "fleet-key"
        key.write_text("ab" * 32, encoding="utf-8")
        key.chmod(0o600)
        settings = {
            "TRUST": json.dumps(trust),
            "DNS_SERVERS": json.dumps([servers.address]),
            "PARTNERS_DIR": str(entry.parent),
            "MINIMUM_REFRESH_INTERVAL_S": "0",
            "FLEET__URL": store.url,
            "FLEET__KEY_FILE": str(key),
            "WATCH__ENDPOINTS": json.dumps([*watched, f"p1.other.test:{near.port}"]),
            "WATCH__PARTNERS": "true",
            # So that they are measured again within the time of the picture.
            "LIFETIMES__ALLOW_S": "60",
        }
        variables = {f"OTPC_POLICY_{name}": value for name, value in settings.items()}
        service = stack.enter_context(service_process(folder, **tls.settings, **variables))
        credentials = tls.credentials((x509.DNSName("router.callers.test"),))
        port = service.address.rpartition(":")[2]
        channel = stack.enter_context(
            grpc.secure_channel(f"localhost:{port}", credentials, options=OWN_CONNECTION)
        )
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        run = Run(service, stub, entry, port=near.port, store=store, lasting_s=lasting_s)
        yield run, service
