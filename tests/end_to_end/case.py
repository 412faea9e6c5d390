"""A rule of the policy, as a partner that meets or breaks it and the verdict that must follow."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.world import Partner, World
from tests.support.loopback import Listener
from tests.support.servers import TlsOffer, nginx

STRICT = "otpc-2024-12-strict"
ANCHOR = "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"
UNLISTED = "CIPHER_SUITE_NOT_LISTED"

# Starts the partner's server, given its listener and the name in its certificates.
Serve = Callable[[World, Listener, str], AbstractContextManager[Listener]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A rule and its verdict.

    denies, advises, leaves_unknown: the codes of all findings by effect; no other may appear.
    says: part of a finding's message. pinned: use the partner whose leaf is pinned.
    """

    rule: str
    serve: Serve
    denies: frozenset[str] = frozenset()
    advises: frozenset[str] = frozenset({ANCHOR})
    leaves_unknown: frozenset[str] = frozenset()
    says: str = ""
    policy: str = ""
    pinned: bool = False

    @property
    def decision(self) -> str:
        """DENY beats INDETERMINATE beats ALLOW."""
        return "DENY" if self.denies else "INDETERMINATE" if self.leaves_unknown else "ALLOW"

    def partner(self, world: World) -> Partner:
        """Return the partner whose server it is."""
        return world.pinned if self.pinned else world.partner()

    def hold(self, response: pb.CheckEndpointResponse) -> None:
        """Assert that the response is the verdict of this case."""
        found = {(finding.code, _effect_of(finding)) for finding in response.findings}
        effects = {
            "DENY": self.denies,
            "ADVISORY": self.advises,
            "INDETERMINATE": self.leaves_unknown,
        }
        expected = {(code, effect) for effect, codes in effects.items() for code in codes}
        assert (decision_of(response), found) == (self.decision, expected), summary(response)
        assert response.evaluated_decision == response.decision
        assert (
            any(self.says in finding.message for finding in response.findings) or not self.says
        ), summary(response)


def decision_of(response: pb.CheckEndpointResponse | pb.ValidateCertificateResponse) -> str:
    """Return ALLOW, DENY or INDETERMINATE."""
    return pb.Decision.Name(response.decision).removeprefix("DECISION_")


def _effect_of(finding: pb.Finding) -> str:
    return pb.Effect.Name(finding.effect).removeprefix("EFFECT_")


def summary(response: pb.CheckEndpointResponse) -> str:
    """Return what matters of a response, for people who look for the reason of a failed test."""
    findings = [
        f"{_effect_of(finding)} {finding.code} {finding.address} {finding.message}"
        for finding in response.findings
    ]
    remarks = [
        f"remark: {remark}"
        for address in response.observation.addresses
        for remark in address.remarks
    ]
    return "\n".join([decision_of(response), *findings, *remarks])


def codes(*names: str) -> frozenset[str]:
    """Return a set of finding codes."""
    return frozenset(names)


def on_nginx(offer: Callable[[World, str], TlsOffer], **how: Any) -> Serve:
    """Return an nginx with this offer. how: as for nginx."""
    return lambda world, at, name: nginx(at, offer(world, name), **how)
