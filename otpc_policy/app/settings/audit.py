"""The settings of the audit trail."""

from pydantic import BaseModel, ConfigDict, Field

from otpc_policy.app.settings.values import AuditSinkName, AuditSinks


class AuditSettings(BaseModel):
    """What is recorded of decisions, refusals and configuration, and where. See docs/audit.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    allow_rate: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The part of plain ALLOW decisions that leaves a line. DENY, INDETERMINATE, "
        "waived or reported denials and refusals always do.",
    )
    refusal_lines_per_s: float = Field(
        default=100.0,
        gt=0,
        le=100_000,
        allow_inf_nan=False,
        description="Refusals of one caller that leave a line each, over time; those beyond are "
        "summarised every second, with their number.",
    )
    sinks: AuditSinks = Field(
        default=(AuditSinkName.STDERR,),
        description="Where audit lines go: stderr, stdout, file, otlp.",
    )
