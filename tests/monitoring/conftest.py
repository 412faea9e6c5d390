"""A service of a fleet, an engine by itself, and a Prometheus that scrapes both, for all tests."""

import json
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.monitoring.promql import Exported, exported
from tests.monitoring.rules import RULES
from tests.support.certificates import CertificateAuthority
from tests.support.engine_program import engine_program
from tests.support.loopback import own_listener
from tests.support.prometheus import Prometheus, prometheus
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import ServiceProcess, service_process
from tests.support.valkey import valkey
from tests.support.waiting import wait_until

_CERTIFICATE_END = "otpc_policy_watched_certificate_end_timestamp_seconds{"


@dataclass(frozen=True, slots=True)
class Monitored:
    """What runs. exported: by both programs, as soon as they serve."""

    service: ServiceProcess
    prometheus: Prometheus
    exported: Exported


@pytest.fixture(scope="session")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Run all three, Prometheus with the rules as they are."""
    folder = tmp_path_factory.mktemp("monitored")
    pages = own_listener()
    offer = TlsOffer(certificates=(CertificateAuthority.create().issue(),))
    key = folder / "fleet-key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    hook_key = folder / "webhook-key"
    hook_key.write_text("whsec_" + "A" * 40)
    hook_key.chmod(0o600)
    texts = {path.name: path.read_text(encoding="utf-8") for path in RULES}
    with (
        # The path of a Unix socket has 107 bytes; pytest's own folders take most of them.
        tempfile.TemporaryDirectory(prefix="t-") as short,
        valkey() as store,
        nginx(own_listener(), offer) as watched,
        service_process(
            folder,
            OTPC_POLICY_WATCH__ENDPOINTS=json.dumps([str(watched)]),
            OTPC_POLICY_FLEET__URL=store.url,
            OTPC_POLICY_FLEET__KEY_FILE=str(key),
            # Where nobody listens.
            OTPC_POLICY_WEBHOOK__URL="http://127.0.0.1:9/",
            OTPC_POLICY_WEBHOOK__KEY_FILE=str(hook_key),
        ) as service,
        engine_program("--listen", f"unix:{short}/engine.sock", "--ops-listen", str(pages)),
    ):
        targets = {
            "otpc-policy": [service.ops_address],
            "otpc-policy-engine": [str(pages)],
        }
        # Its end is known once it has been measured.
        wait_until(lambda: _CERTIFICATE_END in _page(service.ops_address))
        there = exported(*(_page(address) for (address,) in targets.values()))
        with prometheus(targets, texts) as running:
            yield Monitored(service, running, there)


def _page(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text
