"""The minimum policy, and the partner that a server name leads to, on real servers over gRPC."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy_client import permits_traffic
from otpc_policy_client.requests import own
from otpc_policy_client.v1 import policy_pb2
from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.partner_world import KnownPartner, PartnerFolder, private_ca
from tests.end_to_end.running import Service, running_service
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer, nginx

DEFAULT, STRICT = "otpc-2024-12", "otpc-2024-12-strict"
# The second suite is outside the list of the default policy, which advises against it.
COMPLIANT, UNLISTED = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA"
OLD = {"versions": ("1.0", "1.1", "1.2"), "ciphers": f"{UNLISTED}:@SECLEVEL=0"}
DOCUMENTS = {
    "trial": f'name = "trial"\nextends = "{DEFAULT}"\nenforcing = false\n',
    "strict-trial": f'name = "strict-trial"\nextends = "{STRICT}"\nenforcing = false\n',
    "lax": f'name = "lax"\nextends = "{DEFAULT}"\n'
    'rules.tls.minimum_version.effects.TLS_VERSION_BELOW_MINIMUM = "advisory"\n'
    'rules.cipher.outside_set.effects.CIPHER_SUITE_NOT_LISTED = "off"\n',
}
LAX_MAY_DECIDE = {"dangerously_without_minimum_policy": True}


@dataclass(frozen=True)
class World:
    """Partners in a folder, policies in files, and an authority that settings trust for all."""

    folder: PartnerFolder
    policy_files: list[Path]
    authority: CertificateAuthority
    anchor_file: Path
    free: KnownPartner
    bank: KnownPartner
    alias: str

    def settings(self, **others: Any) -> Any:
        trust = {"hosts": ["*.partner.test"], "anchor_file": str(self.anchor_file), "note": "CA"}
        return self.folder.settings(policy_files=self.policy_files, trust=[trust], **others)

    def offer(self, name: str, **how: Any) -> TlsOffer:
        leaf = self.authority.issue(dns=(name,), key="rsa2048")
        return TlsOffer(certificates=(leaf,), **how)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("minimum")
    authority = CertificateAuthority.create("CA of the settings")
    anchor = root / "anchor.pem"
    anchor.write_bytes(authority.pem)
    files = [root / f"{name}.toml" for name in DOCUMENTS]
    for file in files:
        file.write_text(DOCUMENTS[file.stem], encoding="utf-8")
    folder = PartnerFolder(root / "partners")
    folder.folder.mkdir()
    bank = folder.partner("bank", names=("alias.other.test",), rest=f'policy = "{STRICT}"\n')
    at = own_listener()
    folder.hosts["free.partner.test"] = [at.address]
    free = KnownPartner(root / "none.toml", "", "free.partner.test", at)
    return World(folder, files, authority, anchor, free, bank, "alias.other.test")


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[Service]:
    with running_service(world.settings()) as running:
        yield running


def refreshed(
    service: Service, host: str, partner: KnownPartner, **fields: Any
) -> pb.CheckEndpointResponse:
    freshness = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
    return service.check(host, partner.at, **{"freshness": freshness, **fields})


@pytest.mark.parametrize("asked", ["", "trial", "strict-trial", "lax", "mozilla-intermediate"])
def test_no_policy_that_a_request_names_falls_below_the_default_policy(
    world: World, service: Service, asked: str
) -> None:
    with nginx(world.free.at, world.offer(world.free.host, **OLD)):
        response = refreshed(service, world.free.host, world.free, policy=asked)
    assert decision_of(response) == "DENY", summary(response)
    assert response.evaluated_decision == pb.DECISION_DENY
    assert response.policy.name == (asked or DEFAULT)
    assert response.minimum_policy.name == ("" if not asked else DEFAULT)
    denying = {
        each.code: each.policies for each in response.findings if each.effect == pb.EFFECT_DENY
    }
    assert DEFAULT in denying["TLS_VERSION_BELOW_MINIMUM"]
    assert not permits_traffic(as_clients(response), dangerously_permit_report_only=True)


def as_clients(response: pb.CheckEndpointResponse) -> policy_pb2.CheckEndpointResponse:
    return own(response, policy_pb2.CheckEndpointResponse)


def test_a_stricter_policy_on_trial_is_reported_above_the_minimum(
    world: World, service: Service
) -> None:
    with nginx(world.free.at, world.offer(world.free.host, versions=("1.2",), ciphers=UNLISTED)):
        usual = refreshed(service, world.free.host, world.free)
        on_trial, again = (
            service.check(world.free.host, world.free.at, policy="strict-trial") for _ in range(2)
        )
        strict = service.check(world.free.host, world.free.at, policy=STRICT)
    assert [decision_of(each) for each in (usual, on_trial, strict)] == ["ALLOW", "ALLOW", "DENY"]
    assert on_trial.evaluated_decision == pb.DECISION_DENY
    assert (permits_traffic(as_clients(usual)), permits_traffic(as_clients(on_trial))) == (
        True,
        False,
    )
    assert permits_traffic(as_clients(on_trial), dangerously_permit_report_only=True)
    # Its own suites and versions, and those of the minimum: the connection keeps to both.
    assert on_trial.connection_terms == usual.connection_terms
    # From the cache, and the same.
    assert again.result_info.source == pb.RESULT_SOURCE_CACHE
    assert (again.findings, again.minimum_policy) == (on_trial.findings, on_trial.minimum_policy)


@pytest.mark.parametrize(
    ("settings", "asked", "decision", "evaluated"),
    [
        ({"minimum_policy": "lax"}, "", "DENY", "DENY"),
        ({"minimum_policy": "lax"}, "lax", "ALLOW", "ALLOW"),
        # The operator's leniency, not a caller's.
        ({"minimum_policy": "trial"}, "trial", "ALLOW", "DENY"),
        (LAX_MAY_DECIDE, "trial", "ALLOW", "DENY"),
        (LAX_MAY_DECIDE, "lax", "ALLOW", "ALLOW"),
        (LAX_MAY_DECIDE, "", "DENY", "DENY"),
    ],
)
def test_the_operator_chooses_the_minimum(
    world: World, settings: dict[str, Any], asked: str, decision: str, evaluated: str
) -> None:
    with (
        running_service(world.settings(**settings)) as service,
        nginx(world.free.at, world.offer(world.free.host, **OLD)),
    ):
        response = refreshed(service, world.free.host, world.free, policy=asked)
    said = pb.Decision.Name(response.evaluated_decision).removeprefix("DECISION_")
    assert (decision_of(response), said) == (decision, evaluated), summary(response)


def test_a_partner_is_found_by_the_server_name_whatever_host_is_asked_for(
    world: World, service: Service
) -> None:
    bank = world.bank
    with nginx(bank.at, world.offer(bank.host, versions=("1.2",), ciphers=UNLISTED)):
        by_host = refreshed(service, bank.host, bank)
        by_address, by_alias = (
            refreshed(service, host, bank, server_name=bank.host)
            for host in (bank.at.address, world.alias)
        )
    assert [decision_of(each) for each in (by_host, by_address, by_alias)] == ["DENY"] * 3
    assert by_host.partner.id == "bank"
    for response in (by_address, by_alias):
        assert not response.HasField("partner")
        (named,) = response.named_partners
        assert (named.id, named.policy.name) == ("bank", STRICT)
        denying = {
            each.code: list(each.policies)
            for each in response.findings
            if each.effect == pb.EFFECT_DENY
        }
        assert denying["CIPHER_SUITE_NOT_LISTED"] == [STRICT]


def test_the_trust_of_a_partner_does_not_follow_its_name(
    world: World, service: Service, tmp_path: Path
) -> None:
    """Its CA is trusted at its endpoints; by its address with its name it is a stranger's."""
    own = CertificateAuthority.create("CA of the partner")
    folder = PartnerFolder(tmp_path)
    private = folder.partner("private", host="api.private.test", rest=private_ca(own.pem))
    offer = TlsOffer(certificates=(own.issue(dns=(private.host,), key="rsa2048"),))
    with running_service(folder.settings()) as running, nginx(private.at, offer):
        by_host = refreshed(running, private.host, private)
        by_address = refreshed(running, private.at.address, private, server_name=private.host)
    assert decision_of(by_host) == "ALLOW", summary(by_host)
    assert decision_of(by_address) == "DENY"
    assert "CERTIFICATE_UNTRUSTED" in {each.code for each in by_address.findings}
