"""Clients whose hellos were recorded from real programs: dated data, and the profiles they make.

Each file of the folder `recorded` is one client, as `python -m tests.recording` writes it: which
program, of which version, was run by which command on which day, what its hello contained, and what
differed from one hello to the next. GREASE values (RFC 8701) stand as "GREASE". Names are those of
IANA's registries; what has no name is a number in hexadecimal.

A file is read when it is first asked for and then kept. An error in a file is an error of ours, so
it is a ValueError that names the file, and tests read them all.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from enum import Enum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.groups import named_groups
from otpc_policy.core.registries.schemes import scheme_name
from otpc_policy.core.registries.suites import all_suites
from otpc_policy.engine.profiles.clients import (
    GREASE_FIRST,
    GREASE_GROUP,
    GREASE_LAST,
    GREASE_SUITE,
    ClientProfile,
)
from otpc_policy.engine.profiles.extension_kinds import ENCRYPTED_CLIENT_HELLO, TRUST_ANCHORS
from otpc_policy.engine.profiles.extension_names import EXTENSION_NAMES, VERSION_NAMES
from otpc_policy.tls.hello_extensions import vector

GREASE: Final = "GREASE"
# RFC 5746 and RFC 7507: IANA registers them among the suites.
SIGNAL_NAMES: Final[Mapping[int, str]] = {
    0x00FF: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
    0x5600: "TLS_FALLBACK_SCSV",
}
_FOLDER: Final = "recorded"
_SERVER_NAME, _GROUPS, _FORMATS, _SCHEMES, _ALPN, _PADDING = 0, 10, 11, 13, 16, 21
_VERSIONS, _KEY_SHARE = 43, 51
_X25519, _X25519_ML_KEM_768 = 29, 0x11EC
# Of what a file counts: bytes, hellos.
_LARGEST_NUMBER: Final = 4096
_HEXADECIMAL: Final = re.compile(r"([0-9a-f]{2})*")
_IDENTITY: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
# Whose content is written down by a field of its own, or is made anew for each hello.
STRUCTURED: Final = frozenset(
    {_SERVER_NAME, _GROUPS, _FORMATS, _SCHEMES, _ALPN, _PADDING, _VERSIONS, _KEY_SHARE}
)


class ClientKind(Enum):
    """What a recording stands for.

    CURRENT: a program as it connects by default. OLD: a client of a version below TLS 1.2.
    INSECURE: a client that was told to offer suites without encryption or authentication.
    """

    CURRENT = "current"
    OLD = "old"
    INSECURE = "insecure"


class Varies(Enum):
    """What differed between hellos of one program, apart from Random."""

    SESSION_ID = "session_id"
    KEY_SHARE = "key_share"
    GREASE = "grease"
    EXTENSION_ORDER = "extension_order"
    ENCRYPTED_CLIENT_HELLO = "encrypted_client_hello"
    TRUST_ANCHORS = "trust_anchors"


# The extension whose content varies.
_DRAWN: Final[Mapping[Varies, int]] = {
    Varies.ENCRYPTED_CLIENT_HELLO: ENCRYPTED_CLIENT_HELLO,
    Varies.TRUST_ANCHORS: TRUST_ANCHORS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedClient:
    """One client.

    name: its identity, as the setting `client_profiles` names it. program: for people.
    version: as the program reports it. command: with HOST and PORT for the recorder's.
    source: where the hello is from; a recording of the program itself, unless this says otherwise.
    recordings: how many hellos were compared for `varies`.
    """

    name: str
    kind: ClientKind
    program: str
    version: str
    recorded_on: date
    command: str
    source: str
    recordings: int
    varies: frozenset[Varies]
    profile: ClientProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class _PaddingTable:
    """RFC 7685: hellos of `from` bytes or more are padded to `to` bytes, record header included."""

    from_bytes: int
    to_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _HelloTable:
    legacy_version: str
    cipher_suites: tuple[str, ...]
    form: str = "TLS"
    record_version: str = "TLS 1.0"
    session_id_bytes: int = 0
    compression_methods: tuple[int, ...] = (0,)
    extensions: tuple[str, ...] = ()
    supported_versions: tuple[str, ...] = ()
    supported_groups: tuple[str, ...] = ()
    key_shares: tuple[str, ...] = ()
    repeats_curve_keys: bool = False
    signature_algorithms: tuple[str, ...] = ()
    alpn: tuple[str, ...] = ()
    point_formats: tuple[int, ...] = ()
    padding: _PaddingTable | None = None
    other_contents: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    name: str
    kind: str
    program: str
    version: str
    recorded_on: date
    command: str
    source: str
    recordings: int
    hello: _HelloTable
    varies: tuple[str, ...] = ()


_Table = TypeVar("_Table")
_TABLES: Final[Mapping[str, type[Any]]] = {"hello": _HelloTable, "padding": _PaddingTable}


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_NUMBER


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _are(test: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, tuple) and all(map(test, value))


# Whether a value is of a field's type.
_FORMS: Final[Mapping[str, Callable[[Any], bool]]] = {
    str(str): _is_text,
    str(int): _is_number,
    str(bool): lambda value: isinstance(value, bool),
    str(date): lambda value: type(value) is date,
    str(tuple[str, ...]): _are(_is_text),
    str(tuple[int, ...]): _are(_is_number),
    str(dict[str, str]): lambda value: (
        isinstance(value, dict) and all(map(_HEXADECIMAL.fullmatch, value.values()))
    ),
    str(_HelloTable): lambda value: isinstance(value, _HelloTable),
    str(_PaddingTable | None): lambda value: isinstance(value, _PaddingTable),
}


@cache
def recorded_clients() -> Mapping[str, RecordedClient]:
    """Return every recorded client by name, in the order of the names. Raises ValueError."""
    folder = files(__package__).joinpath(_FOLDER)
    found = (
        parse_client(file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    )
    return MappingProxyType({client.name: client for client in sorted(found, key=_name)})


def current_profiles(names: Iterable[str]) -> tuple[ClientProfile, ...]:
    """Return the profiles of these clients, in this order.

    Raises ValueError for a name that is not that of a current client.
    """
    profiles = []
    for name in names:
        client = recorded_clients().get(name)
        if client is None or client.kind is not ClientKind.CURRENT:
            raise ValueError(f"{name!r} is not a current client")
        profiles.append(client.profile)
    return tuple(profiles)


def _name(client: RecordedClient) -> str:
    return client.name


def parse_client(file_name: str, text: str) -> RecordedClient:
    """Return the client that a file describes. Raises ValueError with the file's name."""
    try:
        document = _read(_Document, tomllib.loads(text))
        if file_name != f"{document.name}.toml" or not _IDENTITY.fullmatch(document.name):
            raise ValueError(f"the name {document.name!r} is not that of the file")
        varies = frozenset(map(Varies, document.varies))
        return RecordedClient(
            name=document.name,
            kind=ClientKind(document.kind),
            program=document.program,
            version=document.version,
            recorded_on=document.recorded_on,
            command=document.command,
            source=document.source,
            recordings=document.recordings,
            varies=varies,
            profile=_profile(document.name, document.hello, varies),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file_name}: {error}") from error


def _read(kind: type[_Table], tree: Mapping[str, Any]) -> _Table:
    """Return a table, whose keys and values are exactly what it has fields for.

    Without a library for it: the engine starts in less time than one takes to be imported. Raises
    TypeError and ValueError.
    """
    types = {one.name: one.type for one in fields(cast(Any, kind))}
    values = {}
    for name, value in tree.items():
        if name not in types:
            raise ValueError(f"{name} is not a field of the format")
        nested = _TABLES.get(name)
        read = _read(nested, value) if nested is not None and isinstance(value, dict) else value
        values[name] = tuple(read) if isinstance(read, list) else read
        if not _FORMS[str(types[name])](values[name]):
            raise ValueError(f"{name}: {value!r:.80} is not {types[name]}")
    return kind(**values)


def _profile(name: str, hello: _HelloTable, varies: frozenset[Varies]) -> ClientProfile:
    is_ssl2 = hello.form == "SSL 2"
    extensions = _extensions(hello.extensions)
    groups = _listed(hello.supported_groups, _group, GREASE_GROUP)
    shares = tuple(_listed(hello.key_shares, _group, GREASE_GROUP))
    offered = [_version(text) for text in hello.supported_versions if text != GREASE]
    legacy = _version(hello.legacy_version)
    _check_consistent(hello, extensions)
    if offered != sorted(offered, reverse=True) or (offered and max(offered) < legacy):
        raise ValueError("supported_versions are not in descending order")
    if [group for group in groups if group in shares] != list(shares):
        raise ValueError("key_shares are not in the order of supported_groups")
    if (GREASE in hello.supported_versions) != (GREASE_FIRST in extensions):
        raise ValueError("GREASE stands among the versions or among the extensions alone")
    drawn = tuple(kind for name, kind in _DRAWN.items() if name in varies)
    if not set(drawn) <= set(extensions):
        raise ValueError("the content of an extension varies that is not sent")
    if hello.repeats_curve_keys and not {_X25519, _X25519_ML_KEM_768} <= set(shares):
        raise ValueError("repeats_curve_keys without both key shares")
    return ClientProfile(
        name=name,
        highest=max(offered, default=legacy),
        lowest=min(offered, default=TlsVersion.SSL_3_0),
        listed_suites=_listed(hello.cipher_suites, _suite, GREASE_SUITE),
        extensions=tuple(kind for kind in extensions if kind != _PADDING),
        groups=groups,
        # Safari lists a scheme twice.
        schemes=tuple(map(_scheme, hello.signature_algorithms)),
        share_groups=tuple(group for group in shares if group != GREASE_GROUP),
        repeats_curve_keys=hello.repeats_curve_keys,
        record_version=0x0301 if is_ssl2 else _version(hello.record_version),
        has_session_id=bool(hello.session_id_bytes),
        padded_to=hello.padding.to_bytes if hello.padding else 0,
        padded_from=hello.padding.from_bytes if hello.padding else 0,
        compression=hello.compression_methods,
        contents=_contents(hello),
        drawn_contents=drawn,
        shuffles_extensions=Varies.EXTENSION_ORDER in varies,
        is_ssl2_format=is_ssl2,
    )


def _check_consistent(hello: _HelloTable, extensions: Sequence[int]) -> None:
    """Every field stands with its extension, and every extension with its content."""
    if hello.form not in ("TLS", "SSL 2") or hello.session_id_bytes not in (0, 32):
        raise ValueError("form or session_id_bytes are such as no client has")
    stated = {
        _GROUPS: hello.supported_groups,
        _FORMATS: hello.point_formats,
        _SCHEMES: hello.signature_algorithms,
        _ALPN: hello.alpn,
        _VERSIONS: hello.supported_versions,
    }
    for kind, listed in stated.items():
        if bool(listed) != (kind in extensions):
            raise ValueError(f"{EXTENSION_NAMES[kind]} is listed without its content, or the like")
    if hello.key_shares and _KEY_SHARE not in extensions:
        raise ValueError("key_shares without the extension")
    if (hello.padding is not None) != (_PADDING in extensions):
        raise ValueError("padding without the extension, or the like")
    if _PADDING in extensions[:-1]:
        raise ValueError("padding is not the last extension")
    wanted = set(extensions) - STRUCTURED - {GREASE_FIRST, GREASE_LAST}
    if {_extension(name) for name in hello.other_contents} != wanted:
        raise ValueError("other_contents are not those of the other extensions")


def _contents(hello: _HelloTable) -> tuple[tuple[int, bytes], ...]:
    contents = [
        (_extension(name), bytes.fromhex(content)) for name, content in hello.other_contents.items()
    ]
    if hello.point_formats:
        contents.append((_FORMATS, vector(1, bytes(hello.point_formats))))
    if hello.alpn:
        names = b"".join(vector(1, protocol.encode("ascii")) for protocol in hello.alpn)
        contents.append((_ALPN, vector(2, names)))
    return tuple(sorted(contents))


def _listed(texts: Iterable[str], number: Callable[[str], int], grease: int) -> tuple[int, ...]:
    listed = tuple(grease if text == GREASE else number(text) for text in texts)
    if len(set(listed)) != len(listed):
        raise ValueError("a value is listed twice")
    return listed


def _extensions(texts: Sequence[str]) -> tuple[int, ...]:
    grease = iter((GREASE_FIRST, GREASE_LAST))
    listed = tuple(next(grease, 0) if text == GREASE else _extension(text) for text in texts)
    if len(set(listed)) != len(listed):
        raise ValueError("an extension is listed twice")
    return listed


def _number(text: str, names: Mapping[str, int]) -> int:
    if text in names:
        return names[text]
    if re.fullmatch(r"0x[0-9A-F]{4}", text):
        return int(text, 16)
    raise ValueError(f"{text!r} is no name of a registry")


def _suite(text: str) -> int:
    return _number(text, _suites_by_name())


def _group(text: str) -> int:
    return _number(text, _groups_by_name())


def _scheme(text: str) -> int:
    return _number(text, _schemes_by_name())


def _extension(text: str) -> int:
    return _number(text, _extensions_by_name())


def _version(text: str) -> TlsVersion:
    return TlsVersion(_number(text, _versions_by_name()))


@cache
def _extensions_by_name() -> Mapping[str, int]:
    return {name: kind for kind, name in EXTENSION_NAMES.items()}


@cache
def _versions_by_name() -> Mapping[str, int]:
    return {name: number for number, name in VERSION_NAMES.items()}


@cache
def _suites_by_name() -> Mapping[str, int]:
    signals = {name: number for number, name in SIGNAL_NAMES.items()}
    return {suite.iana_name: suite.code_point for suite in all_suites()} | signals


@cache
def _groups_by_name() -> Mapping[str, int]:
    return {name: number for number, name in named_groups().items()}


@cache
def _schemes_by_name() -> Mapping[str, int]:
    """Names that TLS 1.2 composes are among them, such as dsa_sha1."""
    return {scheme_name(number): number for number in range(0x0100, 0x0A00)}
