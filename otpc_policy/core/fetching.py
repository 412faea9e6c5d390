"""What is fetched over plain HTTP by URL, and how a fetch can end. Certificates name such URLs."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Self

from otpc_policy.core.endpoint import canonical_host
from otpc_policy.core.shown_text import shortened

# URLs of CRLs of public authorities have fewer than 100 characters.
MAX_URL_CHARACTERS = 1_000
_MAX_SHOWN_CHARACTERS = 150
_HTTP_PORT = 80
# RFC 3986 3: authority, path, query; a fragment stays with the client.
_URL = re.compile(r"http://([^/?#]*)(/[^?#]*)?(\?[^#]*)?(?:#.*)?\Z", re.IGNORECASE)
# Without userinfo, which would only hide the host from people.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:@]+)(?::([0-9]{1,5}))?\Z")


class FetchOutcome(Enum):
    """How a fetch ended, as in the contract (otpc_policy.measurement.v1)."""

    FETCHED = "FETCHED"
    UNRESOLVED = "UNRESOLVED"
    FORBIDDEN = "FORBIDDEN"
    UNREACHABLE = "UNREACHABLE"
    REFUSED = "REFUSED"
    REDIRECTED = "REDIRECTED"
    TOO_LARGE = "TOO_LARGE"
    TIMEOUT = "TIMEOUT"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought. body: whole with FETCHED, empty with any other outcome."""

    outcome: FetchOutcome
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpUrl:
    """An http URL, taken apart. Build one with parse.

    text: the URL as it was given. host: canonical (core.endpoint). target: what a request line
    asks for, beginning with a slash. authority: what a Host header names.
    """

    text: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the URL. Raises ValueError, whose text is for people and holds none of the URL."""
        if len(text) > MAX_URL_CHARACTERS:
            raise ValueError(f"the URL is longer than {MAX_URL_CHARACTERS} characters")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("the URL holds characters that URLs do not have")
        url = _URL.match(text)
        if url is None:
            raise ValueError("the URL is not an http URL")
        authority = _AUTHORITY.match(url[1])
        if authority is None:
            raise ValueError("the URL does not name a host, with or without a port")
        port = _HTTP_PORT if authority[2] is None else int(authority[2])
        if not 0 < port <= 65_535:
            raise ValueError(f"{port} is not a TCP port")
        host = canonical_host(authority[1])
        target = (url[2] or "/") + (url[3] or "")
        return cls(text=text, host=host, port=port, target=target)

    @property
    def brief(self) -> str:
        """The text for a sentence."""
        return shortened(self.text, _MAX_SHOWN_CHARACTERS)

    @property
    def authority(self) -> str:
        """See the class."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTP_PORT else f"{host}:{self.port}"

    def redirected(self, location: str) -> "HttpUrl":
        """Return where a Location header leads: a URL, or a path of this host.

        Raises ValueError as parse does, and for paths that are relative to this one's.
        """
        if location.startswith("//"):
            return HttpUrl.parse(f"http:{location}")
        if location.startswith("/"):
            return HttpUrl.parse(f"http://{self.authority}{location}")
        return HttpUrl.parse(location)
