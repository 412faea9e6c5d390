"""How an audit line looks: a JSON object on one line, in ASCII, of a documented version.

Fields may be added within a version; none changes its meaning or goes away. docs/audit.md describes
each. ASCII, because some readers take characters such as U+2028 for the end of a line, and callers
and partners choose what stands in some fields.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from otpc_policy.core.caller import Caller, Identity
from otpc_policy.ops.timestamps import now_text

SCHEMA: Final = 1

# Callers whose fields are kept ready: a connection without a certificate is one.
_KEPT_CALLERS: Final = 1_024


def constant_fields(fields: Mapping[str, object]) -> str:
    """Return fields as the inside of a JSON object, for use in many lines. fields: not empty."""
    return json.dumps(fields, separators=(",", ":"))[1:-1]


def caller_fields(caller: Caller) -> str:
    """Return who called, as the inside of a JSON object."""
    # By the parts: to hash and compare a dataclass takes longer than all else here.
    return _fields_of(caller.peer, caller.identities)


@lru_cache(maxsize=_KEPT_CALLERS)
def _fields_of(peer: str, identities: tuple[Identity, ...]) -> str:
    return constant_fields(who_called(Caller(identities=identities, peer=peer)))


def who_called(caller: Caller) -> dict[str, object]:
    """Return who called, as fields: those that each line about a call has."""
    fields: dict[str, object] = {"caller": caller.label, "peer": caller.peer}
    if len(caller.identities) > 1:
        fields["identities"] = [str(identity) for identity in caller.identities]
    return fields


def line_of(level: str, event: str, fields: Mapping[str, Any]) -> str:
    """Return a whole line, ended. fields: what json can write, anything else as its text."""
    head = {"schema": SCHEMA, "time": now_text(), "level": level, "event": event}
    body = {name: value for name, value in fields.items() if name not in head}
    text = json.dumps(head | body, separators=(",", ":"), default=str)
    return f"{text}\n"


def each_line(lines: str) -> list[str]:
    """Return lines without their ends. lines: whole ones, each ended."""
    return lines.removesuffix("\n").split("\n")


def loss_line(sink: str, lost: int) -> str:
    """Return the line that stands where so many lines are missing."""
    return line_of("error", "audit_lines_lost", {"sink": sink, "lost": lost})
