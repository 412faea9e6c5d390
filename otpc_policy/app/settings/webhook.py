"""The settings of the webhook."""

from enum import StrEnum
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

from otpc_policy.app.settings.values import require_tls_beyond_loopback

_EXPECTED = "must be a URL such as https://tools.example/hooks/otpc"


def _webhook_url(text: str) -> str:
    if not text:
        return text
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"{text!r} {_EXPECTED}") from None
    if url.username is not None:
        raise ValueError("must hold no password: put an Authorization header in headers_file")
    if (
        url.scheme not in ("http", "https")
        or not url.hostname
        or port == 0
        or url.fragment
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        raise ValueError(f"{text!r} {_EXPECTED}")
    return text


WebhookUrl = Annotated[str, AfterValidator(_webhook_url)]


class DecisionName(StrEnum):
    """Decisions to which changes are delivered."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    INDETERMINATE = "INDETERMINATE"


class WebhookSettings(BaseModel):
    """Where changes of verdicts are sent, as CloudEvents. See docs/changes.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    dangerously_send_without_tls: bool = Field(
        default=False,
        description="Send changes in plain text beyond loopback: anyone on the path can read them, "
        "and suppress them.",
    )
    url: WebhookUrl = Field(
        default="",
        description="Changes of verdicts about watched endpoints are posted here. Empty: none is.",
    )
    key_file: Path | None = Field(
        default=None,
        description='Keys that deliveries are signed with: "whsec_" and 24 to 64 bytes in base64, '
        "one a line; each signs. Mode 0600.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM CAs of that server; by default those of the system."
    )
    headers_file: Path | None = Field(
        default=None,
        description='Headers for that server, "Name: value" a line, read for every request.',
    )
    decisions: tuple[DecisionName, ...] = Field(
        default=(),
        description="Only changes to these: ALLOW, DENY, INDETERMINATE. Empty: all. An endpoint "
        "that is no longer watched is always told.",
    )
    partners: tuple[str, ...] = Field(
        default=(),
        max_length=1_000,
        description="Only endpoints of these partners, by id. Empty: all.",
    )
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=30,
        allow_inf_nan=False,
        description="Longest time of a delivery, answer included.",
    )
    max_age_s: float = Field(
        default=86_400.0,
        ge=60,
        le=604_800,
        allow_inf_nan=False,
        description="A change that could not be delivered for so long is skipped, logged and "
        "counted.",
    )

    @field_validator("url")
    @classmethod
    def _tls_beyond_loopback(cls, value: str, info: ValidationInfo) -> str:
        require_tls_beyond_loopback(value, info, switch="dangerously_send_without_tls")
        return value

    @field_validator("key_file")
    @classmethod
    def _key_of_a_webhook(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "url" in info.data and (value is None) == bool(info.data["url"]):
            raise ValueError("url and key_file go together: set both or neither")
        return value
