"""What an engine is given: the settings that concern it, and no others."""

import json
from ipaddress import ip_network

import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.core.facts import DeepCommand
from otpc_policy.engine.configuration import configuration_from
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.profiles.recorded_clients import recorded_clients


def test_the_settings_reach_the_engine_through_json() -> None:
    settings = Settings(
        allow_networks=["10.0.0.0/8", "::1/128"],
        static_hosts={"a.test": ["10.0.0.1", "::1"]},
        address_families="ipv4",
        dns_servers=["10.0.0.53", "[::1]:5353"],
        dns_ttl_s=7,
        log_level="warning",
        client_profiles=["java-17", "go"],
        scan={"workers": 5, "deep_commands": ["robot"]},
    )
    found = configuration_from(json.loads(json.dumps(engine_part(settings))))
    assert found.scan == ScanLimits(workers=5, deep_commands=(DeepCommand.ROBOT,))
    routers = [recorded_clients()[name].profile for name in ("java-17", "go")]
    assert found.client_profiles == tuple(routers)
    assert found.allow_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert found.static_hosts == {"a.test": ("10.0.0.1", "::1")}
    assert (found.address_families, found.dns_ttl_s) == (("IPv4",), 7)
    assert found.dns_servers == settings.dns_servers
    assert len(found.dns_servers) == 2
    assert (found.log_format, found.log_level) == ("json", "warning")


def test_keys_and_trust_are_no_business_of_an_engine() -> None:
    given = set(engine_part(Settings()))
    assert not given & {"trust", "tls_key_file", "partners_dir", "admin_callers", "listen"}


@pytest.mark.parametrize("tree", [{}, {**engine_part(Settings()), "trust": []}])
def test_what_is_missing_or_unknown_is_refused(tree: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        configuration_from(tree)


@pytest.mark.parametrize("name", ["netscape", "curl-tls10"])
def test_only_current_clients_stand_for_routers(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is not a current client"):
        configuration_from({**engine_part(Settings()), "client_profiles": [name]})
