"""What is changed in one step, in Lua, by the server's own clock.

Instants are microseconds since 1970, which a double holds exactly. Fences and epochs are instants
too, moved on where two would be the same: a store that has lost its counters, or evicted them,
never gives a number out again, and what is kept under a number that is gone is not read.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

# Fences and epochs have to outlive the leases that know them; epochs also the facts under them.
_COUNTER_MS: Final = 86_400_000
# A shard sees a few changes a second. Whoever misses some asks about everything anew.
_NOTICES_KEPT: Final = 10_000
# By so much the clock of a replica may be ahead of the server's.
_MOST_AHEAD_US: Final = 5_000_000
_MOST_DIGITS: Final = 18
# Of one shard's notices in one answer.
MOST_NEWS_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name that the server knows it by, once it has run.

    is_answer: whether the script can have returned such a value for so many keys. A server that
    says anything else is broken, or is no server of ours.
    """

    name: str
    text: str
    is_answer: Callable[[Any, int], bool]
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode()).hexdigest())  # noqa: S324  # the protocol's name for scripts


def is_number(answer: Any, _keys: int) -> bool:
    """Whether it is one."""
    return type(answer) is int


def _is_records(answer: Any, keys: int) -> bool:
    return (
        isinstance(answer, list)
        and len(answer) == keys // 2
        and all(record is None or isinstance(record, bytes) for record in answer)
    )


def _is_lease(answer: Any, _keys: int) -> bool:
    match answer:
        case [1, bytes() as fence, bytes() as epoch]:
            return all(0 < len(each) <= _MOST_DIGITS and each.isdigit() for each in (fence, epoch))
        case [2 | 0, bytes()]:
            return True
        case _:
            return False


def _is_text(answer: Any, _keys: int) -> bool:
    return isinstance(answer, bytes) and len(answer) <= 2 * MOST_NEWS_BYTES


_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function after(key)
  return string.format('%.0f', math.max(now, tonumber(redis.call('GET', key) or '0') + 1))
end
local function keep(key, lifetime)
  if redis.call('PTTL', key) < lifetime then
    redis.call('PEXPIRE', key, string.format('%.0f', lifetime))
  end
end
"""

# KEYS: notices. ARGV: the first wanted, or "" for the last alone; how many at most.
# Returns them as JSON, which takes a client a fiftieth of the time that it takes to read them as
# the protocol has them; "" if they are larger than notices are.
NEWS: Final = Script(
    "poll",
    f"""
local entries
if ARGV[1] == '' then
  entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
else
  entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
end
local size = 0
for _, entry in ipairs(entries) do
  for _, text in ipairs(entry[2]) do
    size = size + #text + 8
  end
end
if size > {MOST_NEWS_BYTES} then
  return ''
end
return cjson.encode(entries)
""",
    _is_text,
)

# KEYS: facts and epoch, by turns. ARGV: most bytes of a record.
GET: Final = Script(
    "get",
    """
local found = {}
for at = 1, #KEYS, 2 do
  local epoch = redis.call('GET', KEYS[at + 1])
  if not epoch or redis.call('HGET', KEYS[at], 'e') ~= epoch then
    found[#found + 1] = false
  elseif redis.call('HSTRLEN', KEYS[at], 'v') <= tonumber(ARGV[1]) then
    found[#found + 1] = redis.call('HGET', KEYS[at], 'v')
  else
    found[#found + 1] = ''
  end
end
return found
""",
    _is_records,
)

# KEYS: facts, fence, epoch, index, notices. ARGV: record, observed at, lifetime in ms, member,
# stem of facts, most facts of a host, digest, facts_id, fence and epoch of the lease or "".
# Returns 1 if the facts were kept. Leases order what was measured under them, better than the
# clocks of two replicas could.
PUT: Final = Script(
    "put",
    f"""{_NOW}
local epoch = redis.call('GET', KEYS[3])
if ARGV[9] ~= '' then
  if redis.call('GET', KEYS[2]) ~= ARGV[9] or epoch ~= ARGV[10]
      or tonumber(ARGV[2]) > now + {_MOST_AHEAD_US} then
    return 0
  end
else
  local present = redis.call('HGET', KEYS[1], 'o')
  if present and tonumber(ARGV[2]) < tonumber(present) then
    return 0
  end
end
local lifetime = tonumber(ARGV[3])
local is_new = not epoch
epoch = epoch or after(KEYS[3])
-- The first of all: a server without memory refuses it, and then nothing has been written.
redis.call('XADD', KEYS[5], 'MAXLEN', '~', {_NOTICES_KEPT}, '*', 'k', ARGV[7], 'i', ARGV[8])
if is_new then
  redis.call('SET', KEYS[3], epoch)
end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'o', ARGV[2], 'p', string.format('%.0f', now),
  'e', epoch)
redis.call('PEXPIRE', KEYS[1], lifetime)
keep(KEYS[3], math.max(lifetime, {_COUNTER_MS}))
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[4], string.format('%.0f', now + lifetime * 1000), ARGV[4])
redis.call('PEXPIRE', KEYS[4], lifetime)
local over = redis.call('ZCARD', KEYS[4]) - tonumber(ARGV[6])
if over > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[4], over)
  for at = 1, #gone, 2 do
    redis.call('DEL', ARGV[5] .. (string.match(gone[at], ':(.*)$') or ''))
  end
end
return 1
""",
    is_number,
)

# KEYS: facts, index, notices. ARGV: member, digest, facts_id of what takes their place, or "".
DISCARD: Final = Script(
    "discard",
    f"""
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('DEL', KEYS[1]) == 1 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', {_NOTICES_KEPT}, '*', 'k', ARGV[2], 'i', ARGV[3])
end
return 1
""",
    is_number,
)

# KEYS: index, epoch, notices. ARGV: stem of facts, port or "0" for all, host, replica.
# Returns how many facts there were. A new epoch hides all facts of the host, also those that the
# index has lost; those of other ports are taken along.
DISCARD_HOST: Final = Script(
    "discard_host",
    f"""{_NOW}
redis.call('XADD', KEYS[3], 'MAXLEN', '~', {_NOTICES_KEPT}, '*', 'h', ARGV[3], 'p', ARGV[2],
  'r', ARGV[4])
local before, epoch = redis.call('GET', KEYS[2]), after(KEYS[2])
redis.call('SET', KEYS[2], epoch)
keep(KEYS[2], math.max(redis.call('PTTL', KEYS[1]), {_COUNTER_MS}))
local count = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local port, digest = string.match(member, '^(%d+):(.*)$')
  if ARGV[2] == '0' or ARGV[2] == port then
    count = count + redis.call('DEL', ARGV[1] .. (digest or ''))
    redis.call('ZREM', KEYS[1], member)
  elseif digest and before and redis.call('HGET', ARGV[1] .. digest, 'e') == before then
    redis.call('HSET', ARGV[1] .. digest, 'e', epoch)
  end
end
return count
""",
    is_number,
)

# KEYS: lease, fence, facts, epoch. ARGV: token, length in ms, most microseconds since facts were
# stored that are as new as wanted, most bytes of a record.
# Returns {1, fence, epoch} with the lease, {2, record} for such facts, {0, token} while another
# has it. What has no end, or a later one than any lease, is none.
ACQUIRE: Final = Script(
    "acquire",
    f"""{_NOW}
local epoch = redis.call('GET', KEYS[4])
local stored = redis.call('HGET', KEYS[3], 'p')
if stored and epoch and redis.call('HGET', KEYS[3], 'e') == epoch
    and now - tonumber(stored) < tonumber(ARGV[3])
    and redis.call('HSTRLEN', KEYS[3], 'v') <= tonumber(ARGV[4]) then
  return {{2, redis.call('HGET', KEYS[3], 'v')}}
end
local left = redis.call('PTTL', KEYS[1])
if left ~= -1 and left <= tonumber(ARGV[2]) then
  local holder = redis.call('GET', KEYS[1])
  if holder and holder ~= ARGV[1] then
    return {{0, holder}}
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local fence = after(KEYS[2])
redis.call('SET', KEYS[2], fence, 'PX', {_COUNTER_MS})
if not epoch then
  epoch = after(KEYS[4])
  redis.call('SET', KEYS[4], epoch)
end
keep(KEYS[4], {_COUNTER_MS})
return {{1, fence, epoch}}
""",
    _is_lease,
)

# KEYS: lease. ARGV: token, length in ms. Returns 1 if the lease is still the token's.
RENEW: Final = Script(
    "renew",
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""",
    is_number,
)

# KEYS: lease. ARGV: token.
RELEASE: Final = Script(
    "release",
    """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
""",
    is_number,
)
