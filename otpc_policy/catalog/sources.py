"""What a process loads its catalog from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from otpc_policy.catalog.schemas.trust import TrustTable


class CatalogSources(Protocol):
    """The part of the settings that concerns the catalog; the names are those of the settings."""

    @property
    def default_policy(self) -> str:
        """The policy that an empty name means."""

    @property
    def minimum_policy(self) -> str:
        """The policy that judges in addition to whatever a request names; empty: the default."""

    @property
    def dangerously_without_minimum_policy(self) -> bool:
        """Whether there is no minimum policy."""

    @property
    def policy_files(self) -> Sequence[Path]:
        """Policy documents in addition to the built-in ones."""

    @property
    def policies_dir(self) -> Path | None:
        """A folder of policy documents and their tests."""

    @property
    def partners_dir(self) -> Path | None:
        """A folder of partner documents."""

    @property
    def roles_file(self) -> Path | None:
        """A document that says which callers may do what."""

    @property
    def admin_callers(self) -> Sequence[str]:
        """Names of callers who may administer, in addition to those of the roles."""

    @property
    def catalog_signing_key(self) -> Path | None:
        """Public keys, one of which must have signed each policy and partner document."""

    @property
    def trust(self) -> Sequence[TrustTable]:
        """Anchors and pins in addition to Mozilla's roots and the partners' entries."""
