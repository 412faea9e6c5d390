"""What recordings of one client have in common and what differs, as the text of a data file.

The hellos are read by tests.tls.sent_hello, which is strict and shares no code with the encoder.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from otpc_policy.core.registries.groups import group_name
from otpc_policy.core.registries.schemes import scheme_name
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.profiles.extension_names import EXTENSION_NAMES, VERSION_NAMES
from otpc_policy.engine.profiles.recorded_clients import (
    GREASE,
    SIGNAL_NAMES,
    STRUCTURED,
    ClientKind,
    Varies,
)
from tests.tls.sent_hello import Kind, SentHello, is_grease, read_hello

_ENCRYPTED_CLIENT_HELLO, _TRUST_ANCHORS = 65037, 51764
_FORMATS = int(Kind.EC_POINT_FORMATS)
_X25519, _X25519_ML_KEM_768 = 29, 0x11EC
# BoringSSL pads what would be 256 to 511 bytes without the header of the record, to 512
# (RFC 7685 1: some servers fail on such hellos).
_PADDING = (261, 517)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A client and its hellos, in the order in which they came."""

    name: str
    kind: ClientKind
    program: str
    version: str
    recorded_on: date
    command: str
    source: str
    hellos: tuple[bytes, ...]


def file_text(recording: Recording) -> str:
    """Return the data file. Raises ValueError if the hellos differ in more than a file can say."""
    hellos = [read_hello(hello) for hello in recording.hellos]
    first = hellos[0]
    varies = list(_varying(hellos))
    lines = [
        "# Written by `python -m tests.recording`, not by hand.",
        f"name = {_text(recording.name)}",
        f"kind = {_text(recording.kind.value)}",
        f"program = {_text(recording.program)}",
        f"version = {_text(recording.version)}",
        f"recorded_on = {recording.recorded_on.isoformat()}",
        f"command = {_text(recording.command)}",
        f"source = {_text(recording.source)}",
        f"recordings = {len(hellos)}",
        *_array("varies", [kind.value for kind in varies]),
        "",
        "[hello]",
        *(_ssl2_lines(first) if not first.record_version else _tls_lines(first)),
    ]
    return "\n".join(lines) + "\n"


def _ssl2_lines(hello: SentHello) -> Iterator[str]:
    yield 'form = "SSL 2"'
    yield f"legacy_version = {_text(VERSION_NAMES[hello.version])}"
    yield from _array("cipher_suites", map(_suite, _without_ssl2_kinds(hello.cipher_suites)))


def _without_ssl2_kinds(suites: Iterable[int]) -> list[int]:
    """RFC 5246 E.2: suites of TLS begin with a zero byte; the kinds of SSL 2 are another offer."""
    return [suite for suite in suites if suite < 0x10000]


def _tls_lines(hello: SentHello) -> Iterator[str]:
    yield f"record_version = {_text(VERSION_NAMES[hello.record_version])}"
    yield f"legacy_version = {_text(VERSION_NAMES[hello.version])}"
    yield f"session_id_bytes = {len(hello.session_id)}"
    yield from _array("cipher_suites", map(_suite, hello.cipher_suites))
    if hello.compression != b"\0":
        yield f"compression_methods = {list(hello.compression)}"
    yield from _array("extensions", map(_extension, hello.extension_kinds))
    yield from _array("supported_versions", map(_version, hello.offered_versions or ()))
    yield from _array("supported_groups", map(_group, hello.groups or ()))
    yield from _array("key_shares", [_group(group) for group, _ in hello.key_shares])
    if _repeats_curve_keys(dict(hello.key_shares)):
        yield "repeats_curve_keys = true"
    yield from _array("signature_algorithms", map(scheme_name, hello.signature_schemes or ()))
    yield from _array("alpn", [name.decode("ascii") for name in hello.alpn])
    formats = hello.extension(_FORMATS)
    if formats is not None:
        yield f"point_formats = {list(formats[1:])}"
    if hello.extension(Kind.PADDING) is not None:
        if hello.size != _PADDING[1]:
            raise ValueError(f"padded to {hello.size} bytes, as no known client does")
        yield f"padding = {{ from_bytes = {_PADDING[0]}, to_bytes = {_PADDING[1]} }}"
    others = [
        (kind, content)
        for kind, content in hello.extensions
        if kind not in STRUCTURED and not is_grease(kind)
    ]
    if others:
        yield ""
        yield "[hello.other_contents]"
        for kind, content in others:
            yield f"{_extension(kind)} = {_text(content.hex())}"


def _repeats_curve_keys(shares: Mapping[int, bytes]) -> bool:
    """The share of X25519MLKEM768 ends with that of X25519 (draft-ietf-tls-hybrid-design 3.2)."""
    share = shares.get(_X25519)
    return share is not None and shares.get(_X25519_ML_KEM_768, b"").endswith(share)


def _varying(hellos: Sequence[SentHello]) -> Iterator[Varies]:
    """Raises ValueError for a difference that has no name."""
    plain = {_without_what_may_vary(hello) for hello in hellos}
    if len(plain) > 1:
        raise ValueError("the hellos differ in more than is written down")
    differences: Mapping[Varies, Callable[[SentHello], object]] = {
        Varies.SESSION_ID: lambda hello: hello.session_id,
        Varies.KEY_SHARE: lambda hello: [share for _, share in hello.key_shares],
        Varies.GREASE: _grease_of,
        Varies.EXTENSION_ORDER: lambda hello: [
            kind for kind in hello.extension_kinds if not is_grease(kind)
        ],
        Varies.ENCRYPTED_CLIENT_HELLO: lambda hello: hello.extension(_ENCRYPTED_CLIENT_HELLO),
        Varies.TRUST_ANCHORS: lambda hello: hello.extension(_TRUST_ANCHORS),
    }
    for kind, of in differences.items():
        if len({repr(of(hello)) for hello in hellos}) > 1:
            yield kind


def _without_what_may_vary(hello: SentHello) -> str:
    contents = sorted(
        (min(kind, 0x0A0A) if is_grease(kind) else kind, content)
        for kind, content in hello.extensions
        if kind
        not in (
            Kind.KEY_SHARE,
            Kind.SUPPORTED_GROUPS,
            Kind.SUPPORTED_VERSIONS,
            Kind.PADDING,
            _ENCRYPTED_CLIENT_HELLO,
            _TRUST_ANCHORS,
        )
    )
    return repr(
        (
            hello.record_version,
            hello.version,
            len(hello.session_id),
            list(map(_suite, hello.cipher_suites)),
            hello.compression,
            [_version(version) for version in hello.offered_versions or ()],
            [_group(group) for group in hello.groups or ()],
            [(_group(group), len(share)) for group, share in hello.key_shares],
            contents,
        )
    )


def _grease_of(hello: SentHello) -> list[int]:
    numbers = (*hello.cipher_suites, *hello.extension_kinds, *(hello.groups or ()))
    return [number for number in numbers if is_grease(number)]


def _suite(code_point: int) -> str:
    if is_grease(code_point):
        return GREASE
    suite = suite_by_code_point(code_point)
    return suite.iana_name if suite else SIGNAL_NAMES.get(code_point, f"0x{code_point:04X}")


def _group(code_point: int) -> str:
    return GREASE if is_grease(code_point) else group_name(code_point)


def _version(code_point: int) -> str:
    return GREASE if is_grease(code_point) else VERSION_NAMES[code_point]


def _extension(kind: int) -> str:
    return GREASE if is_grease(kind) else EXTENSION_NAMES.get(kind, f"0x{kind:04X}")


def _array(key: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield an array, in lines of up to 100 columns; nothing for an empty one."""
    listed = [_text(text) for text in texts]
    if not listed:
        return
    whole = f"{key} = [{', '.join(listed)}]"
    if len(whole) <= 100:
        yield whole
        return
    yield f"{key} = ["
    line = " "
    for text in listed:
        if len(line) + len(text) + 2 > 100:
            yield line
            line = " "
        line += f" {text},"
    yield line
    yield "]"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
