"""What the service under test is configured with.

Partners with names and loopback addresses, an anchor for them, and a pinned leaf.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from otpc_policy.app.settings import Settings
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.loopback import Listener, free_port, own_address
from tests.support.signing import now

_PARTNERS = 240
# A policy on trial: report-only, with short-lived results.
TRIAL = "trial"
_TRIAL_DOCUMENT = f"""\
name = "{TRIAL}"
extends = "otpc-2024-12-strict"
enforcing = false
lifetimes = {{ allow_s = 120, deny_s = 60 }}
"""
# A policy that requires a suite outside of the default policy's six.
AES_256 = "aes-256"
_AES_256_DOCUMENT = f"""\
name = "{AES_256}"
extends = "otpc-2024-12"

[rules.cipher.required]
parameters.suites = ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
"""
# Never dialled: metadata addresses stay forbidden whatever the operator allows.
METADATA_ADDRESS = "169.254.169.254"


@dataclass(frozen=True, slots=True)
class Partner:
    """A name that the service resolves to these addresses."""

    name: str
    addresses: tuple[str, ...]

    def listener(self) -> Listener:
        """Return the first address with a free port."""
        return Listener(self.addresses[0], free_port(self.addresses[0]))


@dataclass(frozen=True, slots=True)
class World:
    """Partners and authorities of a test session.

    root: the anchor for all of *.partner.test. stranger: an authority that is never trusted.
    """

    directory: Path
    root: CertificateAuthority
    intermediate: CertificateAuthority
    stranger: CertificateAuthority
    pinned: Partner
    pinned_leaf: Issued
    two_addresses: tuple[Partner, ...]
    forbidden: Partner
    partly_forbidden: Partner
    partners: tuple[Partner, ...]
    _fresh: Iterator[Partner] = field(repr=False)

    @classmethod
    def create(cls, directory: Path) -> "World":
        """Write what the settings name into the directory."""
        root = CertificateAuthority.create("Partner Root")
        pinned = Partner("pinned.partner.test", (own_address(),))
        partners = tuple(
            Partner(f"p{number}.partner.test", (own_address(),)) for number in range(_PARTNERS)
        )
        world = cls(
            directory=directory,
            root=root,
            intermediate=root.intermediate("Partner Intermediate"),
            stranger=CertificateAuthority.create("Stranger"),
            pinned=pinned,
            pinned_leaf=self_signed(dns=(pinned.name,), key="rsa2048"),
            two_addresses=tuple(
                Partner(f"two{number}.partner.test", (own_address(), own_address()))
                for number in range(4)
            ),
            forbidden=Partner("metadata.partner.test", (METADATA_ADDRESS,)),
            partly_forbidden=Partner("rebound.partner.test", (own_address(), METADATA_ADDRESS)),
            partners=partners,
            _fresh=iter(partners),
        )
        world.anchor_file.write_bytes(root.pem)
        world.trial_file.write_text(_TRIAL_DOCUMENT, encoding="utf-8")
        world.aes_256_file.write_text(_AES_256_DOCUMENT, encoding="utf-8")
        return world

    @property
    def anchor_file(self) -> Path:
        """The anchor in PEM."""
        return self.directory / "anchor.pem"

    @property
    def trial_file(self) -> Path:
        """The policy on trial."""
        return self.directory / "trial.toml"

    @property
    def aes_256_file(self) -> Path:
        """The policy that requires a suite of its own."""
        return self.directory / "aes-256.toml"

    def partner(self) -> Partner:
        """Return a partner that no test has used, so that nothing about it is cached."""
        return next(self._fresh)

    def leaf(self, name: str, **how: Any) -> Issued:
        """Return a leaf under the intermediate. how: as for CertificateAuthority.issue."""
        return self.intermediate.issue(dns=(name,), **how)

    def expired_leaf(self, name: str, *, key: str = "ec256") -> Issued:
        """Return a leaf whose validity ended yesterday."""
        return self.leaf(
            name,
            key=key,
            not_before=now() - timedelta(days=90),
            not_after=now() - timedelta(days=1),
        )

    def pair(self, name: str) -> tuple[Issued, Issued]:
        """Return an RSA and an ECDSA leaf."""
        return self.leaf(name, key="rsa2048"), self.leaf(name, key="ec256")

    def settings(
        self, *, hosts: Mapping[str, Sequence[str]] | None = None, **others: Any
    ) -> Settings:
        """Return settings of a service that may dial loopback and knows everybody here.

        hosts: addresses of further names.
        """
        known = itertools.chain(
            self.partners, self.two_addresses, (self.pinned, self.forbidden, self.partly_forbidden)
        )
        return Settings(
            listen="127.0.0.1:0",
            ops_listen="127.0.0.1:0",
            allow_networks=["127.0.0.0/8", "::1/128"],
            address_families="both",
            static_hosts={
                **{partner.name: list(partner.addresses) for partner in known},
                **{name: list(addresses) for name, addresses in (hosts or {}).items()},
            },
            trust=[
                {
                    "hosts": ["*.partner.test", "::1"],
                    "anchor_file": str(self.anchor_file),
                    "note": "agreed with the partners",
                },
                {
                    "hosts": [self.pinned.name],
                    "certificate_sha256": self.pinned_leaf.sha256,
                    "note": "pinned",
                },
            ],
            policy_files=[str(self.trial_file), str(self.aes_256_file)],
            log_level="warning",
            # Every test has its own partner; only these tests check it twice.
            minimum_refresh_interval_s=0.0,
            dns_timeout_s=2.0,
            drain_delay_s=0.0,
            drain_grace_s=2.0,
            **others,
        )
