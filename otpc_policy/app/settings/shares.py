"""What one caller may use of the service, so that there is always something left for the next."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ShareSettings(BaseModel):
    """Budgets of one caller, and what is kept for partners' endpoints.

    A caller is its certificate's identity; without certificates, its connection, and the
    connections from one address share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    scans_per_caller: int = Field(
        default=256,
        ge=1,
        description="Measurements that one caller may have waiting or under way.",
    )
    partners_part: float = Field(
        default=0.25,
        ge=0,
        le=0.9,
        description="Part of the places for measurements, and of those in the queue, that is kept "
        "for partners' endpoints, if there are partners.",
    )
    allowed_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        default=(443, 8443),
        description="Ports that callers may have measured at public addresses, in addition to "
        "those of partners' endpoints. In allow_networks any port may be. Empty: all.",
    )
    targets_per_hour: int = Field(
        default=2_000,
        ge=1,
        description="Different endpoints that one caller may have measured in an hour, not "
        "counting partners'. Callers without certificates at one address count together.",
    )
    names_per_caller: int = Field(
        default=200,
        ge=1,
        description="Names that may be looked up for one caller at the same time.",
    )
    answer_bytes: int = Field(
        default=50_331_648,
        ge=16_777_216,
        description="Answers that are on their way to all callers, in bytes: made, and not read "
        "yet. Memory for them is about twice that.",
    )
    answer_bytes_per_caller: int = Field(
        default=16_777_216,
        ge=8_912_896,
        description="The same for one caller. A batch takes up to 8 MiB.",
    )
    open_calls: int = Field(
        default=10_000,
        ge=100,
        le=100_000,
        description="Calls that may be open, each until its answer has been read; a stream counts "
        "for four, and each for one more with every 16 KiB of its request. Memory for them is "
        "15 KiB each.",
    )
