"""Who delivers, of all replicas, and how far they have got. Satisfies fleet.delivery.Delivery."""

import secrets
from collections.abc import Callable
from typing import Any, Final

from otpc_policy.fleet.delivery import LEASE_S
from otpc_policy.fleet.keys import Keyspace
from otpc_policy.fleet.scripts import Script, is_number
from otpc_policy.fleet.store import Store

_LIFETIME_MS: Final = 30 * 86_400_000
_MOST_PLACE_BYTES: Final = 2_048
_MICRO: Final = 1_000_000


def _is_claim(answer: Any, _keys: int) -> bool:
    match answer:
        case [0 | 1, bytes() as place]:
            return len(place) <= _MOST_PLACE_BYTES
        case _:
            return False


# KEYS: delivery. ARGV: microseconds by which to move the clock (tests alone do), who, microseconds.
# Returns {1, place} for whoever delivers from now on, {0, ""} while another does. A lease that
# ends later than any is none.
CLAIM: Final = Script(
    "delivery_claim",
    f"""
local time = redis.call('TIME')
local now = time[1] * {_MICRO} + time[2] + tonumber(ARGV[1])
local owner = redis.pcall('HGET', KEYS[1], 'o')
if type(owner) == 'table' and owner.err then
  if string.sub(owner.err, 1, 9) ~= 'WRONGTYPE' then
    return owner
  end
  redis.call('DEL', KEYS[1])
  owner = nil
end
local until_ = tonumber(redis.call('HGET', KEYS[1], 'u') or '') or 0
if owner and owner ~= ARGV[2] and until_ > now and until_ <= now + tonumber(ARGV[3]) then
  return {{0, ''}}
end
redis.call('HSET', KEYS[1], 'o', ARGV[2], 'u', string.format('%.0f', now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], {_LIFETIME_MS})
local place = redis.call('HGET', KEYS[1], 'p') or ''
return {{1, #place <= {_MOST_PLACE_BYTES} and place or ''}}
""",
    _is_claim,
)

# KEYS: delivery. ARGV: who, place. Returns 1 if it still delivers.
KEEP: Final = Script(
    "delivery_keep",
    """
if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'p', ARGV[2])
return 1
""",
    is_number,
)

# KEYS: delivery. ARGV: who.
RELEASE: Final = Script(
    "delivery_release",
    """
if redis.call('HGET', KEYS[1], 'o') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'o', 'u')
end
return 1
""",
    is_number,
)


class SharedDelivery:
    """A lease and a place in the store. The place is signed by whoever makes it.

    Whoever can write to the store without the key can have changes delivered again or by two, and
    hold deliveries up by taking the lease again and again. move_s: as of SharedChanges.
    """

    def __init__(
        self,
        connection: Store,
        *,
        keyspace: Keyspace,
        move_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._connection = connection
        self._keys = (keyspace.delivery,)
        self._move_s = move_s
        self._owner = secrets.token_hex(8)

    async def claim(self) -> str | None:
        """Return the place, or None while another replica delivers."""
        move, lease = int(self._move_s() * _MICRO), int(LEASE_S * _MICRO)
        is_mine, place = await self._connection.run(CLAIM, self._keys, move, self._owner, lease)
        return str(place.decode("ascii", "replace")) if is_mine else None

    async def keep(self, place: str) -> bool:
        """Keep a place."""
        return bool(await self._connection.run(KEEP, self._keys, self._owner, place))

    async def release(self) -> None:
        """Let another replica deliver."""
        await self._connection.run(RELEASE, self._keys, self._owner)
