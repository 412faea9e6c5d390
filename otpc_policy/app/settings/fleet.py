"""The settings of what several replicas share."""

import re
from collections.abc import Sequence
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

# Whoever names more servers to begin with gains nothing.
_MOST_URLS = 32
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


class StoreMode(StrEnum):
    """What a store consists of."""

    SINGLE = "single"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


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
    urls: tuple[StoreUrl, ...] = Field(
        default=(),
        max_length=_MOST_URLS,
        description="In place of url: servers of a cluster, any of which tells the others, or all "
        "sentinels. All with one scheme.",
    )
    mode: StoreMode = Field(
        default=StoreMode.SINGLE,
        description='`"cluster"`: url or urls name servers of a Valkey or Redis Cluster. '
        '`"sentinel"`: they name sentinels, which know the primary called primary_name.',
    )
    primary_name: str = Field(
        default="",
        max_length=128,
        description="What the sentinels call the primary, as in `sentinel monitor`.",
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
    sentinel_user: str = Field(
        default="", max_length=128, description="User name for the sentinels."
    )
    sentinel_password_file: Path | None = Field(
        default=None,
        description="File with the password for the sentinels, mode 0600. They are not shown that "
        "of the store.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM CAs of the store, and of the sentinels; by default those of the system.",
    )

    @property
    def servers(self) -> Sequence[str]:
        """The URLs, of url or urls; empty where nothing is shared."""
        return (self.url,) if self.url else self.urls

    @property
    def may_name_other_machines(self) -> bool:
        """Whether servers that are not of the settings may be reached wherever they are."""
        is_tls = all(urlsplit(url).scheme == "rediss" for url in self.servers)
        return is_tls or self.dangerously_use_store_without_tls

    @field_validator("url", "urls")
    @classmethod
    def _tls_beyond_loopback(
        cls, value: str | Sequence[str], info: ValidationInfo
    ) -> str | Sequence[str]:
        for url in (value,) if isinstance(value, str) else value:
            require_tls_beyond_loopback(
                url,
                info,
                switch="dangerously_use_store_without_tls",
                plain="redis",
                tls="rediss://",
                default_port=6379,
            )
        return value

    @field_validator("urls")
    @classmethod
    def _one_of_both(cls, value: Sequence[str], info: ValidationInfo) -> Sequence[str]:
        if value and info.data.get("url"):
            raise ValueError("takes the place of url: set one of both")
        if not all(value) or len({urlsplit(url).scheme for url in value}) > 1:
            raise ValueError("must all be redis://, or all rediss://")
        return value

    @field_validator("mode")
    @classmethod
    def _servers_of_a_mode(cls, value: StoreMode, info: ValidationInfo) -> StoreMode:
        if "url" not in info.data or "urls" not in info.data:
            return value  # what is wrong with them has been said
        servers = [url for url in (info.data["url"], *info.data["urls"]) if url]
        if value is StoreMode.SINGLE:
            if len(servers) > 1:
                raise ValueError('is "single": set one url, or mode = "cluster" or "sentinel"')
        elif not servers:
            raise ValueError(f'is "{value}": set url or urls')
        elif any(urlsplit(url).path.strip("/0") for url in servers):
            raise ValueError(f'is "{value}", where databases have no numbers: leave out /number')
        return value

    @field_validator("primary_name")
    @classmethod
    def _primary_of_sentinels(cls, value: str, info: ValidationInfo) -> str:
        if "mode" in info.data and (info.data["mode"] is StoreMode.SENTINEL) != bool(value):
            raise ValueError('goes with mode = "sentinel": set both or neither')
        return value

    @field_validator("key_file")
    @classmethod
    def _key_of_a_fleet(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "url" not in info.data or "urls" not in info.data:
            return value
        if (value is None) == bool(info.data["url"] or info.data["urls"]):
            named = "urls" if info.data["urls"] else "url"
            raise ValueError(f"{named} and key_file go together: set both or neither")
        return value

    @field_validator("password_file", "sentinel_password_file")
    @classmethod
    def _password_of_a_user(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        user = (info.field_name or "").replace("password_file", "user")
        if value is None and info.data.get(user):
            raise ValueError(f"is required, because {user} is set")
        return value
