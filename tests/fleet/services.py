"""Real services with engines of their own, which share a store, and a partner with many names."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otpc_policy.v1 import policy_pb2 as pb
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener
from tests.support.servers import TlsOffer
from tests.support.service_process import ServiceProcess, service_process
from tests.support.waiting import wait_until


class Partner:
    """What the services trust, and certificates of all names."""

    def __init__(self, names: Sequence[str], listener: Listener) -> None:
        self.names, self.listener = tuple(names), listener
        authority = CertificateAuthority.create()
        self.anchor = authority.pem
        self._pair = tuple(
            authority.issue(dns=("*.partner.test",), key=kind) for kind in ("ec256", "rsa2048")
        )

    def offer(self, **fields: Any) -> TlsOffer:
        return TlsOffer(certificates=self._pair, **fields)


@dataclass
class Fleet:
    """Services, and the partner that they are asked about."""

    services: tuple[ServiceProcess, ...]
    partner: Partner

    def ask(
        self, service: ServiceProcess, name: str, *, timeout: float = 110, **fields: Any
    ) -> Any:
        """Begin a call."""
        port = self.partner.listener.port
        request = pb.CheckEndpointRequest(host=name, port=port, **fields)
        return service.checks.CheckEndpoint.future(request, timeout=timeout)

    def scans(self) -> list[float]:
        """How many measurements each has made."""
        series = 'otpc_policy_scans_total{outcome="complete"}'
        return [service.metric(series) for service in self.services]


def all_allow(answers: Iterable[pb.CheckEndpointResponse]) -> bool:
    """Whether all do; prints those that do not."""
    others = [answer for answer in answers if answer.decision != pb.DECISION_ALLOW]
    print(*others[:3])
    return not others


def is_available(service: ServiceProcess) -> bool:
    """Whether a service can use all of the store."""
    return service.metric("otpc_policy_store_available") == 1


@contextmanager
def services(
    folder: Path, partner: Partner, *, count: int = 3, **variables: str
) -> Iterator[Fleet]:
    """Run services while the context lasts. variables: settings, those of
    the store among them."""
    anchor, key = folder / "anchor.pem", folder / "key"
    anchor.write_bytes(partner.anchor)
    key.write_text("# of this test\n" + "ab" * 32 + "\n")
    key.chmod(0o600)
    trust = [{"hosts": ["*.partner.test"], "anchor_file": str(anchor), "note": "test partner"}]
    hosts = dict.fromkeys(partner.names, partner.listener.address)
    chosen = {
        "OTPC_POLICY_TRUST": json.dumps(trust),
        "OTPC_POLICY_STATIC_HOSTS": json.dumps(hosts),
        "OTPC_POLICY_ENGINES": "1",
        # All names have one address, and share its connections.
        "OTPC_POLICY_SCAN__SCAN_DEADLINE_S": "100",
        "OTPC_POLICY_DEFAULT_WAIT_S": "100",
        "OTPC_POLICY_ADMIN_SERVICE": "true",
        "OTPC_POLICY_FLEET__KEY_FILE": str(key),
    }
    with ExitStack() as stack:
        running = []
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            running.append(stack.enter_context(service_process(own, **chosen | variables)))
        for service in running:
            wait_until(lambda one=service: is_available(one))  # type: ignore[misc]
        yield Fleet(tuple(running), partner)
