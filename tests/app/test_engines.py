"""The engines of the service, from its settings."""

from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from otpc_policy.app import engine_extra
from otpc_policy.app.application import build_application
from otpc_policy.app.engines import engine_share, engines_from, number_of_engines
from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.metrics import Metrics
from otpc_policy.ops.own_listeners import OwnListeners
from otpc_policy.policy.required_suites import required_suites


@pytest.mark.parametrize(
    ("engines", "cores", "count"),
    [("auto", 0.5, 1), ("auto", 1.9, 1), ("auto", 2, 2), ("auto", 64, 4), (3, 1, 3), (1, 64, 1)],
)
def test_auto_is_an_engine_for_each_core_of_the_quota_one_to_four(
    engines: Any, cores: float, count: int
) -> None:
    assert number_of_engines(Settings(engines=engines), lambda: cores) == count


@pytest.mark.parametrize(
    ("workers", "engines", "share"), [(2, 1, 2), (2, 2, 1), (1, 4, 1), (5, 2, 3)]
)
def test_engines_share_the_limits_of_the_service(workers: int, engines: int, share: int) -> None:
    part = engine_part(Settings(scan={"workers": workers, "concurrent_scans": 33}))
    scan = engine_share(part, engines)["scan"]
    assert scan["workers"] == share
    assert scan["concurrent_scans"] == -(-33 // engines)
    assert scan["connections_per_address"] == part["scan"]["connections_per_address"]
    assert part["scan"]["workers"] == workers


async def test_no_engine_is_started_before_the_service_is() -> None:
    application = build_application(Settings())
    engines = application.default_engines
    assert (engines.workers_alive, engines.queued) == (0, 0)
    await application.close()


async def test_engines_elsewhere_need_files_that_can_be_read() -> None:
    settings = Settings(
        engine_addresses=["engines.test:1"],
        engine_certificate_file="/missing/front.crt",
        engine_key_file="/missing/front.key",
        engine_ca_file="/missing/ca.crt",
    )
    with pytest.raises(ConfigurationError, match=r"engine_ca_file: /missing/ca\.crt"):
        await build_application(settings).default_engines.start()


@pytest.mark.parametrize("package", ["sslyze", "nassl", "aiodns", "pqcrypto", "brotli"])
async def test_a_service_without_the_engine_fails_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(engine_extra, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(
        ConfigurationError, match=rf"{package} missing.*\[engine\].*engine_addresses"
    ):
        await build_application(Settings()).default_engines.start()


def test_the_suites_to_prove_are_those_that_some_policy_requires() -> None:
    policies = build_application(Settings()).reloader.current.policies
    required = required_suites(policies.policies.values())
    assert (0xC023, 0xC027, 0xC02B, 0xC02F, 0xCCA8, 0xCCA9) in required
    assert required == tuple(sorted(set(required)))


def test_a_policy_that_switches_the_rule_off_requires_none() -> None:
    assert required_suites(()) == ()


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return 0.0


async def test_policies_are_asked_for_their_suites_once_for_each_generation() -> None:
    policies = build_application(Settings()).reloader.current.policies
    metrics = Metrics(CollectorRegistry(), finding_codes=(), rpc_methods=())
    (pool,) = engines_from(
        Settings(),
        _Clock(),
        policies=lambda: policies,
        partners=lambda: 0,
        observer=metrics,
        own_listeners=OwnListeners(),
    ).values()
    suites = pool._required_suites
    assert not pool._asks_groups()
    assert suites() is suites()
