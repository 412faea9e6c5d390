"""The effects of a partner's entry, on real servers over gRPC, with an injected clock."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.partner_world import (
    KnownPartner,
    MovableClock,
    PartnerFolder,
    one_bit_different,
    pin,
    private_ca,
    waiver,
)
from tests.end_to_end.running import Service, running_service
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.hostile import stall
from tests.support.loopback import Listener
from tests.support.servers import OTPC_CIPHERS, TlsOffer, haproxy, nginx
from tests.support.signing import now
from tests.support.tcp import counting_server

Server = Callable[[Listener, TlsOffer], AbstractContextManager[Listener]]
DAY = timedelta(days=1)
ANCHOR = "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"
OLD_CIPHERS = f"{OTPC_CIPHERS}:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"
# A policy with effects for the agreement about client certificates.
MUTUAL = """\
name = "mutual"
title = "One Time Payment Code with client certificates as agreed"
extends = "otpc-2024-12"
rules.client_auth.expected.effects.CLIENT_AUTH_UNEXPECTED = "deny"
rules.client_auth.expected.effects.CLIENT_AUTH_MISSING = "deny"
"""


@dataclass(frozen=True)
class World:
    """A service, its clock, and the partners that it knows by name."""

    service: Service
    clock: MovableClock
    partners: dict[str, KnownPartner]
    leaves: dict[str, Issued]
    authorities: dict[str, CertificateAuthority]

    def check(
        self, name: str, offer: TlsOffer, serve: Server = nginx, **fields: Any
    ) -> pb.CheckEndpointResponse:
        """Serve the offer at the partner's address and check it, measured afresh."""
        partner = self.partners[name]
        with serve(partner.at, offer):
            return self.ask(partner.host, partner, **fields)

    def ask(self, host: str, partner: KnownPartner, **fields: Any) -> pb.CheckEndpointResponse:
        freshness = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
        return self.service.check(host, partner.at, **{"freshness": freshness, **fields})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = PartnerFolder(tmp_path_factory.mktemp("partners"))
    policy = tmp_path_factory.mktemp("policies") / "mutual.toml"
    policy.write_text(MUTUAL, encoding="utf-8")
    authorities = {
        name: CertificateAuthority.create(f"CA of {name}") for name in ("a", "b", "client")
    }
    names = ("pinned", "key", "bit", "child", "ended", "ends")
    leaves = {
        name: self_signed(dns=(f"{name}.partner.test",), ca=name == "child") for name in names
    }
    ca_a, ca_b = private_ca(authorities["a"].pem), private_ca(authorities["b"].pem)
    partners = {
        "pinned": folder.partner("pinned", rest=pin(leaves["pinned"])),
        "key": folder.partner("key", rest=pin(leaves["key"], kind="spki_sha256")),
        "bit": folder.partner("bit", rest=pin(leaves["bit"])),
        "child": folder.partner("child", rest=pin(leaves["child"])),
        "ended": folder.partner("ended", rest=pin(leaves["ended"], ends=now() - DAY)),
        "ends": folder.partner("ends", rest=pin(leaves["ends"], ends=now() + 3 * DAY)),
        "a": folder.partner("a", rest=ca_a),
        "b": folder.partner("b", rest=ca_b),
        "old": folder.partner(
            "old",
            rest=ca_a
            + waiver("TLS_VERSION_BELOW_MINIMUM", now() + 2 * DAY, covers='versions = ["TLS 1.1"]'),
        ),
        "older": folder.partner(
            "older",
            rest=ca_a
            + waiver("TLS_VERSION_BELOW_MINIMUM", now() + 2 * DAY, covers='versions = ["TLS 1.0"]'),
        ),
        "address": folder.by_address("address", ca_a),
        "books": folder.partner("books", host="bücher.partner.test", rest=ca_a),
        "wild": folder.partner(
            "wild",
            host="one.wild.test",
            wildcard="*.wild.test",
            names=("two.one.wild.test", "wild.test"),
            rest=ca_a,
        ),
        "suffix": folder.partner("suffix", host="shop.co.test", rest=ca_a),
        "strict": folder.partner("strict", rest='policy = "otpc-2024-12-strict"\n' + ca_a),
        "edge": folder.partner("edge", rest='server_names = ["listed.test"]\n' + ca_a),
        "demanding": folder.partner(
            "demanding", rest='policy = "mutual"\nclient_auth = "required"\n' + ca_a
        ),
        "open": folder.partner("open", rest='policy = "mutual"\nclient_auth = "none"\n' + ca_a),
    }
    folder.hosts["xn--bcher-kva.partner.test"] = folder.hosts.pop("bücher.partner.test")
    clock = MovableClock()
    with running_service(folder.settings(policy_files=[policy]), clock) as service:
        yield World(service, clock, partners, leaves, authorities)


@pytest.fixture(autouse=True)
def the_clock_is_right(world: World) -> None:
    world.clock.move_to(now())


def codes(
    response: pb.CheckEndpointResponse, effect: "pb.Effect.ValueType | None" = None
) -> set[str]:
    return {each.code for each in response.findings if effect is None or each.effect == effect}


def offer(*leaves: Issued, **how: object) -> TlsOffer:
    return TlsOffer(certificates=leaves, **how)  # type: ignore[arg-type]


def leaf(world: World, name: str, authority: str = "a", **how: object) -> Issued:
    return world.authorities[authority].issue(dns=(name,), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pinned", "key"])
def test_a_pinned_self_signed_certificate_is_allowed_and_the_partner_named(
    world: World, name: str
) -> None:
    response = world.check(name, offer(world.leaves[name]))
    assert (decision_of(response), codes(response), response.partner.id) == (
        "ALLOW",
        {ANCHOR},
        name,
    ), summary(response)
    assert "agreed by phone" in response.findings[0].message


def test_the_pinned_certificate_with_one_bit_turned_is_denied(world: World) -> None:
    response = world.check("bit", offer(one_bit_different(world.leaves["bit"])))
    assert (decision_of(response), codes(response)) == ("DENY", {"CERTIFICATE_UNTRUSTED"}), summary(
        response
    )
    assert decision_of(world.check("bit", offer(world.leaves["bit"]))) == "ALLOW"


def test_a_child_of_the_pinned_certificate_is_denied(world: World) -> None:
    parent = world.leaves["child"]
    child = CertificateAuthority(
        parent.certificate, parent.private_key, (parent.certificate,)
    ).issue(dns=("child.partner.test",))
    response = world.check("child", offer(child))
    assert (decision_of(response), codes(response, pb.EFFECT_DENY)) == (
        "DENY",
        {"CERTIFICATE_UNTRUSTED"},
    ), summary(response)


def test_a_private_ca_is_trusted_for_its_partner_only(world: World) -> None:
    assert decision_of(world.check("a", offer(leaf(world, "a.partner.test")))) == "ALLOW"
    assert decision_of(world.check("b", offer(leaf(world, "b.partner.test", "b")))) == "ALLOW"
    response = world.check("b", offer(leaf(world, "b.partner.test", "a")))
    assert (decision_of(response), "CERTIFICATE_UNTRUSTED" in codes(response, pb.EFFECT_DENY)) == (
        "DENY",
        True,
    ), summary(response)


def test_an_ended_pin_is_no_longer_trusted_and_the_answer_reports_it(world: World) -> None:
    response = world.check("ended", offer(world.leaves["ended"]))
    assert (decision_of(response), codes(response)) == (
        "DENY",
        {"CERTIFICATE_UNTRUSTED", "PARTNER_TRUST_ENDED"},
    ), summary(response)


def test_a_pin_ends_at_its_instant_and_no_answer_outlives_it(world: World) -> None:
    partner, served = world.partners["ends"], offer(world.leaves["ends"])
    with nginx(partner.at, served):
        before = world.ask(partner.host, partner)
        assert (decision_of(before), codes(before)) == (
            "ALLOW",
            {ANCHOR, "PARTNER_TRUST_ENDS_SOON"},
        ), summary(before)
        end = now() + 3 * DAY
        world.clock.move_to(end - timedelta(seconds=30))
        late = world.ask(partner.host, partner)
        assert decision_of(late) == "ALLOW"
        assert late.result_info.expire_time.ToDatetime(end.tzinfo) <= end
        world.clock.move_to(end)
        after = world.ask(partner.host, partner)
        assert (decision_of(after), codes(after)) == (
            "DENY",
            {"CERTIFICATE_UNTRUSTED", "PARTNER_TRUST_ENDED"},
        ), summary(after)


def test_a_waiver_suspends_a_denial_until_it_ends_without_a_new_measurement(world: World) -> None:
    partner = world.partners["old"]
    pair = (leaf(world, partner.host, key="rsa2048"), leaf(world, partner.host))
    with nginx(partner.at, offer(*pair, versions=("1.1", "1.2", "1.3"), ciphers=OLD_CIPHERS)):
        active = world.ask(partner.host, partner)
        assert (decision_of(active), codes(active, pb.EFFECT_WAIVED)) == (
            "ALLOW",
            {"TLS_VERSION_BELOW_MINIMUM"},
        ), summary(active)
        (waived,) = (each for each in active.findings if each.effect == pb.EFFECT_WAIVED)
        ends = waived.waiver_expire_time.ToDatetime(now().tzinfo)
        assert timedelta(days=1) < ends - now() <= 2 * DAY
        assert active.result_info.expire_time.ToDatetime(ends.tzinfo) <= ends
        assert "PARTNER_WAIVER_ENDS_SOON" in codes(active, pb.EFFECT_ADVISORY)
        world.clock.move_to(ends)
        ended = world.ask(partner.host, partner)
        assert (decision_of(ended), codes(ended, pb.EFFECT_DENY)) == (
            "DENY",
            {"TLS_VERSION_BELOW_MINIMUM"},
        ), summary(ended)
        assert "PARTNER_WAIVER_ENDED" in codes(ended, pb.EFFECT_ADVISORY)


def test_a_waiver_of_another_version_waives_nothing(world: World) -> None:
    pair = (leaf(world, "older.partner.test", key="rsa2048"), leaf(world, "older.partner.test"))
    response = world.check(
        "older", offer(*pair, versions=("1.1", "1.2", "1.3"), ciphers=OLD_CIPHERS)
    )
    assert (decision_of(response), codes(response, pb.EFFECT_DENY)) == (
        "DENY",
        {"TLS_VERSION_BELOW_MINIMUM"},
    ), summary(response)


def test_a_partner_without_a_name_is_judged_by_its_address(world: World) -> None:
    partner = world.partners["address"]
    response = world.check(
        "address", offer(world.authorities["a"].issue(dns=(), ips=(partner.at.address,)))
    )
    assert (decision_of(response), response.partner.id) == ("ALLOW", "address"), summary(response)
    wrong = world.check("address", offer(world.authorities["a"].issue(dns=(partner.at.address,))))
    assert (decision_of(wrong), codes(wrong, pb.EFFECT_DENY)) == (
        "DENY",
        {"CERTIFICATE_NAME_MISMATCH"},
    ), summary(wrong)


@pytest.mark.parametrize(
    "host", ["bücher.partner.test", "BÜCHER.partner.test.", "xn--bcher-kva.partner.test"]
)
def test_an_internationalised_name_is_one_name_however_it_is_written(
    world: World, host: str
) -> None:
    partner = world.partners["books"]
    with nginx(partner.at, offer(leaf(world, "xn--bcher-kva.partner.test"))):
        response = world.ask(host, partner)
    assert (decision_of(response), response.partner.id) == ("ALLOW", "books"), summary(response)


def test_a_wildcard_pattern_is_for_exactly_one_label(world: World) -> None:
    partner = world.partners["wild"]
    with nginx(
        partner.at,
        offer(
            world.authorities["a"].issue(dns=("one.wild.test", "two.one.wild.test", "wild.test"))
        ),
    ):
        answers = {
            host: world.ask(host, partner)
            for host in ("one.wild.test", "two.one.wild.test", "wild.test")
        }
    assert {host: (decision_of(answer), answer.partner.id) for host, answer in answers.items()} == {
        "one.wild.test": ("ALLOW", "wild"),
        "two.one.wild.test": ("DENY", ""),
        "wild.test": ("DENY", ""),
    }


@pytest.mark.parametrize(
    ("name", "san", "decision"),
    [
        # A wildcard must be followed by at least two labels, so it cannot cover a top-level domain.
        ("wild", "*.test", "DENY"),
        ("wild", "*.wild.test", "ALLOW"),
        # A wildcard must be a whole label (RFC 9525 6.3).
        ("wild", "o*.wild.test", "DENY"),
        ("wild", "*e.wild.test", "DENY"),
        ("wild", "one.*.test", "DENY"),
        ("wild", "*.*.test", "DENY"),
        # Public suffixes are treated like any other domain: only the partner's own CA could issue
        # this.
        ("suffix", "*.co.test", "ALLOW"),
    ],
)
def test_wildcards_of_certificates(world: World, name: str, san: str, decision: str) -> None:
    response = world.check(name, offer(leaf(world, san)))
    assert decision_of(response) == decision, summary(response)
    assert decision == "ALLOW" or "CERTIFICATE_NAME_MISMATCH" in codes(response, pb.EFFECT_DENY)


def test_the_policy_of_the_request_and_that_of_the_partner_judge_and_the_worse_wins(
    world: World,
) -> None:
    response = world.check("strict", offer(leaf(world, "strict.partner.test")))
    assert (decision_of(response), codes(response, pb.EFFECT_DENY)) == ("DENY", {ANCHOR}), summary(
        response
    )
    assert (response.policy.name, response.partner.policy.name) == (
        "otpc-2024-12",
        "otpc-2024-12-strict",
    )
    same = world.check(
        "strict", offer(leaf(world, "strict.partner.test")), policy="otpc-2024-12-strict"
    )
    assert (decision_of(same), same.partner.HasField("policy")) == ("DENY", False)
    asked_for_strict = world.check(
        "a", offer(leaf(world, "a.partner.test")), policy="otpc-2024-12-strict"
    )
    assert decision_of(asked_for_strict) == "DENY"


def test_a_server_name_must_be_listed_in_the_entry_and_nothing_is_dialled_for_another(
    world: World,
) -> None:
    partner = world.partners["edge"]
    with nginx(partner.at, offer(leaf(world, "listed.test"))):
        listed = world.ask(partner.host, partner, server_name="listed.test")
    assert decision_of(listed) == "ALLOW", summary(listed)
    with counting_server(partner.at, stall) as counts:
        other = world.ask(partner.host, partner, server_name="unlisted.test")
    assert (decision_of(other), codes(other), list(other.judged_addresses)) == (
        "DENY",
        {"SERVER_NAME_NOT_LISTED"},
        [],
    )
    assert counts.connections == 0


def test_client_certificates_are_demanded_as_agreed(world: World) -> None:
    demanding, open_ = leaf(world, "demanding.partner.test"), leaf(world, "open.partner.test")
    client_ca = world.authorities["client"].pem
    # HAProxy refuses in the handshake. nginx would complete it and refuse in HTTP, which proves
    # less than was agreed.
    assert (
        decision_of(world.check("demanding", offer(demanding, client_ca=client_ca), haproxy))
        == "ALLOW"
    )
    assert codes(
        world.check("demanding", offer(demanding, client_ca=client_ca)), pb.EFFECT_DENY
    ) == {"CLIENT_AUTH_MISSING"}
    missing = world.check("demanding", offer(demanding))
    assert (decision_of(missing), codes(missing, pb.EFFECT_DENY)) == (
        "DENY",
        {"CLIENT_AUTH_MISSING"},
    ), summary(missing)
    assert decision_of(world.check("open", offer(open_))) == "ALLOW"
    unexpected = world.check("open", offer(open_, client_ca=client_ca))
    assert (decision_of(unexpected), codes(unexpected, pb.EFFECT_DENY)) == (
        "DENY",
        {"CLIENT_AUTH_UNEXPECTED"},
    ), summary(unexpected)


def test_a_chain_in_hand_is_judged_by_the_partner_of_its_name(world: World) -> None:
    def validate(issued: Issued, name: str) -> pb.ValidateCertificateResponse:
        request = pb.ValidateCertificateRequest(
            der_chain=pb.DerChain(certificates=issued.chain_der), server_name=name
        )
        answer = world.service.stub.ValidateCertificate(request, timeout=10)
        assert isinstance(answer, pb.ValidateCertificateResponse)
        return answer

    good = validate(leaf(world, "a.partner.test"), "a.partner.test")
    assert (decision_of(good), good.partner.id) == ("ALLOW", "a")
    assert decision_of(validate(leaf(world, "b.partner.test"), "b.partner.test")) == "DENY"
    assert decision_of(validate(leaf(world, "listed.test"), "listed.test")) == "ALLOW"


def test_ends_are_told_in_metrics_by_kind(world: World) -> None:
    metric = world.service.metric
    assert metric("otpc_policy_partners") == len(world.partners)
    assert 2.9 * 86400 < metric('otpc_policy_partner_next_end_seconds{kind="pin"}') <= 3 * 86400
    assert 1.9 * 86400 < metric('otpc_policy_partner_next_end_seconds{kind="waiver"}') <= 2 * 86400
    assert metric('otpc_policy_partner_next_end_seconds{kind="anchor"}') == float("inf")
    assert metric('otpc_policy_partner_ended{kind="pin"}') == 1
    world.clock.move_to(now() + 2 * DAY)
    assert metric('otpc_policy_partner_ended{kind="waiver"}') == 2
