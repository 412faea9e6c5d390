"""Settings: precedence, strictness, places of problems, and the example file."""

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from otpc_policy.app.settings import (
    AddressFamilies,
    LogFormat,
    Settings,
    describe_settings,
    is_loopback,
    split_address,
)
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.app.settings.without_effect import without_effect
from otpc_policy.app.tracing import tracing_from
from otpc_policy.catalog.schemas.trust import TrustTable
from otpc_policy.core.client_names import CLIENT_NAMES
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import DeepCommand
from otpc_policy.engine.configuration import configuration_from
from tests.app import settings_page

EXAMPLE = Path(__file__).parents[2] / "deploy" / "otpc-policy.example.toml"
DIGEST = "0123456789abcdef" * 4


def _problems(**arguments: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        Settings(**arguments)
    return raised.value.problems


def _file(folder: Path, text: str) -> Path:
    path = folder / "service.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in tuple(os.environ):
        if variable.startswith("OTPC_POLICY_"):
            monkeypatch.delenv(variable)


def test_embedded_defaults_listen_on_loopback_only() -> None:
    settings = Settings()
    assert (settings.listen, settings.ops_listen) == ("127.0.0.1:50051", "127.0.0.1:9464")
    assert settings.allow_networks == ()
    assert settings.scan.workers == 2


def test_precedence_is_argument_then_environment_then_file_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(
        tmp_path,
        'drain_grace_s = 1\ndns_timeout_s = 1\ncache_entries = 1\nlog_format = "console"\n'
        "[scan]\nworkers = 5\nqueue_limit = 6\n",
    )
    monkeypatch.setenv("OTPC_POLICY_DRAIN_GRACE_S", "2")
    monkeypatch.setenv("OTPC_POLICY_DNS_TIMEOUT_S", "2")
    monkeypatch.setenv("OTPC_POLICY_SCAN__WORKERS", "7")
    settings = Settings(config=path, drain_grace_s=3)
    assert (settings.drain_grace_s, settings.dns_timeout_s, settings.cache_entries) == (3, 2, 1)
    assert (settings.scan.workers, settings.scan.queue_limit) == (7, 6)
    assert settings.log_format is LogFormat.CONSOLE
    assert settings.deadline_reserve_s == 0.075


def test_the_file_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTPC_POLICY_CONFIG", str(_file(tmp_path, 'address_families = "ipv4"')))
    assert Settings().address_families is AddressFamilies.IPV4


def test_every_problem_is_reported_at_once_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(
        tmp_path,
        'listen = "0.0.0.0:1"\nbogus = 3\n[static_hosts]\n"b.test" = ["x"]\n'
        "[scan]\nworkers = 0\ntypo = 1\n"
        '[[trust]]\nhosts = ["a b"]\ncertificate_sha256 = "AA:BB"\n[[trust]]\n',
    )
    monkeypatch.setenv("OTPC_POLICY_SCAN__QUEUE_LIMIT", "many")
    monkeypatch.setenv("OTPC_POLICY_NOPE", "1")
    monkeypatch.setenv("OTPC_POLICY_LISTNE", "1")
    monkeypatch.setenv("OTPC_POLICY_NOPE__NEVER", "1")
    monkeypatch.setenv("OTPC_POLICY_ALLOW_NETWORKS", "10.0.0.0/8, 10.0.0.1/8")
    problems = _problems(config=path, cache_bytes=1)
    expected = {
        f"{path}:1: listen: 0.0.0.0:1 can be reached from other machines, so it needs TLS",
        f"{path}:2: bogus: unknown setting; otpc-policy serve --show-settings lists them",
        f"{path}:4: static_hosts.b.test.0: 'x' is not an IP address",
        f"{path}:6: scan.workers: must be at least 1",
        f"{path}:7: scan.typo: unknown key; expected one of workers, connections_per_address, ",
        f"{path}:9: trust.0.hosts.0: must be a bare host",
        f"{path}:10: trust.0.certificate_sha256.0: must be a SHA-256",
        f"{path}:11: trust.1.hosts: is missing",
        "OTPC_POLICY_SCAN__QUEUE_LIMIT: must be a whole number",
        "OTPC_POLICY_NOPE: unknown setting",
        "OTPC_POLICY_NOPE__NEVER: unknown setting",
        "OTPC_POLICY_ALLOW_NETWORKS: 1: must be a network such as 10.0.0.0/8: ",
        "OTPC_POLICY_LISTNE: unknown setting; did you mean listen?",
        "cache_bytes: must be at least 1048576",
    }
    found = {start for start in expected if any(problem.startswith(start) for problem in problems)}
    assert (found, len(problems)) == (expected, len(expected)), problems


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_before_the_file_is_accepted(tmp_path: Path, mark: str) -> None:
    """Windows editors write it."""
    path = _file(tmp_path, f'{mark}log_format = "console"\r\nnope = 1\r\n')
    (problem,) = _problems(config=path)
    assert problem.startswith(f"{path}:2: nope: unknown setting")
    settings = Settings(config=_file(tmp_path, f'{mark}log_format = "console"'))
    assert settings.log_format is LogFormat.CONSOLE


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ("2027-01-01", "; 2027-01-01 has no time"),
        ("2027-01-01T00:00:00", "; 2027-01-01T00:00:00 has no zone"),
        ("12:00:00", "; 12:00:00 has no date"),
        ("1893456000", ""),
        ('"tomorrow"', ""),
        ("2027-01-01T00:00:00Z", None),
        ('"2027-01-01T00:00:00Z"', None),
    ],
)
def test_the_end_of_trust_is_an_instant(tmp_path: Path, ends: str, says: str | None) -> None:
    table = f'[[trust]]\nhosts = "a.test"\nspki_sha256 = "{DIGEST}"\nends = {ends}\n'
    path = _file(tmp_path, table)
    if says is None:
        assert Settings(config=path).trust[0].ends == datetime(2027, 1, 1, tzinfo=UTC)
    else:
        instant = "must be a date and time with a zone, such as 2027-01-01T00:00:00Z"
        assert _problems(config=path) == (f"{path}:4: trust.0.ends: {instant}{says}",)


# Wording of a library or of Python, which no operator should have to read.
_FOREIGN = re.compile(
    r"Input should|Extra inputs|Field required|Value error"  # pydantic
    r"|datetime\.|<class|object at"  # Python
    r"|cannot be used",  # our last resort
)
_VALUES: list[object] = [
    *("", "x", "::1", 0, -1, 1 << 70, 1.5, float("nan"), True, None, b"x"),
    *([], ["x", 1], {}, {"x": 1}, date(2027, 1, 1)),
]
_KEYS = [setting.key for setting in describe_settings() if setting.key]


@pytest.mark.parametrize("key", [*_KEYS, "scan", "lifetimes", "trust.hosts"])
def test_no_problem_speaks_of_python(key: str) -> None:
    name, _, field = key.partition(".")
    for value in _VALUES:
        table: Any = {field: value} if field else value
        arguments: dict[str, Any] = {name: [table] if name == "trust" and field else table}
        assert not any(map(_FOREIGN.search, _problems_or_none(**arguments)))


def _problems_or_none(**arguments: Any) -> tuple[str, ...]:
    try:
        Settings(**arguments)
    except ConfigurationError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("listen", "needs_tls"),
    [
        ("127.0.0.1:1", False),
        ("127.9.9.9:1", False),
        ("[::1]:0", False),
        ("localhost:1", False),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("10.0.0.1:1", True),
        ("[::ffff:10.0.0.1]:1", True),
        ("policy.internal:1", True),
    ],
)
def test_listening_beyond_loopback_needs_tls_or_the_dangerous_switch(
    listen: str, needs_tls: bool
) -> None:
    if needs_tls:
        assert "needs TLS" in _problems(listen=listen)[0]
    else:
        assert Settings(listen=listen).listen == listen
    assert Settings(listen=listen, dangerously_listen_without_tls=True)
    assert is_loopback(listen) is not needs_tls


@pytest.mark.parametrize(
    ("listen", "needs_client_ca"), [("127.0.0.1:1", False), ("0.0.0.0:1", True), ("[::]:1", True)]
)
def test_tls_beyond_loopback_says_who_may_come_in_or_the_dangerous_switch(
    listen: str, needs_client_ca: bool
) -> None:
    tls: dict[str, Any] = {"tls_certificate_file": "a.pem", "tls_key_file": "a.key"}
    if needs_client_ca:
        assert (
            "set tls_client_ca_file, or dangerously_admit_anyone_over_tls"
            in _problems(listen=listen, **tls)[0]
        )
    else:
        assert Settings(listen=listen, **tls).listen == listen
    assert Settings(listen=listen, **tls, tls_client_ca_file="ca.pem")
    assert Settings(listen=listen, **tls, dangerously_admit_anyone_over_tls=True)


def test_roles_need_certificates_of_callers() -> None:
    assert "set tls_client_ca_file too" in _problems(roles_file="roles.toml")[0]
    tls = {"tls_certificate_file": "c", "tls_key_file": "k", "tls_client_ca_file": "a"}
    settings = Settings(**tls, roles_file="roles.toml", admin_service=True, listen="0.0.0.0:1")
    assert settings.roles_file == Path("roles.toml")


@pytest.mark.parametrize(
    "listen",
    [
        "50051",
        ":50051",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "::1:50051",
        "[127.0.0.1]:1",
        "a b:1",
        "127.0.0.1:-1",
    ],
)
def test_a_listen_address_is_a_host_and_a_port(listen: str) -> None:
    assert _problems(listen=listen)[0].startswith("listen: ")


def test_addresses_split_into_host_and_port() -> None:
    assert split_address("[::1]:50051") == ("::1", 50051)
    assert split_address("policy.internal:0") == ("policy.internal", 0)


def test_the_environment_writes_lists_with_commas_and_tables_as_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTPC_POLICY_ALLOW_NETWORKS", "127.0.0.0/8, ::1/128")
    monkeypatch.setenv(
        "OTPC_POLICY_STATIC_HOSTS", '{"A.test": "127.0.0.1", "b.test": ["127.0.0.2", "::1"]}'
    )
    monkeypatch.setenv(
        "OTPC_POLICY_TRUST", json.dumps([{"hosts": "*.a.test", "spki_sha256": DIGEST.upper()}])
    )
    monkeypatch.setenv("OTPC_POLICY_LISTEN", "[::1]:50051")
    settings = Settings()
    assert settings.allow_networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert settings.static_hosts == {"a.test": ("127.0.0.1",), "b.test": ("127.0.0.2", "::1")}
    assert settings.trust == (TrustTable(hosts=("*.a.test",), spki_sha256=(DIGEST,)),)
    assert settings.listen == "[::1]:50051"


def test_json_that_is_broken_is_a_problem_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTPC_POLICY_TRUST", "[{")
    assert _problems()[0].startswith("OTPC_POLICY_TRUST: ")


@pytest.mark.parametrize(
    "variable",
    [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_GRPC",
        "PORT",
        "PORT_50051_TCP",
        "PORT_50051_TCP_PROTO",
        "PORT_50051_TCP_PORT",
        "PORT_50051_TCP_ADDR",
    ],
)
def test_variables_that_kubernetes_sets_for_a_service_of_our_name_are_left_alone(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OTPC_POLICY_{variable}", "tcp://10.0.0.1:50051")
    assert Settings().listen == "127.0.0.1:50051"


def test_pins_are_read_with_colons_and_in_either_case() -> None:
    written = ":".join(DIGEST[i : i + 2] for i in range(0, 64, 2)).upper()
    assert TrustTable(hosts=("a.test",), certificate_sha256=(written,)).certificate_sha256 == (
        DIGEST,
    )


def test_hosts_of_trust_entries_become_canonical() -> None:
    assert TrustTable(hosts=("Bücher.Example", "*.Partner.test", "[::1]")).hosts == (
        "xn--bcher-kva.example",
        "*.partner.test",
        "::1",
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"tls_certificate_file": "a"}, "together"),
        ({"tls_key_file": "a"}, "together"),
        ({"tls_client_ca_file": "a"}, "over TLS"),
    ],
)
def test_half_a_tls_configuration_is_refused(arguments: dict[str, object], word: str) -> None:
    assert word in _problems(**arguments)[0]


def test_a_trust_entry_that_names_no_host_is_refused() -> None:
    assert _problems(trust=[{"hosts": [], "spki_sha256": DIGEST}])[0].startswith(
        "trust.0.hosts: is empty"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"admin_service": True}, ""),
        (
            {"admin_service": True, "listen": "[::]:50051", "dangerously_listen_without_tls": True},
            "name who may administer",
        ),
        (
            {"admin_service": True, "admin_callers": ["spiffe://example.com/admin"]},
            "set tls_client_ca_file too",
        ),
        (
            {
                "admin_service": True,
                "admin_callers": [" "],
                "tls_certificate_file": "c",
                "tls_key_file": "k",
                "tls_client_ca_file": "a",
            },
            "must not be blank",
        ),
        ({"admin_callers": ["*"]}, "means every caller"),
        ({"admin_callers": ["ops@example.com"]}, "not a DNS name"),
        ({"admin_callers": ["spiffe://Example.com/admin"]}, "not a SPIFFE id"),
        (
            {
                "admin_service": True,
                "admin_callers": ["a.test"],
                "tls_certificate_file": "c",
                "tls_key_file": "k",
                "tls_client_ca_file": "a",
            },
            "",
        ),
        ({"admin_callers": ["a.test"]}, ""),
    ],
)
def test_administration_is_for_this_machine_or_for_callers_with_names(
    arguments: dict[str, Any], says: str
) -> None:
    if not says:
        assert Settings(**arguments).admin_service is ("admin_service" in arguments)
        return
    with pytest.raises(ConfigurationError, match=says) as raised:
        Settings(**arguments)
    assert raised.value.problems[0].startswith("admin_callers")


def test_folders_in_the_file_are_relative_to_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('partners_dir = "partners"\npolicies_dir = "/policies"\n')
    settings = Settings(config=file)
    assert (settings.partners_dir, settings.policies_dir) == (
        tmp_path / "partners",
        Path("/policies"),
    )


def test_paths_in_the_file_are_relative_to_its_folder(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        'policy_files = ["p.toml", "/etc/q.toml"]\n'
        '[[trust]]\nhosts = "a.test"\nanchor_file = "ca.pem"\n',
    )
    settings = Settings(config=path)
    assert settings.policy_files == (tmp_path / "p.toml", Path("/etc/q.toml"))
    assert settings.trust[0].anchor_file == tmp_path / "ca.pem"


@pytest.mark.parametrize("content", [None, b"listen = ", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "service.toml"
    if content is not None:
        path.write_bytes(content)
    assert _problems(config=path)[0].startswith(f"{path}:")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().__setattr__("listen", "127.0.0.1:1")


def test_every_setting_is_described_and_names_its_variable() -> None:
    described = describe_settings()
    assert {"OTPC_POLICY_CONFIG", "OTPC_POLICY_SCAN__WORKERS", "OTPC_POLICY_LISTEN"} <= {
        setting.variable for setting in described
    }
    assert all(setting.description.endswith(".") for setting in described)
    assert next(setting.default for setting in described if setting.key == "scan.workers") == "2"


def test_the_page_of_settings_is_what_the_model_says() -> None:
    written = settings_page.PAGE.read_text(encoding="utf-8")
    assert written == settings_page.page(), "run python -m tests.app.settings_page"
    for setting in describe_settings():
        if setting.key:
            assert f"| `{setting.key.rpartition('.')[2]}` |" in written


@pytest.mark.parametrize(
    ("key", "bounds"),
    [
        ("scan.workers", ">= 1, <= 64"),
        ("scan.isolation", "prefer, require, off"),
        ("dns_ttl_s", ">= 0, <= 60"),
        ("crl.refresh_s", ">= 60, <= 2,592,000"),
        ("lifetimes.allow_s", "> 0, <= 2,592,000"),
        ("listen", ""),
    ],
)
def test_bounds_are_described(key: str, bounds: str) -> None:
    assert [each.bounds for each in describe_settings() if each.key == key] == [bounds]


def test_the_example_file_holds_the_defaults() -> None:
    assert Settings(config=EXAMPLE).model_dump() == Settings().model_dump()


def test_the_example_file_names_every_setting_and_all_it_names_is_valid(tmp_path: Path) -> None:
    full = re.sub(r"^#(?=[a-z\[\"])", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    tree = tomllib.loads(full)
    assert Settings(config=_file(tmp_path, full)).trust[0].note

    def named(table: dict[str, object], above: str = "") -> Iterator[str]:
        for key, value in table.items():
            yield above + key
            if isinstance(value, dict):
                yield from named(value, f"{above}{key}.")

    assert {setting.key for setting in describe_settings() if setting.key} <= set(named(tree))
    assert set(TrustTable.model_fields) == set(tree["trust"][0])


def test_at_most_eight_recorded_clients_stand_for_routers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().client_profiles == ()
    assert Settings(client_profiles=["go", "curl", "go"]).client_profiles == ("go", "curl")
    eight, ninth = CLIENT_NAMES[:8], CLIENT_NAMES[8]
    assert Settings(client_profiles=(*eight, eight[0])).client_profiles == eight
    expected = f"expected at most 8 of {', '.join(CLIENT_NAMES)}"
    for names, problem in (
        ((*eight, ninth), "names 9 clients"),
        (("netscape",), "'netscape' is not a recorded client"),
        (("go-tls10",), "'go-tls10' is not a recorded client"),
        (("",), "'' is not a recorded client"),
    ):
        assert _problems(client_profiles=names) == (f"client_profiles: {problem}; {expected}",)
    monkeypatch.setenv("OTPC_POLICY_CLIENT_PROFILES", "go, java-17")
    assert Settings().client_profiles == ("go", "java-17")
    monkeypatch.setenv("OTPC_POLICY_CLIENT_PROFILES", "go, java-18")
    (refused,) = _problems()
    problem = "'java-18' is not a recorded client"
    assert refused == f"OTPC_POLICY_CLIENT_PROFILES: {problem}; {expected}"


def test_the_commands_of_a_deep_measurement_are_named_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().scan.deep_commands == tuple(DeepCommand)
    chosen = (DeepCommand.ROBOT, DeepCommand.HEARTBLEED)
    assert (
        Settings(
            config=_file(tmp_path, '[scan]\ndeep_commands = ["robot", "heartbleed"]')
        ).scan.deep_commands
        == chosen
    )
    monkeypatch.setenv("OTPC_POLICY_SCAN__DEEP_COMMANDS", "robot, heartbleed")
    assert Settings().scan.deep_commands == chosen
    monkeypatch.setenv("OTPC_POLICY_SCAN__DEEP_COMMANDS", "robot,http_headers")
    (problem,) = _problems()
    assert problem.startswith("OTPC_POLICY_SCAN__DEEP_COMMANDS: ")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("192.0.2.53", "192.0.2.53:53"),
        ("192.0.2.53:5353", "192.0.2.53:5353"),
        ("2001:DB8::53", "[2001:db8::53]:53"),
        ("[2001:db8::53]", "[2001:db8::53]:53"),
        (" [2001:db8::53]:5353 ", "[2001:db8::53]:5353"),
    ],
)
def test_a_name_server_is_an_address_with_or_without_a_port(written: str, asked: str) -> None:
    assert Settings(dns_servers=[written]).dns_servers == (asked,)


@pytest.mark.parametrize(
    "written",
    ["ns.example", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:dns", "", "[::1"],
)
def test_a_name_server_is_never_a_name(written: str) -> None:
    assert _problems(dns_servers=[written])[0].startswith("dns_servers.0: ")


def test_name_servers_are_listed_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTPC_POLICY_DNS_SERVERS", "192.0.2.53, [::1]:5353")
    assert Settings().dns_servers == ("192.0.2.53:53", "[::1]:5353")


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("unix:/run/engine.sock", "unix:/run/engine.sock"),
        ("Engines.Internal:50061", "engines.internal:50061"),
        ("dns:///engines.internal:50061", "dns:///engines.internal:50061"),
        ("[::1]:1", "[::1]:1"),
    ],
)
def test_engines_elsewhere_are_a_socket_an_address_or_a_name(address: str, canonical: str) -> None:
    assert Settings(
        engine_addresses=[address], dangerously_use_engines_without_tls=True
    ).engine_addresses == (canonical,)


@pytest.mark.parametrize(
    "address",
    [
        "unix:engine.sock",
        "engines.internal",
        "dns:///engines.internal",
        "engines.internal:0",
        "dns://1.1.1.1/a:1",
        "a b:1",
    ],
)
def test_what_is_no_address_of_an_engine_is_refused(address: str) -> None:
    assert _problems(engine_addresses=[address], dangerously_use_engines_without_tls=True)[
        0
    ].startswith("engine_addresses.0: ")


def test_engines_over_tcp_need_mutual_tls_or_the_dangerous_switch() -> None:
    files = {"engine_certificate_file": "c", "engine_key_file": "k", "engine_ca_file": "a"}
    assert "needs mutual TLS" in _problems(engine_addresses=["engines.internal:1"])[0]
    assert (
        "needs mutual TLS"
        in _problems(engine_addresses=["engines.internal:1"], engine_ca_file="a")[0]
    )
    assert "together" in _problems(engine_certificate_file="c")[0]
    assert Settings(engine_addresses=["engines.internal:1"], **files).engine_ca_file == Path("a")
    assert Settings(engine_addresses=["unix:/engine"]).engine_addresses == ("unix:/engine",)


# -- Perspectives --------------------------------------------------------------------------------

_ELSEWHERE = {"us-east": {"engine_addresses": ["unix:/us"]}}


def test_the_only_perspective_is_called_default_until_somebody_names_it() -> None:
    assert (Settings().own_perspective, Settings().asked_perspective) == ("default", "default")
    named = Settings(perspective="eu-west", perspectives=_ELSEWHERE)
    assert (named.own_perspective, named.asked_perspective) == ("eu-west", "eu-west")
    other = Settings(perspectives=_ELSEWHERE, default_perspective="us-east")
    assert (other.own_perspective, other.asked_perspective) == ("default", "us-east")


@pytest.mark.parametrize(
    "name", ["EU", "-eu", "eu-", "eu_west", "eu.west", "e" * 33, "eu west", 'eu"', "eu\n"]
)
def test_what_is_no_name_of_a_perspective_is_refused(name: str) -> None:
    assert _problems(perspective=name)[0].startswith("perspective: ")
    assert _problems(default_perspective=name)[0].startswith("default_perspective: ")
    assert _problems(perspectives={name: _ELSEWHERE["us-east"]})[0].startswith("perspectives.")
    assert _problems(watch={"perspective": name})[0].startswith("watch.perspective: ")


def test_perspectives_are_bounded_and_contradict_nothing() -> None:
    many = {f"p{number}": _ELSEWHERE["us-east"] for number in range(16)}
    assert "perspectives" in _problems(perspectives=many)[0]
    assert "already" in _problems(perspective="us-east", perspectives=_ELSEWHERE)[0]
    assert "already" in _problems(perspectives={"default": _ELSEWHERE["us-east"]})[0]
    known = _problems(perspectives=_ELSEWHERE, default_perspective="mars")[0]
    assert known.endswith("mars is not one of default, us-east")
    watched = _problems(perspectives=_ELSEWHERE, watch={"perspective": "mars"})[0]
    assert "has no mars, which watch.perspective names" in watched
    assert _problems(perspectives={"us-east": {"engine_addresses": []}})
    assert _problems(perspectives={"us-east": {}})


def test_engines_of_a_perspective_over_tcp_need_mutual_tls_too() -> None:
    far = {"us-east": {"engine_addresses": ["dns:///engines.us-east.internal:50052"]}}
    assert "needs mutual TLS" in _problems(perspectives=far)[0]
    files = {"engine_certificate_file": "c", "engine_key_file": "k", "engine_ca_file": "a"}
    assert not list(without_effect(Settings(perspectives=far, **files)))


@pytest.mark.parametrize("engines", [0, 65, -1, "many", 1.5])
def test_the_number_of_engines_is_auto_or_some(engines: object) -> None:
    assert any(problem.startswith("engines") for problem in _problems(engines=engines))


def test_the_number_of_engines_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().engines == "auto"
    monkeypatch.setenv("OTPC_POLICY_ENGINES", "3")
    assert Settings().engines == 3


def test_what_is_set_in_vain_is_told() -> None:
    assert not list(without_effect(Settings(scan={"workers": 4, "recycle_after_handshakes": 4000})))
    scan = {"workers": 4, "queue_limit": 5, "recycle_after_handshakes": 1}
    here = Settings(scan=scan, engine_certificate_file="c", engine_key_file="k")
    assert [setting for setting, _ in without_effect(here)] == [
        "scan.recycle_after_handshakes",
        "engine_certificate_file",
        "engine_key_file",
    ]
    elsewhere = Settings(
        engine_addresses=["unix:/x"],
        engines=2,
        scan=scan,
        dns_servers=["::1"],
        client_profiles=["go"],
    )
    assert [setting for setting, _ in without_effect(elsewhere)] == [
        "scan.recycle_after_handshakes",
        "engines",
        "dns_servers",
        "client_profiles",
        "scan.workers",
    ]


@pytest.mark.parametrize(
    "prefix", ["10.0.0.0/8", "2001:db8::/33", "2001:db8::/128", "2001:db8:0:0:100::/96", "x"]
)
def test_what_is_no_prefix_of_a_translator_is_refused(prefix: str) -> None:
    (problem,) = _problems(nat64_prefixes=[prefix])
    assert "NAT64" in problem or "network" in problem


def test_prefixes_of_translators_reach_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTPC_POLICY_NAT64_PREFIXES", "2001:db8:64::/96, 64:ff9b:1::/64")
    configuration = configuration_from(engine_part(Settings()))
    assert configuration.nat64_prefixes == (
        ip_network("2001:db8:64::/96"),
        ip_network("64:ff9b:1::/64"),
    )


def test_two_client_certificates_for_one_host_are_refused() -> None:
    table = {"hosts": ["*.Acme.test"], "certificate_file": "a.pem", "key_file": "a.key"}
    one = {**table, "hosts": "api.acme.test"}
    assert Settings(client_certificates={"a": table, "b": one})
    (problem,) = _problems(client_certificates={"a": table, "b": table})
    assert "a and b both name *.acme.test" in problem
    (problem,) = _problems(client_certificates={"a": {**table, "hosts": []}})
    assert "hosts" in problem


@pytest.mark.parametrize(
    ("proxy", "word"),
    [
        ("https://proxy.test:3128", "plain HTTP"),
        ("proxy.test:3128", "http://host:port"),
        ("http://proxy.test", "host:port"),
        ("http://proxy.test:0", "port of the proxy"),
        ("http://router:s3cret@proxy.test:3128", "egress_proxy_password_file"),
        ("http://proxy.test:3128/path", "not a TCP port"),
    ],
)
def test_what_is_no_proxy_is_refused(proxy: str, word: str) -> None:
    (problem,) = _problems(egress_proxy=proxy)
    assert word in problem
    assert "s3cret" not in problem


def test_a_proxy_and_its_credentials_reach_the_engine(tmp_path: Path) -> None:
    settings = Settings(
        egress_proxy="http://[::1]:3128/",
        egress_proxy_user="router",
        egress_proxy_password_file=tmp_path / "password",
    )
    proxy = configuration_from(engine_part(settings)).egress_proxy
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.user) == ("::1", 3128, "router")
    assert proxy.password_file == tmp_path / "password"
    assert configuration_from(engine_part(Settings())).egress_proxy is None
    for half in ({"egress_proxy_user": "a"}, {"egress_proxy_password_file": "/x"}):
        (problem,) = _problems(egress_proxy="http://proxy.test:3128", **half)
        assert "go together" in problem


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://collector.example:4318/v1/traces", "plain text to another machine"),
        ("https://user:secret@collector.example/", "must hold no password"),
        ("collector.example:4318", "must be a URL"),
    ],
)
def test_spans_leave_this_machine_over_tls_only(endpoint: str, reason: str) -> None:
    (problem,) = _problems(tracing={"otlp_endpoint": endpoint})
    assert "tracing.otlp_endpoint" in problem
    assert reason in problem
    loopback = "http://127.0.0.1:4318/v1/traces"
    assert Settings(tracing={"otlp_endpoint": loopback}).tracing.otlp_endpoint == loopback


def test_traces_without_their_extra_end_the_start_and_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings(tracing={"otlp_endpoint": "http://127.0.0.1:4318/"})
    # None there is what an import system makes of a package that is not installed.
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError) as raised:
        tracing_from(settings, CollectorRegistry())
    (problem,) = raised.value.problems
    assert problem.startswith("tracing.otlp_endpoint: ")
    assert "otpc-policy[tracing]" in problem


def test_files_of_the_collector_are_read_before_the_service_starts(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra tracing")
    missing = tmp_path / "missing"
    settings = Settings(
        tracing={
            "otlp_endpoint": "https://collector.example:4318/v1/traces",
            "otlp_ca_file": missing,
            "otlp_headers_file": missing,
        }
    )
    with pytest.raises(ConfigurationError) as raised:
        tracing_from(settings, CollectorRegistry())
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "tracing.otlp_ca_file",
        "tracing.otlp_headers_file",
    ]
