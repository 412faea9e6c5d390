"""What is changed in one step in the schedule of the watch list.

Its scripts take as their first argument by how many microseconds to move the server's clock, which
only tests do.
"""

import re
from typing import Any, Final

from otpc_policy.fleet.scripts import Script, is_number

# What nobody watches any more is cleared away by the claims of those who watch something.
_FORGOTTEN_AT_ONCE: Final = 100
_MOST_CLAIMED: Final = 10_000
# A host, a port and a server name.
_MOST_NAME_BYTES: Final = 1_024


def _is_claim(answer: Any, _keys: int) -> bool:
    return (
        isinstance(answer, list)
        and 0 < len(answer) <= 1 + _MOST_CLAIMED
        and type(answer[0]) is int
        and all(isinstance(name, bytes) and len(name) <= _MOST_NAME_BYTES for name in answer[1:])
    )


def _is_due(answer: Any, _keys: int) -> bool:
    return isinstance(answer, list) and all(
        isinstance(left, bytes) and re.fullmatch(rb"(-?[0-9]{1,18})?", left) for left in answer
    )


# KEYS: due, kept. ARGV: move, lifetime in ms, then names, each with the microseconds until it is
# due if it is not known.
WATCH_KEEP: Final = Script(
    "watch_keep",
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
for at = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', now + tonumber(ARGV[at + 1])), ARGV[at])
  redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
""",
    is_number,
)

# KEYS: due, kept. ARGV: move, most names, microseconds for which they are claimed, and after which
# what nobody keeps is forgotten.
# Returns for how many microseconds the first of those that are left has been due, then the names.
WATCH_CLAIM: Final = Script(
    "watch_claim",
    f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
local most = tonumber(ARGV[2])
local found = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE',
  'LIMIT', 0, most + {_FORGOTTEN_AT_ONCE})
local answer = {{0}}
for _, name in ipairs(found) do
  local kept = redis.call('ZSCORE', KEYS[2], name)
  if not kept or tonumber(kept) <= now - tonumber(ARGV[4]) then
    redis.call('ZREM', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
  elseif #answer <= most then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[3])), name)
    answer[#answer + 1] = name
  else
    break
  end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] and tonumber(first[2]) < now then
  answer[1] = now - tonumber(first[2])
end
return answer
""",
    _is_claim,
)

# KEYS: due. ARGV: move, "LT" to change only what is due later, else "", then names, each with the
# microseconds until it is due.
WATCH_DUE_IN: Final = Script(
    "watch_due_in",
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
for at = 3, #ARGV, 2 do
  local score = string.format('%.0f', now + tonumber(ARGV[at + 1]))
  if ARGV[2] == 'LT' then
    redis.call('ZADD', KEYS[1], 'XX', 'LT', score, ARGV[at])
  else
    redis.call('ZADD', KEYS[1], 'XX', score, ARGV[at])
  end
end
return 1
""",
    is_number,
)

# KEYS: due. ARGV: move, then names. Returns in how many microseconds each is due, "" for unknown.
WATCH_DUE: Final = Script(
    "watch_due",
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
local answer = {}
for at = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[at])
  answer[at - 1] = score and string.format('%.0f', tonumber(score) - now) or ''
end
return answer
""",
    _is_due,
)

# KEYS: due, kept. ARGV: names.
WATCH_DROP: Final = Script(
    "watch_drop",
    """
for _, name in ipairs(ARGV) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
return 1
""",
    is_number,
)
