"""Enum values, instants and foreign text as people read them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from otpc_policy.v1 import policy_pb2 as pb

DECISION_STYLES = {
    pb.DECISION_ALLOW: "bold white on green",
    pb.DECISION_DENY: "bold white on red",
    pb.DECISION_INDETERMINATE: "bold black on yellow",
}
EFFECT_STYLES = {
    pb.EFFECT_ADVISORY: "cyan",
    pb.EFFECT_DENY: "bold red",
    pb.EFFECT_INDETERMINATE: "bold yellow",
    pb.EFFECT_WAIVED: "magenta",
}
SUPPORT_STYLES = {pb.SUPPORT_YES: "green", pb.SUPPORT_NO: "dim", pb.SUPPORT_UNKNOWN: "bold yellow"}

_SOURCES = {
    pb.RESULT_SOURCE_MEASURED: "measured for this request",
    pb.RESULT_SOURCE_SHARED: "measured together with another request",
    pb.RESULT_SOURCE_CACHE: "from the cache",
    pb.RESULT_SOURCE_STALE_CACHE: "from the cache, past its lifetime",
    pb.RESULT_SOURCE_REQUEST: "from the request itself",
}


def printable(text: str) -> str:
    """Return foreign text without control characters; line breaks stay.

    Names in certificates are chosen by the partner: an escape sequence or a bidirectional override
    in one could repaint the verdict.
    """
    return "".join(
        character if character.isprintable() or character == "\n" else f"\\u{ord(character):04x}"
        for character in text
    )


def one_line(text: str) -> str:
    """Return foreign text as a single line."""
    return printable(text).replace("\n", "\\n")


def decision_word(decision: pb.Decision.ValueType) -> str:
    """Return ALLOW, DENY or INDETERMINATE, which the contract requires for unknown values."""
    if decision in (pb.DECISION_ALLOW, pb.DECISION_DENY):
        return pb.Decision.Name(decision).removeprefix("DECISION_")
    return "INDETERMINATE"


def decision_text(decision: pb.Decision.ValueType) -> Text:
    """Return the decision as a badge."""
    style = DECISION_STYLES.get(decision, DECISION_STYLES[pb.DECISION_INDETERMINATE])
    # Assembled, so that the colour ends with the badge and does not fill the column.
    return Text.assemble((f" {decision_word(decision)} ", style))


def effect_text(effect: pb.Effect.ValueType) -> Text:
    """Return the effect in its colour; a policy's EFFECT_UNSPECIFIED means that it is off."""
    return Text(
        "off" if effect == pb.EFFECT_UNSPECIFIED else _word(pb.Effect, effect, "EFFECT_"),
        style=EFFECT_STYLES.get(effect, "dim"),
    )


def severity_word(severity: pb.Severity.ValueType) -> str:
    """Return the severity in lower case."""
    return _word(pb.Severity, severity, "SEVERITY_").lower()


def support_word(support: pb.Support.ValueType) -> str:
    """Return yes, no or unknown."""
    return (
        "unknown"
        if support == pb.SUPPORT_UNSPECIFIED
        else _word(pb.Support, support, "SUPPORT_").lower()
    )


def version_word(version: pb.TlsVersion.ValueType) -> str:
    """Return the name people use, such as "TLS 1.2"."""
    family, separator, number = _word(pb.TlsVersion, version, "TLS_VERSION_").partition("_")
    return (
        f"{family} {number.removesuffix('_0') if family == 'SSL' else number.replace('_', '.')}"
        if separator
        else family
    )


def enum_word(enum: type, value: int, prefix: str) -> str:
    """Return a value of a generated enum in lower case, without its prefix."""
    return _word(enum, value, prefix).lower().replace("_", " ")


def source_words(source: pb.ResultSource.ValueType) -> str:
    """Return where the facts came from, as part of a sentence."""
    return _SOURCES.get(source, "no facts were used")


def instant_words(instant: Timestamp) -> str:
    """Return an instant to the second, in UTC."""
    return f"{to_datetime(instant):%Y-%m-%d %H:%M:%S} UTC"


def day_words(instant: Timestamp) -> str:
    """Return the day of an instant, in UTC."""
    return f"{to_datetime(instant):%Y-%m-%d}"


def to_datetime(instant: Timestamp) -> datetime:
    """Return an instant as aware UTC."""
    return instant.ToDatetime(tzinfo=UTC)


def length_words(length: Duration | timedelta) -> str:
    """Return a length of time in its largest fitting unit, such as "45 s", "12 min" or "3 days"."""
    seconds = abs(
        (length if isinstance(length, timedelta) else length.ToTimedelta()).total_seconds()
    )
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def comma_list(words: Iterable[str]) -> str:
    """Return foreign words, joined by commas."""
    return ", ".join(one_line(word) for word in words)


def _word(enum: object, value: int, prefix: str) -> str:
    try:
        name: str = enum.Name(value)  # type: ignore[attr-defined]  # the generated wrappers share no base class
    except ValueError:
        return f"value {value}"
    return name.removeprefix(prefix)
