"""Roles: a document says who may do what, or every mistake in it; the rest is denied."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.catalog.access import access_without_roles
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.role import ADMINISTRATION, Demand, Rpc
from otpc_policy.catalog.roles import RolesFile
from otpc_policy.catalog.schemas.roles import RoleTable
from otpc_policy.core.caller import WITHIN_THIS_PROCESS, Caller
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.identities import read_identity
from tests.catalog.reloading import GOOD, MountedFolder
from tests.catalog.test_reload import reloader

ROUTER = """\
[[role]]
name = "router"
rpcs = ["CheckEndpoint", "GetPolicy"]
partners = ["bank"]
hosts = ["*.shop.example", "192.0.2.7", "Bücher.example"]
ports = [443, 8443]
policies = ["brief"]
"""
HELD = '[[caller]]\nidentities = ["router.example"]\nroles = ["router"]\n'
CHECK = Demand(
    rpc=Rpc.CHECK_ENDPOINT,
    policy="brief",
    host="www.shop.example",
    port=443,
    server_name="www.shop.example",
)


def caller(*names: str) -> Caller:
    return Caller(identities=tuple(map(read_identity, names)))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        RolesFile(text, "roles.toml")
    return list(raised.value.problems)


@pytest.mark.parametrize(
    ("demand", "missing"),
    [
        (CHECK, ()),
        (replace(CHECK, port=8443), ()),
        (replace(CHECK, host="192.0.2.7", server_name="192.0.2.7"), ()),
        (replace(CHECK, host="192.0.2.7", server_name="www.shop.example"), ()),
        (replace(CHECK, host="xn--bcher-kva.example", server_name="xn--bcher-kva.example"), ()),
        (replace(CHECK, host="a.bank.example", server_name="b.bank.example", partner="bank"), ()),
        (Demand(rpc=Rpc.GET_POLICY, policy="brief"), ()),
        (replace(CHECK, port=25), ("port 25",)),
        (replace(CHECK, port=25, partner="bank"), ("port 25",)),
        (replace(CHECK, policy="lax"), ("policy lax",)),
        (replace(CHECK, policy="usual", is_default_policy=True), ("policy usual",)),
        (
            replace(CHECK, host="shop.example", server_name="shop.example"),
            ("endpoint shop.example:443",),
        ),
        (
            replace(CHECK, host="a.b.shop.example", server_name="a.b.shop.example"),
            ("endpoint a.b.shop.example:443",),
        ),
        (
            replace(CHECK, host="2001:db8::1", server_name="www.shop.example"),
            ("endpoint [2001:db8::1]:443",),
        ),
        (replace(CHECK, server_name="evil.example"), ("server_name evil.example",)),
        (
            replace(CHECK, host="a.wallet.example", server_name="a.wallet.example", partner="w"),
            ("endpoint a.wallet.example:443",),
        ),
        (
            replace(CHECK, refresh=True, deep=True, full_view=True, request_anchors=True),
            ("refresh", "deep", "full_view", "request_anchors"),
        ),
        (Demand(rpc=Rpc.RELOAD_POLICIES), ("rpc ReloadPolicies",)),
        (replace(CHECK, rpc=Rpc.BATCH_CHECK_ENDPOINTS), ("rpc BatchCheckEndpoints",)),
    ],
    ids=str,
)
def test_a_role_permits_what_it_says_and_nothing_else(
    demand: Demand, missing: tuple[str, ...]
) -> None:
    permissions = RolesFile(ROUTER + HELD, "roles.toml").access.permissions_of(
        caller("router.example")
    )
    assert permissions.missing(demand) == missing


@pytest.mark.parametrize(
    ("policies", "policy", "is_default", "is_permitted"),
    [
        ("", "usual", True, True),
        ("", "brief", False, False),
        ('policies = ["*"]', "brief", False, True),
        ('policies = ["*"]', "usual", True, True),
        ('policies = ["brief"]', "brief", False, True),
        ('policies = ["brief"]', "usual", True, False),
    ],
)
def test_a_role_that_names_no_policy_permits_the_default_one_alone(
    policies: str, policy: str, is_default: bool, is_permitted: bool
) -> None:
    role = f'[[role]]\nname = "router"\nrpcs = ["GetPolicy"]\n{policies}\n'
    permissions = RolesFile(role + HELD, "r").access.permissions_of(caller("router.example"))
    demand = Demand(rpc=Rpc.GET_POLICY, policy=policy, is_default_policy=is_default)
    assert bool(permissions.missing(demand)) is not is_permitted


def test_roles_do_not_complement_each_other_and_the_nearest_says_what_is_missing() -> None:
    text = """
    [[role]]
    name = "all-hosts"
    rpcs = ["CheckEndpoint"]
    hosts = ["*"]
    [[role]]
    name = "one-host"
    rpcs = ["CheckEndpoint"]
    hosts = ["www.shop.example"]
    refresh = true
    deep = true
    [[caller]]
    identities = ["router.example"]
    roles = ["all-hosts", "one-host"]
    """
    permissions = RolesFile(text, "r").access.permissions_of(caller("router.example"))
    usual = replace(CHECK, policy="usual", is_default_policy=True)
    other = replace(usual, host="other.example", server_name="other.example")
    assert permissions.missing(replace(usual, refresh=True, deep=True)) == ()
    assert permissions.missing(other) == ()
    assert permissions.missing(replace(other, refresh=True)) == ("refresh",)


@pytest.mark.parametrize(
    ("names", "is_permitted"),
    [
        (("router.example",), True),
        (("spiffe://td/a", "router.example"), True),
        (("uri:urn:router.example",), False),
        (("other.example",), False),
        ((), False),
    ],
)
def test_whoever_has_no_role_may_do_nothing(names: tuple[str, ...], is_permitted: bool) -> None:
    permissions = RolesFile(ROUTER + HELD, "r").access.permissions_of(caller(*names))
    assert [permissions.may_call(rpc) for rpc in Rpc] == [
        is_permitted and rpc in (Rpc.CHECK_ENDPOINT, Rpc.GET_POLICY) for rpc in Rpc
    ]
    assert bool(permissions.missing(CHECK)) is not is_permitted


@pytest.mark.parametrize("is_named", [True, False])
def test_internal_addresses_are_for_a_role_that_says_so_and_no_call_needs_them(
    is_named: bool,
) -> None:
    right = f"internal_addresses = {str(is_named).lower()}\n"
    permissions = RolesFile(ROUTER + right + HELD, "r").access.permissions_of(
        caller("router.example")
    )
    assert permissions.missing(CHECK) == ()
    assert permissions.may_see_internal_addresses(CHECK) is is_named
    assert not permissions.may_see_internal_addresses(replace(CHECK, port=25))
    everyone = access_without_roles().permissions_of(WITHIN_THIS_PROCESS)
    assert not everyone.may_see_internal_addresses(CHECK)


def test_a_document_without_roles_permits_nobody_anything() -> None:
    permissions = RolesFile("", "r").access.permissions_of(caller("router.example"))
    assert not any(map(permissions.may_call, Rpc))


def test_admin_callers_may_administer_in_addition_to_the_roles() -> None:
    access = RolesFile(ROUTER + HELD, "r", ["ops.example"]).access
    everywhere = Demand(rpc=Rpc.INVALIDATE_RESULTS, host="any.example")
    ops, router = map(access.permissions_of, (caller("ops.example"), caller("router.example")))
    assert {rpc for rpc in Rpc if ops.may_call(rpc)} == ADMINISTRATION
    assert ops.missing(everywhere) == ()
    assert not router.may_call(Rpc.RELOAD_POLICIES)


@pytest.mark.parametrize("admin_callers", [(), ("ops.example",)])
def test_without_a_document_everyone_may_do_everything_but_administer(
    admin_callers: tuple[str, ...],
) -> None:
    access = access_without_roles(admin_callers)
    for who in (WITHIN_THIS_PROCESS, caller("router.example")):
        permissions = access.permissions_of(who)
        assert permissions.missing(replace(CHECK, refresh=True, deep=True, full_view=True)) == ()
        for rpc in Rpc:
            assert permissions.may_call(rpc) is (rpc not in ADMINISTRATION or not admin_callers)
    assert access.permissions_of(caller("ops.example")).may_call(Rpc.RELOAD_POLICIES)


def test_callers_with_the_same_grants_share_one_object_and_others_do_not() -> None:
    text = ROUTER + HELD + HELD.replace("router.example", "*.routers.example")
    access = RolesFile(text, "r", ["ops.example"]).access
    first, second, other, nobody = (
        access.permissions_of(caller(name))
        for name in ("a.routers.example", "b.routers.example", "ops.example", "x.example")
    )
    assert first is second
    assert len({first, other, nobody}) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rolle = 1\n", "roles.toml:1: rolle: unknown key; expected one of role, caller"),
        ("role = 1\n", "roles.toml:1: role: must be a list"),
        (ROUTER.replace("hosts", "host"), "roles.toml:5: role.0.host: unknown key; expected"),
        (
            ROUTER.replace("GetPolicy", "getPolicy"),
            "roles.toml:3: role.0.rpcs.1: must be one of CheckEndpoint, BatchCheckEndpoints, ",
        ),
        (ROUTER.replace('"router"', '"Router"'), "roles.toml:2: role.0.name: must be at most 63"),
        (ROUTER.replace("443,", "0,"), "roles.toml:6: role.0.ports.0: 0 is not a TCP port"),
        (ROUTER.replace("443,", "true,"), "roles.toml:6: role.0.ports.0: must be a whole number"),
        (ROUTER.replace("[443, 8443]", "[]"), "roles.toml:6: role.0.ports: is empty"),
        (
            ROUTER.replace("*.shop.example", "*shop.example"),
            "roles.toml:5: role.0.hosts.0: '*shop.example': a wildcard is",
        ),
        (
            ROUTER.replace("*.shop.example", "a.shop.example:443"),
            "roles.toml:5: role.0.hosts.0: 'a.shop.example:443': the host must be a bare host",
        ),
        (ROUTER.replace("*.shop.example", "*.example"), "roles.toml:5: role.0.hosts.0: "),
        (
            '[[role]]\nname = "router"\nrpcs = ["GetPolicy", "CheckEndpoint"]\n',
            "roles.toml:3: role.0.rpcs: CheckEndpoint concerns endpoints, and the role names none",
        ),
        (ROUTER + "refresh = 1\n", "roles.toml:8: role.0.refresh: must be true or false"),
        (
            ROUTER + ROUTER,
            "roles.toml:9: role.1.name: 'router' is also the name of the role at roles.toml:1",
        ),
        (
            ROUTER + HELD.replace('["router"]', '["routers"]'),
            "roles.toml:10: caller.0.roles.0: no role is named 'routers'; expected one of router",
        ),
        (
            ROUTER + HELD.replace("router.example", "ops@example.com"),
            "roles.toml:9: caller.0.identities.0: 'ops@example.com' is not a DNS name",
        ),
        (
            ROUTER + HELD.replace("router.example", "spiffe://*"),
            "roles.toml:9: caller.0.identities.0: 'spiffe://*' is not a SPIFFE id",
        ),
        (
            ROUTER + HELD.replace('["router.example"]', "[]"),
            "roles.toml:9: caller.0.identities: is empty",
        ),
        (ROUTER + "[[caller]]\n", "roles.toml:8: caller.0.identities: is missing"),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_key(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(text)), problems(text)


def test_all_mistakes_are_reported_at_once() -> None:
    text = ROUTER.replace("443,", "0,").replace("GetPolicy", "X") + HELD.replace("router.ex", "@")
    assert [found.split(": ")[1] for found in problems(text)] == [
        "role.0.rpcs.1",
        "role.0.ports.0",
        "caller.0.identities.0",
    ]


def _settings(tmp_path: Path, roles: str, **settings: Any) -> Settings:
    (tmp_path / "roles.toml").write_text(roles)
    tls: dict[str, Any] = {"tls_certificate_file": "c", "tls_key_file": "k"}
    tls["tls_client_ca_file"] = "a"
    return Settings(**tls, roles_file=tmp_path / "roles.toml", **settings)


def test_names_of_policies_and_partners_must_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "partners").mkdir()
    (tmp_path / "partners" / "bank.toml").write_text(GOOD)
    roles = ROUTER.replace("bank", "bnak")
    settings = _settings(tmp_path, roles, partners_dir=tmp_path / "partners")
    with pytest.raises(ConfigurationError) as raised:
        CatalogLoader(settings).load()
    place = tmp_path / "roles.toml"
    unknown_policy, unknown_partner = raised.value.problems
    assert unknown_policy.startswith(
        f"{place}:7: role.0.policies.0: no policy is named 'brief'; expected one of bsi-"
    )
    assert unknown_partner == (
        f"{place}:4: role.0.partners.0: no partner has the id 'bnak'; expected one of bank"
    )


async def test_a_changed_document_is_a_new_generation_and_a_bad_one_is_not(tmp_path: Path) -> None:
    folder = MountedFolder(tmp_path / "partners")
    folder.swap(bank=GOOD)
    roles = (ROUTER + HELD).replace('policies = ["brief"]\n', "")
    settings = _settings(tmp_path, roles)
    held = reloader(folder, **settings.model_dump(include=settings.model_fields_set))
    router, place = caller("router.example"), tmp_path / "roles.toml"
    before = held.current
    assert before.access.permissions_of(router).may_call(Rpc.GET_POLICY)
    place.write_text(roles.replace(', "GetPolicy"', ""))
    after = await held.reload("test")
    assert after.revision != before.revision
    assert not after.access.permissions_of(router).may_call(Rpc.GET_POLICY)
    place.write_text(roles.replace("GetPolicy", "Everything"))
    with pytest.raises(ConfigurationError):
        await held.reload("test")
    assert held.current is after
    place.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        await held.reload("test")
    assert held.current is after


DOCUMENTATION = Path(__file__).parents[2] / "docs" / "callers.md"


def test_the_documentation_has_every_method_and_key_and_an_example_that_is_valid() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    router = caller("spiffe://example.org/ns/payments/sa/router")
    assert (
        RolesFile(example, "callers.md")
        .access.permissions_of(router)
        .missing(replace(CHECK, policy="otpc-2024-12", refresh=True))
        == ()
    )
    assert all(rpc.value in text for rpc in Rpc)
    keys = set(RoleTable.model_fields) - {"name"}
    assert all(f"| `{key}` |" in text for key in keys)
