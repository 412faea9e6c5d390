"""The settings of the watch list."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from otpc_policy.app.settings.perspectives import NameOrNone
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.errors import InvalidRequest


def _endpoint(text: str) -> str:
    watched_endpoint(text)
    return text


def watched_endpoint(text: str) -> Endpoint:
    """Return the endpoint of a "host:port". Raises ValueError."""
    host, separator, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not separator or not (port.isascii() and port.isdecimal() and 1 <= len(port) <= 5):
        raise ValueError(f'{text!r} must be host:port, such as "pay.partner.example:443"')
    if "*" in host:
        raise ValueError(f"{text!r} names no endpoint: a wildcard cannot be watched")
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r}: {port} is not a TCP port, 1 to 65535")
    if ":" in bare and bare == host:
        raise ValueError(f"{text!r}: an IPv6 address stands in brackets")
    try:
        return parse_endpoint(bare, int(port))
    except InvalidRequest as error:
        raise ValueError(f"{text!r}: the host {error.violations[0].description}") from None


class WatchSettings(BaseModel):
    """Which endpoints are measured again before their verdicts expire. See docs/watching.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    partners: bool = Field(
        default=False,
        description="Watch every endpoint that partners' entries name, wildcards excepted. It makes"
        " connections that no caller asked for.",
    )
    endpoints: tuple[Annotated[str, AfterValidator(_endpoint)], ...] = Field(
        default=(),
        max_length=10_000,
        description="Further endpoints to watch, as host:port, on whatever port.",
    )
    rate_per_s: float = Field(
        default=5.0,
        gt=0,
        le=100,
        allow_inf_nan=False,
        description="Endpoints whose measurement this process begins in a second, at most.",
    )
    concurrent: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Watched endpoints that this process measures at the same time.",
    )

    perspective: NameOrNone = Field(
        default="",
        description="From where they are measured; empty: from default_perspective.",
    )
    streams: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description="Streams of WatchVerdicts that may be open.",
    )
    streams_per_caller: int = Field(
        default=16,
        ge=1,
        le=10_000,
        description="Streams of WatchVerdicts that one caller may have open.",
    )

    @property
    def is_on(self) -> bool:
        """Something may be watched."""
        return self.partners or bool(self.endpoints)
