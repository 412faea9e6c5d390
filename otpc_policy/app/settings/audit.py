"""The settings of the audit trail."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from otpc_policy.app.settings.values import AuditSinkName, AuditSinks, require_tls_beyond_loopback


def _otlp_endpoint(text: str) -> str:
    if not text:
        return text
    expected = "must be a URL such as https://collector.example:4318/v1/logs"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"{text!r} {expected}") from None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0 or url.fragment:
        raise ValueError(f"{text!r} {expected}")
    if url.username is not None:
        raise ValueError("must hold no password: put an Authorization header in otlp_headers_file")
    return text


OtlpEndpoint = Annotated[str, AfterValidator(_otlp_endpoint)]


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
    log_file: Path | None = Field(
        default=None,
        description="The file of the sink file. Rotate it by renaming it; SIGHUP opens it anew.",
    )
    chain: bool = Field(
        default=True,
        description="Chain the lines of that file by hash, for `otpc-policy audit verify`.",
    )
    dangerously_send_without_tls: bool = Field(
        default=False,
        description="Send audit lines in plain text beyond loopback: anyone on the path can read "
        "and change them.",
    )
    otlp_endpoint: OtlpEndpoint = Field(
        default="",
        description="The URL of the sink otlp: OTLP over HTTP, such as "
        "https://collector.example:4318/v1/logs.",
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

    @field_validator("log_file")
    @classmethod
    def _file_of_sink(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and AuditSinkName.FILE in info.data.get("sinks", ()):
            raise ValueError("is required, because sinks names file")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _endpoint_of_sink(cls, value: str, info: ValidationInfo) -> str:
        if not value and AuditSinkName.OTLP in info.data.get("sinks", ()):
            raise ValueError("is required, because sinks names otlp")
        require_tls_beyond_loopback(value, info, switch="dangerously_send_without_tls")
        return value
