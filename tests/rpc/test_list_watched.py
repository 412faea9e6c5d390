"""ListWatched: pages of what is watched and known, to those whose roles permit it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import VerdictChange, WatchedState
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.fleet.watch_table import WatchTable
from otpc_policy.policy.finding import Decision
from otpc_policy.rpc.watched_pages import as_published
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.catalog.writing import TRUSTED, WAIVER, entry, index
from tests.check.world import generation
from tests.rpc.serving import failure
from tests.rpc.test_roles import AUTHORITY, HOST, URI, Running, running
from tests.support.callers import caller_certificate
from tests.support.facts import NOW

ROLES = """
[[role]]
name = "everything"
rpcs = ["ListWatched"]
hosts = ["*"]

[[role]]
name = "bank"
rpcs = ["ListWatched"]
partners = ["bank"]

[[role]]
name = "port"
rpcs = ["ListWatched"]
hosts = ["*"]
ports = [8443]

[[role]]
name = "checks"
rpcs = ["CheckEndpoint"]
hosts = ["*"]

[[role]]
name = "another-policy"
rpcs = ["ListWatched"]
hosts = ["*"]
policies = ["brief"]
"""
NAMES = ("everything", "bank", "port", "checks", "another-policy")
GRANTS = "".join(
    f'[[caller]]\nidentities = ["spiffe://td/{name}"]\nroles = ["{name}"]\n' for name in NAMES
)
ENDPOINTS = ("192.0.2.1:8443", "[2001:db8::1]:443", f"{HOST}:443", "api.wallet.example:443")


def table(catalog: Catalog) -> WatchTable:
    """Partners' endpoints and two others, of which nothing is known."""
    others = [parse_endpoint("192.0.2.1", 8443), parse_endpoint("2001:db8::1", 443)]
    return WatchTable(catalog, with_partners=True, endpoints=others, now=lambda: NOW)


async def listed(service: Running, role: str, **fields: Any) -> pb.ListWatchedResponse:
    caller = caller_certificate(AUTHORITY, [URI(f"spiffe://td/{role}")])
    async with service.channel(caller) as channel:
        stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        response: pb.ListWatchedResponse = await stub.ListWatched(pb.ListWatchedRequest(**fields))
        return response


def names(response: pb.ListWatchedResponse) -> list[str]:
    return [
        f"[{each.host}]:{each.port}" if ":" in each.host else f"{each.host}:{each.port}"
        for each in response.endpoints
    ]


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        ("everything", ENDPOINTS),
        ("bank", (f"{HOST}:443",)),
        ("port", ("192.0.2.1:8443",)),
        # Verdicts are those of the default policy.
        ("another-policy", ()),
    ],
)
async def test_a_caller_sees_what_its_role_names(role: str, seen: tuple[str, ...]) -> None:
    async with running(ROLES + GRANTS, table) as service:
        assert names(await listed(service, role)) == list(seen)
        assert names(await listed(service, role, partner_id="bank")) == [
            name for name in seen if name.startswith(HOST)
        ]
        assert names(await listed(service, role, partner_id="unheard of")) == []


async def test_who_may_check_may_not_therefore_list() -> None:
    async with running(ROLES + GRANTS, table) as service:
        refused = await failure(listed(service, "checks"))
        assert refused.info.metadata["missing"] == "rpc ListWatched"


async def test_pages_follow_each_other_whatever_is_left_out() -> None:
    async with running(ROLES + GRANTS, table) as service:
        for size in (1, 2, 3, 4, 10_000):
            found, token, pages = list[str](), "", 0
            while True:
                page = await listed(service, "everything", page_size=size, page_token=token)
                found += names(page)
                pages += 1
                if not (token := page.next_page_token):
                    break
            assert found == list(ENDPOINTS)
            assert pages == -(-4 // size)
        only = await listed(service, "bank", page_size=1)
        assert (len(only.endpoints), only.next_page_token) == (1, "")


@pytest.mark.parametrize(
    ("fields", "field"), [({"page_size": -1}, "page_size"), ({"page_token": "ü%"}, "page_token")]
)
async def test_what_is_no_page_is_refused_by_field(fields: dict[str, Any], field: str) -> None:
    async with running(ROLES + GRANTS, table) as service:
        refused = await failure(listed(service, "everything", **fields))
        assert field in str(refused)


async def test_nothing_is_listed_where_nothing_is_watched() -> None:
    async with running(ROLES + GRANTS) as service:
        assert await listed(service, "everything") == pb.ListWatchedResponse()


async def test_what_is_known_of_an_endpoint() -> None:
    catalog = generation(partners=index(entry("bank", HOST, rest=WAIVER + TRUSTED)))
    known = WatchTable(catalog, with_partners=True, endpoints=(), now=lambda: NOW)
    known.record(
        f"{HOST}:443",
        WatchedState(
            Decision.DENY,
            ("CERTIFICATE_EXPIRED", "TLS_NOT_SERVED"),
            NOW - timedelta(minutes=1),
            NOW + timedelta(minutes=4),
            NOW - timedelta(days=1),
        ),
    )
    known.will_check({f"{HOST}:443": 200.0})
    async with running(ROLES + GRANTS, lambda _catalog: known) as service:
        (found,) = (await listed(service, "everything")).endpoints
    assert (found.host, found.port, found.partner_id) == (HOST, 443, "bank")
    assert found.perspective == "default"
    assert found.decision == pb.DECISION_DENY
    assert list(found.finding_codes) == ["CERTIFICATE_EXPIRED", "TLS_NOT_SERVED"]
    end = datetime.fromisoformat("2027-03-01T00:00:00+00:00")
    for moment, expected in (
        (found.observation_time, NOW - timedelta(minutes=1)),
        (found.expire_time, NOW + timedelta(minutes=4)),
        (found.next_check_time, NOW + timedelta(seconds=200)),
        (found.certificate_end_time, NOW - timedelta(days=1)),
        (found.waiver_end_time, end),
        (found.pin_end_time, end),
    ):
        assert instant(moment) == expected


async def test_of_an_endpoint_that_was_never_measured_nothing_is_made_up() -> None:
    async with running(ROLES + GRANTS, table) as service:
        found = (await listed(service, "everything")).endpoints[0]
    assert found.decision == pb.DECISION_INDETERMINATE
    assert list(found.finding_codes) == ["NO_CACHED_RESULT"]
    assert not found.HasField("observation_time")
    assert not found.HasField("expire_time")
    assert not found.HasField("next_check_time")


def instant(moment: Timestamp) -> datetime:
    return moment.ToDatetime(NOW.tzinfo)


def test_another_replicas_decision_is_shown_and_not_dated() -> None:
    """It is renewed without a change: its expiry as it was found says nothing by now."""
    known = table(generation())
    described = known.describe(known.names()[0])
    assert described is not None
    found_elsewhere = VerdictChange(
        endpoint=described.endpoint,
        partner_id="bank",
        decision=Decision.ALLOW,
        observed_at=NOW - timedelta(hours=3),
        expires_at=NOW - timedelta(hours=2),
        changed_at=NOW - timedelta(hours=3),
        revision="abc",
    )
    shown = as_published(described, found_elsewhere)
    assert (shown.decision, shown.state) == (Decision.ALLOW, None)
