"""HOST[:PORT] or an https:// URL from the command line, as host and port."""

import re
from dataclasses import dataclass

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import InvalidRequest

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PORT = re.compile(r"[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """Host as the user wrote it, without brackets, and the port; 0 where none was given."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


def parse_target(text: str, server_name: str = "") -> Target:
    """Return host and port. Path, query and fragment of a URL are dropped: connections are judged.

    Raises ValueError, whose text says how to write it.
    """
    scheme = _SCHEME.match(text)
    authority = text
    if scheme:
        authority = re.split(r"[/?#\\]", text[scheme.end() :], maxsplit=1)[0]
        if scheme[1].lower() == "http":
            raise ValueError(
                "http:// has no transport security, so no policy can allow it; traffic must go to"
                " https://. To judge the host's TLS port, give:"
                f" https://{authority.partition(':')[0] or 'HOST'}"
            )
        if scheme[1].lower() != "https":
            raise ValueError(
                f"{scheme[1]}:// is not supported; give https://HOST[:PORT]/... or HOST[:PORT]"
            )
    elif "/" in text:
        raise ValueError(
            "contains a path; give HOST[:PORT], or a whole URL that begins with https://"
        )
    if "@" in authority:
        raise ValueError(
            "contains a user name; give the host alone, and keep passwords out of command lines"
        )
    host, port = _host_and_port(authority)
    given = {
        "host": repr(host) if host else "host",
        "server_name": f"--server-name {server_name!r}",
    }
    try:
        parse_endpoint(host, port, server_name)
    except InvalidRequest as error:
        raise ValueError(
            "; ".join(
                f"{given.get(violation.field, violation.field)} {violation.description}"
                for violation in error.violations
            )
        ) from None
    return Target(host, port)


def _host_and_port(authority: str) -> tuple[str, int]:
    if authority.startswith("["):
        literal, closed, rest = authority[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(
                "brackets go around an IPv6 address and nothing else: [2001:db8::1]:443"
            )
        return f"[{literal}]", _port(rest[1:]) if rest else 0
    if authority.count(":") > 1:
        raise ValueError(
            f"an IPv6 address needs brackets, or its port is ambiguous: [{authority}]:443"
        )
    host, colon, port = authority.partition(":")
    return host, _port(port) if colon else 0


def _port(text: str) -> int:
    if not _PORT.match(text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is not a TCP port; 1 to 65535")
    return int(text)
