"""Trust in addition to the Mozilla roots, as the settings state it."""

from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from otpc_policy.catalog.schemas.values import OneOrMany, Sha256, TrustedHosts


class TrustTable(BaseModel):
    """One [[trust]] table of the settings: what is trusted, and for which hosts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    hosts: TrustedHosts = Field(
        description='Hosts this entry speaks for: names, "*.name" for one more label, or IP addresses.'
    )
    anchor_file: Path | None = Field(
        default=None, description="PEM file of CA certificates that may issue for these hosts."
    )
    certificate_file: Path | None = Field(
        default=None,
        description="PEM file whose first certificate is pinned: exactly this leaf is trusted.",
    )
    certificate_sha256: OneOrMany[Sha256] = Field(
        default=(), description="Pins: SHA-256 of the leaf's DER encoding."
    )
    spki_sha256: OneOrMany[Sha256] = Field(
        default=(), description="Pins: SHA-256 of the leaf's SubjectPublicKeyInfo."
    )
    note: str = Field(default="", description="For people: why, and who agreed. Shown in findings.")
    ends: AwareDatetime | None = Field(
        default=None, description="The entry stops at this instant (with an offset)."
    )
