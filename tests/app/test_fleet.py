"""The settings of a fleet: what is refused, and what a start says of it."""

from pathlib import Path
from typing import Any

import pytest

from otpc_policy.app import fleet as app_fleet
from otpc_policy.app.application import build_application
from otpc_policy.app.settings import Settings
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.store.memory import MemoryFactsStore
from otpc_policy.store.tiered import TieredFactsStore


def settings_of(folder: Path, **fleet: Any) -> Settings:
    key = folder / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    return Settings(fleet={"url": "redis://127.0.0.1:1", "key_file": key, **fleet})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"url": "http://127.0.0.1"}, "must be redis://host:port"),
        ({"url": "redis://127.0.0.1:x"}, "must be redis://host:port"),
        ({"url": "redis://127.0.0.1/zero"}, "must be redis://host:port"),
        ({"url": "redis://127.0.0.1?db=1"}, "must be redis://host:port"),
        ({"url": "redis://me:secret@127.0.0.1"}, "must hold no password"),
        ({"url": "redis://valkey.internal:6379"}, "plain text to another machine"),
        ({"url": ""}, "go together"),
        ({"key_file": None}, "go together"),
        ({"prefix": "{otpc}"}, "1 to 64 letters"),
        ({"prefix": ""}, "1 to 64 letters"),
        ({"user": "otpc"}, "password_file: is required"),
        ({"secret": 1}, "unknown key"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected) as raised:
        settings_of(tmp_path, **changed)
    assert "secret@" not in str(raised.value)


@pytest.mark.parametrize("url", ["redis://[::1]", "rediss://valkey.internal:6380/3"])
def test_stores_that_can_be_named(tmp_path: Path, url: str) -> None:
    assert settings_of(tmp_path, url=url).fleet.url == url


def test_the_command_line_s_own_checks_share_nothing(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    alone = build_application(settings)
    replica = build_application(settings, is_replica=True)
    assert (alone.fleet, replica.fleet is None) == (None, False)
    assert isinstance(alone.checks._measurements._store, MemoryFactsStore)
    assert isinstance(replica.checks._measurements._store, TieredFactsStore)


def test_without_the_extra_a_start_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_fleet, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'otpc-policy\[fleet\]'"):
        build_application(settings_of(tmp_path), is_replica=True)


def test_files_that_cannot_be_used_end_the_start(tmp_path: Path) -> None:
    no_ca = tmp_path / "ca.pem"
    no_ca.write_text("no certificate")
    empty = tmp_path / "password"
    empty.write_text("\n")
    empty.chmod(0o600)
    for changed, expected in (
        ({"key_file": tmp_path / "none"}, "fleet.key_file"),
        ({"user": "u", "password_file": tmp_path / "none"}, "fleet.password_file"),
        ({"user": "u", "password_file": empty}, "is empty"),
        ({"ca_file": tmp_path / "none"}, "fleet.ca_file"),
        ({"url": "rediss://valkey.internal", "ca_file": no_ca}, "fleet.ca_file"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            build_application(settings_of(tmp_path, **changed), is_replica=True)


def test_replicas_that_would_measure_otherwise_do_not_share(tmp_path: Path) -> None:
    described = {
        app_fleet._measured_as(each, "default")
        for each in (
            settings_of(tmp_path),
            settings_of(tmp_path, prefix="other"),
            Settings(client_profiles=["chrome"]),
            Settings(egress_proxy="http://127.0.0.1:3128"),
            Settings(scan={"deep_commands": ["heartbleed"]}),
        )
    }
    assert len(described) == 4


def test_engines_at_another_place_measure_by_settings_of_their_own() -> None:
    elsewhere = {"us-east": {"engine_addresses": ["unix:/run/us.sock"]}}
    here = Settings(perspective="eu-west", perspectives=elsewhere, client_profiles=["chrome"])
    there = Settings(perspective="us-east", engine_addresses=["unix:/run/us.sock"])
    assert app_fleet._measured_as(here, "us-east") == app_fleet._measured_as(there, "us-east")
    assert app_fleet._measured_as(here, "us-east") != app_fleet._measured_as(here, "eu-west")


CLUSTER = {"mode": "cluster", "url": ""}
SENTINEL = {"mode": "sentinel", "url": "", "primary_name": "otpc"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"urls": ["redis://127.0.0.1:2"]}, "set one of both"),
        ({"mode": "cluster", "url": "", "key_file": None}, "set url or urls"),
        ({"mode": "sharded"}, "'single', 'cluster' or 'sentinel'"),
        ({"url": "", "urls": ["redis://127.0.0.1:1", "redis://127.0.0.1:2"]}, "set one url"),
        (CLUSTER | {"urls": ["redis://127.0.0.1:1", "rediss://127.0.0.1:2"]}, "all rediss://"),
        (CLUSTER | {"urls": ["redis://valkey.internal"]}, "plain text to another machine"),
        (CLUSTER | {"urls": ["redis://127.0.0.1/3"]}, "databases have no numbers"),
        (CLUSTER | {"urls": ["redis://127.0.0.1"], "primary_name": "x"}, "set both or neither"),
        (CLUSTER | {"urls": ["redis://me:secret@127.0.0.1"]}, "must hold no password"),
        (CLUSTER | {"urls": ["redis://127.0.0.1"] * 33}, "cannot be used"),
        (SENTINEL | {"primary_name": "", "urls": ["redis://127.0.0.1"]}, "set both or neither"),
        (SENTINEL | {"urls": ["redis://127.0.0.1"], "sentinel_user": "x"}, "because sentinel_user"),
    ],
)
def test_servers_that_do_not_go_with_the_mode_are_refused(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected) as raised:
        settings_of(tmp_path, **changed)
    assert "secret@" not in str(raised.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"mode": "cluster"},
        {"mode": "cluster", "url": "redis://127.0.0.1:1/0"},
        CLUSTER | {"urls": ["rediss://a.internal", "rediss://b.internal:7000"]},
        SENTINEL | {"urls": ["redis://127.0.0.1:26379", "redis://[::1]:26379"]},
        {"url": "", "urls": ["redis://127.0.0.1:1/5"]},
    ],
)
def test_stores_of_several_servers_can_be_named(tmp_path: Path, changed: dict[str, Any]) -> None:
    application = build_application(settings_of(tmp_path, **changed), is_replica=True)
    assert application.fleet is not None


def test_a_list_of_servers_can_be_written_in_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTPC_POLICY_FLEET__URLS", "rediss://a.internal:1, rediss://b.internal:1")
    settings = settings_of(tmp_path, url="", mode="cluster")
    assert settings.fleet.servers == ("rediss://a.internal:1", "rediss://b.internal:1")


@pytest.mark.parametrize(
    ("changed", "host", "expected"),
    [
        ({}, "10.0.0.1", False),
        ({}, "::1", True),
        ({}, "127.0.0.9", True),
        ({"dangerously_use_store_without_tls": True}, "10.0.0.1", True),
        ({"url": "rediss://valkey.internal"}, "10.0.0.1", True),
    ],
)
def test_where_a_cluster_may_lead(
    tmp_path: Path, changed: dict[str, Any], host: str, expected: bool
) -> None:
    chosen = settings_of(tmp_path, mode="cluster", **changed).fleet
    assert app_fleet._is_permitted(chosen, host) is expected
