"""Changes as signed records: JSON, bound to their shard and number."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from otpc_policy.check import VerdictChange
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import InvalidRequest
from otpc_policy.fleet.records import RecordObserver
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.policy.finding import Decision

MOST_RECORD_CHARACTERS: Final = 6_144
"""Of a record. Names, ids and codes take a third of that at most."""
MARK_CHARACTERS: Final = 8
"""Of a record's beginning, which is its signature's: enough to tell two histories apart."""
_MOST_CODES: Final = 16
_MOST_CODE_CHARACTERS: Final = 64
_MOST_ID_CHARACTERS: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LETTERS: Final = {Decision.ALLOW: "A", Decision.DENY: "D", Decision.INDETERMINATE: "I", None: "-"}
_DECISIONS: Final = {letter: decision for decision, letter in _LETTERS.items()}


def letter_of(decision: Decision | None) -> str:
    """Return what stands for a decision in the store; "-" for none."""
    return _LETTERS[decision]


def decision_of(letter: str) -> Decision | None:
    """Return the decision that a letter stands for. Raises KeyError."""
    return _DECISIONS[letter]


class ChangeRecords:
    """Writes and reads the records of one fleet."""

    def __init__(self, key: FleetKey, observer: RecordObserver) -> None:
        self._key, self._observer = key, observer

    def write(self, change: VerdictChange, *, stream: str, number: int) -> str:
        """Return the record of a change. stream: the name of its shard's changes."""
        content = {
            "h": change.endpoint.host,
            "p": change.endpoint.port,
            "i": change.partner_id,
            "d": letter_of(change.decision),
            "b": letter_of(change.previous),
            "c": change.codes[:_MOST_CODES],
            "o": _micros(change.observed_at),
            "e": _micros(change.expires_at),
            "t": _micros(change.changed_at),
            "r": change.revision,
        }
        sealed = self._key.seal(
            json.dumps(content, separators=(",", ":")).encode(), place=_place(stream, number)
        )
        return base64.urlsafe_b64encode(sealed).decode("ascii")

    def read(self, record: str, *, stream: str, number: int) -> VerdictChange | None:
        """Return the change; None, counted, for what this fleet has not signed for this place."""
        if not record or len(record) > MOST_RECORD_CHARACTERS:
            self._observer.record_refused("oversize")
            return None
        try:
            sealed = base64.b64decode(record, altchars=b"-_", validate=True)
        except ValueError:
            sealed = b""
        content = self._key.open(sealed, place=_place(stream, number))
        if content is None:
            self._observer.record_refused("signature")
            return None
        try:
            return _change(json.loads(content))
        except (ValueError, KeyError, TypeError, OverflowError, InvalidRequest, RecursionError):
            self._observer.record_refused("malformed")
            return None


def _change(content: Any) -> VerdictChange:
    codes = tuple(map(_text, content["c"]))
    if len(codes) > _MOST_CODES or any(len(code) > _MOST_CODE_CHARACTERS for code in codes):
        raise ValueError
    if type(content["p"]) is not int:
        raise TypeError
    return VerdictChange(
        endpoint=parse_endpoint(_text(content["h"]), content["p"]),
        partner_id=_text(content["i"]),
        decision=decision_of(content["d"]),
        previous=decision_of(content["b"]),
        codes=codes,
        observed_at=_instant(content["o"]),
        expires_at=_instant(content["e"]),
        changed_at=_instant(content["t"]) or _EPOCH,
        revision=_text(content["r"]),
    )


def _place(stream: str, number: int) -> str:
    return f"change\n{stream}\n{number}"


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MOST_ID_CHARACTERS:
        raise TypeError
    return value


def _micros(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // timedelta(microseconds=1)


def _instant(micros: Any) -> datetime | None:
    if micros is None:
        return None
    if type(micros) is not int:
        raise TypeError
    return _EPOCH + timedelta(microseconds=micros)
