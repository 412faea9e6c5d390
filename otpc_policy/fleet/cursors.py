"""Cursors: positions in the changes as opaque, signed texts."""

import base64
from typing import Final

from otpc_policy.core.errors import CursorTooOld, FieldViolation, InvalidRequest
from otpc_policy.fleet.changes import Position, Positions
from otpc_policy.fleet.signing import FleetKey

_PLACE: Final = "cursor of changes"
# Sixteen positions take 500.
_MOST_CHARACTERS: Final = 2_048


class Cursors:
    """Writes and reads the cursors of one history of changes. history: its name."""

    def __init__(self, key: FleetKey, *, history: str, shards: int) -> None:
        self._key, self._history, self._shards = key, history, shards

    def write(self, positions: Positions, scope: str) -> str:
        """Return the cursor. scope: what its reader may see."""
        places = ",".join(f"{each.number}:{each.mark}" for each in positions)
        content = f"{self._history}|{scope}|{places}".encode()
        return base64.urlsafe_b64encode(self._key.seal(content, place=_PLACE)).decode("ascii")

    def read(self, cursor: str, scope: str) -> Positions:
        """Return the positions.

        Raises InvalidRequest for what has not the form of a cursor. Raises CursorTooOld for one
        that was signed with a key which is gone, or is of another history or scope.
        """
        if len(cursor) > _MOST_CHARACTERS:
            raise _not_a_cursor()
        try:
            record = base64.b64decode(cursor, altchars=b"-_", validate=True)
        except ValueError:
            raise _not_a_cursor() from None
        content = self._key.open(record, place=_PLACE)
        if content is None:
            raise CursorTooOld
        history, of_scope, places = content.decode().split("|")
        positions = tuple(
            Position(int(number), mark)
            for number, _, mark in (place.partition(":") for place in places.split(","))
        )
        if (history, of_scope, len(positions)) != (self._history, scope, self._shards):
            raise CursorTooOld
        return positions


def _not_a_cursor() -> InvalidRequest:
    return InvalidRequest([FieldViolation("cursor", "was not issued by this service")])
