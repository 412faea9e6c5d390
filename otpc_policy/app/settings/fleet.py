"""The settings of what several replicas share."""

import re
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

from otpc_policy.app.settings.values import leaves_this_machine

_EXPECTED = "must be redis://host:port, or rediss://host:port for TLS, with /number of a database"


def _store_url(text: str) -> str:
    if not text:
        return text
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"{text!r} {_EXPECTED}") from None
    if url.username is not None or url.password is not None:
        raise ValueError("must hold no password: set fleet.user and fleet.password_file")
    database = url.path.removeprefix("/")
    if (
        url.scheme not in ("redis", "rediss")
        or not url.hostname
        or port == 0
        or url.query
        or url.fragment
        or (database and not (database.isascii() and database.isdecimal()))
    ):
        raise ValueError(f"{text!r} {_EXPECTED}")
    return text


def _prefix(text: str) -> str:
    # No braces: between them a cluster looks for what keys are spread by.
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", text):
        raise ValueError("must be 1 to 64 letters, digits, dots, colons, hyphens and underscores")
    return text


StoreUrl = Annotated[str, AfterValidator(_store_url)]
Prefix = Annotated[str, AfterValidator(_prefix)]


class FleetSettings(BaseModel):
    """What replicas share through Valkey or Redis: facts, and who measures. See docs/fleet.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    dangerously_use_store_without_tls: bool = Field(
        default=False,
        description="Reach a store on another machine in plain text: anyone on the path can read "
        "facts, delete them and see the password. Nobody without the key can forge facts.",
    )
    url: StoreUrl = Field(
        default="",
        description="The store: redis://host:port/number, or rediss:// for TLS. Needs "
        "otpc-policy[fleet]. Empty: this process shares nothing.",
    )
    key_file: Path | None = Field(
        default=None,
        description="Keys that facts are signed with: 64 or more hexadecimal digits a line, as "
        "`openssl rand -hex 32` prints. The first signs, all are accepted. Mode 0600.",
    )
    prefix: Prefix = Field(
        default="otpc",
        description="Names in the store begin with it. Fleets that share a store need different "
        "ones.",
    )
    user: str = Field(default="", max_length=128, description="User name for the store.")
    password_file: Path | None = Field(
        default=None, description="File with the password for the store, mode 0600."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM CAs of the store; by default those of the system."
    )

    @field_validator("url")
    @classmethod
    def _tls_beyond_loopback(cls, value: str, info: ValidationInfo) -> str:
        if (
            urlsplit(value).scheme == "redis"
            and not info.data.get("dangerously_use_store_without_tls", True)
            and leaves_this_machine(value, default_port=6379)
        ):
            raise ValueError(
                f"{value} is plain text to another machine: use rediss://, "
                "or dangerously_use_store_without_tls = true"
            )
        return value

    @field_validator("key_file")
    @classmethod
    def _key_of_a_fleet(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "url" in info.data and (value is None) == bool(info.data["url"]):
            raise ValueError("url and key_file go together: set both or neither")
        return value

    @field_validator("password_file")
    @classmethod
    def _password_of_a_store(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and info.data.get("user"):
            raise ValueError("is required, because user is set")
        return value
