"""What is fetched over plain HTTP by URL, and how a fetch can end. Certificates name such URLs."""

from dataclasses import dataclass
from enum import Enum
from typing import Self
from urllib.parse import urljoin, urlsplit

from otpc_policy.core.endpoint import canonical_host

# URLs of CRLs of public authorities have fewer than 100 characters.
MAX_URL_CHARACTERS = 1_000
_HTTP_PORT = 80


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
        _require_url_characters(text)
        parts = urlsplit(text)
        if parts.scheme != "http":
            raise ValueError("the URL is not an http URL")
        if "@" in parts.netloc:
            raise ValueError("the URL names a user")
        port = parts.port
        if port == 0:
            raise ValueError("the URL names port 0")
        host = canonical_host(parts.hostname or "")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(text=text, host=host, port=_HTTP_PORT if port is None else port, target=target)

    @property
    def authority(self) -> str:
        """See the class."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTP_PORT else f"{host}:{self.port}"

    def redirected(self, location: str) -> "HttpUrl":
        """Return where a Location header leads. Raises ValueError as parse does."""
        _require_url_characters(location)
        return HttpUrl.parse(urljoin(self.text, location))


def _require_url_characters(text: str) -> None:
    """Raise ValueError before urllib looks at a text: it drops some characters without a word."""
    if len(text) > MAX_URL_CHARACTERS:
        raise ValueError(f"the URL is longer than {MAX_URL_CHARACTERS} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("the URL holds characters that URLs do not have")
