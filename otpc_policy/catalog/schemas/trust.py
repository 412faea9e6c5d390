"""Trust in addition to the Mozilla roots, as the settings state it."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from otpc_policy.catalog.problems import INSTANT
from otpc_policy.catalog.schemas.tables import OneOrMany, Sha256, read_instant
from otpc_policy.core.endpoint import canonical_host


def _host(text: str) -> str:
    wildcard = text.startswith("*.")
    host = canonical_host(text.removeprefix("*."))
    return f"*.{host}" if wildcard else host


def _not_empty(hosts: tuple[str, ...]) -> tuple[str, ...]:
    # min_length counts valid hosts only, and so would call a list of one wrong host empty.
    if not hosts:
        raise ValueError("is empty: an anchor or pin must name the hosts it speaks for")
    return hosts


def _instant(value: object) -> datetime:
    """Read an instant, which in the environment is text in JSON."""
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value)
        except ValueError:
            pass
        else:
            return read_instant(day)
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(INSTANT) from None
    return read_instant(value)


class TrustTable(BaseModel):
    """One [[trust]] table of the settings: what is trusted, and for which hosts.

    It is read from TOML and from the environment, so that values are converted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    hosts: Annotated[
        OneOrMany[Annotated[str, AfterValidator(_host)]],
        AfterValidator(_not_empty),
    ] = Field(
        description='Hosts this entry speaks for: names, "*.name" for one more label, '
        "or IP addresses."
    )
    anchor_file: Path | None = Field(
        default=None,
        description="File of CA certificates that may issue for these hosts, PEM or DER.",
    )
    certificate_file: Path | None = Field(
        default=None,
        description="File (PEM or DER) whose first certificate is pinned: exactly this leaf is"
        " trusted.",
    )
    certificate_sha256: OneOrMany[Sha256] = Field(
        default=(), description="Pins: SHA-256 of the leaf's DER encoding."
    )
    spki_sha256: OneOrMany[Sha256] = Field(
        default=(), description="Pins: SHA-256 of the leaf's SubjectPublicKeyInfo."
    )
    note: str = Field(default="", description="For people: why, and who agreed. Shown in findings.")
    ends: Annotated[datetime, PlainValidator(_instant)] | None = Field(
        default=None, description="The entry stops at this instant (with a zone)."
    )
