"""What a router does: it asks, connects as judged, and pays."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

from otpc_policy.ops.metrics.measuring import LEAF_REPORT_RESULTS
from otpc_policy_client import JudgedSocket, PolicyClient, check_request
from otpc_policy_client.v1 import policy_pb2 as pb
from tests.end_to_end.running import PATIENCE_S, Service
from tests.end_to_end.world import Partner
from tests.support.certificates import Issued
from tests.support.loopback import Listener

# Failed payments after which waiting for others is pointless.
_TOO_MANY = 200
_SCANS = 'otpc_policy_scans_total{outcome="complete"}'


def digest(issued: Issued) -> bytes:
    return hashlib.sha256(issued.der).digest()


def question(partner: Partner, at: Listener) -> pb.CheckEndpointRequest:
    return check_request(partner.name, port=at.port)


def paid(connection: JudgedSocket) -> int:
    """Send a request over the connection, and return the status of its response."""
    http = HTTPConnection("partner.test")
    http.sock = connection.socket
    http.request("GET", "/")
    return http.getresponse().status


def count(service: Service) -> Counter[str]:
    """Return how many measurements there were so far, and reports by what became of them."""
    reports = {
        result: int(service.metric(f'otpc_policy_leaf_reports_total{{result="{result}"}}'))
        for result in LEAF_REPORT_RESULTS
    }
    return Counter({"scans": int(service.metric(_SCANS)), **reports})


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A connection that a router opened and paid over, or failed to.

    began_s, ended_s: monotonic. leaf: SHA-256 of the server's; empty if it failed. failure: why.
    """

    began_s: float
    ended_s: float
    leaf: bytes = b""
    failure: str = ""


@dataclass(slots=True)
class Traffic:
    """Routers that pay without a pause. payments: so far, in the order in which they ended."""

    client: PolicyClient
    asked: pb.CheckEndpointRequest
    payments: list[Payment] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def failed(self) -> list[Payment]:
        """Return those that failed."""
        return [each for each in self.payments if each.failure]

    def of(self, leaf: Issued) -> list[Payment]:
        """Return those that met this leaf."""
        return [each for each in self.payments if each.leaf == digest(leaf)]

    def wait_for(self, leaf: Issued, times: int) -> None:
        """Wait until so many payments met the leaf."""
        give_up_at = time.monotonic() + PATIENCE_S
        while len(self.of(leaf)) < times:
            assert time.monotonic() < give_up_at
            assert len(self.failed) < _TOO_MANY, self.failed[-1]
            time.sleep(0.01)

    @contextmanager
    def by(self, routers: int) -> Iterator[None]:
        """Let so many routers pay while the context lasts."""
        with ThreadPoolExecutor(routers) as threads:
            running: list[Future[None]] = [threads.submit(self._route) for _ in range(routers)]
            try:
                yield
            finally:
                self._is_over.set()
            for each in running:
                each.result(PATIENCE_S)

    def _route(self) -> None:
        while not self._is_over.is_set():
            began_s, leaf, failure = time.monotonic(), b"", ""
            try:
                with self.client.connect(self.asked, timeout_s=PATIENCE_S) as connection:
                    leaf = connection.leaf_sha256
                    status = paid(connection)
                    failure = "" if status == 200 else f"status {status}"
            except Exception as error:  # noqa: BLE001  # whatever it is, it is a payment that failed
                leaf, failure = b"", repr(error)
            ended_s = time.monotonic()
            self.payments.append(
                Payment(began_s=began_s, ended_s=ended_s, leaf=leaf, failure=failure)
            )
