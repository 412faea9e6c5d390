"""The five methods through a real channel: their responses, in which order, and their statuses."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.check import Answer, CheckRequest, FreshnessMode, Judgement, Standing
from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import (
    Budget,
    CallerBudgetUsed,
    InvalidRequest,
    Overloaded,
    ServiceUnavailable,
    UnknownPerspective,
)
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.model import PolicySet
from otpc_policy.rpc import policy_check
from otpc_policy.rpc.convert import (
    ParsedCheck,
    ParsedValidation,
    check_response,
    parse_validate_request,
    read_check_request,
)
from otpc_policy.rpc.health import Health
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.registration import (
    POLICY_ADMIN_SERVICE,
    POLICY_CHECK_SERVICE,
    RPC_METHODS,
    add_services,
)
from otpc_policy.rpc.wire_budget import WireBudget
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.rpc.convert.values import make_answer, make_judgement, make_verdict
from tests.rpc.serving import FakeCounters, failure, serving, unpacked
from tests.support.audit_lines import trail_into
from tests.support.certificates import CertificateAuthority, Issued

NOW = datetime.now(UTC).replace(microsecond=123456)
METHODS = (
    "CheckEndpoint",
    "BatchCheckEndpoints",
    "ValidateCertificate",
    "GetPolicy",
    "ListPolicies",
    "ListWatched",
)


class FixedClock:
    """Stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def judgement(request: CheckRequest, generation: Catalog, number: int) -> Judgement:
    """A denial that is kept under a key of its own."""
    return make_judgement(
        key=(f"{request.endpoint} {request.policy_name} {number}", (), (), ()),
        endpoint=request.endpoint,
        policy=generation.policies.get(request.policy_name),
        configuration_revision=generation.revision,
        observed_at=NOW - timedelta(seconds=30),
        judged_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
    )


@dataclass
class FakeChecks:
    """Answers by host. One judgement for each endpoint and policy, as the real ones are kept.

    errors: what a host raises.
    """

    errors: dict[str, Exception] = field(default_factory=dict)
    asked: list[tuple[CheckRequest, float | None]] = field(default_factory=list)
    kept: dict[Any, Judgement] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)

    async def check(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller,
    ) -> Answer:
        self.callers.append(caller)
        self.asked.append((request, wait_s))
        await asyncio.sleep(0)
        made = judgement(request, generation, len(self.kept))
        if request.endpoint.host in self.errors:
            raise self.errors[request.endpoint.host]
        kept = self.kept.setdefault((request.endpoint, request.policy_name), made)
        self.answers.append(make_answer(judgement=kept, evaluated_at=NOW, retry_after=None))
        return self.answers[-1]

    async def still_stands(self, standing: Standing, generation: Catalog) -> datetime | None:
        raise AssertionError("its answers have no basis")


@dataclass
class Running:
    """A running service, its fakes, and a stub."""

    stub: Any
    channel: Any
    checks: FakeChecks
    counters: FakeCounters
    interceptor: CallInterceptor
    log_lines: list[str]
    decisions: AuditTrail

    def decisions_written(self) -> list[dict[str, Any]]:
        self.decisions.close()
        return [json.loads(line) for text in self.log_lines for line in text.splitlines()]


Start = Callable[..., Any]


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Start]:
    """Start a service; everything ends with the test."""
    ending: list[Any] = []

    async def begin(
        *, trust: Trust | None = None, policies: PolicySet | None = None, **settings: Any
    ) -> Running:
        checks, counters, lines = FakeChecks(), FakeCounters(), []  # type: ignore[var-annotated]
        decisions = trail_into(lines.append)
        generation = Catalog(
            policies=policies or load_builtin_policies(),
            trust=trust or Trust(mozilla_roots=()),
            revision="generation",
        )
        interceptor = CallInterceptor(counters)
        servicer = PolicyCheckServicer(
            checks=checks,
            generation=lambda: generation,
            clock=FixedClock(),
            counters=counters,
            decisions=decisions,
            **settings,
        )
        service = serving(
            lambda server: add_services(
                server,
                policy_check=servicer,
                health=Health(POLICY_CHECK_SERVICE),
                with_reflection=True,
            ),
            interceptor,
        )
        channel = await service.__aenter__()
        ending.append(service)
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        return Running(stub, channel, checks, counters, interceptor, lines, decisions)

    yield begin
    for service in ending:
        await service.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create()


@pytest.fixture(scope="module")
def issued(authority: CertificateAuthority) -> Issued:
    return authority.intermediate().issue()


def check(host: str = "partner.test", **overrides: Any) -> pb.CheckEndpointRequest:
    return pb.CheckEndpointRequest(host=host, **overrides)


async def test_a_response_is_what_the_use_case_judged(start: Start) -> None:
    running = await start()
    response = await running.stub.CheckEndpoint(check(port=8443, policy="otpc-2024-12-strict"))
    assert len(response.result_info.check_id) == 32
    assert response == check_response(
        running.checks.answers[0], pb.VIEW_BASIC, response.result_info.check_id
    )
    (request, _), *_ = running.checks.asked
    assert str(request.endpoint) == "partner.test:8443"
    assert request.policy_name == "otpc-2024-12-strict"
    assert request.freshness.mode is FreshnessMode.CACHE_FIRST


@pytest.mark.parametrize("view", [pb.VIEW_BASIC, pb.VIEW_FULL])
async def test_a_cached_response_equals_a_fresh_one_except_for_its_id(
    start: Start, view: pb.View.ValueType
) -> None:
    running = await start()
    first = await running.stub.CheckEndpoint(check(view=view))
    second = await running.stub.CheckEndpoint(check(view=view))
    assert running.checks.answers[0].judgement is running.checks.answers[1].judgement
    assert first.result_info.check_id != second.result_info.check_id
    second.result_info.check_id = first.result_info.check_id
    assert (
        first
        == second
        == check_response(running.checks.answers[1], view, first.result_info.check_id)
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"judged_at": NOW + timedelta(seconds=1)},
        {"key": ("of other facts", (), (), ())},
        {"key": None},
    ],
    ids=["later", "of other facts", "of one caller alone"],
)
async def test_another_judgement_is_another_response(start: Start, changed: dict[str, Any]) -> None:
    running = await start()
    await running.stub.CheckEndpoint(check())
    (asked,) = running.checks.kept
    first = running.checks.kept[asked]
    allowed = replace(first, verdict=make_verdict(Decision.ALLOW), **changed)
    for kept, decision in (
        (allowed, pb.DECISION_ALLOW),
        (first, pb.DECISION_DENY),
        (allowed, pb.DECISION_ALLOW),
    ):
        running.checks.kept[asked] = kept
        assert (await running.stub.CheckEndpoint(check())).decision == decision


async def test_freshness_reaches_the_use_case(start: Start) -> None:
    running = await start()
    await running.stub.CheckEndpoint(
        check(
            freshness=pb.Freshness(
                mode=pb.FRESHNESS_MODE_REFRESH,
                max_age=Duration(seconds=9),
                max_stale=Duration(seconds=8),
            )
        )
    )
    freshness = running.checks.asked[0][0].freshness
    assert (freshness.mode, freshness.max_age, freshness.max_stale) == (
        FreshnessMode.REFRESH,
        timedelta(seconds=9),
        timedelta(seconds=8),
    )


async def test_the_caller_waits_for_its_deadline_less_the_reserve(start: Start) -> None:
    running = await start(deadline_reserve_s=1.0, default_wait_s=7.0)
    for timeout_s in (None, 5.0, 0.9):
        await running.stub.CheckEndpoint(check(), timeout=timeout_s)
    without, with_deadline, short = (wait_s for _, wait_s in running.checks.asked)
    assert without == 7.0
    assert 3.0 < with_deadline <= 4.0
    assert short == 0.0


async def test_each_decision_is_counted_and_recorded(start: Start) -> None:
    running = await start()
    response = await running.stub.CheckEndpoint(check(), metadata=(("x-request-id", "mine"),))
    assert running.counters.decisions == [("CheckEndpoint", Decision.DENY, 30.0)]
    (line,) = running.decisions_written()
    assert (line["rpc"], line["check_id"], line["request_id"], line["source"]) == (
        "CheckEndpoint",
        response.result_info.check_id,
        "mine",
        "CACHE",
    )
    assert (line["endpoint"], line["decision"], line["policy"]) == (
        "partner.test:443",
        "DENY",
        "otpc-2024-12",
    )
    assert line["findings"] == [
        {"code": "TLS_VERSION_BELOW_MINIMUM", "effect": "DENY", "address": "192.0.2.1"}
    ]
    assert (line["leaf_sha256"], "observed_leaf_sha256" in line) == ([(b"l" * 32).hex()], False)


async def test_a_reported_leaf_reaches_the_use_case_and_the_log(start: Start) -> None:
    running = await start()
    for leaf in (b"a" * 32, b"b" * 32):
        await running.stub.CheckEndpoint(check(observed_leaf_sha256=leaf))
    assert [asked.observed_leaf for asked, _ in running.checks.asked] == [b"a" * 32, b"b" * 32]
    logged = [line["observed_leaf_sha256"] for line in running.decisions_written()]
    assert logged == [(b"a" * 32).hex(), (b"b" * 32).hex()]
    seen = await failure(running.stub.CheckEndpoint(check(observed_leaf_sha256=b"short")))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "a SHA-256 of 32 bytes is required" in f"{seen.details}"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (Overloaded(timedelta(seconds=1)), grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (ServiceUnavailable(), grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
        (KeyError("secret"), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_errors_of_the_use_case_get_their_status(
    start: Start, error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    running = await start()
    running.checks.errors["partner.test"] = error
    seen = await failure(running.stub.CheckEndpoint(check()))
    assert (seen.code, seen.info.reason) == (code, reason)
    assert "secret" not in f"{seen}"
    assert running.counters.decisions == []


async def test_checks_learn_who_asks_and_refusals_are_counted_by_whose_budget(
    start: Start,
) -> None:
    running = await start()
    running.checks.errors = {
        "a.test": CallerBudgetUsed(timedelta(seconds=1), Budget.TARGETS),
        "b.test": Overloaded(timedelta(seconds=1)),
    }
    await failure(running.stub.CheckEndpoint(check("a.test")))
    requests = [check("b.test"), check("b.test"), check("c.test")]
    await running.stub.BatchCheckEndpoints(pb.BatchCheckEndpointsRequest(requests=requests))
    assert len(running.checks.callers) == 3
    assert {caller.share[0] for caller in running.checks.callers} == {"ipv4:127.0.0.1"}
    assert running.counters.refusals == [(Budget.TARGETS, True), (Budget.SCANS, False)]


async def test_answers_of_a_batch_count_as_they_are_made_and_those_beyond_a_share_are_errors(
    start: Start,
) -> None:
    """A hundred batches at once made half a gigabyte before the first was counted."""
    size = len((await (await start()).stub.CheckEndpoint(check())).SerializeToString())
    running = await start(wire=WireBudget(30 * size, most_of_a_caller=30 * size))
    requests = [check(f"n{number}.test") for number in range(100)]
    batch = await running.stub.BatchCheckEndpoints(pb.BatchCheckEndpointsRequest(requests=requests))
    answered = sum(result.HasField("response") for result in batch.results)
    assert 10 < answered < 30
    codes = {result.error.code for result in batch.results if result.HasField("error")}
    assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]}
    assert {budget for budget, _ in running.counters.refusals} == {Budget.BYTES}


class TurnsOfOthers:
    """Another task of the loop, and how often it had its turn."""

    def __init__(self) -> None:
        self.number = 0

    async def count(self) -> None:
        while True:
            self.number += 1
            await asyncio.sleep(0)


async def test_other_calls_are_answered_while_a_batch_is_parsed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred items with long names took the loop for three seconds."""
    running, turns, parsed_in = await start(), TurnsOfOthers(), Counter[int]()

    def read(raw: bytes) -> ParsedCheck:
        parsed_in[turns.number] += 1
        return read_check_request(raw)

    monkeypatch.setattr(policy_check, "read_check_request", read)

    others = asyncio.create_task(turns.count())
    requests = [check(f"n{number}.test") for number in range(100)]
    batch = await running.stub.BatchCheckEndpoints(pb.BatchCheckEndpointsRequest(requests=requests))
    others.cancel()
    assert len(batch.results) == parsed_in.total() == 100
    assert max(parsed_in.values()) <= 5


async def test_long_chains_are_read_one_at_a_time_with_room_for_other_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quarter of a megabyte of text takes a tenth of a second, and callers send many at once."""
    turns, parsed_in = TurnsOfOthers(), Counter[int]()

    def parse(message: pb.ValidateCertificateRequest, **settings: bool) -> ParsedValidation:
        parsed_in[turns.number] += 1
        return parse_validate_request(message, **settings)

    monkeypatch.setattr(policy_check, "parse_validate_request", parse)
    servicer = PolicyCheckServicer(
        checks=FakeChecks(),
        generation=lambda: Catalog(policies=load_builtin_policies(), trust=Trust(mozilla_roots=())),
        clock=FixedClock(),
        counters=FakeCounters(),
        decisions=trail_into(lambda _text: None),
    )

    others = asyncio.create_task(turns.count())
    request_ = pb.ValidateCertificateRequest(pem_bundle="\n" * 17_000).SerializeToString()
    nowhere: Any = None
    calls = [servicer.validate_certificate(request_, nowhere) for _ in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    others.cancel()
    assert {type(outcome) for outcome in outcomes} == {InvalidRequest}
    assert parsed_in.total() == 20
    assert set(parsed_in.values()) == {1}


@pytest.mark.parametrize("host", ["http://" + "a" * 900_000, "https://[" + "1:" * 100_000])
async def test_a_refusal_fits_into_trailers_however_long_what_it_quotes_is(
    start: Start, host: str
) -> None:
    """gRPC replaces a status whose details are longer than 8 KiB by one of its own."""
    running = await start()
    seen = await failure(running.stub.CheckEndpoint(check(host)))
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    batch = pb.BatchCheckEndpointsRequest(requests=[check(host)])
    (result,) = (await running.stub.BatchCheckEndpoints(batch)).results
    assert result.error.ByteSize() < 4096


async def test_an_unknown_policy_is_not_found(start: Start) -> None:
    running = await start()
    calls = (
        running.stub.CheckEndpoint(check(policy="nope")),
        running.stub.ValidateCertificate(
            pb.ValidateCertificateRequest(der_chain=pb.DerChain(certificates=[b"x"]), policy="nope")
        ),
        running.stub.GetPolicy(pb.GetPolicyRequest(name="nope")),
    )
    for call in calls:
        seen = await failure(call)
        assert (seen.code, seen.info.reason, seen.info.metadata["policy"]) == (
            grpc.StatusCode.NOT_FOUND,
            "UNKNOWN_POLICY",
            "nope",
        )


async def test_an_unknown_perspective_is_invalid_and_those_there_are_are_listed(
    start: Start,
) -> None:
    unknown = UnknownPerspective("mars", ["eu-west", "us-east"])
    running = await start()
    running.checks.errors["far.test"] = unknown
    seen = await failure(running.stub.CheckEndpoint(check("far.test", perspective="mars")))
    assert (seen.code, seen.info.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNKNOWN_PERSPECTIVE",
    )
    assert seen.info.metadata["perspective"] == "mars"
    assert seen.info.metadata["perspectives"] == "eu-west,us-east"
    batch = pb.BatchCheckEndpointsRequest(
        requests=[check(), check("far.test", perspective="mars"), check(perspective="eu-west")]
    )
    first, refused, last = (await running.stub.BatchCheckEndpoints(batch)).results
    assert unpacked(refused.error)[0].reason == "UNKNOWN_PERSPECTIVE"
    assert first.HasField("response")
    assert last.HasField("response")
    assert {asked.perspective for asked, _wait in running.checks.asked} == {"", "mars", "eu-west"}


@pytest.mark.parametrize("method", METHODS)
async def test_malformed_bytes_are_invalid_and_counted(start: Start, method: str) -> None:
    running = await start()
    seen = await failure(
        running.channel.unary_unary(f"/{POLICY_CHECK_SERVICE}/{method}")(b"\xff\xff\xff")
    )
    await running.interceptor.wait_until_quiet(0.0)
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert (
        seen.details[0].field_violations[0].description
        == f"the bytes are not a valid otpc_policy.v1.{method}Request"
    )
    assert running.counters.handled == [(POLICY_CHECK_SERVICE, method, "INVALID_ARGUMENT")]


async def test_a_bad_request_lists_all_its_fields(start: Start) -> None:
    running = await start()
    seen = await failure(
        running.stub.CheckEndpoint(
            pb.CheckEndpointRequest(host="a:b", port=-5, freshness=pb.Freshness(max_age=Duration()))
        )
    )
    assert [violation.field for violation in seen.details[0].field_violations] == [
        "host",
        "port",
        "freshness.max_age",
    ]


@pytest.mark.parametrize("method", ["InvalidateResults", "ReloadPolicies"])
async def test_administration_is_off(start: Start, method: str) -> None:
    running = await start()
    seen = await failure(running.channel.unary_unary(f"/{POLICY_ADMIN_SERVICE}/{method}")(b""))
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "ADMIN_SERVICE_OFF")


class TestBatch:
    """Each item is answered by itself, in order, and identical ones once."""

    async def test_order_and_errors_of_single_items(self, start: Start) -> None:
        running = await start()
        running.checks.errors = {
            "full.test": Overloaded(timedelta(seconds=4)),
            "bug.test": RuntimeError("secret"),
        }
        requests = [
            check("b.test"),
            check(""),
            check("full.test"),
            check("bug.test"),
            check("a.test", policy="nope"),
            check("a.test"),
        ]
        with structlog.testing.capture_logs() as logs:
            response = await running.stub.BatchCheckEndpoints(
                pb.BatchCheckEndpointsRequest(requests=requests),
                metadata=(("x-request-id", "mine"),),
            )
        assert [result.request_index for result in response.results] == [0, 1, 2, 3, 4, 5]
        assert [result.WhichOneof("outcome") for result in response.results] == [
            "response",
            "error",
            "error",
            "error",
            "error",
            "response",
        ]
        assert [response.results[index].response.canonical_endpoint for index in (0, 5)] == [
            "b.test:443",
            "a.test:443",
        ]
        errors = [response.results[index].error for index in (1, 2, 3, 4)]
        assert [
            (error.code, unpacked(error)[0].reason, unpacked(error)[0].metadata["request_id"])
            for error in errors
        ] == [
            (3, "INVALID_REQUEST", "mine"),
            (8, "OVERLOADED", "mine"),
            (13, "INTERNAL", "mine"),
            (5, "UNKNOWN_POLICY", "mine"),
        ]
        refusals = [one for one in running.decisions_written() if one["event"] == "refusal"]
        assert [(one["item"], one["code"], one["reason"]) for one in refusals] == [
            (1, "INVALID_ARGUMENT", "INVALID_REQUEST"),
            (2, "RESOURCE_EXHAUSTED", "OVERLOADED"),
            (3, "INTERNAL", "INTERNAL"),
            (4, "NOT_FOUND", "UNKNOWN_POLICY"),
        ]
        assert {(one["rpc"], one["request_id"]) for one in refusals} == {
            ("BatchCheckEndpoints", "mine")
        }
        assert unpacked(errors[1])[1][0].retry_delay.ToTimedelta() == timedelta(seconds=4)
        assert "secret" not in str(response)
        assert [
            line["exc_info"]
            for line in logs
            if line["log_level"] == logging.getLevelName(logging.ERROR).lower()
        ] == [True]

    async def test_identical_items_are_answered_once(self, start: Start) -> None:
        running = await start()
        requests = [
            check("a.test"),
            check("A.TEST.", port=443),
            check("a.test", view=pb.VIEW_FULL),
            check("a.test"),
        ]
        response = await running.stub.BatchCheckEndpoints(
            pb.BatchCheckEndpointsRequest(requests=requests)
        )
        assert len(running.checks.asked) == 2
        assert len({result.response.result_info.check_id for result in response.results}) == 2
        assert (
            response.results[0].response
            == response.results[1].response
            == response.results[3].response
        )
        assert response.results[2].response.HasField("observation")
        assert [rpc for rpc, *_ in running.counters.decisions] == ["BatchCheckEndpoints"] * 2

    @pytest.mark.parametrize("count", [0, 101])
    async def test_too_few_and_too_many(self, start: Start, count: int) -> None:
        running = await start()
        seen = await failure(
            running.stub.BatchCheckEndpoints(
                pb.BatchCheckEndpointsRequest(requests=[check()] * count)
            )
        )
        assert (seen.code, seen.details[0].field_violations[0].field) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "requests",
        )

    async def test_a_hundred_are_answered(self, start: Start) -> None:
        running = await start()
        response = await running.stub.BatchCheckEndpoints(
            pb.BatchCheckEndpointsRequest(
                requests=[check(f"h{number}.test") for number in range(100)]
            )
        )
        assert [result.response.canonical_endpoint for result in response.results] == [
            f"h{number}.test:443" for number in range(100)
        ]


class TestValidate:
    """A chain is judged by the certificate rules, at the given instant, without a connection."""

    @staticmethod
    def request(issued: Issued, **overrides: Any) -> pb.ValidateCertificateRequest:
        return pb.ValidateCertificateRequest(
            **{
                "der_chain": pb.DerChain(certificates=issued.chain_der),
                "server_name": "partner.test",
                **overrides,
            }
        )

    async def test_a_chain_under_a_configured_anchor_is_allowed(
        self, start: Start, authority: CertificateAuthority, issued: Issued
    ) -> None:
        running = await start(
            trust=Trust(
                mozilla_roots=(),
                entries=(TrustEntry(hosts=("partner.test",), anchors=(authority.der,)),),
            )
        )
        response = await running.stub.ValidateCertificate(self.request(issued, view=pb.VIEW_FULL))
        assert response.not_examined[0].startswith("whether the leaf is revoked")
        assert response.decision == pb.DECISION_ALLOW
        assert [certificate.sha256 for certificate in response.certificates][:1] == [issued.sha256]
        info = response.result_info
        assert (info.source, info.HasField("observation_time")) == (pb.RESULT_SOURCE_REQUEST, False)
        assert (
            info.evaluation_time.ToDatetime(tzinfo=UTC),
            info.expire_time.ToDatetime(tzinfo=UTC),
        ) == (NOW, NOW + timedelta(hours=1))
        assert running.counters.decisions == [("ValidateCertificate", Decision.ALLOW, None)]
        (line,) = running.decisions_written()
        assert (line["check_id"], line["server_name"], line["decision"]) == (
            info.check_id,
            "partner.test",
            "ALLOW",
        )

    async def test_pem_is_the_same(self, start: Start, issued: Issued) -> None:
        running = await start()
        by_der, by_pem = [
            await running.stub.ValidateCertificate(request)
            for request in (
                self.request(issued),
                pb.ValidateCertificateRequest(
                    pem_bundle=issued.chain_pem.decode(), server_name="partner.test"
                ),
            )
        ]
        by_pem.result_info.check_id = by_der.result_info.check_id
        assert by_der == by_pem
        assert by_der.decision == pb.DECISION_DENY

    async def test_an_undecodable_certificate_is_denied_not_an_error(self, start: Start) -> None:
        running = await start()
        response = await running.stub.ValidateCertificate(
            pb.ValidateCertificateRequest(
                der_chain=pb.DerChain(certificates=[b"junk"]), view=pb.VIEW_FULL
            )
        )
        assert response.decision == pb.DECISION_DENY
        assert "CERTIFICATE_MALFORMED" in [finding.code for finding in response.findings]
        assert [certificate.der for certificate in response.certificates] == [b"junk"]

    async def test_the_given_instant_decides_and_bounds_the_answer(
        self, start: Start, authority: CertificateAuthority, issued: Issued
    ) -> None:
        running = await start(
            trust=Trust(
                mozilla_roots=(),
                entries=(TrustEntry(hosts=("partner.test",), anchors=(authority.der,)),),
            )
        )
        not_after = issued.certificate.not_valid_after_utc
        before, after = [
            await running.stub.ValidateCertificate(
                self.request(issued, validation_time=Timestamp(seconds=int(at.timestamp())))
            )
            for at in (not_after - timedelta(minutes=1), not_after + timedelta(days=1))
        ]
        assert (before.decision, after.decision) == (pb.DECISION_ALLOW, pb.DECISION_DENY)
        assert before.result_info.evaluation_time.ToDatetime(tzinfo=UTC) == not_after - timedelta(
            minutes=1
        )
        assert before.result_info.expire_time.ToDatetime(tzinfo=UTC) <= not_after + timedelta(
            seconds=1
        )

    @pytest.mark.parametrize("seconds", [-631_152_000, 0, 253_370_764_799])
    async def test_the_ends_of_time_are_judged_too(
        self, start: Start, issued: Issued, seconds: int
    ) -> None:
        running = await start()
        response = await running.stub.ValidateCertificate(
            self.request(issued, validation_time=Timestamp(seconds=seconds, nanos=999_999_999))
        )
        assert response.decision == pb.DECISION_DENY

    @pytest.mark.parametrize(
        ("allowed", "code"), [(False, grpc.StatusCode.INVALID_ARGUMENT), (True, grpc.StatusCode.OK)]
    )
    async def test_anchors_in_the_request_need_the_setting(
        self,
        start: Start,
        authority: CertificateAuthority,
        issued: Issued,
        allowed: bool,
        code: grpc.StatusCode,
    ) -> None:
        running = await start(allow_request_anchors=allowed)
        call = running.stub.ValidateCertificate(self.request(issued, trust_anchors=[authority.der]))
        if allowed:
            assert (await call).decision == pb.DECISION_ALLOW
        else:
            assert (await failure(call)).code is code


class TestPolicies:
    """Policies are shown whole and in pages."""

    async def test_one(self, start: Start) -> None:
        running = await start()
        policy = (await running.stub.GetPolicy(pb.GetPolicyRequest())).policy
        assert (policy.name, policy.is_default, len(policy.revision)) == ("otpc-2024-12", True, 64)
        assert [rule.id for rule in policy.rules]
        assert all(rule.citation and rule.codes for rule in policy.rules)
        assert parse_policy(policy.effective_document, "effective.toml").revision == policy.revision
        assert not (
            await running.stub.GetPolicy(pb.GetPolicyRequest(name="otpc-2024-12-strict"))
        ).policy.is_default

    async def test_a_policy_of_an_operator(self, start: Start) -> None:
        text = """
            name = "acme"
            extends = "mozilla-intermediate"
            enforcing = false
            lifetimes = { deny_s = 1.5 }
            rules.https.served.effects.HTTPS_NOT_SERVED = "deny"
            rules.https.served.severities.HTTPS_NOT_SERVED = "low"
        """
        builtin = load_builtin_policies()
        running = await start(
            policies=replace(
                builtin, policies={**builtin.policies, "acme": parse_policy(text, "acme.toml")}
            )
        )
        policy = (await running.stub.GetPolicy(pb.GetPolicyRequest(name="acme"))).policy
        assert (policy.extends, policy.enforcing, policy.is_default) == (
            "mozilla-intermediate",
            False,
            False,
        )
        assert policy.lifetimes == pb.ResultLifetimes(deny=Duration(seconds=1, nanos=500_000_000))
        (https,) = (rule for rule in policy.rules if rule.id == "https.served")
        assert https.codes[0] == pb.PolicyRuleCode(
            code="HTTPS_NOT_SERVED", effect=pb.EFFECT_DENY, severity=pb.SEVERITY_LOW
        )
        listed = (await running.stub.ListPolicies(pb.ListPoliciesRequest(page_size=1))).policies
        policy.ClearField("effective_document")
        assert list(listed) == [policy]

    async def test_pages_stay_good_when_policies_come_and_go(self, start: Start) -> None:
        running = await start()
        first = await running.stub.ListPolicies(pb.ListPoliciesRequest(page_size=1))
        (only,) = first.policies
        builtin = load_builtin_policies()
        later_names = builtin.policies.keys() - {only.name}
        later = await start(
            policies=replace(
                builtin, policies={name: builtin.policies[name] for name in later_names}
            )
        )
        rest = await later.stub.ListPolicies(
            pb.ListPoliciesRequest(page_size=1000, page_token=first.next_page_token)
        )
        assert [policy.name for policy in rest.policies] == sorted(later_names)
        assert rest.next_page_token == ""

    async def test_pages(self, start: Start) -> None:
        running = await start()
        whole = await running.stub.ListPolicies(pb.ListPoliciesRequest())
        assert [policy.name for policy in whole.policies] == sorted(
            load_builtin_policies().policies
        )
        assert whole.next_page_token == ""
        first = await running.stub.ListPolicies(pb.ListPoliciesRequest(page_size=4))
        second = await running.stub.ListPolicies(
            pb.ListPoliciesRequest(page_size=4, page_token=first.next_page_token)
        )
        assert [*first.policies, *second.policies] == list(whole.policies)
        assert not any(policy.effective_document for policy in whole.policies)
        assert (bool(first.next_page_token), second.next_page_token) == (True, "")

    async def test_they_count_until_they_are_read_as_all_long_answers_do(
        self, start: Start
    ) -> None:
        running = await start(wire=WireBudget(8 * 1024, most_of_a_caller=8 * 1024))
        for call in (
            running.stub.GetPolicy(pb.GetPolicyRequest()),
            running.stub.ListPolicies(pb.ListPoliciesRequest()),
        ):
            seen = await failure(call)
            assert (seen.code, seen.info.metadata["resource"]) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "bytes",
            )
        assert running.counters.refusals == [(Budget.BYTES, False)] * 2

    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            (pb.ListPoliciesRequest(page_size=-1), "page_size"),
            (pb.ListPoliciesRequest(page_token="ü%"), "page_token"),
        ],
    )
    async def test_bad_pages(
        self, start: Start, request_: pb.ListPoliciesRequest, field: str
    ) -> None:
        running = await start()
        seen = await failure(running.stub.ListPolicies(request_))
        assert (seen.code, seen.details[0].field_violations[0].field) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            field,
        )


async def test_reflection_names_every_service_and_every_method_is_countable(start: Start) -> None:
    from grpc_reflection.v1alpha import reflection_pb2

    running = await start()
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    call = running.channel.stream_stream(
        path,
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = [answer async for answer in call]
    named = {service.name for service in answers[0].list_services_response.service}
    assert named == {service for service, _ in RPC_METHODS} - {"unknown"}
    await asyncio.wait_for(running.counters.ended.wait(), 5)
    assert running.counters.handled == [
        ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", "OK")
    ]
    assert set(running.counters.started) <= set(RPC_METHODS)


async def test_malformed_bytes_to_reflection_are_the_callers_fault(start: Start) -> None:
    running = await start()
    call = running.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    )([b"\xff\xff"])
    seen = await failure(call.read())
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
