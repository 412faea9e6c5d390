"""The settings of the watch list: what is refused, and what a start makes of them."""

from pathlib import Path
from typing import Any

import pytest

from otpc_policy.app.application import build_application
from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.without_effect import without_effect
from otpc_policy.core.errors import ConfigurationError
from tests.catalog.writing import entry


@pytest.mark.parametrize(
    ("watch", "problem"),
    [
        ({"endpoints": ["partner.example"]}, "'partner.example' must be host:port, such as"),
        ({"endpoints": ["partner.example:https"]}, "must be host:port"),
        ({"endpoints": ["partner.example:0"]}, "0 is not a TCP port"),
        ({"endpoints": ["partner.example:65536"]}, "65536 is not a TCP port"),
        ({"endpoints": ["*.partner.example:443"]}, "a wildcard cannot be watched"),
        ({"endpoints": ["2001:db8::1:443"]}, "an IPv6 address stands in brackets"),
        ({"endpoints": ["a b:443"]}, "the host "),
        ({"rate_per_s": 0}, "rate_per_s"),
        ({"rate_per_s": 101}, "rate_per_s"),
        ({"rate_per_s": "nan"}, "rate_per_s"),
        ({"concurrent": 0}, "concurrent"),
        ({"concurrent": 65}, "concurrent"),
        ({"partner": True}, "unknown"),
    ],
)
def test_what_cannot_be_watched_is_refused_by_name(watch: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings(watch=watch)
    assert any("watch" in each and problem in each for each in refused.value.problems)


def test_nothing_is_watched_by_default() -> None:
    assert not Settings().watch.is_on
    assert build_application(Settings(), is_replica=True).watching is None


async def test_a_service_watches_what_its_settings_and_its_partners_name(tmp_path: Path) -> None:
    (tmp_path / "bank.toml").write_text(entry("bank", "api.bank.example", "*.bank.example:8443"))
    settings = Settings(
        partners_dir=tmp_path,
        watch={"partners": True, "endpoints": ["Pay.Other.Example.:8443", "[2001:DB8::1]:443"]},
    )
    application = build_application(settings, is_replica=True)
    assert application.watching is not None
    assert list(application.watching.table.names()) == [
        "[2001:db8::1]:443",
        "api.bank.example:443",
        "pay.other.example:8443",
    ]
    value = application.registry.get_sample_value
    series = {"partner": "bank", "decision": "INDETERMINATE"}
    assert value("otpc_policy_watched_endpoints", series) == 1
    assert value("otpc_policy_watch_checks_total", {"result": "allow"}) == 0


def test_the_command_line_s_own_checks_watch_nothing() -> None:
    settings = Settings(watch={"endpoints": ["partner.example:443"]})
    assert build_application(settings).watching is None


def test_partners_without_a_folder_are_watched_in_vain() -> None:
    assert ("watch.partners", "there is no partners_dir, so no partner is known") in list(
        without_effect(Settings(watch={"partners": True}))
    )
