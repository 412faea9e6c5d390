"""A response that is given again is the one that a check would have led to.

Two equal worlds live through the same events and requests. In one the service remembers what it
answered; in the other every request meets a servicer that has answered none before.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.roles import RolesFile
from otpc_policy.check import ResultSource
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import OtpcPolicyError
from otpc_policy.core.facts import ForbiddenAddress, ResolutionStatus
from otpc_policy.core.identities import read_identity
from otpc_policy.rpc.current_call import CurrentCall, current_call
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.status import CallerNotPermitted
from otpc_policy.v1 import policy_pb2 as pb
from tests.check.test_standing import OLD_TLS, known_world, resolved
from tests.check.world import BRIEF, Checks, World, compliant, generation, stale, unknown
from tests.rpc.serving import FakeCounters
from tests.support.audit_lines import trail_into
from tests.support.facts import HOST, leaf

pytestmark = pytest.mark.long

REQUESTS = [
    pb.CheckEndpointRequest(host=HOST, **fields).SerializeToString()
    for fields in (
        {},
        {"port": 443},
        {"port": 8443},
        {"view": pb.VIEW_FULL},
        {"policy": "brief"},
        {"policy": "otpc-2024-12-strict"},
        {"policy": "unheard-of"},
        {"server_name": "other.test"},
        {"depth": pb.SCAN_DEPTH_DEEP},
        {"freshness": pb.Freshness(mode=pb.FRESHNESS_MODE_CACHE_ONLY)},
        {"freshness": pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)},
        {"freshness": pb.Freshness(max_age=Duration(seconds=20))},
        {"freshness": pb.Freshness(max_stale=Duration(seconds=600))},
        {"observed_leaf_sha256": bytes.fromhex(leaf().sha256)},
        {"observed_leaf_sha256": b"l" * 32},
    )
] + [
    # A field that is unknown here, and bytes that are not a message.
    pb.CheckEndpointRequest(host=HOST).SerializeToString() + b"\xa2\x06\x01x",
    b"\xff\xff",
]


class _Context:
    """Of a caller without a deadline."""

    def time_remaining(self) -> float | None:
        return None

    def add_done_callback(self, _callback: object) -> None:
        """Never over."""


@dataclass
class Side:
    """A world and its service. remembers: one servicer answers all requests."""

    remembers: bool
    world: World = field(default_factory=known_world)
    generation: Catalog = field(default_factory=lambda: generation(BRIEF))
    counters: FakeCounters = field(default_factory=FakeCounters)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checks: Checks = self.world.checks()
        self.decisions = trail_into(self.lines.append)
        self.servicer = self.new_servicer()

    def new_servicer(self) -> PolicyCheckServicer:
        return PolicyCheckServicer(
            checks=self.checks.service,
            generation=lambda: self.generation,
            clock=self.world,
            counters=self.counters,
            decisions=self.decisions,
        )

    async def ask(self, raw: bytes) -> pb.CheckEndpointResponse | str:
        """Return the response without its id, or the error."""
        servicer = self.servicer if self.remembers else self.new_servicer()
        context: Any = _Context()
        try:
            answer = await servicer.check_endpoint(bytes(bytearray(raw)), context)
        except OtpcPolicyError as error:
            return repr(error)
        response = pb.CheckEndpointResponse.FromString(answer)
        assert len(response.result_info.check_id) == 32
        response.result_info.check_id = ""
        return response

    def recorded(self) -> Iterator[dict[str, Any]]:
        self.decisions.close()
        for line in "".join(self.lines).splitlines():
            yield {**json.loads(line), "check_id": "", "request_id": ""}


async def _forget(side: Side) -> None:
    await side.checks.service.invalidate(HOST, 443)


def _later(by: timedelta) -> Callable[[Side], None]:
    return lambda side: setattr(side.world, "at", side.world.at + by)


def _set(**changes: Any) -> Callable[[Side], None]:
    return lambda side: side.world.__dict__.update(changes)


def _reload(side: Side) -> None:
    side.generation = replace(side.generation)


def _reload_changed(side: Side) -> None:
    side.generation = generation(BRIEF, revision=side.generation.revision + "+")


EVENTS: list[Callable[[Side], Any]] = [
    *map(_later, (timedelta(milliseconds=250), timedelta(seconds=15), timedelta(minutes=4))),
    *map(_later, (timedelta(hours=1), timedelta(days=10), timedelta(seconds=-1))),
    _forget,
    _reload,
    _reload_changed,
    _set(resolution=resolved("127.0.0.1", "127.0.0.2")),
    _set(resolution=resolved("127.0.0.2")),
    _set(resolution=stale("127.0.0.1"), fresh_resolution=stale("127.0.0.1")),
    _set(revision="1"),
    _set(revision="2"),
    _set(facts=compliant),
    _set(facts=unknown),
    _set(facts=lambda *each: compliant(*each, versions=OLD_TLS)),
]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_a_repeated_response_is_what_a_check_leads_to(seed: int) -> None:
    chosen = random.Random(seed)
    sides = remembering, forgetful = Side(remembers=True), Side(remembers=False)
    compared = 0
    for _ in range(120):
        if chosen.random() < 0.7:
            event = chosen.choice(EVENTS)
            for side in sides:
                done = event(side)
                if done is not None:
                    await done
        for raw in chosen.choices(REQUESTS, k=chosen.randint(1, 12)):
            # The first may measure, the second comes from the cache, the third can be repeated.
            for _ in range(3):
                answer = await remembering.ask(raw)
                assert answer == await forgetful.ask(raw)
                # Measurements in the background end in both before the next request.
                while any(side.checks.measurements.in_progress for side in sides):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                compared += 1
    assert compared > 500
    assert remembering.world.events == forgetful.world.events
    assert remembering.world.measured == forgetful.world.measured
    assert remembering.counters.decisions == forgetful.counters.decisions
    assert list(remembering.recorded()) == list(forgetful.recorded())


async def test_the_second_answer_from_the_cache_needs_no_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side = Side(remembers=True)
    for _ in range(2):
        await side.ask(REQUESTS[0])

    async def check(*_: Any, **__: Any) -> Any:
        raise AssertionError("checked")

    monkeypatch.setattr(side.checks.service, "check", check)
    response = await side.ask(REQUESTS[0])
    assert isinstance(response, pb.CheckEndpointResponse)
    assert response.result_info.source == pb.RESULT_SOURCE_CACHE
    assert [line["source"] for line in side.recorded()] == [
        ResultSource.MEASURED.name,
        ResultSource.CACHE.name,
        ResultSource.CACHE.name,
    ]


async def test_no_generation_that_has_been_replaced_stays_in_memory() -> None:
    side = Side(remembers=True)
    for _ in range(3):
        await side.ask(REQUESTS[0])
    answers = side.servicer._answers
    assert len(answers._repeatable) == 1
    _reload(side)
    assert isinstance(await side.ask(b"\xff\xff"), str)
    assert len(answers._repeatable) == 0


async def test_requests_are_remembered_up_to_a_number_of_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side = Side(remembers=True)
    monkeypatch.setattr("otpc_policy.rpc.answers._REPEATABLE_BYTES", 40_000)
    side.servicer = side.new_servicer()
    for number in range(50):
        # Unknown fields make requests that are equal in all but their bytes.
        padding = b"\xa2\x06" + bytes([0x80 | 100, 7]) + bytes([number]) * 996
        for _ in range(3):
            assert isinstance(await side.ask(REQUESTS[0] + padding), pb.CheckEndpointResponse)
    kept = side.servicer._answers._repeatable
    assert 1 < len(kept) < 50
    assert kept.weight <= 40_000


ROLES = """
[[role]]
name = "router"
rpcs = ["CheckEndpoint"]
hosts = ["*"]
[[role]]
name = "elsewhere"
rpcs = ["CheckEndpoint"]
hosts = ["elsewhere.test"]
[[caller]]
identities = ["*.routers.example"]
roles = ["router"]
[[caller]]
identities = ["elsewhere.example"]
roles = ["elsewhere"]
"""


@contextmanager
def calling(name: str) -> Iterator[None]:
    token = current_call.set(CurrentCall(caller=Caller(identities=(read_identity(name),))))
    try:
        yield
    finally:
        current_call.reset(token)


async def test_what_is_kept_for_one_caller_is_not_given_to_one_whose_roles_do_not_permit_it() -> (
    None
):
    side = Side(remembers=True)
    side.generation = replace(side.generation, access=RolesFile(ROLES, "roles.toml").access)
    for _ in range(3):
        with calling("a.routers.example"):
            assert isinstance(await side.ask(REQUESTS[0]), pb.CheckEndpointResponse)
        for name in ("elsewhere.example", "nobody.example"):
            with calling(name):
                assert await side.ask(REQUESTS[0]) == repr(
                    CallerNotPermitted(
                        f"dns:{name}",
                        [f"endpoint {HOST}:443"] if "else" in name else ["rpc CheckEndpoint"],
                    )
                )
    kept = side.servicer._answers._repeatable
    assert len(kept) == 1
    with calling("b.routers.example"):
        assert isinstance(await side.ask(REQUESTS[0]), pb.CheckEndpointResponse)
    assert len(kept) == 1
    # A role that is taken away takes the kept answer with it.
    side.generation = replace(side.generation, access=RolesFile("", "roles.toml").access)
    with calling("a.routers.example"):
        assert isinstance(await side.ask(REQUESTS[0]), str)


async def test_the_log_names_an_address_that_no_response_does_and_nothing_of_it_is_kept() -> None:
    side = Side(remembers=True)
    side.world.resolution = Resolution(
        status=ResolutionStatus.FORBIDDEN,
        forbidden=(ForbiddenAddress("10.1.2.3", "private (RFC 1918)"),),
    )
    roles = ROLES.replace('hosts = ["*"]', 'hosts = ["*"]\ninternal_addresses = true', 1)
    access = RolesFile(roles, "roles.toml").access
    nobodys = side.generation
    for current, name in (
        (nobodys, None),
        (nobodys, "a"),
        (replace(nobodys, access=access), "a"),
    ):
        side.generation = current
        with nullcontext() if name is None else calling(f"{name}.routers.example"):
            answer = await side.ask(REQUESTS[0])
        assert isinstance(answer, pb.CheckEndpointResponse)
        assert ("10.1.2.3" in str(answer)) is (current is not nobodys)
        assert not len(side.servicer._answers._repeatable)
    side.decisions.close()
    logged = [json.loads(line) for line in "".join(side.lines).splitlines()]
    assert [line["findings"][0]["address"] for line in logged] == ["10.1.2.3"] * 3
