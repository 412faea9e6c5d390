"""The types of single settings: how a value is parsed and when it is refused.

Each raises ValueError with a message for the operator; the reader adds where the value was set.
"""

import ipaddress
from enum import Enum, StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo

from otpc_policy.catalog.schemas.tables import OneOrMany
from otpc_policy.core.client_names import CLIENT_NAMES, MOST_CLIENT_PROFILES
from otpc_policy.core.endpoint import canonical_host
from otpc_policy.core.facts import DeepCommand
from otpc_policy.core.identities import read_identity_pattern
from otpc_policy.core.registries.networks import NAT64_PREFIX_LENGTHS

_DNS_PORT = 53


class LogFormat(Enum):
    """The format of log lines: a JSON object each, or columns for people."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(Enum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class AuditSinkName(StrEnum):
    """Where audit lines go."""

    STDERR = "stderr"
    STDOUT = "stdout"
    FILE = "file"
    OTLP = "otlp"


class IsolationLevel(StrEnum):
    """How processes that measure are confined. PREFER: as far as the kernel offers it."""

    PREFER = "prefer"
    REQUIRE = "require"
    OFF = "off"


class AddressFamilies(Enum):
    """Which addresses of a host are measured. ROUTED: families that this machine can route."""

    ROUTED = "routed"
    BOTH = "both"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


def split_address(text: str) -> tuple[str, int]:
    """Return host (IPv6 without brackets) and port of "host:port" or "[host]:port".

    Raises ValueError.
    """
    if "://" in text:
        raise ValueError(f'{text!r} is a URL; must be "host:port"')
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError('must be "host:port", IPv6 as "[::1]:port"')
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed != (":" in host):
        raise ValueError('must be "host:port", IPv6 as "[::1]:port"')
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{port!r} is not a TCP port: 0 to 65535, where 0 takes any free port")
    return canonical_host(host), int(port)


def is_loopback(address: str) -> bool:
    """Whether a listener on this "host:port" can be reached from this machine only."""
    host, _port = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _leaves_this_machine(url: str, *, default_port: int) -> bool:
    """Whether a URL with a host leads to another machine. default_port: where it names none."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return not is_loopback(f"{host}:{parts.port or default_port}")


def require_tls_beyond_loopback(
    url: str,
    info: ValidationInfo,
    *,
    switch: str,
    plain: str = "http",
    tls: str = "https",
    default_port: int = 80,
) -> None:
    """Raise ValueError for plain text to another machine, unless a setting permits that.

    switch: that setting, beside the URL and above it. plain, tls: the schemes. default_port: of the
    plain one.
    """
    if (
        urlsplit(url).scheme == plain
        and not info.data.get(switch, True)
        and _leaves_this_machine(url, default_port=default_port)
    ):
        raise ValueError(f"{url} is plain text to another machine: use {tls}, or {switch} = true")


def _listen_address(text: str) -> str:
    host, port = split_address(text)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_pattern(text: str) -> str:
    wildcard = "*." if text.startswith("*.") else ""
    return wildcard + canonical_host(text.removeprefix(wildcard))


def _ip_literal(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None


def _name_server(text: str) -> str:
    """Return "address:port", IPv6 in brackets; port 53 if none is given."""
    literal, port = text.strip(), str(_DNS_PORT)
    if literal.count(":") == 1 or "]:" in literal:
        literal, _, port = literal.rpartition(":")
    if literal.startswith("[") and literal.endswith("]"):
        literal = literal[1:-1]
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        expected = '"192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"'
        raise ValueError(f"{text!r} is not a name server such as {expected}") from None
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f"{port!r} is not a port: 1 to 65535")
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        return ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"must be a network such as 10.0.0.0/8: {error}") from None


def _nat64_prefix(value: object) -> ipaddress.IPv6Network:
    """Source: RFC 6052, section 2.2."""
    network = _network(value)
    lengths = ", ".join(map(str, NAT64_PREFIX_LENGTHS))
    if not isinstance(network, ipaddress.IPv6Network) or (
        network.prefixlen not in NAT64_PREFIX_LENGTHS
    ):
        raise ValueError(
            f"{network} is not the prefix of a NAT64 translator: IPv6, of length {lengths}"
        )
    if int(network.network_address) >> 56 & 0xFF:
        raise ValueError(f"{network}: bits 64 to 71 of a NAT64 prefix must be zero (RFC 6052, 2.2)")
    return network


def _split_list(value: object) -> object:
    """Split a list from the environment.

    Inside a table the source does not know which settings are lists, so the text arrives unsplit.
    """
    return (
        tuple(item.strip() for item in value.split(",") if item.strip())
        if isinstance(value, str)
        else value
    )


def _at_least_one(names: tuple[AuditSinkName, ...]) -> tuple[AuditSinkName, ...]:
    if not names:
        raise ValueError(f"names nothing; expected some of {', '.join(AuditSinkName)}")
    return tuple(dict.fromkeys(names))


def _admin_caller(text: str) -> str:
    if not text.strip():
        raise ValueError(
            "must not be blank: a caller is named by a subjectAltName of its certificate"
        )
    pattern = read_identity_pattern(text)
    if pattern.kind is None:
        raise ValueError(f"{text!r} means every caller; name who may administer this service")
    return str(pattern)


def _client_profiles(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names without repetitions."""
    expected = f"expected at most {MOST_CLIENT_PROFILES} of {', '.join(CLIENT_NAMES)}"
    for name in names:
        if name not in CLIENT_NAMES:
            raise ValueError(f"{name!r} is not a recorded client; {expected}")
    distinct = tuple(dict.fromkeys(names))
    if len(distinct) > MOST_CLIENT_PROFILES:
        raise ValueError(f"names {len(distinct)} clients; {expected}")
    return distinct


AdminCaller = Annotated[str, AfterValidator(_admin_caller)]


# An engine is a process of some 60 MiB with two workers of its own.
_MOST_ENGINES = 64


def _engine_count(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:4])
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_ENGINES:
        raise ValueError(f'must be "auto" or a whole number from 1 to {_MOST_ENGINES}')
    return value


EngineCount = Annotated[int | Literal["auto"], PlainValidator(_engine_count)]


def _proxy_user(text: str) -> str:
    if ":" in text or not text.isprintable():
        raise ValueError("must be a user name without a colon (RFC 7617)")
    return text


def _proxy_url(text: str) -> str:
    """Return "http://host:port"."""
    scheme, separator, authority = text.rstrip("/").partition("://")
    expected = 'must be "http://host:port"'
    if "@" in authority:
        raise ValueError(
            f"{expected}; credentials go into egress_proxy_user and egress_proxy_password_file"
        )
    if scheme != "http" or not separator:
        raise ValueError(f"{expected}: the proxy is spoken to in plain HTTP, and tunnels TLS")
    host, port = split_address(authority)
    if not port:
        raise ValueError(f"{expected}, with the port of the proxy")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _engine_address(text: str) -> str:
    if text.startswith("unix:"):
        if not text.startswith("unix:/"):
            raise ValueError(f"{text} must name an absolute path, as unix:/run/engine.sock")
        return text
    prefix = "dns:///" if text.startswith("dns:///") else ""
    host, port = split_address(text.removeprefix(prefix))
    if not port:
        raise ValueError(f"{text} lacks the port of its engines")
    return f"{prefix}[{host}]:{port}" if ":" in host else f"{prefix}{host}:{port}"


ProxyUser = Annotated[str, AfterValidator(_proxy_user)]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]
EngineAddress = Annotated[str, AfterValidator(_engine_address)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
HostName = Annotated[str, AfterValidator(canonical_host)]
PartnerHosts = Annotated[
    OneOrMany[Annotated[str, AfterValidator(_host_pattern)]], Field(min_length=1)
]
NameServer = Annotated[str, AfterValidator(_name_server)]
IpLiteral = Annotated[str, AfterValidator(_ip_literal)]
Nat64Prefix = Annotated[ipaddress.IPv6Network, BeforeValidator(_nat64_prefix)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
ClientProfiles = Annotated[tuple[str, ...], AfterValidator(_client_profiles)]
AuditSinks = Annotated[
    tuple[AuditSinkName, ...], BeforeValidator(_split_list), AfterValidator(_at_least_one)
]
DeepCommands = Annotated[tuple[DeepCommand, ...], BeforeValidator(_split_list)]
