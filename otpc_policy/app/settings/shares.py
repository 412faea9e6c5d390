"""What one caller may use of the service, so that there is always something left for the next."""

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
