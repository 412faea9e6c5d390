"""The service from settings: names agree, and all problems are reported at once."""

import asyncio
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.app.application import build_application, kept_answers, lifetimes
from otpc_policy.app.settings import ScanSettings, Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine.configuration import configuration_from
from otpc_policy.engine.limits import ScanLimits
from tests.support.dns_server import Name, Says, always, dns_server


def test_the_scan_settings_are_the_scan_limits() -> None:
    assert ScanSettings().model_dump() == asdict(ScanLimits())
    settings = Settings(scan={"workers": 5, "queue_limit": 7})
    assert configuration_from(engine_part(settings)).scan == ScanLimits(workers=5, queue_limit=7)


def test_lifetimes_are_those_of_the_settings() -> None:
    chosen = lifetimes(Settings(lifetimes={"allow_s": 7, "deny_s": 8, "unknown_s": 9}).lifetimes)
    assert (chosen.allow, chosen.deny, chosen.unknown) == (
        timedelta(seconds=7),
        timedelta(seconds=8),
        timedelta(seconds=9),
    )


@pytest.mark.parametrize(("measurements", "answers"), [(20, 80), (20_000, 4_096)])
def test_answers_are_kept_for_what_the_cache_holds(measurements: int, answers: int) -> None:
    assert kept_answers(Settings(cache_entries=measurements)) == answers


async def test_a_service_is_built_from_embedded_defaults_without_starting_anything() -> None:
    application = build_application(Settings())
    assert application.reloader.current.policies.get("").name == "otpc-2024-12"
    assert {"otpc-2024-12", "otpc-2024-12-strict"} <= set(
        application.reloader.current.policies.policies
    )
    assert application.default_engines.workers_alive == 0
    assert application.registry.get_sample_value("otpc_policy_config_last_reload_successful") == 1
    assert application.registry.get_sample_value("process_resident_memory_bytes")


async def test_the_default_policy_is_that_of_the_settings() -> None:
    assert (
        build_application(Settings(default_policy="otpc-2024-12-strict"))
        .reloader.current.policies.get("")
        .name
        == "otpc-2024-12-strict"
    )


@pytest.mark.parametrize(
    ("settings", "minimum"),
    [
        ({}, "otpc-2024-12"),
        ({"default_policy": "otpc-2024-12-strict"}, "otpc-2024-12-strict"),
        ({"minimum_policy": "mozilla-modern"}, "mozilla-modern"),
        ({"dangerously_without_minimum_policy": True}, None),
    ],
)
async def test_the_minimum_is_the_default_policy_unless_another_or_none_is_demanded(
    settings: dict[str, Any], minimum: str | None
) -> None:
    policies = build_application(Settings(**settings)).reloader.current.policies
    assert (policies.minimum.name if policies.minimum else None) == minimum


async def test_a_minimum_policy_that_does_not_exist_is_refused() -> None:
    for word in ("none", "off"):
        with pytest.raises(
            ConfigurationError, match=f"^minimum_policy: no policy is named '{word}'; expected"
        ):
            build_application(Settings(minimum_policy=word))
    with pytest.raises(ConfigurationError, match="contradicts minimum_policy"):
        Settings(minimum_policy="otpc-2024-12", dangerously_without_minimum_policy=True)


async def test_another_minimum_is_another_configuration() -> None:
    chosen: list[dict[str, Any]] = [
        {},
        {"minimum_policy": "otpc-2024-12-strict"},
        {"dangerously_without_minimum_policy": True},
    ]
    revisions = {build_application(Settings(**each)).reloader.current.revision for each in chosen}
    assert len(revisions) == len(chosen)


async def test_names_are_asked_for_as_the_settings_say_and_counted() -> None:
    table = {"a.test": Name(a=("127.0.0.1",)), "b.test": always(Says.SILENCE)}
    async with dns_server(table) as server:
        application = build_application(
            Settings(
                dns_servers=[server.address],
                dns_timeout_s=0.3,
                allow_networks=["127.0.0.0/8"],
                static_hosts={"c.test": "127.0.0.3"},
            )
        )
        names = ("a.test", "b.test", "c.test")
        await application.default_engines.start()
        found = [await application.default_engines.resolve(name) for name in names]
        assert [[address.text for address in resolution.addresses] for resolution in found] == [
            ["127.0.0.1"],
            [],
            ["127.0.0.3"],
        ]
        sample, look_ups = application.registry.get_sample_value, "otpc_policy_dns_lookups_total"
        for result in ("answered", "timeout"):
            assert sample(look_ups, {"result": result}) == 1
        await application.close()
        assert application.registry.get_sample_value("otpc_policy_dns_questions_outstanding") == 0


async def test_problems_of_policies_and_trust_are_reported_together(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("nonsense = 1\n", encoding="utf-8")
    settings = Settings(
        policy_files=[tmp_path / "missing.toml", broken],
        trust=[{"hosts": "a.test", "anchor_file": str(tmp_path / "missing.pem")}],
    )
    with pytest.raises(ConfigurationError) as raised:
        build_application(settings)
    problems = raised.value.problems
    assert any(
        problem.startswith(f"{tmp_path / 'missing.toml'}: No such file") for problem in problems
    )
    assert any(problem.startswith(str(broken)) for problem in problems)
    assert any(problem.startswith("trust.0.anchor_file: ") for problem in problems)


async def test_a_report_only_policy_is_never_the_default(tmp_path: Path) -> None:
    trial = tmp_path / "trial.toml"
    trial.write_text(
        'name = "trial"\nextends = "otpc-2024-12"\nenforcing = false\n', encoding="utf-8"
    )
    with pytest.raises(ConfigurationError, match="'trial' is report-only"):
        build_application(Settings(policy_files=[trial], default_policy="trial"))
    assert (
        not build_application(Settings(policy_files=[trial]))
        .reloader.current.policies.get("trial")
        .enforcing
    )


async def test_a_default_policy_that_does_not_exist_is_refused_and_the_names_are_listed() -> None:
    with pytest.raises(
        ConfigurationError,
        match="no policy is named 'otpc'; expected one of bsi-tr-02102-2, mozilla-intermediate, "
        "mozilla-modern, nist-800-52r2, otpc-2024-12, otpc-2024-12-strict",
    ):
        build_application(Settings(default_policy="otpc"))


async def test_each_perspective_has_engines_and_measurements_of_its_own_the_default_first() -> None:
    settings = Settings(
        perspective="eu-west",
        perspectives={"us-east": {"engine_addresses": ["unix:/nowhere/us"]}},
        default_perspective="us-east",
        watch={"endpoints": ["partner.example:443"], "perspective": "eu-west"},
        cache_entries=7,
    )
    application = build_application(settings, is_replica=True)
    assert list(application.engines) == list(application.pools) == ["us-east", "eu-west"]
    assert application.default_engines is application.engines["us-east"]
    here, there = application.measurements["eu-west"], application.measurements["us-east"]
    assert (here.perspective, there.perspective) == ("eu-west", "us-east")
    assert here._store is there._store is application.store
    assert here._callers is there._callers
    assert application.watching is not None
    assert application.watching._list._perspective == "eu-west"
    watched = application.watching.table.describe("partner.example:443")
    assert watched is not None
    assert watched.perspective == "eu-west"
    for place in application.engines:
        labels = {"perspective": place}
        assert application.registry.get_sample_value("otpc_policy_engines_up", labels) == 0
    await application.close()


async def test_static_hosts_are_those_of_the_own_perspective() -> None:
    settings = Settings(
        perspectives={"us-east": {"engine_addresses": ["unix:/nowhere/us"]}},
        static_hosts={"partner.example": "127.0.0.1"},
        allow_networks=["127.0.0.0/8"],
    )
    application = build_application(settings)
    found = await application.engines["default"].resolve("partner.example")
    assert [each.text for each in found.addresses] == ["127.0.0.1"]
    far = application.pools["us-east"]._resolutions._known_host
    assert far("partner.example") is None, "whoever is there knows what it means there"
    literal = far("127.0.0.2")
    assert literal is not None
    assert [each.text for each in literal.addresses] == ["127.0.0.2"]
    await application.close()


class _Starting:
    """Engines that wait for others to start, or fail to."""

    def __init__(self, gate: asyncio.Event, error: Exception | None = None) -> None:
        self._gate, self._error = gate, error
        self.began = self.is_up = False

    async def start(self) -> None:
        self.began = True
        if self._error is not None:
            raise self._error
        await self._gate.wait()
        self.is_up = True

    async def stop(self) -> None:
        self.is_up = False


async def test_perspectives_start_together_and_none_is_left_where_one_cannot() -> None:
    gate = asyncio.Event()
    slow, other = _Starting(gate), _Starting(gate)
    application = build_application(Settings())
    both: Any = {"eu-west": slow, "us-east": other}
    starting = asyncio.create_task(replace(application, engines=both)._start_engines())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (slow.began, other.began) == (True, True)
    gate.set()
    await starting
    assert (slow.is_up, other.is_up) == (True, True)
    refused = ConfigurationError(["engine_ca_file: no such file"])
    failing: Any = {"eu-west": _Starting(asyncio.Event()), "us-east": _Starting(gate, refused)}
    with pytest.raises(ConfigurationError, match="engine_ca_file"):
        await replace(application, engines=failing)._start_engines()
    assert not failing["eu-west"].is_up
    await application.close()
