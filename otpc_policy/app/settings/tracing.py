"""The settings of traces."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from otpc_policy.app.settings.audit import OtlpEndpoint
from otpc_policy.app.settings.values import require_tls_beyond_loopback


class TracingSettings(BaseModel):
    """Whether calls leave spans, and where these go. See docs/tracing.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    dangerously_send_without_tls: bool = Field(
        default=False,
        description="Send spans in plain text beyond loopback: anyone on the path can read which "
        "endpoints are checked.",
    )
    otlp_endpoint: OtlpEndpoint = Field(
        default="",
        description="The collector: OTLP over HTTP, such as https://collector.example:4318/v1/"
        "traces. Needs otpc-policy[tracing]. Empty: no call is traced.",
    )
    otlp_ca_file: Path | None = Field(
        default=None, description="PEM CAs of that collector; by default those of the system."
    )
    otlp_headers_file: Path | None = Field(
        default=None,
        description='Headers for that collector, "Name: value" a line, read for every request.',
    )
    otlp_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        allow_inf_nan=False,
        description="Longest time that the collector may be silent.",
    )
    sample_ratio: float = Field(
        default=0.1,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The part of the calls that is traced, of those whose callers do not say "
        "that they trace nothing.",
    )
    callers_may_sample: bool = Field(
        default=False,
        description="Trace every call whose caller traces it. Off, sample_ratio holds for these "
        "too, so no caller decides how much is exported.",
    )
    service_name: str = Field(
        default="otpc-policy",
        min_length=1,
        max_length=128,
        description="The name of this service in traces: service.name.",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _tls_beyond_loopback(cls, value: str, info: ValidationInfo) -> str:
        require_tls_beyond_loopback(value, info, switch="dangerously_send_without_tls")
        return value
