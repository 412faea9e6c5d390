"""The router of the client's README, as a program of its own against a real service.

OTPC_CLIENT_PYTHON: the interpreter of an environment that has the client and nothing of the
service (make test-client); else this one.
"""

import os
import subprocess
import sys
from pathlib import Path

from otpc_policy_client import __file__ as client_file
from tests.end_to_end.running import Service
from tests.end_to_end.world import World
from tests.support.certificates import self_signed
from tests.support.loopback import Listener
from tests.support.servers import TlsOffer
from tests.support.servers.threaded import answer_http, tls_server

CLIENT = Path(client_file).parents[2]
ROUTER = CLIENT / "examples" / "router.py"


def route(service: Service, name: str, at: Listener) -> "subprocess.CompletedProcess[str]":
    python = os.environ.get("OTPC_CLIENT_PYTHON", sys.executable)
    return subprocess.run(
        [python, str(ROUTER), service.address, name, str(at.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )


def test_the_router_pays_a_partner_that_is_allowed_and_no_other(
    world: World, service: Service
) -> None:
    partner = world.partner()
    offer = TlsOffer(certificates=(world.leaf(partner.name),))
    with tls_server(partner.listener(), offer, answer_http) as at:
        paid = route(service, partner.name, at)
    assert (paid.stdout, paid.returncode) == ("sent: 200\n", 0), paid.stderr
    stranger = world.partner()
    offer = TlsOffer(certificates=(self_signed(dns=(stranger.name,)),))
    with tls_server(stranger.listener(), offer, answer_http) as at:
        refused = route(service, stranger.name, at)
    assert (refused.stdout, refused.returncode) == ("", 1)
    assert refused.stderr.startswith("not sent, policy: ")
    assert "DENY" in refused.stderr


def test_the_readme_has_the_router_and_it_is_thirty_lines() -> None:
    router = ROUTER.read_text(encoding="utf-8")
    assert len(router.splitlines()) <= 30
    assert f"```python\n{router}```" in (CLIENT / "README.md").read_text(encoding="utf-8")
