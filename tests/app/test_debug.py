"""The debug page shows no secrets, and a bounded part of whatever there is."""

import json
from typing import Any

import pytest

from otpc_policy.app.admission import admission_warnings, debug_page_warnings
from otpc_policy.app.application import Application, build_application
from otpc_policy.app.debug import debug_sections
from otpc_policy.app.lifecycle import Lifecycle
from otpc_policy.app.settings import Settings, describe_settings
from otpc_policy.app.settings.redaction import SET, redacted
from otpc_policy.check import FactsKey, StoredFacts
from otpc_policy.core.facts import Depth
from otpc_policy.ops.debug_page import DebugPage
from tests.support.facts import make_address


def _key(host: str, port: int = 443) -> FactsKey:
    return FactsKey(host, port, host, "192.0.2.1", Depth.STANDARD, "4", "default")


async def _page(application: Application, **query: str) -> tuple[dict[str, Any], int]:
    lifecycle = Lifecycle(lambda: 1)
    page = await DebugPage(debug_sections(application, lifecycle)).page(query)
    return json.loads(page.body), len(page.body)


async def test_a_full_cache_makes_no_long_page() -> None:
    application = build_application(Settings(debug_page=True, cache_entries=30_000))
    stored = StoredFacts.of(make_address())
    for number in range(25_000):
        await application.store.put(_key(f"host-{number % 5_000}.example"), stored)
    for number in range(5_000):
        await application.store.put(_key("one.example", number + 1), stored)
    shown, size = await _page(application)
    assert size < 65_536
    cache = shown["cache"]
    assert (cache["entries"], cache["looked_at"], len(cache["hosts"])) == (10_000, 10_000, 100)
    assert cache["hosts"][0] == {
        "host": "one.example",
        "entries": 5_000,
        "newest_age_s": cache["hosts"][0]["newest_age_s"],
    }
    of_host, size = await _page(application, section="cache", host="one.example")
    assert size < 16_384
    assert (of_host["cache"]["entries_of_host"], len(of_host["cache"]["newest"])) == (5_000, 16)
    assert of_host["cache"]["newest"][0]["port"] == 5_000


async def test_to_look_changes_nothing_in_the_order_of_the_cache() -> None:
    application = build_application(Settings(cache_entries=2))
    stored = StoredFacts.of(make_address())
    for host in ("first.example", "second.example"):
        await application.store.put(_key(host), stored)
    await _page(application, host="first.example")
    await application.store.put(_key("third.example"), stored)
    kept = {key.host for key in application.store.newest_keys(10)}
    assert kept == {"second.example", "third.example"}


async def test_a_long_configuration_makes_no_long_page() -> None:
    hosts = {f"host-{number}.example": "192.0.2.1" for number in range(5_000)}
    many = ["10.0.0.0/8", *(f"10.{n >> 8}.{n & 255}.0/24" for n in range(1_000))]
    application = build_application(Settings(static_hosts=hosts, allow_networks=many))
    shown, size = await _page(application, section="configuration")
    assert size < 32_768
    assert len(shown["configuration"]["static_hosts"]) == 101
    assert shown["configuration"]["static_hosts"]["(left out)"] == 4_900
    assert shown["configuration"]["allow_networks"][-1] == {"(left out)": 901}


_SECRET_WORDS = ("credential", "header", "key", "password", "private", "secret", "token", "user")


@pytest.mark.parametrize("key", [one.key for one in describe_settings() if one.key])
def test_a_setting_whose_name_speaks_of_secrets_is_hidden(key: str) -> None:
    """So a setting that is added later is hidden too, or this test fails by its name."""
    *tables, name = key.split(".")
    tree: Any = {name: "hunter2"}
    for table in reversed(tables):
        tree = {table: tree}
    hidden = "hunter2" not in json.dumps(redacted(tree))
    assert hidden == any(word in name for word in _SECRET_WORDS)


def test_what_urls_carry_is_hidden_and_where_they_lead_is_not() -> None:
    shown = redacted(
        {
            "store": "valkey://app:hunter2@cache.internal:6379/0",
            "audit": {"otlp_endpoint": "https://collector.example:4318/v1/logs?api=hunter2"},
            "webhook": {"url": "https://tools.example:8443/hooks/hunter2", "timeout_s": 1},
            "egress_proxy": "http://proxy.internal:3128",
            "engine_addresses": ["dns:///engines.internal:50061"],
            "client_certificates": {"a": {"hosts": ["a.example"], "key_file": "/hunter2"}},
            "broken": "http://[hunter2",
            "tls_key_file": None,
        }
    )
    assert "hunter2" not in json.dumps(shown)
    assert shown == {
        "store": f"valkey://{SET}@cache.internal:6379/0",
        "audit": {"otlp_endpoint": f"https://collector.example:4318/v1/logs?{SET}"},
        "webhook": {"url": f"https://tools.example:8443/{SET}", "timeout_s": 1},
        "egress_proxy": "http://proxy.internal:3128",
        "engine_addresses": ["dns:///engines.internal:50061"],
        "client_certificates": {"a": {"hosts": ["a.example"], "key_file": SET}},
        "broken": SET,
        "tls_key_file": None,
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://tools.example?token=hunter2",
        "https://tools.example?of=a/hunter2",
        "https://tools.example#hunter2",
        "https://hunter2:hunter2@tools.example/hunter2?hunter2",
    ],
)
def test_of_a_webhook_nothing_but_the_server_is_shown(url: str) -> None:
    assert redacted({"webhook": {"url": url}}) == {
        "webhook": {"url": f"https://tools.example/{SET}"}
    }


@pytest.mark.parametrize(
    ("listen", "is_on", "is_warned"),
    [
        ("127.0.0.1:9464", True, False),
        ("[::1]:9464", True, False),
        ("0.0.0.0:9464", True, True),
        ("0.0.0.0:9464", False, False),
    ],
)
def test_a_debug_page_beyond_loopback_is_warned_of(
    listen: str, *, is_on: bool, is_warned: bool
) -> None:
    settings = Settings(ops_listen=listen, debug_page=is_on)
    warned = [one for one in admission_warnings(settings) if one.startswith("debug_page")]
    assert warned == list(debug_page_warnings(settings, listen))
    assert bool(warned) == is_warned
