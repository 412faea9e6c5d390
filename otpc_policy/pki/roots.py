"""Mozilla's roots, as certifi packs them, and the limits that certifi leaves out.

The one place of this package that reads files.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import certifi

from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.pem import read_pem_bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class RootLimit:
    """How far Mozilla trusts a root.

    permitted_dns: empty for every name. sources: where the limit is written.
    """

    sha256: str
    subject: str
    distrust_after: datetime | None = None
    permitted_dns: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def refusal(self, leaf: DecodedCertificate, checks: ConstraintChecks) -> str:
        """Say why the root may not be the anchor of a leaf with a path to it, or "" if it may.

        Raises TooComplexError. Source: https://wiki.mozilla.org/CA/Additional_Trust_Changes: what
        counts is the leaf's notBefore, not the clock.
        """
        if self.distrust_after is not None and leaf.view.not_before > self.distrust_after:
            return (
                f"Mozilla trusts the root {self.subject} for certificates issued until"
                f" {self.distrust_after:%Y-%m-%d %H:%M:%S} UTC only (distrust-after);"
                f" this one is from {leaf.view.not_before:%Y-%m-%d %H:%M:%S} UTC;"
                " an issuer under another root required"
            )
        if self.permitted_dns and not checks.lie_within(self.permitted_dns, leaf):
            permitted = ", ".join(self.permitted_dns)
            return (
                f"Mozilla trusts the root {self.subject} for names under {permitted} only;"
                " an issuer under another root required"
            )
        return ""


def limits_by_root(limits: Sequence[RootLimit]) -> Mapping[str, RootLimit]:
    """Return limits by the SHA-256 of the root."""
    return MappingProxyType({limit.sha256: limit for limit in limits})


@cache
def mozilla_roots() -> tuple[bytes, ...]:
    """Return the roots of the Mozilla CA program in DER, always the same object.

    Source: https://wiki.mozilla.org/CA, trusted for TLS servers.
    """
    return read_pem_bundle(certifi.contents())


@cache
def mozilla_limits() -> Mapping[str, RootLimit]:
    """Return the limits of Mozilla's roots by SHA-256.

    The file says of what day they are; limits set later are not known.
    """
    return limits_by_root([_limit(root) for root in root_limits_document()["roots"]])


@cache
def root_limits_document() -> Mapping[str, Any]:
    """Return the file of limits."""
    return tomllib.loads(
        (resources.files("otpc_policy.pki") / "root_limits.toml").read_text(encoding="utf-8")
    )


def _limit(entry: Mapping[str, Any]) -> RootLimit:
    return RootLimit(
        sha256=entry["sha256"],
        subject=entry["subject"],
        distrust_after=entry.get("distrust_after"),
        permitted_dns=tuple(entry.get("permitted_dns", ())),
        sources=tuple(entry["sources"]),
    )
