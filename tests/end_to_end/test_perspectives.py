"""Two regions with an engine each, which see different servers under one name and one address.

Two fronts share a store. Each has the engine of its own region by default, and the other's by name:
one engine over mutual TLS, the other over a Unix socket.
"""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from otpc_policy_client import PolicyClient
from tests.end_to_end.world import World
from tests.support.engine_program import engine_program, mutual_tls
from tests.support.loopback import Listener, free_port, own_address
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import ServiceProcess, service_process
from tests.support.valkey import Valkey, valkey
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

EU, US = "eu-west", "us-east"
NAME = "both.partner.test"
ALLOW, DENY = pb.DECISION_ALLOW, pb.DECISION_DENY
EXPECTED = {EU: ALLOW, US: DENY}
ONLY = pb.Freshness(mode=pb.FRESHNESS_MODE_CACHE_ONLY)
REFRESH = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)


@dataclass
class Regions:
    """The fronts, each in a region of its own, and what is at the ends."""

    fronts: dict[str, ServiceProcess]
    port: int
    addresses: dict[str, str]
    engines: dict[str, "subprocess.Popen[str]"]
    us_options: tuple[str, ...]
    folder: Path

    def request(self, perspective: str = "", **fields: Any) -> pb.CheckEndpointRequest:
        return pb.CheckEndpointRequest(
            host=NAME, port=self.port, perspective=perspective, **{"view": pb.VIEW_FULL, **fields}
        )

    def ask(
        self, front: str, perspective: str = "", *, timeout: float = 60, **fields: Any
    ) -> pb.CheckEndpointResponse:
        request = self.request(perspective, **fields)
        response = self.fronts[front].checks.CheckEndpoint(request, timeout=timeout)
        assert isinstance(response, pb.CheckEndpointResponse)
        return response

    def require_right(self, response: pb.CheckEndpointResponse, perspective: str) -> None:
        """Require the verdict of a place, on what is to be seen there."""
        assert response.perspective == perspective
        assert response.decision == EXPECTED[perspective], response
        assert list(response.judged_addresses) == [self.addresses[perspective]]
        codes = {finding.code for finding in response.findings}
        assert ("CERTIFICATE_EXPIRED" in codes) == (perspective == US)

    def scans(self) -> float:
        series = 'otpc_policy_scans_total{outcome="complete"}'
        return sum(front.metric(series) for front in self.fronts.values())

    def page(self, front: str, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://{self.fronts[front].ops_address}{path}", timeout=5
            ) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def configuration(folder: Path, name: str, address: str) -> str:
    """Write the settings of an engine that sees the name at this address."""
    file = folder / f"engine-{name}.toml"
    file.write_text(f'perspective = "{name}"\n[static_hosts]\n"{NAME}" = ["{address}"]\n')
    return str(file)


def fronts(
    stack: ExitStack, folder: Path, store: Valkey, places: dict[str, dict[str, str]], anchor: Path
) -> Iterator[tuple[str, ServiceProcess]]:
    key = folder / "key"
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)
    trust = [{"hosts": [NAME], "anchor_file": str(anchor), "note": "test partner"}]
    for own, variables in places.items():
        files = folder / own
        files.mkdir()
        yield (
            own,
            stack.enter_context(
                service_process(
                    files,
                    # The library's own lines are no JSON.
                    GRPC_VERBOSITY="NONE",
                    OTPC_POLICY_PERSPECTIVE=own,
                    OTPC_POLICY_TRUST=json.dumps(trust),
                    OTPC_POLICY_ADMIN_SERVICE="true",
                    OTPC_POLICY_DEBUG_PAGE="true",
                    OTPC_POLICY_MINIMUM_REFRESH_INTERVAL_S="0",
                    OTPC_POLICY_FLEET__URL=store.url,
                    OTPC_POLICY_FLEET__KEY_FILE=str(key),
                    OTPC_POLICY_AUDIT__ALLOW_RATE="1",
                    **variables,
                )
            ),
        )


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    folder = tmp_path_factory.mktemp("regions")
    world = World.create(folder)
    keys = mutual_tls(folder)
    socket = f"unix:{folder}/us"
    addresses = {EU: own_address(), US: own_address()}
    port = free_port(addresses[EU])
    good = TlsOffer(certificates=world.pair(NAME))
    bad = TlsOffer(certificates=(world.expired_leaf(NAME),))
    remote = {
        f"OTPC_POLICY_{name.upper()}": json.dumps(value)
        if name == "engine_addresses"
        else str(value)
        for name, value in keys.settings.items()
    }
    elsewhere = {
        EU: {US: {"engine_addresses": [socket]}},
        US: {EU: {"engine_addresses": list(keys.settings["engine_addresses"])}},
    }
    places = {
        EU: {**remote, "OTPC_POLICY_PERSPECTIVES": json.dumps(elsewhere[EU])},
        US: {
            **remote,
            "OTPC_POLICY_ENGINE_ADDRESSES": json.dumps([socket]),
            "OTPC_POLICY_PERSPECTIVES": json.dumps(elsewhere[US]),
        },
    }
    us_options = ("--listen", socket, "--config", configuration(folder, US, addresses[US]))
    with ExitStack() as stack:
        for place, offer in ((EU, good), (US, bad)):
            stack.enter_context(nginx(Listener(addresses[place], port), offer))
        store = stack.enter_context(valkey())
        at_eu = (*keys.options, "--config", configuration(folder, EU, addresses[EU]))
        engines = {
            EU: stack.enter_context(engine_program(*at_eu)),
            US: stack.enter_context(engine_program(*us_options)),
        }
        running = dict(fronts(stack, folder, store, places, world.anchor_file))
        for service in running.values():
            wait_until(lambda one=service: one.metric("otpc_policy_store_available") == 1)  # type: ignore[misc]
            for place in (EU, US):
                series = f'otpc_policy_engines_up{{perspective="{place}"}}'
                wait_until(lambda one=service, of=series: one.metric(of) == 1, 30)  # type: ignore[misc]
        yield Regions(running, port, addresses, engines, us_options, folder)


def test_each_place_has_its_verdict_at_both_fronts_and_is_measured_once(regions: Regions) -> None:
    for front in (EU, US):
        regions.require_right(regions.ask(front), front)
    sources = []
    for front, perspective in ((EU, US), (US, EU), (EU, EU), (US, US)):
        response = regions.ask(front, perspective)
        regions.require_right(response, perspective)
        sources.append(response.result_info.source)
    assert set(sources) == {pb.RESULT_SOURCE_CACHE}, "what the other front's place has found"
    assert regions.scans() == 2


def test_standing_answers_and_batches_of_both_places_are_never_mixed(regions: Regions) -> None:
    wrong: list[AssertionError] = []

    def caller(front: str, number: int) -> None:
        try:
            for turn in range(40):
                place = (EU, US, "")[(turn + number) % 3]
                regions.require_right(regions.ask(front, place), place or front)
            order = [(EU, US, "", US, EU)[(at + number) % 5] for at in range(50)]
            batch = pb.BatchCheckEndpointsRequest(requests=map(regions.request, order))
            answers = regions.fronts[front].checks.BatchCheckEndpoints(batch, timeout=60).results
            for place, answer in zip(order, answers, strict=True):
                regions.require_right(answer.response, place or front)
        except AssertionError as error:
            wrong.append(error)

    threads = [
        threading.Thread(target=caller, args=(front, number))
        for front in (EU, US)
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert regions.scans() == 2


def test_an_invalidation_forgets_what_every_place_has_found_at_both_fronts(
    regions: Regions,
) -> None:
    before = regions.scans()
    admin = rpc.PolicyAdminServiceStub(regions.fronts[EU].channel)  # type: ignore[no-untyped-call]
    admin.InvalidateResults(pb.InvalidateResultsRequest(host=NAME), timeout=10)

    def is_forgotten(front: str, place: str) -> bool:
        found = regions.ask(front, place, freshness=ONLY)
        return {each.code for each in found.findings} == {"NO_CACHED_RESULT"}

    for front in (EU, US):
        for place in (EU, US):
            wait_until(lambda at=front, of=place: is_forgotten(at, of), 5)  # type: ignore[misc]
    for front in (US, EU):
        for place in (US, EU):
            regions.require_right(regions.ask(front, place), place)
    assert regions.scans() == before + 2


def test_a_place_that_is_not_there_is_refused_with_those_that_are(regions: Regions) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        regions.ask(EU, "mars")
    failed: Any = refused.value
    status = rpc_status.from_call(failed)
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert (refused.value.code(), info.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNKNOWN_PERSPECTIVE",
    )
    assert info.metadata["perspectives"] == f"{EU},{US}"


def test_the_client_and_the_command_line_name_a_place(regions: Regions) -> None:
    address = regions.fronts[EU].address
    with PolicyClient(address, dangerously_plaintext=True) as client:
        found = client.check(NAME, port=regions.port, perspective=US, timeout_s=30).response
    assert (int(found.decision), found.perspective) == (DENY, US)
    command = [sys.executable, "-m", "otpc_policy", "check", f"{NAME}:{regions.port}"]
    connection = ["--server", address, "--dangerously-plaintext", "--perspective", US]
    for form, expected in (("json", f'"perspective": "{US}"'), ("table", "judged from")):
        done = subprocess.run(
            [*command, *connection, "--format", form], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stderr
        assert expected in done.stdout
    alone = subprocess.run(
        [*command, "--perspective", US], capture_output=True, text=True, check=False
    )
    assert alone.returncode == 2
    assert "needs" in alone.stderr
    assert "--server" in alone.stderr


def test_every_answer_is_in_the_audit_trail_with_its_place(regions: Regions) -> None:
    lines = [line for line in regions.fronts[EU].log_lines() if line["event"] == "decision"]
    decided = {(line["perspective"], line["decision"]) for line in lines}
    assert {(EU, "ALLOW"), (US, "DENY")} <= decided
    assert decided <= {(EU, "ALLOW"), (US, "DENY"), (EU, "INDETERMINATE"), (US, "INDETERMINATE")}


def test_a_place_without_engines_or_with_those_of_another_leaves_the_others_serving(
    regions: Regions,
) -> None:
    """The last test here: it takes an engine away, and puts a wrong one in its place."""
    engine = regions.engines[US]
    engine.terminate()
    engine.wait(30)
    down = f'otpc_policy_engines_up{{perspective="{US}"}}'
    for service in regions.fronts.values():
        wait_until(lambda one=service: one.metric(down) == 0, 30)  # type: ignore[misc]
    response = regions.ask(EU, US, timeout=3, freshness=REFRESH)
    assert response.decision == pb.DECISION_INDETERMINATE
    regions.require_right(regions.ask(EU, EU, freshness=REFRESH), EU)
    regions.require_right(regions.ask(US, EU), EU)
    assert regions.page(EU, "/readyz")[0] == 200
    status, verbose = regions.page(EU, "/readyz?verbose")
    assert status == 200
    assert f"[-]perspective {US}" in verbose
    assert f"[+]perspective {EU}" in verbose
    assert regions.page(US, "/readyz")[0] == 503, "its default is the place that is down"
    _, debug = regions.page(EU, "/debug")
    assert f'"perspective": "{US}"' in debug

    name = configuration(regions.folder, "eu-wrong", regions.addresses[EU])
    with engine_program(*regions.us_options[:2], "--config", name):
        lied = "perspective: another one than us-east"
        wait_until(
            lambda: any(lied in str(line.get("reason")) for line in regions.fronts[EU].log_lines()),
            30,
        )
        response = regions.ask(EU, US, timeout=3, freshness=REFRESH)
        assert response.decision == pb.DECISION_INDETERMINATE
        assert regions.addresses[EU] not in response.judged_addresses
        with suppress(grpc.RpcError):
            assert regions.fronts[EU].metric(down) == 0
