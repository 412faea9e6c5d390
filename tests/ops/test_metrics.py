"""Metrics: present from the start, bounded, exactly counted, and clean for promtool."""

import subprocess
from datetime import UTC, datetime
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from otpc_policy.core.facts import ResolutionFailure
from otpc_policy.ops.metrics import Metrics
from otpc_policy.ops.metrics.labels import OTHER
from otpc_policy.ops.metrics.measuring import DNS_RESULTS
from otpc_policy.ops.metrics.tallies import Observed
from otpc_policy.policy.finding import Decision, Effect, Finding, Severity
from tests.support.requirements import require

SERVICE = "otpc_policy.v1.PolicyCheckService"
SOMEWHERE = Observed("0af7651916cd43dd8448eb211c80319c", "c" * 32)
METHODS = ((SERVICE, "CheckEndpoint"), ("grpc.health.v1.Health", "Watch"))
UNARY = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "CheckEndpoint"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(
        registry, finding_codes=("TLS_NOT_SERVED", "CERTIFICATE_EXPIRED"), rpc_methods=METHODS
    )


def _finding(code: str, effect: Effect) -> Finding:
    return Finding(
        code=code,
        severity=Severity.HIGH,
        effect=effect,
        rule_id="",
        message="",
        remediation="",
        citation="",
    )


def _series(registry: CollectorRegistry) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in registry.collect()
        for sample in family.samples
    }


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("grpc_server_started_total", UNARY),
        (
            "grpc_server_started_total",
            {
                "grpc_type": "server_stream",
                "grpc_service": "grpc.health.v1.Health",
                "grpc_method": "Watch",
            },
        ),
        ("grpc_server_handled_total", {**UNARY, "grpc_code": "ResourceExhausted"}),
        ("grpc_server_handling_seconds_bucket", {**UNARY, "le": "0.00025"}),
        ("grpc_server_handling_seconds_count", UNARY),
        (
            "otpc_policy_decisions_total",
            {"rpc": "ValidateCertificate", "decision": "INDETERMINATE"},
        ),
        ("otpc_policy_findings_total", {"code": "CERTIFICATE_EXPIRED", "effect": "WAIVED"}),
        ("otpc_policy_cache_requests_total", {"tier": "memory", "result": "stale"}),
        ("otpc_policy_flights_total", {"result": "joined"}),
        ("otpc_policy_leaf_reports_total", {"result": "unseen"}),
        ("otpc_policy_budget_refusals_total", {"budget": "caller", "resource": "targets"}),
        ("otpc_policy_scans_total", {"outcome": "overloaded"}),
        ("otpc_policy_scan_seconds_count", {}),
        ("otpc_policy_deep_contradictions_total", {"subject": "cipher_suite"}),
        ("otpc_policy_dns_lookups_total", {"result": "servfail"}),
        ("otpc_policy_dns_stale_resolutions_total", {}),
        ("otpc_policy_dns_questions_outstanding", {}),
        ("otpc_policy_engine_restarts_total", {}),
        ("otpc_policy_event_loop_lag_seconds_count", {}),
        (
            "otpc_policy_decision_seconds_count",
            {"rpc": "BatchCheckEndpoints", "source": "STALE_CACHE"},
        ),
        ("otpc_policy_result_age_seconds_count", {}),
        ("otpc_policy_config_last_reload_successful", {}),
        ("otpc_policy_config_last_reload_success_timestamp_seconds", {}),
    ],
)
def test_every_series_is_zero_before_the_first_event(
    registry: CollectorRegistry, name: str, labels: dict[str, str]
) -> None:
    assert registry.get_sample_value(name, labels) == 0


@pytest.mark.usefixtures("metrics")
def test_no_series_tells_when_it_was_created(registry: CollectorRegistry) -> None:
    assert b"_created" not in generate_latest(registry)


@pytest.mark.usefixtures("metrics")
def test_build_info_names_the_versions(registry: CollectorRegistry) -> None:
    (labels,) = (
        dict(labels) for name, labels in _series(registry) if name == "otpc_policy_build_info"
    )
    assert set(labels) == {"version", "python", "grpcio", "sslyze"}
    assert all(labels.values())


def test_a_call_is_counted_with_its_status_and_time(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    counted = metrics.of_method(SERVICE, "CheckEndpoint")
    counted.call_started()
    counted.call_handled("NOT_FOUND", 0.0002)
    assert registry.get_sample_value("grpc_server_started_total", UNARY) == 1
    assert (
        registry.get_sample_value("grpc_server_handled_total", {**UNARY, "grpc_code": "NotFound"})
        == 1
    )
    assert (
        registry.get_sample_value("grpc_server_handling_seconds_bucket", {**UNARY, "le": "0.0001"})
        == 0
    )
    assert (
        registry.get_sample_value("grpc_server_handling_seconds_bucket", {**UNARY, "le": "0.00025"})
        == 1
    )


def test_a_verdict_is_counted_with_its_findings_and_age(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    findings = (
        _finding("TLS_NOT_SERVED", Effect.DENY),
        _finding("CERTIFICATE_EXPIRED", Effect.DENY),
    )
    metrics.decided(
        rpc="CheckEndpoint",
        decision=Decision.DENY,
        findings=findings,
        result_age_s=12.0,
        source="CACHE",
        seconds=0.002,
        observed=SOMEWHERE,
    )
    metrics.decided(
        rpc="ValidateCertificate",
        decision=Decision.ALLOW,
        findings=(),
        result_age_s=None,
        source="REQUEST",
        seconds=0.02,
        observed=SOMEWHERE,
    )
    took = "otpc_policy_decision_seconds_bucket"
    cached = {"rpc": "CheckEndpoint", "source": "CACHE"}
    assert registry.get_sample_value(took, {**cached, "le": "0.001"}) == 0
    assert registry.get_sample_value(took, {**cached, "le": "0.0025"}) == 1
    in_hand = {"rpc": "ValidateCertificate", "source": "REQUEST", "le": "+Inf"}
    assert registry.get_sample_value(took, in_hand) == 1
    assert (
        registry.get_sample_value(
            "otpc_policy_decisions_total", {"rpc": "CheckEndpoint", "decision": "DENY"}
        )
        == 1
    )
    assert (
        registry.get_sample_value(
            "otpc_policy_decisions_total", {"rpc": "ValidateCertificate", "decision": "ALLOW"}
        )
        == 1
    )
    assert (
        registry.get_sample_value(
            "otpc_policy_findings_total", {"code": "CERTIFICATE_EXPIRED", "effect": "DENY"}
        )
        == 1
    )
    assert registry.get_sample_value("otpc_policy_result_age_seconds_count") == 1


class _Engines:
    queued, workers_alive, engines_wanted, engines_up = 3, 2, 4, 3


def test_measuring_is_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.cache_request("miss")
    metrics.flight("began")
    metrics.leaf_reported("seen")
    metrics.scan_finished(outcome="complete", seconds=0.3)
    metrics.watch_perspective("eu-west", _Engines())
    metrics.watch_tasks(lambda: 7, lambda: 5)
    metrics.engine_ended()
    metrics.loop_lagged(0.2)
    assert (
        registry.get_sample_value(
            "otpc_policy_cache_requests_total", {"tier": "memory", "result": "miss"}
        )
        == 1
    )
    assert registry.get_sample_value("otpc_policy_flights_total", {"result": "began"}) == 1
    assert registry.get_sample_value("otpc_policy_leaf_reports_total", {"result": "seen"}) == 1
    assert registry.get_sample_value("otpc_policy_scans_total", {"outcome": "complete"}) == 1
    assert registry.get_sample_value("otpc_policy_scan_seconds_sum") == 0.3
    here = {"perspective": "eu-west"}
    assert registry.get_sample_value("otpc_policy_scan_queue_length", here) == 3
    assert registry.get_sample_value("otpc_policy_scan_workers", here) == 2
    assert registry.get_sample_value("otpc_policy_engines", here) == 4
    assert registry.get_sample_value("otpc_policy_engines_up", here) == 3
    assert registry.get_sample_value("otpc_policy_engine_restarts_total") == 1
    assert registry.get_sample_value("otpc_policy_event_loop_lag_seconds_sum") == 0.2
    for program, tasks in {"front": 7, "engines": 5}.items():
        labels = {"program": program}
        assert registry.get_sample_value("otpc_policy_event_loop_tasks", labels) == tasks


def test_a_failed_reload_keeps_the_time_of_the_last_good_one(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    metrics.config_loaded(True, at)
    metrics.config_loaded(False, datetime(2026, 1, 3, tzinfo=UTC))
    assert registry.get_sample_value("otpc_policy_config_last_reload_successful") == 0
    assert (
        registry.get_sample_value("otpc_policy_config_last_reload_success_timestamp_seconds")
        == at.timestamp()
    )


def test_reloads_are_counted_by_result(metrics: Metrics, registry: CollectorRegistry) -> None:
    for result in ("success", "failure", "failure"):
        metrics.config_reload(result)
    counts = [
        registry.get_sample_value("otpc_policy_config_reloads_total", {"result": result})
        for result in ("success", "failure")
    ]
    assert counts == [1, 2]


def test_what_ends_is_read_when_it_is_scraped(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    left = {"pin": 5.0, "waiver": float("inf")}
    metrics.watch_partners(
        lambda: 3, {kind: partial(left.__getitem__, kind) for kind in left}, {"pin": lambda: 2}
    )
    assert registry.get_sample_value("otpc_policy_partners") == 3
    assert registry.get_sample_value(
        "otpc_policy_partner_next_end_seconds", {"kind": "waiver"}
    ) == float("inf")
    assert registry.get_sample_value("otpc_policy_partner_ended", {"kind": "pin"}) == 2
    left["pin"] = 4.0
    assert registry.get_sample_value("otpc_policy_partner_next_end_seconds", {"kind": "pin"}) == 4


def test_nothing_that_a_caller_sends_makes_a_new_series(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    before = _series(registry)
    for service, method in (("evil.Service", "x" * 50), (SERVICE, "CheckEndpoint")):
        metrics.of_method(service, method).call_started()
        metrics.of_method(service, method).call_handled("NOT_A_CODE", 1.0)
    metrics.decided(
        rpc="Evil",
        decision=Decision.ALLOW,
        findings=(_finding("UNHEARD_OF", Effect.ADVISORY),),
        result_age_s=0.0,
        source="EVIL",
        seconds=0.0,
        observed=SOMEWHERE,
    )
    metrics.cache_request("evil")
    metrics.cache_request("hit", tier="evil")
    metrics.flight("evil")
    metrics.scan_finished(outcome="evil", seconds=0.0)
    metrics.config_reload("evil")
    assert _series(registry) == before
    other = {"grpc_type": "unary", "grpc_service": OTHER, "grpc_method": OTHER}
    assert registry.get_sample_value("grpc_server_started_total", other) == 1
    assert (
        registry.get_sample_value("grpc_server_handled_total", {**other, "grpc_code": "Unknown"})
        == 1
    )
    assert (
        registry.get_sample_value(
            "otpc_policy_findings_total", {"code": OTHER, "effect": "ADVISORY"}
        )
        == 1
    )


@pytest.mark.usefixtures("metrics")
def test_promtool_finds_nothing_to_complain_about(registry: CollectorRegistry) -> None:
    checked = subprocess.run(
        [require("promtool"), "check", "metrics"],
        input=generate_latest(registry),
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_contradictions_are_counted_by_what_they_are_about(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    for subject in ("version", "cipher_suite", "cipher_suite", "partner.test"):
        metrics.contradicted(subject)
    counted = {
        subject: registry.get_sample_value(
            "otpc_policy_deep_contradictions_total", {"subject": subject}
        )
        for subject in ("version", "cipher_suite", OTHER)
    }
    assert counted == {"version": 1, "cipher_suite": 2, OTHER: 1}


def test_look_ups_in_dns_are_counted_by_what_came_of_them(
    metrics: Metrics,
    registry: CollectorRegistry,
) -> None:
    for result in ("answered", "nxdomain", "nxdomain", "partner.test"):
        metrics.dns_looked_up(result)
    metrics.dns_fell_back()
    metrics.watch_dns(lambda: 6)
    sample, look_ups = registry.get_sample_value, "otpc_policy_dns_lookups_total"
    counted = {one: sample(look_ups, {"result": one}) for one in (*DNS_RESULTS, OTHER)}
    expected = {"answered": 1, "nxdomain": 2, OTHER: 1}
    assert counted == dict.fromkeys((*DNS_RESULTS, OTHER), 0) | expected
    assert registry.get_sample_value("otpc_policy_dns_stale_resolutions_total") == 1
    assert registry.get_sample_value("otpc_policy_dns_questions_outstanding") == 6


def test_every_reason_why_a_name_does_not_resolve_has_its_own_series() -> None:
    reasons = {
        reason.name.lower() for reason in ResolutionFailure if reason is not ResolutionFailure.NONE
    }
    assert {"answered", "overloaded", *reasons} == set(DNS_RESULTS)
