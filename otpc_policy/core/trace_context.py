"""W3C Trace Context: which trace a call belongs to, read from what callers send and written for
whom we call.

Whoever calls chooses these bytes, so they are bounded and parsed strictly, and what does not parse
is as good as not sent.
Source: W3C Trace Context, Recommendation of 2021-11-23, sections 3.2 and 3.3.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

TRACE_PARENT: Final = "traceparent"
TRACE_STATE: Final = "tracestate"

# 3.2.2: version ff is invalid, and so are identifiers of zeros alone. Versions after 00 may append
# fields.
_PARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span_id>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_LONGEST_PARENT: Final = 256
_SAMPLED: Final = 1

# 3.3.1.3: a key, perhaps of a tenant, and a value without comma, equals sign or final blank.
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS: Final = 32
# 3.3.1.5: at least so much should be passed on. We pass on no more.
_LONGEST_STATE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """A span by its identifiers, in lower-case hexadecimal: 32 and 16 digits, neither all zero.

    state: of other systems that take part, as a valid tracestate; empty without one.
    """

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what a call made within the span carries."""
        parent = f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"
        state = ((TRACE_STATE, self.state),) if self.state else ()
        return (TRACE_PARENT, parent), *state


def trace_context_in(metadata: Iterable[tuple[str, str | bytes]] | None) -> TraceContext | None:
    """Return the span that a call with this metadata was made in; None if it names none.

    Two of them name none. A tracestate that is invalid or too long is left out.
    """
    parents: list[str | bytes] = []
    states: list[str | bytes] = []
    for key, value in metadata or ():
        if key == TRACE_PARENT:
            parents.append(value)
        elif key == TRACE_STATE:
            states.append(value)
    if len(parents) != 1 or not isinstance(parents[0], str):
        return None
    found = _parsed(parents[0])
    if found is None:
        return None
    return TraceContext(
        trace_id=found["trace_id"],
        span_id=found["span_id"],
        is_sampled=bool(int(found["flags"], 16) & _SAMPLED),
        state=_state(states),
    )


def trace_id_in(parent: str) -> str:
    """Return the trace id of a traceparent; empty if it is invalid."""
    found = _parsed(parent)
    return "" if found is None else found["trace_id"]


def _parsed(parent: str) -> re.Match[str] | None:
    found = _PARENT.fullmatch(parent) if len(parent) <= _LONGEST_PARENT else None
    if found is None or (found["more"] and found["version"] == "00"):
        return None
    return found


def _state(values: list[str | bytes]) -> str:
    """Return several headers as one (RFC 9110, 5.3), or nothing."""
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values) or sum(map(len, texts)) > _LONGEST_STATE:
        return ""
    members = [
        member for text in texts for part in text.split(",") if (member := part.strip(" \t"))
    ]
    keys = {member.partition("=")[0] for member in members}
    is_valid = (
        len(members) <= _MOST_MEMBERS
        and len(keys) == len(members)
        and all(map(_MEMBER.fullmatch, members))
    )
    return ",".join(members) if is_valid else ""
